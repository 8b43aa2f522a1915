"""Population based training: members train side by side, and bad ones go on from the checkpoints of good ones."""

import math
import random
from collections import deque
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Unpack

from cloudtune.search.random_search import RandomSearch
from cloudtune.search.stopping.promotion import PausingRule
from cloudtune.search.strategy import Observation, Strategy, StrategyContext, UnsuitableStrategy
from cloudtune.space.parameters import Scalar
from cloudtune.space.space import Dimension, Space, Values
from cloudtune.spec.strategies import Population
from cloudtune.store.records import TrialState

_FACTORS = (0.8, 1.2)
"""By one of them a number is multiplied (Jaderberg et al. 2017, appendix A)."""

_TRIES = 64
"""Draws of a child's parameters that may miss the requirements of the space."""


@dataclass(frozen=True, slots=True)
class Child:
    """A trial that takes the place of a bad member.

    Attributes:
        place: of the member, from 0.
        parent: the trial from whose checkpoint it goes on.
        parameters: its values by name.
    """

    place: int
    parent: int
    parameters: Values


@dataclass(slots=True)
class _Member:
    """A trial of the population.

    Attributes:
        due: the generation whose loss it reports next, from 1.
        losses: by generation.
        ended: how it ended; None before.
    """

    due: int = 1
    losses: dict[int, float] = field(default_factory=dict)
    ended: TrialState | None = None


class PopulationSearch(Strategy):
    """Jaderberg et al. 2017 (arXiv 1711.09846), in generations: all members pause after each interval.

    Then the worst end, and for each a new trial begins with the checkpoint of one of the best (exploit) and its parameters, of
    which numbers are multiplied by 0.8 or 1.2, ordered values move by one place, and each is drawn anew with some probability
    (explore). The others go on. So members need no slots of their own: they take turns where fewer may run at a time. A member
    that failed is replaced as well. Trials of the user's own run beside the population.

    Args:
        space: what to search.
        members: how many train side by side, at least 2.
        interval: steps of a generation.
        max_resource: the step at which a member is complete.
        quantile: the share of members that are replaced after each generation, and of those whose place they take.
        resample: the probability that a parameter is drawn anew.
        context: see `Strategy`.
    """

    spec = Population

    def __init__(
        self,
        space: Space,
        *,
        members: int = 8,
        interval: int = 1,
        max_resource: int = 10,
        quantile: float = 0.25,
        resample: float = 0.25,
        **context: Unpack[StrategyContext],
    ) -> None:
        super().__init__(space, **context)
        if self.objectives > 1 or self.constraints:
            raise UnsuitableStrategy("population compares its members by one objective alone, without constraints")
        self._count, self._resample = members, resample
        self._first = RandomSearch(space, seed=self.seed)
        self._suggested = 0
        self._rule = PopulationRule(self, interval, max_resource, quantile)

    @property
    def rule(self) -> "PopulationRule":
        return self._rule

    @property
    def waits(self) -> bool:
        return self.complete_population and not self._rule.child_can_begin

    def parent(self, number: int) -> int | None:
        return self._rule.parents.get(number)

    @property
    def left(self) -> int:
        """How many more trials may be suggested; a large number where there is no limit."""
        return 2**31 if self.budget is None else self.budget - self._suggested - len(self._rule.children)

    @property
    def complete_population(self) -> bool:
        """Whether each member has had its first trial."""
        return len(self._rule.places) == self._count

    def restore(self, number: int, parameters: Values) -> None:
        super().restore(number, parameters)
        self._begin(number, parameters)

    def observe(self, observation: Observation) -> None:
        self.pending.pop(observation.number, None)

    def _propose(self, number: int) -> Values | None:
        values = None
        if not self.complete_population:
            values = self._first.suggest(number)
        elif self._rule.child_can_begin:
            values = self._rule.children[0].parameters
        if values is not None:
            self._begin(number, values)
        return values

    def _begin(self, number: int, values: Values) -> None:
        """Count a trial as a new member, as the next child, or as one beside the population."""
        self._suggested += 1
        if not self.complete_population:
            self._rule.add(number, values)
        elif self._rule.children and self._rule.children[0].parameters == values:
            self._rule.replace(number, self._rule.children.popleft())

    def explored(self, values: Values, source: random.Random) -> Values:
        """Return the parameters of a child: its parent's own where no others that were tried meet the requirements of the space.

        Args:
            values: of its parent.
            source: of randomness.
        """
        tried = (self._near(values, source) for _ in range(_TRIES))
        return next((each for each in tried if self.space.allows(each)), values)

    def _near(self, values: Values, source: random.Random) -> Values:
        positions = []
        for dimension in self.space.dimensions:
            drawn, anew, up = source.random(), source.random() < self._resample, source.random() < 0.5
            known = dimension.name in values and not anew
            positions.append(_moved(dimension, values[dimension.name], up=up) if known else drawn)
        return self.space.at(positions)


def _moved(dimension: Dimension, value: Scalar, *, up: bool) -> float:
    """Return the position of a number that is multiplied, of the next ordered value, or of the same category."""
    axis = dimension.axis
    if not axis.ordered:
        return axis.position(value)
    size = axis.size
    if isinstance(value, bool) or not isinstance(value, int | float):
        step = 1.0 / max((size or 2) - 1, 1)
        return min(max(axis.position(value) + (step if up else -step), 0.0), 1.0)
    try:
        return axis.position(value * _FACTORS[up])
    except (ValueError, OverflowError):  # beyond its bounds
        return float(up) if value > 0 else float(not up)


