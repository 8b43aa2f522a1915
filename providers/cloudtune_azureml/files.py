"""Files of the v2 schema that hold a sweep: the job itself, one whose trial stands in a file of its own, and pipelines."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudtune.errors import ConfigError, Problem, SpecError
from cloudtune.interop.documents import read_document

SOURCE = "the Azure Machine Learning job"

_OF_A_TRIAL = (
    "command", "code", "environment", "environment_variables", "resources", "distribution", "queue_settings",
)  # fmt: skip
"""Fields of a command job or command component that a sweep's trial has."""


def sweep_of(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The sweep job in a file, with its trial in place.

    Args:
        data: of the file.
        folder: what the paths of further files are relative to.

    Raises:
        SpecError: there is none, or more than one; or a further file cannot be read.
    """
    kind = str(data.get("type", "sweep" if "search_space" in data else "")).lower()
    if kind == "automl":
        message = "is an AutoML job, which tunes models of Azure's own: there is no program of yours to tune; make a sweep job of your training script"
        raise SpecError([Problem("type", message)], SOURCE)
    if kind == "pipeline":
        return _of_pipeline(data, folder)
    if kind != "sweep":
        raise SpecError([Problem("type", f"must be 'sweep', not {data.get('type')!r}")], SOURCE)
    return _with_trial({"type": "sweep", **data}, folder)


def _of_pipeline(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The one sweep among a pipeline's steps, with what the pipeline says for all of them."""
    jobs = data.get("jobs") or {}
    sweeps = {name: job for name, job in jobs.items() if isinstance(job, Mapping) and str(job.get("type")).lower() == "sweep"}  # fmt: skip
    if len(sweeps) != 1:
        found = f"has {len(sweeps)} sweeps ({', '.join(sweeps)})" if sweeps else "has no sweep"
        raise SpecError([Problem("jobs", f"{found}; give a pipeline with one, or the sweep alone")], SOURCE)
    ((name, sweep),) = sweeps.items()
    bound = [key for key, value in (sweep.get("inputs") or {}).items() if "${{parent." in str(value)]
    if bound:
        message = f"comes from another step or from the pipeline's inputs ({sweep['inputs'][bound[0]]}); write down the place itself"
        raise SpecError([Problem(f"jobs.{name}.inputs.{bound[0]}", message)], SOURCE)
    settings = data.get("settings") or {}
    whole = {"display_name": name, "experiment_name": data.get("experiment_name"), "compute": settings.get("default_compute")}  # fmt: skip
    given = {key: value for key, value in whole.items() if value is not None}
    return _with_trial({**given, **{key: value for key, value in sweep.items() if value is not None}}, folder)


def _with_trial(sweep: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A sweep whose trial was named by a file, with what stands in that file."""
    trial = sweep.get("trial")
    reference = trial.get("component") if isinstance(trial, Mapping) and "component" in trial else trial
    if not isinstance(reference, str):
        return sweep
    if reference.startswith("azureml:"):
        message = f"{reference} is a component of a workspace; write down its command, code and environment"
        raise SpecError([Problem("trial", message)], SOURCE)
    path = folder / reference.removeprefix("file:")
    try:
        loaded = read_document(str(path)).data
    except (OSError, ConfigError) as error:
        raise SpecError([Problem("trial", f"{path} cannot be read: {error}")], SOURCE) from error
    if not isinstance(loaded, Mapping) or "command" not in loaded:
        raise SpecError([Problem("trial", f"{path} is no command job and no command component")], SOURCE)
    own = {name: loaded[name] for name in _OF_A_TRIAL if name in loaded}
    if isinstance(own.get("code"), str) and "://" not in own["code"] and not own["code"].startswith("azureml:"):
        own["code"] = (Path(reference.removeprefix("file:")).parent / own["code"]).as_posix()
    return {**sweep, "trial": own, **_inputs(loaded, sweep)}


def _inputs(loaded: Mapping[str, Any], sweep: Mapping[str, Any]) -> dict[str, Any]:
    """The sweep's inputs, with those of the file that it does not give: of a job, or the defaults of a component."""
    given = {}
    for name, declared in (loaded.get("inputs") or {}).items():
        if isinstance(declared, Mapping) and "path" not in declared and "value" not in declared:
            if "default" in declared:
                given[name] = declared["default"]
        else:
            given[name] = declared
    given = {name: value for name, value in given.items() if name not in sweep.get("search_space", {})}
    inputs = {**given, **(sweep.get("inputs") or {})}
    return {"inputs": inputs} if inputs else {}
