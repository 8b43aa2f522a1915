"""Jobs for tests of Kubernetes' emulator, and ways to wait for what becomes of them, by the official client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubernetes import client, watch


def job(
    command: str,
    name: str = "",
    *,
    pod: dict[str, Any] | None = None,
    container: dict[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A job whose one container runs a line of shell."""
    main = {"name": "main", "image": "emulated:python", "command": ["sh", "-c", command], **(container or {})}
    template = {"spec": {"restartPolicy": "Never", "containers": [main], **(pod or {})}}
    return {"metadata": {"name": name} if name else {"generateName": "job-"}, "spec": {"template": template, **spec}}


class Served:
    """An emulator through the official client.

    Args:
        api: the client.
        namespace: in which everything is.
    """

    def __init__(self, api: client.ApiClient, namespace: str = "default") -> None:
        self.api, self.namespace = api, namespace
        self.batch, self.core = client.BatchV1Api(api), client.CoreV1Api(api)

    def submit(self, body: dict[str, Any]) -> str:
        """Make a job and return its name."""
        return str(self.batch.create_namespaced_job(self.namespace, body).metadata.name)

    def until(self, name: str, holds: Callable[[Any], bool], seconds: int = 30) -> Any:
        """Watch a job until something holds for it."""
        return self._until(self.batch.list_namespaced_job, f"metadata.name={name}", "", holds, seconds)

    def pod_until(self, job_name: str, holds: Callable[[Any], bool], seconds: int = 30) -> Any:
        """Watch the pods of a job until something holds for one of them."""
        return self._until(self.core.list_namespaced_pod, "", f"job-name={job_name}", holds, seconds)

    def _until(self, listed: Any, fields: str, labels: str, holds: Callable[[Any], bool], seconds: int) -> Any:
        last = None
        stream = watch.Watch().stream(
            listed, self.namespace, field_selector=fields, label_selector=labels, timeout_seconds=seconds
        )
        for event in stream:
            last = event["object"]
            if event["type"] != "DELETED" and holds(last):
                return last
        raise AssertionError(f"it did not become so: {last}")

    def ended(self, name: str) -> Any:
        """Wait for the end of a job and return it."""
        return self.until(name, lambda each: bool(conditions(each) & {"Complete", "Failed"}))

    def pods(self, job_name: str) -> list[Any]:
        """The pods of a job."""
        return list(self.core.list_namespaced_pod(self.namespace, label_selector=f"job-name={job_name}").items)

    def log(self, pod: str, **options: Any) -> str:
        """The output of a pod."""
        return str(self.core.read_namespaced_pod_log(pod, self.namespace, **options))

    def output(self, name: str) -> str:
        """The output of the only pod of a job, once that has ended."""
        self.ended(name)
        return self.log(self.pods(name)[0].metadata.name)

    def events(self, about: str) -> list[tuple[str, str]]:
        """The reasons and messages of the events about an object."""
        found = self.core.list_namespaced_event(self.namespace, field_selector=f"involvedObject.name={about}").items
        return [(each.reason, each.message) for each in found]


def conditions(each: Any) -> set[str]:
    """The types of the conditions that are true."""
    return {found.type for found in each.status.conditions or () if found.status == "True"}


def reason(each: Any, kind: str) -> str:
    """The reason of a condition."""
    return next((found.reason or "" for found in each.status.conditions or () if found.type == kind), "")
