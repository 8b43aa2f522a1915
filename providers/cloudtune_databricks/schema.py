"""Requests as plain data, checked against the dataclasses of Databricks' SDK."""

import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any

from cloudtune.errors import suggest
from cloudtune.planning.plain_data import join
from cloudtune.planning.violations import Violation

_WORDS: Mapping[type, str] = {str: "a text", int: "a whole number", bool: "true or false", float: "a number"}


class Unchecked(Exception):  # nothing has gone wrong
    """The SDK is not installed, so that nothing can be checked."""


def problems(request: Mapping[str, Any]) -> list[Violation]:
    """Return what of a request to ``jobs/runs/submit`` fits no field of the SDK.

    Args:
        request: the whole of it.

    Raises:
        Unchecked: the SDK is not installed.
    """
    return list(_members(request, _of_submit(), "", "request"))


@cache
def _of_submit() -> dict[str, tuple[Any, bool]]:
    try:
        from databricks.sdk.service.jobs import JobsAPI  # noqa: PLC0415  # takes more than a second
    except ImportError as error:
        raise Unchecked("its fields are not checked before the run starts: databricks-sdk is not installed") from error
    hints = typing.get_type_hints(JobsAPI.submit)
    return {name: (hint, False) for name, hint in hints.items() if name != "return"}


@cache
def _of_class(kind: type[Any]) -> dict[str, tuple[Any, bool]]:
    """Return the type of each member of a dataclass, and whether it is needed."""
    hints = typing.get_type_hints(kind)
    return {
        each.name: (hints[each.name], each.default is MISSING and each.default_factory is MISSING)
        for each in fields(kind)
    }


def _members(data: Any, known: Mapping[str, tuple[Any, bool]], path: str, kind: str) -> Iterator[Violation]:
    if not isinstance(data, Mapping):
        yield Violation(path, f"must be an object ({kind})")
        return
    for name, value in data.items():
        if name not in known:
            yield Violation(
                join(path, str(name)), f"is no field of a {kind}; {suggest(str(name), known)}", strange=True
            )
        elif value is not None:
            yield from _value(value, known[name][0], join(path, str(name)))
    for name, (_, needed) in known.items():
        if needed and data.get(name) is None:
            yield Violation(join(path, name), f"is needed in a {kind}")


def _value(value: Any, hint: Any, path: str) -> Iterator[Violation]:
    inside = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Union:
        yield from _value(value, next(each for each in inside if each is not type(None)), path)
    elif typing.get_origin(hint) in (list, dict):
        yield from _several(value, hint, path)
    elif is_dataclass(hint) and isinstance(hint, type):
        yield from _members(value, _of_class(hint), path, hint.__name__)
    elif isinstance(hint, type) and issubclass(hint, Enum):
        words = [str(each.value) for each in hint]
        if value not in words:
            yield Violation(path, f"is none of {', '.join(words)}", strange=True)
    elif hint in _WORDS and not _is(value, hint):
        yield Violation(path, f"must be {_WORDS[hint]}, not {value!r}")


def _several(value: Any, hint: Any, path: str) -> Iterator[Violation]:
    """Yield what does not fit a list or a mapping of one type."""
    inside = typing.get_args(hint)
    if typing.get_origin(hint) is list and isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from _value(each, inside[0], f"{path}[{index}]")
    elif typing.get_origin(hint) is dict and isinstance(value, Mapping):
        for name, each in value.items():
            yield from _value(each, inside[1], join(path, str(name)))
    else:
        yield Violation(path, "must be a list" if typing.get_origin(hint) is list else "must be an object")


def _is(value: Any, kind: type) -> bool:
    kinds = (int, float) if kind is float else kind
    return isinstance(value, kinds) and (kind is bool or not isinstance(value, bool))
