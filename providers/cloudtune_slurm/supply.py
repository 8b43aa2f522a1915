"""Bring batches to tasks: to those that have begun and take further trials, or to arrays of their own."""

import time
from collections import Counter, deque
from collections.abc import Collection
from statistics import median

from cloudtune_slurm.batches import Briefing
from cloudtune_slurm.orders import LINGER
from cloudtune_slurm.queue import Queue
from cloudtune_slurm.site import Site
from cloudtune_slurm.tasks import Batch, Task

WAIT = 2.0
"""Seconds for which tasks that have begun may take the trials that they are offered, before others are submitted for them."""

_RECENT = 20
"""How many of the last trials say how long trials take."""

_LOOKS = 16
"""How often the driver looks at trials within the time that one takes, where it is short."""

_COST = 20.0
"""By how much the pause between two looks is longer than a look at least."""


class Supply:
    """Decides which batches are offered to tasks that have begun, and which are submitted.

    Where the job says how many trials a task runs, all are submitted.

    Args:
        site: the cluster.
        queue: of the run.
        briefing: of its batches.
    """

    def __init__(self, site: Site, queue: Queue, briefing: Briefing) -> None:
        self._site, self._queue, self._briefing = site, queue, briefing
        self._offered: list[Batch] = []
        self._seconds: deque[float] = deque(maxlen=_RECENT)
        self._last_end = float("-inf")

    @property
    def _usual(self) -> float:
        """How long a trial takes, in seconds."""
        return median(self._seconds) if self._seconds else float("inf")

    def ended(self, seconds: float) -> None:
        """Note how long a trial has run that has ended."""
        self._seconds.append(seconds)
        self._last_end = time.monotonic()

    def pause(self, longest: float, took: float) -> float:
        """Return the seconds until the next look at the trials, which are fewer where these are short.

        Args:
            longest: the seconds where they are not.
            took: seconds that the last look took.
        """
        return min(longest, max(self._usual / _LOOKS, took * _COST))

    def bring(self, batch: Batch, tasks: Collection[Task]) -> None:
        """Offer a batch to tasks that run short trials, or let it be submitted.

        Args:
            batch: with its content.
            tasks: all of the run.
        """
        assert batch.content is not None
        if not self._has_takers(tasks):
            self._queue.add(batch)
            return
        self._offered.append(batch)
        batch.offered = time.monotonic()  # its answer may be lost
        with self._queue.tolerated():
            self._site.call({"offer": {name: batch.content[name] for name in ("name", "content")}})

    def _has_takers(self, tasks: Collection[Task]) -> bool:
        if self._briefing.per_task is not None or self._usual > self._briefing.share / 2:
            return False
        begun = any(task.starts for task in tasks) or time.monotonic() - self._last_end < LINGER
        return begun or self._queue.pending > 0

    def tend(self, tasks: Collection[Task]) -> None:
        """Submit batches that were offered in vain, and cancel tasks that wait for nothing."""
        if self._briefing.per_task is not None:
            return
        left = Counter(task.batch.name for task in tasks if not task.starts)
        if not left:
            self._queue.cancel_pending(but={task.slurm_name for task in tasks})
        offered = {batch.name for batch in self._offered}
        room = self._queue.pending - sum(many for name, many in left.items() if name not in offered)
        for batch in list(self._offered):
            room -= left[batch.name]
            if not left[batch.name]:
                self._offered.remove(batch)
            elif room < 0 and time.monotonic() - (batch.offered or 0.0) > WAIT and not self._queue.holds(batch):
                self._offered.remove(batch)
                self._submit(batch, left[batch.name])
                room += left[batch.name]

    def fewer(self, batch: Batch) -> None:
        """Submit half of the tasks of a batch, of which Slurm takes no array of this size; its trials stay offered."""
        self._submit(batch, batch.tasks // 2)
        batch.offered = time.monotonic()
        self._offered.append(batch)

    def _submit(self, batch: Batch, tasks: int) -> None:
        assert batch.content is not None
        options = [self._briefing.array(tasks), *batch.content["options"][1:]]
        batch.content, batch.tasks = {**batch.content, "options": options}, tasks
        self._queue.add(batch)
