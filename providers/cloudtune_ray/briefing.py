"""What the slots of a run get: their placement, the setting of their node, and the order for each trial."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cloudtune.process.setting import Setting
from cloudtune.spec.sources import heard
from cloudtune.store.records import Trial
from cloudtune.trial import data_variable
from cloudtune.trial.commands import compile_command
from cloudtune.trial.hearing import variables
from cloudtune_ray.native import RayJob
from cloudtune_ray.shipping import archive, archive_as_it_is, package
from cloudtune_ray.translate import ActorOptions

ACCELERATOR_PART = 0.001
"""Amount of the resource ``accelerator_type:NAME`` that Ray takes for an option ``accelerator_type``."""


@dataclass(frozen=True)
class Briefing:
    """The data from which the slots and orders of one run are made.

    Attributes:
        ray: the module.
        mark: names the run in the cluster; ids are unique only within a store.
        setting: of all trials, with paths of this machine.
        base: the job file's folder.
        native: the job's settings for Ray.
        actor: the options of the slots' actors.
        places: the local data by name.
        environment: the values of the job's variables.
        runtime_env: Ray's runtime environment, with the paths of its files.
    """

    ray: Any
    mark: str
    setting: Setting
    base: Path
    native: RayJob
    actor: ActorOptions
    places: Mapping[str, str]
    environment: Mapping[str, str]
    runtime_env: Mapping[str, Any]

    @property
    def prefix(self) -> str:
        """The beginning of the names of the run's actors."""
        return prefix_of(self.setting.run_id, self.mark)

    @property
    def demand(self) -> dict[str, float]:
        """The resources that a trial takes of its node, by name."""
        actor = self.actor
        wanted = {"CPU": actor.num_cpus, "GPU": actor.num_gpus, "memory": float(actor.memory or 0), **actor.resources}
        if actor.accelerator_type is not None:
            wanted[f"accelerator_type:{actor.accelerator_type}"] = ACCELERATOR_PART
        return {name: amount for name, amount in wanted.items() if amount}

    def options(self, name: str, namespace: str) -> dict[str, Any]:
        """Return the options of a slot's actor, which outlives its driver."""
        placed = placement(self.actor, self.runtime_env)
        return {"name": name, "namespace": namespace, "lifetime": "detached", "max_restarts": 0, **placed}

    @cached_property
    def pooled(self) -> bool:
        """Whether each slot has a worker that runs many trials."""
        return self.setting.job.trial.function is not None and not self.native.isolate

    @cached_property
    def actor_arguments(self) -> tuple[Any, str, float]:
        """The arguments of `SlotActor`: cloudtune's files as an object of Ray's store, their hash, and `linger`."""
        content, digest = package()
        return self.ray.put(content), digest, self.native.linger.total_seconds()

    @cached_property
    def node(self) -> dict[str, Any]:
        """The argument of `Slot.prepare`; the first access puts code and data into Ray's store."""
        setting, source = self.setting, self.setting.folder / "source"
        return {
            "mark": self.mark,
            "run": setting.run_id,
            "base": str(self.base),
            "code": archive(source, self.ray.put, "trial.source") if source.is_dir() else None,
            "data": {data_variable(name): self._data(name, place) for name, place in self.places.items()},
            "outputs": None if setting.outputs is None else str(setting.outputs),
            "function": setting.job.trial.function,
            "metric": setting.metric,
            "memory": setting.memory,
            "seconds": setting.seconds,
            "grace": setting.grace,
            "log_size": setting.log_size,
            "pooled": self.pooled,
        }

    def _data(self, name: str, place: str) -> dict[str, Any]:
        path = (self.base / place).resolve()
        shipped = self.native.data == "shipped"
        return {
            "name": f"data-{data_variable(name)}",
            "pieces": archive(path, self.ray.put, f"data.{name}") if shipped else None,
            "below": path.name if path.is_file() else "",
            "path": str(path),
        }

    @cached_property
    def _place(self) -> Any:
        command = self.setting.job.trial.command
        return None if command is None else compile_command(command, list(self.setting.job.space))

    def order(self, trial: Trial) -> dict[str, Any]:
        """Return the order for `Slot.run` to run the present attempt of a trial."""
        if self.setting.outputs is None:  # else it lies where the nodes see it
            self.setting.inherit(trial)
        checkpoint = Path(self.setting.files(trial).checkpoint)
        travels = self.setting.outputs is None and checkpoint.is_dir() and any(checkpoint.iterdir())
        return {
            "key": f"{trial.number}.{trial.attempt}",
            "number": trial.number,
            "attempt": trial.attempt,
            "parameters": trial.parameters,
            "argv": None if self._place is None else self._place(trial.parameters, trial.number),
            "environment": {**self.environment, **variables(heard(self.setting.job))},
            "parent": trial.parent,
            "checkpoint": archive_as_it_is(checkpoint, self.ray.put) if travels else [],
        }


def prefix_of(run_id: str, mark: str) -> str:
    """Return the beginning of the names of a run's actors."""
    return f"cloudtune-{run_id}-{mark}-"


def placement(actor: ActorOptions, runtime_env: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of an actor for the resources that it takes of a node and for its runtime environment."""
    options = {
        "num_cpus": actor.num_cpus,
        "num_gpus": actor.num_gpus,
        "resources": actor.resources,
        "scheduling_strategy": actor.scheduling_strategy,
        "accelerator_type": actor.accelerator_type,
        "memory": actor.memory,
        "runtime_env": dict(runtime_env),
    }
    return {name: value for name, value in options.items() if value not in (None, {})}


def found_files(runtime_env: Mapping[str, Any], base: Path, source: str | None) -> dict[str, Any]:
    """Return a runtime environment with the paths of its requirements' files: beside the job file, or in the source."""
    found = dict(runtime_env)
    for name in ("pip", "uv", "conda"):
        value = found.get(name)
        if isinstance(value, str):
            places = [base / value, *([base / source / value] if source else [])]
            found[name] = next((str(place.resolve()) for place in places if place.is_file()), value)
    return found
