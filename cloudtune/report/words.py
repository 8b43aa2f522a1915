"""How a report writes numbers, values, time spans and moments."""

import json
import math
import shlex
from datetime import datetime

from cloudtune.space.parameters import Scalar
from cloudtune.space.space import Values
from cloudtune.trial import place


def number(value: float | None) -> str:
    """A number in few digits; "" for None."""
    return "" if value is None else f"{value:.6g}"


def scalar(value: Scalar) -> str:
    """A parameter's value: JSON's words for booleans and null, texts as they are."""
    return value if isinstance(value, str) else json.dumps(value)


def short(text: str, length: int = 18) -> str:
    """A text cut to a length."""
    return text if len(text) <= length else text[: length - 1] + "…"


def plain(text: str) -> str:
    """A text for plotly, which reads tags and entities in titles and ticks, so that it stands as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")


def duration(seconds: float | None) -> str:
    """A time span as people say it: 1.2s, 3m 20s, 2h 05m, 3d 4h; "" for None."""
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
    """A moment in the time zone of this machine, which is named: whoever reads the page may be elsewhere."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def count(many: int, noun: str) -> str:
    """A count with its noun: 1 trial, 2 trials."""
    return f"{many:,} {noun}{'' if many == 1 else 's'}"


def options(values: Values) -> str:
    """The parameters as a trial gets them on its command line, quoted for a shell; on several lines if they are long."""
    words = [shlex.join(place([], {name: value}, [name])) for name, value in values.items()]
    line = " ".join(words)
    return line if len(line) <= 80 else " \\\n".join(words)
