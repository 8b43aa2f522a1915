"""Grid search: every combination once, each computed from its number."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Unpack

from cloudtune.search.strategy import Strategy, StrategyContext, UnsuitableStrategy
from cloudtune.space.axes import ListedAxis, SteppedAxis
from cloudtune.space.parameters import Scalar, same_scalar, scalar_key
from cloudtune.space.space import Dimension, Space, Values
from cloudtune.spec.strategies import Grid


class GridSearch(Strategy):
    """Suggests every combination of the axes' values, once; the last parameter turns fastest.

    A combination that was run as a trial of the user's own is not suggested again.

    The combination of a number is computed from the number: below each choice of a parent stand as many
    combinations as its children have, so a conditional parameter multiplies only the branches in which it exists.

    Args:
        space: what to search.
        levels: values of a continuous axis that are tried, at least 1; None where no axis is continuous.

    Raises:
        UnsuitableStrategy: an axis is continuous and `levels` is None.
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
        self._dimensions = space.dimensions
        self._values = [dimension.axis.grid(levels or 1) for dimension in space.dimensions]
        self._counts: dict[tuple[object, ...], int] = {}
        self._next = 0
        self._tried: set[int] = set()
        self._outside = 0

    @cached_property
    def size(self) -> int:
        """The number of combinations."""
        return self._below(0, {})

    @property
    def total(self) -> int:
        return self.size + self._outside

    def all(self) -> Iterator[Values]:
        """Yield all combinations in their order."""
        return (values for number in range(self.size) if (values := self.at(number)) is not None)

    def at(self, number: int) -> Values | None:
        """Return the combination with this number, from 0; None beyond the last."""
        if number >= self.size:
            return None
        values: Values = {}
        for index, dimension in enumerate(self._dimensions):
            if not dimension.active(values):
                continue
            axis = self._values[index]
            for first, count in self._stretches[index]:
                values[dimension.name] = axis[first]
                width = self._below(index + 1, values)
                if number < count * width:
                    choice, number = divmod(number, width)
                    values[dimension.name] = axis[first + choice]
                    break
                number -= count * width
        return {name: values[name] for name in self.space.names if name in values}

    def index(self, values: Values) -> int | None:
        """Return the number of a combination, so that ``at(index(values)) == values``; None for any other trial."""
        number, known = 0, {}
        for index, dimension in enumerate(self._dimensions):
            if not dimension.active(values):
                continue
            place = _index_of(dimension, self._values[index], values.get(dimension.name))
            if place is None:
                return None
            for first, count in self._stretches[index]:
                known[dimension.name] = self._values[index][first]
                width = self._below(index + 1, known)
                number += min(count, place - first) * width
                if place < first + count:
                    break
            known[dimension.name] = self._values[index][place]
        return number

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

    def _below(self, index: int, values: Values) -> int:
        """Count the combinations of the dimensions from `index` on, given the values of those before."""
        if index == len(self._dimensions):
            return 1
        key = (index, *((name, self._class_of(name, values[name])) for name in self._matter[index] if name in values))
        if key not in self._counts:
            self._counts[key] = self._count(index, values)
        return self._counts[key]

    def _count(self, index: int, values: Values) -> int:
        dimension = self._dimensions[index]
        if not dimension.active(values):
            return self._below(index + 1, values)
        axis = self._values[index]
        return sum(
            count * self._below(index + 1, {**values, dimension.name: axis[first]})
            for first, count in self._stretches[index]
        )

    @cached_property
    def _stretches(self) -> list[list[tuple[int, int]]]:
        """For each dimension, the stretches (first index, count) of values with the same number of combinations below.

        Each value that a condition names is a stretch of its own; all values between two of these are one stretch.
        """
        return [
            _stretches_between(
                _indices(dimension, [value for _, value in self._named.get(dimension.name, ())]),
                len(self._values[index]),
            )
            for index, dimension in enumerate(self._dimensions)
        ]

    @cached_property
    def _later(self) -> list[frozenset[str]]:
        """For each dimension, the names on which later dimensions depend."""
        later: list[frozenset[str]] = []
        names: frozenset[str] = frozenset()
        for dimension in reversed(self._dimensions):
            later.append(names)
            names |= frozenset(dimension.parameter.when or ())
        return later[::-1]

    @cached_property
    def _matter(self) -> list[list[str]]:
        """For each dimension, the earlier names on which it or a later one depends."""
        matter = []
        for index, dimension in enumerate(self._dimensions):
            names = self._later[index] | frozenset(dimension.parameter.when or ())
            matter.append(sorted(names & {earlier.name for earlier in self._dimensions[:index]}))
        return matter

    def _class_of(self, name: str, value: Scalar) -> object:
        """Return what the count below depends on: the key of a value that conditions name, None for any other."""
        key = scalar_key(value)
        return key if key in self._named[name] else None

    @cached_property
    def _named(self) -> dict[str, set[tuple[bool, Scalar]]]:
        named: dict[str, set[tuple[bool, Scalar]]] = {}
        for dimension in self._dimensions:
            for parent, values in (dimension.parameter.when or {}).items():
                named.setdefault(parent, set()).update(map(scalar_key, values))
        return named


def _index_of(dimension: Dimension, axis: Sequence[Scalar], value: Scalar) -> int | None:
    """Return the index of a value among those of a dimension that the grid has; None if it is none of them."""
    if isinstance(dimension.axis, ListedAxis | SteppedAxis):
        with suppress(ValueError):
            return dimension.axis.index(value)
        return None
    return next((index for index, known in enumerate(axis) if same_scalar(known, value)), None)


def _indices(dimension: Dimension, values: list[Scalar]) -> list[int]:
    """Return the indices on a dimension's axis of those values that it has."""
    axis, found = dimension.axis, set()
    for value in values:
        if isinstance(axis, ListedAxis | SteppedAxis):
            with suppress(ValueError):  # another variant of the parameter has it
                found.add(axis.index(value))
    return sorted(found)


def _stretches_between(indices: list[int], size: int) -> list[tuple[int, int]]:
    stretches: list[tuple[int, int]] = []
    after = 0
    for index in [*indices, size]:
        if index > after:
            stretches.append((after, index - after))
        if index < size:
            stretches.append((index, 1))
        after = index + 1
    return stretches
