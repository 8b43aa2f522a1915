"""A sweep as the node of a pipeline of Azure Machine Learning.

https://learn.microsoft.com/azure/machine-learning/how-to-use-sweep-in-pipeline: the trial of such a node is a command component,
whose inputs are the sweep's inputs and parameters; a component has no environment variables of its own.
"""

import re
import shlex
from collections.abc import Mapping
from typing import Any

from cloudtune.errors import Problem, SpecError

_SCHEMA = "https://azuremlschemas.azureedge.net/latest/pipelineJob.schema.json"

_OF_THE_COMPONENT = ("code", "environment", "distribution")
"""Fields of a sweep's trial that a component has, too."""

_OF_THE_NODE = ("resources", "queue_settings", "identity", "compute")
"""Fields of a trial, or a sweep, that belong to the node."""

_OF_THE_PIPELINE = ("display_name", "experiment_name", "description", "tags")

_WHOLE = ("quniform", "qlognormal", "qnormal", "qloguniform", "randint")


def pipeline_with(sweep: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a pipeline whose only node is a sweep, in the words of Azure's YAML.

    Args:
        sweep: a sweep job.
        name: of the node.

    Raises:
        SpecError: a parameter's values are of several types, so that a component's input cannot hold them.
    """
    trial, space = dict(sweep["trial"]), sweep["search_space"]
    inputs, outputs = sweep.get("inputs", {}), sweep.get("outputs", {})
    component = {key: trial[key] for key in _OF_THE_COMPONENT if key in trial}
    component |= {
        "type": "command",
        "name": f"{re.sub(r'[^a-z0-9_]', '_', name.lower())}_trial",
        "version": "1",
        "inputs": {
            **{key: {"type": value["type"]} for key, value in inputs.items()},
            **{key: {"type": _type_of(key, value), "optional": False} for key, value in space.items()},
        },
        "outputs": {key: {"type": value["type"]} for key, value in outputs.items()},
        "command": _command(trial),
    }
    node = {key: value for key, value in sweep.items() if key not in (*_OF_THE_PIPELINE, "trial", "type", "$schema")}
    node |= {key: trial[key] for key in _OF_THE_NODE if key in trial}
    return {
        "$schema": _SCHEMA,
        "type": "pipeline",
        **{key: sweep[key] for key in _OF_THE_PIPELINE if key in sweep},
        "jobs": {name: {"type": "sweep", "trial": component, **node}},
    }


def _command(trial: Mapping[str, Any]) -> str:
    """Return the component's command: it takes parameters as inputs, and sets the environment variables itself."""
    command = re.sub(r"\$\{\{\s*search_space\.(.+?)\s*\}\}", r"${{inputs.\1}}", trial["command"])
    variables = trial.get("environment_variables", {})
    exports = " ".join(f"{key}={shlex.quote(str(value))}" for key, value in variables.items())
    return f"export {exports} && {command}" if exports else command


def _type_of(name: str, entry: Mapping[str, Any]) -> str:
    """Return the type of a component's input for a parameter."""
    if entry["type"] != "choice":
        return "integer" if entry["type"] in _WHOLE and float(entry.get("q", 1)).is_integer() else "number"
    kinds = {type(value) for value in entry["values"]}
    if kinds <= {int}:
        return "integer"
    if kinds <= {int, float}:
        return "number"
    if kinds <= {bool}:
        return "boolean"
    if kinds <= {str}:
        return "string"
    message = "a node of a pipeline takes values of one type, and no conditions; run the job as it is, or as a sweep"
    raise SpecError([Problem(f"space.{name}", message)], "the job as a step")
