"""The types of the API's objects, read from the official client's own models, and objects read by them.

A field that no model knows is dropped, with a warning or as an error, and a value of another type is refused, as the API
server's decoder does.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kubernetes import client

from cloudtune_kubernetes.emulator.base64_text import illegal_at
from cloudtune_kubernetes.emulator.errors import Refused, bad_request
from cloudtune_kubernetes.emulator.kinds import Kind
from cloudtune_kubernetes.emulator.quantities import canonical

_LIST = re.compile(r"[Ll]ist\[(.*)\]")
_MAP = re.compile(r"[Dd]ict[\[(]str, (.*)[\])]")
_GO = {"str": "string", "bool": "bool", "int": "int32", "float": "float64", "bytes": "[]uint8", "datetime": "string"}
_QUANTITIES = frozenset({
    ("V1ResourceRequirements", "limits"), ("V1ResourceRequirements", "requests"),
    ("V1VolumeResourceRequirements", "limits"), ("V1VolumeResourceRequirements", "requests"),
    ("V1EmptyDirVolumeSource", "sizeLimit"), ("V1NodeStatus", "allocatable"), ("V1NodeStatus", "capacity"),
    ("V1ResourceQuotaSpec", "hard"), ("V1PersistentVolumeClaimStatus", "capacity"),
})  # fmt: skip
"""Fields that the client calls strings, or maps of them, and that are quantities."""

_LONG = frozenset({
    "activeDeadlineSeconds", "deletionGracePeriodSeconds", "expirationSeconds", "fsGroup", "generation", "gracePeriodSeconds",
    "observedGeneration", "remainingItemCount", "runAsGroup", "runAsUser", "seconds", "sizeBytes", "startingDeadlineSeconds",
    "supplementalGroups", "terminationGracePeriodSeconds", "tolerationSeconds",
})  # fmt: skip
"""Fields whose whole numbers have 64 bits; those of all others have 32."""

_BYTES = frozenset({("V1ConfigMap", "binaryData"), ("V1Secret", "data")})
"""Fields that the client calls maps of strings, and that hold bytes."""


_ALWAYS: dict[str, dict[str, Any]] = {
    "V1ContainerStatus": {"lastState": {}, "state": {}},
    "V1PodCondition": {"lastProbeTime": None, "lastTransitionTime": None},
}
"""Members that the server writes even if they are empty."""


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a field.

    Attributes:
        form: "list", "map", "model" or "plain".
        of: the name of the model or plain type; "" for lists and maps.
        item: of lists and maps.
    """

    form: str
    of: str = ""
    item: "Type | None" = None


@functools.cache
def type_of(text: str) -> Type:
    """Return the type that a client's text names, e.g. ``List[V1Container]`` or ``dict(str, str)``."""
    if found := _LIST.fullmatch(text):
        return Type("list", "", type_of(found[1]))
    if found := _MAP.fullmatch(text):
        return Type("map", "", type_of(found[1]))
    return Type("model" if hasattr(getattr(client, text, None), "openapi_types") else "plain", text)


@functools.cache
def fields_of(model: str) -> dict[str, Type]:
    """Return the fields of a model by their names in JSON, with their types."""
    made = getattr(client, model)
    return {made.attribute_map[name]: type_of(text) for name, text in made.openapi_types.items()}


@functools.cache
def descriptions_of(model: str) -> dict[str, str]:
    """Return what the client's models say of their fields, by the names in JSON; {} where an older client says nothing."""
    made = getattr(client, model)
    said = getattr(made, "model_fields", {})
    return {
        made.attribute_map[name]: each.description
        for name, each in said.items()
        if name in made.attribute_map and each.description
    }


@functools.cache
def required_of(model: str) -> tuple[str, ...]:
    """Return the fields that a model must have."""
    made = getattr(client, model)
    if hasattr(made, "model_fields"):
        needed = [name for name, each in made.model_fields.items() if each.is_required()]
        return tuple(made.attribute_map[name] for name in needed if name in made.attribute_map)
    return ()


def shape(model: str) -> str:
    """Return the name of a model in the API, without its version, e.g. ``JobSpec``."""
    return re.sub(r"^(?:Core|Events|Rbac|Storage)?V\d+(?:(?:alpha|beta)\d+)?", "", model)


def models_of(model: str) -> Iterator[str]:
    """Yield a model and all that it needs, each once."""
    waiting, seen = [model], {model}
    while waiting:
        current = waiting.pop()
        yield current
        for kind in fields_of(current).values():
            inner: Type | None = kind
            while inner is not None:
                if inner.form == "model" and inner.of not in seen:
                    seen.add(inner.of)
                    waiting.append(inner.of)
                inner = inner.item


