"""The shape of answers: which keys there are, of which types, and which states in which order; no values beside states."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cloudtune.provider.answers import Answer

_STATE = re.compile(r"(?:state|status)$", re.IGNORECASE)
"""Keys whose values are states."""

_STATE_VALUE = re.compile(r"[A-Za-z][A-Za-z_]{2,40}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*")
_NAME = re.compile(r".*\d{3}.*|.*[/:].*")
"""Keys that are names of things, such as ids, and no members."""


@dataclass
class Shape:
    """The shape of all answers to one operation.

    Attributes:
        types: the types of the values at each path, e.g. ``Trials[].Status``.
        last: the paths of the last answer.
        states: the states at each path, in the order in which they came, and in how many answers each was.
        errors: the codes of errors.
    """

    types: dict[str, set[str]] = field(default_factory=dict)
    last: set[str] = field(default_factory=set)
    states: dict[str, dict[str, int]] = field(default_factory=dict)
    errors: set[str] = field(default_factory=set)

    def add(self, answer: Answer) -> None:
        """Take the shape of one more answer into account."""
        if answer.error:
            self.errors.add(answer.error)
            return
        self.last = set()
        now: dict[tuple[str, str], None] = {}
        for path, value in _leaves(answer.data):
            self.last.add(path)
            self.types.setdefault(path, set()).add(_type(value))
            if _STATE.search(path) and isinstance(value, str) and _STATE_VALUE.fullmatch(value):
                now[path, value] = None
        for path, value in now:
            seen = self.states.setdefault(path, {})
            seen[value] = seen.get(value, 0) + 1


def shapes_of(answers: Sequence[Answer]) -> dict[str, Shape]:
    """Return the shape of the answers to each operation, in the order in which the operations were first asked for."""
    shapes: dict[str, Shape] = {}
    for answer in answers:
        shapes.setdefault(answer.operation, Shape()).add(answer)
    return shapes


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and the value of each part of an answer; of a list all elements have one path."""
    if path:
        yield path, value
    if isinstance(value, Mapping):
        for key, below in value.items():
            name = "*" if _NAME.fullmatch(str(key)) else str(key)
            yield from _leaves(below, f"{path}.{name}" if path else name)
    elif isinstance(value, list | tuple):
        for below in value:
            yield from _leaves(below, f"{path}[]")


def _type(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, datetime) or (isinstance(value, str) and _TIME.fullmatch(value)):
        return "time"
    if isinstance(value, Mapping):
        return "object"
    return "list" if isinstance(value, list | tuple) else "text"
