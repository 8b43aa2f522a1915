"""What a driver has decided about running trials, and the words by which a later driver reads it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cloudtune.driver.launcher import Ended
from cloudtune.driver.snapshots import TrialSnapshot
from cloudtune.driver.verdict import verdict
from cloudtune.results.constraints import what_is_untold
from cloudtune.results.objectives import losses, what_is_missing
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Trial, TrialState
from cloudtune.store.stops import asked_to_stop

PRUNED = "pruned at step "
PAUSED = "paused at step "
_STOPPED = "stopped by its driver"
"""Prefixes of the reasons of running trials that the driver has decided to stop."""

TRIED_AGAIN = "; it is tried again"
"""Suffix of the events of failed attempts that are retried; a later driver counts the retries by them.

Attempts that were lost, or ended with their driver, do not count.
"""


@dataclass(slots=True)
class Running:
    """A running trial.

    Attributes:
        trial: as it is in the store.
        stop: the state that the driver has decided to end it in (WAITING or PAUSED: to be started again); None before.
        why: the reason of that decision.
        reported: the last value of each metric.
    """

    trial: Trial
    stop: TrialState | None = None
    why: str = ""
    reported: dict[str, float] = field(default_factory=dict)


def reason_of(state: TrialState, why: str) -> str:
    """Return the reason of a running trial that is about to be stopped in a state."""
    if state in (TrialState.PRUNED, TrialState.PAUSED):
        return why  # begins with its own prefix
    return f"{_STOPPED}: {why.removeprefix(f'{_STOPPED}: ')}"


def decided(reason: str) -> TrialState:
    """Return the state that an earlier driver had decided to stop a running trial in, by the reason that it wrote."""
    if reason.startswith(PRUNED):
        return TrialState.PRUNED
    return TrialState.PAUSED if reason.startswith(PAUSED) else TrialState.WAITING


def verdict_of(
    running: Running, end: Ended, job: TuningJob, printed: Callable[[Trial], Sequence[str]]
) -> tuple[TrialState, str]:
    """Return the state that a trial ends in, and the reason; "" where it needs none.

    Args:
        running: the trial.
        end: of its attempt.
        job: the spec.
        printed: returns lines that the trial printed.
    """
    trial, objectives = running.trial, job.objective
    state = TrialState.FAILED if end.failure else TrialState.COMPLETED
    return verdict(
        TrialSnapshot(trial.number, trial.place, state, reason=end.failure),
        job,
        measured=losses(objectives, trial.metrics) is not None,
        missing=lambda: what_is_missing(objectives, running.reported, printed(trial)),
        untold=what_is_untold(job.constraints, trial.metrics),
        decided=None if running.stop is None else (running.stop, running.why),
    )


def asked_for(wish: str, waiting: Iterable[Trial], running: Iterable[Running]) -> list[Trial]:
    """Return the trials that a user's wish asks to stop, of those that wait, or run and are not being stopped yet."""
    asked = set(asked_to_stop(wish))
    trials = [*waiting, *(each.trial for each in running if each.stop is None)] if asked else []
    return [trial for trial in trials if trial.number in asked]


def retried(events: Iterable[tuple[float, int | None, str]]) -> Iterator[int]:
    """Yield the number of a trial for each of its failed attempts that was retried, by the events of its run."""
    for _, number, message in events:
        if number is not None and message.endswith(TRIED_AGAIN):
            yield number
