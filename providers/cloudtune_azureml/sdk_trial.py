"""A user's own ``azure.ai.ml.command(...)`` as the trial of a job.

Its file says everything: what another provider could do as well goes to the neutral fields, the rest under
``azureml``, as with any other file (see `parse`).
"""

import io
import re
from collections.abc import Collection, Mapping
from typing import Any

import yaml

from cloudtune.errors import Problem, SpecError
from cloudtune.planning.reading import job_with
from cloudtune.spec.job import TuningJob
from cloudtune_azureml.client import quiet
from cloudtune_azureml.parse import parse

SOURCE = "the command job"

_OF_A_TRIAL = ("environment", "environment_variables", "distribution", "resources")
_OF_THE_SWEEP = (
    "inputs", "outputs", "compute", "identity", "queue_settings", "tags", "properties", "services", "display_name",
    "experiment_name", "description",
)  # fmt: skip

_ANY_LIMITS = {"max_total_trials": 1, "max_concurrent_trials": 1}

_ANY = {
    "type": "sweep",
    "sampling_algorithm": "random",
    "objective": {"goal": "maximize", "primary_metric": "any"},
}
"""Stands for what a command job does not say: how to search."""

_ANY_RANGE = {"type": "uniform", "min_value": 0.0, "max_value": 1.0}


def job_of(command_job: Any, *, objective: Any, space: Mapping[str, Any], **fields: Any) -> TuningJob:
    """Return the tuning job whose trials run as a command job does.

    As with the SDK's own ``command_job(...).sweep(...)``, the tuned inputs are those that the space names: where the
    command has ``${{inputs.x}}``, a trial's value of ``x`` stands.

    Args:
        command_job: what ``azure.ai.ml.command(...)`` gives, or a ``CommandJob`` of ``load_job``.
        objective: as in a job, e.g. ``{"metric": "loss", "goal": "minimize"}``.
        space: what to vary: the names of inputs.
        **fields: further fields of the job, such as ``limits`` and ``strategy``; they win over the command job's.

    Raises:
        SpecError: the job is not valid, or the command has no such input.
    """
    data: dict[str, Any] = parse(_sweep_of(_file_of(command_job), list(space))).to_data()
    data["limits"] = {name: value for name, value in data["limits"].items() if name == "trial_time"}
    return job_with(data, {"objective": objective, "space": space, **fields}, SOURCE)


def _file_of(command_job: Any) -> dict[str, Any]:
    """Return the job as the SDK writes its file."""
    job = command_job._to_job() if hasattr(command_job, "_to_job") else command_job  # noqa: SLF001  # what the SDK's own sweep() does
    text = io.StringIO()
    with quiet():
        job.dump(text)
    file: dict[str, Any] = yaml.safe_load(text.getvalue())
    # In the file a place on this machine has a mark before it, which a reader takes for that of an asset's name.
    for name, given in (job.inputs or {}).items():
        if isinstance(file["inputs"][name], dict) and getattr(given, "path", None) is not None:
            file["inputs"][name]["path"] = str(given.path)
    return {**file, "code": job.code if job.code is None else str(job.code)}


def _sweep_of(file: Mapping[str, Any], tuned: Collection[str]) -> dict[str, Any]:
    """Return the sweep of a command job's file, over some of its inputs."""
    command = _placed(file["command"], tuned)
    trial = {"command": command, "code": file["code"], **{name: file[name] for name in _OF_A_TRIAL if file.get(name)}}
    whole = {name: file[name] for name in _OF_THE_SWEEP if file.get(name)}
    inputs = {name: given for name, given in whole.pop("inputs", {}).items() if name not in tuned}
    timeout = (file.get("limits") or {}).get("timeout")
    return {
        **_ANY,
        **whole,
        **({"inputs": inputs} if inputs else {}),
        "limits": {**_ANY_LIMITS, **({"trial_timeout": timeout} if timeout else {})},
        "trial": {name: value for name, value in trial.items() if value is not None},
        "search_space": dict.fromkeys(tuned, _ANY_RANGE),
    }


def _placed(command: str, tuned: Collection[str]) -> str:
    for name in tuned:
        command, count = re.subn(
            rf"\${{{{\s*inputs\.{re.escape(name)}\s*}}}}", f"${{{{search_space.{name}}}}}", command
        )
        if not count:
            message = f"the command has no ${{{{inputs.{name}}}}}, so nothing would become of it: {command}"
            raise SpecError([Problem(f"space.{name}", message)], SOURCE)
    return command
