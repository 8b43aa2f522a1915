"""What a service says of a tuning job and of trials: plain data, before anything is decided or written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cloudtune.space.space import Values
from cloudtune.store.records import Report, RunState, TrialState


@dataclass(frozen=True, slots=True)
class TrialSnapshot:
    """What a service says of one trial.

    Attributes:
        number: the trial.
        place: the service's name for it; see `Trial.place`.
        state: RUNNING, or how the service says it ended: COMPLETED, FAILED, or CANCELLED where it was stopped. What that
            makes of the trial is decided by `verdict`.
        parameters: the values by name; only a service's own tuner has to give them.
        started: seconds since 1970; None before.
        ended: seconds since 1970; None before, or where the service does not say.
        reports: those that no earlier snapshot had, in their order.
        metrics: values that the service itself counts at the end, in place of what was reported.
        reason: why it failed or was stopped, in the service's words; "" where it gives none.
        too_long: whether it was stopped for running longer than it may.
        stopped_early: whether the service's stopping rule ended it, if nothing else did.
        unmeasured: whether it may have failed for want of a measurement alone, not for how its program ended.
        retry: whether another attempt of a failed one may end better.
        unplaced: whether it failed because the service had no room for it.
        billed: seconds that the service bills for each of its machines, once it says; else those from `started` to `ended`.
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


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """What a service says of a tuning job itself.

    Attributes:
        state: of the job, before the reasons are looked at.
        created: seconds since 1970; None where the service does not say.
        elapsed: seconds from the making of the job to its end, or until now.
        reason: why it failed, was stopped or ended early; "" for none.
        trials: those of which there may be something new.
    """

    state: RunState
    created: float | None
    elapsed: float
    reason: str = ""
    trials: Sequence[TrialSnapshot] = ()
