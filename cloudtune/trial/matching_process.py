"""The program that searches lines for regexes: it reads requests and prints answers, as lines of JSON.

Started by its path, without the rest of the package.
"""

# ruff: noqa: PLC0415  # what only some trials need is imported when they need it

from __future__ import annotations

import json
import re
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


SEARCH_TIME = 0.1
"""Seconds of processor time, checked at this interval, that the search of one line for one regex may take."""

_LINES_TIME = 2.0  # seconds of processor time for the search of many lines for one regex
SLOW_LINES = 3  # after so many slow lines a regex is searched no more: about a second of a trial's time


class _TooSlow(Exception):
    """A search has taken too long."""


class _Searching:
    """Searches in the main thread of a process that does nothing else."""

    def __init__(self) -> None:
        import signal

        self._searching = self._fresh = False
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all
        signal.signal(signal.SIGVTALRM, self._tick)
        signal.setitimer(signal.ITIMER_VIRTUAL, SEARCH_TIME, SEARCH_TIME)

    def _tick(self, *_: object) -> None:
        if self._searching and not self._fresh:
            raise _TooSlow
        self._fresh = False

    def answer(self, patterns: Mapping[str, str], lines: Sequence[str]) -> dict[str, Any]:
        """Return ``found`` and ``slow``, the two results of `cloudtune.trial.matching.RegexSearch.find`."""
        found: list[tuple[int, str, str]] = []
        slow: list[str] = []
        for name, regex in patterns.items():
            try:
                pattern = re.compile(regex)
            except (re.error, RecursionError, OverflowError):
                continue  # specs are checked; a request to a service that was written by hand is not
            until = time.process_time() + _LINES_TIME
            for index, line in enumerate(lines):
                if time.process_time() > until:
                    slow += [name] * SLOW_LINES
                    break
                try:
                    found += [(index, name, text) for text in self._groups(pattern, line)]
                except (_TooSlow, MemoryError, RecursionError):
                    slow.append(name)
                    if slow.count(name) == SLOW_LINES:
                        break
        return {"found": sorted(found, key=lambda each: each[0]), "slow": slow}

    def _groups(self, pattern: re.Pattern[str], line: str) -> list[str]:
        self._fresh = self._searching = True
        try:
            group = 1 if pattern.groups else 0
            return [match.group(group) or "" for match in pattern.finditer(line)]
        finally:
            self._searching = False


def serve() -> int:
    """Answer requests from standard input until it is closed; return the exit code."""
    import contextlib
    import resource

    most = 1 << 30  # bytes: the state of a search may be a multiple of the line
    with contextlib.suppress(ValueError, OSError):  # a lower limit holds already
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    searching = _Searching()
    for line in sys.stdin.buffer:
        answer = searching.answer(**json.loads(line))
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(serve())
