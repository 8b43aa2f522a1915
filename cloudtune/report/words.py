"""Formatting of numbers, values, time spans and times for a report."""

import json
import math
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


def plain(text: str) -> str:
    """Return a text escaped for plotly, which interprets tags and entities in titles and ticks."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")


def duration(seconds: float | None) -> str:
    """Return a time span as text, e.g. 1.2s, 3m 20s, 2h 05m, 3d 4h; "" for None."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 59.5:
        return f"{seconds:.1f}s" if seconds < 9.95 else f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m" if hours < 48 else f"{hours // 24}d {hours % 24}h"


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
