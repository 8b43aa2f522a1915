"""From the ranges and static hyperparameters of a request to a space."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_LEGAL = re.compile(r"[^\s{}=\-][^\s{}=]{0,255}\Z")
"""Names that a space takes (`job.ParameterName`)."""

_WIDE = 100
"""The ratio of bounds above 0 from which a range that leaves its scale to the service is walked by its logarithm."""

_SCALES = {"Linear": "linear", "Logarithmic": "log", "ReverseLogarithmic": "reverse_log"}

BRANCH = "definition"
"""The parameter that stands for the choice among several training job definitions."""

Entry = dict[str, Any]
"""A parameter as the spec writes it."""


def space_of(config: Mapping[str, Any], definitions: Sequence[Mapping[str, Any]]) -> dict[str, Entry]:
    """The space of a request.

    Several definitions become a parameter ``definition`` and, where a definition has parameters of its own, conditions
    on it; where two of them search one name in two ways, only the first definition's space is told, and the rest
    stays native.
    """
    spaces = [
        _one(definition.get("HyperParameterRanges") or config.get("ParameterRanges") or {}, definition)
        for definition in definitions
    ]
    if len(spaces) == 1:
        return spaces[0]
    names = [definition["DefinitionName"] for definition in definitions]
    everything: dict[str, list[tuple[str, Entry]]] = {}
    for name, space in zip(names, spaces, strict=True):
        for key, entry in space.items():
            everything.setdefault(key, []).append((name, entry))
    same = all(entry == found[0][1] for found in everything.values() for _, entry in found)
    if not same or BRANCH in everything:
        return spaces[0]
    root = {BRANCH: {"type": "categorical", "values": names}}
    return root | {
        key: _conditional([name for name, _ in found], found[0][1], len(names)) for key, found in everything.items()
    }


def _conditional(branches: list[str], entry: Entry, all_of_them: int) -> Entry:
    return entry if len(branches) == all_of_them else {**entry, "when": {BRANCH: branches}}


def _one(ranges: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, Entry]:
    static = definition.get("StaticHyperParameters") or {}
    space: dict[str, Entry] = {}
    for each in ranges.get("IntegerParameterRanges") or ():
        space[each["Name"]] = _integer(each)
    for each in ranges.get("ContinuousParameterRanges") or ():
        space[each["Name"]] = _continuous(each)
    for each in ranges.get("CategoricalParameterRanges") or ():
        space[each["Name"]] = {"type": "categorical", "values": _values(each["Values"])}
    for each in ranges.get("AutoParameters") or ():
        space[each["Name"]] = {"type": "constant", "value": _value(each["ValueHint"])}
    for name, text in static.items():
        if not name.startswith(("sagemaker_", "cloudtune_spec_")):
            space[name] = {"type": "constant", "value": _value(text)}
    return {name: entry for name, entry in space.items() if _LEGAL.match(name)}


def _integer(declared: Mapping[str, str]) -> Entry:
    low, high = int(float(declared["MinValue"])), int(float(declared["MaxValue"]))
    entry: Entry = {"type": "int", "low": low, "high": high}
    scale = _scale(declared, low, high)
    return {**entry, "scale": scale} if scale == "log" else entry


def _continuous(declared: Mapping[str, str]) -> Entry:
    low, high = float(declared["MinValue"]), float(declared["MaxValue"])
    entry: Entry = {"type": "float", "low": low, "high": high}
    scale = _scale(declared, low, high)
    return entry if scale == "linear" else {**entry, "scale": scale}


def _scale(declared: Mapping[str, str], low: float, high: float) -> str:
    asked = declared.get("ScalingType") or "Auto"
    if asked != "Auto":
        return _SCALES[asked]
    return "log" if low > 0 and high / low >= _WIDE else "linear"


def _values(texts: Sequence[str]) -> list[Any]:
    """Categories: numbers where all are, texts out of JSON where all are put into it, else the texts as they are."""
    numbers = [_number(text) for text in texts]
    if all(number is not None for number in numbers):
        return numbers
    unpacked = [_unpacked(text) for text in texts]
    inner = list(texts) if any(text is None for text in unpacked) else unpacked
    return inner if len(set(inner)) == len(inner) else list(texts)


def _value(text: str) -> Any:
    number = _number(text)
    if number is not None:
        return number
    unpacked = _unpacked(text)
    return text if unpacked is None else unpacked


def _number(text: str) -> int | float | None:
    """The number that a text is, if it is written as we would write it."""
    try:
        value = json.loads(text, parse_constant=lambda _: None)
    except ValueError:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 2**53:
        return None
    return value if json.dumps(value) == text else None


def _unpacked(text: str) -> str | None:
    """The text in a text of JSON."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, str) else None
