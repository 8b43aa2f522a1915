"""The patches of the API: JSON Patch (RFC 6902), JSON Merge Patch (RFC 7396), and strategic merge patch.

Strategic merge: lists of objects with a merge key are merged by it, with ``$patch``, ``$deleteFromPrimitiveList``,
``$setElementOrder`` and ``$retainKeys`` (sig-api-machinery, "Strategic Merge Patch").
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from cloudtune_kubernetes.emulator.errors import Refused, bad_request
from cloudtune_kubernetes.emulator.model import Type, fields_of

KEYS: Mapping[str, tuple[str, ...]] = {
    "V1Container": ("name",), "V1EnvVar": ("name",), "V1Volume": ("name",), "V1VolumeMount": ("mountPath",),
    "V1ContainerPort": ("containerPort", "protocol"), "V1LocalObjectReference": ("name",), "V1OwnerReference": ("uid",),
    "V1PodCondition": ("type",), "V1JobCondition": ("type",), "V1NodeCondition": ("type",), "V1HostAlias": ("ip",),
    "V1VolumeDevice": ("devicePath",), "V1ObjectReference": ("name",), "V1ServicePort": ("port",),
    "V1EphemeralContainer": ("name",), "V1PersistentVolumeClaimCondition": ("type",), "V1NodeAddress": ("type",),
    "V1TopologySpreadConstraint": ("topologyKey", "whenUnsatisfiable"), "V1PodIP": ("ip",), "V1HostIP": ("ip",),
    "V1NamespaceCondition": ("type",), "V1PodResourceClaim": ("name",), "V1PodSchedulingGate": ("name",),
}  # fmt: skip
"""The merge keys of lists (``patchMergeKey`` and ``x-kubernetes-list-map-keys``), by the model of their items."""

SETS = frozenset({("V1ObjectMeta", "finalizers")})
"""Lists of plain values that are merged as sets."""


def json_patch(target: Any, operations: Any) -> Any:
    """Return a document changed by the operations of a JSON Patch.

    Raises:
        Refused: the patch is none, or cannot be applied.
    """
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    made = copy.deepcopy(target)
    for operation in operations:
        try:
            made = _operate(made, operation)
        except (KeyError, IndexError, ValueError, TypeError):
            message = "the server rejected our request due to an error in our request"
            raise Refused(422, "Invalid", message, {}) from None
    return made


def _operate(target: Any, operation: Mapping[str, Any]) -> Any:
    verb, path = operation["op"], _pointer(operation["path"])
    if verb == "test":
        if _at(target, path) != operation["value"]:
            raise ValueError(f"testing path {operation['path']} failed")
        return target
    if verb in ("move", "copy"):
        source = _pointer(operation["from"])
        value = copy.deepcopy(_at(target, source))
        if verb == "move":
            target = _removed(target, source)
        return _put(target, path, value, insert=True)
    if verb == "remove":
        return _removed(target, path)
    if verb == "replace":
        _at(target, path)
        return _put(target, path, operation["value"], insert=False)
    if verb == "add":
        return _put(target, path, operation["value"], insert=True)
    raise ValueError(f"unexpected kind: {verb}")


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise ValueError(f"{text!r} is no JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _at(target: Any, path: Sequence[str]) -> Any:
    for part in path:
        target = target[int(part)] if isinstance(target, list) else target[part]
    return target


def _removed(target: Any, path: Sequence[str]) -> Any:
    held = _at(target, path[:-1])
    del held[int(path[-1]) if isinstance(held, list) else path[-1]]
    return target


def _put(target: Any, path: Sequence[str], value: Any, *, insert: bool) -> Any:
    if not path:
        return value
    held, last = _at(target, path[:-1]), path[-1]
    if not isinstance(held, list):
        held[last] = value
    elif insert:
        held.insert(len(held) if last == "-" else int(last), value)
    else:
        held[int(last)] = value
    return target


def merge_patch(target: Any, patch: Any) -> Any:
    """Return a document changed by a JSON Merge Patch."""
    if not isinstance(patch, dict):
        return patch
    made = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = merge_patch(made.get(name), value)
    return made


def strategic(target: Any, patch: Any, model: str) -> Any:
    """Return an object changed by a strategic merge patch.

    Args:
        target: the object.
        patch: the patch.
        model: the client's model of the object.

    Raises:
        Refused: a list's item has no merge key.
    """
    if not isinstance(patch, dict):
        raise bad_request("cannot unmarshal the patch into a map")
    directive = patch.get("$patch")
    if directive == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    if directive == "delete":
        return {}
    known = fields_of(model) if model else {}
    made = dict(target) if isinstance(target, dict) else {}
    if "$retainKeys" in patch:
        made = {name: value for name, value in made.items() if name in patch["$retainKeys"]}
    for name, value in patch.items():
        if name.startswith("$deleteFromPrimitiveList/"):
            of = name.partition("/")[2]
            made[of] = [each for each in made.get(of) or () if each not in value]
        elif not name.startswith("$"):
            _merge_field(made, name, value, known.get(name), model)
    for name, order in patch.items():
        if name.startswith("$setElementOrder/"):
            _set_order(made, name.partition("/")[2], order, known)
    return made


def _merge_field(made: dict[str, Any], name: str, value: Any, kind: Type | None, model: str) -> None:
    if value is None:
        made.pop(name, None)
    elif isinstance(value, dict):
        of = kind.of if kind is not None and kind.form == "model" else ""
        made[name] = strategic(made.get(name), value, of)
    elif isinstance(value, list):
        item = kind.item if kind is not None and kind.form == "list" else None
        if item is not None and item.of in KEYS:
            made[name] = _merge_list(made.get(name) or [], value, item.of)
        elif (model, name) in SETS:
            made[name] = list(dict.fromkeys([*(made.get(name) or ()), *value]))
        else:
            made[name] = value
    else:
        made[name] = value


def _merge_list(held: Sequence[Any], patch: Sequence[Any], model: str) -> list[Any]:
    if any(each.get("$patch") == "replace" for each in patch):
        return [each for each in patch if each.get("$patch") != "replace"]
    key, merged, gone = KEYS[model][0], {}, set()
    old = {each.get(key): each for each in held}
    for each in patch:
        if key not in each:
            raise bad_request(f"map: {each} does not contain declared merge key: {key}")
        if each.get("$patch") == "delete":
            gone.add(each[key])
        else:
            merged[each[key]] = strategic(old.get(each[key], {}), each, model)
    rest = [each for each in held if each.get(key) not in merged and each.get(key) not in gone]
    return _in_order(list(merged.values()), rest, [each.get(key) for each in held], key)


def _in_order(patched: list[Any], rest: list[Any], order: Sequence[Any], key: str) -> list[Any]:
    """Return patched and other items, each in their own order: a patched one goes before what came after it, a new one first."""
    made: list[Any] = []
    while patched and rest:
        first = patched[0][key]
        takes = first not in order or order.index(first) < order.index(rest[0].get(key))
        made.append((patched if takes else rest).pop(0))
    return [*made, *patched, *rest]


def _set_order(made: dict[str, Any], name: str, order: Sequence[Any], known: Mapping[str, Type]) -> None:
    kind = known.get(name)
    item = kind.item if kind is not None and kind.form == "list" else None
    key = KEYS[item.of][0] if item is not None and item.of in KEYS else ""
    wanted = [each[key] if key else each for each in order]

    def rank(each: Any) -> int:
        value = each.get(key) if key else each
        return wanted.index(value) if value in wanted else len(wanted)

    made[name] = sorted(made.get(name) or (), key=rank)
