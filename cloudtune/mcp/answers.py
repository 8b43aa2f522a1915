"""Answers of the server: plain data without secrets, and of bounded size, since a model reads all of it."""

import math
from collections.abc import Mapping
from typing import Any

from cloudtune.errors.masking import masked_text

MOST_ROWS = 100
"""Most entries of a list in an answer."""

_MOST_TEXT = 4_000
"""Most characters of a text in an answer."""


def bounded(data: Any) -> Any:  # plain data
    """Return plain data with secrets masked, long texts and lists cut, and None for numbers that JSON does not have."""
    if isinstance(data, str):
        text = masked_text(data)
        return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}… ({len(text) - _MOST_TEXT} more characters)"
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {str(key): bounded(value) for key, value in list(data.items())[:MOST_ROWS]}
    if isinstance(data, list | tuple):
        return [bounded(value) for value in data[:MOST_ROWS]]
    return data
