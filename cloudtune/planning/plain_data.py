"""Read plain data in which native settings may have put anything anywhere."""

from collections.abc import Mapping
from typing import Any


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """Return a list with an empty mapping in the place of each item that is none; an empty list for what is no list."""
    return [mapping(each) for each in value] if isinstance(value, list) else []


def join(path: str, name: str) -> str:
    """Return the path of a field below another; "" stands for the whole."""
    return f"{path}.{name}" if path else name


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is neither None nor an empty mapping."""
    return {name: value for name, value in values.items() if value not in (None, {})}
