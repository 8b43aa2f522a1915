"""What a request to ``jobs/runs/submit`` says, read by the dataclasses of Databricks' SDK."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from databricks.sdk.service.compute import ClusterSpec
from databricks.sdk.service.jobs import JobAccessControlRequest, JobEnvironment, JobRunAs, QueueSettings, SubmitTask

from cloudtune.emulation.refused import Refused
from cloudtune_databricks.emulator.errors import invalid

_PARTS = {"tasks": SubmitTask, "environments": JobEnvironment, "access_control_list": JobAccessControlRequest}
_OBJECTS = {"queue": QueueSettings, "run_as": JobRunAs}
_SCALARS = {"run_name": str, "idempotency_token": str, "timeout_seconds": int, "budget_policy_id": str, "usage_policy_id": str, "performance_target": str}  # fmt: skip
_KINDS = ("spark_python_task", "python_wheel_task")
_LONGEST_TOKEN = 64
_MOST_PARAMETERS = 10_000
"""Bytes of a task's parameters, in JSON: the limit that the service's documents give for those of runs."""


@dataclass(frozen=True, slots=True)
class Program:
    """What a one-time run runs.

    Attributes:
        said: the request.
        name: of the run.
        token: its idempotency token; "" for none.
        task: the request's only task.
        kind: of the task.
        cluster: the cluster of its own; None on serverless compute or on a cluster that is there.
        node_type: of that; "" for none.
        timeout: seconds; 0 for no limit.
        queued: whether it may wait for room.
    """

    said: Mapping[str, Any]
    name: str
    token: str
    task: SubmitTask
    kind: str
    cluster: ClusterSpec | None
    node_type: str
    timeout: int
    queued: bool

    @property
    def spot(self) -> bool:
        """Whether its cluster may be taken away."""
        own = self.cluster
        attributes = () if own is None else (own.aws_attributes, own.azure_attributes, own.gcp_attributes)
        words = [each.availability.value for each in attributes if each is not None and each.availability is not None]
        return any("SPOT" in word or "PREEMPTIBLE" in word for word in words)

    @property
    def words(self) -> list[str]:
        """The words that its program gets."""
        if self.task.spark_python_task is not None:
            return list(self.task.spark_python_task.parameters or ())
        wheel = self.task.python_wheel_task
        assert wheel is not None
        return [
            *(wheel.parameters or ()),
            *(f"--{name}={text}" for name, text in (wheel.named_parameters or {}).items()),
        ]


def read(said: Any) -> Program:
    """Return what a request says.

    Raises:
        Refused: the service would not take it, or the emulator cannot run it.
    """
    if not isinstance(said, Mapping):
        raise Refused(400, "MALFORMED_REQUEST", "The request is no JSON object.")
    _check(said)
    tasks = [SubmitTask.from_dict(dict(each)) for each in said.get("tasks") or ()]
    if len(tasks) != 1:
        raise invalid("The emulator runs requests of one task." if tasks else "At least one task must be specified.")
    (task,) = tasks
    kinds = [name for name in said["tasks"][0] if name.endswith("_task")]
    if len(kinds) != 1:
        raise invalid(f"Task {task.task_key} must have exactly one kind of task, not {', '.join(kinds) or 'none'}.")
    if kinds[0] not in _KINDS:
        raise invalid(f"The emulator runs {' and '.join(_KINDS)}, and no {kinds[0]}.")
    _check_place(said, task)
    token = str(said.get("idempotency_token") or "")
    if len(token) > _LONGEST_TOKEN:
        raise invalid(f"idempotency_token must have at most {_LONGEST_TOKEN} characters.")
    cluster = task.new_cluster
    timeout = int(said.get("timeout_seconds") or task.timeout_seconds or 0)
    queue = said.get("queue") or {}
    program = Program(
        said, str(said.get("run_name") or "Untitled"), token, task, kinds[0], cluster,
        "" if cluster is None else cluster.node_type_id or "", timeout, bool(queue.get("enabled")),
    )  # fmt: skip
    if sum(len(word.encode()) + 4 for word in program.words) > _MOST_PARAMETERS:
        raise invalid(f"The JSON representation of the parameters must not exceed {_MOST_PARAMETERS} bytes.")
    return program


def _check(said: Mapping[str, Any]) -> None:
    """Refuse what the SDK's dataclasses do not know: it would be lost on the way to its reader."""
    for name, value in said.items():
        if name in _PARTS:
            for index, part in enumerate(value if isinstance(value, list) else ["?"]):
                _check_part(part, _PARTS[name], f"{name}[{index}]")
        elif name in _OBJECTS:
            _check_part(value, _OBJECTS[name], name)
        elif name in _SCALARS:
            if not isinstance(value, _SCALARS[name]) or isinstance(value, bool):
                raise invalid(f"{name} must be of the type {_SCALARS[name].__name__}.")
        elif name not in (
            "email_notifications",
            "notification_settings",
            "webhook_notifications",
            "health",
            "git_source",
        ):
            raise Refused(400, "MALFORMED_REQUEST", f"Could not parse request object: unknown field {name}.")


