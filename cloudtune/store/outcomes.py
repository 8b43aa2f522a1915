"""What the trials of a run say, read without making each of them: of 100,000 trials that takes a tenth of the time."""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cloudtune.store.records import TrialState
from cloudtune.store.rows import charges_of, trial_of

if TYPE_CHECKING:
    from cloudtune.store.records import Charge, Trial
    from cloudtune.store.store import RunStore

_AT_ONCE = 10_000
"""Trials that are read as one row of lists, which takes a third of the time of a row each."""

_AMOUNT = '*,"[-0-9]*","*'
"""The GLOB pattern of charges with an amount; few others match, such as those of a machine whose name begins with a digit."""


def completed_metrics(run: "RunStore") -> "Iterator[tuple[list[int], list[int | None], list[Mapping[str, float]]]]":
    """Yield numbers, `Trial.repeat_of` and metrics of the completed trials, by number, as lists for some thousands at a time.

    Raises:
        DamagedRun: they are not what cloudtune writes.
        StoreError: the store cannot be read.
    """
    columns = "number, repeat_of, metrics"
    few = f"SELECT {columns} FROM {_trials(run)} WHERE number > ? AND state = ? ORDER BY number LIMIT {_AT_ONCE}"  # noqa: S608
    lists = ", ".join(f"group_concat({each})" for each in ("number", "coalesce(repeat_of, 'null')", "metrics"))
    query = f"SELECT max(number), count(*), {lists} FROM ({few})"  # noqa: S608
    last, count, *texts = run.rows(_as_it_is, query, run.id, -(2**63), TrialState.COMPLETED)[0]
    while count:
        numbers, repeats, metrics = map(_parsed, texts)
        if not len(numbers) == len(repeats) == len(metrics) == count or {type(each) for each in metrics} != {dict}:
            run.trials(TrialState.COMPLETED)  # says which one is damaged, and where
            raise run.damaged("its trials are not what cloudtune writes")
        yield numbers, repeats, metrics
        last, count, *texts = run.rows(_as_it_is, query, run.id, last, TrialState.COMPLETED)[0]


def _as_it_is(row: Any) -> Any:
    return row


def _parsed(text: object) -> list[Any]:
    """Return the values whose JSON a text holds, with commas between them; without any for another text."""
    try:
        return list(json.loads(f"[{text}]"))
    except (ValueError, RecursionError):
        return []


def trials_among(run: "RunStore", numbers: Collection[int]) -> "list[Trial]":
    """Return the trials with some numbers, and all repetitions with the candidates that they repeat, by number.

    Raises:
        DamagedRun: one of them is damaged.
        StoreError: the store cannot be read.
    """
    chosen = ",".join(map(str, sorted(numbers)))
    query = (
        f"SELECT * FROM {_trials(run)} AS every WHERE number IN ({chosen}) OR repeat_of IS NOT NULL"  # noqa: S608  # numbers
        f" OR number IN (SELECT repeat_of FROM {_trials(run)} WHERE repeat_of IS NOT NULL) ORDER BY number"
    )
    return run.rows(trial_of, query, run.id, run.id)


def page(run: "RunStore", states: Collection[TrialState], limit: int | None, skip: int) -> "list[Trial]":
    """Return some trials by number.

    Args:
        run: whose trials.
        states: in which they are; empty for any.
        limit: at most so many; None for all.
        skip: so many of the first are left out.

    Raises:
        DamagedRun: one of them is damaged.
        StoreError: the store cannot be read.
    """
    where = f"WHERE state IN ({', '.join('?' * len(states))})" if states else ""
    query = f"SELECT * FROM {_trials(run)} {where} ORDER BY number LIMIT ? OFFSET ?"  # noqa: S608  # question marks
    return run.rows(trial_of, query, run.id, *states, -1 if limit is None else limit, skip)


def charges(run: "RunStore") -> "Iterator[Charge]":
    """Yield what the attempts of a run's trials used; nothing where no price of them is known.

    Raises:
        DamagedRun: a trial's charges are damaged.
        StoreError: the store cannot be read.
    """
    priced = f"SELECT EXISTS (SELECT 1 FROM {_trials(run)} WHERE charges GLOB ?)"  # noqa: S608
    if run.rows(tuple, priced, run.id, _AMOUNT)[0][0]:
        query = f"SELECT number, charges FROM {_trials(run)} WHERE charges != '[]' ORDER BY number"  # noqa: S608
        for each in run.rows(lambda row: charges_of(f"trial {row[0]}: charges", row[1]), query, run.id):
            yield from each


def _trials(run: "RunStore") -> str:
    """Return the trials of the run of one argument as a table, in which no column of today's is missing."""
    return f"(SELECT {run.store.trial_columns} FROM trials WHERE run = ?)"  # noqa: S608  # names of columns
