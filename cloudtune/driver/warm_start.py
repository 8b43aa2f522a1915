"""Read what a job's ``warm_start`` names: trials of earlier runs, and tables of known trials."""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from cloudtune.errors import Problem, SpecError
from cloudtune.results.objectives import losses
from cloudtune.search import KnownTrial, Search
from cloudtune.space.completing import on_axis, why_impossible
from cloudtune.space.parameters import Scalar
from cloudtune.space.space import Space
from cloudtune.spec.job import TuningJob, WarmStart
from cloudtune.store.finding import find_run, refuse_shortened
from cloudtune.store.records import TrialState

_FILE = "earlier.json"
_READERS = (".csv", ".json", ".jsonl")


def known_trials(job: TuningJob, project: Path, base: Path) -> list[KnownTrial]:
    """Return the known trials that the job's ``warm_start`` names; those of a table without results are WAITING.

    Args:
        job: the spec.
        project: the folder whose store is searched first for the earlier runs; see `cloudtune.store.finding.find_run`.
        base: the folder that the table's path is relative to.

    Raises:
        RunNotFound: there is no such run.
        SpecError: the table cannot be read, has no column for an objective, or a row without a result cannot be run.
    """
    if job.warm_start is None:
        return []
    known = []
    for run_id in job.warm_start.runs:
        run = find_run(run_id, project)
        refuse_shortened(run_id, run.id)
        ended = [trial for trial in run.trials() if trial.state.ended]
        known += [KnownTrial(trial.parameters, trial.metrics, trial.state, run_id) for trial in ended]
    return known + (_of_table(job, base) if job.warm_start.table is not None else [])


def keep(folder: Path, known: Sequence[KnownTrial]) -> None:
    """Write the known trials to the folder of a new run, so that a resumed driver uses the same."""
    if known:
        (folder / _FILE).write_text(json.dumps([asdict(trial) for trial in known]))


def kept(folder: Path) -> list[KnownTrial]:
    """Return the known trials that `keep` wrote; none if it wrote none."""
    try:
        rows = json.loads((folder / _FILE).read_text())
    except FileNotFoundError:
        return []
    return [KnownTrial(**{**row, "state": TrialState(row["state"])}) for row in rows]


def learn(search: Search, job: TuningJob, known: Sequence[KnownTrial]) -> str:
    """Have a search learn from the known trials of a job, and begin with those that were not run; return what it did."""
    count = search.learn(known, transfer=job.warm_start is not None and job.warm_start.kind == "transfer")
    ended = sum(trial.state.ended for trial in known)
    begun = f"begins with the {len(known) - ended} trials of the table that have no result"
    learnt = f"learnt from {count} of {ended} trials of earlier runs"
    return "; ".join([learnt] * (ended > 0) + [begun] * (ended < len(known)))


# Tables


def table_problems(warm: WarmStart, base: Path) -> list[Problem]:
    """Return the problems with the path of a job's table."""
    if warm.table is None:
        return []
    path = base / warm.table
    if path.suffix not in _READERS:
        return [Problem("warm_start.table", f"{warm.table!r} is none of {', '.join(_READERS)}")]
    return [] if path.is_file() else [Problem("warm_start.table", f"there is no file {warm.table!r} in {base}")]


def _of_table(job: TuningJob, base: Path) -> list[KnownTrial]:
    assert job.warm_start is not None
    table = job.warm_start.table
    assert table is not None
    if problems := table_problems(job.warm_start, base):
        raise SpecError(problems, "the job")
    space = job.search_space()
    metrics = [objective.metric for objective in job.objective]
    known: list[KnownTrial] = []
    rows = list(_rows(base / table))
    _refuse_without_metrics(table, rows, metrics)
    for line, row in rows:
        if all(row.get(metric) in (None, "") for metric in metrics):
            known.append(KnownTrial(_to_run(space, line, table, row), {}, TrialState.WAITING, table))
            continue
        numbers = {metric: _number(row[metric]) for metric in metrics}
        numbers |= {each.metric: _number(row[each.metric]) for each in job.constraints if each.metric in row}
        state = TrialState.COMPLETED if losses(job.objective, numbers) is not None else TrialState.FAILED
        known.append(KnownTrial(_parameters(space, row), numbers, state, table))
    return known


