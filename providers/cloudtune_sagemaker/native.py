"""Native settings: parts of a request that are merged into it last, and the smallest such part between two requests.

A part is merged as a JSON merge patch (RFC 7396): objects member by member, null takes a member away, anything else
takes its place. Only lists whose items are told apart by a member, such as channels by their names, are merged item
by item: ``$gone`` takes an item away, items that were not there come last, and a part that names all items has its
order.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

_MARKS = ("Name", "ChannelName", "Key", "DefinitionName", "InstanceGroupName", "HyperParameterTuningJobName")
"""Members of botocore's structures that tell the items of a list apart."""

GONE = "$gone"
"""The member of an item that takes the item of the same name away."""

Data = Any
"""Plain data: what JSON can say."""


def merge(request: Data, patch: Data) -> Data:
    """A request with a part merged into it; neither is changed."""
    if isinstance(request, Mapping) and isinstance(patch, Mapping):
        merged = {name: value for name, value in request.items() if not (name in patch and patch[name] is None)}
        for name, value in patch.items():
            if value is not None:
                merged[name] = merge(merged[name], value) if name in merged else _clean(value)
        return merged
    mark = _mark(request, patch)
    return _clean(patch) if mark is None else _merge_items(request, patch, mark)


def _merge_items(ours: Sequence[Data], theirs: Sequence[Data], mark: str) -> list[Data]:
    known = {item[mark]: item for item in ours}
    patches = {item[mark]: item for item in theirs}
    order = [*([] if known.keys() <= patches.keys() else known), *patches]
    merged = [
        merge(known[name], patches[name])
        if name in known and name in patches
        else _clean(patches.get(name, known.get(name)))
        for name in dict.fromkeys(order)
    ]
    return [item for item in merged if GONE not in item]


def _clean(value: Data) -> Data:
    """What a patch leaves where there was nothing."""
    if isinstance(value, Mapping):
        return {name: _clean(part) for name, part in value.items() if part is not None}
    return [_clean(part) for part in value] if isinstance(value, list | tuple) else value


def _mark(ours: Data, theirs: Data) -> str | None:
    """The member that tells the items of both lists apart; None where there is none, or no list."""
    if not isinstance(ours, list | tuple) or not isinstance(theirs, list | tuple):
        return None
    for mark in _MARKS:
        if ours and theirs and all(_unique(items, mark) for items in (ours, theirs)):
            return mark
    return None


def _unique(items: Sequence[Data], mark: str) -> bool:
    names = [item.get(mark) if isinstance(item, Mapping) else None for item in items]
    return all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def difference(ours: Data, wanted: Data) -> Data:
    """The part that `merge` needs to make a request the wanted one; ``{}`` for none.

    ``merge(ours, difference(ours, wanted)) == wanted`` for all requests without null.
    """
    if not isinstance(ours, Mapping) or not isinstance(wanted, Mapping):
        return wanted
    patch: dict[str, Data] = dict.fromkeys(ours.keys() - wanted.keys())
    for name, value in wanted.items():
        if name not in ours:
            patch[name] = value
        elif not _alike(ours[name], value):
            patch[name] = _difference(ours[name], value)
    return {name: patch[name] for name in sorted(patch)}


def _difference(ours: Data, wanted: Data) -> Data:
    if isinstance(ours, Mapping) and isinstance(wanted, Mapping):
        return difference(ours, wanted)
    mark = _mark(ours, wanted)
    if mark is None:
        return wanted
    few = _items(ours, wanted, mark, every=False)
    return few if few and _alike(merge(ours, few), wanted) else _items(ours, wanted, mark, every=True)


def _items(ours: Sequence[Data], wanted: Sequence[Data], mark: str, *, every: bool) -> list[Data]:
    """The items to merge: those that differ, or every one, which gives the list its order."""
    known = {item[mark]: item for item in ours}
    names = {item[mark] for item in wanted}
    gone = [{mark: name, GONE: True} for name in known if name not in names]
    changed = [
        {mark: item[mark], **difference(known[item[mark]], item)} if item[mark] in known else item
        for item in wanted
        if every or not _alike(known.get(item[mark]), item)
    ]
    return [*gone, *changed]


def _alike(one: Data, other: Data) -> bool:
    """Whether two parts are written alike: 0 and 0.0 are not."""
    return one == other and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
