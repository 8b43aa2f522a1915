"""Objects as tables, which ``kubectl get`` prints (k8s.io/kubernetes/pkg/printers/internalversion)."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cloudtune_kubernetes.emulator import kinds, times
from cloudtune_kubernetes.emulator.kinds import Kind

Cells = Callable[[Mapping[str, Any]], list[Any]]
_NONE = "<none>"


def _age(text: str | None) -> str:
    return times.duration(time.time() - times.seconds_of(text)) if text else "<unknown>"


def _name(each: Mapping[str, Any]) -> str:
    return str(each["metadata"]["name"])


def _born(each: Mapping[str, Any]) -> str:
    return _age(each["metadata"].get("creationTimestamp"))


def pod_status(each: Mapping[str, Any]) -> tuple[int, int, str, int]:
    """Return the ready containers, all containers, the word for the state, and the restarts of a pod."""
    spec, status, meta = each["spec"], each.get("status") or {}, each["metadata"]
    reason = status.get("reason") or status.get("phase", "")
    if any(
        c["type"] == "PodScheduled" and c.get("reason") == "SchedulingGated" for c in status.get("conditions") or ()
    ):
        reason = "SchedulingGated"
    restarts = sum(c.get("restartCount", 0) for c in status.get("containerStatuses") or ())
    initial = _initial(spec, status)
    if initial:
        reason = initial
    else:
        for container in reversed(status.get("containerStatuses") or ()):
            state = container.get("state") or {}
            waiting, terminated = state.get("waiting") or {}, state.get("terminated")
            if waiting.get("reason"):
                reason = waiting["reason"]
            elif terminated is not None:
                reason = terminated.get("reason") or f"ExitCode:{terminated['exitCode']}"
    if meta.get("deletionTimestamp"):
        reason = (
            "Unknown"
            if status.get("reason") == "NodeLost"
            else "Terminating"
            if status.get("phase") not in ("Succeeded", "Failed")
            else reason
        )
    ready = sum(bool(c.get("ready")) for c in status.get("containerStatuses") or ())
    return ready, len(spec.get("containers") or ()), reason, restarts


def _initial(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    for number, container in enumerate(status.get("initContainerStatuses") or ()):
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated is not None and terminated["exitCode"] == 0:
            continue
        if terminated is not None:
            return f"Init:{terminated.get('reason') or 'ExitCode:' + str(terminated['exitCode'])}"
        if waiting.get("reason") not in (None, "PodInitializing"):
            return f"Init:{waiting['reason']}"
        return f"Init:{number}/{len(spec.get('initContainers') or ())}"
    return ""


def _pod(each: Mapping[str, Any]) -> list[Any]:
    ready, total, word, restarts = pod_status(each)
    status = each.get("status") or {}
    ip, node = status.get("podIP") or _NONE, each["spec"].get("nodeName") or _NONE
    return [_name(each), f"{ready}/{total}", word, str(restarts), _born(each), ip, node, _NONE, _NONE]


def _job(each: Mapping[str, Any]) -> list[Any]:
    spec, status = each["spec"], each.get("status") or {}
    done = status.get("succeeded", 0)
    if spec.get("completions") is not None:
        completions = f"{done}/{spec['completions']}"
    else:
        completions = f"{done}/1 of {spec['parallelism']}" if spec["parallelism"] > 1 else f"{done}/1"
    start = status.get("startTime")
    end = status.get("completionTime")
    until = times.seconds_of(end) if end else time.time()
    duration = times.duration(until - times.seconds_of(start)) if start else ""
    true = {c["type"] for c in status.get("conditions") or () if c["status"] == "True"}
    if "Complete" in true:
        word = "Complete"
    elif "Failed" in true:
        word = "Failed"
    elif each["metadata"].get("deletionTimestamp"):
        word = "Terminating"
    elif "Suspended" in true:
        word = "Suspended"
    elif "FailureTarget" in true:
        word = "FailureTarget"
    elif "SuccessCriteriaMet" in true:
        word = "SuccessCriteriaMet"
    else:
        word = "Running"
    containers = spec["template"]["spec"].get("containers") or ()
    labels = (spec.get("selector") or {}).get("matchLabels") or {}
    return [
        _name(each), word, completions, duration, _born(each),
        ",".join(c["name"] for c in containers), ",".join(c["image"] for c in containers),
        ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or _NONE,
    ]  # fmt: skip


def _node(each: Mapping[str, Any]) -> list[Any]:
    status = each.get("status") or {}
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
    word = "Ready" if ready else "NotReady"
    if each["spec"].get("unschedulable"):
        word += ",SchedulingDisabled"
    info = status.get("nodeInfo") or {}
    address = next((a["address"] for a in status.get("addresses") or () if a["type"] == "InternalIP"), _NONE)
    return [
        _name(each), word, _NONE, _born(each), info.get("kubeletVersion", ""), address, _NONE,
        info.get("osImage") or "<unknown>", info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]  # fmt: skip


def _event(each: Mapping[str, Any]) -> list[Any]:
    of, source = each.get("involvedObject") or {}, each.get("source") or {}
    last = each.get("lastTimestamp") or each.get("eventTime")
    first = each.get("firstTimestamp") or each.get("eventTime")
    return [
        _age(last), each.get("type", ""), each.get("reason", ""), f"{of.get('kind', '').lower()}/{of.get('name', '')}",
        of.get("fieldPath", ""), ", ".join(filter(None, (source.get("component"), source.get("host")))),
        str(each.get("message", "")).strip(), _age(first), each.get("count", 1), _name(each),
    ]  # fmt: skip


def _claim(each: Mapping[str, Any]) -> list[Any]:
    spec, status = each["spec"], each.get("status") or {}
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    word = "Terminating" if each["metadata"].get("deletionTimestamp") else status.get("phase", "")
    bound = bool(spec.get("volumeName"))
    capacity = (status.get("capacity") or {}).get("storage", "") if bound else ""
    modes = ",".join(short.get(mode, mode) for mode in status.get("accessModes") or ()) if bound else ""
    return [_name(each), word, spec.get("volumeName", ""), capacity, modes, spec.get("storageClassName", ""), "<unset>",
            _born(each), spec.get("volumeMode") or "<unset>"]  # fmt: skip


def _entries(each: Mapping[str, Any]) -> int:
    return len(each.get("data") or ()) + len(each.get("binaryData") or ())


_TABLES: Mapping[Kind, tuple[Sequence[tuple[str, int]], Cells]] = {
    kinds.POD: ([("Ready", 0), ("Status", 0), ("Restarts", 0), ("Age", 0), ("IP", 1), ("Node", 1), ("Nominated Node", 1),
                 ("Readiness Gates", 1)], _pod),
    kinds.JOB: ([("Status", 0), ("Completions", 0), ("Duration", 0), ("Age", 0), ("Containers", 1), ("Images", 1),
                 ("Selector", 1)], _job),
    kinds.NODE: ([("Status", 0), ("Roles", 0), ("Age", 0), ("Version", 0), ("Internal-IP", 1), ("External-IP", 1),
                  ("OS-Image", 1), ("Kernel-Version", 1), ("Container-Runtime", 1)], _node),
    kinds.EVENT: ([("Last Seen", 0), ("Type", 0), ("Reason", 0), ("Object", 0), ("Subobject", 1), ("Source", 1),
                   ("Message", 0), ("First Seen", 1), ("Count", 1), ("Name", 1)], _event),
    kinds.PVC: ([("Status", 0), ("Volume", 0), ("Capacity", 0), ("Access Modes", 0), ("StorageClass", 0),
                 ("VolumeAttributesClass", 0), ("Age", 0), ("VolumeMode", 1)], _claim),
    kinds.CONFIG_MAP: ([("Data", 0), ("Age", 0)], lambda each: [_name(each), _entries(each), _born(each)]),
    kinds.SECRET: ([("Type", 0), ("Data", 0), ("Age", 0)],
                   lambda each: [_name(each), each.get("type", ""), _entries(each), _born(each)]),
    kinds.NAMESPACE: ([("Status", 0), ("Age", 0)],
                      lambda each: [_name(each), (each.get("status") or {}).get("phase", ""), _born(each)]),
    kinds.SERVICE_ACCOUNT: ([("Age", 0)], lambda each: [_name(each), _born(each)]),
    kinds.PRIORITY_CLASS: ([("Value", 0), ("Global-Default", 0), ("Age", 0), ("PreemptionPolicy", 0)],
                           lambda each: [_name(each), each.get("value", 0), bool(each.get("globalDefault")), _born(each),
                                         each.get("preemptionPolicy", "PreemptLowerPriority")]),
}  # fmt: skip


def _custom(columns: Sequence[Mapping[str, Any]]) -> tuple[list[tuple[str, int]], Cells]:
    """Return the columns of a custom resource, as its definition has them (``additionalPrinterColumns``)."""
    given = [each for each in columns if each["jsonPath"] != ".metadata.creationTimestamp"]
    shown = [(each["name"], each.get("priority", 0)) for each in given]
    return [*shown, ("Age", 0)], lambda each: [
        _name(each),
        *(_json_path(each, c["jsonPath"]) for c in given),
        _born(each),
    ]


def _json_path(each: Mapping[str, Any], path: str) -> Any:
    """Return what a simple JSON path names: members, ``[-1:]`` for the last item; "" for nothing."""
    value: Any = each
    for part in path.strip(".").replace("[-1:]", ".-1").split("."):
        if part == "-1":
            value = value[-1] if isinstance(value, list) and value else None
        else:
            value = value.get(part) if isinstance(value, Mapping) else None
    return "" if value is None else value


def table(
    kind: Kind, objects: Sequence[Mapping[str, Any]], meta: Mapping[str, Any], include: str = "Metadata",
    columns: Sequence[Mapping[str, Any]] = (), heads: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Return objects as a table.

    Args:
        kind: of the objects.
        objects: its rows.
        meta: the metadata of the table.
        include: what each row has of its object: Metadata, Object or None.
        columns: those of a custom resource's definition.
        heads: whether it has its columns; later events of a watch have none.
    """
    named, cells = _TABLES.get(kind) or (
        _custom(columns) if columns else ([("Age", 0)], lambda each: [_name(each), _born(each)])
    )
    defined = [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}]
    if kind == kinds.EVENT:
        defined = []
    for name, priority in named:
        form = "integer" if name in ("Data", "Count", "Value") else "boolean" if name == "Global-Default" else "string"
        shown = "name" if kind == kinds.EVENT and name == "Name" else ""
        defined.append({"name": name, "type": form, "format": shown, "description": "", "priority": priority})
    rows = [{"cells": cells(each), **_conditions(kind, each), "object": _included(each, include)} for each in objects]
    return {
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": dict(meta),
        "columnDefinitions": defined if heads else [], "rows": rows,
    }  # fmt: skip


_ENDS = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}


def _conditions(kind: Kind, each: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row says of a pod that has ended, which clients may leave out."""
    phase = (each.get("status") or {}).get("phase", "")
    if kind != kinds.POD or phase not in _ENDS:
        return {}
    return {"conditions": [{"type": "Completed", "status": "True", "reason": phase, "message": _ENDS[phase]}]}


def _included(each: Mapping[str, Any], include: str) -> Any:
    if include == "None":
        return None
    if include == "Object":
        return each
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": each["metadata"]}
