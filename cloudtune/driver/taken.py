"""What a trial took, as the search is told: in one unit for all trials of a run."""

from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Trial


def cost_of(job: TuningJob, trial: Trial) -> float | None:
    """Return what an ended trial took; the same whenever it is asked, so that a replay suggests the same.

    That is what its attempts cost where ``limits.cost`` is the budget, without the time for which their machines were kept
    afterwards; else the seconds of its last attempt. None where that is not known.
    """
    if job.limits.cost is None:
        return None if trial.duration is None else max(trial.duration, 0.0)
    amounts = [charge.used for charge in trial.charges]
    known = [float(amount) for amount in amounts if amount is not None]
    return float(f"{sum(known):.9g}") if known and len(known) == len(amounts) else None
