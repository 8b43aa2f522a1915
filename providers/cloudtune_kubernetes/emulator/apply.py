"""Server-side apply: fields have owners, kept in ``managedFields``; what an owner no longer names goes ("Server-Side Apply").

Owners are tracked for applied configurations alone: fields that were written by an update or another patch have none, so
that applying them meets no conflict.
"""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cloudtune_kubernetes.emulator import times
from cloudtune_kubernetes.emulator.errors import Refused
from cloudtune_kubernetes.emulator.kinds import Kind
from cloudtune_kubernetes.emulator.model import Type, fields_of
from cloudtune_kubernetes.emulator.patches import KEYS, SETS

Path = tuple[str, ...]
"""The way to a field, with the members of FieldsV1: ``f:spec``, ``k:{"name":"main"}``, ``v:"x"``."""

_UNOWNED = (("f:apiVersion",), ("f:kind",), ("f:metadata", "f:name"), ("f:metadata", "f:namespace"))


def applied(
    kind: Kind, held: Mapping[str, Any] | None, given: Mapping[str, Any], manager: str, *, force: bool
) -> dict[str, Any]:
    """Return an object with a configuration applied.

    Args:
        kind: of the object.
        held: the object as it is; None for a new one.
        given: the configuration.
        manager: its owner.
        force: whether fields of other owners are taken over.

    Raises:
        Refused: fields belong to other owners and differ.
    """
    before = held or {"apiVersion": given["apiVersion"], "kind": given["kind"], "metadata": {}}
    entries = list(before["metadata"].get("managedFields") or ())
    own = _of(entries, manager)
    others = {each["manager"]: set(_paths(each["fieldsV1"])) for each in entries if each["manager"] != manager}
    now = {path for path in _set(given, kind.model) if path not in _UNOWNED}
    _need_no_conflict(before, given, now, others, force=force)
    made = copy.deepcopy(dict(before))
    for path in sorted(own - now, key=len, reverse=True):
        if not any(path in theirs for theirs in others.values()):
            _remove(made, path)
    made = dict(_merged(made, given, Type("model", kind.model)))
    left = [
        each for each in entries if each["manager"] != manager and (not force or set(_paths(each["fieldsV1"])) - now)
    ]
    if force:
        left = [
            {**each, "fieldsV1": _tree(set(_paths(each["fieldsV1"])) - _taken(before, given, now))} for each in left
        ]
    entry = {
        "manager": manager, "operation": "Apply", "apiVersion": given["apiVersion"], "time": times.now(),
        "fieldsType": "FieldsV1", "fieldsV1": _tree(now),
    }  # fmt: skip
    made["metadata"]["managedFields"] = [*left, entry]
    return made


def _of(entries: Sequence[Mapping[str, Any]], manager: str) -> set[Path]:
    return {path for each in entries if each["manager"] == manager for path in _paths(each["fieldsV1"])}


def _taken(before: Mapping[str, Any], given: Mapping[str, Any], now: set[Path]) -> set[Path]:
    return {path for path in now if _value(before, path) != _value(given, path)}


def _need_no_conflict(
    before: Mapping[str, Any], given: Mapping[str, Any], now: set[Path], others: Mapping[str, set[Path]], *, force: bool
) -> None:  # fmt: skip
    found = [
        (theirs, path)
        for theirs, paths in others.items()
        for path in sorted(paths & now)
        if _value(before, path) != _value(given, path)
    ]
    if not found or force:
        return
    causes = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "{theirs}"', "field": _shown(path)}
        for theirs, path in found
    ]
    theirs = sorted({each for each, _ in found})
    fields = "\n- ".join(_shown(path) for _, path in found)
    message = f'Apply failed with {len(found)} conflict{"s" if len(found) > 1 else ""}: conflicts with "{theirs[0]}":\n- {fields}'
    if len(found) == 1:
        message = f'Apply failed with 1 conflict: conflict with "{theirs[0]}": {fields}'
    raise Refused(409, "Conflict", message, {"causes": causes})


