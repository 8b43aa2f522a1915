"""ls, show, trials, best, logs, report: what there is to see of runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloudtune.cli.launching import run_argument
from cloudtune.cli.output import (
    best_lines,
    counts_text,
    duration,
    force_option,
    moment,
    new_path,
    number,
    parameters,
    print_json,
    print_table,
    run_data,
    scalar,
    trial_data,
)
from cloudtune.config import SEVERAL
from cloudtune.errors import CloudtuneError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cloudtune.run import Run
    from cloudtune.states import Trial

_FORMATS = "table, json, csv, parquet, or a file FILE.csv, FILE.parquet, FILE.json"
json_option = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
_format_option = click.option(
    "--output", "-o", metavar="FORMAT|FILE", default="table", callback=new_path, help=f"{_FORMATS}."
)


def output_option(command: "Callable[..., object]") -> "Callable[..., object]":
    """The options that say where a table goes, and whether a file that is there may be replaced."""
    return _format_option(force_option(command))


def _attach(run_id: str) -> "Run":
    from cloudtune import api  # noqa: PLC0415

    return api.attach(run_id)


@click.command()
@json_option
@output_option
def ls(*, as_json: bool, output: str) -> None:
    """List the runs of this project, the newest first."""
    from cloudtune import api  # noqa: PLC0415

    runs = [api.attach(record.id) for record in api.runs()]
    if as_json or output != "table":
        _write([run_data(run.refreshed()) for run in runs], "json" if as_json else output)
        return
    if not runs:
        click.echo("no runs yet; start one with: cloudtune run job.yaml", err=True)
        return
    rows = []
    for run in runs:
        record = run.refreshed()
        when, took = moment(record.created), duration(record.elapsed)
        rows.append((record.id, record.profile, record.state.value, when, took, sum(run.counts().values()), _best(run)))
    print_table(("run", "on", "state", "created", "took", "trials", "best"), rows, right=("took", "trials"))


def _best(run: "Run") -> str:
    """The best trial's objective, or how many trials are on the front of several."""
    objectives, best = run.job.objective, run.best
    if best is not None:
        return ", ".join(f"{each.metric} = {number(best.metrics.get(each.metric))}" for each in objectives)
    return f"{len(run.front)} on the front" if len(objectives) > 1 else ""


@click.command()
@run_argument
@json_option
def show(run_id: str, *, as_json: bool) -> None:
    """Show a run: its state, counts, best trial, and what happened."""
    made = _attach(run_id)
    record, counts, best = made.refreshed(), made.counts(), made.best
    if as_json:
        events = [{"time": when, "trial": trial, "message": message} for when, trial, message in made.events()]
        print_json({**run_data(record), "counts": counts, "best": best and trial_data(best), "events": events})
        return
    why = f" ({record.reason})" if record.reason else ""
    lines = [
        ("run", record.id),
        ("job", f"{record.name} on {record.profile}"),
        ("state", f"{record.state.value}{why}"),
        ("created", moment(record.created)),
        ("took", duration(record.elapsed)),
        ("trials", counts_text(counts)),
        ("folder", str(made.folder)),
    ]
    for name, text in lines:
        click.echo(f"{name:<9}{text}")
    if best is not None:
        click.echo("best     " + "\n         ".join(best_lines(best, made.job.objective)))
    for when, trial, message in made.events()[-10:]:
        click.echo(f"  {moment(when)}  {message if trial is None else f'trial {trial}: {message}'}")


@click.command()
@run_argument
@click.option("--sort", metavar="METRIC", default="number", help="number, duration, state or a metric; the best first.")
@click.option("--state", "states", multiple=True, metavar="STATE", help="Only trials in this state; repeatable.")
@click.option("--limit", type=int, help="At most so many.")
@click.option("--reports", is_flag=True, help="List what they reported on the way instead: their learning curves.")
@json_option
@output_option
def trials(
    run_id: str, sort: str, states: tuple[str, ...], limit: int | None, *, reports: bool, as_json: bool, output: str
) -> None:
    """List the trials of a run."""
    made = _attach(run_id)
    found = [trial for trial in made.trials() if not states or trial.state.value in states]
    found = _sorted(made, found, sort)[:limit]
    if reports:
        _write_reports(made, found, "json" if as_json else output)
    elif as_json or output == "json":
        print_json([trial_data(trial) for trial in found])
    elif output == "table":
        _print_trials(made, found)
    else:
        from cloudtune.tables import trial_rows  # noqa: PLC0415

        _write(trial_rows(found), output)


