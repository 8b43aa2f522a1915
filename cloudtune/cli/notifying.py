"""The command notify: who is told how runs go, and a test message."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloudtune.cli.launching import complete_profiles
from cloudtune.cli.output import print_table

if TYPE_CHECKING:
    from cloudtune.spec.notify import Notification


@click.command()
@click.argument(
    "file", metavar="[JOB.yaml]", required=False, type=click.Path(path_type=Path, dir_okay=False, exists=True)
)
@click.option(
    "--on", metavar="PROFILE", help="The profile of the runs; default: the config's.", shell_complete=complete_profiles
)
@click.option("--test", is_flag=True, help="Send a test message by each channel, and say what became of it.")
def notify(file: Path | None, on: str | None, *, test: bool) -> int:
    """List who is told how runs go: [notify.NAME] in cloudtune.toml, and a job's notify.

    Exit code 4 if a test message could not be sent.

    \b
    Examples:
      cloudtune notify --test
      cloudtune notify job.yaml --on aws --test
    """
    from cloudtune.store.notices import SENT  # noqa: PLC0415
    from cloudtune.store.projects import project_folder  # noqa: PLC0415

    project = project_folder()
    found = _channels(file, on, project)
    if not found:
        click.echo("nobody is told: no [notify.NAME] in cloudtune.toml, and no notify in the job", err=True)
        return 0
    outcomes = _try(found, project) if test else {}
    columns = ("channel", "by", "is told of", "variables", *(("test message",) if test else ()))
    rows = [
        (name, channel.kind, ", ".join(channel.events), _variables(channel), *([outcomes[name]] if test else []))
        for name, channel in found.items()
    ]
    print_table(columns, rows, styles=False)
    return 4 if any(outcome != SENT for outcome in outcomes.values()) else 0


def _channels(file: Path | None, on: str | None, project: Path) -> "dict[str, Notification]":
    from cloudtune.cli.jobfile import load_job  # noqa: PLC0415
    from cloudtune.config import config_near, load_profile  # noqa: PLC0415
    from cloudtune.notifying.telling import channels_for  # noqa: PLC0415

    near = None if file is None else config_near(file.parent, project)
    own = () if file is None else load_job(file, []).notify
    return channels_for(own, load_profile(on, project, near).name, project, near)


def _try(found: "dict[str, Notification]", project: Path) -> dict[str, str]:
    """Send a test message by all channels at once, and return what became of each."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    from cloudtune.errors.masking import masked_text  # noqa: PLC0415
    from cloudtune.notifying.message import trial_message  # noqa: PLC0415
    from cloudtune.notifying.outbox import outcome_of  # noqa: PLC0415

    message = trial_message(str(project))
    with ThreadPoolExecutor(len(found)) as pool:
        outcomes = pool.map(lambda channel: outcome_of(channel, message, project), found.values())
        return {name: masked_text(outcome) for name, outcome in zip(found, outcomes, strict=True)}


def _variables(channel: "Notification") -> str:
    return ", ".join(name if os.environ.get(name) else f"{name} (not set)" for name in channel.variables)
