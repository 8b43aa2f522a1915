"""The commands import and export: conversion between jobs and the formats of other tools and services."""

import json
import os
import re
import shlex
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloudtune.cli.launching import complete_profiles, job_argument
from cloudtune.cli.output import force_option, new_path, output_file_option
from cloudtune.errors import ConfigError
from cloudtune.store.commands import path_word

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from cloudtune.interop.formats import Imported
    from cloudtune.planning.plan import Plan
    from cloudtune.provider.interface import Provider
    from cloudtune.spec.job import TuningJob


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[str | CompletionItem]":
    """Return the formats and profiles with a prefix, for the shell's completion."""
    from cloudtune.plugins.entry_points import formats  # noqa: PLC0415

    own = [name for name in formats() if name.startswith(incomplete)]
    return [*own, *complete_profiles(ctx, param, incomplete)]


@click.command("import")
@click.argument("source")
@click.option(
    "--from", "origin", metavar="FORMAT", required=True, help="What it is; see above.", shell_complete=_complete
)
@output_file_option("The job file; default: standard output.")
@click.option("--study", metavar="NAME", help="Which study or experiment, where the source holds several.")
@click.option(
    "--trials",
    "table",
    callback=new_path,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the finished trials of the source into this .csv, and let the job learn from them.",
)
@force_option
def import_(source: str, origin: str, output: Path | None, study: str | None, table: Path | None) -> None:
    """Make a job of what another tool or a service has written.

    \b
    FORMAT      SOURCE
    sagemaker, vertex, azureml, or a profile of theirs
                the service's own request, JSON or YAML
    katib       a file with an Experiment
    wandb       a sweep configuration, YAML
    optuna      a storage, such as sqlite:///study.db, or a journal file
    hyperopt    module:attribute, a space; the module is executed
    ray-tune    module:attribute, a space; the module is executed

    A file may be - for standard input. Differences between the job and its source are printed, and written into the
    job's first lines. What its neutral fields cannot say of a service or of Katib stays under that name;
    `cloudtune export` gives the same request again.

    \b
    Examples:
      cloudtune import sweep.yaml --from wandb -o job.yaml
      cloudtune import sqlite:///study.db --from optuna --trials known.csv -o job.yaml
    """
    from cloudtune.interop.formats import load_format  # noqa: PLC0415
    from cloudtune.plugins.entry_points import formats  # noqa: PLC0415

    if origin in formats():
        imported = load_format(origin).read(source, study=study)
    elif study or table:
        raise click.UsageError(f"--study and --trials have no meaning for {origin}")
    else:
        imported = _import_request(source, origin)
    notes = [str(note) for note in imported.notes]
    job = imported.job
    if table is not None:
        job = _with_table(imported, table, output)
    elif imported.trials:
        notes.append(f"{len(imported.trials)} finished trials: --trials known.csv lets the job learn from them")
    write_text(commented(notes, f"Made of {origin} {source}") + job.to_yaml(), notes, output)


def _import_request(source: str, origin: str) -> "Imported":
    from cloudtune.provider.requests import read_request  # noqa: PLC0415

    return read_request(_provider(origin), source)


def write_text(text: str, notes: list[str], output: Path | None) -> None:
    """Write the text to a file or stdout, and the notes to stderr unless the text is printed to a terminal."""
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, "utf-8")
        click.echo(f"wrote {output}", err=True)
    if output is not None or not sys.stdout.isatty():
        for note in notes:
            click.echo(f"note: {note}", err=True)