class PopulationRule(PausingRule):
    """Pauses members after each generation, and decides who goes on.

    Args:
        search: whose members they are.
        interval: steps of a generation.
        max_resource: the step at which a member is complete.
        quantile: the share that is replaced.

    Attributes:
        places: the number of each member's trial; None while its child has not been suggested, and of one that is no more.
        children: that are to be suggested, in this order.
        parents: of children, by number.
    """

    def __init__(self, search: PopulationSearch, interval: int, max_resource: int, quantile: float) -> None:
        self._search, self._interval, self._max, self._quantile = search, interval, max_resource, quantile
        self.places: list[int | None] = []
        self.children: deque[Child] = deque()
        self.parents: dict[int, int] = {}
        self._members: dict[int, _Member] = {}
        self._values: dict[int, Values] = {}
        self._gone: set[int] = set()  # places of members that are no more
        self._unbegun: dict[int, int] = {}  # by parent, the children that have not reported
        self._silent: set[int] = set()  # children that were suggested and have not reported
        self._go: set[int] = set()
        self._generation = 1

    # Members

    def add(self, number: int, values: Values) -> None:
        """Count a trial as the next member's first."""
        self.places.append(number)
        self._members[number] = _Member()
        self._values[number] = values

    def replace(self, number: int, child: Child) -> None:
        """Put a child in the place of a member."""
        self.places[child.place] = number
        self.parents[number] = child.parent
        self._members[number] = _Member(due=self._generation)
        self._values[number] = child.parameters
        self._silent.add(number)

    @property
    def child_can_begin(self) -> bool:
        """Whether there is a child to suggest, and the checkpoint of its parent is whole."""
        parent = self.children[0].parent if self.children else None
        return parent is not None and (parent in self.paused or self._members[parent].ended is not None)

    def reached(self, number: int) -> bool:
        return bool(number in self._members and self._members[number].losses)

    def observe(self, number: int, step: int, loss: float) -> bool:
        self._begun(number)
        member = self._members.get(number)
        if member is None or not math.isfinite(loss) or step < member.due * self._interval:
            return False
        generation = step // self._interval
        member.losses[generation] = loss
        member.due = generation + 1
        self._decide()
        return step < self._max

    def ended(self, number: int, state: TrialState) -> None:
        self._begun(number)
        if number in self._members:
            self._members[number].ended = state
            self._decide()

    def _begun(self, number: int) -> None:
        """Take in that a child has begun, so that its parent may change its checkpoint."""
        if number in self._silent:
            self._silent.discard(number)
            self._unbegun[self.parents[number]] -= 1

    def promoted(self, paused: Container[int], *, last: bool) -> int | None:
        if last and self.children:
            self._forget_children()
        for number in sorted(self._go):
            waits = self._unbegun.get(number, 0) > 0 and not last
            if number in paused and not waits and self._members[number].due == self._generation:
                return number
        return None

    def _forget_children(self) -> None:
        """Give up the places of children that will not be suggested."""
        self._gone |= {child.place for child in self.children}
        self.children.clear()
        self._decide()

    # Generations

    def _decide(self) -> None:
        """Decide who goes on and who is replaced, once all members have come to the end of the generation."""
        while self._generation * self._interval < self._max and self._search.complete_population:
            present = [place for place in range(len(self.places)) if place not in self._gone]
            if not present or not all(self._is_ready(self.places[place]) for place in present):
                return
            self._exploit(present)
            self._generation += 1

    def _is_ready(self, number: int | None) -> bool:
        if number is None:
            return False
        member = self._members[number]
        return member.ended is not None or member.due > self._generation

    def _loss(self, number: int) -> float:
        """Return a member's loss at the end of the generation; of one that has failed infinity, of another that has ended NaN."""
        member = self._members[number]
        if member.ended is TrialState.FAILED:
            return math.inf
        known = [loss for generation, loss in member.losses.items() if generation >= self._generation]
        return known[0] if known and member.ended is None else math.nan

    def _exploit(self, present: list[int]) -> None:
        numbers = {place: number for place in present if (number := self.places[place]) is not None}
        losses = {place: self._loss(number) for place, number in numbers.items()}
        self._gone |= {place for place, loss in losses.items() if math.isnan(loss)}
        ranked = sorted((loss, numbers[place], place) for place, loss in losses.items() if not math.isnan(loss))
        count = max(1, int(self._quantile * len(ranked))) if len(ranked) > 1 else 0
        best = [number for loss, number, _ in ranked[:count] if math.isfinite(loss)]
        replaced = {number for _, number, _ in ranked[len(ranked) - count :]}.difference(best)
        for loss, number, place in ranked:
            if best and (number in replaced or math.isinf(loss)) and self._search.left > 0:
                self._breed(place, best)
            elif math.isinf(loss):
                self._gone.add(place)
            else:
                self._go.add(number)

    def _breed(self, place: int, parents: list[int]) -> None:
        source = self._search.generator(place, f"generation {self._generation}")
        parent = source.choice(parents)
        values = self._search.explored(self._values[parent], source)
        self.places[place] = None
        self.children.append(Child(place, parent, values))
        self._unbegun[parent] = self._unbegun.get(parent, 0) + 1
