"""Read what a job's ``warm_start`` names: trials of earlier runs, and tables of known trials."""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from cloudtune.errors import Problem, SpecError
from cloudtune.results.objectives import losses
from cloudtune.search.known_trials import KnownTrial, on_axis
from cloudtune.space.parameters import Scalar
from cloudtune.space.space import Space
from cloudtune.spec.job import TuningJob, WarmStart
from cloudtune.store.finding import find_run
from cloudtune.store.records import TrialState

_FILE = "earlier.json"
_READERS = (".csv", ".json", ".jsonl")


def known_trials(job: TuningJob, project: Path, base: Path) -> list[KnownTrial]:
    """Return the known trials that the job's ``warm_start`` names.

    Args:
        job: the spec.
        project: the folder whose store is searched first for the earlier runs; see `cloudtune.store.finding.find_run`.
        base: the folder that the table's path is relative to.

    Raises:
        RunNotFound: there is no such run.
        SpecError: the table cannot be read, or has no column for an objective.
    """
    if job.warm_start is None:
        return []
    known = [
        KnownTrial(trial.parameters, trial.metrics, trial.state, run_id)
        for run_id in job.warm_start.runs
        for trial in find_run(run_id, project).trials()
        if trial.state.ended
    ]
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
    for line, row in _rows(base / table):
        missing = [metric for metric in metrics if metric not in row]
        if missing:
            message = f"{line} of {table} has no {missing[0]!r}, which is an objective"
            raise SpecError([Problem("warm_start.table", message)], "the job")
        numbers = {metric: _number(row[metric]) for metric in metrics}
        state = TrialState.COMPLETED if losses(job.objective, numbers) is not None else TrialState.FAILED
        known.append(KnownTrial(_parameters(space, row), numbers, state, table))
    return known


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
