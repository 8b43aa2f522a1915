"""Plain data as JSON has it: for the command line, the page, messages and answers alike."""

import math
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any


def finite(number: float) -> float | None:
    """Return a number, or None for one that JSON does not have: NaN and the infinities."""
    return number if math.isfinite(number) else None


def rounded(number: float) -> float | None:
    """Return a number with 8 digits, enough for what is drawn; None for one that JSON does not have."""
    return float(f"{number:.8g}") if math.isfinite(number) else None


def json_data(
    data: Any,
    *,
    number: Callable[[float], float | None] = finite,
    text: Callable[[str], str] = str,
    most: int | None = None,
) -> Any:
    """Return plain data with each number and text replaced, keys included.

    Args:
        data: mappings, lists, tuples, texts, numbers, true, false and None.
        number: replaces each number that is no whole one.
        text: replaces each text and each key.
        most: entries that are kept of each mapping and list; None for all.
    """
    kind = type(data)
    if kind is float:
        return number(data)
    if kind is int or kind is bool or data is None:
        return data
    if isinstance(data, str):
        return text(data)
    if isinstance(data, Mapping):
        kept = islice(data.items(), most)
        return {text(str(key)): json_data(value, number=number, text=text, most=most) for key, value in kept}
    if isinstance(data, list | tuple):
        return [json_data(item, number=number, text=text, most=most) for item in islice(data, most)]
    return number(data) if isinstance(data, float) else data
