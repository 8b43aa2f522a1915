"""The emulated nodes, and which pods fit on them: requests, selectors, affinities, taints (kube-scheduler's filters)."""

import time
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from cloudtune_kubernetes.emulator import times
from cloudtune_kubernetes.emulator.discovery import VERSION
from cloudtune_kubernetes.emulator.quantities import canonical, number
from cloudtune_kubernetes.emulator.selectors import required

Object = dict[str, Any]
UNREACHABLE = "node.kubernetes.io/unreachable"


def node(
    name: str,
    address: str,
    resources: Mapping[str, str],
    labels: Mapping[str, str],
    taints: Sequence[Mapping[str, str]] = (),
) -> Object:
    """Return a node that is ready.

    Args:
        name: of it.
        address: its own.
        resources: what it has, as quantities.
        labels: further labels.
        taints: of it.
    """
    held = {name: canonical(value) for name, value in {"pods": "110", **resources}.items()}
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", **labels},
        },
        "spec": {"taints": [dict(each) for each in taints]} if taints else {},
        "status": {
            "capacity": held,
            "allocatable": held,
            "conditions": [ready_condition("True")],
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "nodeInfo": {
                "kubeletVersion": VERSION, "containerRuntimeVersion": "processes://1", "osImage": "this machine",
                "kernelVersion": "", "architecture": "amd64", "operatingSystem": "linux", "kubeProxyVersion": "",
                "bootID": "", "machineID": "", "systemUUID": "",
            },
        },
    }  # fmt: skip


def ready_condition(status: str) -> dict[str, str]:
    """Return a node's condition Ready: True, False or Unknown."""
    now = times.at(time.time())
    ready = status == "True"
    return {
        "type": "Ready", "status": status, "lastHeartbeatTime": now, "lastTransitionTime": now,
        "reason": "KubeletReady" if ready else "NodeStatusUnknown",
        "message": "kubelet is posting ready status" if ready else "Kubelet stopped posting node status.",
    }  # fmt: skip


def requests_of(spec: Mapping[str, Any]) -> dict[str, Decimal]:
    """Return what a pod asks for: of all containers together, or of one init container if that is more."""
    total: dict[str, Decimal] = {"pods": Decimal(1)}
    initial: dict[str, Decimal] = {}
    for container in spec.get("containers") or ():
        for name, value in ((container.get("resources") or {}).get("requests") or {}).items():
            total[name] = total.get(name, Decimal(0)) + number(value)
    for container in spec.get("initContainers") or ():
        lasting = container.get("restartPolicy") == "Always"
        for name, value in ((container.get("resources") or {}).get("requests") or {}).items():
            if lasting:
                total[name] = total.get(name, Decimal(0)) + number(value)
            else:
                initial[name] = max(initial.get(name, Decimal(0)), number(value))
    return {name: max(total.get(name, Decimal(0)), initial.get(name, Decimal(0))) for name in {**total, **initial}}


def unfit(pod: Mapping[str, Any], held: Mapping[str, Any], used: Mapping[str, Decimal], *, lenient: bool) -> list[str]:
    """Return why a pod cannot go to a node, in the scheduler's words; [] if it can.

    Args:
        pod: the pod.
        held: the node.
        used: what the pods on the node have asked for.
        lenient: whether nodes have every label and every extended resource that a pod asks for.
    """
    spec, labels = pod["spec"], held["metadata"].get("labels") or {}
    if held["spec"].get("unschedulable"):
        return ["node(s) were unschedulable"]
    found = _untolerated(spec.get("tolerations") or (), held["spec"].get("taints") or ())
    if found:
        return ["node(s) had untolerated taint(s)"]
    if not lenient and not (_selected(spec, labels) and _affine(spec, held)):
        return ["node(s) didn't match Pod's node affinity/selector"]
    allocatable = held["status"]["allocatable"]
    lacking = []
    for name, wanted in sorted(requests_of(spec).items()):
        if lenient and "/" in name and name not in allocatable:
            continue
        if wanted and used.get(name, Decimal(0)) + wanted > number(allocatable.get(name, "0")):
            lacking.append("Too many pods" if name == "pods" else f"Insufficient {name}")
    return lacking


def _selected(spec: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return all(labels.get(name) == value for name, value in (spec.get("nodeSelector") or {}).items())


def _affine(spec: Mapping[str, Any], held: Mapping[str, Any]) -> bool:
    wanted = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not wanted:
        return True
    labels, fields = held["metadata"].get("labels") or {}, {"metadata.name": held["metadata"]["name"]}
    return any(
        all(required(each, labels) for each in term.get("matchExpressions") or ())
        and all(required(each, fields) for each in term.get("matchFields") or ())
        for term in wanted.get("nodeSelectorTerms") or ()
    )


def _untolerated(tolerations: Iterable[Mapping[str, Any]], taints: Iterable[Mapping[str, Any]]) -> str:
    """Return the first taint that keeps a pod away, ``key: value``; "" for none."""
    given = list(tolerations)
    for taint in taints:
        if taint["effect"] in ("NoSchedule", "NoExecute") and not any(tolerates(each, taint) for each in given):
            return f"{taint['key']}: {taint.get('value', '')}"
    return ""


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Return whether a toleration is for a taint."""
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("key") not in (None, "", taint["key"]):
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")
