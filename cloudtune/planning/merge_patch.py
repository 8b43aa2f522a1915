"""Native settings: parts of a request that are merged into it last, and the smallest such part between two requests.

A part is merged as a JSON merge patch (RFC 7396): objects member by member, null removes a member, other values replace
it. Two kinds of lists are merged item by item:

- those whose items are identified by a member, such as channels by their names: ``$gone`` removes an item, new items
  come last, and a part that names all items sets their order;
- those that a service knows by position, such as worker pools: ``{}`` leaves an item as it is, and the item
  ``{$gone: true}`` ends the list.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GONE = "$gone"
"""The member of an item that removes it."""

Data = Any
"""Plain data, as JSON has it."""


@dataclass(frozen=True, slots=True)
class Merging:
    """The rules for merging the requests of one service.

    Attributes:
        marks: members that identify the items of a list.
        by_position: members whose lists are merged by position.
    """

    marks: tuple[str, ...]
    by_position: frozenset[str] = frozenset()

    def merge(self, request: Data, patch: Data) -> Data:
        """Return a request with a part merged into it; neither is changed."""
        return self._merge(request, patch, "")

    def _merge(self, ours: Data, patch: Data, member: str) -> Data:
        if isinstance(ours, Mapping) and isinstance(patch, Mapping):
            merged = {name: value for name, value in ours.items() if not (name in patch and patch[name] is None)}
            for name, value in patch.items():
                if value is not None:
                    merged[name] = self._merge(merged[name], value, name) if name in merged else _clean(value)
            return merged
        if _positional(ours, patch) and member in self.by_position:
            return self._merge_positions(ours, patch)
        mark = self._mark(ours, patch)
        return _clean(patch) if mark is None else self._merge_items(ours, patch, mark)

    def _merge_positions(self, ours: Sequence[Data], patch: Sequence[Data]) -> list[Data]:
        merged = []
        for index in range(max(len(ours), len(patch))):
            part = patch[index] if index < len(patch) else {}
            if GONE in part:
                break
            merged.append(self._merge(ours[index], part, "") if index < len(ours) else _clean(part))
        return merged

    def _merge_items(self, ours: Sequence[Data], theirs: Sequence[Data], mark: str) -> list[Data]:
        known = {item[mark]: item for item in ours}
        patches = {item[mark]: item for item in theirs}
        order = [*([] if known.keys() <= patches.keys() else known), *patches]
        merged = [
            self._merge(known[name], patches[name], "")
            if name in known and name in patches
            else _clean(patches.get(name, known.get(name)))
            for name in dict.fromkeys(order)
        ]
        return [item for item in merged if GONE not in item]

    def _mark(self, ours: Data, theirs: Data) -> str | None:
        """Return the member that identifies the items of both lists; None if there is none, or if one is not a list."""
        if not isinstance(ours, list | tuple) or not isinstance(theirs, list | tuple):
            return None
        for mark in self.marks:
            if ours and theirs and all(_unique(items, mark) for items in (ours, theirs)):
                return mark
        return None

    def difference(self, ours: Data, wanted: Data) -> Data:
        """Return the part that `merge` needs to turn a request into the wanted one; ``{}`` if they are equal.

        ``merge(ours, difference(ours, wanted)) == wanted`` for all requests without null.
        """
        if not isinstance(ours, Mapping) or not isinstance(wanted, Mapping):
            return wanted
        patch: dict[str, Data] = dict.fromkeys(ours.keys() - wanted.keys())
        for name, value in wanted.items():
            if name not in ours:
                patch[name] = value
            elif not _alike(ours[name], value):
                patch[name] = self._difference(ours[name], value, name)
        return {name: patch[name] for name in sorted(patch)}

    def _difference(self, ours: Data, wanted: Data, member: str) -> Data:
        if isinstance(ours, Mapping) and isinstance(wanted, Mapping):
            return self.difference(ours, wanted)
        if _positional(ours, wanted) and member in self.by_position:
            return self._positions(ours, wanted)
        mark = self._mark(ours, wanted)
        if mark is None:
            return wanted
        few = self._items(ours, wanted, mark, every=False)
        return few if few and _alike(self.merge(ours, few), wanted) else self._items(ours, wanted, mark, every=True)

    def _positions(self, ours: Sequence[Data], wanted: Sequence[Data]) -> list[Data]:
        changed = [self.difference(one, other) for one, other in zip(ours, wanted, strict=False)]
        return [*changed, *wanted[len(ours) :], *([{GONE: True}] if len(wanted) < len(ours) else [])]

    def _items(self, ours: Sequence[Data], wanted: Sequence[Data], mark: str, *, every: bool) -> list[Data]:
        """Return the items to merge: those that differ, or every one, which sets the order of the list."""
        known = {item[mark]: item for item in ours}
        names = {item[mark] for item in wanted}
        gone = [{mark: name, GONE: True} for name in known if name not in names]
        changed = [
            {mark: item[mark], **self.difference(known[item[mark]], item)} if item[mark] in known else item
            for item in wanted
            if every or not _alike(known.get(item[mark]), item)
        ]
        return [*gone, *changed]


def _positional(one: Data, other: Data) -> bool:
    return all(
        isinstance(items, list | tuple) and all(isinstance(item, Mapping) for item in items) for items in (one, other)
    )


def _clean(value: Data) -> Data:
    """Return a part without the members that it removes, for merging where there was nothing; lists are values as they are."""
    if isinstance(value, Mapping):
        return {name: _clean(part) for name, part in value.items() if part is not None}
    return value


def _unique(items: Sequence[Data], mark: str) -> bool:
    names = [item.get(mark) if isinstance(item, Mapping) else None for item in items]
    return all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def _alike(one: Data, other: Data) -> bool:
    """Return whether two parts are equal as JSON: 0 and 0.0 are not."""
    return one == other and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
