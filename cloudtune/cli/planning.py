"""The commands plan, check, providers and schema, which run nothing."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloudtune.cli.launching import complete_profiles, job_argument, on_option
from cloudtune.cli.output import force_option, output_file_option, print_json, print_table
from cloudtune.cli.plugin_troubles import of_all_but_providers, of_kinds, tell
from cloudtune.errors import ConfigError, UnsupportedError
from cloudtune.errors.masking import masked_data, masked_text
from cloudtune.store.projects import project_folder

if TYPE_CHECKING:
    from pydantic import JsonValue

    from cloudtune.planning.plan import Plan
    from cloudtune.provider.permissions import Mode
    from cloudtune.spec.job import TuningJob


@click.command()
@job_argument
@click.option("--on", metavar="PROFILE,…", help="One profile, or several to compare.", shell_complete=complete_profiles)
@click.option("--set", "overrides", metavar="PATH=VALUE", multiple=True, help="Override a field; repeatable.")
@click.option("--strict", is_flag=True, help="Refuse what a provider can only approximate.")
@click.option("--all", "every", is_flag=True, help="Show the fields that are carried exactly, too.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the plan, with its summary and the native request, as JSON."
)
def plan(
    job_file: Path, on: str | None, overrides: tuple[str, ...], *, strict: bool, every: bool, as_json: bool
) -> int:
    """Show what a provider will do with each field of a job; needs no network and no credentials.

    Exit code 3 if a provider refuses the job.

    \b
    Examples:
      cloudtune plan job.yaml
      cloudtune plan job.yaml --on local,ray
      cloudtune plan job.yaml --set limits.trials=100 --json
    """
    from cloudtune import api  # noqa: PLC0415
    from cloudtune.cli.jobfile import load_job, with_lines_of  # noqa: PLC0415
    from cloudtune.config import config_near  # noqa: PLC0415
    from cloudtune.planning.summary import summary  # noqa: PLC0415

    job = load_job(job_file, list(overrides))
    near = config_near(job_file.parent, project_folder())
    names = on.split(",") if on else [None]
    plans = {name or "default": api.plan(job, name, base=job_file.parent) for name in names}
    if as_json:
        data = {
            name: {"summary": summary(job, each).to_data(), "cost": _cost_data(job, each), **each.to_data()}
            for name, each in plans.items()
        }
        print_json(masked_data(next(iter(data.values())) if len(data) == 1 else data))
    elif len(plans) == 1:
        _print_plan(job, next(iter(plans.values())), near, every=every)
    else:
        _print_comparison(job, plans, near, every=every)
    refused = 0
    for each in plans.values():
        try:
            with with_lines_of(job_file):
                each.refuse(strict=strict or job.strict)
        except UnsupportedError as error:
            refused = error.exit_code
            click.echo(f"\n{error}", err=True)
    return refused


def _cost_data(job: "TuningJob", made: "Plan") -> "JsonValue":
    from cloudtune.costs.launching import estimate_of  # noqa: PLC0415

    found = estimate_of(job, made, project_folder())
    return None if found is None else found.to_data()


def _shown(path: str, value: object) -> str:
    if path.startswith("trial.environment."):
        return "***"
    text = value if isinstance(value, str) else ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    text = masked_text(text)
    if not sys.stdout.isatty():
        return text
    return text if len(text) <= 40 else text[:39] + "…"


def _print_plan(job: "TuningJob", made: "Plan", near: Path | None, *, every: bool) -> None:
    from cloudtune.driver.limits import default_cap  # noqa: PLC0415
    from cloudtune.planning.plan import Support, covers, leaves  # noqa: PLC0415
    from cloudtune.planning.summary import summary  # noqa: PLC0415

    rows, given, exact = [], list(leaves(job)), 0
    for path, value in given:
        support = made.support(path)
        notes = [note.message for note in made.notes if covers(note.path, path)]
        exact += support is Support.EXACT
        if every or support is not Support.EXACT:
            rows.append((path, _shown(path, value), support.value if support else "lost", "; ".join(notes)))
    rows += [
        (note.path, "not given", note.support.value, note.message)
        for note in made.notes
        if not any(covers(note.path, path) for path, _ in given)
    ]
    cap = default_cap(job, made.mode)
    if cap is not None:
        rows.append(("limits.failed", "not given", "watched" if made.mode == "managed" else "exact", cap))
    click.echo(f"{job.name} on {summary(job, made)}")
    _print_cost(job, made, near)
    if rows:
        print_table(("field", "value", "support", "what happens"), rows)
    if exact and not every:
        click.echo(f"{exact} more exact; see them with: --all")


def _print_cost(job: "TuningJob", made: "Plan", near: Path | None) -> None:
    from cloudtune.config import price_tables  # noqa: PLC0415
    from cloudtune.costs.launching import cost_line  # noqa: PLC0415
    from cloudtune.costs.suggestions import suggestions_of  # noqa: PLC0415

    project = project_folder()
    line = cost_line(job, made, project, suggestions_of(job, price_tables(project, near)))
    if line:
        click.echo(f"  {line}")


def _print_comparison(job: "TuningJob", plans: "dict[str, Plan]", near: Path | None, *, every: bool) -> None:
    from cloudtune.planning.plan import Support, leaves  # noqa: PLC0415
    from cloudtune.planning.summary import summary  # noqa: PLC0415

    for name, each in plans.items():
        click.echo(f"{name}: {summary(job, each)}")
        _print_cost(job, each, near)
    rows = [("mode", job.mode, *(each.mode for each in plans.values()))]
    rows += [
        (
            path,
            _shown(path, value),
            *(support.value if (support := each.support(path)) else "lost" for each in plans.values()),
        )
        for path, value in leaves(job)
        if path != "mode" and (every or any(each.support(path) is not Support.EXACT for each in plans.values()))
    ]
    print_table(("field", "value", *plans), rows)


@click.command()
@on_option
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--policy", is_flag=True, help="Print the least permissions that the profile needs, and check nothing.")
@click.option(
    "--for",
    "principal",
    type=click.Choice(["caller", "identity", "strategy"]),
    help="With --policy: only those of the account that starts runs, of the identity that trials run as, or of a driver whose "
    "strategy asks the service.",
)
@click.option(
    "--mode", type=click.Choice(["managed", "driven"]), help="With --policy: only those of runs in this mode."
)
def check(on: str | None, *, as_json: bool, policy: bool, principal: str | None, mode: "Mode | None") -> int:
    """Say what each profile (or one) needs and lacks; exit code 1 if something is missing.

    \b
    Examples:
      cloudtune check
      cloudtune check --on local
      cloudtune check --on team --policy > policy.json
      cloudtune check --on team --policy --for caller --mode driven
    """
    from cloudtune.config import load_profile, profiles  # noqa: PLC0415
    from cloudtune.provider.interface import Finding  # noqa: PLC0415
    from cloudtune.remote.resolving import provider_for  # noqa: PLC0415

    if policy:
        return _print_policy(on, principal, mode)
    if principal or mode:
        raise click.UsageError("--for and --mode go with --policy")
    project = project_folder()
    names = [on] if on else list({load_profile(None, project).name: 0, **profiles(project)})
    findings: dict[str, list[Finding]] = {}
    for name in names:
        try:
            profile = load_profile(name, project)
            findings[name] = provider_for(profile, project, None).check()
        except ConfigError as error:
            if on:
                raise
            findings[name] = [Finding("provider", ok=False, message=str(error))]
    if as_json:
        print_json(
            {
                name: [{"subject": each.subject, "ok": each.ok, "message": each.message} for each in found]
                for name, found in findings.items()
            }
        )
    else:
        marks = {True: "ok", False: "missing", None: "-"}
        rows = [
            (name, each.subject, marks[each.ok], each.message) for name, found in findings.items() for each in found
        ]
        print_table(("profile", "subject", "", "found"), rows)
    return int(any(each.ok is False for found in findings.values() for each in found))


def _print_policy(on: str | None, principal: str | None, mode: "Mode | None") -> int:
    """Print the least permissions of a profile in the form that the service's own tools read."""
    from cloudtune.config import load_profile  # noqa: PLC0415
    from cloudtune.remote.resolving import resolve  # noqa: PLC0415

    members = load_profile(on, project_folder()).members
    if members:
        each = " and ".join(f"--on {member.name}" for member in members)
        raise ConfigError(f"the profile is several, each with permissions of its own: ask for {each}")
    provider, _, _ = resolve(on, project_folder())
    policies = provider.policy(mode)
    if principal is not None and principal not in policies:
        raise ConfigError(f"the profile needs no policy for its {principal}: there is one for {' and '.join(policies)}")
    document = policies if principal is None else policies[principal]
    if provider.policy_format == "json":
        print_json(document)
        return 0
    import yaml  # noqa: PLC0415

    click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)
    return 0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def providers(*, as_json: bool) -> None:
    """List the providers that are installed, and the profiles of the config.

    Tells what is wrong with plug-ins of other packages, such as one that cannot be imported.

    \b
    Examples:
      cloudtune providers
      cloudtune providers --json
    """
    from cloudtune.config import profiles as configured  # noqa: PLC0415
    from cloudtune.plugins.entry_points import providers as installed  # noqa: PLC0415
    from cloudtune.provider.interface import load_provider  # noqa: PLC0415

    tell(of_all_but_providers())
    rows = []
    for name in installed():
        try:
            summary = load_provider(name).summary
        except ConfigError as error:
            summary = str(error)
        used = [profile.name for profile in configured(project_folder()).values() if profile.provider == name]
        rows.append((name, summary, ", ".join(used)))
    if as_json:
        print_json(
            [
                {"name": name, "summary": summary, "profiles": used.split(", ") if used else []}
                for name, summary, used in rows
            ]
        )
    else:
        print_table(("provider", "what it is", "profiles"), rows)


@click.command()
@output_file_option("Write it to this file.")
@click.option(
    "--catalog",
    is_flag=True,
    help="Print the entry of SchemaStore's catalogue instead: names of files, version, address.",
)
@force_option
def schema(output: Path | None, *, catalog: bool) -> None:
    """Print the JSON Schema of a job; its $id has its version.

    For completion in an editor, write it beside the job and begin the job with:
    # yaml-language-server: $schema=cloudtune.schema.json

    \b
    Examples:
      cloudtune schema
      cloudtune schema -o cloudtune.schema.json --force
      cloudtune schema --catalog
    """
    from cloudtune.spec.schema import catalogue_entry, job_schema  # noqa: PLC0415

    tell(of_kinds())
    text = json.dumps(catalogue_entry() if catalog else job_schema(), indent=2, ensure_ascii=False)
    if output is None:
        click.echo(text)
    else:
        output.write_text(text + "\n", "utf-8")
        click.echo(f"wrote {output}", err=True)
