"""The lines of a pod's log: each is taken once, however many readings of it there are at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from late import LATE

if LATE:
    pytest.importorskip("kubernetes")

    from cloudtune_kubernetes.logs import PodLog

LINES = [
    b"2026-01-01T00:00:01.000000001Z a",
    b"2026-01-01T00:00:02.5Z b",
    b"2026-01-01T00:00:02.5Z c",
    b"2026-01-01T00:00:03Z d",
]


class Told:
    """A cluster with one log, and what happens between two of its lines."""

    def __init__(self, between: Callable[[int], object]) -> None:
        self.between, self.readings = between, 0

    def path(self, *parts: str) -> str:
        return "/".join(parts)

    @contextlib.contextmanager
    def opened(self, *_: Any, **__: Any) -> Iterator[Told]:
        self.readings += 1
        yield self

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        first = self.readings == 1
        for index, line in enumerate(LINES):
            if first:
                self.between(index)
            yield line + b"\n"


@pytest.mark.parametrize("when", range(len(LINES)))
def test_each_line_is_taken_once_by_readings_that_overlap(when: int) -> None:
    log: Any = PodLog(Told(lambda index: index == when and log.read()), "pod")  # type: ignore[arg-type]
    assert log.read() == ["a", "b", "c", "d"]
    assert [line.text for line in log.taken()] == ["a", "b", "c", "d"]