def _write_reports(made: "Run", found: "Sequence[Trial]", output: str) -> None:
    from cloudtune.tables import report_rows  # noqa: PLC0415

    rows = report_rows(report for trial in found for report in made.reports(trial.number))
    if output != "table":
        _write(rows, output)
        return
    metrics = [key for key in (rows[0] if rows else {}) if key.startswith("metrics_")]
    shown = [(row["number"], row["attempt"], row["step"], *(_cell(row[metric]) for metric in metrics)) for row in rows]
    columns = ("trial", "attempt", "step", *(metric.removeprefix("metrics_") for metric in metrics))
    print_table(columns, shown, right=columns)


def _cell(value: object) -> str:
    return number(value) if isinstance(value, float | int) else ""


def _sorted(made: "Run", found: "list[Trial]", sort: str) -> "list[Trial]":
    if sort == "number":
        return found
    if sort == "duration":
        return sorted(found, key=lambda trial: -(trial.duration or 0))
    if sort == "state":
        return sorted(found, key=lambda trial: trial.state.value)
    known = sorted({name for trial in found for name in trial.metrics})
    if sort not in known:
        raise click.UsageError(
            f"no trial has a metric {sort!r}; known are: number, duration, state, {', '.join(known)}"
        )
    upward = any(each.metric == sort and each.goal == "maximize" for each in made.job.objective)
    return sorted(
        found,
        key=lambda trial: (sort not in trial.metrics, (-1 if upward else 1) * trial.metrics.get(sort, 0.0)),
    )


def _print_trials(made: "Run", found: "Sequence[Trial]") -> None:
    metrics = [each.metric for each in made.job.objective]
    names = list(made.job.space)
    several = made.record.provider == SEVERAL
    rows = [
        (
            trial.number, *([trial.place.partition(":")[0]] if several else []), trial.state.value, *(number(trial.metrics.get(metric)) for metric in metrics),
            *(scalar(trial.parameters[name]) if name in trial.parameters else "" for name in names),
            duration(trial.duration), trial.reason,
        )
        for trial in found
    ]  # fmt: skip
    columns = ("trial", *(["on"] if several else []), "state", *metrics, *names, "took", "why")
    print_table(columns, rows, right=("trial", *metrics, "took"))


@click.command()
@run_argument
@json_option
@click.option("--params-only", is_flag=True, help="Print the parameters alone, as JSON.")
def best(run_id: str, *, as_json: bool, params_only: bool) -> int:
    """Print the best trial of a run; for several objectives the trials that no other beats."""
    made = _attach(run_id)
    top = made.front if len(made.job.objective) > 1 else [trial for trial in [made.best] if trial is not None]
    if not top:
        raise CloudtuneError(f"{made.id} has no completed trial yet; see: cloudtune trials {made.id}")
    several = len(made.job.objective) > 1
    if params_only:
        print_json([trial.parameters for trial in top] if several else top[0].parameters)
    elif as_json:
        print_json([trial_data(trial) for trial in top] if several else trial_data(top[0]))
    else:
        click.echo("\n".join(line for trial in top for line in best_lines(trial, made.job.objective)))
    return 0


@click.command()
@run_argument
@click.argument("trial", type=int, required=False)
@click.option("--follow", "-f", is_flag=True, help="Go on printing until the trial has ended.")
def logs(run_id: str, trial: int | None, *, follow: bool) -> None:
    """Print what a trial printed: of the latest run if RUN is left out; of its last failed or last trial if TRIAL is."""
    if trial is None and run_id.isdecimal():
        run_id, trial = "latest", int(run_id)
    made = _attach(run_id)
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
    """Copy what a trial left (its model, its outputs) into a folder."""
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
@click.option(
    "--output",
    "-o",
    callback=new_path,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file; default RUN.html.",
)
@json_option
@force_option
def report(run_id: str, output: Path | None, *, as_json: bool) -> None:
    """Write a run's report: one HTML page that needs no network."""
    made = _attach(run_id)
    path = made.report(output or Path(f"{made.id}.html"))
    if as_json:
        print_json({"run": made.id, "report": str(path)})
    else:
        click.echo(f"wrote {path}", err=True)


def _write(rows: "list[dict[str, object]]", output: str) -> None:
    from cloudtune.tables import write_rows  # noqa: PLC0415

    if output == "json":
        print_json(rows)
        return
    path = write_rows(rows, output)
    if path is not None:
        click.echo(f"wrote {path}", err=True)
