"""The lines of a pod's log: each is taken once, however many readings of it there are at once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from late import LATE

from cloudtune.driver.snapshots import TrialSnapshot
from cloudtune.store.records import Trial, TrialState
from cloudtune.trial.printed_metrics import PrintedMetrics

if LATE:
    pytest.importorskip("kubernetes")

    from cloudtune_kubernetes.jobs import KubernetesRunner, _Known
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


def test_a_log_that_was_followed_to_its_end_is_known_whole() -> None:
    log = PodLog(Told(lambda _: None), "pod")  # type: ignore[arg-type]
    log.follow()
    for thread in [each for each in threading.enumerate() if each.name == "log of pod"]:
        thread.join()
    assert log.whole
    assert [line.text for line in log.taken()] == ["a", "b", "c", "d"]


DONE, BROKE = TrialState.COMPLETED, TrialState.FAILED


@pytest.mark.parametrize(
    ("state", "log", "attempt", "waited", "ends"),
    [
        (DONE, {"followed": True, "whole": True}, 1, 0.0, (True, False)),
        (DONE, {"followed": False, "whole": False}, 1, 0.0, (True, True)),
        (DONE, {"followed": True, "whole": False}, 1, 0.0, (False, False)),  # what follows it may be behind
        (DONE, {"followed": True, "whole": False}, 1, 9.0, (True, True)),
        (DONE, {"followed": False, "whole": False}, 3, 0.0, (True, False)),  # not again and again
        (BROKE, {"followed": False, "whole": False}, 1, 0.0, (True, False)),
    ],
)
def test_an_attempt_whose_log_is_out_of_reach_is_lost_where_it_ended_well_and_was_not_heard_to_its_end(
    state: TrialState, log: Any, attempt: int, waited: float, ends: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudtune_kubernetes.jobs.time", SimpleNamespace(monotonic=lambda: 100.0))
    known = _Known(
        Trial(0, {}, attempt=attempt), PrintedMetrics({}), 0.0, SimpleNamespace(**log), unread=100.0 - waited
    )  # type: ignore[arg-type]
    known.end = TrialSnapshot(0, "t", state)
    runner: Any = SimpleNamespace(loses_unread=True)
    KubernetesRunner._leave_unread(runner, known)
    assert (known.read, known.end.lost) == ends
