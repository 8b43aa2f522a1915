"""The few bodies that kubectl sends in the API's protobuf form, read into JSON ("runtime.Unknown", generated.proto).

Everything else that clients send is JSON or YAML; the server answers in JSON alone, which they accept.
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

MAGIC = b"k8s\x00"

Fields = Mapping[int, tuple[str, Any]]
"""The names of a message's fields by their numbers, each with "text", "flag", "number", "bytes", the fields of a message, or
("list", …) or ("map", …) of these."""

_ATTRIBUTES: Fields = {
    1: ("namespace", "text"), 2: ("verb", "text"), 3: ("group", "text"), 4: ("version", "text"), 5: ("resource", "text"),
    6: ("subresource", "text"), 7: ("name", "text"),
}  # fmt: skip
_META: Fields = {1: ("name", "text"), 2: ("generateName", "text"), 3: ("namespace", "text"), 11: ("labels", ("map", "text")),
                 12: ("annotations", ("map", "text"))}  # fmt: skip
_VARIABLE: Fields = {1: ("name", "text"), 2: ("value", "text")}
_CONTAINER: Fields = {1: ("name", "text"), 2: ("image", "text"), 3: ("command", ("list", "text")), 4: ("args", ("list", "text")),
                      5: ("workingDir", "text"), 7: ("env", ("list", _VARIABLE))}  # fmt: skip
_POD_SPEC: Fields = {2: ("containers", ("list", _CONTAINER)), 3: ("restartPolicy", "text")}
_JOB_SPEC: Fields = {1: ("parallelism", "number"), 2: ("completions", "number"), 3: ("activeDeadlineSeconds", "number"),
                     6: ("template", {1: ("metadata", _META), 2: ("spec", _POD_SPEC)}), 7: ("backoffLimit", "number"),
                     8: ("ttlSecondsAfterFinished", "number")}  # fmt: skip
_PRECONDITIONS: Fields = {1: ("uid", "text"), 2: ("resourceVersion", "text")}
_DELETE: Fields = {1: ("gracePeriodSeconds", "number"), 2: ("preconditions", _PRECONDITIONS), 3: ("orphanDependents", "flag"),
                   4: ("propagationPolicy", "text")}  # fmt: skip
_RULE: Fields = {number: (name, ("list", "text")) for number, name in enumerate(("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs"), 1)}  # fmt: skip
_SUBJECT: Fields = {1: ("kind", "text"), 2: ("apiGroup", "text"), 3: ("name", "text"), 4: ("namespace", "text")}
_ROLE_REF: Fields = {1: ("apiGroup", "text"), 2: ("kind", "text"), 3: ("name", "text")}
_KINDS: Mapping[str, Fields] = {
    "SelfSubjectAccessReview": {1: ("metadata", _META), 2: ("spec", {
        1: ("resourceAttributes", _ATTRIBUTES), 2: ("nonResourceAttributes", {1: ("path", "text"), 2: ("verb", "text")}),
    })},
    "SelfSubjectRulesReview": {1: ("metadata", _META), 2: ("spec", {1: ("namespace", "text")})},
    "Eviction": {1: ("metadata", _META), 2: ("deleteOptions", _DELETE)},
    "DeleteOptions": _DELETE,
    "Job": {1: ("metadata", _META), 2: ("spec", _JOB_SPEC)},
    "ConfigMap": {1: ("metadata", _META), 2: ("data", ("map", "text")), 3: ("binaryData", ("map", "bytes")), 4: ("immutable", "flag")},
    "Secret": {1: ("metadata", _META), 2: ("data", ("map", "bytes")), 3: ("type", "text"), 5: ("immutable", "flag")},
    "Namespace": {1: ("metadata", _META)},
    "ServiceAccount": {1: ("metadata", _META)},
    "Role": {1: ("metadata", _META), 2: ("rules", ("list", _RULE))},
    "RoleBinding": {1: ("metadata", _META), 2: ("subjects", ("list", _SUBJECT)), 3: ("roleRef", _ROLE_REF)},
    "PriorityClass": {1: ("metadata", _META), 2: ("value", "number"), 3: ("globalDefault", "flag"), 4: ("description", "text"),
                      5: ("preemptionPolicy", "text")},
}  # fmt: skip


class Unreadable(ValueError):
    """A body is not of the form, or of a kind that is not read in it."""


def read(data: bytes) -> dict[str, Any]:
    """Return the object of a body.

    Raises:
        Unreadable: it is none that is read in this form.
    """
    if not data.startswith(MAGIC):
        raise Unreadable("it does not begin as the API's protobuf form does")
    kind = version = ""
    raw = b""
    for number, value in _fields(data[len(MAGIC) :]):
        if number == 1 and isinstance(value, bytes):
            named = dict(_fields(value))
            version, kind = _text(named.get(1, b"")), _text(named.get(2, b""))
        elif number == 2 and isinstance(value, bytes):
            raw = value
    if kind not in _KINDS:
        raise Unreadable(f"objects of the kind {kind} are read in JSON and YAML alone")
    return {"apiVersion": version, "kind": kind, **_message(raw, _KINDS[kind])}


def _message(data: bytes, fields: Fields) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for number, value in _fields(data):
        if number not in fields:
            continue
        name, form = fields[number]
        if isinstance(form, tuple) and form[0] == "list":
            made.setdefault(name, []).append(_value(value, form[1]))
        elif isinstance(form, tuple):
            entry = _message(_bytes(value), {1: ("key", "text"), 2: ("value", form[1])})
            made.setdefault(name, {})[entry.get("key", "")] = entry.get("value", "")
        else:
            made[name] = _value(value, form)
    return {name: value for name, value in made.items() if value != ""}


def _value(value: int | bytes, form: Any) -> Any:
    if form == "text":
        return _text(value)
    if form == "bytes":
        return base64.b64encode(_bytes(value)).decode()
    if form in ("flag", "number"):
        return bool(value) if form == "flag" else value
    return _message(_bytes(value), form)


def _bytes(value: int | bytes) -> bytes:
    return value if isinstance(value, bytes) else b""


def _text(value: int | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a message: varints as numbers, everything else as bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, form = tag >> 3, tag & 7
        if form == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if form == 2:
            size, at = _varint(data, at)
        elif form in (1, 5):
            size = 8 if form == 1 else 4
        else:
            raise Unreadable("a field has a form that is not used")
        if at + size > len(data):
            raise Unreadable("it is cut off")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise Unreadable("it is cut off")
