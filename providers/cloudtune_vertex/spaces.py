"""From the parameter specs of a study to a space."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_LEGAL = re.compile(r"[^\s{}=\-][^\s{}=]{0,255}\Z")
"""Names that a space takes (`job.ParameterName`)."""

_KINDS = {"UNIT_LINEAR_SCALE": "linear", "UNIT_LOG_SCALE": "log"}
_CONDITIONS = ("parentDiscreteValues", "parentIntValues", "parentCategoricalValues")

Entry = dict[str, Any]
"""A parameter as the spec writes it."""


def space_of(parameters: Sequence[Mapping[str, Any]]) -> dict[str, Entry]:
    """The space of a study; what a spec cannot say of it stays in the native settings."""
    space: dict[str, Entry] = {}
    for parameter in parameters:
        _add(space, parameter, None)
    return space


def _add(space: dict[str, Entry], parameter: Mapping[str, Any], when: Mapping[str, Any] | None) -> None:
    name = parameter["parameterId"]
    if not _LEGAL.match(name):
        return
    entry = _entry(parameter)
    space[name] = entry if when is None else {**entry, "when": dict(when)}
    for child in parameter.get("conditionalParameterSpecs", []):
        values = next(child[each]["values"] for each in _CONDITIONS if each in child)
        _add(space, child["parameterSpec"], {name: [_as_in(entry, value) for value in values]})


def _entry(parameter: Mapping[str, Any]) -> Entry:
    if "integerValueSpec" in parameter:
        low, high = _bounds(parameter["integerValueSpec"])
        return _scaled({"type": "int", "low": int(low), "high": int(high)}, parameter, low)
    if "doubleValueSpec" in parameter:
        low, high = _bounds(parameter["doubleValueSpec"])
        return _scaled({"type": "float", "low": low, "high": high}, parameter, low)
    if "discreteValueSpec" in parameter:
        values = [int(value) if value == int(value) else value for value in parameter["discreteValueSpec"]["values"]]
        return _scaled({"type": "ordinal", "values": values}, parameter, values[0])
    return {"type": "categorical", "values": _categories(parameter["categoricalValueSpec"]["values"])}


def _bounds(spec: Mapping[str, Any]) -> tuple[float, float]:
    return spec["minValue"], spec["maxValue"]


def _scaled(entry: Entry, parameter: Mapping[str, Any], low: float) -> Entry:
    """With a logarithmic scale; the service's reverse one is another than ours, and stays native."""
    scale = _KINDS.get(parameter.get("scaleType", ""), "linear")
    return {**entry, "scale": scale} if scale == "log" and low > 0 else entry


def _categories(texts: Sequence[str]) -> list[Any]:
    """Categories: numbers where all are, else the texts as they are."""
    numbers = [_number(text) for text in texts]
    return list(texts) if any(number is None for number in numbers) else numbers


def _number(text: str) -> int | float | None:
    """The number that a text is, if it is written as we would write it."""
    try:
        value = json.loads(text, parse_constant=lambda _: None)
    except ValueError:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 2**53:
        return None
    return value if json.dumps(value) == text else None


def _as_in(parent: Entry, value: Any) -> Any:
    """A value of a condition as the parent has it."""
    if parent["type"] == "categorical":
        number = _number(value)
        return number if number in parent["values"] and not isinstance(number, str) and number is not None else value
    return int(value) if value == int(value) else value
