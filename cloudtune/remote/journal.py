"""What a driver elsewhere writes into its store, as lines of its log, and those lines written into the store here.

A log is the one channel that every service has: it comes live, in order, and stays. Entries are numbered from 1 in each
life of the driver, whose start (nanoseconds since 1970) tells a later life from an earlier.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from cloudtune.store.records import Report, Trial, TrialState
from cloudtune.store.store import RunStore, Store

PREFIX = "CLOUDTUNE-JOURNAL "
"""How a line begins that is an entry."""

_POSITION = "journal"
"""Under which the run's notes have the life and the number of the last entry that is in the store."""

_MOST = 100
"""Trials or reports of one entry: CloudWatch and Cloud Logging take lines of 256 kB."""

T = TypeVar("T")


class Journal(RunStore):
    """A run's store that tells in words all that is written to it.

    Args:
        store: which it is in.
        run_id: the run.
        say: takes each line; once what it says is in the store.
    """

    def __init__(self, store: Store, run_id: str, say: Callable[[str], None]) -> None:
        super().__init__(store, run_id)
        self._say = say
        self._life = time.time_ns()
        self._number = 0

    def write(
        self,
        *,
        trials: Iterable[Trial] = (),
        reports: Iterable[Report] = (),
        events: Iterable[tuple[int | None, str]] = (),
        columns: Mapping[str, object] | None = None,
    ) -> None:
        changed, new, happened = list(trials), list(reports), list(events)
        super().write(trials=changed, reports=new, events=happened, columns=columns)
        for reported in _batches(new):
            self._enter(reports=[asdict(report) for report in reported])
        for some in _batches(changed):
            self._enter(trials=[asdict(trial) for trial in some])
        told = {name: value for name, value in (columns or {}).items() if name != "native"}
        if happened or told:
            self._enter(events=happened, columns=told)

    def forget_reports(self, number: int, attempt: int) -> None:
        super().forget_reports(number, attempt)
        self._enter(forget=[number, attempt])

    def _enter(self, **entry: Any) -> None:  # plain data
        self._number += 1
        text = json.dumps({"life": self._life, "number": self._number, **entry}, separators=(",", ":"))
        self._say(PREFIX + text)


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _MOST] for start in range(0, len(items), _MOST))


class Reader:
    """Writes entries into the store here, each once, however often its line is read.

    Args:
        run: whose lock the caller holds.

    Attributes:
        gap: whether an entry was missing, so that the store here does not hold all.
    """

    def __init__(self, run: RunStore) -> None:
        self._run = run
        life, _, number = run.record().native.get(_POSITION, "0/0").partition("/")
        self._last = int(life), int(number)
        self.gap = False

    def read(self, line: str) -> None:
        """Takes in a line of the driver's log; one that is no entry does nothing."""
        start = line.find(PREFIX)
        if start < 0:
            return
        try:
            entry: dict[str, Any] = json.loads(line[start + len(PREFIX) :])
        except ValueError:
            self.gap = True  # a service has cut it short
            return
        position = entry["life"], entry["number"]
        if position <= self._last:
            return
        expected = self._last[1] + 1 if entry["life"] == self._last[0] else 1
        self.gap = self.gap or entry["number"] != expected
        self._take(entry, position)
        self._last = position

    def _take(self, entry: Mapping[str, Any], position: tuple[int, int]) -> None:
        if "forget" in entry:
            self._run.forget_reports(*entry["forget"])
        native = {**self._run.record().native, _POSITION: "/".join(map(str, position))}
        self._run.write(
            trials=[_trial(data) for data in entry.get("trials", [])],
            reports=[Report(**data) for data in entry.get("reports", [])],
            events=[(number, message) for number, message in entry.get("events", [])],
            columns={**entry.get("columns", {}), "native": native},
        )


def _trial(data: Mapping[str, Any]) -> Trial:
    return Trial(**{**data, "state": TrialState(data["state"])})


def copy(source: RunStore, target: RunStore) -> None:
    """Writes all trials and reports of one store's run into another's, whose own go."""
    reports = list(source.reports())
    for trial in target.trials():
        for attempt in range(1, trial.attempt + 1):
            target.forget_reports(trial.number, attempt)
    target.write(trials=source.history(), reports=reports)
