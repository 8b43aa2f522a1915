"""Grid search: every combination once, without ever holding more than one of them."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from cloudtune.search.base import Strategy, UnsuitableStrategy
from cloudtune.space import Space, Values


class GridSearch(Strategy):
    """Every combination of the axes' values, once; the last parameter turns fastest.

    The combination of a number is computed from the number: below each choice of a parent stand as many
    combinations as its children have, so a conditional parameter multiplies only the branches in which it exists.

    Args:
        space: what to search.
        levels: how many values of a continuous axis are tried; None where there is none.

    Raises:
        UnsuitableStrategy: an axis is continuous and `levels` is None.
    """

    needs_history = False

    def __init__(self, space: Space, *, levels: int | None = None, **about: Any) -> None:  # see Strategy
        super().__init__(space, **about)
        for dimension in space.dimensions:
            if dimension.axis.size is None and levels is None:
                raise UnsuitableStrategy(
                    f"a grid needs a finite axis: give {dimension.name!r} a step, or set strategy.levels"
                )
        self._dimensions = space.dimensions
        self._values = [dimension.axis.grid(levels or 1) for dimension in space.dimensions]
        self._counts: dict[tuple[object, ...], int] = {}

    @cached_property
    def size(self) -> int:
        """How many combinations there are."""
        return self._below(0, {})

    def all(self) -> Iterator[Values]:
        """All combinations in their order."""
        return (values for number in range(self.size) if (values := self.at(number)) is not None)

    def at(self, number: int) -> Values | None:
        """The combination with this number; None beyond the last."""
        if number >= self.size:
            return None
        values: Values = {}
        for index, dimension in enumerate(self._dimensions):
            if not dimension.active(values):
                continue
            axis = self._values[index]
            if not self._parents_later(index)[0]:
                width = self._below(index + 1, values)
                choice, number = divmod(number, width)
                values[dimension.name] = axis[choice]
                continue
            for value in axis:  # the branches differ in size
                values[dimension.name] = value
                width = self._below(index + 1, values)
                if number < width:
                    break
                number -= width
        return {name: values[name] for name in self.space.names if name in values}

    def _propose(self, number: int) -> Values | None:
        return self.at(number)

    def _below(self, index: int, values: Values) -> int:
        """How many combinations the dimensions from `index` on have, given the values of those before."""
        if index == len(self._dimensions):
            return 1
        key = (
            index,
            *((name, type(values[name]), values[name]) for name in self._matter(index) if name in values),
        )
        if key not in self._counts:
            self._counts[key] = self._count(index, values)
        return self._counts[key]

    def _count(self, index: int, values: Values) -> int:
        dimension = self._dimensions[index]
        if not dimension.active(values):
            return self._below(index + 1, values)
        is_parent, _ = self._parents_later(index)
        if not is_parent:
            return len(self._values[index]) * self._below(index + 1, values)
        return sum(self._below(index + 1, {**values, dimension.name: value}) for value in self._values[index])

    def _parents_later(self, index: int) -> tuple[bool, frozenset[str]]:
        """Whether a later dimension depends on this one, and the names that later ones depend on."""
        names = self._later[index]
        return self._dimensions[index].name in names, names

    @cached_property
    def _later(self) -> list[frozenset[str]]:
        later: list[frozenset[str]] = []
        names: frozenset[str] = frozenset()
        for dimension in reversed(self._dimensions):
            later.append(names)
            names |= frozenset(dimension.parameter.when or ())
        return later[::-1]

    def _matter(self, index: int) -> list[str]:
        """The earlier names on which the dimensions from `index` on depend."""
        names = self._later[index] | frozenset(self._dimensions[index].parameter.when or ())
        return sorted(names & {dimension.name for dimension in self._dimensions[:index]})


def grid_size(space: Space, levels: int | None = None) -> int:
    """How many trials a grid over a space has."""
    return GridSearch(space, levels=levels).size
