"""When a job has to end before its last trial: the rules of `Limits`, whoever enforces them."""

from cloudtune.job import TuningJob
from cloudtune.outcome import losses
from cloudtune.states import RunState, TrialState
from cloudtune.tally import Tally
from cloudtune.units import format_duration


def limit_reached(job: TuningJob, tally: Tally) -> tuple[RunState, str] | None:
    """How the job has to end, and why, by what its trials brought so far; None to go on."""
    limits = job.limits
    if limits.target is not None and tally.best_value is not None:
        loss = losses(job.objective, {job.objective[0].metric: limits.target})
        if loss is not None and tally.best_loss <= loss[0]:
            return RunState.COMPLETED, f"the target {limits.target:g} is reached by trial {tally.best_number}"
    if limits.failed is not None and tally.counts[TrialState.FAILED] >= limits.failed:
        return RunState.FAILED, f"{limits.failed} trials have failed, the most allowed (limits.failed)"
    if limits.no_improvement is not None and tally.since_best >= limits.no_improvement:
        return (
            RunState.COMPLETED,
            f"{tally.since_best} trials in a row brought no improvement (limits.no_improvement)",
        )
    return None


def time_reached(job: TuningJob, elapsed: float) -> tuple[RunState, str] | None:
    """How the job has to end, and why, after so many seconds; None to go on."""
    limit = job.limits.time
    if limit is None or elapsed < limit.total_seconds():
        return None
    return RunState.COMPLETED, f"the time limit of {format_duration(limit)} is reached (limits.time)"
