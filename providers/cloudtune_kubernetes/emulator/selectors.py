"""Label and field selectors of lists and watches."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from cloudtune_kubernetes.emulator.errors import bad_request
from cloudtune_kubernetes.emulator.kinds import EVENT, JOB, NAMESPACE, NODE, POD, SECRET, Kind

Matches = Callable[[Mapping[str, Any]], bool]
"""Whether an object is selected."""

_KEY = r"[A-Za-z0-9./_-]+"
_SET = re.compile(rf"\s*({_KEY})\s+(in|notin)\s*\(([^()]*)\)\s*")
_EQUAL = re.compile(rf"\s*({_KEY})\s*(==|=|!=)\s*([A-Za-z0-9._-]*)\s*")
_FIELD = re.compile(r"([^=!]+)(==|=|!=)(.*)")
_EXISTS = re.compile(rf"\s*(!?)\s*({_KEY})\s*")

_FIELDS: Mapping[Kind, tuple[str, ...]] = {
    POD: ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
          "status.phase", "status.podIP", "status.nominatedNodeName"),
    NODE: ("spec.unschedulable",),
    JOB: ("status.successful",),
    NAMESPACE: ("status.phase",),
    SECRET: ("type",),
    EVENT: ("involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
            "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
            "reportingComponent", "source", "type"),
}  # fmt: skip
"""The fields of each kind, besides its name and namespace, by which it can be selected."""


def selected(kind: Kind, labels: str, fields: str) -> Matches:
    """Return what finds out whether an object is selected.

    Args:
        kind: of the objects.
        labels: the label selector; "" for any.
        fields: the field selector; "" for any.

    Raises:
        Refused: a selector cannot be read.
    """
    tests = [_label(part) for part in _parts(labels)] + [_field(kind, part) for part in fields.split(",") if part]
    return lambda each: all(test(each) for test in tests)


def _parts(text: str) -> list[str]:
    return [part for part in re.split(r",(?![^(]*\))", text) if part.strip()]


def _labels(each: Mapping[str, Any]) -> Mapping[str, str]:
    return each["metadata"].get("labels") or {}


def _label(part: str) -> Matches:
    if found := _SET.fullmatch(part):
        key, wanted = found[1], {value.strip() for value in found[3].split(",")}
        if found[2] == "in":
            return lambda each: _labels(each).get(key) in wanted
        return lambda each: _labels(each).get(key) not in wanted
    if found := _EQUAL.fullmatch(part):
        key, value = found[1], found[3]
        if found[2] == "!=":
            return lambda each: _labels(each).get(key) != value
        return lambda each: _labels(each).get(key) == value
    if found := _EXISTS.fullmatch(part):
        key, absent = found[2], bool(found[1])
        return lambda each: (key in _labels(each)) != absent
    raise bad_request(f"unable to parse requirement: {part.strip()!r} is no requirement of a label selector")


def _field(kind: Kind, part: str) -> Matches:
    found = _FIELD.fullmatch(part)
    if found is None:
        raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
    name, operator, value = (str(found.group(number)).strip() for number in (1, 2, 3))
    differs = operator == "!="
    known = ("metadata.name", *(("metadata.namespace",) if kind.namespaced else ()), *_FIELDS.get(kind, ()))
    if name not in known:
        raise bad_request(_unknown(kind, name))
    return lambda each: (_at(each, name) == value) != differs


def _unknown(kind: Kind, name: str) -> str:
    """Return what the server says of a field by which a kind cannot be selected: kinds word it in three ways."""
    if kind == JOB:
        return f'field label "{name}" not supported for Job'
    if kind in _FIELDS:
        return f"field label not supported: {name}"
    return f'"{name}" is not a known field selector: only "metadata.name", "metadata.namespace"'


def _at(each: Mapping[str, Any], path: str) -> str:
    value: Any = each
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if path == "spec.restartPolicy" and value is None:
        return "Always"
    if path == "source":
        value = (each.get("source") or {}).get("component")
    if path == "status.successful":
        value = (each.get("status") or {}).get("succeeded", 0)
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def required(each: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether one requirement (``key``, ``operator``, ``values``) holds for labels, as of node affinities."""
    key, values = each["key"], list(each.get("values") or ())
    return {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
        "Gt": key in labels and bool(values) and int(labels[key]) > int(values[0]),
        "Lt": key in labels and bool(values) and int(labels[key]) < int(values[0]),
    }[each["operator"]]
