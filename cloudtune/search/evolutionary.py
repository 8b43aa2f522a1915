"""Evolutionary search: a population of trials, whose best members have offspring."""

import math
from typing import Any, Unpack

import numpy as np

from cloudtune.results.constraints import total_violation
from cloudtune.search.arrays import Array
from cloudtune.search.encoding import Encoding
from cloudtune.search.pareto import crowding, ranks
from cloudtune.search.penalty import Penalty
from cloudtune.search.strategy import Observation, Strategy, StrategyContext
from cloudtune.search.unique import UniqueStrategy
from cloudtune.space.region import region_of
from cloudtune.space.space import Space, Values
from cloudtune.spec.strategies import Evolutionary, StrategySpec

_MUTATION_SPREAD = 20.0
_CROSSOVER_SPREAD = 15.0
"""Distribution indices of polynomial mutation and simulated binary crossover: the higher, the nearer to the parents."""

_CROSSOVER = 0.9
_ATTEMPTS = 16
"""Offspring that may repeat a known trial before a random trial takes its place."""


def evolutionary(space: Space, *, population: int | None = None, **context: Unpack[StrategyContext]) -> Strategy:
    """Return CMA-ES for one objective on axes that all have an order, else a genetic algorithm.

    Args:
        space: what to search.
        population: members of a generation; None for a number that suits the space and the budget.
        context: see `Strategy`.
    """
    searched = [dimension.axis for dimension in space.dimensions if dimension.axis.size != 1]
    plain = len(searched) > 1 and not space.conditional and all(axis.ordered for axis in searched)
    if plain and context.get("objectives", 1) == 1:
        return CovarianceSearch(space, population=population, **context)
    return GeneticSearch(space, population=population, **context)


class EvolutionarySearch(UniqueStrategy):
    """The base of both searches; a spec does not say which."""

    spec = Evolutionary

    @classmethod
    def from_spec(cls, spec: StrategySpec, space: Space, **context: Unpack[StrategyContext]) -> Strategy:
        assert isinstance(spec, Evolutionary)
        return evolutionary(space, population=spec.population, **context)

    def _welcome(self, values: Values) -> bool:
        """Return whether an offspring is new, and meets the requirements of the space."""
        return not self._taken(values) and self.space.allows(values)

    def _repaired(self, values: Values, number: int) -> Values:
        """Return an offspring moved to where it meets the requirements of the space."""
        if self.space.allows(values):
            return values
        return region_of(self.space).towards(values, self.generator(number, "repair"))


