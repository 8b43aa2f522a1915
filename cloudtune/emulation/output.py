"""What a program's output says about its end."""

import re
from collections.abc import Sequence

_LINES = 12
_MISSING = re.compile(r"(No such file or directory|FileNotFoundError|Permission denied|PermissionError|Read-only)")


class Allowance:
    """How much of a job's output an emulator keeps, which has no disk of a service behind it.

    Args:
        most: characters.
    """

    def __init__(self, most: int = 64_000_000) -> None:
        self._left = most

    def lines(self, line: str) -> list[str]:
        """What is to be kept of the next line: itself, a note in its place when nothing more is kept, or nothing."""
        if self._left < 0:
            return []
        self._left -= len(line) + 1
        return [line] if self._left >= 0 else ["emulator: the output is too long: what follows is not kept"]


def last_words(lines: Sequence[str]) -> str:
    """The part of a program's last output that says why it failed: its traceback, or the last lines."""
    starts = [number for number, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    if starts and len(lines) - starts[-1] > _LINES:
        return "\n".join([lines[starts[-1]], "  …", *lines[-_LINES + 2 :]])
    return "\n".join(lines[starts[-1] :] if starts else lines[-_LINES:])


def speaks_of_missing(lines: Sequence[str], place: str) -> bool:
    """Whether the output shows that the program looked for a place of containers, e.g. ``/opt/ml``, and did not find it."""
    return any(whole(place).search(line) and _MISSING.search(line) for line in lines)


def whole(place: str) -> re.Pattern[str]:
    """Finds a path, or the beginning of a longer one, in a text, and no part of another word."""
    return re.compile(rf"(?<![\w.-]){re.escape(place)}(?![\w.-])")