def commented(notes: Iterable[str], title: str) -> str:
    """Return notes as comment lines for the top of a YAML file; "" for none."""
    lines: list[str] = []
    for note in notes:
        plain = " ".join("".join(char if char.isprintable() else " " for char in note).split())
        wrapped = textwrap.wrap(plain, 115, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        lines += [f"# - {wrapped[0]}", *(f"# {line}" for line in wrapped[1:])]
    return "".join(f"{line}\n" for line in (f"# {title}. To know:", *lines)) if lines else ""


def _with_table(imported: "Imported", table: Path, output: Path | None) -> "TuningJob":
    """Write the finished trials to a table, and return the job with a warm start from it."""
    from cloudtune.results.tables import write_rows  # noqa: PLC0415
    from cloudtune.spec.job import WarmStart  # noqa: PLC0415

    if not imported.trials:
        raise click.UsageError("the source tells of no finished trials; leave --trials out")
    if table.suffix != ".csv":
        raise click.UsageError(f"--trials takes a file that ends in .csv, not {str(table)!r}")
    write_rows(imported.trials, str(table))
    click.echo(f"wrote {table}: {len(imported.trials)} trials", err=True)
    folder = Path() if output is None else output.parent
    place = Path(os.path.relpath(table, folder)).as_posix()
    return imported.job.model_copy(update={"warm_start": WarmStart(table=place)})


@click.command()
@job_argument
@click.option(
    "--to", "target", metavar="FORMAT", required=True, help="A profile or provider, or katib.", shell_complete=_complete
)
@click.option("--set", "overrides", metavar="PATH=VALUE", multiple=True, help="Override a field; repeatable.")
@output_file_option("The file; default: standard output.")
@click.option(
    "--upload", is_flag=True, help="Upload code and data and say where they are, so that other tools can launch it."
)
@click.option(
    "--as",
    "form",
    type=click.Choice(["request", "step"]),
    default="request",
    help="request: what the service's tuner is asked; step: a pipeline with that as its step.",
)
@force_option
def export(
    job_file: Path, target: str, overrides: tuple[str, ...], output: Path | None, *, upload: bool, form: str
) -> None:
    """Print a job as a service's own request (JSON, or YAML for Azure Machine Learning), or as Katib's Experiment.

    With --upload it can be launched as it stands: `aws sagemaker create-hyper-parameter-tuning-job --cli-input-json`,
    `gcloud ai hp-tuning-jobs create --config`, `az ml job create --file` (whose code is put beside the file).

    With --as step it is a pipeline with the tuning job as its only step, to be launched or taken over into yours: SageMaker's
    definition (JSON), Azure's pipeline job (YAML). --to kubeflow is a component of Kubeflow Pipelines that runs the job on
    any profile. In a pipeline nothing of cloudtune follows the job; what that takes away is printed.

    It holds the values of the job's environment variables, which a plan hides. `cloudtune plan` says what a provider
    makes of each field; what Katib cannot express is printed, and written into the first lines.

    \b
    Examples:
      cloudtune export job.yaml --to sagemaker --set trial.image=my/image:1
      cloudtune export job.yaml --to katib --set trial.image=my/image:1 -o experiment.yaml
      cloudtune export job.yaml --to sagemaker --as step --upload -o pipeline.json
    """
    from cloudtune.cli.jobfile import load_job  # noqa: PLC0415
    from cloudtune.interop.formats import load_format  # noqa: PLC0415
    from cloudtune.plugins.entry_points import formats  # noqa: PLC0415
    from cloudtune.provider.choosing import adapted_to  # noqa: PLC0415
    from cloudtune.provider.interface import Provider  # noqa: PLC0415

    job = load_job(job_file, list(overrides))
    if target in formats():
        if upload:
            raise click.UsageError(f"--upload has no meaning for {target}, whose images hold their code")
        found = load_format(target)
        if form == "step" and not found.is_step:
            raise click.UsageError(
                f"--as step has no meaning for {target}; --to kubeflow makes a component that runs the job"
            )
        exported = found.write(job)
        notes = [f"{note.path}: {note.support}: {note.message}" for note in exported.notes]
        write_text(commented(notes, f"Made of {job_file}") + _yaml(exported.data), notes, output)
        return
    provider = _provider(target, job_file.parent)
    if type(provider).to_native is Provider.to_native:
        see = shlex.join(["cloudtune", "plan", "--all", "--on", target])
        see = f"{see} {path_word(job_file)}"
        raise ConfigError(f"{provider.name} has no requests of its own; what it does with each field says: {see}")
    beside = Path() if output is None else output.parent
    provider = provider.in_region(provider.region_of(job))
    adapted = adapted_to(provider, job)
    adapted.refuse(provider.name)
    own = adapted.job
    request = provider.to_launch(own, job_file.parent.resolve(), beside) if upload else provider.to_native(own)
    notes = list(map(str, adapted.notes))
    if form == "step":
        plan = provider.plan(own)
        if plan.mode != "managed":
            raise ConfigError(
                f"cloudtune would drive this job on {provider.name}, and a pipeline has no driver: `cloudtune plan` says why; "
                "mode: managed refuses what needs one, and --to kubeflow makes a component that drives the job"
            )
        request = provider.to_step(own, request)
        notes += _unwatched(plan)
    as_json = provider.native_format == "json"
    text = json.dumps(request, indent=2, ensure_ascii=False) + "\n" if as_json else _yaml(request)
    write_text(text, [*notes, *_placeholder_notes(text)], output)


def _unwatched(plan: "Plan") -> list[str]:
    """Return a note for each field that the process which follows a run does, since a pipeline has none."""
    from cloudtune.planning.plan import Support  # noqa: PLC0415

    lost = [note for note in plan.notes if note.support in (Support.WATCHED, Support.APPROXIMATE)]
    return [
        f"{note.path}: lost in a pipeline, where nothing follows the run: {note.message}"
        if note.support is Support.WATCHED
        else str(note)
        for note in lost
    ]


_PLACEHOLDER = re.compile(r"\$\{(?:code|run|bucket|parameters|data:[^}]+)\}")


def _placeholder_notes(text: str) -> list[str]:
    """Return the note about placeholders in a request that are filled when cloudtune starts the run; [] for none."""
    places = sorted(set(_PLACEHOLDER.findall(text)))
    if not places:
        return []
    note = (
        "known when a run starts, which packs the code with the trial helper and uploads it; to launch the request with "
        "other tools, export it with --upload, or let the image start its own program"
    )
    return [f"{', '.join(places)}: {note}"]


def _yaml(data: object) -> str:
    import yaml  # noqa: PLC0415

    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)


def _provider(name: str, base: Path | None = None) -> "Provider":
    """Return the provider of a profile, resolved from the project's config and the config near the job's folder."""
    from cloudtune.plugins.entry_points import formats  # noqa: PLC0415
    from cloudtune.remote.resolving import resolve  # noqa: PLC0415

    try:
        return resolve(name, None, base)[0]
    except ConfigError as error:
        raise ConfigError(f"{error}; other formats are: {', '.join(formats())}") from None
