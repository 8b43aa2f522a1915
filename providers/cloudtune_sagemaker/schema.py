"""Botocore's own model of SageMaker's requests, checked in full.

Botocore checks members, types and minimums; lengths, maximums, patterns and enums stand in the same model, and are
checked here too. The model is compiled once; see `cloudtune_sagemaker.schema_update` for where it comes from.
"""

import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from cloudtune.errors import suggest
from cloudtune.planning.plain_data import join
from cloudtune.planning.violations import Violation
from cloudtune_sagemaker.schema_update import Shape, newer, of_sdk, schema_for, written

Check = Callable[[Any, str], Iterator[Violation]]
Parts = Callable[[str], Check]
"""Gives the check of a shape by its name."""


def shape_problems(request: Mapping[str, Any], operation: str) -> list[Violation]:
    """Return what in a request does not fit the model.

    Args:
        request: its members, as boto3 takes them.
        operation: of the service, e.g. ``CreateTrainingJob``.
    """
    found = list(_checker(operation)(request, ""))
    if any(each.strange for each in found) and newer() is not None:
        found = list(_newer_checker(operation)(request, ""))
    return found


def members(operation: str = "CreateHyperParameterTuningJob") -> frozenset[str]:
    """Return the names of a request's members."""
    schema = written() if operation in written().requests else of_sdk()
    return frozenset(schema.shapes[schema.requests[operation]]["members"])


def response_members(operation: str) -> frozenset[str]:
    """Return the names of an answer's members, and of what botocore adds."""
    return frozenset(schema_for(operation).answers[operation]) | {"ResponseMetadata"}


# The model


@cache
def _checker(operation: str) -> Check:
    schema = written() if operation in written().requests else of_sdk()
    return _compile(schema.requests[operation], schema.shapes, {})


@cache
def _newer_checker(operation: str) -> Check:
    schema = of_sdk()
    return _compile(schema.requests[operation], schema.shapes, {})


def _compile(name: str, shapes: Mapping[str, Shape], known: dict[str, Check]) -> Check:
    """Return a function that checks values of a shape; shapes may hold themselves."""
    if name not in known:
        known[name] = lambda value, path: known[name](value, path)  # noqa: PLW0108  # looked up when called
        shape = shapes[name]
        known[name] = _COMPILERS.get(shape["type"], _anything)(shape, lambda part: _compile(part, shapes, known))
    return known[name]


def _structure(shape: Shape, part_of: Parts) -> Check:
    parts = {name: part_of(member) for name, member in shape["members"].items()}
    required = tuple(shape.get("required", ()))

    def check(value: Any, path: str) -> Iterator[Violation]:
        if not isinstance(value, Mapping):
            yield Violation(path, "Member must be a structure")
            return
        for name in required:
            if value.get(name) is None:
                yield Violation(join(path, name), "Member must not be null")
        for name, part in value.items():
            if name in parts:
                yield from parts[name](part, join(path, name))
            else:
                yield Violation(
                    join(path, str(name)), f"Member is not known; {suggest(str(name), parts)}", strange=True
                )

    return check


def _list(shape: Shape, part_of: Parts) -> Check:
    item, sized = part_of(shape["member"]), _sized(shape)

    def check(value: Any, path: str) -> Iterator[Violation]:
        if not isinstance(value, list | tuple):
            yield Violation(path, "Member must be a list")
            return
        yield from sized(len(value), path)
        for index, part in enumerate(value):
            yield from item(part, f"{path}[{index}]")

    return check


def _map(shape: Shape, part_of: Parts) -> Check:
    key, item, sized = part_of(shape["key"]), part_of(shape["value"]), _sized(shape)

    def check(value: Any, path: str) -> Iterator[Violation]:
        if not isinstance(value, Mapping):
            yield Violation(path, "Member must be a map")
            return
        yield from sized(len(value), path)
        for name, part in value.items():
            yield from key(name, join(path, str(name)))
            yield from item(part, join(path, str(name)))

    return check


def _string(shape: Shape, _part_of: Parts) -> Check:
    sized = _sized(shape)
    written = shape.get("pattern")
    pattern = None if written is None else _python_pattern(written)
    allowed = frozenset(shape.get("enum", ()))

    def check(value: Any, path: str) -> Iterator[Violation]:
        if not isinstance(value, str):
            yield Violation(path, "Member must be a string")
            return
        yield from sized(len(value), path)
        if allowed and value not in allowed:
            rule = f"Member must satisfy enum value set: [{', '.join(sorted(allowed))}]"
            yield Violation(path, rule, f"there is no {value!r}; {suggest(value, sorted(allowed))}", strange=True)
        if pattern is not None and not pattern.fullmatch(value):
            yield Violation(path, f"Member must satisfy regular expression pattern: {written}")

    return check


def _number(shape: Shape, _part_of: Parts) -> Check:
    whole = shape["type"] in ("integer", "long")
    low, high = shape.get("min", -math.inf), shape.get("max", math.inf)

    def check(value: Any, path: str) -> Iterator[Violation]:
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            yield Violation(path, f"Member must be {'a whole number' if whole else 'a number'}")
        elif isinstance(value, int) and abs(value) > sys.float_info.max:
            yield Violation(path, "Member must be a number that a float can hold")
        elif value < low:
            yield Violation(path, f"Member must have value greater than or equal to {low}")
        elif value > high:
            yield Violation(path, f"Member must have value less than or equal to {high}")

    return check


def _boolean(_shape: Shape, _part_of: Parts) -> Check:
    def check(value: Any, path: str) -> Iterator[Violation]:
        if not isinstance(value, bool):
            yield Violation(path, "Member must be a boolean")

    return check


def _anything(_shape: Shape, _part_of: Parts) -> Check:
    def check(_value: Any, _path: str) -> Iterator[Violation]:
        return iter(())

    return check


_COMPILERS: Mapping[str, Callable[[Shape, Parts], Check]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _number,
    "long": _number,
    "float": _number,
    "double": _number,
    "boolean": _boolean,
}


def _sized(shape: Shape) -> Callable[[int, str], Iterator[Violation]]:
    low, high = shape.get("min", 0), shape.get("max", math.inf)

    def check(size: int, path: str) -> Iterator[Violation]:
        if size < low:
            yield Violation(path, f"Member must have length greater than or equal to {low}")
        if size > high:
            yield Violation(path, f"Member must have length less than or equal to {high}")

    return check


_JAVA_CLASSES = {
    r"\p{L}": "a-zA-Z\u00aa-\U0003ffff",
    r"\p{M}": "\u0300-\u036f",
    r"\p{N}": r"\d",
    r"\p{P}": r"!-#%-*,-/:;?@\[-\]_{}",
    r"\p{S}": r"$+<=>^`|~",
    r"\p{Z}": r"\s",
    r"\p{Alnum}": "a-zA-Z0-9",
}
"""Java's classes of Unicode, as parts of a class of Python's; letters generously, punctuation of ASCII alone."""


def _python_pattern(written: str) -> re.Pattern[str] | None:
    """Return a pattern of the service, which is one of Java; None for one that Python cannot read (of rare operations)."""
    for java, python in _JAVA_CLASSES.items():
        written = written.replace(java, python)
    try:
        return re.compile(written, re.DOTALL)
    except re.error:
        return None
