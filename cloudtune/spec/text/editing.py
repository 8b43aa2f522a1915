"""Change values in a job's YAML and leave all else, such as comments, as it stands."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from cloudtune.spec.text.dumping import flow_text

Path = Sequence[str]
"""Keys that lead to a value."""


class CannotEdit(ValueError):
    """A text in which a value cannot be changed without writing the whole text anew."""


def with_values(text: str, values: Mapping[tuple[str, ...], Any]) -> str:
    """Return a text of YAML with other values.

    Args:
        text: a mapping in YAML.
        values: plain data by the keys that lead to it; None to take a key away.

    Raises:
        CannotEdit: a value stands where it cannot be changed alone, e.g. in the midst of a mapping on one line.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    edits = [edit for path, value in values.items() if (edit := _edit(text, root, path, value)) is not None]
    for start, end, new in sorted(edits, reverse=True):
        text = f"{text[:start]}{new}{text[end:]}"
    return text


def _edit(text: str, root: Any, path: Path, value: Any) -> tuple[int, int, str] | None:  # PyYAML's nodes
    """Return the part of the text that an edit replaces, and by what; None where there is nothing to do."""
    parent = root
    for key in path[:-1]:
        parent = _child(parent, key)[1]
    found = _entry(parent, path[-1])
    if found is None:
        return None if value is None else _added(text, parent, path[-1], value)
    key, old = found
    if value is None:
        return _taken(text, parent, key, old)
    if old.start_mark.line == key.end_mark.line:
        return old.start_mark.index, _end(text, old), flow_text(value)
    return _behind(text, key, old), _end(text, old), f" {flow_text(value)}"


def _end(text: str, node: Any) -> int:
    """Return where a value's text ends: PyYAML says of a mapping in lines where the next key begins."""
    return len(text[: node.end_mark.index].rstrip())


def _behind(text: str, key: Any, old: Any) -> int:
    """Return where the colon of a key ends whose value stands in lines of its own."""
    between = text[key.end_mark.index : old.start_mark.index]
    if "#" in between:
        raise CannotEdit("a comment stands between the key and its value")
    return int(key.end_mark.index) + between.index(":") + 1


def _added(text: str, parent: Any, key: str, value: Any) -> tuple[int, int, str]:
    if not isinstance(parent, yaml.MappingNode) or parent.flow_style or not parent.value:
        raise CannotEdit(f"{key} has no line of its own")
    first = parent.value[0][0].start_mark
    begin = first.index - first.column
    if text[begin : first.index].strip():
        raise CannotEdit(f"{key} has no line of its own")
    return begin, begin, f"{' ' * first.column}{key}: {flow_text(value)}\n"


def _taken(text: str, parent: Any, key: Any, old: Any) -> tuple[int, int, str]:
    begin = key.start_mark.index - key.start_mark.column
    end = text.find("\n", _end(text, old))
    if parent.flow_style or text[begin : key.start_mark.index].strip() or end < 0:
        raise CannotEdit(f"{key.value} has no line of its own")
    return begin, end + 1, ""


def _child(node: Any, key: str) -> tuple[Any, Any]:
    found = _entry(node, key)
    if found is None:
        raise CannotEdit(f"there is no {key}")
    return found


def _entry(node: Any, key: str) -> tuple[Any, Any] | None:
    entries = node.value if isinstance(node, yaml.MappingNode) else ()
    return next(((own, value) for own, value in entries if own.value == key), None)
