"""Strategies that have ideas of their own, but never repeat a trial of a finite space."""

from abc import abstractmethod
from typing import Any

from cloudtune.search.base import Observation, Strategy
from cloudtune.search.draws import RandomSearch
from cloudtune.space.space import Space, Values

_FINITE = 10**9
"""Spaces up to this size are searched without repetition; in larger ones a repetition does not come about."""


class FreshStrategy(Strategy):
    """Takes its idea of the next trial if it is new, else a random trial that is, until a finite space is used up.

    Trials of earlier runs are new here: they count as known, but may be suggested.
    """

    def __init__(self, space: Space, **about: Any) -> None:  # see Strategy
        super().__init__(space, **about)
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
        values = self._idea(number)
        if values is None or self._taken(values):
            values = self._rest.suggest(number)
        if values is not None:
            self._note(number, values)
        return values

    @abstractmethod
    def _idea(self, number: int) -> Values | None:
        """What the strategy would like to try; None if it knows nothing better than a random trial."""

    def _taken(self, values: Values) -> bool:
        return self._finite and self.space.key(values) in self._keys

    def _note(self, number: int, values: Values) -> None:
        if self._finite:
            self._keys.add(self.space.key(values))
        self._rest.restore(number, values)
