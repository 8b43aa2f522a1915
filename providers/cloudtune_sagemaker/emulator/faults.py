"""What can go wrong on the way to a service and inside it, on purpose and repeatably."""

import random
import threading
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

Fault = Literal["", "throttle", "error", "lost", "expired"]
"""What becomes of one call: all well; ThrottlingException; 5xx; done, but no answer; ExpiredTokenException."""


@dataclass(slots=True)
class Faults:
    """How often what goes wrong. Everything may be changed while the emulator runs.

    Whether a call or a job is hit depends on the seed, the operation, and how often that was asked for before, and
    not on what happens beside it.

    Attributes:
        throttle: probability that a call is answered with ThrottlingException and does nothing.
        errors: probability that a call is answered with a 5xx error and does nothing.
        lost: probability that a call is carried out, and the connection closed without an answer.
        expired: probability that a call is refused with ExpiredTokenException.
        slow: seconds by which what describe and list tell lags behind what is.
        capacity: probability that a training job ends with a CapacityError before it starts.
        internal: probability that an attempt of a training job ends with an InternalServerError before it starts.
        spot: probability that a spot training job is interrupted, once, when it prints its first metric.
        services: the services whose calls are hit, by their names in a signature.
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
    services: Collection[str] = ("sagemaker", "logs")
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

    def at_start(self, training_job: str) -> Literal["", "capacity", "internal"]:
        """What keeps a training job from starting."""
        draw = self._draw(f"start {training_job}")
        if draw < self.capacity:
            self._count("capacity")
            return "capacity"
        if draw - self.capacity < self.internal:
            self._count("internal")
            return "internal"
        return ""

    def interrupts(self, training_job: str) -> bool:
        """Whether the machines of a spot training job are taken away now."""
        struck = self._draw(f"spot {training_job}") < self.spot
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
