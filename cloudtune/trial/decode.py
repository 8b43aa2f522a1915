"""Decode the values that a tuner sent to the parameters of the spec."""

# ruff: noqa: PLC0415  # what only some trials need is imported when they need it

from __future__ import annotations

import json
import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .annotations import Scalar


def decode_parameters(codecs: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return the parameters of a trial from the values that a tuner sent.

    Args:
        codecs: as returned by `cloudtune.space.space_codec.SpaceCodec.to_data`.
        values: by the tuner's names; other names are ignored.

    Raises:
        ValueError: a value is missing, or is outside of what its codec encodes to.
    """
    result: dict[str, Scalar] = {}
    for dimension in codecs["dimensions"]:
        name = dimension["name"]
        if not _exists(dimension.get("when", {}), result):
            continue
        if dimension["sent_as"] not in values:
            raise ValueError(f"the tuner sent no value for the parameter {name!r}")
        value = values[dimension["sent_as"]]
        try:
            for codec in reversed(dimension["codecs"]):
                value = decode(codec, value)
        except ValueError as error:
            raise ValueError(f"the tuner sent an impossible value for {name!r}: {error}") from None
        result[name] = value
    return result


def _exists(conditions: Mapping[str, Sequence[Scalar]], decided: Mapping[str, Scalar]) -> bool:
    """Return whether a parameter exists in a trial whose parents have these values."""
    return all(
        parent in decided and any(_same(decided[parent], one) for one in allowed)
        for parent, allowed in conditions.items()
    )


def _same(left: Scalar, right: Scalar) -> bool:
    """Return whether two values of the spec are equal: 1 equals 1.0, but neither equals true."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def decode(codec: Mapping[str, Any], value: Any) -> Scalar:
    """Return a parameter's value from an encoded one; numbers may come back as doubles or as texts.

    Args:
        codec: as returned by the codec's ``to_data``.
        value: sent by the tuner.

    Raises:
        ValueError: the codec encodes nothing to this value.
    """
    return _DECODERS[codec["kind"]](codec, value)


def _decode_step(codec: Mapping[str, Any], value: Any) -> Scalar:
    index = _index(value, codec["size"])
    if codec["whole"]:
        return int(codec["low"]) + index * int(codec["step"])
    return _exact(codec["low"], index, codec["step"])


def _exact(low: float, index: int, step: float) -> float:
    """Return low + index · step, computed in decimal so that 0.1 + 2 · 0.1 is 0.3."""
    from decimal import Decimal

    return float(Decimal(repr(low)) + index * Decimal(repr(step)))


def _index(value: Any, size: int) -> int:
    index = round(_double(value))
    if not 0 <= index < size:
        raise ValueError(f"{value!r} is not between 0 and {size - 1}")
    return index


def _double(value: Any) -> float:
    """Return a number from a double, an integer or a text."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number


def _decode_exponent(codec: Mapping[str, Any], value: Any) -> Scalar:
    point = _double(value)
    if point <= codec["bottom"] or point >= codec["top"]:
        return float(codec["low"] if point <= codec["bottom"] else codec["high"])
    return _rounded(codec, math.exp(point) if codec["kind"] == "log" else -math.expm1(-point))


def _decode_bell(codec: Mapping[str, Any], value: Any) -> Scalar:
    from statistics import NormalDist

    mass = min(max(_double(value), codec["bottom"]), codec["top"])
    point = codec["mean"] + codec["std"] * NormalDist().inv_cdf(mass)
    number = math.exp(point) if codec["log"] else point
    if codec["step"] is not None:
        first, last = codec["first"], codec["first"] + codec["size"] - 1
        return _exact(0.0, min(max(round(number / codec["step"]), first), last), codec["step"])
    if mass in (codec["bottom"], codec["top"]):
        return float(codec["low"] if mass == codec["bottom"] else codec["high"])
    return _rounded(codec, number)


def _rounded(codec: Mapping[str, Any], value: float) -> float:
    """Return a value with the digits that survive its codec; `cloudtune.space.axes.Rounding` rounds in the same way."""
    low, high, digits, relative = codec["low"], codec["high"], codec["digits"], codec["relative"]
    rounded = float(f"{value:.{digits - 1}e}") if relative else round(value, digits)
    unit = 10.0 ** (1 - digits if relative else -digits)
    if rounded - low < unit * (low if relative else 1.0):
        return float(low)
    if high - rounded < unit * (high if relative else 1.0):
        return float(high)
    return rounded


def _decode_index(codec: Mapping[str, Any], value: Any) -> Scalar:
    found: Scalar = codec["values"][_index(value, len(codec["values"]))]
    return found


def _decode_text(codec: Mapping[str, Any], value: Any) -> Scalar:
    known: Scalar
    for known in codec["values"]:
        if value == json_text(known):
            return known
        if not isinstance(value, str) and not isinstance(known, str) and _same(value, known):
            return known  # the service sent the text of a number as the number
    raise ValueError(f"{value!r} is none of the texts that were sent")


def json_text(value: Scalar) -> str:
    """Return a value as JSON, which tells the text "1" from the number 1."""
    return json.dumps(value, ensure_ascii=False)


def _decode_number(codec: Mapping[str, Any], value: Any) -> Scalar:
    number = _double(value)
    if codec["values"] is None:
        return round(number) if codec["whole"] else number
    nearest: int | float = min(codec["values"], key=lambda known: abs(known - number))
    if not math.isclose(nearest, number, rel_tol=1e-9):
        raise ValueError(f"{value!r} is none of the numbers that were sent")
    return nearest


_DECODERS = {
    "step": _decode_step,
    "log": _decode_exponent,
    "reverse_log": _decode_exponent,
    "bell": _decode_bell,
    "index": _decode_index,
    "text": _decode_text,
    "number": _decode_number,
}
