"""Formatting of numbers, values, time spans and times for a report."""

import json
import shlex
from datetime import datetime

from cloudtune.space.parameters import Scalar
from cloudtune.space.space import Values
from cloudtune.trial.commands import place


def number(value: float | None) -> str:
    """Return a number with 6 significant digits; "" for None."""
    return "" if value is None else f"{value:.6g}"


def scalar(value: Scalar) -> str:
    """Return a parameter's value as text: strings unchanged, other values as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def short(text: str, length: int = 18) -> str:
    """Return a text cut to at most `length` characters, with an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"


def moment(seconds: float | None) -> str:
    """Return seconds since 1970 as date and time in this machine's time zone, with the zone's name; "" for None."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def count(many: int, noun: str) -> str:
    """Return a count with its noun: 1 trial, 2 trials."""
    return f"{many:,} {noun}{'' if many == 1 else 's'}"


def options(values: Values) -> str:
    """Return the parameters as options of a trial's command, quoted for a shell; on several lines if longer than 80."""
    words = [shlex.join(place([], {name: value}, [name])) for name, value in values.items()]
    line = " ".join(words)
    return line if len(line) <= 80 else " \\\n".join(words)
