"""Random search: independent draws from the space's distribution (Bergstra & Bengio 2012, JMLR 13:281-305)."""

import random
from collections.abc import Sequence
from functools import cached_property
from typing import Unpack

from cloudtune.search.strategy import Observation, Strategy, StrategyContext
from cloudtune.space.combinations import Combinations, TooManyCombinations
from cloudtune.space.region import region_of
from cloudtune.space.space import Space, Values
from cloudtune.spec.strategies import Random

_REDRAWS = 64
"""Draws that may repeat a known trial before the rest of a finite space is enumerated."""

_ENUMERABLE = 1_000_000
"""Spaces up to this size are drawn without repetition; in larger ones a repetition does no harm."""


class RandomSearch(Strategy):
    """Draws every trial from the space's distribution; a finite space without repetition.

    The draw of a parameter depends on the seed, the trial's number and the parameter's name alone. So nothing has to be
    saved, and the draws of the other parameters stay the same when a parameter is added. Where the space has
    requirements, the first draw that meets them counts.
    """

    spec = Random

    needs_history = False

    def __init__(self, space: Space, **context: Unpack[StrategyContext]) -> None:
        super().__init__(space, **context)
        self._finite = space.size is not None and space.size <= _ENUMERABLE
        self._seen: set[tuple[object, ...]] = set()

    @cached_property
    def _grid(self) -> Combinations:
        return Combinations(self.space)

    def restore(self, number: int, parameters: Values) -> None:
        super().restore(number, parameters)
        self._note(parameters)

    def observe(self, observation: Observation) -> None:
        super().observe(observation)
        if observation.number >= 0:  # trials of earlier runs may be drawn again
            self._note(observation.parameters)

    def _note(self, values: Values) -> None:
        if self._finite:
            self._seen.add(self.space.key(values))

    def _propose(self, number: int) -> Values | None:
        sources = [self.generator(number, dimension.key) for dimension in self.space.dimensions]
        for _ in range(_REDRAWS if self._finite else 1):
            values = self._draw(number, sources)
            if not self._finite or self.space.key(values) not in self._seen:
                self._note(values)
                return values
        return self._unseen(self.generator(number))

    def _draw(self, number: int, sources: Sequence[random.Random]) -> Values:
        """Return the next draw that meets the requirements."""
        if not self.space.requirements:
            return self.space.at([source.random() for source in sources])
        region = region_of(self.space)
        for _ in range(region.attempts):
            values = self.space.at(region.place([source.random() for source in sources]))
            if self.space.allows(values):
                return values
        return region.draw(self.generator(number, f"region/{sources[0].random()}"))

    def _unseen(self, source: random.Random) -> Values | None:
        """Return the first combination of the grid after a random place that has not been drawn; None if there is none."""
        try:
            _ = self._grid.size
        except TooManyCombinations:  # the requirements are hard to count, so that a repetition is allowed
            return region_of(self.space).draw(source)
        if len(self._seen) < self._grid.size:
            start = source.randrange(self._grid.size)
            for offset in range(self._grid.size):
                values = self._grid.at((start + offset) % self._grid.size)
                if values is not None and self.space.key(values) not in self._seen:
                    self._note(values)
                    return values
        return None
