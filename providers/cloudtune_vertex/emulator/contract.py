"""What a machine of a custom job finds: arguments and variables.

"Training code requirements", "Distributed training" and "Hyperparameter tuning" of Vertex AI's documents, EnvVar and
CustomJobSpec.base_output_directory of its API, and training_utils.environment_variables of its SDK.
"""

import contextlib
import json
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TF_TYPES = ("chief", "worker", "ps", "evaluator")
"""What TensorFlow calls the pools, in their order ("TF_CONFIG")."""

_REFERENCE = re.compile(r"(\$?)\$\((\w+)\)")


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine of a custom job.

    Attributes:
        pool: the number of its pool.
        index: its number in the pool.
        spec: the WorkerPoolSpec.
    """

    pool: int
    index: int
    spec: Mapping[str, Any]

    @property
    def task(self) -> str:
        """What logs call it."""
        return f"workerpool{self.pool}-{self.index}"

    @property
    def program(self) -> Mapping[str, Any]:
        """The ContainerSpec or PythonPackageSpec."""
        found: Mapping[str, Any] = self.spec.get("containerSpec") or self.spec.get("pythonPackageSpec") or {}
        return found


def machines_of(spec: Mapping[str, Any]) -> list[Machine]:
    """Return the machines of a CustomJobSpec; a pool that is left out has none."""
    return [
        Machine(number, index, pool)
        for number, pool in enumerate(spec["workerPoolSpecs"])
        if pool
        for index in range(pool.get("replicaCount", 1))
    ]


def addresses(count: int) -> list[str]:
    """Return where so many machines can listen: all of them are this one, so each has a free port of its own.

    On the service each has a name of its own and port 2222, but here jobs run side by side.
    """
    with contextlib.ExitStack() as held:
        found = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in found]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is the same on all machines of a job.

    Attributes:
        spec: the CustomJobSpec.
        project: the project's id.
        job: the custom job's id.
        trial: the trial's id, for a job of a tuning job; else "".
        output: the ``gs://`` folder of the job's files; "" for none.
        metrics: the file that metrics are read from; None for none.
        machines: all of them.
        addresses: where they listen, in the same order.
    """

    spec: Mapping[str, Any]
    project: str
    job: str
    trial: str
    output: str
    metrics: Path | None
    machines: Sequence[Machine]
    addresses: Sequence[str]


def variables(facts: Facts, machine: Machine) -> dict[str, str]:
    """Return the variables of one machine, the request's own among them."""
    service = {
        "CLOUD_ML_PROJECT_ID": facts.project,
        "CLOUD_ML_JOB_ID": facts.job,
        "CLUSTER_SPEC": json.dumps(_cluster(facts, machine)),
        **_folders(facts.output),
    }
    if facts.trial:
        service["CLOUD_ML_TRIAL_ID"] = facts.trial
    if facts.metrics is not None:
        service["CLOUD_ML_HP_METRIC_FILE"] = str(facts.metrics)
    if facts.spec.get("tensorboard"):
        service["AIP_TENSORBOARD_RESOURCE_NAME"] = facts.spec["tensorboard"]
    if len(facts.machines) > 1:
        service["TF_CONFIG"] = json.dumps(_tensorflow(facts, machine))
    return {**_expanded(machine.program.get("env", []), service), **service}


def _folders(output: str) -> dict[str, str]:
    root = output.rstrip("/")
    names = {"AIP_MODEL_DIR": "model", "AIP_CHECKPOINT_DIR": "checkpoints", "AIP_TENSORBOARD_LOG_DIR": "logs"}
    return {variable: f"{root}/{name}/" for variable, name in names.items()} if output else {}


def _expanded(declared: Sequence[Mapping[str, str]], service: Mapping[str, str]) -> dict[str, str]:
    """Return the request's variables: ``$(NAME)`` stands for one of the service or one before it (EnvVar.value)."""
    found: dict[str, str] = {}

    def expand(reference: re.Match[str]) -> str:
        escaped, name = reference.groups()
        if escaped:
            return f"$({name})"
        return found.get(name, service.get(name, reference.group()))

    for each in declared:
        found[each["name"]] = _REFERENCE.sub(expand, each.get("value", ""))
    return found


def _cluster(facts: Facts, machine: Machine) -> dict[str, Any]:
    """CLUSTER_SPEC of a machine."""
    cluster: dict[str, list[str]] = {}
    for each, address in zip(facts.machines, facts.addresses, strict=True):
        cluster.setdefault(f"workerpool{each.pool}", []).append(address)
    task = {"type": f"workerpool{machine.pool}", "index": machine.index, **_trial(facts)}
    return {"cluster": cluster, "environment": "cloud", "task": task, "job": facts.spec}


def _tensorflow(facts: Facts, machine: Machine) -> dict[str, Any]:
    """TF_CONFIG of a machine, which only those of several have."""
    cluster: dict[str, list[str]] = {}
    for each, address in zip(facts.machines, facts.addresses, strict=True):
        if _TF_TYPES[each.pool] != "evaluator":  # "evaluators are not considered part of the training cluster"
            cluster.setdefault(_TF_TYPES[each.pool], []).append(address)
    task = {"type": _TF_TYPES[machine.pool], "index": machine.index, **_trial(facts)}
    return {"cluster": cluster, "environment": "cloud", "task": task, "job": facts.spec}


def _trial(facts: Facts) -> dict[str, str]:
    return {"trial": facts.trial} if facts.trial else {}


def arguments(parameters: Mapping[str, str | float]) -> list[str]:
    """Return a trial's parameters as its program gets them: ``--name=value``."""
    return [f"--{name}={_text(value)}" for name, value in parameters.items()]


def _text(value: str | float) -> str:
    """Return a value as a word.

    A whole number has no ``.0``, though it is a double inside: the service's samples read discrete parameters with
    ``type=int`` (num_units of hyperparameter_tuning_tensorflow.ipynb in vertex-ai-samples).
    """
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return str(int(value)) if whole else str(value)
