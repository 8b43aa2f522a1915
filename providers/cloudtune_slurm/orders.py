"""The trials that a task of an array runs, chosen on its node. Imports the standard library alone.

A task takes the trial of its own place in its batch first, and then others that no task has claimed. Where the job does
not say how many (``trials_per_task``), it goes on for some time (`SHARE`), also with trials of later batches, and waits a
moment for them: a start by Slurm takes seconds, and a trial may be shorter.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cloudtune.process.keeper import append

BATCHES = "batches"
"""The folder with the orders of each batch and what its tasks print before and after their trials."""

SHARE = 120.0
"""Seconds for which a task goes on to begin trials, as far as the longest of them fits in once more."""

LINGER = 3.0
"""Seconds for which a task waits for further trials: about as long as the start of another task would take."""

_LOOK = 0.05
"""Seconds between two looks for further trials."""

Offer = tuple[Mapping[str, Any], Mapping[str, Any]]
"""What the trials of a batch share, and the order of one of them; see `cloudtune_slurm.batches.Briefing.batch`."""

_OPEN = "open"
"""The file with the names of the batches whose trials any task of the run may take, in the folder of the batches."""


def open_batch(folder: Path, name: str) -> None:
    """Let all tasks of a run take the trials of a batch, whose file is in the folder of batches."""
    if name not in _opened(folder):
        append(str(folder / _OPEN), f"{name}\n")


def _opened(folder: Path) -> list[str]:
    try:
        return (folder / _OPEN).read_text().split()  # opened anew, as file systems of networks show then what is new
    except FileNotFoundError:
        return []


class Turns:
    """The trials that one task may run, one after the other.

    Args:
        path: of the batch that the task was submitted in.
        index: of the task in it.
        over: whether the task is to end, as Slurm has asked it to.

    Attributes:
        done: how many trials it has run.
    """

    def __init__(self, path: Path, index: int, over: Callable[[], bool]) -> None:
        self._path, self._index, self._over = path, index, over
        self._began, self._longest, self._share = time.monotonic(), 0.0, SHARE
        self.done = 0

    def ran(self, seconds: float) -> None:
        """Count a trial that the task has run, and for how long."""
        self.done += 1
        self._longest = max(self._longest, seconds)

    def offers(self) -> Iterator[Offer]:
        """Yield the trials that it may run, which other tasks may have claimed; the caller calls `ran` after each that it ran."""
        shared, orders = _read(self._path)
        most, self._share = shared["per_task"], shared.get("share", SHARE)
        place = self._index * (most or 1) % len(orders)
        others = [] if most == 1 else [*orders[place + 1 :], *orders[:place]]
        for order in [orders[place], *others]:
            if self._over() or (self._is_late() if most is None else self.done >= most):
                return
            yield shared, order
        if most is None:
            yield from self._later()

    def _is_late(self) -> bool:
        return self.done > 0 and time.monotonic() - self._began + self._longest > self._share

    def _later(self) -> Iterator[Offer]:
        """Yield the trials of batches that were opened after the task's own, and wait a moment for more."""
        folder, own = self._path.parent, self._path.stem
        names = _opened(folder)
        seen = names.index(own) + 1 if own in names else len(names)
        idle = time.monotonic()
        while True:
            names = _opened(folder)
            for name in names[seen:]:
                shared, orders = _read(folder / f"{name}.json")
                for order in orders:
                    if self._over() or self._is_late():
                        return
                    done = self.done
                    yield shared, order
                    idle = time.monotonic() if self.done > done else idle
            if self._over() or self._is_late() or self.done == 0 or time.monotonic() - idle > LINGER:
                return
            if len(names) == seen:
                time.sleep(_LOOK)
            seen = len(names)


def _read(path: Path) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
    """Return what the trials of a batch share, and the order of each."""
    batch = json.loads(path.read_text("utf-8"))
    return batch["shared"], batch["orders"]
