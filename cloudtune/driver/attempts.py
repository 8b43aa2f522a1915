"""The attempts at a trial: they begin, wait for room at their place, may end before they ran, and may be followed by another."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from cloudtune.driver.decisions import Running, retried
from cloudtune.driver.launcher import Ended, Launcher, Queued
from cloudtune.store.records import QUEUED, Report, Trial, TrialState

MOST_LOSSES = 5
"""How often in a row a trial may be lost, without having come further than before, until the trial itself is to blame."""


class Attempts:
    """Counts what ended the attempts at each trial that did not end well.

    Args:
        retries: how often a failed trial is tried again.
    """

    def __init__(self, retries: int) -> None:
        self._retries = retries
        self._failed: Counter[int] = Counter()
        self._lost: Counter[int] = Counter()
        self._furthest: dict[int, int] = {}

    def restore(self, events: Iterable[tuple[float, int | None, str]]) -> None:
        """Count the retries of earlier drivers, by the events of the run."""
        self._failed.update(retried(events))

    def reached(self, report: Report) -> None:
        """Count no more what was lost of a trial that has come further than any attempt before."""
        if report.step > self._furthest.get(report.number, report.step - 1):
            self._furthest[report.number] = report.step
            del self._lost[report.number]

    def judged(self, end: Ended) -> Ended:
        """Return the end of an attempt: a lost one is its trial's failure after `MOST_LOSSES`, for it may be what kills its place."""
        if not end.lost or end.preempted or end.unplaced:
            return end
        self._lost[end.number] += 1
        if self._lost[end.number] <= MOST_LOSSES:
            return end
        return replace(
            end, failure=f"it was lost {self._lost[end.number]} times, at last because {end.failure}", lost=False
        )

    def retry(self, number: int) -> bool:
        """Return whether a failed trial is tried again, which is counted."""
        if self._failed[number] >= self._retries:
            return False
        self._failed[number] += 1
        return True


def begin(trial: Trial, launcher: Launcher, *, keep: bool) -> None:
    """Count the next attempt at a trial, which is about to be launched.

    Args:
        trial: whose last attempt is over.
        launcher: that will launch it.
        keep: whether the metrics of earlier attempts count, since it goes on from a checkpoint.
    """
    trial.attempt += 1
    trial.place = launcher.place(trial)
    trial.state, trial.started, trial.ended, trial.reason = TrialState.RUNNING, time.time(), None, ""
    trial.metrics = trial.metrics if keep else {}


def queue(running: Running, update: Queued) -> bool:
    """Note on a launched trial that it waits, or has begun; return whether that is new.

    A trial that its driver is stopping stays as it is.
    """
    trial, reason = running.trial, f"{QUEUED}{update.why}"
    if running.stop is not None or trial.reason == reason or not (update.why or trial.queued):
        return False
    if update.why:
        trial.state, trial.reason, trial.started = TrialState.WAITING, reason, None
    else:
        trial.state, trial.reason, trial.started = TrialState.RUNNING, "", time.time()
    return True


def take_back(trial: Trial) -> None:
    """Count the last attempt at a trial no more, of which nothing has begun."""
    trial.attempt, trial.started = trial.attempt - 1, None
