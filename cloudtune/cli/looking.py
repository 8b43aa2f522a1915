"""The commands ls, show, trials, best, logs, fetch and report, which show runs and their results."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloudtune.cli.choosing import complete_orders, completing, in_order, known_states, trial_states
from cloudtune.cli.launching import run_argument
from cloudtune.cli.output import (
    best_lines,
    cell,
    force_option,
    moment,
    new_path,
    output_file_option,
    parameters,
    print_json,
    print_table,
)
from cloudtune.costs.views import currency_of, trial_cost
from cloudtune.errors import CloudtuneError, DamagedRun, StoreError
from cloudtune.looking.data import best_text, nearest_data, run_data, seen_text, trial_data
from cloudtune.looking.once import ReadOnce
from cloudtune.looking.words import counts_text, scalar
from cloudtune.plugins.entry_points import pools
from cloudtune.results.constraints import feasible_text, nothing_feasible, reason_of
from cloudtune.spec.units import brief_duration
from cloudtune.store.commands import as_read_here, command, command_in, path_word
from cloudtune.store.projects import known_projects, project_folder, remember
from cloudtune.store.records import TrialState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cloudtune.results.confirmation import Confirmed
    from cloudtune.run import Run
    from cloudtune.store.records import Trial

_FORMATS = "table, json, csv, parquet, or a file FILE.csv, FILE.parquet, FILE.json"
json_option = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
_format_option = click.option(
    "--output", "-o", metavar="FORMAT|FILE", default="table", callback=new_path, help=f"{_FORMATS}."
)


def output_option(command: "Callable[..., object]") -> "Callable[..., object]":
    """Add to a command the options --output, for a table, and --force."""
    return _format_option(force_option(command))


def _attach(run_id: str) -> "Run":
    """Return the run, refreshed from its service if that answers within seconds."""
    return _attach_and_refresh(run_id)[0]


def _attach_and_refresh(run_id: str) -> "tuple[Run, str]":
    """Return the run, refreshed, and why that failed ("" for no problem), which is printed to stderr."""
    from cloudtune import api  # noqa: PLC0415

    made = api.attach(run_id)
    trouble = _asked([made]).get(made.id, "")
    if trouble:
        click.echo(f"{made.id}: {seen_text(made.record, trouble)}", err=True)
    return made, trouble


def _asked(runs: "Sequence[Run]") -> dict[str, str]:
    """Refresh runs as far as their services can be reached within a second of the command's start; return why some were not."""
    from cloudtune.looking.asking import ask  # noqa: PLC0415

    return ask(runs, since=click.get_current_context().obj)


@click.command()
@click.option("--all-projects", is_flag=True, help="Those of every project that you used, with its folder.")
@json_option
@output_option
def ls(*, all_projects: bool, as_json: bool, output: str) -> None:
    """List the runs of this project, the newest first.

    A run that a service keeps is asked for; where that tells nothing in a moment, the run is shown as it was last seen.

    \b
    Examples:
      cloudtune ls
      cloudtune ls --all-projects
      cloudtune -C ~/digits ls --json
    """
    here = project_folder()
    projects = list(dict.fromkeys([here, *known_projects()])) if all_projects else [here]
    runs, damaged = _runs_in(projects)
    if (runs or damaged) and not all_projects:
        remember(here)
    troubles = _asked([each.run for each in runs])
    if as_json or output != "table":
        rows = [_run_row(each.run, troubles) for each in runs]
        rows += [_damaged_data(error, folder) for folder, error in damaged]
        _write(rows, "json" if as_json else output)
    elif runs or damaged:
        _print_runs(runs, damaged, troubles, all_projects=all_projects)
    else:
        hint = "" if all_projects else "; those of other folders: cloudtune ls --all-projects"
        click.echo(f"no runs yet; start one with: {_first_command(here)}{hint}", err=True)


def _run_row(run: "Run", troubles: "Mapping[str, str]") -> dict[str, object]:
    return {**run_data(run.record, troubles.get(run.id, "")), "project": str(run.project)}


def _first_command(project: Path) -> str:
    """Return the command to type in a project without runs: run its ``job.yaml``, or init without one."""
    job = project / "job.yaml"
    if not job.is_file():
        return "cloudtune init" if project == Path.cwd() else f"cloudtune init {path_word(project)}"
    near = job.relative_to(Path.cwd()) if job.is_relative_to(Path.cwd()) else job
    return f"{command_in(project, 'run')} {path_word(near)}"


