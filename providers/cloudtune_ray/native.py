"""The settings of a job under ``ray:``."""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, field_validator

from cloudtune.process.setting import LOG_SIZE
from cloudtune.space.parameters import SpecModel
from cloudtune.spec.fields import Duration, Size
from cloudtune.spec.units import parse_duration

RUNTIME_ENV = (
    "working_dir", "excludes", "py_modules", "pip", "uv", "conda", "env_vars", "py_executable", "image_uri", "container", "config", "java_jars",
)  # fmt: skip
"""The keys of a runtime environment (`ray.runtime_env.RuntimeEnv.known_fields`, Ray 2.60)."""

_PLACES = ("working_dir", "py_modules", "java_jars")
"""The keys of a runtime environment that name code, by addresses or by files of this machine."""

_BUILT_IN = ("CPU", "GPU", "memory", "object_store_memory")


def _refuse_local(name: str, value: object) -> None:
    """Check that code of a runtime environment is at addresses.

    Files of this machine are sent by `trial.source` alone, which leaves out secrets; Ray itself packs none for an
    actor.

    Raises:
        ValueError: it is in a file of this machine.
    """
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str) and "://" not in each:
            what = (
                f"trial: {{source: {each}}}"
                if name == "working_dir"
                else "trial: {source: …} with a folder that has it"
            )
            raise ValueError(
                f"{name}: {each!r} is of this machine, from where code travels by the source alone; write {what}, or give the address of a package (s3://, gs://, https://, …)"
            )


class RayJob(SpecModel):
    """The settings under ``ray:``."""

    num_cpus: Annotated[float, Field(ge=0)] | None = None
    """Logical processors that a trial takes; null for compute.cpus, else 1."""
    num_gpus: Annotated[float, Field(ge=0)] | None = None
    """GPUs that a trial takes, or what part of one; null for what compute.accelerators says."""
    resources: dict[str, Annotated[float, Field(ge=0.0001)]] = {}
    """Further resources that a trial takes, by the names that the cluster's nodes were started with."""
    runtime_env: dict[str, JsonValue] = {}
    """Ray's runtime environment of the trials: pip, uv, conda, env_vars, working_dir, py_modules, image_uri, …"""
    scheduling_strategy: Literal["DEFAULT", "SPREAD"] = "DEFAULT"
    """DEFAULT fills nodes one after the other; SPREAD spreads trials over all of them."""
    isolate: bool = True
    """For functions: whether each trial has a process of its own; false lets a worker in each slot take many."""
    grace: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """Seconds between the request to end (SIGTERM) and the end (SIGKILL)."""
    log_size: Annotated[Size, Field(ge=4096)] = LOG_SIZE
    """How much of its output the log of a trial keeps: the first half of so much, and the last of it."""
    data: Literal["shipped", "shared"] = "shipped"
    """shipped: local data travels to the nodes; shared: all nodes see it at the same path."""
    wait: Duration | None = None
    """How long to wait for resources that no node of the cluster has, because it grows by itself; null refuses at once."""
    linger: Duration = parse_duration("1h")
    """How long a slot keeps what its trial left when there is no driver: within it a resumed run takes over."""

    @field_validator("num_gpus")
    @classmethod
    def _whole(cls, value: float | None) -> float | None:
        if value is not None and value > 1 and value != int(value):
            raise ValueError("is a part of one GPU, or a whole number of them")
        return value

    @field_validator("runtime_env")
    @classmethod
    def _known(cls, value: dict[str, Any]) -> dict[str, Any]:
        unknown = [name for name in value if name not in RUNTIME_ENV]
        if unknown:
            raise ValueError(f"Ray's runtime environment has no {unknown[0]!r}; it has {', '.join(RUNTIME_ENV)}")
        for name in _PLACES:
            _refuse_local(name, value.get(name))
        return value

    @field_validator("resources")
    @classmethod
    def _own_names(cls, value: dict[str, float]) -> dict[str, float]:
        built_in = [name for name in value if name in _BUILT_IN]
        if built_in:
            raise ValueError(f"{built_in[0]} is no custom resource; give compute or ray: {{num_cpus: …, num_gpus: …}}")
        return value
