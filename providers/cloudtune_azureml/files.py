"""Files of the v2 schema that hold a sweep: the job itself, one whose trial stands in a file of its own, and pipelines."""

import re
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


def has_sweep(data: Mapping[str, Any]) -> bool:
    """Return whether data is a sweep job or a pipeline, as a file or as a body of the API."""
    if "search_space" in data or "azuremlschemas" in str(data.get("$schema", "")):
        return True
    return str(_members(data, "properties").get("jobType", data.get("type"))).lower() in ("sweep", "pipeline")


def sweep_of(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the sweep job in a file, with its trial in place.

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
    """Return the one sweep among a pipeline's steps, with what the pipeline says for all of them."""
    jobs = _members(data, "jobs")
    sweeps = {name: job for name, job in jobs.items() if isinstance(job, Mapping) and str(job.get("type")).lower() == "sweep"}  # fmt: skip
    if len(sweeps) != 1:
        found = f"has {len(sweeps)} sweeps ({', '.join(sweeps)})" if sweeps else "has no sweep"
        raise SpecError([Problem("jobs", f"{found}; give a pipeline with one, or the sweep alone")], SOURCE)
    ((name, sweep),) = sweeps.items()
    inputs = {key: _bound(value, data, f"jobs.{name}.inputs.{key}") for key, value in _members(sweep, "inputs").items()}
    settings = _members(data, "settings")
    whole = {"display_name": name, "experiment_name": data.get("experiment_name"), "compute": settings.get("default_compute")}  # fmt: skip
    given = {key: value for key, value in whole.items() if value is not None}
    own = {key: value for key, value in sweep.items() if value is not None}
    return _with_trial({**given, **own, **({"inputs": inputs} if inputs else {})}, folder)


def _bound(value: Any, pipeline: Mapping[str, Any], path: str) -> Any:
    """Return an input of a step: as it is, or what the pipeline's input of a name is."""
    said = value.get("path", value) if isinstance(value, Mapping) else value
    if not isinstance(said, str) or "${{parent." not in said:
        return value
    found = _PIPELINE_INPUT.fullmatch(said.strip())
    given = _members(pipeline, "inputs").get(found[1]) if found else None
    if given is None:
        message = f"comes from another step, or from an input of the pipeline that has no value ({said}); write down the place itself"
        raise SpecError([Problem(path, message)], SOURCE)
    return given


def _members(data: Any, name: str) -> Mapping[str, Any]:
    """Return a mapping below a key; {} for none."""
    found = data.get(name) if isinstance(data, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _with_trial(sweep: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a sweep whose trial was named by a file, with what stands in that file; and a trial whose inputs are searched."""
    trial = sweep.get("trial")
    reference = trial.get("component") if isinstance(trial, Mapping) and "component" in trial else trial
    return _searching(_with_file(sweep, reference, folder) if isinstance(reference, str) else sweep)


def _searching(sweep: dict[str, Any]) -> dict[str, Any]:
    """Return a sweep whose trial takes what is searched from the search space: a component has it among its inputs."""
    trial, space, inputs = sweep.get("trial"), _members(sweep, "search_space"), _members(sweep, "inputs")
    command = trial.get("command") if isinstance(trial, Mapping) else None
    if not isinstance(trial, Mapping) or not isinstance(command, str):
        return sweep

    def put(found: re.Match[str]) -> str:
        searched = found[1] in space and found[1] not in inputs
        return f"${{{{search_space.{found[1]}}}}}" if searched else found[0]

    def kept(found: re.Match[str]) -> str:
        wanted = _INPUT.findall(found[1])
        return found[1] if all(name in space or name in inputs for name in wanted) else ""

    written = _INPUT.sub(put, _OPTIONAL.sub(kept, command))
    return sweep if written == command else {**sweep, "trial": {**trial, "command": written}}


_INPUT = re.compile(r"\$\{\{\s*inputs\.([A-Za-z_]\w*)\s*\}\}")
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
"""A part of a component's command that is left out where an input in it has no value (``optional: true``)."""

_PIPELINE_INPUT = re.compile(r"\$\{\{\s*parent\.inputs\.(\w+)\s*\}\}")


def _with_file(sweep: dict[str, Any], reference: str, folder: Path) -> dict[str, Any]:
    """Return a sweep with the trial of a file."""
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
    return {**sweep, "trial": own, **_inputs(loaded, sweep), **_outputs(loaded, sweep)}


def _inputs(loaded: Mapping[str, Any], sweep: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sweep's inputs, with those of the file that it does not give: of a job, or the defaults of a component."""
    given = {}
    for name, declared in _members(loaded, "inputs").items():
        if isinstance(declared, Mapping) and "path" not in declared and "value" not in declared:
            if "default" in declared:
                given[name] = declared["default"]
        else:
            given[name] = declared
    given = {name: value for name, value in given.items() if name not in _members(sweep, "search_space")}
    inputs = {**given, **_members(sweep, "inputs")}
    return {"inputs": inputs} if inputs else {}


def _outputs(loaded: Mapping[str, Any], sweep: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sweep's outputs, with those of the file that it does not name."""
    declared = {
        name: {key: part for key, part in given.items() if key in ("type", "mode", "path")}
        if isinstance(given, Mapping)
        else given
        for name, given in _members(loaded, "outputs").items()
    }
    own = {name: given or declared.get(name) for name, given in _members(sweep, "outputs").items()}
    outputs = {**declared, **own}
    return {"outputs": outputs} if outputs else {}
