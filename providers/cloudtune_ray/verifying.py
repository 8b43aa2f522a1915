"""Find files that a job names and that do not exist, and options that Ray would refuse, before a run is stored."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudtune.bundle.source import MAX_SIZE
from cloudtune.bundle.tree import tree_of
from cloudtune.errors import Problem
from cloudtune.spec.job import TuningJob
from cloudtune.spec.units import format_size
from cloudtune_ray.actor import SlotActor
from cloudtune_ray.briefing import found_files, placement
from cloudtune_ray.cluster import load_ray
from cloudtune_ray.native import RayJob
from cloudtune_ray.translate import ActorOptions


def problems(job: TuningJob, base: Path, request: Mapping[str, Any]) -> list[Problem]:
    """Return the problems of files, data, and the options of the slots' actors.

    Args:
        job: the spec.
        base: the job file's folder.
        request: the plan's.

    Raises:
        ConfigError: Ray is not installed.
    """
    found = []
    settings = RayJob.model_validate(job.native_settings("ray"))
    if settings.data == "shipped":
        found += _of_data(request["data"], base)
    return found + _of_options(job, settings, ActorOptions.model_validate(request["actor"]), base)


def _of_data(places: Mapping[str, str], base: Path) -> list[Problem]:
    total = sum(tree_of(base / place).size for place in places.values() if (base / place).exists())
    if total <= MAX_SIZE:
        return []
    hint = "put it where all nodes see it, and say ray: {data: shared}"
    return [Problem("data", f"is {format_size(total)}, and no more than {format_size(MAX_SIZE)} travel", hint)]


def _of_options(job: TuningJob, settings: RayJob, actor: ActorOptions, base: Path) -> list[Problem]:
    """Return the problems that Ray's own check of an actor's options and its runtime environment finds."""
    environment = found_files(settings.runtime_env, base, job.trial.source)
    try:
        load_ray().remote(SlotActor).options(**placement(actor, environment))
    except (ValueError, TypeError, OSError) as error:
        return [Problem("ray.runtime_env" if environment else "ray", " ".join(str(error).split()))]
    return []
