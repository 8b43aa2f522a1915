"""The control loop: what happens in the cluster when objects change, and when time passes."""

import heapq
import threading
import time
from collections.abc import Callable
from typing import Any

from cloudtune_kubernetes.emulator.kinds import Kind
from cloudtune_kubernetes.emulator.store import Change, Store

Task = tuple[Any, ...]
"""What is to be done: a name and its arguments."""


class ControlLoop:
    """Does what is asked for, once for all that ask for the same before it is begun, in a thread of its own.

    Args:
        store: whose changes are listened to.
        ask: called with each change while the store's lock is held; returns what is to be done for it.
        do: does one task.
    """

    def __init__(self, store: Store, ask: Callable[[Kind, Change], list[Task]], do: Callable[[Task], None]) -> None:
        self._do, self._ask = do, ask
        self._changed = threading.Condition()
        self._waiting: dict[Task, None] = {}
        self._timed: list[tuple[float, int, Task]] = []
        self._due: dict[Task, float] = {}
        self._count = 0
        self._closed = False
        self.failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="control loop", daemon=True)
        store.listen(self._note)

    def start(self) -> None:
        """Start; return at once."""
        self._thread.start()

    def close(self) -> None:
        """End after the task that is being done."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def add(self, task: Task) -> None:
        """Ask for a task."""
        with self._changed:
            self._waiting[task] = None
            self._changed.notify_all()

    def later(self, task: Task, seconds: float) -> None:
        """Ask for a task after some time; one that is asked for sooner already stays so."""
        at = time.monotonic() + max(0.0, seconds)
        with self._changed:
            if self._due.get(task, at + 1) <= at:
                return
            self._due[task] = at
            self._count += 1
            heapq.heappush(self._timed, (at, self._count, task))
            self._changed.notify_all()

    def _note(self, kind: Kind, change: Change) -> None:
        for task in self._ask(kind, change):
            self.add(task)

    def _run(self) -> None:
        while (task := self._next()) is not None:
            try:
                self._do(task)
            except Exception as error:  # noqa: BLE001  # the other tasks go on; tests look at it
                self.failures.append(error)

    def _next(self) -> Task | None:
        """Wait for the next task; return None at the end."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                while self._timed and self._timed[0][0] <= now:
                    at, _, task = heapq.heappop(self._timed)
                    if self._due.get(task) == at:
                        del self._due[task]
                        self._waiting[task] = None
                if self._waiting:
                    task = next(iter(self._waiting))
                    del self._waiting[task]
                    return task
                self._changed.wait(self._timed[0][0] - now if self._timed else None)
            return None
