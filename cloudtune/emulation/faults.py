"""Injection of reproducible faults into calls and jobs of an emulated service."""

import random
import threading
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

Fault = Literal["", "throttle", "error", "lost", "expired"]
"""The fault of one call: none, throttled, 5xx error, carried out without an answer, credentials expired."""


@dataclass(slots=True)
class Faults:
    """Probabilities of faults. All attributes may be changed while the emulator runs.

    Whether a call or a job is hit depends only on the seed, the operation (or job) and the number of its earlier calls.

    Attributes:
        throttle: probability that a call is throttled and does nothing.
        errors: probability that a call is answered with a 5xx error and does nothing.
        lost: probability that a call is carried out, and the connection closed without an answer.
        expired: probability that a call is refused because the credentials have expired.
        slow: seconds by which described states of jobs lag behind the actual ones.
        capacity: probability that a job fails for lack of machines before it starts.
        internal: probability that an attempt of a job fails with an internal error of the service before it starts.
        spot: probability that a job on spot machines is interrupted, once, when it reports its first metric.
        full: machine types that have no room: jobs for them fail before they start.
        services: the services whose calls are hit, by the emulator's names for them.
        operations: the operations that are hit, e.g. ``CreateTrainingJob``; None for all of the services.
        seed: the seed of the random draws.
        counts: how often each fault has occurred, by its name.
    """

    throttle: float = 0.0
    errors: float = 0.0
    lost: float = 0.0
    expired: float = 0.0
    slow: float = 0.0
    capacity: float = 0.0
    internal: float = 0.0
    spot: float = 0.0
    full: Collection[str] = ()
    services: Collection[str] = ()
    operations: Collection[str] | None = None
    seed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    _asked: Counter[str] = field(default_factory=Counter, init=False, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def of_call(self, service: str, operation: str) -> Fault:
        """Return the fault of an incoming call; "" for none."""
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

    def at_start(self, job: str, machine: str = "") -> Literal["", "capacity", "internal"]:
        """Return the fault that keeps a job from starting; "" for none.

        Args:
            job: its name.
            machine: the machine type that it asks for; "" if it names none.
        """
        draw = self._draw(f"start {job}")
        if draw < self.capacity or machine in self.full:
            self._count("capacity")
            return "capacity"
        if draw - self.capacity < self.internal:
            self._count("internal")
            return "internal"
        return ""

    def interrupts(self, job: str) -> bool:
        """Return whether a job on spot machines is interrupted now."""
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
