"""Pending calls to actors, and their answers."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

_UNREACHABLE_LIMIT = 60.0
"""Seconds that an actor may be unreachable before it counts as lost."""

_REPEAT_INTERVAL = 0.5
"""Seconds until a call to an unreachable actor is repeated."""

Callee = TypeVar("Callee")


@dataclass(frozen=True)
class Call(Generic[Callee]):
    """A call that can be repeated.

    Attributes:
        callee: whom it is to.
        make: starts the call and returns Ray's reference to its answer; must be idempotent.
        hear: called with the callee and the answer.
        unreachable_since: when its callee first could not be reached (`time.monotonic`); None if that has not happened.
    """

    callee: Callee
    make: Callable[[], Any]
    hear: Callable[[Callee, Any], None]
    unreachable_since: float | None = None


class Calls(Generic[Callee]):
    """Waits for many calls at once.

    Args:
        ray: the module.
    """

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._running: dict[Any, Call[Callee]] = {}
        self._later: deque[tuple[float, Call[Callee]]] = deque()

    def make(self, call: Call[Callee]) -> None:
        """Start a call; `answers` yields its answer."""
        self._running[call.make()] = call

    def answers(self, timeout: float) -> Iterator[tuple[Call[Callee], Any, Exception | None]]:
        """Yield each call that was answered, with its answer, or with the error in its place.

        Args:
            timeout: seconds to wait for the first.
        """
        while self._later and self._later[0][0] <= time.monotonic():
            self.make(self._later.popleft()[1])
        wait = min(timeout, _REPEAT_INTERVAL) if self._later else timeout
        for reference in self._ready(wait):
            call = self._running.pop(reference)
            try:
                answer = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                if not self._is_made_again(call, error):
                    yield call, None, error
            else:
                yield call, answer, None

    def _ready(self, wait: float) -> list[Any]:
        if not self._running:
            time.sleep(wait)
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=wait)
        if ready and len(self._running) > 1:
            ready, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        return list(ready)

    def _is_made_again(self, call: Call[Callee], error: Exception) -> bool:
        """Return whether a call to an unreachable actor will be repeated, and schedule that."""
        now = time.monotonic()
        since = call.unreachable_since or now
        if not isinstance(error, self._ray.exceptions.ActorUnavailableError) or now - since >= _UNREACHABLE_LIMIT:
            return False
        self._later.append((now + _REPEAT_INTERVAL, replace(call, unreachable_since=since)))
        return True