def _shown(path: Path) -> str:
    parts = []
    for part in path:
        form, _, text = part.partition(":")
        if form == "f":
            parts.append(f".{text}")
        elif form == "k":
            parts.append(
                "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in json.loads(text).items()) + "]"
            )
        else:
            parts.append(f"[{text}]")
    return "".join(parts)


# The fields of a configuration


def _keys(kind: Type | None) -> tuple[str, ...]:
    item = kind.item if kind is not None and kind.form == "list" else None
    return KEYS.get(item.of, ()) if item is not None else ()


def _inner(kind: Type | None) -> Mapping[str, Type]:
    return fields_of(kind.of) if kind is not None and kind.form == "model" and kind.of else {}


def _set(value: Any, model: str) -> Iterator[Path]:
    yield from _leaves(value, Type("model", model), ())


def _leaves(value: Any, kind: Type | None, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and value:
        known = _inner(kind)
        for name, each in value.items():
            inner = known.get(name) or (kind.item if kind is not None and kind.form == "map" else None)
            here = (*path, f"f:{name}")
            if kind is not None and kind.of == "V1ObjectMeta" and name == "finalizers":
                yield from ((*here, f"v:{json.dumps(item)}") for item in each)
            else:
                yield from _leaves(each, inner, here)
    elif isinstance(value, list) and _keys(kind):
        assert kind is not None
        for each in value:
            here = (*path, _member(each, _keys(kind)))
            yield here
            yield from _leaves(each, kind.item, here)
    else:
        yield path


def _member(each: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    return "k:" + json.dumps({name: each[name] for name in keys if name in each}, separators=(",", ":"), sort_keys=True)


def _tree(paths: set[Path]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for path in sorted(paths):
        held = made
        for part in path:
            held = held.setdefault(part, {})
        if any(part.startswith("k:") for part in path[-1:]):
            held["."] = {}
    return made


def _paths(tree: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    for name, each in tree.items():
        if name == ".":
            yield path
        elif each:
            yield from _paths(each, (*path, name))
        else:
            yield (*path, name)


def _step(held: Any, part: str) -> Any:
    form, _, text = part.partition(":")
    if form == "f":
        return held.get(text) if isinstance(held, Mapping) else None
    if not isinstance(held, list):
        return None
    if form == "v":
        return text if json.loads(text) in held else None
    wanted = json.loads(text)
    return next((each for each in held if all(each.get(name) == value for name, value in wanted.items())), None)


def _value(each: Any, path: Path) -> Any:
    for part in path:
        each = _step(each, part)
    return None if path and path[-1].startswith("k:") else each


def _remove(each: dict[str, Any], path: Path) -> None:
    held: Any = each
    for part in path[:-1]:
        held = _step(held, part)
    form, _, text = path[-1].partition(":")
    if form == "f" and isinstance(held, dict):
        held.pop(text, None)
    elif isinstance(held, list):
        gone = json.loads(text) if form == "v" else _step(held, path[-1])
        if gone in held:
            held.remove(gone)


def _merged(held: Any, given: Any, kind: Type | None) -> Any:
    if isinstance(given, dict) and isinstance(held, dict):
        known = _inner(kind)
        made = dict(held)
        for name, each in given.items():
            inner = known.get(name) or (kind.item if kind is not None and kind.form == "map" else None)
            if kind is not None and (kind.of, name) in SETS:
                made[name] = list(dict.fromkeys([*(made.get(name) or ()), *each]))
            else:
                made[name] = _merged(made.get(name), each, inner)
        return made
    if isinstance(given, list) and isinstance(held, list) and _keys(kind):
        assert kind is not None
        return _merged_list(held, given, kind, _keys(kind))
    return copy.deepcopy(given)


def _merged_list(held: list[Any], given: list[Any], kind: Type, keys: tuple[str, ...]) -> list[Any]:
    made = list(held)
    for each in given:
        at = next((at for at, old in enumerate(made) if _same_member(old, each, keys)), None)
        if at is None:
            made.append(copy.deepcopy(each))
        else:
            made[at] = _merged(made[at], each, kind.item)
    return made


def _same_member(old: Mapping[str, Any], each: Mapping[str, Any], keys: tuple[str, ...]) -> bool:
    return all(old.get(name) == each[name] for name in keys if name in each)
