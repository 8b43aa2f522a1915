"""One run as the page shows it, brought up to date from the store by what has changed."""

import time
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cloudtune.errors import ProviderError
from cloudtune.looking.data import best_text, seen_text
from cloudtune.looking.once import ReadOnce
from cloudtune.planning.plan import CHOSEN
from cloudtune.remote.resolving import provider_of
from cloudtune.report.study import Curve, Study, curve_of
from cloudtune.report.tables import TrialColumns, fact_texts
from cloudtune.report.words import number
from cloudtune.results.constraints import nothing_feasible
from cloudtune.results.progress import keep_counting_values, time_left
from cloudtune.run import Run
from cloudtune.store.changes import data_version, last_report, one_moment, reports_after, revisions_of
from cloudtune.store.commands import as_read_here
from cloudtune.store.records import Trial, TrialState
from cloudtune.store.secrets import kept_environment
from cloudtune.store.store import RunStore

_LOOK = 2.0
"""Seconds after which a run's state is looked at although the store has not changed: its driver may be gone."""

_SUMMARY = 0.5
"""Fewest seconds between two summaries of a run that changes all the time."""

MAX_EVENTS = 500
"""Most events that are sent of a run; of more, the last."""


@dataclass(frozen=True)
class Cursor:
    """What a reader has got of a run: with it, only what is new is sent.

    Attributes:
        signature: of the table's columns and of the run's beginning; of another one all is sent again.
        revision, reported, evented: positions in the store.
    """

    signature: str = ""
    revision: int = 0
    reported: int = 0
    evented: int = 0

    def __str__(self) -> str:
        return f"{self.signature}.{self.revision}.{self.reported}.{self.evented}"

    @classmethod
    def of(cls, text: str) -> "Cursor":
        """Return the cursor of a text; that of the beginning for any other text."""
        signature, *numbers = text.split(".")
        if len(numbers) != 3 or not all(each.isdecimal() and len(each) < 19 for each in numbers):
            return cls()
        return cls(signature, *map(int, numbers))