def _refuse_without_metrics(
    table: str, rows: Sequence[tuple[str, Mapping[str, Scalar]]], metrics: Sequence[str]
) -> None:
    """Raise SpecError for an objective that no row knows, or that one with the result of another objective lacks."""
    for metric in metrics:
        lacking = [line for line, row in rows if metric not in row and any(other in row for other in metrics)]
        if lacking or (rows and not any(metric in row for _, row in rows)):
            message = f"{(lacking or [rows[0][0]])[0]} of {table} has no {metric!r}, which is an objective"
            raise SpecError([Problem("warm_start.table", message)], "the job")


def _to_run(space: Space, line: str, table: str, row: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the parameters of a row without a result, which is a trial to run.

    Raises:
        SpecError: a cell is no value of its parameter, or no trial of the space has these values.
    """
    given = {name: _meant(space, name, row[name]) for name in space.names if _is_given(space, name, row.get(name, ""))}
    why = [f"{name}: {message}" for name, message in why_impossible(space, given)] if given else ["it gives no value"]
    if why:
        message = f"{line} of {table} has no result, and cannot be run: {'; '.join(why)}"
        raise SpecError([Problem("warm_start.table", message)], "the job")
    return given


def _is_given(space: Space, name: str, cell: Scalar) -> bool:
    """Return whether a cell says something: an empty one does not, nor null unless it is a value of the parameter."""
    nothing = any(on_axis(each, None) is not None for each in space.dimensions if each.name == name)
    return cell != "" and (cell is not None or nothing)


def _meant(space: Space, name: str, cell: Scalar) -> Scalar:
    """Return the value of a parameter that a cell denotes; another meaning of the cell where it denotes none."""
    meanings = list(_meanings(cell))
    found = (on_axis(each, meaning) for each in space.dimensions if each.name == name for meaning in meanings)
    return next((value[0] for value in found if value is not None), meanings[-1])


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Scalar]]]:
    """Yield the rows of a table, each with its name for messages."""
    text = path.read_text("utf-8-sig")
    try:
        if path.suffix == ".csv":
            for number, row in enumerate(csv.DictReader(text.splitlines(), strict=True), 2):
                yield f"line {number}", row
            return
        whole = json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.split("\n") if line]
    except (csv.Error, json.JSONDecodeError) as error:
        raise SpecError([Problem("warm_start.table", f"{path.name} cannot be read: {error}")], "the job") from None
    if not isinstance(whole, list) or not all(isinstance(row, dict) for row in whole):
        message = f"{path.name} is no list of trials; write [{{parameter: value, …, metric: value}}, …]"
        raise SpecError([Problem("warm_start.table", message)], "the job")
    for number, row in enumerate(whole, 1):
        yield f"trial {number}", row


def _number(value: Scalar) -> float:
    """Return a metric as a number; NaN, as of a failed trial, where there is none."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def _parameters(space: Space, row: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return a row's parameters, with texts converted to the values that they denote."""
    parameters: dict[str, Scalar] = {}
    for dimension in space.dimensions:
        if dimension.name in row and dimension.active(parameters):
            for meaning in _meanings(row[dimension.name]):
                if (value := on_axis(dimension, meaning)) is not None:
                    parameters[dimension.name] = value[0]
                    break
    return parameters


def _meanings(value: Scalar) -> Iterator[Scalar]:
    """Yield the values that a cell may denote: the cell itself, and the conversions of a text."""
    yield value
    if isinstance(value, str):
        written = {"true": True, "false": False, "": None, "null": None, "none": None}
        if value.lower() in written:
            yield written[value.lower()]
        for kind in (int, float):
            try:
                yield kind(value)
            except ValueError:
                continue
