"""Botocore's own model of SageMaker's requests, checked in full.

Botocore checks members, types and minimums; lengths, maximums, patterns and enums stand in the same model, and are
checked here too. The model is loaded when the first request is checked, and compiled once.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

Check = Callable[[Any, str], Iterator["Violation"]]


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that a request breaks.

    Attributes:
        path: into the request, e.g. ``TrainingJobDefinition.InputDataConfig[0].ChannelName``.
        message: the rule, as it follows "failed to satisfy constraint:".
    """

    path: str
    message: str


def shape_problems(request: Mapping[str, Any], operation: str) -> list[Violation]:
    """What in a request does not fit the model.

    Args:
        request: its members, as boto3 takes them.
        operation: of the service, e.g. ``CreateTrainingJob``.
    """
    return list(_checker(operation)(request, ""))


def members(operation: str = "CreateHyperParameterTuningJob") -> frozenset[str]:
    """The names of a request's members."""
    return frozenset(service_model().operation_model(operation).input_shape.members)


def response_members(operation: str) -> frozenset[str]:
    """The names of an answer's members, and of what botocore adds."""
    return frozenset(service_model().operation_model(operation).output_shape.members) | {"ResponseMetadata"}


# Botocore's model


@cache
def service_model() -> Any:  # botocore.model.ServiceModel, which has no types
    """Botocore's model of SageMaker."""
    from botocore.loaders import Loader  # noqa: PLC0415  # nothing of AWS is loaded before a request is checked
    from botocore.model import ServiceModel  # noqa: PLC0415

    return ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")


@cache
def _checker(operation: str) -> Check:
    return _compile(service_model().operation_model(operation).input_shape, {})


def _compile(shape: Any, known: dict[str, Check]) -> Check:
    """A function that checks values of a shape; shapes may hold themselves."""
    if shape.name not in known:
        known[shape.name] = lambda value, path: known[shape.name](value, path)  # noqa: PLW0108  # looked up when called
        known[shape.name] = _COMPILERS.get(shape.type_name, _anything)(shape, known)
    return known[shape.name]


def _structure(shape: Any, known: dict[str, Check]) -> Check:
    parts = {name: _compile(member, known) for name, member in shape.members.items()}
    required = tuple(shape.required_members)

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
                near = difflib.get_close_matches(str(name), parts, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                yield Violation(join(path, str(name)), f"Member is not known{hint}")

    return check


def _list(shape: Any, known: dict[str, Check]) -> Check:
    item, sized = _compile(shape.member, known), _sized(shape)

    def check(value: Any, path: str) -> Iterator[Violation]:
        if not isinstance(value, list | tuple):
            yield Violation(path, "Member must be a list")
            return
        yield from sized(len(value), path)
        for index, part in enumerate(value):
            yield from item(part, f"{path}[{index}]")

    return check


def _map(shape: Any, known: dict[str, Check]) -> Check:
    key, item, sized = _compile(shape.key, known), _compile(shape.value, known), _sized(shape)

    def check(value: Any, path: str) -> Iterator[Violation]:
        if not isinstance(value, Mapping):
            yield Violation(path, "Member must be a map")
            return
        yield from sized(len(value), path)
        for name, part in value.items():
            yield from key(name, join(path, str(name)))
            yield from item(part, join(path, str(name)))

    return check


def _string(shape: Any, _known: dict[str, Check]) -> Check:
    sized = _sized(shape)
    written = shape.metadata.get("pattern")
    pattern = None if written is None else _python_pattern(written)
    allowed = frozenset(shape.enum)

    def check(value: Any, path: str) -> Iterator[Violation]:
        if not isinstance(value, str):
            yield Violation(path, "Member must be a string")
            return
        yield from sized(len(value), path)
        if allowed and value not in allowed:
            yield Violation(path, f"Member must satisfy enum value set: [{', '.join(sorted(allowed))}]")
        if pattern is not None and not pattern.fullmatch(value):
            yield Violation(path, f"Member must satisfy regular expression pattern: {written}")

    return check


def _number(shape: Any, _known: dict[str, Check]) -> Check:
    whole = shape.type_name in ("integer", "long")
    low, high = shape.metadata.get("min", -math.inf), shape.metadata.get("max", math.inf)

    def check(value: Any, path: str) -> Iterator[Violation]:
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            yield Violation(path, f"Member must be {'a whole number' if whole else 'a number'}")
        elif value < low:
            yield Violation(path, f"Member must have value greater than or equal to {low}")
        elif value > high:
            yield Violation(path, f"Member must have value less than or equal to {high}")

    return check


def _boolean(_shape: Any, _known: dict[str, Check]) -> Check:
    def check(value: Any, path: str) -> Iterator[Violation]:
        if not isinstance(value, bool):
            yield Violation(path, "Member must be a boolean")

    return check


def _anything(_shape: Any, _known: dict[str, Check]) -> Check:
    def check(_value: Any, _path: str) -> Iterator[Violation]:
        return iter(())

    return check


_COMPILERS: Mapping[str, Callable[[Any, dict[str, Check]], Check]] = {
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


def _sized(shape: Any) -> Callable[[int, str], Iterator[Violation]]:
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", math.inf)

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
    """A pattern of the service, which is one of Java; None for one that Python cannot read (of rare operations)."""
    for java, python in _JAVA_CLASSES.items():
        written = written.replace(java, python)
    try:
        return re.compile(written, re.DOTALL)
    except re.error:
        return None


def join(path: str, name: str) -> str:
    """The path of a member."""
    return f"{path}.{name}" if path else name