class LiveRun:
    """A run in memory. All methods belong to the thread that reads the store.

    Attributes:
        trouble: why the run's service could not be asked; "" for no problem. Written by another thread.
    """

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self.run = Run(store, provider_of(store.record(), store.store.project))
        self.trouble = ""
        self._trials: dict[int, Trial] = {}
        self._changed: dict[int, int] = {}  # the revision at which each trial changed
        self._reported: dict[int, int] = {}  # the report by which a running one changed
        self._latest: dict[int, dict[str, float]] = {}
        self._curves: dict[int, tuple[int, Curve]] = {}
        self._events: list[tuple[int, float, int | None, str]] = []
        self._seen, self._looked = -1, 0.0
        self._record = self.run.record
        self._summary: dict[str, Any] = {}
        self._summarised, self._took, self._stale = 0.0, 0.0, True
        with one_moment(store.store):
            self._begin()

    def _begin(self) -> None:
        with suppress(ProviderError):  # they are gone when the run has ended
            kept_environment(self._store)  # from now on these values are masked in every text
        self._revision, trials = self._store.changes(0)
        self._trials = {trial.number: trial for trial in sorted(trials, key=lambda trial: trial.number)}
        self._changed = revisions_of(self._store)
        self._reports = last_report(self._store)
        self._latest, self._reported = {}, {}
        for trial in self._trials.values():
            if trial.state is TrialState.RUNNING:
                for report in self._store.reports(trial.number):
                    self._take_report(report.number, report.attempt, report.metrics, self._reports)
        self._evented, events = self._store.events_after(0)
        self._events = [(self._evented, *event) for event in events[-MAX_EVENTS:]]
        self._columns = TrialColumns.of(self.run.job, [self._shown(each) for each in self._trials.values()])
        self._stale = True

    def refresh(self) -> None:
        """Take in what has changed in the store.

        Raises:
            RunNotFound: the run was removed.
            StoreError: the store cannot be read.
        """
        now, version = time.monotonic(), data_version(self._store.store)
        if version == self._seen and now - self._looked < _LOOK:
            return
        with one_moment(self._store.store):
            before, self._record = self._record, self.run.record
            same_job = before.job == self._record.job
            if version != self._seen and not (same_job and self._take_changes()):
                for name in ("job", "written", "plan"):
                    self.run.__dict__.pop(name, None)
                self._begin()
        self._stale = self._stale or self._record != before
        self._seen, self._looked = version, now

    def _take_changes(self) -> bool:
        """Take in changed trials, reports and events; return False where the run has forgotten trials and began anew."""
        revision, trials = self._store.changes(self._revision)
        position, reports = reports_after(self._store, self._reports)
        evented, events = self._store.events_after(self._evented)
        for trial in trials:
            self._trials[trial.number] = trial
            self._changed[trial.number] = revision
            if trial.state is not TrialState.RUNNING:
                self._latest.pop(trial.number, None)
        for report in reports:
            self._take_report(report.number, report.attempt, report.metrics, position)
        self._revision, self._reports, self._evented = revision, max(position, self._reports), evented
        self._events = [*self._events, *((evented, *event) for event in events)][-MAX_EVENTS:]
        if sum(self._store.counts().values()) != len(self._trials):
            return False
        changed = [
            *trials,
            *(self._shown(self._trials[each.number]) for each in reports if each.number in self._trials),
        ]
        if not all(self._columns.fits(trial) for trial in changed):
            self._columns = TrialColumns.of(self.run.job, [self._shown(each) for each in self._trials.values()])
        self._stale = self._stale or bool(trials or events)
        return True

    def _take_report(self, number: int, attempt: int, metrics: Any, position: int) -> None:
        trial = self._trials.get(number)
        if trial is not None and trial.state is TrialState.RUNNING and trial.attempt == attempt:
            keep_counting_values(self.run.job.objective, self._latest.setdefault(number, {}), metrics)
            self._reported[number] = position

    def _shown(self, trial: Trial) -> Trial:
        """Return a trial with what it has reported so far, if it runs."""
        latest = self._latest.get(trial.number)
        return trial if latest is None else replace(trial, metrics={**trial.metrics, **latest})

    # What is sent

    @property
    def version(self) -> str:
        """What differs whenever charts may."""
        return f"{self._revision}.{self._reports}.{self._record.state.value}"

    @property
    def _signature(self) -> str:
        columns = repr((self._columns, self._record.started is None, self._record.id))
        return f"{zlib.crc32(columns.encode()):08x}"

    @property
    def cursor(self) -> Cursor:
        """The position of a reader who has got everything."""
        return Cursor(self._signature, self._revision, self._reports, self._evented)

    def since(self, cursor: Cursor, summary: object) -> dict[str, Any]:
        """Return what is new since a cursor, with the summary unless the reader has this one; empty for nothing new.

        Returns:
            ``table`` (columns and all rows) or ``rows`` (those that changed), ``events``, ``summary``, ``version``.
        """
        found: dict[str, Any] = {}
        anew = cursor.signature != self._signature or cursor.revision > self._revision
        if anew:
            rows = [self._columns.row(self._shown(trial)) for trial in self._trials.values()]
            found["table"] = {**self._columns.to_data(), "rows": rows}
        else:
            changed = {number for number, revision in self._changed.items() if revision > cursor.revision}
            changed |= {number for number, position in self._reported.items() if position > cursor.reported}
            if changed:
                found["rows"] = [self._columns.row(self._shown(self._trials[number])) for number in sorted(changed)]
        events = self._events if anew else [event for event in self._events if event[0] > cursor.evented]
        if events or anew:
            found["events"] = [[when, trial, self._here(message)] for _, when, trial, message in events]
        current = self.summary()
        if current is not summary:
            found["summary"] = current
        return {**found, "version": self.version} if found else {}

    def _here(self, text: str) -> str:
        return as_read_here(text, self.run.id, self.run.project)

    def summary(self) -> dict[str, Any]:
        """Return what is said of the run as a whole; the same object until it changes."""
        now = time.monotonic()
        due = now - self._summarised > max(_SUMMARY, 10 * self._took) or self._record.state.ended or not self._summary
        seen = seen_text(self._record, self.trouble) if self.trouble else ""
        if (self._stale and due) or self._summary.get("seen", "") != seen:
            self._summary = {**self._summarise(), "seen": seen}
            self._took, self._stale = time.monotonic() - now, False
            self._summarised = time.monotonic()
        return self._summary

    def _summarise(self) -> dict[str, Any]:
        study = self.study()
        record, job, best = study.record, study.job, study.best
        counts = {state.value: many for state in TrialState if (many := study.counts[state])}
        done = sum(many for state, many in study.counts.items() if state.ended)
        total = job.limits.trials
        left = None if record.state.ended else time_left(done, total, record.elapsed, job.limits.time)
        return {
            **overview_row(self.run.project, study),
            "facts": fact_texts(study),
            "strategy": next((note.message for note in study.plan.notes if note.path == CHOSEN), job.strategy.type),
            "mode": study.plan.mode,
            "counts": counts,
            "total": total,
            "left": left,
            "objective": [[each.metric, each.goal] for each in job.objective],
            "parameters": list(job.space),
            "best_trial": None if best is None else best.number,
            "best_parameters": None if best is None else dict(best.parameters),
            "front": [trial.number for trial in study.front] if len(job.objective) > 1 else [],
            "nothing": nothing_feasible(job.objective, job.constraints, study.trials),
            "enqueued": self.run.enqueued,
        }

    def study(self) -> Study:
        """Return the data of the run for charts, as it is now."""
        trials = [self._shown(self._trials[number]) for number in sorted(self._trials)]
        return Study(self._record, self.run.job, self.run.plan, trials)

    def curves(self, trials: Iterable[Trial], metric: str) -> dict[int, Curve]:
        """Return the learning curves of trials; those of ended ones are read once."""
        found = {}
        for trial in trials:
            known = self._curves.get(trial.number)
            if known is None or known[0] != trial.attempt:
                curve = curve_of(self._store.reports(trial.number), trial.attempt, metric)
                if trial.state.ended:
                    self._curves[trial.number] = trial.attempt, curve
                found[trial.number] = curve
            else:
                found[trial.number] = known[1]
        return found


def read_once(store: RunStore) -> ReadOnce:
    """Return what is to be said of a run that nobody watches.

    Raises:
        DamagedRun: what the store holds of it is damaged.
    """
    with suppress(ProviderError):
        kept_environment(store)  # as in `LiveRun`
    with one_moment(store.store):
        return ReadOnce(Run(store, provider_of(store.record(), store.store.project)))


def overview_row(project: Path, read: Study | ReadOnce) -> dict[str, Any]:
    """Return what the list of all runs says of one.

    Args:
        project: whose store holds it.
        read: what is known of it.
    """
    record, cost = read.record, read.cost
    return {
        "id": record.id,
        "name": record.name,
        "project": str(project),
        "where": record.where,
        "emulated": record.emulated,
        "state": record.state.value,
        "reason": as_read_here(record.reason, record.id, project),
        "created": record.created,
        "ended": record.ended,
        "elapsed": record.elapsed,
        "trials": sum(read.counts.values()),
        "total": read.job.limits.trials,
        "cost": "" if cost is None else str(cost),
        "best": best_text(read, number),
    }