def _runs_in(projects: "Sequence[Path]") -> "tuple[list[ReadOnce], list[tuple[Path, DamagedRun]]]":
    """Return the runs of some projects, and the errors of runs that cannot be shown, since they are damaged, with their projects.

    Raises:
        StoreError: the only project's store cannot be read; of several projects, the error is printed to stderr.
    """
    from cloudtune import api  # noqa: PLC0415
    from cloudtune.store.store import Store  # noqa: PLC0415

    runs: list[ReadOnce] = []
    damaged: list[tuple[Path, DamagedRun]] = []
    for project in projects:
        try:
            store = Store(project)
            for record in store.records():
                try:
                    made = api.attach(record.id, project=project)
                    _ = made.plan, made.events()
                    runs.append(ReadOnce(made))
                except DamagedRun as error:
                    damaged.append((project, error))
            damaged += [(project, error) for error in store.damaged()]
        except StoreError as error:
            if len(projects) == 1:
                raise
            click.echo(f"{project}: {error}", err=True)
    return runs, damaged


def _damaged_data(error: "DamagedRun", project: "Path") -> dict[str, object]:
    return {"id": error.run_id, "state": "damaged", "reason": str(error), "project": str(project)}


def _print_runs(
    runs: "Sequence[ReadOnce]",
    damaged: "Sequence[tuple[Path, DamagedRun]]",
    troubles: "Mapping[str, str]",
    *,
    all_projects: bool,
) -> None:
    rows: list[tuple[object, ...]] = []
    for known in runs:
        run, read = known.run, known if known.record.state.ended else ReadOnce(known.run)
        record, cost = read.record, read.cost
        notes = [seen_text(record, troubles[record.id])] if record.id in troubles else []
        notes += [str(run.project)] if all_projects else []
        when, took = moment(record.created), brief_duration(record.elapsed)
        spent = "" if cost is None else str(cost)
        rows.append(
            (
                record.id,
                record.where,
                record.state.value,
                when,
                took,
                sum(read.counts.values()),
                spent,
                best_text(read, cell),
                "; ".join(notes),
            )
        )
    for project, error in damaged:
        todo = f"see: {command('show', error.run_id, project)}"
        rows.append((error.run_id, "", "damaged", "", "", "", "", "", f"{todo}; {project}" if all_projects else todo))
    columns = ["run", "on", "state", "created", "took", "trials", "cost", "best", ""]
    kept = [at for at, name in enumerate(columns) if name not in ("cost", "") or any(row[at] for row in rows)]
    shown = [[row[at] for at in kept] for row in rows]
    print_table([columns[at] for at in kept], shown, right=("took", "trials", "cost"))


def _confirmed(known: "Mapping[int, Confirmed]") -> "list[dict[str, object]]":
    return [each.to_data() for each in known.values()]


@click.command()
@run_argument
@json_option
def show(run_id: str, *, as_json: bool) -> None:
    """Show a run: its state, counts, best trial, and what happened.

    \b
    Examples:
      cloudtune show
      cloudtune show latest --json
    """
    from cloudtune.store.enqueued import shown  # noqa: PLC0415

    made, trouble = _attach_and_refresh(run_id)
    read = ReadOnce(made)
    record, best, cost = read.record, read.best, read.cost
    if as_json:
        events = [{"time": when, "trial": trial, "message": message} for when, trial, message in made.events()]
        data = {
            **run_data(record, trouble),
            "project": str(made.project),
            "strategy": _strategy(made),
            "counts": read.counts,
            "cost": cost and cost.to_data(),
            "enqueued": made.enqueued,
        }
        best_data = best and trial_data(best, record, made.job)
        print_json(
            {**data, "best": best_data, **nearest_data(made), "confirmed": _confirmed(read.confirmed), "events": events}
        )
        return
    reason = as_read_here(record.reason, record.id, made.project)
    why = f" ({reason})" if reason else ""
    lines = [
        ("run", record.id),
        ("job", f"{record.name} on {record.where}"),
        ("state", f"{record.state.value}{why}"),
        *([("seen", seen_text(record, trouble))] if trouble else []),
        ("created", moment(record.created)),
        ("took", brief_duration(record.elapsed)),
        *([] if cost is None else [("cost", str(cost))]),
        ("strategy", _strategy(made)),
        ("trials", counts_text(read.counts)),
        *(("enqueued", shown(given)) for given in made.enqueued),
        ("folder", str(made.folder)),
    ]
    for name, value in lines:
        click.echo(f"{name:<9}{value}")
    if best is not None:
        click.echo("best     " + "\n         ".join(best_lines(best, made.job.objective, read.confirmed)))
    if nothing := nothing_feasible(made.job.objective, made.job.constraints, read.contenders):
        click.echo(f"best     {nothing}")
    for when, trial, message in made.events()[-10:]:
        text = as_read_here(message, record.id, made.project)
        click.echo(f"  {moment(when)}  {text if trial is None else f'trial {trial}: {text}'}")


