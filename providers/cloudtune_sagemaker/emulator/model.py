"""What a request says, read by botocore's own model of the service, and what of it the model does not allow."""

import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator
from moto.core.model import ServiceModel as MotoModel
from moto.core.utils import get_service_model

Found = Iterator[tuple[str, str]]
"""Paths, such as ``A.B[0].C``, and the rule that is broken there."""

_KINDS: Mapping[str, tuple[Any, str]] = {
    "structure": (Mapping, "a structure"),
    "list": (list | tuple, "a list"),
    "map": (Mapping, "a map"),
    "string": (str, "a string"),
    "integer": (int, "a whole number"),
    "long": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "double": ((int, float), "a number"),
    "boolean": (bool, "a boolean"),
}
"""The types of values by those of shapes; of others, such as timestamps, botocore's validator knows more."""

_CLASSES = {
    r"\p{L}": "a-zA-Z\u00aa-\U0003ffff",
    r"\p{M}": "\u0300-\u036f",
    r"\p{N}": r"\d",
    r"\p{P}": r"!-#%-*,-/:;?@\[-\]_{}",
    r"\p{S}": r"$+<=>^`|~",
    r"\p{Z}": r"\s",
    r"\p{Alnum}": "a-zA-Z0-9",
}
"""Classes of Java's regular expressions, as parts of a class of Python's: of Unicode as far as names need them."""


def misfits(request: Mapping[str, Any], operation: str) -> list[tuple[str, str]]:
    """Return what in a request does not fit the model, in the words of the service.

    Args:
        request: its members, as boto3 takes them.
        operation: e.g. ``CreateTrainingJob``.
    """
    shape: Any = _service().operation_model(operation).input_shape
    found = list(_of(shape, request, ""))
    report = ParamValidator().validate(request, shape)
    if report.has_errors() and not found:
        found.append(("", f"Member must fit the model: {report.generate_report()}"))
    return found


@cache
def _service() -> ServiceModel | MotoModel:
    return get_service_model("sagemaker")


def _of(shape: Any, value: Any, path: str) -> Found:
    kinds, word = _KINDS.get(shape.type_name, (object, ""))
    if not isinstance(value, kinds) or (isinstance(value, bool) and shape.type_name != "boolean"):
        yield path, f"Member must be {word}"
        return
    match shape.type_name:
        case "structure":
            yield from _of_members(shape, value, path)
        case "list":
            yield from _of_size(shape, len(value), path)
            for index, each in enumerate(value):
                yield from _of(shape.member, each, f"{path}[{index}]")
        case "map":
            yield from _of_size(shape, len(value), path)
            for key, each in value.items():
                yield from _of(shape.key, key, _below(path, str(key)))
                yield from _of(shape.value, each, _below(path, str(key)))
        case "string":
            yield from _of_text(shape, value, path)
        case "integer" | "long" | "float" | "double":
            yield from _of_number(shape, value, path)


def _of_members(shape: Any, value: Mapping[str, Any], path: str) -> Found:
    for name in shape.required_members:
        if value.get(name) is None:
            yield _below(path, name), "Member must not be null"
    for name, each in value.items():
        if name not in shape.members:
            yield _below(path, name), "Member is not known"
        elif each is not None or name not in shape.required_members:
            yield from _of(shape.members[name], each, _below(path, name))


def _of_size(shape: Shape, size: int, path: str) -> Found:
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", math.inf)
    if size < low:
        yield path, f"Member must have length greater than or equal to {low}"
    if size > high:
        yield path, f"Member must have length less than or equal to {high}"


def _of_text(shape: Any, value: str, path: str) -> Found:
    yield from _of_size(shape, len(value), path)
    if shape.enum and value not in shape.enum:
        yield path, f"Member must satisfy enum value set: [{', '.join(sorted(shape.enum))}]"
    written = shape.metadata.get("pattern")
    pattern = None if written is None else _pattern(written)
    if pattern is not None and not pattern.fullmatch(value):
        yield path, f"Member must satisfy regular expression pattern: {written}"


@cache
def _pattern(written: str) -> "re.Pattern[str] | None":
    """Return a pattern of the service, which is one of Java; None where Python cannot read it (of rare operations)."""
    for java, python in _CLASSES.items():
        written = written.replace(java, python)
    try:
        return re.compile(written, re.DOTALL)
    except re.error:
        return None


def _of_number(shape: Shape, value: float, path: str) -> Found:
    low, high = shape.metadata.get("min", -math.inf), shape.metadata.get("max", math.inf)
    if value < low:
        yield path, f"Member must have value greater than or equal to {low}"
    if value > high:
        yield path, f"Member must have value less than or equal to {high}"


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