class CovarianceSearch(EvolutionarySearch):
    """CMA-ES: a normal distribution that moves and stretches towards the better trials (Hansen 2016, arXiv 1604.00772).

    On axes with levels, with the margin that keeps it from converging on one too early (Hamano et al. 2022, arXiv
    2205.13482). A generation is any `population` trials that ended one after the other, so that trials may run in
    parallel and end in any order. Failed trials count as worse than all others; trials that violate constraints as
    worse than feasible ones, by how much they violate them (see `Penalty`). Where the distribution has shrunk to
    a point it restarts elsewhere, with twice the population (Auger & Hansen 2005, doi 10.1109/CEC.2005.1554902).
    It begins at the best trial of earlier runs, or in the middle. Trials that miss the requirements of the space are
    drawn again, and in the end moved to where they hold.

    Args:
        space: what to search: at least two dimensions, all ordered, without conditions.
        population: members of a generation, at least 2; None for 4 + 3 ln(dimensions).
        context: see `Strategy`.
    """

    def __init__(self, space: Space, *, population: int | None = None, **context: Unpack[StrategyContext]) -> None:
        super().__init__(space, **context)
        self._encoding = Encoding(space)
        self._searched = self._encoding.searched
        self._sizes = np.array([self._size(index) for index in self._searched], dtype=float)
        self._population = population or 4 + int(3 * math.log(len(self._searched)))
        self._starts = 0
        self._best_earlier: tuple[float, Array] | None = None
        self._distribution = self._begin()
        self._generation: list[tuple[Array, float]] = []
        self._penalty = Penalty()

    def _size(self, index: int) -> int:
        """Return the number of levels that a dimension is searched on; 1 for a continuum."""
        levels = self._encoding.levels[index]
        return 1 if levels is None else len(levels)

    def _begin(self) -> Any:  # cmaes.CMAwM
        from cmaes import CMAwM  # noqa: PLC0415  # only this search needs it

        width = np.maximum(self._sizes - 1.0, 1.0)
        source = np.random.default_rng(self.generator(self._starts, "start").getrandbits(64))
        mean = 0.5 * width if self._starts == 0 else source.random(len(width)) * width
        if self._starts == 0 and self._best_earlier is not None:
            mean = self._best_earlier[1]
        elif self.space.requirements:
            mean = self._allowed_mean(mean)
        return CMAwM(
            mean=mean,
            sigma=0.25,
            cov=np.diag(width * width),
            bounds=np.column_stack([np.zeros(len(width)), width]),
            steps=(self._sizes > 1).astype(float),
            population_size=self._population * 2**self._starts,
        )

    def _allowed_mean(self, mean: Array) -> Array:
        """Return where to begin so that the requirements of the space are met there."""
        values = self._trial(mean)
        if self.space.allows(values):
            return mean
        return self._coordinates(region_of(self.space).towards(values, self.generator(self._starts, "mean")))

    def observe(self, observation: Observation) -> None:
        super().observe(observation)
        loss = self._penalty.of(observation)
        ended = loss, self._coordinates(observation.parameters)
        if observation.number < 0:
            if self._best_earlier is None or loss < self._best_earlier[0]:
                self._best_earlier = ended
                self._distribution = self._begin()
            return
        self._generation.append(ended[::-1])
        if len(self._generation) == self._distribution.population_size:
            self._distribution.tell(self._generation)
            self._generation = []
            if self._distribution.should_stop():
                self._starts += 1
                self._distribution = self._begin()

    def _coordinates(self, values: Values) -> Array:
        """Return where a trial lies for the distribution: the position on a continuum, the index of a level."""
        (row,) = self._encoding.rows([values])
        return np.array(
            [
                row[index] if size == 1 else self._encoding.indices(index, row[index : index + 1])[0]
                for index, size in zip(self._searched, self._sizes, strict=True)
            ],
            dtype=float,
        )

    def _trial(self, coordinates: Array) -> Values:
        """Return the trial at coordinates of the distribution."""
        row = np.full(self._encoding.size, 0.5)
        for index, size, coordinate in zip(self._searched, self._sizes, coordinates, strict=True):
            levels = self._encoding.levels[index]
            row[index] = coordinate if size == 1 or levels is None else levels[round(coordinate)]
        return self._encoding.values(row)

    def _choose(self, number: int) -> Values | None:
        values: Values = {}
        for attempt in range(_ATTEMPTS):
            self._distribution.reseed_rng(self.generator(number, f"{attempt}").getrandbits(32))
            values = self._trial(self._distribution.ask()[0])
            if self._welcome(values):
                return values
        return self._repaired(values, number)