def _check_part(said: Any, kind: Any, path: str) -> None:
    if not isinstance(said, Mapping):
        raise invalid(f"{path} must be an object.")
    try:
        kept = kind.from_dict(dict(said)).as_dict()
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise invalid(f"{path} cannot be read: {error}") from error
    for lost in _lost(said, kept, path):
        raise Refused(400, "MALFORMED_REQUEST", f"Could not parse request object: {lost}.")


def _lost(said: Any, kept: Any, path: str) -> Iterator[str]:
    """Yield what of data is not in what was kept of it."""
    if isinstance(said, Mapping) and isinstance(kept, Mapping):
        for name, value in said.items():
            if name not in kept and value not in (None, {}, []):
                yield f"unknown field {path}.{name}, or a value that it cannot have"
            elif name in kept:
                yield from _lost(value, kept[name], f"{path}.{name}")
    elif isinstance(said, list) and isinstance(kept, list) and len(said) == len(kept):
        for index, (value, other) in enumerate(zip(said, kept, strict=True)):
            yield from _lost(value, other, f"{path}[{index}]")
    elif said != kept:
        yield f"{path} cannot be {said!r}"


def _check_place(said: Mapping[str, Any], task: SubmitTask) -> None:
    """Refuse a task that does not say where it runs, or says it twice."""
    environments = {each.get("environment_key"): each for each in said.get("environments") or ()}
    places = [name for name in ("existing_cluster_id", "new_cluster", "environment_key") if getattr(task, name)]
    if len(places) > 1 and not (task.environment_key in environments and len(places) == 1):
        raise invalid(
            f"Task {task.task_key} must have one of existing_cluster_id, new_cluster and environment_key, not {', '.join(places)}."
        )
    if not places:
        raise invalid(
            f"Python tasks on serverless compute need an environment: task {task.task_key} has no environment_key."
        )
    if task.environment_key:
        spec = (environments.get(task.environment_key) or {}).get("spec")
        if spec is None:
            raise invalid(
                f"The environment {task.environment_key} of task {task.task_key} is not among the environments."
            )
        if not any(
            spec.get(name) for name in ("environment_version", "client", "base_environment", "project_environment")
        ):
            raise invalid(f"The environment {task.environment_key} needs environment_version or base_environment.")
    if task.new_cluster is not None:
        _check_cluster(task.new_cluster)
    python = task.spark_python_task
    if python is not None and not str(python.python_file or "").startswith("/"):
        raise invalid("The emulator has Python files of the workspace alone: python_file must be absolute.")


def _check_cluster(cluster: ClusterSpec) -> None:
    """Refuse a cluster that lacks what no policy gives it."""
    if cluster.policy_id:
        return
    if not cluster.spark_version:
        raise invalid("Missing required field: new_cluster.spark_version")
    if not (cluster.node_type_id or cluster.instance_pool_id):
        raise invalid("Missing required field: new_cluster.node_type_id")
    if cluster.num_workers is None and cluster.autoscale is None:
        raise invalid("Missing required field: new_cluster.num_workers, or autoscale")
