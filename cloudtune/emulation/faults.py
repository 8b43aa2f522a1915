"""What can go wrong on the way to a service and inside it, on purpose and repeatably."""

import random
import threading
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

Fault = Literal["", "throttle", "error", "lost", "expired"]
"""What becomes of one call: all well; told to slow down; 5xx; done, but no answer; told that credentials expired."""


@dataclass(slots=True)
class Faults:
    """How often what goes wrong. Everything may be changed while the emulator runs.

    Whether a call or a job is hit depends on the seed, the operation, and how often that was asked for before, and
    not on what happens beside it.

    Attributes:
        throttle: probability that a call is told to slow down and does nothing.
        errors: probability that a call is answered with a 5xx error and does nothing.
        lost: probability that a call is carried out, and the connection closed without an answer.
        expired: probability that a call is refused because the credentials have expired.
        slow: seconds by which what is told of jobs lags behind what is.
        capacity: probability that a job ends for want of machines before it starts.
        internal: probability that an attempt of a job ends with an error of the service's own before it starts.
        spot: probability that a job on spot machines is interrupted, once, when it tells its first metric.
        services: the services whose calls are hit, by the names that the emulator has for them.
        operations: the operations that are hit, e.g. ``CreateTrainingJob``; None for all of the services.
        seed: of the probabilities.
        counts: how often each fault struck, by its name.
    """

    throttle: float = 0.0
    errors: float = 0.0
    lost: float = 0.0
    expired: float = 0.0
    slow: float = 0.0
    capacity: float = 0.0
    internal: float = 0.0
    spot: float = 0.0
    services: Collection[str] = ()
    operations: Collection[str] | None = None
    seed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    _asked: Counter[str] = field(default_factory=Counter, init=False, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def of_call(self, service: str, operation: str) -> Fault:
        """What becomes of a call that has just come in."""
        if service not in self.services or (self.operations is not None and operation not in self.operations):
            return ""
        draw = self._draw(f"call {operation}")
        kinds: tuple[tuple[Fault, float], ...] = (
            ("throttle", self.throttle),
            ("error", self.errors),
            ("lost", self.lost),
            ("expired", self.expired),
        )
        for fault, probability in kinds:
            if draw < probability:
                self._count(fault)
                return fault
            draw -= probability
        return ""

    def at_start(self, job: str) -> Literal["", "capacity", "internal"]:
        """What keeps a job from starting."""
        draw = self._draw(f"start {job}")
        if draw < self.capacity:
            self._count("capacity")
            return "capacity"
        if draw - self.capacity < self.internal:
            self._count("internal")
            return "internal"
        return ""

    def interrupts(self, job: str) -> bool:
        """Whether the machines of a job on spot machines are taken away now."""
        struck = self._draw(f"spot {job}") < self.spot
        if struck:
            self._count("spot")
        return struck

    def _draw(self, what: str) -> float:
        with self._lock:
            self._asked[what] += 1
            count = self._asked[what]
        return random.Random(f"{self.seed}/{what}/{count}").random()  # noqa: S311  # not for secrets

    def _count(self, fault: str) -> None:
        with self._lock:
            self.counts[fault] += 1
