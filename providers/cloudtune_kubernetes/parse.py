"""How an attempt stands, from its Job and its pods as the API tells them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cloudtune.planning.plain_data import mapping, mappings
from cloudtune.store.records import TrialState
from cloudtune_kubernetes.client import moment
from cloudtune_kubernetes.feed import Object
from cloudtune_kubernetes.pod import CONTAINER
from cloudtune_kubernetes.workload import QUEUE

INDEX = "batch.kubernetes.io/job-completion-index"
"""The annotation with a pod's index in an indexed Job."""

_UNSTARTABLE = frozenset({
    "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError", "RegistryUnavailable",
    "SignatureValidationFailed", "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
    "PreCreateHookError", "PreStartHookError", "PostStartHookError",
})  # fmt: skip
"""Reasons for which a container waits that do not pass by themselves (k8s.io/kubernetes/pkg/kubelet/{images,container})."""

_LONGEST = 500
"""Characters of a message of the cluster."""

Wait = Literal["", "placing", "starting", "creating", "queued", "podless"]
"""Why an attempt waits: for a node, for a container that cannot start, or is being made, in a queue, for a pod; "" for nothing."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an attempt stands.

    Attributes:
        state: RUNNING until the Job has ended.
        pod: the name of the pod of rank 0; "" for none.
        started: seconds since 1970 at which its container started; None before.
        ended: seconds since 1970 at which its container ended; None before.
        running: whether that container runs.
        wait: why it waits.
        reason: why it waits or failed; "" for none.
        lost: whether the cluster took its pod away.
        preempted: whether it did so for others, or for the sake of the node.
        too_long: whether it ran for longer than it may.
    """

    state: TrialState
    pod: str = ""
    started: float | None = None
    ended: float | None = None
    running: bool = False
    wait: Wait = ""
    reason: str = ""
    lost: bool = False
    preempted: bool = False
    too_long: bool = False


def standing(job: Object, pods: Sequence[Object]) -> Standing:
    """Return how an attempt stands.

    Args:
        job: its Job.
        pods: those of the Job that are known.
    """
    lead = _lead(pods)
    container = _container(lead)
    state = mapping(container.get("state"))
    ran = mapping(state.get("running")) or mapping(state.get("terminated"))
    name = "" if lead is None else lead["metadata"]["name"]
    started, ended = moment(ran.get("startedAt")), moment(ran.get("finishedAt"))
    condition = _end_of(job)
    if condition is None:
        wait, why = _wait_of(job, pods)
        return Standing(TrialState.RUNNING, name, started, ended, "running" in state, wait, why)
    if condition["type"] == "Complete":
        return Standing(TrialState.COMPLETED, name, started, ended or moment(condition.get("lastTransitionTime")))
    lost = condition.get("reason") == "PodFailurePolicy" or any(map(_disruption, pods))
    too_long = condition.get("reason") == "DeadlineExceeded" or any(_status(pod).get("reason") == "DeadlineExceeded" for pod in pods)  # fmt: skip
    ended = ended or moment(condition.get("lastTransitionTime"))
    reason = _failure(condition, pods, lost=lost)
    preempted = lost and any(map(_preempted, pods))
    return Standing(TrialState.FAILED, name, started, ended, False, "", reason, lost, preempted, too_long)


def _lead(pods: Sequence[Object]) -> Object | None:
    """Return the pod of rank 0: the newest, where a Job has replaced one; None for none."""
    own = [pod for pod in pods if mapping(pod["metadata"].get("annotations")).get(INDEX, "0") == "0"]
    return max(reversed(own), key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), default=None)


def _end_of(job: Object) -> Mapping[str, Any] | None:
    """Return the condition that says how a Job has ended; None for one that has not."""
    conditions = mappings(mapping(job.get("status")).get("conditions"))
    ends = (each for each in conditions if each.get("type") in ("Complete", "Failed") and each.get("status") == "True")
    return next(ends, None)


def _status(pod: Object | None) -> Mapping[str, Any]:
    return mapping(mapping(pod).get("status"))


