"""Turn pydantic's errors about a job into problems with their places."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from cloudtune.errors import Problem
from cloudtune.spec.native import as_written
from cloudtune.spec.text.dumping import flow_text
from cloudtune.spec.text.mistakes import Location, Mistake, find_mistakes
from cloudtune.spec.text.words import shorten, word

if TYPE_CHECKING:
    from cloudtune.spec.text.reading import Node, Place


def find_problems(
    error: ValidationError, model: type[BaseModel], data: Any, node: "Node | None" = None
) -> list[Problem]:
    """Return each mistake once, in pydantic's order.

    Args:
        error: raised by the validation.
        model: of the job.
        data: which was validated.
        node: the same data with its places; None if it did not come from a text.
    """
    listed = _lists_of_values(data)
    found = []
    for mistake in find_mistakes(error, model):
        name = str(mistake.location[1]) if mistake.location[:1] == ("space",) and len(mistake.location) > 1 else None
        found.append(_not_variants(name, data, node) if name in listed else _problem(mistake, data, node))
    return list(dict.fromkeys(found))


def _lists_of_values(data: Any) -> frozenset[str]:
    """Return the parameters that are written as a list of values, as other tools write a choice."""
    space = data.get("space") if isinstance(data, Mapping) else None
    entries = space.items() if isinstance(space, Mapping) else ()
    return frozenset(
        str(name)
        for name, entry in entries
        if isinstance(entry, list | tuple) and entry and not any(isinstance(each, Mapping) for each in entry)
    )


def _not_variants(name: str, data: Any, node: "Node | None") -> Problem:
    values = data["space"][name]
    spot = _find(("space", name), data, node, joined=False)
    line, column = spot.place(at_key=True) or (None, None)
    hint = f"write {{type: categorical, values: {shorten(flow_text(list(values)), 100)}}} for a choice"
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if len(values) == 2 and numbers and values[0] < values[1]:
        kind = "int" if all(isinstance(value, int) for value in values) else "float"
        hint += f", or {{type: {kind}, low: {values[0]}, high: {values[1]}}} for a range"
    return Problem(spot.path, "a list of values is no parameter", hint, line, column)


def _problem(mistake: Mistake, data: Any, node: "Node | None") -> Problem:
    words = word(mistake)
    location = as_written((*mistake.location, *words.below), mistake.model, data)
    spot = _find(location, data, node, joined=mistake.error["type"] == "job")
    place = spot.place(at_key=mistake.error["type"] == "extra_forbidden" or "[key]" in mistake.location)
    line, column = place or (None, None)
    return Problem(spot.path, words.message, words.hint, line, column)


@dataclass(slots=True)
class _Spot:
    """The value at a location in the data, or the last one on the way to it."""

    path: str
    data: Any
    node: "Node | None"
    key: "Place | None" = None
    """Where the key of the last value stands."""
    complete: bool = True
    """Whether the location leads to a value."""

    def place(self, *, at_key: bool) -> "Place | None":
        if self.node is None:
            return None
        is_part = isinstance(self.data, Mapping | list | tuple)
        return self.key if self.key and (at_key or is_part or not self.complete) else self.node.place

    def enter(self, step: str | int) -> None:
        """Descend to an existing value."""
        if isinstance(self.data, Mapping):
            self.path = f"{self.path}.{step}" if self.path else str(step)
        else:
            self.path += f"[{step}]"
        self.data = self.data[step]
        if self.node is not None:
            self.key = self.node.keys.get(step) if isinstance(step, str) else None
            self.node = self.node.children[step]


def _find(location: Location, data: Any, node: "Node | None", *, joined: bool) -> _Spot:
    """Follow a location in the data; `joined`: it was split from a path, also at dots and brackets within names."""
    spot = _Spot("", data, node)
    steps = list(location)
    while steps:
        key, length = _key(spot.data, steps, joined=joined) if spot.complete else (None, 1)
        step = steps[0]
        del steps[:length]
        if key is not None:
            spot.enter(key)
        elif isinstance(step, int):
            if spot.path == "objective":  # written without a list
                spot.path += f"[{step}]"
        elif step != "[key]":
            spot.path = f"{spot.path}.{step}" if spot.path else step
            # A list may be written for a part whose first field it is.
            spot.complete = isinstance(spot.data, list | tuple)
    return spot


def _key(data: Any, steps: Sequence[str | int], *, joined: bool) -> tuple[Any, int]:
    """Return the key or index that the next steps mean, and their number; (None, 1) if there is none."""
    if isinstance(data, list | tuple):
        index = steps[0]
        return (index, 1) if isinstance(index, int) and index < len(data) else (None, 1)
    if not isinstance(data, Mapping) or not joined:
        return (steps[0], 1) if isinstance(data, Mapping) and steps[0] in data else (None, 1)
    texts = [str(step) for step in steps]
    split = {key: [piece for piece in re.split(r"[.\[\]]", str(key)) if piece] for key in data}
    matching = [(len(pieces), key) for key, pieces in split.items() if pieces == texts[: len(pieces)] != []]
    length, key = max(matching, default=(1, None), key=lambda match: match[0])
    return key, length
