"""Answers of the server: plain data without secrets, and of bounded size, since a model reads all of it."""

from typing import Any

from cloudtune.errors.masking import masked_text
from cloudtune.results.json_data import json_data

MOST_ROWS = 100
"""Most entries of a list in an answer."""

_MOST_TEXT = 4_000
"""Most characters of a text in an answer."""


def bounded(data: Any) -> Any:  # plain data
    """Return plain data with secrets masked, long texts and lists cut, and None for numbers that JSON does not have."""
    return json_data(data, text=_cut, most=MOST_ROWS)


def _cut(text: str) -> str:
    text = masked_text(text)
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}… ({len(text) - _MOST_TEXT} more characters)"