def _strategy(run: "Run") -> str:
    """Return the strategy of a run, and why it was chosen where the job left that to cloudtune."""
    from cloudtune.planning.plan import CHOSEN  # noqa: PLC0415  # listing trials needs no plan

    return next((note.message for note in run.plan.notes if note.path == CHOSEN), run.job.strategy.type)


@click.command()
@run_argument
@click.option(
    "--sort",
    metavar="METRIC",
    default="number",
    help="number, duration, cost, state or a metric; the best first.",
    shell_complete=complete_orders,
)
@click.option(
    "--state",
    "states",
    multiple=True,
    metavar="STATE",
    callback=known_states,
    help="Only trials in this state; repeatable.",
    shell_complete=completing(trial_states),
)
@click.option("--limit", type=click.IntRange(min=0), help="At most so many.")
@click.option("--skip", type=click.IntRange(min=0), default=0, help="Leave out so many of the first.")
@click.option("--reports", is_flag=True, help="List what they reported on the way instead: their learning curves.")
@json_option
@output_option
def trials(
    run_id: str,
    sort: str,
    states: tuple[str, ...],
    limit: int | None,
    skip: int,
    *,
    reports: bool,
    as_json: bool,
    output: str,
) -> None:
    """List the trials of a run.

    \b
    Examples:
      cloudtune trials --state completed --sort loss --limit 5
      cloudtune trials --limit 100 --skip 200
      cloudtune trials --reports -o reports.csv
    """
    made = _attach(run_id)
    chosen = [TrialState(state) for state in states]
    if sort == "number":
        found = made.page(*chosen, limit=limit, skip=skip)
    else:
        found = in_order(made, made.page(*chosen), sort)[skip:][:limit]
    if reports:
        _write_reports(made, found, "json" if as_json else output)
    elif as_json or output == "json":
        record = made.record
        print_json([trial_data(trial, record, made.job) for trial in found])
    elif output == "table":
        _print_trials(made, found)
    else:
        from cloudtune.results.tables import trial_rows  # noqa: PLC0415

        _write(trial_rows(found, made.job.constraints), output)


def _write_reports(made: "Run", found: "Sequence[Trial]", output: str) -> None:
    from cloudtune.results.tables import report_rows  # noqa: PLC0415

    rows = report_rows(report for trial in found for report in made.reports(trial.number))
    if output != "table":
        _write(rows, output)
        return
    metrics = [key for key in (rows[0] if rows else {}) if key.startswith("metrics_")]
    shown = [(row["number"], row["attempt"], row["step"], *(_cell(row[metric]) for metric in metrics)) for row in rows]
    columns = ("trial", "attempt", "step", *(metric.removeprefix("metrics_") for metric in metrics))
    print_table(columns, shown, right=columns)


def _cell(value: object) -> str:
    return cell(value) if isinstance(value, float | int) else ""


def _print_trials(made: "Run", found: "Sequence[Trial]") -> None:
    metrics, constraints = [each.metric for each in made.job.measured], made.job.constraints
    names = list(made.job.space)
    several = made.record.provider in pools()
    repeats = any(trial.repeat_of is not None for trial in found)
    currency, own = currency_of(found), any(trial.origin for trial in found)
    rows = [
        (
            trial.number, *(["" if trial.repeat_of is None else trial.repeat_of] if repeats else []), *([trial.place.partition(":")[0]] if several else []), trial.state.value, *(cell(trial.metrics.get(metric)) for metric in metrics),
            *(scalar(trial.parameters[name]) if name in trial.parameters else "" for name in names),
            brief_duration(trial.duration), *([trial_cost(trial)] if currency else []), *([trial.origin] if own else []),
            *([feasible_text(constraints, trial)] if constraints else []), reason_of(constraints, trial),
        )
        for trial in found
    ]  # fmt: skip
    spent = "cost" if "cost" not in (*metrics, *names) else "spent"
    columns = (
        "trial",
        *(["repeats"] if repeats else []),
        *(["on"] if several else []),
        "state",
        *metrics,
        *names,
        "took",
        *([spent] if currency else []),
        *(["from"] if own else []),
        *(["feasible"] if constraints else []),
        "why",
    )
    print_table(columns, rows, right=("trial", "repeats", *metrics, "took", spent))


