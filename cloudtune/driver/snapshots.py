"""Snapshots of tuning jobs and trials on a service: plain data, before any decision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from cloudtune.space.space import Values
from cloudtune.store.records import Report, RunState, TrialState

S = TypeVar("S")


class ServiceStates(dict[str, S]):
    """The states of a service's jobs by its own words; a word that a newer service has invented is that of a job that goes on.

    Args:
        known: the states by their words.
        other: the state for each other word.
    """

    def __init__(self, known: Mapping[str, S], *, other: S) -> None:
        super().__init__(known)
        self._other = other

    def __missing__(self, word: str) -> S:
        return self._other


@dataclass(frozen=True, slots=True)
class TrialSnapshot:
    """The state of one trial on a service.

    Attributes:
        number: the trial.
        place: the service's name for it; see `Trial.place`.
        state: RUNNING, COMPLETED, FAILED, or CANCELLED if it was stopped. `verdict` decides the trial's state by it.
        parameters: the values by name; set only by a service's own tuner.
        started: seconds since 1970; None before.
        ended: seconds since 1970; None before, or if the service does not report it.
        reports: those that no earlier snapshot had, in order.
        metrics: the service's own final values, which replace the reported ones.
        reason: why it failed or was stopped, in the service's words; "" for none.
        too_long: whether it was stopped for running longer than it may.
        stopped_early: whether the service's stopping rule ended it, if nothing else did.
        unmeasured: whether it may have failed only because it lacks a measurement.
        retry: whether another attempt may succeed.
        unplaced: whether it failed because the service had no room for it.
        billed: seconds that the service bills for each of its machines, once it says; else those from `started` to `ended`.
        lost: whether it failed because the service took its machine away, which costs no retry.
        preempted: whether it was lost for others, as the service says; see `Ended.preempted`.
        waiting: what it waits for, as `Queued.why` says it; the same text as long as nothing worth telling has changed.
    """

    number: int
    place: str
    state: TrialState = TrialState.RUNNING
    parameters: Values = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None
    reports: Sequence[Report] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    too_long: bool = False
    stopped_early: bool = False
    unmeasured: bool = False
    retry: bool = True
    unplaced: bool = False
    billed: float | None = None
    lost: bool = False
    preempted: bool = False
    waiting: str = ""


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """The state of a tuning job on a service.

    Attributes:
        state: of the job, as the service reports it.
        created: seconds since 1970; None if the service does not report it.
        elapsed: seconds from the creation of the job to its end, or until now.
        reason: why it failed, was stopped or ended early; "" for none.
        trials: those that may have changed.
    """

    state: RunState
    created: float | None
    elapsed: float
    reason: str = ""
    trials: Sequence[TrialSnapshot] = ()