class GeneticSearch(EvolutionarySearch):
    """A genetic algorithm for axes of all kinds, with conditions: NSGA-II (Deb et al. 2002, doi 10.1109/4235.996017).

    It has no generations (Durillo et al. 2009, doi 10.1007/978-3-642-01020-0_18): each trial that ends takes the place
    of the worst member if it is better, by its front and then by its crowding distance. Members that violate
    constraints are behind all feasible ones, ordered by how much they violate them (Deb 2000, doi
    10.1016/S0045-7825(99)00389-8). So trials may run in parallel and end in any order. With one objective the front is the loss. Ordered axes are crossed and mutated as
    numbers (simulated binary crossover, polynomial mutation), others by choice.

    Args:
        space: what to search.
        population: members; None for a fifth of the budget, from 8 to 50.
        context: see `Strategy`.
    """

    def __init__(self, space: Space, *, population: int | None = None, **context: Unpack[StrategyContext]) -> None:
        super().__init__(space, **context)
        self._encoding = Encoding(space)
        self._population = population or min(max((self.budget or 250) // 5, 8), 50)
        self._rows = np.empty((0, self._encoding.size))
        self._losses = np.empty((0, self.objectives))
        self._violation = np.empty(0)

    def observe(self, observation: Observation) -> None:
        super().observe(observation)
        if observation.losses is None:
            return
        self._rows = np.vstack([self._rows, self._encoding.rows([observation.parameters])])
        self._losses = np.vstack([self._losses, observation.losses])
        unknown = self.constraints > 0 and not observation.violations  # of a pruned trial
        violation = math.inf if unknown else total_violation(observation.violations)
        self._violation = np.append(self._violation, violation)
        if len(self._rows) > self._population:
            stay = np.delete(np.arange(len(self._rows)), self._order()[-1])
            self._rows, self._losses = self._rows[stay], self._losses[stay]
            self._violation = self._violation[stay]

    def _order(self) -> list[int]:
        """Return the members from the best to the worst; of equals the older first."""
        feasible = self._violation <= 0
        rank = np.zeros(len(feasible), dtype=int)
        rank[feasible] = ranks(self._losses[feasible])
        behind = np.unique(self._violation[~feasible], return_inverse=True)[1]
        rank[~feasible] = behind + 1 + rank[feasible].max(initial=-1)
        alone = np.zeros(len(rank))
        for level in range(rank.max() + 1):
            members = np.flatnonzero(rank == level)
            alone[members] = crowding(self._losses[members])
        return sorted(range(len(rank)), key=lambda index: (rank[index], -alone[index], index))

    def _choose(self, number: int) -> Values | None:
        if len(self._rows) < min(self._population, 2) or number < self._population:
            return None
        source = np.random.default_rng(self.generator(number).getrandbits(64))
        standing = np.argsort(self._order())
        values: Values = {}
        for _ in range(_ATTEMPTS):
            values = self._encoding.values(
                self._child(self._parent(standing, source), self._parent(standing, source), source)
            )
            if self._welcome(values):
                return values
        return self._repaired(values, number)

    def _parent(self, standing: Any, source: np.random.Generator) -> Array:
        """Return the better of two random members, with random positions where a dimension does not exist in it."""
        one, other = source.integers(len(standing), size=2)
        row = self._rows[one if standing[one] <= standing[other] else other]
        return np.where(np.isnan(row), source.random(len(row)), row)

    def _child(self, mother: Array, father: Array, source: np.random.Generator) -> Array:
        ordered, size = self._encoding.ordered, len(mother)
        child = mother
        if source.random() < _CROSSOVER:
            swap = source.random(size) < 0.5
            share = source.random(size)
            inner = np.where(share <= 0.5, 2.0 * share, 0.5 / (1.0 - share)) ** (1.0 / (_CROSSOVER_SPREAD + 1.0))
            near, far = np.where(swap, father, mother), np.where(swap, mother, father)
            child = np.where(ordered, 0.5 * ((1.0 + inner) * near + (1.0 - inner) * far), near)
        share = source.random(size)
        inner = np.where(share < 0.5, 2.0 * share, 2.0 - 2.0 * share) ** (1.0 / (_MUTATION_SPREAD + 1.0))
        moved = np.where(ordered, child + np.where(share < 0.5, inner - 1.0, 1.0 - inner), source.random(size))
        mutated = source.random(size) < 1.0 / max(len(self._encoding.searched), 1)
        clipped: Array = np.clip(np.where(mutated, moved, child), 0.0, 1.0)
        return clipped
