"""The command line: ``cloudtune``."""


def main() -> int:
    """Runs the command of ``sys.argv`` and returns its exit code."""
    from cloudtune.cli.app import run_app  # noqa: PLC0415  # the command line is loaded only for the command

    return run_app()
