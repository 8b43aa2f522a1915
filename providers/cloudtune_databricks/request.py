"""The request of a one-time run (``jobs/runs/submit``): parts of it, and what a trial starts in it.

https://docs.databricks.com/api/workspace/jobs/submit
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from cloudtune.planning.merge_patch import Merging
from cloudtune.planning.plain_data import mapping, mappings
from cloudtune.spec.job import TuningJob

PROVIDER = "databricks"

TASK = "trial"
"""The key of the one task of each run, and of its environment."""

MERGING = Merging(("task_key", "environment_key"))

OWN_TASKS = ("spark_python_task", "python_wheel_task", "notebook_task")
"""The kinds of tasks that get a trial's parameters."""

OF_THE_TASK = frozenset(
    {
        "new_cluster", "existing_cluster_id", "environment_key", "environment_variables_key", "libraries", "description", "compute",
        "disable_auto_optimization", "max_retries", "min_retry_interval_millis", "retry_on_timeout", *OWN_TASKS,
    }
)  # fmt: skip
"""Members of a task that a request has not, so that native settings may say them as if it had."""


def task_of(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the trial's task in a request, or in a part of one; empty where there is none."""
    return next((task for task in mappings(request.get("tasks")) if task.get("task_key") == TASK), {})


def part_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return native settings as a part of the request: members of a task are those of the trial's."""
    task = {name: value for name, value in said.items() if name in OF_THE_TASK}
    rest = {name: value for name, value in said.items() if name not in OF_THE_TASK}
    if not task:
        return rest
    merged: dict[str, Any] = MERGING.merge({"tasks": [{"task_key": TASK, **task}]}, rest)
    return merged


def kind_of(task: Mapping[str, Any]) -> str:
    """Return which kind of task one is; "" for one that gets no parameters."""
    return next((kind for kind in OWN_TASKS if kind in task), "")


def starts_itself(job: TuningJob) -> bool:
    """Return whether native settings name what starts."""
    task = task_of(part_of(job.native_settings(PROVIDER)))
    return any(name.endswith("_task") and bool(task[name]) for name in task)


def helped(job: TuningJob) -> bool:
    """Return whether trials start through cloudtune's helper."""
    return (job.trial.command is not None or job.trial.function is not None) and not starts_itself(job)


def with_values(task: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a task of native settings that gets a trial's values in the way of its kind."""
    kind = kind_of(task)
    said = dict(mapping(task.get(kind)))
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    if kind == "notebook_task":
        said["base_parameters"] = {**mapping(said.get("base_parameters")), **texts}
    elif "named_parameters" in said:
        said["named_parameters"] = {**mapping(said["named_parameters"]), **texts}
    elif kind:
        said["parameters"] = [*(said.get("parameters") or ()), *(f"--{name}={text}" for name, text in texts.items())]
    return {**task, **({kind: said} if kind else {})}


_CLOUDS = (
    ("aws_attributes", re.compile(r"[a-z0-9-]+\.[a-z0-9-]+"), "SPOT_WITH_FALLBACK"),
    ("azure_attributes", re.compile(r"(?i:standard)_\w+"), "SPOT_WITH_FALLBACK_AZURE"),
    ("gcp_attributes", re.compile(r"[a-z]\d[a-z]*-[a-z0-9]+-\w+"), "PREEMPTIBLE_WITH_FALLBACK_GCP"),
)
"""How each cloud's node types look, and what spot nodes are called there."""


def spot_nodes(node_type: str) -> dict[str, Any]:
    """Return the part of a cluster that has spot nodes of a type; empty where its cloud is not known."""
    for name, form, word in _CLOUDS:
        if form.fullmatch(node_type):
            return {name: {"availability": word, "first_on_demand": 0}}
    return {}


SINGLE_NODE: Mapping[str, Any] = {
    "spark_conf": {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*]"},
    "custom_tags": {"ResourceClass": "SingleNode"},
}
"""What makes a cluster one without workers (https://docs.databricks.com/api/workspace/clusters/create: num_workers)."""
