"""The command verify: compare a real service with its emulator by the smallest job there is."""

import contextlib
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloudtune.cli.launching import on_option
from cloudtune.cli.output import force_option, output_file_option
from cloudtune.cli.spending import confirm
from cloudtune.costs.launching import cost_line, estimate_of
from cloudtune.errors import ConfigError, suggest
from cloudtune.plugins.version import __version__
from cloudtune.store.projects import project_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloudtune.provider.interface import Provider
    from cloudtune.spec.job import TuningJob


@click.command()
@on_option
@click.option(
    "--mode", type=click.Choice(["managed", "driven"]), default="managed", help="Of the job; default: managed."
)
@click.option(
    "--cost",
    default="USD 1",
    show_default=True,
    help="What the job may cost at most, where the machine's price is known.",
)
@click.option("--yes", is_flag=True, help="Start the job without asking.")
@output_file_option("Write it to this file.")
@force_option
def verify(on: str | None, *, mode: str, cost: str, yes: bool, output: Path | None) -> int:
    """Run the smallest job there is on a real service, and say where its emulator answers otherwise.

    Two trials of seconds on the cheapest machine that is known, or the profile's; then the same in the emulator. What is
    printed has no values but states and codes of errors, in a form for an issue. Exit code 1 if there are differences.

    \b
    Examples:
      cloudtune verify --on team
      cloudtune verify --on team --mode driven --cost 'USD 0.5' --yes -o report.md
    """
    from cloudtune import api  # noqa: PLC0415
    from cloudtune.plugins.entry_points import emulators  # noqa: PLC0415
    from cloudtune.remote.resolving import resolve  # noqa: PLC0415
    from cloudtune.verify.comparison import differences, report  # noqa: PLC0415
    from cloudtune.verify.job import answers_to  # noqa: PLC0415

    project = project_folder()
    provider, profile, _ = resolve(on, project)
    if provider.name not in emulators():
        raise ConfigError(f"{provider.name} has no emulator to compare with; {suggest(provider.name, emulators())}")
    job = _job(provider, profile, mode, cost)
    if not yes:
        confirm(
            "Start it?",
            unasked="it costs money, and there is no terminal to ask in: start it without asking with --yes",
        )
    click.echo(f"running in the emulator, then on {profile} …", err=True)
    with api.emulated(profile, project=project), _looking_often(provider.name):
        emulator = answers_to(job, profile, project)
    service = answers_to(job, profile, project)
    found = differences(service, emulator)
    asked = len({answer.operation for answer in service})
    facts = {"mode": mode, "versions": _versions(provider), "operations compared": str(asked)}
    answers = "answers otherwise than" if found else "answers as"
    text = report(found, f"The emulator of {provider.name} {answers} the service", facts)
    if output is None:
        click.echo(text)
    else:
        output.write_text(text + "\n", "utf-8")
        click.echo(f"wrote {output}", err=True)
    return int(bool(found))


@contextlib.contextmanager
def _looking_often(provider: str) -> "Iterator[None]":
    """Have runs of a provider looked at more often than any service would be, within the context."""
    name = f"CLOUDTUNE_{provider.upper()}_POLL"
    before = os.environ.get(name)
    os.environ[name] = "0.05"
    try:
        yield
    finally:
        os.environ.pop(name)
        os.environ.update({} if before is None else {name: before})


def _job(provider: "Provider", profile: str, mode: str, cost: str) -> "TuningJob":
    """Return the job, and print what it takes; without a limit on the cost where no price is known.

    Raises:
        UnsupportedError: the profile cannot run it.
    """
    from cloudtune import api  # noqa: PLC0415
    from cloudtune.planning.summary import summary  # noqa: PLC0415
    from cloudtune.verify.job import smallest_job  # noqa: PLC0415

    project = project_folder()
    job = smallest_job(provider, mode, None)
    plan = api.plan(job, profile, project=project)
    plan.refuse(strict=False)
    if estimate_of(job, plan, project) is not None:  # else a limit on the cost could not be kept
        job = smallest_job(provider, mode, cost)
        plan = api.plan(job, profile, project=project)
    lines = (str(summary(job, plan)), cost_line(job, plan, project), "it ends after 30 minutes at the latest")
    click.echo("\n".join(filter(None, lines)), err=True)
    return job


def _versions(provider: "Provider") -> str:
    """Return the versions of cloudtune and of the service's SDK."""
    from cloudtune.provider.service import Service  # noqa: PLC0415

    found = [f"cloudtune {__version__}"]
    for module in provider.sdk if isinstance(provider, Service) else ():
        try:
            found.append(f"{module} {version(module.replace('.', '-'))}")
        except PackageNotFoundError:  # a part of a distribution of another name
            found.append(module)
    return ", ".join(found)
