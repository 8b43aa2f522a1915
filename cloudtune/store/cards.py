"""Cards: what a notebook shows of a run or a trial, as HTML in the colours of the page, light or dark, without scripts."""

import json
from collections.abc import Iterable, Mapping
from html import escape

MAX_ROWS = 10
"""Most parameters, or metrics, of a trial in a card."""

MAX_NAME, MAX_VALUE, MAX_TEXT = 48, 60, 240
"""Most characters in a card of a name, of a parameter's value, and of a sentence. With `MAX_ROWS` they bound its size: 20 kB."""

_CARD = (
    "display:inline-block;box-sizing:border-box;min-width:20em;max-width:46em;padding:.7em 1em;line-height:1.45;"
    "border:1px solid rgba(128,128,128,.5);border-radius:6px;color:inherit;text-align:left"
)
_TABLE = "border-collapse:collapse;border:0;margin:.4em 0;color:inherit;background:none"
_TERM = "padding:.05em 1.2em .05em 0;text-align:left;vertical-align:top;font-weight:normal;opacity:.75;border:0"
_CELL = "padding:.05em 0;text-align:left;vertical-align:top;overflow-wrap:anywhere;border:0"

Row = tuple[str, str]
"""A term and what is said of it, as plain texts."""


def card(title: str, rows: Iterable[Row], below: str = "") -> str:
    """Return a card.

    Args:
        title: plain text.
        rows: those whose text is "" are left out.
        below: HTML.
    """
    body = "".join(
        f'<tr style="background:none"><th scope="row" style="{_TERM}{_wrap(term)}">{shown(term, MAX_NAME)}</th><td style="{_CELL}">{shown(text)}</td></tr>'
        for term, text in rows
        if text
    )
    table = f'<table style="{_TABLE}"><tbody>{body}</tbody></table>' if body else ""
    return f'<div style="{_CARD}"><div style="font-weight:bold;overflow-wrap:anywhere">{shown(title)}</div>{table}{below}</div>'


def _wrap(term: str) -> str:
    """Return the style of how a term is broken: only where it is long."""
    return ";white-space:nowrap" if len(term) <= 16 else ";overflow-wrap:anywhere"


def shown(text: str, most: int = MAX_TEXT) -> str:
    """Return a text as HTML between tags, on one line and cut to so many characters."""
    return escape(_cut(" ".join(text.split()), most), quote=False)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def value_rows(values: Mapping[str, object]) -> list[Row]:
    """Return a row for each of the first `MAX_ROWS` values, and how many others there are."""
    rows = [(name, _cut(_value(value), MAX_VALUE)) for name, value in list(values.items())[:MAX_ROWS]]
    more = len(values) - len(rows)
    return [*rows, *([("", f"and {more} more")] if more else [])]


def _value(value: object) -> str:
    """Return a value as text: numbers with 6 significant digits, strings as they are, what is empty in quotes."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) and value.strip() else json.dumps(value)
