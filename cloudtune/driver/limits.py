"""Decide whether a job has to end before its last trial, by the rules of `Limits`."""

from cloudtune.results.failures import FEWEST
from cloudtune.results.objectives import losses
from cloudtune.results.progress import ProgressCounter
from cloudtune.spec.job import TuningJob
from cloudtune.spec.units import format_duration
from cloudtune.store.records import RunState, TrialState

UNCAPPED = 2**31 - 1
"""A value of ``limits.failed`` that no run reaches, which turns off the default cap on trials that fail alike."""


def limit_reached(job: TuningJob, counter: ProgressCounter) -> tuple[RunState, str] | None:
    """Return how the job has to end, and why, by its trials so far; None to continue."""
    limits = job.limits
    if limits.target is not None and counter.best_value is not None:
        loss = losses(job.objective, {job.objective[0].metric: limits.target})
        if loss is not None and counter.best_loss <= loss[0]:
            return RunState.COMPLETED, f"the target {limits.target:g} is reached by trial {counter.best_number}"
    if limits.failed is not None and counter.counts[TrialState.FAILED] >= limits.failed:
        return RunState.FAILED, f"{limits.failed} trials have failed, the most allowed (limits.failed)"
    hopeless = failing_alike(job, counter)
    if hopeless is not None:
        return hopeless
    if limits.no_improvement is not None and counter.since_best >= limits.no_improvement:
        return (
            RunState.COMPLETED,
            f"{counter.since_best} trials in a row brought no improvement (limits.no_improvement)",
        )
    return None


def most_alike(job: TuningJob) -> int | None:
    """Return how many first trials may fail alike before the run is stopped; None if the job has its own cap."""
    return max(FEWEST, job.limits.parallel) if job.limits.failed is None else None


def default_cap(job: TuningJob, mode: str) -> str | None:
    """Return the message about the default cap on failed trials; None if the job has its own.

    Args:
        job: the spec.
        mode: of its plan.
    """
    most = most_alike(job)
    if most is None:
        return None
    who = "the process that follows the run stops it" if mode == "managed" else "the run stops"
    return f"{who} when its first {most} trials fail in the same way; a number here replaces that"


def failing_alike(job: TuningJob, counter: ProgressCounter) -> tuple[RunState, str] | None:
    """Return how the job has to end because its first trials all failed in the same way; None to continue."""
    most, found = most_alike(job), counter.failures
    if most is None or found.alike_so_far < most:
        return None
    return RunState.FAILED, (
        f"its first {found.alike_so_far} trials failed in the same way ({found.reason}); mend that and run the job again, "
        "or say in limits.failed how many may fail"
    )


def time_reached(job: TuningJob, elapsed: float) -> tuple[RunState, str] | None:
    """Return how the job has to end, and why, after `elapsed` seconds; None to continue."""
    limit = job.limits.time
    if limit is None or elapsed < limit.total_seconds():
        return None
    return RunState.COMPLETED, f"the time limit of {format_duration(limit)} is reached (limits.time)"