@click.command()
@run_argument
@json_option
@click.option("--params-only", is_flag=True, help="Print the parameters alone, as JSON.")
def best(run_id: str, *, as_json: bool, params_only: bool) -> int:
    """Print the best trial of a run; for several objectives the trials that no other beats. With constraints, of the feasible ones.

    \b
    Examples:
      cloudtune best
      cloudtune best --params-only
    """
    made = _attach(run_id)
    read = ReadOnce(made)
    top = read.front if len(made.job.objective) > 1 else [trial for trial in [read.best] if trial is not None]
    if not top and (nothing := nothing_feasible(made.job.objective, made.job.constraints, read.contenders)):
        raise CloudtuneError(f"{made.id} has no best trial: {nothing}; see: {command('trials', made.id, made.project)}")
    if not top:
        raise CloudtuneError(f"{made.id} has no completed trial yet; see: {command('trials', made.id, made.project)}")
    record, several = read.record, len(made.job.objective) > 1
    if params_only:
        print_json([trial.parameters for trial in top] if several else top[0].parameters)
    elif as_json:
        confirmed = {number: each.to_data() for number, each in read.confirmed.items()}
        found = [{**trial_data(trial, record, made.job), "confirmed": confirmed.get(trial.number)} for trial in top]
        print_json(found if several else found[0])
    else:
        click.echo("\n".join(line for trial in top for line in best_lines(trial, made.job.objective, read.confirmed)))
    return 0


@click.command()
@run_argument
@click.argument("trial", type=int, required=False)
@click.option("--follow", "-f", is_flag=True, help="Go on printing until the trial has ended.")
def logs(run_id: str, trial: int | None, *, follow: bool) -> None:
    """Print what a trial printed: of the latest run if RUN is left out; of its last failed or last trial if TRIAL is.

    \b
    Examples:
      cloudtune logs
      cloudtune logs 3 --follow
    """
    from cloudtune import api  # noqa: PLC0415

    if trial is None and run_id.isdecimal():
        run_id, trial = "latest", int(run_id)
    made = _attach(run_id) if trial is None or follow else api.attach(run_id)
    chosen = _interesting(made) if trial is None else trial
    for line in made.logs(chosen, follow=follow):
        click.echo(line)


@click.command()
@run_argument
@click.option("--trial", "-t", type=int, help="Its number; default: the best.")
@click.option(
    "--output",
    "-o",
    callback=new_path,
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder; default RUN-TRIAL.",
)
@force_option
def fetch(run_id: str, trial: int | None, output: Path | None) -> None:
    """Copy what a trial left (its model, its outputs) into a folder.

    \b
    Examples:
      cloudtune fetch
      cloudtune fetch --trial 3 -o model
    """
    made = _attach(run_id)
    best = made.best
    chosen = best.number if trial is None and best is not None else trial
    if chosen is None:
        raise CloudtuneError(f"{made.id} has no single best trial; choose one with --trial")
    target = output or Path(f"{made.id}-{chosen}")
    files = made.fetch(chosen, target)
    click.echo(f"{len(files)} file{'s' if len(files) != 1 else ''} of trial {chosen} in {target}", err=True)


def _interesting(made: "Run") -> int:
    started = [trial for trial in made.trials() if trial.attempt]
    if not started:
        raise CloudtuneError(f"no trial of {made.id} has started yet")
    failed = [trial for trial in started if trial.state.value == "failed"]
    chosen = (failed or started)[-1]
    click.echo(f"trial {chosen.number} ({chosen.state.value}): {parameters(chosen)}", err=True)
    return chosen.number


@click.command()
@run_argument
@output_file_option("The file; default RUN.html.", printed=False)
@json_option
@force_option
def report(run_id: str, output: Path | None, *, as_json: bool) -> None:
    """Write a run's report: one HTML page that needs no network.

    \b
    Examples:
      cloudtune report
      cloudtune report -o report.html --force
    """
    made = _attach(run_id)
    path = made.report(output or Path(f"{made.id}.html"))
    if as_json:
        print_json({"run": made.id, "emulated": made.record.emulated, "report": str(path)})
    else:
        click.echo(f"wrote {path}", err=True)


def _write(rows: "list[dict[str, object]]", output: str) -> None:
    from cloudtune.results.tables import write_rows  # noqa: PLC0415

    if output == "json":
        print_json(rows)
        return
    path = write_rows(rows, output)
    if path is not None:
        click.echo(f"wrote {path}", err=True)
