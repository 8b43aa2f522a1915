"""Translate a job for a Slurm cluster: the options of sbatch, and what each trial runs."""

import math
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from cloudtune.planning.plan import Ledger, Machines, Plan, Support
from cloudtune.provider.driven_plan import driven_request, note_wrong_settings
from cloudtune.spec.job import TuningJob
from cloudtune_slurm.capabilities import SUPPORT
from cloudtune_slurm.orders import SHARE
from cloudtune_slurm.placement import Placement, SlurmJob
from cloudtune_slurm.settings import SlurmSettings

PROVIDER = "slurm"

_PLAIN = ("partition", "account", "qos", "constraint", "reservation", "nodelist", "exclude", "nice")
"""Options of sbatch with the names of the settings."""

_MARGIN = 180
"""Seconds of Slurm's limit beyond limits.trial_time: that one ends a trial first, and says so."""


def translate(job: TuningJob, settings: SlurmSettings, mounts: Mapping[str, Path] | None = None) -> Plan:
    """Return the plan for a Slurm cluster: all that the launcher needs to know as plain data, and where each leaf of the job went.

    Args:
        job: the spec.
        settings: of the profile.
        mounts: folders that replace places in the cloud; see `cloudtune.config.mounts`.
    """
    ledger = Ledger(PROVIDER)
    own = _own(ledger, job, settings)
    shipped = own.data == "shipped" or (own.data is None and bool(settings.host or settings.local))
    support = dict(SUPPORT)
    if shipped:
        support["data"] = SUPPORT["data.shipped"]
    if settings.local:
        own = _apart(ledger, job, own)
    if settings.host or settings.local:
        support["output"] = SUPPORT["output.brought"]
    if job.trial.image is not None and "{image}" in own.container:
        support["trial.image"] = SUPPORT["trial.image.container"]
        ledger.carry("trial.image", "image")
    if _lead(own) != _said_lead(own):
        message = (
            f"it comes {_lead(own)} s before Slurm's limit, as {_said_lead(own)} s would leave a trial too little of it"
        )
        ledger.note(f"{PROVIDER}.signal", Support.APPROXIMATE, message)
    request = driven_request(ledger, job, support, mounts or {})
    _account_for_compute(ledger, job)
    request |= {
        "count": job.compute.count,
        "cpus": job.compute.cpus,
        "image": job.trial.model_dump(mode="json")["image"],
        "settings": {**own.model_dump(mode="json"), "data": "shipped" if shipped else "shared"},
        "share": _share(own),
        "sbatch": list(options(job, own)),
    }
    return ledger.close(job, "driven", request, Machines("task of the cluster", count=job.compute.count))


def _own(ledger: Ledger, job: TuningJob, settings: SlurmSettings) -> SlurmJob:
    ledger.carry(PROVIDER, "settings")
    of_profile = SlurmJob(**settings.model_dump(include=set(Placement.model_fields), exclude_unset=True))
    try:
        return of_profile.under(job.native_settings(PROVIDER))
    except ValidationError as error:
        note_wrong_settings(ledger, PROVIDER, error, SlurmJob.model_fields)
        return of_profile


def _apart(ledger: Ledger, job: TuningJob, own: SlurmJob) -> SlurmJob:
    """Return the settings for nodes that do not see the run's folder: a task has one trial, which claims nothing there."""
    if (own.trials_per_task or 1) > 1:
        ledger.note(f"{PROVIDER}.trials_per_task", *SUPPORT["slurm.local.tasks"])
    if job.trial.source is None:
        ledger.note("trial.source", *SUPPORT["slurm.local.source"])
    return own.model_copy(update={"trials_per_task": 1})


def _account_for_compute(ledger: Ledger, job: TuningJob) -> None:
    compute = job.compute
    part = compute.cpus is not None and compute.cpus != int(compute.cpus)
    ledger.carry_if(not part, "compute.cpus", "cpus", *SUPPORT["compute.cpus.part"])
    if compute.accelerators is not None and compute.accelerators.count != int(compute.accelerators.count):
        ledger.note("compute.accelerators.count", *SUPPORT["compute.accelerators.part"])


def options(job: TuningJob, placement: SlurmJob) -> list[str]:
    """Return the options of sbatch for the trials of a job, but for those of a single batch."""
    said = {name: getattr(placement, name) for name in _PLAIN}
    found = [f"--{name}={value}" for name, value in said.items() if value is not None]
    found += [f"--nodes={job.compute.count}", "--ntasks-per-node=1", *_resources(job, placement)]
    limit = _limit(job, placement)
    found += [] if limit is None else [f"--time={limit}"]
    name = placement.signal.partition("@")[0]
    found += [f"--signal=B:{name}@{_lead(placement)}", "--requeue" if placement.requeue else "--no-requeue"]
    return [*found, *placement.options]


def _resources(job: TuningJob, placement: Placement) -> list[str]:
    compute, gres = job.compute, [placement.gres] if placement.gres else []
    found = [] if compute.cpus is None else [f"--cpus-per-task={math.ceil(compute.cpus)}"]
    found += [] if compute.memory is None else [f"--mem={math.ceil(compute.memory / 2**20)}M"]
    if compute.accelerators is not None:
        kind = compute.accelerators.type
        any_kind = kind.lower() in ("gpu", "any")
        gres.insert(0, f"gpu:{'' if any_kind else f'{kind}:'}{math.ceil(compute.accelerators.count)}")
    return found + ([f"--gres={','.join(gres)}"] if gres else [])


def _share(placement: SlurmJob) -> float:
    """Return the seconds for which a task begins trials: half of what Slurm's limit gives it, if the user says one."""
    if placement.time is None:
        return SHARE
    return max(0.0, min(SHARE, (placement.time.total_seconds() - _lead(placement)) / 2))


def _said_lead(placement: Placement) -> int:
    return int(placement.signal.partition("@")[2] or 60)


def _lead(placement: Placement) -> int:
    """Return how many seconds before Slurm's limit a trial gets its signal; fewer than are said where little would be left.

    Slurm itself sends it up to a minute earlier (sbatch(1), --signal).
    """
    said = _said_lead(placement)
    if placement.time is None:
        return said
    limit = max(60, int(placement.time.total_seconds()))
    return said if 2 * (said + 60) <= limit else min(said, limit // 4)


def _limit(job: TuningJob, placement: SlurmJob) -> int | None:
    """Return Slurm's limit of time in minutes; None for the partition's."""
    if placement.time is not None:
        return max(1, math.ceil(placement.time.total_seconds() / 60))
    if job.limits.trial_time is None:
        return None
    limit, many = job.limits.trial_time.total_seconds(), placement.trials_per_task
    return math.ceil(((limit + SHARE if many is None else limit * many) + _MARGIN) / 60)
