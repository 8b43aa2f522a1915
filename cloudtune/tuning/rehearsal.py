"""A rehearsal: one trial of a job on this machine, or in an emulator, before a service is paid for many."""

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cloudtune import api
from cloudtune.errors import NotLaunched, SpecError, UnsupportedError
from cloudtune.plugins.entry_points import DEFAULT
from cloudtune.run import Run
from cloudtune.spec.job import Limits, TuningJob
from cloudtune.spec.objective import COST
from cloudtune.spec.strategies import Random
from cloudtune.store.commands import command
from cloudtune.store.records import TrialState


def rehearse(
    job: TuningJob,
    on: str | None,
    *,
    project: Path | None = None,
    base: Path | None = None,
    prepare: Callable[[TuningJob, str | None], Run] | None = None,
) -> Run:
    """Run one trial of a job, on this machine if it can run it, else in an emulator of the service; ask no service.

    The trial is the job's first one, or else a random one. Its run stays in the store.

    Args:
        job: the spec.
        on: the profile that the job is meant for.
        project: the folder of the store; None for the one around the working folder.
        base: the folder that the job's relative paths start from; None for the working folder.
        prepare: stores the run of a job on a profile; None for `cloudtune.api.prepare`.

    Returns:
        The rehearsal's run, whose trial reported every objective.

    Raises:
        NotLaunched: the trial did not, with its reason and the command that shows its log.
    """
    short = _one_trial_of(job)
    prepare = prepare or partial(api.prepare, project=project, base=base)
    with contextlib.ExitStack() as stack:
        try:
            run = prepare(short, DEFAULT)
        except (UnsupportedError, SpecError):  # what it needs is at the service alone, such as a built-in algorithm
            stack.enter_context(api.emulated_for(short, on, base, project))
            run = prepare(short, on)
        run.tells = False
        with run.unless_refused():
            run.wait()
    _check(run, job)
    return run


def _one_trial_of(job: TuningJob) -> TuningJob:
    return job.model_copy(
        update={
            "name": f"{job.name[:52]}-rehearsal",
            "limits": Limits(trials=1, trial_time=job.limits.trial_time),
            "strategy": Random(),
            "first": job.first[:1],
            "stopping": None,
            "confirm": None,
            "warm_start": None,
            "retries": 0,
            "mode": "auto",
        }
    )


def _check(run: Run, job: TuningJob) -> None:
    trials = run.trials()
    if (
        trials
        and trials[0].state is TrialState.COMPLETED
        and all(each.metric in trials[0].metrics or each.metric == COST for each in job.objective)
    ):
        return
    reason = (trials[0].reason if trials else run.record.reason) or f"it is {run.state.value}"
    log = f"; see its log with: {command('logs', run.id, run.project)}" if trials else ""
    raise NotLaunched(f"the rehearsal of {job.name} failed, and nothing was launched: {reason}{log}")
