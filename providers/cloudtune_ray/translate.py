"""Translate a job for a Ray cluster: the resources and the environment of its slots, and what each trial runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import JsonValue, ValidationError

from cloudtune.config import mounted
from cloudtune.planning.plan import Ledger, Machines, Plan, Support, covers, leaves
from cloudtune.space.parameters import SpecModel
from cloudtune.spec.job import TuningJob, pick
from cloudtune.spec.places import is_remote
from cloudtune.spec.strategies import Auto
from cloudtune.store.secrets import MASK
from cloudtune_ray.native import RayJob
from cloudtune_ray.support import ACCELERATORS, SUPPORT, accelerator

PROVIDER = "ray"

_CARRIED = (
    "name",
    "objective",
    "metrics",
    "space",
    "strategy",
    "stopping",
    "limits",
    "retries",
    "warm_start",
    "mode",
    "strict",
)


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


class RayRequest(SpecModel):
    """All that the launcher needs to know; paths are relative to the job file's folder."""

    name: str
    source: str | None
    ignore: tuple[str, ...]
    command: str | tuple[str, ...] | None
    function: str | None
    environment: tuple[str, ...]
    """The names of the variables; their values are kept apart."""
    objective: tuple[dict[str, JsonValue], ...]
    metrics: dict[str, str]
    space: dict[str, JsonValue]
    strategy: dict[str, JsonValue]
    stopping: dict[str, JsonValue] | None
    limits: dict[str, JsonValue]
    retries: int
    warm_start: dict[str, JsonValue] | None
    mode: str
    strict: bool
    count: int = 1
    """Processes of a trial."""
    spot: bool = False
    """Whether nodes are asked for that may be taken away."""
    actor: ActorOptions
    data: dict[str, str]
    output: str | None
    settings: dict[str, JsonValue]


def translate(job: TuningJob, mounts: Mapping[str, Path] | None = None) -> Plan:
    """Return the plan for a Ray cluster: a `RayRequest` as plain data, and where each leaf of the job went.

    Args:
        job: the spec.
        mounts: folders that replace places in the cloud; see `cloudtune.config.mounts`.
    """
    ledger = Ledger(PROVIDER)
    settings = _settings(ledger, job)
    _account_for_the_job(ledger, job)
    data = _places_of_data(ledger, job, settings, mounts or {})
    output = _place_of_output(ledger, job, mounts or {})
    actor = _actor(ledger, job, settings)
    _account_for_what_is_not_here(ledger, job)
    dumped = job.model_dump(mode="json")
    request = RayRequest(
        source=job.trial.source,
        ignore=job.trial.ignore,
        command=job.trial.command,
        function=job.trial.function,
        environment=tuple(job.trial.environment),
        actor=actor,
        data=data,
        output=output,
        settings=settings.model_dump(mode="json", exclude={"runtime_env"}),
        **{field: dumped[field] for field in _CARRIED},
    )
    return ledger.close(job, "driven", request.model_dump(mode="json"), Machines("slot of the cluster"))


def _settings(ledger: Ledger, job: TuningJob) -> RayJob:
    ledger.carry("ray", "settings")
    ledger.carry("ray.runtime_env", "actor.runtime_env")
    try:
        return RayJob.model_validate(job.ray)
    except ValidationError as error:
        for problem in error.errors():
            path = ".".join(["ray", *(str(part) for part in problem["loc"])])
            known = ", ".join(RayJob.model_fields)
            message = f"ray: knows {known}" if problem["type"] == "extra_forbidden" else problem["msg"]
            ledger.note(path, Support.UNSUPPORTED, message.removeprefix("Value error, "))
        return RayJob()


