"""YAML to plain data, with the place of every key and value, and within bounds whatever the text holds."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from cloudtune.errors import Problem, SpecError
from cloudtune.text.scalars import resolve, resolve_as
from cloudtune.text.syntax import MAX_DEPTH, syntax_problem

MAX_BYTES = 1 << 20
"""The size of a document in UTF-8."""
MAX_ALIASED = 10_000
"""How many values all aliases together may stand for."""

_CORE = "tag:yaml.org,2002:"
_TAGS = {
    ScalarEvent: {"str", "null", "bool", "int", "float"},
    MappingStartEvent: {"map"},
    SequenceStartEvent: {"seq"},
}
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


class Place(NamedTuple):
    """A line and a column, both from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Node:
    """A value of the text.

    Attributes:
        value: plain data: dict, list, str, int, float, bool or None.
        place: where it begins.
        keys: of a mapping, where each key stands.
        children: of a mapping by key, of a list by index.
        text: of a scalar, what is written.
        size: how many values it is made of, itself and those behind aliases included.
        height: how many levels of mappings and lists it has.
    """

    value: Any
    place: Place
    keys: dict[str, Place] = field(default_factory=dict)
    children: dict[str | int, "Node"] = field(default_factory=dict)
    text: str = ""
    size: int = 1
    height: int = 0


def read_file(path: Path) -> str:
    """The text of a file.

    Raises:
        SpecError: the file is not UTF-8, or is larger than `MAX_BYTES`.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)  # one more shows that the file is too large
    if len(content) > MAX_BYTES:
        raise _too_large(str(path))
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = Problem("", f"byte {error.start} is not UTF-8", "save the file as UTF-8", line)
    raise SpecError([problem], str(path))


def _too_large(source: str) -> SpecError:
    return SpecError([Problem("", f"the document is larger than {MAX_BYTES >> 20} MiB")], source)


def read_yaml(text: str, source: str) -> tuple[Node, list[Problem]]:
    """The document of a text, and those mistakes after which reading could go on.

    Args:
        text: one YAML document.
        source: what errors call the text.

    Raises:
        SpecError: the text is not one YAML document, or exceeds the bounds of this module.
    """
    _check_characters(text, source)
    builder = _Builder()
    try:
        for event in _events(text):
            builder.take(event)
    except _RefusedError as refused:
        raise SpecError([*builder.problems, refused.problem], source) from None
    except yaml.YAMLError as error:
        raise SpecError([*builder.problems, syntax_problem(error, text)], source) from None
    if builder.root is None or builder.root.value is None:
        raise SpecError([Problem("", "the document is empty")], source)
    return builder.root, builder.problems


def _check_characters(text: str, source: str) -> None:
    # A character takes up to 4 bytes, so a short text need not be encoded to know that it is short enough.
    if len(text) > MAX_BYTES or (len(text) * 4 > MAX_BYTES and len(text.encode(errors="replace")) > MAX_BYTES):
        raise _too_large(source)
    bad = _UNPRINTABLE.search(text.removeprefix("\ufeff"))
    if bad:
        before = text[: bad.start()]
        line, column = before.count("\n") + 1, bad.start() - before.rfind("\n")
        message = f"the character U+{ord(bad[0]):04X} may not stand in YAML"
        hint = 'write it as an escape in double quotes, e.g. "\\u0007"'
        raise SpecError([Problem("", message, hint, line, column)], source)


def _events(text: str) -> Iterator[Event]:
    """PyYAML's events, from the C library where it is built in: that is ten times as fast."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    events: Iterator[Event] = yaml.parse(text.removeprefix("\ufeff"), Loader=loader)
    return events