@dataclass(slots=True)
class Reading:
    """What was found while an object was read.

    Attributes:
        unknown: messages on fields that no model knows.
    """

    unknown: list[str] = field(default_factory=list)


def read(kind: Kind, data: Any, reading: Reading) -> dict[str, Any]:
    """Return an object with only the fields that its kind has, and quantities in their canonical form.

    Args:
        kind: its kind.
        data: the object in JSON.
        reading: takes what is found.

    Raises:
        Refused: a value has another type.
    """
    if not isinstance(data, dict):
        raise bad_request(f"the object provided is unrecognized (must be of type {kind.kind})")
    try:
        if kind.model:
            return dict(_model(data, kind.model, kind.model, (), reading))
        meta = _model(data.get("metadata") or {}, "V1ObjectMeta", "V1ObjectMeta", ("metadata",), reading)
    except _Mismatch as error:
        message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {error}'
        raise Refused(400, "BadRequest", message) from None
    return {**data, "metadata": meta}


class _Mismatch(Exception):
    pass


def _value(value: Any, kind: Type, owner: str, path: tuple[str, ...], reading: Reading) -> Any:
    if value is None:
        return None
    if kind.form == "list":
        if not isinstance(value, list):
            raise _mismatch(value, kind, owner, path)
        assert kind.item is not None
        return [
            _value(each, kind.item, owner, (*path[:-1], f"{path[-1]}[{at}]"), reading) for at, each in enumerate(value)
        ]
    if kind.form == "map":
        if not isinstance(value, dict):
            raise _mismatch(value, kind, owner, path)
        assert kind.item is not None
        return {name: _value(each, kind.item, owner, path, reading) for name, each in value.items()}
    if kind.form == "model":
        return _model(value, kind.of, owner, path, reading)
    if not _fits(value, kind.of, path):
        raise _mismatch(value, kind, owner, path)
    return value


def _fits(value: Any, of: str, path: tuple[str, ...]) -> bool:
    if of in ("str", "datetime", "bytes"):
        return isinstance(value, str)
    if of == "bool":
        return isinstance(value, bool)
    if of == "int":
        most = 2 ** (_bits(path) - 1)
        return isinstance(value, int) and not isinstance(value, bool) and -most <= value < most
    if of == "float":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return True


def _bits(path: tuple[str, ...]) -> int:
    """Return the size of the whole number that a field is, or has in a list."""
    return 64 if path[-1].partition("[")[0] in _LONG else 32


def _model(data: Any, model: str, owner: str, path: tuple[str, ...], reading: Reading) -> Any:
    if not isinstance(data, dict):
        if model == "V1JSONSchemaProps":  # also a boolean where the schema says so
            return data
        raise _mismatch(data, Type("model", model), owner, path)
    known, made = fields_of(model), {}
    for name, value in data.items():
        if name not in known:
            reading.unknown.append(f'unknown field "{".".join((*path, name))}"')
            continue
        if (model, name) in _QUANTITIES:
            made[name] = _quantities(value, model, (*path, name))
        elif value is not None:
            made[name] = _value(value, known[name], model, (*path, name), reading)
            if (model, name) in _BYTES:
                _check_base64(made[name].values())
    return {**_ALWAYS.get(model, {}), **made}


def _quantities(value: Any, model: str, path: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {name: _quantities(each, model, (*path, name)) for name, each in value.items()}
    if isinstance(value, (list, bool)):
        raise _mismatch(value, Type("plain", "str"), model, path)
    try:
        return canonical(value)
    except ValueError as error:
        raise _Mismatch(str(error)) from None


def _check_base64(texts: Iterable[str | None]) -> None:
    for text in texts:
        if text is not None and (at := illegal_at(text)) is not None:
            raise _Mismatch(f"illegal base64 data at input byte {at}")


def _mismatch(value: Any, kind: Type, owner: str, path: tuple[str, ...]) -> _Mismatch:
    said = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}[type(value)]
    where = ".".join(re.sub(r"\[\d+\]", "", part) for part in path)
    go = _go(kind)
    if kind.of == "int":
        go, said = f"int{_bits(path)}", f"number {value!r}" if said == "number" else said
    return _Mismatch(f"json: cannot unmarshal {said} into Go struct field {shape(owner)}.{where} of type {go}")


def _go(kind: Type) -> str:
    if kind.form == "list":
        assert kind.item is not None
        return f"[]{_go(kind.item)}"
    if kind.form == "map":
        assert kind.item is not None
        return f"map[string]{_go(kind.item)}"
    return f"v1.{shape(kind.of)}" if kind.form == "model" else _GO.get(kind.of, kind.of)
