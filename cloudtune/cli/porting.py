"""The command port: a job in the words of another service."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloudtune.cli.exchange import commented, write_text
from cloudtune.cli.launching import complete_profiles, job_argument
from cloudtune.cli.output import force_option, output_file_option
from cloudtune.errors import UnsupportedError
from cloudtune.planning.missing import lines_to_add

if TYPE_CHECKING:
    from cloudtune.porting.adapted import Adapted
    from cloudtune.spec.job import TuningJob

_FIELDS = ("data", "output", "identity", "trial", "compute")
"""The fields of a job that porting changes; of the last two their own fields."""


@click.command()
@job_argument
@click.option(
    "--to", "target", metavar="PROFILE", required=True, help="A profile or provider.", shell_complete=complete_profiles
)
@output_file_option("The job file; default: standard output.")
@force_option
def port(job_file: Path, target: str, output: Path | None) -> int:
    """Write a job in the words of another service: its places, images, identities and machine types.

    What they are there is said by [places] and the profile in cloudtune.toml; what is not said stays as it is, and the
    lines to add are printed (exit code 3). `cloudtune run --on PROFILE` does the same without a new file.

    \b
    Examples:
      cloudtune port job.yaml --to gcp
      cloudtune port job.yaml --to azure -o job-azure.yaml
    """
    from cloudtune.cli.jobfile import load_job  # noqa: PLC0415
    from cloudtune.remote.resolving import resolve  # noqa: PLC0415

    job = load_job(job_file, [])
    provider = resolve(target, None, job_file.parent)[0]
    provider = provider.in_region(provider.region_of(job))
    adapted = provider.adapt(job)
    notes = [str(note) for note in adapted.notes]
    if output is not None and output.resolve().parent != job_file.resolve().parent:
        notes.append(f"its relative paths start from the folder of {job_file}; move it there")
    text = commented(notes, f"Made of {job_file} for {target}") + _text(job_file, job, adapted)
    write_text(text, notes, output)
    if adapted.missing:
        click.echo("\n".join(["add to cloudtune.toml, with your own values for …:", *lines_to_add(adapted.missing)]), err=True)  # fmt: skip
    refused = any(note.support.value == "unsupported" for note in adapted.notes)
    return UnsupportedError.exit_code if refused else 0


def _text(job_file: Path, job: "TuningJob", adapted: "Adapted") -> str:
    """Return the file's text with what was changed, or the job written anew where that cannot be done."""
    from cloudtune.spec.job import TuningJob  # noqa: PLC0415
    from cloudtune.spec.text.editing import CannotEdit, with_values  # noqa: PLC0415
    from cloudtune.spec.text.files import read_file  # noqa: PLC0415

    try:
        text = with_values(read_file(job_file), dict(_changes(job, adapted.job)))
    except CannotEdit:
        return adapted.job.to_yaml()
    same = TuningJob.from_yaml(text) == adapted.job  # an anchor may stand for more than one value
    return text if same else adapted.job.to_yaml()


def _changes(job: "TuningJob", ported: "TuningJob") -> list[tuple[tuple[str, ...], Any]]:
    """Return the new values by the keys that lead to them; None for what is no longer said."""
    before, after = job.to_data(), ported.to_data()
    found: list[tuple[tuple[str, ...], Any]] = []
    for field in _FIELDS:
        was, now = before.get(field), after.get(field)
        if isinstance(was, dict) and isinstance(now, dict) and field not in ("output", "identity"):
            found += [((field, key), now.get(key)) for key in {**was, **now} if was.get(key) != now.get(key)]
        elif was != now:
            found.append(((field,), now))
    return found
