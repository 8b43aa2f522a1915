"""The command validate: say what is wrong with job files, for editors, hooks and CI."""

from pathlib import Path

import click

from cloudtune.cli.launching import complete_profiles
from cloudtune.errors import CloudtuneError
from cloudtune.errors.masking import masked_text


@click.command()
@click.argument(
    "files", metavar="JOB.yaml…", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False, exists=True)
)
@click.option(
    "--on",
    metavar="PROFILE,…",
    help="Also refuse what these cannot run as it stands.",
    shell_complete=complete_profiles,
)
@click.option("--strict", is_flag=True, help="With --on: also what they can only approximate.")
def validate(files: tuple[Path, ...], on: str | None, *, strict: bool) -> int:
    """Say what is wrong with job files; nothing is run, and no service is asked.

    Exit code 2 if a file is no valid job, else 3 if a profile refuses one.

    \b
    Examples:
      cloudtune validate job.yaml
      cloudtune validate jobs/*.yaml --on aws,gcp
    """
    if strict and on is None:
        raise click.UsageError("--strict goes with --on")
    codes = [_validated(file, on.split(",") if on else [], strict=strict) for file in files]
    return min((code for code in codes if code), default=0)


def _validated(file: Path, profiles: list[str], *, strict: bool) -> int:
    """Print what is wrong with a file, and return the exit code for it."""
    from cloudtune import api  # noqa: PLC0415
    from cloudtune.cli.jobfile import load_job, with_lines_of  # noqa: PLC0415

    try:
        job = load_job(file, [])
        for name in profiles:
            with with_lines_of(file):
                api.plan(job, name, base=file.parent).refuse(strict=strict or job.strict)
    except CloudtuneError as error:
        said = masked_text(str(error))
        click.echo(said if str(file) in said else f"{file}: {said}", err=True)
        return error.exit_code
    return 0
