"""Data made of YAML's events, with the place of every key and value, and within bounds."""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from cloudtune.errors import Problem
from cloudtune.spec.text.dialects import Dialect
from cloudtune.spec.text.syntax import MAX_DEPTH

MAX_ALIASED = 10_000
"""How many values all aliases together may stand for."""

MAX_VALUES = 100_000
"""How many keys and values a text may have."""

_CORE = "tag:yaml.org,2002:"
_TAGS = {
    ScalarEvent: {"str", "null", "bool", "int", "float"},
    MappingStartEvent: {"map"},
    SequenceStartEvent: {"seq"},
}
_MERGE = "<<"


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


class RefusedError(Exception):
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
    merged: list[Node] = field(default_factory=list)
    """Mappings whose items are those of this one, too, unless it has them itself."""
    merges_next: bool = False
    """Whether the value that comes next is one of them, or a list of them."""


class Builder:
    """Makes nodes of events, with a stack of its own instead of recursion."""

    def __init__(self, dialect: Dialect) -> None:
        self.roots: list[Node] = []
        self.problems: list[Problem] = []
        self._dialect = dialect
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}  # None while the anchor's value is still open
        self._aliased = 0
        self._documents = 0
        self._events = 0

    def take(self, event: Event) -> None:
        """Process the next event.

        Raises:
            RefusedError: the event makes the rest of the text meaningless.
        """
        mark = event.start_mark
        assert mark is not None, "PyYAML marks every event that it parses"
        place = Place(mark.line + 1, mark.column + 1)
        self._events += 1
        if self._events > MAX_VALUES:
            raise RefusedError(
                place, f"there are more than {MAX_VALUES} keys and values", "keep tables in files of data"
            )
        match event:
            case ScalarEvent() if self._key_is_next():
                self._take_key(event, place)
            case ScalarEvent():
                self._close(Node(self._scalar(event, place), place, text=event.value), event.anchor)
            case MappingStartEvent() | SequenceStartEvent():
                self._open(event, place)
            case CollectionEndEvent():
                opened = self._stack.pop()
                _merge(opened)
                self._close(opened.node, opened.anchor)
            case AliasEvent():
                self._take_alias(event.anchor, place)
            case DocumentStartEvent():
                self._documents += 1
                self._anchors.clear()
                if self._documents > 1 and not self._dialect.documents:
                    raise RefusedError(place, "a second document begins here", "keep one job a file")

    def _key_is_next(self) -> bool:
        if not self._stack or not isinstance(self._stack[-1].node.value, dict):
            return False
        return self._stack[-1].key is None and not self._stack[-1].merges_next

    def _take_key(self, event: ScalarEvent, place: Place) -> None:
        opened = self._stack[-1]
        key = event.value
        if event.implicit[0] and key == _MERGE:
            if self._dialect.merges:
                opened.merges_next = True
                return
            raise RefusedError(
                place,
                "merge keys (<<) are not part of YAML 1.2",
                "write the keys out, or give the whole value an anchor and an alias",
            )
        if self._dialect.text_keys and not isinstance(self._scalar(event, place), str):
            self._note(place, f"the key {key or 'here'} is no text", f'write it in quotes: "{key}"', key)
        if key in opened.node.keys:
            first = opened.node.keys[key].line
            self._note(place, f"the key {key!r} stands twice", f"it first stands in line {first}; keep one", key)
        opened.node.keys[key] = place
        opened.key = key

    def _open(self, event: MappingStartEvent | SequenceStartEvent, place: Place) -> None:
        if self._key_is_next():
            raise RefusedError(place, "a mapping or a list cannot be a key", "quote text that begins with { or [")
        if len(self._stack) == MAX_DEPTH:
            raise RefusedError(place, f"mappings and lists nest deeper than {MAX_DEPTH} levels")
        self._check_tag(event, place)
        if event.anchor:
            self._anchors[event.anchor] = None
        node = Node({} if isinstance(event, MappingStartEvent) else [], place, height=1)
        self._stack.append(_Open(node, event.anchor))

    def _close(self, node: Node, anchor: str | None) -> None:
        """Add a complete node to the one around it."""
        if anchor:
            self._anchors[anchor] = node
        if not self._stack:
            self.roots.append(node)
            return
        opened = self._stack[-1]
        parent = opened.node
        parent.size += node.size
        if opened.merges_next:
            self._take_merged(opened, node)
            return
        key: str | int = len(parent.value) if opened.key is None else opened.key
        if isinstance(key, str):
            parent.value[key] = node.value
        else:
            parent.value.append(node.value)
        parent.children[key] = node
        parent.height = max(parent.height, node.height + 1)
        opened.key = None

    def _take_merged(self, opened: _Open, node: Node) -> None:
        """Note the value of ``<<``: a mapping, or a list of mappings of which earlier ones win."""
        found = (
            [node] if isinstance(node.value, dict) else [node.children[index] for index in range(len(node.children))]
        )
        if not found or not all(isinstance(each.value, dict) for each in found):
            raise RefusedError(node.place, "<< takes a mapping, or a list of mappings", "give it an alias of one")
        opened.merged += found
        opened.merges_next = False

    def _take_alias(self, name: str | None, place: Place) -> None:
        # The name is not told: it may be the beginning of a secret that should have been quoted.
        hint = "put text that begins with * in quotes"
        if self._key_is_next():
            raise RefusedError(place, "an alias (*) cannot be a key", hint)
        if name is None or name not in self._anchors:
            raise RefusedError(place, "this alias (*) has no anchor (&) above it", hint)
        node = self._anchors[name]
        if node is None:
            raise RefusedError(place, "this alias (*) stands within the value that it means")
        self._aliased += node.size
        if self._aliased > MAX_ALIASED:
            raise RefusedError(place, f"the aliases stand for more than {MAX_ALIASED} values")
        if len(self._stack) + node.height > MAX_DEPTH:
            raise RefusedError(place, f"mappings and lists nest deeper than {MAX_DEPTH} levels")
        self._close(replace(node, place=place), None)

    def _scalar(self, event: ScalarEvent, place: Place) -> object:
        kind = self._check_tag(event, place)
        try:
            if kind:
                return self._dialect.resolve_as(kind, event.value)
            return self._dialect.resolve(event.value) if event.implicit[0] else event.value
        except ValueError as error:
            self._note(place, str(error))
            return None

    def _note(self, place: Place, message: str, hint: str = "", key: str | None = None) -> None:
        path = ""
        for opened in self._stack:
            step = key if opened is self._stack[-1] and key is not None else opened.key
            path += f"[{len(opened.node.value)}]" if step is None else f".{step}"
        self.problems.append(Problem(path.removeprefix("."), message, hint, place.line, place.column))

    def _check_tag(self, event: ScalarEvent | MappingStartEvent | SequenceStartEvent, place: Place) -> str:
        """Return the name of a value's core tag; "" without a tag. The tag ``!`` makes a scalar a text."""
        if event.tag is None:
            return ""
        if event.tag == "!":
            return "str" if isinstance(event, ScalarEvent) else ""
        kind: str = event.tag.removeprefix(_CORE)
        if not event.tag.startswith(_CORE) or kind not in _TAGS[type(event)]:
            # As with aliases, the tag is not told.
            raise RefusedError(
                place,
                f"tags (!) have no meaning in {self._dialect.told}",
                "take it away, or put text that begins with ! in quotes",
            )
        return kind


def _merge(opened: _Open) -> None:
    """Add to a mapping the items of those that are merged into it."""
    node = opened.node
    for other in opened.merged:
        for key, child in other.children.items():
            if key not in node.value:
                node.value[key] = child.value
                node.children[key] = child
                node.keys[str(key)] = other.keys[str(key)]
                node.height = max(node.height, child.height + 1)
