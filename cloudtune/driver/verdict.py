"""Decide the state that a trial ends in, for driven and managed runs alike."""

from collections.abc import Callable

from cloudtune.driver.snapshots import TrialSnapshot
from cloudtune.spec.job import TuningJob
from cloudtune.spec.units import format_duration
from cloudtune.store.records import TrialState

Ending = tuple[TrialState, str]
"""The state that a trial ends in, and the reason; "" for none."""

NO_REASON = "the service gave no reason"


def verdict(
    seen: TrialSnapshot,
    job: TuningJob,
    *,
    measured: bool,
    missing: Callable[[], str],
    untold: str = "",
    decided: Ending | None = None,
    job_ended: str | None = None,
) -> Ending:
    """Return the state that a trial ends in, and the reason.

    The first that holds counts:

    1. its driver decided to end it: that state (WAITING, PAUSED: it is started again, unless it completed before, with its
       objective);
    2. it completed, with its objective: completed; pruned if the service's stopping rule ended it;
    3. its job was asked to end: cancelled;
    4. it ran too long: failed;
    5. it failed;
    6. the service's stopping rule ended it: pruned;
    7. it completed, without its objective: failed, and the reason names what is missing;
    8. it was stopped, or its job ended before it did: cancelled.

    Args:
        seen: the trial as it ended; RUNNING if its job ended and left it so.
        job: the spec.
        measured: whether every objective has a finite value.
        missing: returns why there is no usable objective; called only if that is the reason, as it may read a log.
        untold: what to do about constraints for which a completed trial told no value; see `what_is_untold`.
        decided: the decision of its driver before it ended; None for none.
        job_ended: why the job as a whole was asked to end; None if it was not.
    """
    ended_well = seen.state is TrialState.COMPLETED
    if decided is not None and not (not decided[0].ended and ended_well and measured):
        return decided
    if ended_well and measured:
        return _pruned(job) if seen.stopped_early else (TrialState.COMPLETED, untold)
    if job_ended is not None:
        return TrialState.CANCELLED, job_ended
    if seen.too_long:
        return TrialState.FAILED, ran_too_long(job)
    if seen.state is TrialState.FAILED:
        lacks = missing() if seen.unmeasured and not measured else ""
        return TrialState.FAILED, " ".join(filter(None, [seen.reason, lacks])) or NO_REASON
    if ended_well:
        return TrialState.FAILED, missing()
    if seen.state is TrialState.CANCELLED:
        return (
            _pruned(job)
            if seen.stopped_early
            else (TrialState.CANCELLED, seen.reason or "it was stopped on the service")
        )
    return TrialState.CANCELLED, "the job ended before it did"


def _pruned(job: TuningJob) -> Ending:
    rule = "" if job.stopping is None else f" (stopping: {job.stopping.type})"
    return TrialState.PRUNED, f"stopped early by the service{rule}"


def ran_too_long(job: TuningJob) -> str:
    """Return why a trial failed that ran longer than ``limits.trial_time``."""
    limit = job.limits.trial_time
    return f"it ran longer than {format_duration(limit) if limit else 'its limit'} (limits.trial_time)"


def exceeds(job: TuningJob, started: float | None, until: float | None) -> bool:
    """Return whether a trial that started and ran until then, both in seconds since 1970, ran as long as it may."""
    limit = job.limits.trial_time
    if limit is None or started is None or until is None:
        return False
    return until - started >= limit.total_seconds()
