"""Translate a job for a Ray cluster: the resources and the environment of its slots, and what each trial runs."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue, ValidationError

from cloudtune.planning.plan import Ledger, Machines, Plan
from cloudtune.provider.driven_plan import driven_request, note_wrong_settings
from cloudtune.space.parameters import SpecModel
from cloudtune.spec.job import TuningJob
from cloudtune.store.secrets import MASK
from cloudtune_ray.capabilities import ACCELERATORS, SUPPORT, accelerator
from cloudtune_ray.native import RayJob

PROVIDER = "ray"


class ActorOptions(SpecModel):
    """Options of the actor of each slot (`ray.actor.ActorClass.options`)."""

    num_cpus: float
    num_gpus: float
    accelerator_type: str | None
    memory: int | None
    """Bytes; also enforced on the node."""
    resources: dict[str, float]
    scheduling_strategy: str
    runtime_env: dict[str, JsonValue]


def translate(job: TuningJob, mounts: Mapping[str, Path] | None = None) -> Plan:
    """Return the plan for a Ray cluster: all that the launcher needs to know as plain data, and where each leaf of the job went.

    Args:
        job: the spec.
        mounts: folders that replace places in the cloud; see `cloudtune.config.mounts`.
    """
    ledger = Ledger(PROVIDER)
    settings = _settings(ledger, job)
    support = {**SUPPORT, "data": SUPPORT["data.shared"]} if settings.data == "shared" else SUPPORT
    request = driven_request(ledger, job, support, mounts or {})
    actor = _actor(ledger, job, settings)
    request |= {
        "actor": actor.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json", exclude={"runtime_env"}),
    }
    return ledger.close(job, "driven", request, Machines("slot of the cluster"))


def _settings(ledger: Ledger, job: TuningJob) -> RayJob:
    ledger.carry("ray", "settings")
    ledger.carry("ray.runtime_env", "actor.runtime_env")
    try:
        return RayJob.model_validate(job.native_settings("ray"))
    except ValidationError as error:
        note_wrong_settings(ledger, "ray", error, RayJob.model_fields)
        return RayJob()


def _actor(ledger: Ledger, job: TuningJob, settings: RayJob) -> ActorOptions:
    compute = job.compute
    ledger.carry("compute.cpus", "actor.num_cpus")
    ledger.carry("compute.memory", "actor.memory")
    cpus, gpus, kind = compute.cpus or 1.0, 0.0, ""
    if compute.accelerators is not None:
        found = accelerator(compute.accelerators.type)
        if found is None:
            support, remark = SUPPORT["compute.accelerators.unknown"]
            ledger.note("compute.accelerators", support, f"{remark}: {', '.join(ACCELERATORS)}")
        ledger.carry("compute.accelerators.type", "actor.accelerator_type")
        ledger.carry("compute.accelerators.count", "actor.num_gpus")
        gpus, kind = float(compute.accelerators.count), found or ""
    environment = dict(settings.runtime_env)
    variables = environment.get("env_vars")
    if isinstance(variables, dict):
        ledger.note("ray.runtime_env.env_vars", *SUPPORT["ray.runtime_env.env_vars"], "actor.runtime_env.env_vars")
        environment["env_vars"] = dict.fromkeys(variables, MASK)
    return ActorOptions(
        num_cpus=float(cpus) if settings.num_cpus is None else settings.num_cpus,
        num_gpus=gpus if settings.num_gpus is None else settings.num_gpus,
        accelerator_type=kind or None,
        memory=compute.memory,
        resources=settings.resources,
        scheduling_strategy=settings.scheduling_strategy,
        runtime_env=environment,
    )
