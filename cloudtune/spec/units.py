"""Parse and format durations and sizes: ``2h``, ``1h30m``, ``PT20M``, ``50GB``, ``512MiB``."""

import math
import re
from datetime import timedelta
from decimal import Decimal, InvalidOperation

_SECONDS = {
    "ms": Decimal("0.001"),
    **{unit: Decimal(seconds) for unit, seconds in (("s", 1), ("m", 60), ("min", 60), ("h", 3600))},
    **{unit: Decimal(days * 86400) for unit, days in (("d", 1), ("w", 7))},
}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|min|[smhdw])", re.IGNORECASE)
_ISO = re.compile(
    r"P(?:(?P<w>\d+(?:\.\d+)?)W)?(?:(?P<d>\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(?P<h>\d+(?:\.\d+)?)H)?(?:(?P<m>\d+(?:\.\d+)?)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?",
    re.IGNORECASE,
)
_BYTES = {
    **{prefix + "b": 1000**power for power, prefix in enumerate(["", "k", "m", "g", "t", "p"])},
    **{prefix + "ib": 1024**power for power, prefix in enumerate(["", "k", "m", "g", "t", "p"]) if power},
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?i?b)", re.IGNORECASE)

DURATION_HELP = 'write a duration as seconds, "90s", "20m", "2h", "1h30m", "1d" or ISO 8601 "PT20M"'
SIZE_HELP = 'write a size as bytes, "512MB", "50GB" (powers of 1000) or "8GiB" (powers of 1024)'


def parse_duration(text: str | float | timedelta) -> timedelta:
    """Return a positive duration, exact to the microsecond, of a text, a number of seconds or a timedelta.

    Raises:
        ValueError: the text is not a duration, or it is not above zero.
    """
    if isinstance(text, timedelta):
        seconds = Decimal(text // timedelta(microseconds=1)) / 1_000_000
    elif isinstance(text, bool):
        raise ValueError(f"true and false are no durations; {DURATION_HELP}")  # noqa: TRY004  # pydantic's protocol
    else:
        seconds = _duration_seconds(str(text).strip())
    if not seconds.is_finite() or not 0 < seconds < 10**11:
        raise ValueError(f"a duration must be above zero and finite, not {text}")
    return timedelta(microseconds=int(seconds * 1_000_000))


def _duration_seconds(text: str) -> Decimal:
    iso = _ISO.fullmatch(text)
    if iso and any(iso.groups()) and not text.upper().endswith("T"):
        return sum(
            (Decimal(number) * _SECONDS[unit] for unit, number in iso.groupdict().items() if number),
            Decimal(0),
        )
    parts = _DURATION_PART.findall(text)
    if parts and re.fullmatch(rf"(?:{_DURATION_PART.pattern}\s*)+", text, re.IGNORECASE):
        return sum((Decimal(number) * _SECONDS[unit.lower()] for number, unit in parts), Decimal(0))
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a duration; {DURATION_HELP}") from None


def format_duration(duration: timedelta) -> str:
    """Return the shortest text that `parse_duration` reads as the same duration: ``1h30m``, ``1500ms``."""
    left = duration // timedelta(microseconds=1)
    if left % 1000:
        return f"{(Decimal(left) / 1_000_000).normalize():f}s"
    parts = []
    for unit, microseconds in (
        ("d", 86_400_000_000),
        ("h", 3_600_000_000),
        ("m", 60_000_000),
        ("s", 1_000_000),
    ):
        count, left = divmod(left, microseconds)
        if count:
            parts.append(f"{count}{unit}")
    if left:
        parts.append(f"{left // 1000}ms")
    return "".join(parts)


def brief_duration(seconds: float | None) -> str:
    """Return a time span rounded for people, e.g. 1.2s, 3m 20s, 2h 05m, 3d 4h; "" for None, NaN and infinity."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 59.5:
        return f"{seconds:.1f}s" if seconds < 9.95 else f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m" if hours < 48 else f"{hours // 24}d {hours % 24}h"


def parse_size(text: str | int) -> int:
    """Return a positive number of bytes of a text or a count of bytes.

    Raises:
        ValueError: the text is not a size, is not whole bytes, or is not above zero.
    """
    if isinstance(text, bool):
        raise ValueError(f"true and false are no sizes; {SIZE_HELP}")  # noqa: TRY004  # pydantic's protocol
    plain = str(text).strip()
    match = _SIZE.fullmatch(plain)
    if match:
        size = Decimal(match[1]) * _BYTES[match[2].lower()]
    elif re.fullmatch(r"\d+", plain):
        size = Decimal(plain)
    else:
        raise ValueError(f"{text!r} is not a size; {SIZE_HELP}")
    if size != int(size) or not 0 < size < 2**63:
        raise ValueError(f"a size must be a whole number of bytes above zero, not {text}")
    return int(size)


def format_size(size: int) -> str:
    """Return the shortest text that `parse_size` reads as the same number of bytes: ``50GB``, ``8GiB``."""
    for unit, factor in sorted(_BYTES.items(), key=lambda item: -item[1]):
        if factor > 1 and size % factor == 0:
            return f"{size // factor}{unit.upper().replace('IB', 'iB')}"
    return f"{size}B"