def _account_for_the_job(ledger: Ledger, job: TuningJob) -> None:
    for field in _CARRIED:
        ledger.carry(field, field)
    for field in ("ignore", "command", "function", "environment"):
        ledger.carry(f"trial.{field}", field)
    if isinstance(job.stopping, Auto):
        ledger.note("stopping", *SUPPORT["stopping.auto"], "stopping")
    if job.mode == "managed":
        ledger.note("mode", *SUPPORT["mode.managed"], "mode")
    if job.trial.source is not None:
        ledger.note("trial.source", *SUPPORT["trial.source"], "source")
    else:
        program = "function" if job.trial.command is None else "command"
        ledger.note(f"trial.{program}", *SUPPORT["trial.source.none"], program)
    if job.trial.command is None and job.trial.function is None:
        message = "an image's own entrypoint does not run here; give a command or a function"
        ledger.note("trial.image", Support.UNSUPPORTED, message)


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


def _places_of_data(ledger: Ledger, job: TuningJob, settings: RayJob, mounts: Mapping[str, Path]) -> dict[str, str]:
    places: dict[str, str] = {}
    for name, value in job.data.items():
        place, path = pick(value, PROVIDER), f"data.{name}"
        folder = _mounted(value, mounts)
        if place is not None and not is_remote(place):
            places[name] = place.removeprefix("file://")
            _own_place(ledger, path, value, "data.shared" if settings.data == "shared" else "data")
        elif folder is not None:
            places[name] = folder
            ledger.note(path, *SUPPORT["data.mounted"], path)
        else:
            ledger.note(path, *SUPPORT["data.remote"])
    return places


def _place_of_output(ledger: Ledger, job: TuningJob, mounts: Mapping[str, Path]) -> str | None:
    if job.output is None:
        return None
    place, folder = pick(job.output, PROVIDER), _mounted(job.output, mounts)
    if place is not None and not is_remote(place):
        _own_place(ledger, "output", job.output, "output")
        return place.removeprefix("file://")
    ledger.note("output", *SUPPORT["output.remote" if folder is None else "output.mounted"])
    return folder


def _own_place(ledger: Ledger, path: str, value: str | dict[str, str], row: str) -> None:
    """Carry or note a place for Ray, and note the field's values for other providers."""
    support, remark = SUPPORT[row]
    own = path if isinstance(value, str) else f"{path}.{PROVIDER}"
    if support is Support.EXACT:
        ledger.carry(own, path)
    else:
        ledger.note(own, support, remark, path)
    for other in value.keys() - {PROVIDER} if isinstance(value, dict) else ():
        ledger.note(f"{path}.{other}", Support.APPROXIMATE, f"said for {other}: of no effect here")


def _mounted(value: str | dict[str, str], mounts: Mapping[str, Path]) -> str | None:
    """Return the folder that replaces one of the places in the cloud that a setting names; None where none does."""
    places = [value] if isinstance(value, str) else [place for name, place in value.items() if name != PROVIDER]
    found = (mounted(place, mounts) for place in places)
    return next((str(folder) for folder in found if folder is not None), None)


def _account_for_what_is_not_here(ledger: Ledger, job: TuningJob) -> None:
    """Note the fields that have no effect on a Ray cluster, if the job gives them."""
    said = [path for path, _ in leaves(job)]
    neutral: dict[str, Any] = {"compute.count": job.compute.count == 1, "compute.spot": not job.compute.spot}
    for row in ("trial.image", "compute.instance", "compute.count", "compute.disk", "compute.spot", "compute.max_wait",
                "network", "identity", "encryption", "tags"):  # fmt: skip
        if not any(covers(row, path) for path in said):
            continue
        if neutral.get(row):
            ledger.carry(row, row.removeprefix("compute."))
        else:
            ledger.note(row, *SUPPORT[row])
    if job.network is not None and job.network.isolated:
        ledger.note("network.isolated", *SUPPORT["network.isolated"])
    for field in ("local", "sagemaker", "vertex", "azureml", "native"):
        if any(covers(field, path) for path in said):
            ledger.note(field, *SUPPORT["native"])
