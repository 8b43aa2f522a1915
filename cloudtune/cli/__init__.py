"""The command line: ``cloudtune``."""

import contextlib
import os
import sys


def main() -> int:
    """Runs the command of ``sys.argv`` and returns its exit code."""
    from cloudtune.cli.app import run_app  # noqa: PLC0415  # the command line is loaded only for the command

    code = run_app()
    asking = sys.modules.get("cloudtune.cli.asking")
    if asking is not None and any(thread.is_alive() for thread in asking.abandoned):
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # what still waits for a service that does not answer keeps nobody waiting
    return code
