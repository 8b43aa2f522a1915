"""import and export: a service's own requests, to jobs and back."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloudtune.cli.launching import complete_profiles, job_argument

if TYPE_CHECKING:
    from cloudtune.provider import Provider


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True, allow_dash=True))
@click.option(
    "--from", "source", metavar="PROVIDER", required=True, help="Whose request it is.", shell_complete=complete_profiles
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="The job file; default: standard output."
)
def import_(file: Path, source: str, output: Path | None) -> None:
    """Make a job of a service's own request (JSON or YAML; - for standard input).

    What the job's neutral fields cannot say stays under the provider's name; `cloudtune export` gives the same request
    again.
    """
    folder = None if str(file) == "-" else file.parent
    job = _provider(source).from_native(_data(file), folder)
    text = job.to_yaml()
    if output is None:
        click.echo(text, nl=False)
        return
    output.write_text(text, "utf-8")
    native = sorted(job.native_settings(_provider(source).name))
    kept = f"; settings of {source} alone: {', '.join(native)}" if native else ""
    click.echo(f"wrote {output}{kept}", err=True)


@click.command()
@job_argument
@click.option(
    "--to", "target", metavar="PROFILE", required=True, help="Whose request to print.", shell_complete=complete_profiles
)
@click.option("--set", "overrides", metavar="PATH=VALUE", multiple=True, help="Override a field; repeatable.")
def export(job_file: Path, target: str, overrides: tuple[str, ...]) -> None:
    """Print a job as a service's own request: JSON, or the YAML of Azure Machine Learning's command line.

    It holds the values of the job's environment variables, which a plan hides.
    """
    import yaml  # noqa: PLC0415

    from cloudtune.cli.jobfile import load_job  # noqa: PLC0415

    job = load_job(job_file, list(overrides))
    provider = _provider(target, job_file.parent)
    request = provider.to_native(job)
    if provider.native_format == "yaml":
        click.echo(yaml.safe_dump(request, sort_keys=False, allow_unicode=True, width=120), nl=False)
    else:
        click.echo(json.dumps(request, indent=2, ensure_ascii=False))


def _provider(name: str, near: Path | None = None) -> "Provider":
    from cloudtune.config import load_profile, mounts, project_folder  # noqa: PLC0415
    from cloudtune.provider import load_provider  # noqa: PLC0415

    project = project_folder(near)
    profile = load_profile(name, project)
    return load_provider(profile.provider)(profile.settings, mounts(project))


def _data(file: Path) -> Any:  # plain data of any shape
    """The data of a JSON or YAML file; YAML is read as the services' own tools read it."""
    import yaml  # noqa: PLC0415

    from cloudtune.errors import Problem, SpecError  # noqa: PLC0415

    text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    try:
        return json.loads(text)
    except ValueError as error:
        if text.lstrip().startswith(("{", "[")):
            place = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
            raise SpecError([Problem("", f"is not JSON: {error}{place}")], str(file)) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecError([Problem("", f"is neither JSON nor YAML: {error}")], str(file)) from None
