"""The base of strategies that never repeat a trial of a finite space."""

from abc import abstractmethod
from typing import Unpack

from cloudtune.search.random_search import RandomSearch
from cloudtune.search.strategy import Observation, Strategy, StrategyContext
from cloudtune.space.space import Space, Values

_FINITE = 10**9
"""Spaces up to this size are searched without repetition; in larger ones a repetition hardly occurs."""


class UniqueStrategy(Strategy):
    """Suggests its own choice if that is new and allowed, else a random trial that is, until a finite space is used up.

    Trials of earlier runs count as new: they are observed, but may be suggested again.
    """

    def __init__(self, space: Space, **context: Unpack[StrategyContext]) -> None:
        super().__init__(space, **context)
        self._rest = RandomSearch(space, seed=self.seed)
        self._keys: set[tuple[object, ...]] = set()
        self._finite = space.size is not None and space.size <= _FINITE

    def restore(self, number: int, parameters: Values) -> None:
        super().restore(number, parameters)
        self._note(number, parameters)

    def observe(self, observation: Observation) -> None:
        super().observe(observation)
        if observation.number >= 0:
            self._rest.observe(observation)

    def _propose(self, number: int) -> Values | None:
        values = self._choose(number)
        if values is None or self._taken(values) or not self.space.allows(values):
            values = self._rest.suggest(number)
        if values is not None:
            self._note(number, values)
        return values

    def _preferred(self, number: int) -> Values:
        return self._choose(number) or {}

    @abstractmethod
    def _choose(self, number: int) -> Values | None:
        """Return the values that the strategy would choose; None for a random trial."""

    def _taken(self, values: Values) -> bool:
        return self._finite and self.space.key(values) in self._keys

    def _note(self, number: int, values: Values) -> None:
        if self._finite:
            self._keys.add(self.space.key(values))
        self._rest.restore(number, values)
