"""The interface of strategies: suggest a trial, observe how it ended."""

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypedDict, Unpack

from cloudtune.search.stopping.rule import StoppingRule
from cloudtune.space.completing import complete
from cloudtune.space.region import region_of
from cloudtune.space.space import Space, Values
from cloudtune.spec.constraint import Constraint
from cloudtune.spec.objective import Objective
from cloudtune.spec.strategies import StrategySpec
from cloudtune.store.records import TrialState

_ATTEMPTS = 16
"""Proposals for one trial that may miss the requirements of a space; the first of them is then moved to where they hold."""


class UnsuitableStrategy(ValueError):
    """The strategy cannot search this space or these objectives; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Observation:
    """How a trial ended.

    Attributes:
        number: the trial's number.
        parameters: its values by name.
        state: completed, pruned, failed or cancelled.
        losses: one per objective, lower is better whatever the goal; None where the trial has no usable value.
            A pruned trial has the losses that it last reported.
        violations: how far a completed trial is beyond each bound, relative to the bound (see
            `cloudtune.results.constraints.violations`): above 0 is violated, infinite where it told no value. Empty
            without constraints, for trials that did not complete, and for those of earlier runs that measured none.
        origin: "" for a trial of this search; else the name of a related experiment, whose losses are hints
            and cannot be compared with this search's. Parameters may be missing from such a trial's values.
        cost: what the trial took, in a unit that is the same for all trials of the search (seconds, money); None where that
            is not known.
    """

    number: int
    parameters: Values
    state: TrialState
    losses: tuple[float, ...] | None
    origin: str = ""
    violations: tuple[float, ...] = ()
    cost: float | None = None

    @property
    def feasible(self) -> bool:
        """Whether no constraint is violated."""
        return all(violation <= 0 for violation in self.violations)


@dataclass(frozen=True, slots=True)
class Purpose:
    """What the suggestions of a search are for.

    Attributes:
        objectives: what is optimised, in the order of an observation's losses.
        constraints: the bounds on metrics, in the order of an observation's violations.
        run: the id of the run whose trials are suggested; "" for a search apart from any run.
        folder: of the run, where a strategy may keep a small file of its own for the next driver; None apart from any run.
        announce: called with a sentence for the run's user.
    """

    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()
    run: str = ""
    folder: Path | None = None
    announce: Callable[[str], None] = lambda _: None


class StrategyContext(TypedDict, total=False):
    """What every strategy takes besides its own settings; see `Strategy`."""

    objectives: int
    seed: int
    budget: int | None
    constraints: int
    cost_budget: float | None


class Strategy(ABC):
    """Suggests trials and observes how they end.

    A suggestion is a function of the seed, the trial's number, and the trials that are observed and pending at that
    moment, and of nothing else. So a strategy has no state to save: a new one that observes the same history goes on
    as the old one would have. Caches are allowed where they cannot change a result.

    Every trial that is suggested meets the requirements of the space, which `suggest` sees to; a strategy that knows
    better what to propose in place of a trial that does not asks `Space.allows`.

    A package adds a strategy by an entry point of the group ``cloudtune.strategies`` that refers to the subclass::

        class SpiralSearch(Strategy):
            spec = SpiralSpec  # a cloudtune.search.StrategySpec with the fields type, seed and turns

            def __init__(self, space: Space, *, turns: int = 3, **context: Unpack[StrategyContext]) -> None:
                super().__init__(space, **context)
                self._turns = turns

            def _propose(self, number: int) -> Values | None:
                return self.space.at(self.generator(number).random() for _ in self.space.dimensions)

    Args:
        space: what to search.
        objectives: the number of losses of an observation, at least 1.
        seed: from 0 to 2^31 - 1.
        budget: the number of trials that will be asked for; None where that is not known.
        constraints: the number of violations of a completed trial's observation.
        cost_budget: what all trials together may cost, in the unit of `Observation.cost`; None where that is not limited.

    Raises:
        UnsuitableStrategy: the strategy cannot search this space or these objectives, or needs a package that is not
            installed.
    """

    spec: ClassVar[type[StrategySpec]]
    """The model of the settings in the spec."""

    needs_history: ClassVar[bool] = True
    """Whether suggestions depend on the observations; False saves memory."""

    in_background: ClassVar[bool] = False
    """Whether a suggestion may take seconds, or an observation asks a service: a driver then has a thread of its own call the
    strategy, after `begin`, and its rule, which pauses no trials; see `cloudtune.search.background`. `total` is then read by the
    driver's own thread."""

    def __init__(
        self,
        space: Space,
        *,
        objectives: int = 1,
        seed: int = 0,
        budget: int | None = None,
        constraints: int = 0,
        cost_budget: float | None = None,
    ) -> None:
        self.space = space
        self.objectives = objectives
        self.seed = seed
        self.budget = budget
        self.constraints = constraints
        self.cost_budget = cost_budget
        self.pending: dict[int, Values] = {}
        self.observed: dict[int, Observation] = {}
        self.room = 1  # how many trials may begin now, the one that is asked for included; no suggestion depends on it
        self._attempt = 0

    @classmethod
    def from_spec(cls, spec: StrategySpec, space: Space, **context: Unpack[StrategyContext]) -> "Strategy":
        """Return the strategy that a spec asks for: by default every field but type and seed is a keyword argument.

        Raises:
            UnsuitableStrategy: see `Strategy`.
        """
        settings: dict[str, Any] = {
            name: getattr(spec, name) for name in type(spec).model_fields if name not in ("type", "seed")
        }
        return cls(space, **settings, **context)

    def begin(self, purpose: Purpose) -> None:  # noqa: B027  # most need to know no more than the space
        """Learn what the suggestions are for; called before all else, by a search whose trials will be run.

        A search that only looks at known trials (replay, what is left of a run) does not call it: a strategy that keeps
        its trials at a service must not change anything there before it is called, and can suggest nothing.
        """

    @property
    def total(self) -> int | None:
        """The number of trials after which the search ends by itself; None where it does not, or is not known to."""
        return None

    @property
    def rule(self) -> StoppingRule | None:
        """The stopping rule that is a part of the strategy; None for none."""
        return None

    @property
    def waits(self) -> bool:
        """Whether `suggest` returns None for now, until more is reported or has ended."""
        return False

    @property
    def asking(self) -> bool:
        """Whether the last `suggest` returned None because the answer is still to come: ask for the same trial again."""
        return False

    def parent(self, number: int) -> int | None:  # noqa: ARG002  # most strategies make trials of nothing but parameters
        """Return the trial from whose checkpoint a suggested one begins; None for none."""
        return None

    def suggest(self, number: int) -> Values | None:
        """Return the values of the trial with this number, which is pending from now on; None when nothing is left.

        Numbers come in increasing order. Where the space has requirements, a proposal that does not meet them is
        made again from other random numbers, and in the end moved to where they hold.
        """
        values = self._allowed(number) if self.space.requirements else self._propose(number)
        if values is not None:
            self.pending[number] = values
        return values

    def _allowed(self, number: int) -> Values | None:
        """Return a proposal that meets the requirements of the space."""
        tried: list[Values] = []
        try:
            while self._attempt < _ATTEMPTS:
                values = self._propose(number)
                if values is None or self.space.allows(values):
                    return values
                if values in tried:  # the strategy draws nothing, so that another attempt gives the same
                    break
                tried.append(values)
                self._attempt += 1
        finally:
            self._attempt = 0
        return region_of(self.space).towards(tried[0], self.generator(number, "towards"))

    def restore(self, number: int, parameters: Values) -> None:
        """Make a trial pending that was suggested before a resume."""
        self.pending[number] = parameters

    def complete(self, number: int, given: Values) -> Values:
        """Return a trial with the given values, which is pending from now on; the strategy chooses the others.

        Args:
            number: the trial's.
            given: values by name, which some trial of the space has.

        Raises:
            ValueError: the space has no such trial.
        """
        positions = [self.generator(number, dimension.key).random() for dimension in self.space.dimensions]
        values = complete(self.space, given, positions, self._preferred(number))
        if values is None:
            raise ValueError(f"no trial of the space has the values {given}")
        self.restore(number, values)
        return values

    def observe(self, observation: Observation) -> None:
        """Learn how a trial ended.

        Trials of earlier runs (warm start) have negative numbers and were never pending.
        """
        self.pending.pop(observation.number, None)
        if self.needs_history:
            self.observed[observation.number] = observation

    def hint(self, observation: Observation) -> None:  # noqa: B027  # most strategies cannot use any
        """Learn from a trial of a related experiment (see `Observation.origin`), before the first suggestion."""

    @abstractmethod
    def _propose(self, number: int) -> Values | None:
        """Return the values of the trial with this number, or None when nothing is left."""

    def _preferred(self, number: int) -> Values:  # noqa: ARG002  # at random by default
        """Return the values that the strategy likes best for the parameters of a trial that are not given.

        Nothing is pending by that. Parameters without a value here, or that cannot have it beside the given ones, are
        drawn at random.
        """
        return {}

    def generator(self, number: int, salt: str = "") -> random.Random:
        """Return a source of randomness that depends on the seed, the trial's number and the salt alone.

        After a proposal that does not meet the requirements of the space it is another source.
        """
        again = f"/again/{self._attempt}" if self._attempt else ""
        digest = hashlib.blake2b(f"{self.seed}/{number}/{salt}{again}".encode(), digest_size=8).digest()
        return random.Random(int.from_bytes(digest))  # noqa: S311  # not for secrets
