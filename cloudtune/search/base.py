"""What every strategy is: something that suggests trials and observes how they went."""

import hashlib
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from cloudtune.space.space import Space, Values
from cloudtune.store.records import TrialState


class UnsuitableStrategy(ValueError):
    """The strategy cannot search this space or these objectives; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Observation:
    """How a trial ended.

    Attributes:
        number: the trial.
        parameters: its values by name.
        state: completed, pruned, failed or cancelled.
        losses: one a objective, lower is better whatever the goal; None where the trial has no usable value.
            A pruned trial has the losses that it last reported.
        origin: "" for a trial of this experiment; else the name of another one, near to it, whose losses are a hint
            and cannot be compared with this one's. Parameters may be missing in its values.
    """

    number: int
    parameters: Values
    state: TrialState
    losses: tuple[float, ...] | None
    origin: str = ""


class Strategy(ABC):
    """Suggests trials and observes how they end.

    A suggestion is a function of the seed, the trial's number, and what was observed and is pending by then, and
    of nothing else. So a strategy has no state to save: a new one that is told the same history goes on as the
    old one would have. (Caches are welcome where they cannot change a result.)

    Args:
        space: what to search.
        objectives: how many losses an observation has.
        seed: from 0 to 2^31 - 1.
        budget: how many trials the job will make, where that is known.
    """

    def __init__(self, space: Space, *, objectives: int = 1, seed: int = 0, budget: int | None = None) -> None:
        self.space = space
        self.objectives = objectives
        self.seed = seed
        self.budget = budget
        self.pending: dict[int, Values] = {}
        self.observed: dict[int, Observation] = {}

    needs_history: ClassVar[bool] = True
    """Whether suggestions depend on what was observed; False spares a resume from telling it."""

    @property
    def total(self) -> int | None:
        """After how many trials the search ends by itself; None where it does not, or where that is not known."""
        return None

    def suggest(self, number: int) -> Values | None:
        """The values of the trial with this number, which is pending from now on; None when nothing is left.

        Numbers are asked for in increasing order.
        """
        values = self._propose(number)
        if values is not None:
            self.pending[number] = values
        return values

    def restore(self, number: int, parameters: Values) -> None:
        """Takes note of a trial that was suggested before a resume: it is pending until it is observed."""
        self.pending[number] = parameters

    def observe(self, observation: Observation) -> None:
        """Takes note of how a trial ended.

        Trials of earlier runs (warm start) are observed under negative numbers and were never pending.
        """
        self.pending.pop(observation.number, None)
        if self.needs_history:
            self.observed[observation.number] = observation

    def hint(self, observation: Observation) -> None:  # noqa: B027  # most cannot use any
        """Takes note of a trial of another experiment (see `Observation.origin`), before the first suggestion."""

    @abstractmethod
    def _propose(self, number: int) -> Values | None:
        """The values of the trial with this number, or None when nothing is left."""

    def generator(self, number: int, salt: str = "") -> random.Random:
        """A source of randomness that depends on the seed and the trial's number alone."""
        digest = hashlib.blake2b(f"{self.seed}/{number}/{salt}".encode(), digest_size=8).digest()
        return random.Random(int.from_bytes(digest))  # noqa: S311  # not for secrets