class _RefusedError(Exception):
    """Something after which reading the text makes no sense."""

    def __init__(self, place: Place, message: str, hint: str = "") -> None:
        self.problem = Problem("", message, hint, place.line, place.column)
        super().__init__(message)


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end is still to come."""

    node: Node
    anchor: str | None
    key: str | None = None
    """The key whose value comes next; None where a key comes next, and in a list."""


class _Builder:
    """Makes nodes of events, with a stack of its own instead of recursion."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}  # None while the anchor's value is still open
        self._aliased = 0
        self._documents = 0

    def take(self, event: Event) -> None:
        """Takes note of the next event."""
        mark = event.start_mark
        assert mark is not None, "PyYAML marks every event that it parses"
        place = Place(mark.line + 1, mark.column + 1)
        match event:
            case ScalarEvent() if self._key_is_next():
                self._take_key(event, place)
            case ScalarEvent():
                self._close(Node(self._scalar(event, place), place, text=event.value), event.anchor)
            case MappingStartEvent() | SequenceStartEvent():
                self._open(event, place)
            case CollectionEndEvent():
                opened = self._stack.pop()
                self._close(opened.node, opened.anchor)
            case AliasEvent():
                self._take_alias(event.anchor, place)
            case DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise _RefusedError(place, "a second document begins here", "keep one job a file")

    def _key_is_next(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].node.value, dict) and self._stack[-1].key is None

    def _take_key(self, event: ScalarEvent, place: Place) -> None:
        opened = self._stack[-1]
        key = event.value
        if event.implicit[0] and key == "<<":
            raise _RefusedError(
                place,
                "merge keys (<<) are not part of YAML 1.2",
                "write the keys out, or give the whole value an anchor and an alias",
            )
        if not isinstance(self._scalar(event, place), str):
            self._note(place, f"the key {key or 'here'} is no text", f'write it in quotes: "{key}"', key)
        if key in opened.node.keys:
            first = opened.node.keys[key].line
            self._note(place, f"the key {key!r} stands twice", f"it first stands in line {first}; keep one", key)
        opened.node.keys[key] = place
        opened.key = key

    def _open(self, event: MappingStartEvent | SequenceStartEvent, place: Place) -> None:
        if self._key_is_next():
            raise _RefusedError(place, "a mapping or a list cannot be a key", "quote text that begins with { or [")
        if len(self._stack) == MAX_DEPTH:
            raise _RefusedError(place, f"mappings and lists nest deeper than {MAX_DEPTH} levels")
        _check_tag(event, place)
        if event.anchor:
            self._anchors[event.anchor] = None
        node = Node({} if isinstance(event, MappingStartEvent) else [], place, height=1)
        self._stack.append(_Open(node, event.anchor))

    def _close(self, node: Node, anchor: str | None) -> None:
        """A node is complete: it becomes the child of the one around it."""
        if anchor:
            self._anchors[anchor] = node
        if not self._stack:
            self.root = node
            return
        opened = self._stack[-1]
        parent = opened.node
        key: str | int = len(parent.value) if opened.key is None else opened.key
        if isinstance(key, str):
            parent.value[key] = node.value
        else:
            parent.value.append(node.value)
        parent.children[key] = node
        parent.size += node.size
        parent.height = max(parent.height, node.height + 1)
        opened.key = None

    def _take_alias(self, name: str | None, place: Place) -> None:
        # The name is not told: it may be the beginning of a secret that should have been quoted.
        hint = "put text that begins with * in quotes"
        if self._key_is_next():
            raise _RefusedError(place, "an alias (*) cannot be a key", hint)
        if name is None or name not in self._anchors:
            raise _RefusedError(place, "this alias (*) has no anchor (&) above it", hint)
        node = self._anchors[name]
        if node is None:
            raise _RefusedError(place, "this alias (*) stands within the value that it means")
        self._aliased += node.size
        if self._aliased > MAX_ALIASED:
            raise _RefusedError(place, f"the aliases stand for more than {MAX_ALIASED} values")
        if len(self._stack) + node.height > MAX_DEPTH:
            raise _RefusedError(place, f"mappings and lists nest deeper than {MAX_DEPTH} levels")
        self._close(replace(node, place=place), None)

    def _scalar(self, event: ScalarEvent, place: Place) -> object:
        kind = _check_tag(event, place)
        try:
            if kind:
                return resolve_as(kind, event.value)
            return resolve(event.value) if event.implicit[0] else event.value
        except ValueError as error:
            self._note(place, str(error))
            return None

    def _note(self, place: Place, message: str, hint: str = "", key: str | None = None) -> None:
        path = ""
        for opened in self._stack:
            step = key if opened is self._stack[-1] and key is not None else opened.key
            path += f"[{len(opened.node.value)}]" if step is None else f".{step}"
        self.problems.append(Problem(path.removeprefix("."), message, hint, place.line, place.column))


def _check_tag(event: ScalarEvent | MappingStartEvent | SequenceStartEvent, place: Place) -> str:
    """The core tag's name; "" for a value without a tag. The tag ``!`` makes a scalar a text."""
    if event.tag is None:
        return ""
    if event.tag == "!":
        return "str" if isinstance(event, ScalarEvent) else ""
    kind: str = event.tag.removeprefix(_CORE)
    if not event.tag.startswith(_CORE) or kind not in _TAGS[type(event)]:
        # As with aliases, the tag is not told.
        raise _RefusedError(
            place,
            "tags (!) have no meaning in a job",
            "take it away, or put text that begins with ! in quotes",
        )
    return kind