def _containers(pod: Object | None) -> Iterator[Mapping[str, Any]]:
    """Yield the statuses of a pod's containers, those that initialise it first."""
    for name in ("initContainerStatuses", "containerStatuses"):
        yield from mappings(_status(pod).get(name))


def _container(pod: Object | None) -> Mapping[str, Any]:
    return next((each for each in mappings(_status(pod).get("containerStatuses")) if each.get("name") == CONTAINER), {})


def _condition(pod: Object, kind: str, status: str) -> Mapping[str, Any]:
    conditions = mappings(_status(pod).get("conditions"))
    return next((each for each in conditions if (each.get("type"), each.get("status")) == (kind, status)), {})


def _disruption(pod: Object) -> str:
    """Return why the cluster took a pod away; "" for one that it did not.

    https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
    """
    found = _condition(pod, "DisruptionTarget", "True")
    return _short(f"{found.get('reason', 'DisruptionTarget')}: {found.get('message', '')}".strip(": ")) if found else ""


def _preempted(pod: Object) -> bool:
    """Return whether a pod had to leave for what was not its own doing, as the use of all memory of its node may be."""
    reason = _condition(pod, "DisruptionTarget", "True").get("reason")
    shut_down = reason == "TerminationByKubelet" and _status(pod).get("reason") != "Evicted"
    return shut_down or reason in ("PreemptionByScheduler", "EvictionByEvictionAPI")


# Why it waits


def _wait_of(job: Object, pods: Sequence[Object]) -> tuple[Wait, str]:
    if mapping(job.get("spec")).get("suspend"):
        queue = mapping(job["metadata"].get("labels")).get(QUEUE)
        return "queued", f"it is suspended{f', in the queue {queue}' if queue else ''}"
    for pod in pods:
        placing = _condition(pod, "PodScheduled", "False")
        if placing:
            return "placing", _short(
                f"{placing.get('reason', 'Unschedulable')}: {placing.get('message', '')}".strip(": ")
            )
        for container in _containers(pod):
            waiting = mapping(mapping(container.get("state")).get("waiting"))
            if waiting.get("reason") in _UNSTARTABLE:
                return "starting", _short(f"{waiting['reason']}: {waiting.get('message', '')}".strip(": "))
    if not pods:
        return "podless", ""
    return ("creating", "") if _is_created(_lead(pods)) else ("", "")


def _is_created(pod: Object | None) -> bool:
    """Return whether a pod has a node, and none of its containers has run: its volumes, or its images, are still to come."""
    states = [mapping(each.get("state")) for each in _containers(pod)]
    return bool(states) and not any("running" in each or "terminated" in each for each in states)


def kind_of(reason: str) -> str:
    """Return what of a reason to wait stays the same while its details change: ErrImagePull is ImagePullBackOff later."""
    first = reason.partition(":")[0]
    return "image" if "Image" in first else first


# Why it failed


def _failure(condition: Mapping[str, Any], pods: Sequence[Object], *, lost: bool) -> str:
    if lost:
        disrupted = next(filter(None, map(_disruption, pods)), "") or str(condition.get("message", ""))
        return _short(f"the cluster took its pod away ({disrupted})")
    for pod in pods:
        for container in _containers(pod):
            ended = mapping(mapping(container.get("state")).get("terminated"))
            if ended.get("exitCode"):
                return _ending(ended)
        if _status(pod).get("phase") == "Failed" and (reason := _status(pod).get("reason")):
            return _short(f"{reason}: {_status(pod).get('message', '')}".strip(": "))
    said = _short(f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": "))
    return said if pods or condition.get("reason") != "BackoffLimitExceeded" else f"its pod was deleted ({said})"


def _ending(ended: Mapping[str, Any]) -> str:
    """Return why a container ended: in its last message's words, where it left one."""
    if ended.get("reason") == "OOMKilled":
        return f"the container was killed: it took more memory than its limit (exit code {ended['exitCode']})"
    lines = str(ended.get("message") or "").strip().splitlines()
    said = _short(lines[-1]) if lines else ""
    code = f"the container ended with exit code {ended['exitCode']}"
    return said if re.search(r"\b(exit )?code\b|signal|killed", said) else f"{code}: {said}" if said else code


def _short(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]
