"""Grid search: every combination once, each computed from its number."""

from collections.abc import Iterator
from typing import Unpack

from cloudtune.search.strategy import Strategy, StrategyContext, UnsuitableStrategy
from cloudtune.space.combinations import Combinations, TooManyCombinations
from cloudtune.space.space import Space, Values
from cloudtune.spec.strategies import Grid


class GridSearch(Strategy):
    """Suggests every combination of the axes' values that the requirements allow, once; the last parameter turns fastest.

    A combination that was run as a trial of the user's own is not suggested again.

    Args:
        space: what to search.
        levels: values of a continuous axis that are tried, at least 1; None where no axis is continuous.

    Raises:
        UnsuitableStrategy: an axis is continuous and `levels` is None; or the requirements allow no combination, or
            it would take too long to count those that they allow.
    """

    spec = Grid
    needs_history = False

    def __init__(self, space: Space, *, levels: int | None = None, **context: Unpack[StrategyContext]) -> None:
        super().__init__(space, **context)
        for dimension in space.dimensions:
            if dimension.axis.size is None and levels is None:
                raise UnsuitableStrategy(
                    f"a grid needs a finite axis: give {dimension.name!r} a step, or set strategy.levels"
                )
        self._combinations = Combinations(space, levels or 1)
        self._next = 0
        self._tried: set[int] = set()
        self._outside = 0
        if space.requirements:
            self._check()

    def _check(self) -> None:
        try:
            count = self.size
        except TooManyCombinations as error:
            raise UnsuitableStrategy(f"{error}; give the parameters fewer values, or take another strategy") from None
        if not count:
            raise UnsuitableStrategy(
                "the requirements allow no combination of the grid; give it more levels, or loosen them"
            )

    @property
    def size(self) -> int:
        """The number of combinations."""
        return self._combinations.size

    @property
    def total(self) -> int:
        return self.size + self._outside

    def all(self) -> Iterator[Values]:
        """Yield all combinations in their order."""
        return self._combinations.all()

    def at(self, number: int) -> Values | None:
        """Return the combination with this number, from 0; None beyond the last."""
        return self._combinations.at(number)

    def index(self, values: Values) -> int | None:
        """Return the number of a combination, so that ``at(index(values)) == values``; None for any other trial."""
        return self._combinations.index(values)

    def restore(self, number: int, parameters: Values) -> None:
        super().restore(number, parameters)
        index = self.index(parameters)
        if index is None or index < self._next or index in self._tried:
            self._outside += 1
        else:
            self._tried.add(index)
            self._skip()

    def _propose(self, number: int) -> Values | None:  # noqa: ARG002  # the combinations are counted apart
        values = self.at(self._next)
        self._next += values is not None
        self._skip()
        return values

    def _preferred(self, number: int) -> Values:  # noqa: ARG002  # as for `_propose`
        return self.at(self._next) or {}

    def _skip(self) -> None:
        """Go on to the next combination that was not tried."""
        while self._next in self._tried:
            self._tried.remove(self._next)
            self._next += 1
