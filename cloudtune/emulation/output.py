"""Limits on a job's kept output, and the part of the output that explains a failure."""

import re
from collections.abc import Sequence

_LINES = 12
_MISSING = re.compile(r"(No such file or directory|FileNotFoundError|Permission denied|PermissionError|Read-only)")


class Allowance:
    """A limit on how much of a job's output an emulator keeps.

    Args:
        most: the most characters to keep.
    """

    def __init__(self, most: int = 64_000_000) -> None:
        self._left = most

    def lines(self, line: str) -> list[str]:
        """Return the lines to keep for the next line: itself; at the limit, once, a note instead; then none."""
        if self._left < 0:
            return []
        self._left -= len(line) + 1
        return [line] if self._left >= 0 else ["emulator: the output is too long: what follows is not kept"]


def last_words(lines: Sequence[str]) -> str:
    """Return the part of a program's last output that explains its failure: the traceback, or the last 12 lines."""
    starts = [number for number, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    if starts and len(lines) - starts[-1] > _LINES:
        return "\n".join([lines[starts[-1]], "  …", *lines[-_LINES + 2 :]])
    return "\n".join(lines[starts[-1] :] if starts else lines[-_LINES:])


def speaks_of_missing(lines: Sequence[str], place: str) -> bool:
    """Return whether the output shows that the program did not find a container path, e.g. ``/opt/ml``."""
    return any(whole(place).search(line) and _MISSING.search(line) for line in lines)


def whole(place: str) -> re.Pattern[str]:
    """Return a pattern that finds a path, or a longer path that begins with it, but no part of another word."""
    return re.compile(rf"(?<![\w.-]){re.escape(place)}(?![\w.-])")
