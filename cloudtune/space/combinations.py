"""All combinations of a space's values, each computed from its number, without those that the requirements exclude."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from cloudtune.space.axes import ListedAxis, SteppedAxis
from cloudtune.space.parameters import Scalar, same_scalar, scalar_key
from cloudtune.space.space import Dimension, Space, Values

if TYPE_CHECKING:
    from cloudtune.space.outcomes import Outcomes
    from cloudtune.space.requirements.requirement import Requirement

MOST_CHECKS = 100_000
"""Evaluations of requirements for a count."""

_Span = tuple[int, int, int]
"""The index of a dimension's first value, the number of values from there, and of combinations below each of them."""


class TooManyCombinations(ValueError):
    """It would take too long to find out which combinations the requirements allow."""


class Combinations:
    """The combinations of the axes' values in a fixed order: the last parameter turns fastest.

    Below each choice of a parent stand as many combinations as its children have, so a conditional parameter multiplies
    only the branches in which it exists. Values for which a requirement is decided alike are counted together (by
    interval arithmetic), and those that it excludes are left out.

    Args:
        space: the space.
        levels: values of a continuous axis, at least 1.
    """

    def __init__(self, space: Space, levels: int = 1) -> None:
        self.space = space
        self._dimensions = space.dimensions
        self._values = [dimension.axis.grid(levels) for dimension in space.dimensions]
        self._known: dict[tuple[object, ...], list[_Span]] = {}
        self._checks = 0

    @cached_property
    def size(self) -> int:
        """The number of combinations.

        Raises:
            TooManyCombinations: the requirements would have to be evaluated too often.
        """
        return self._below(0, {})

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
            for first, count, width in self._spans(index, values):
                if number < count * width:
                    choice, number = divmod(number, width)
                    values[dimension.name] = self._values[index][first + choice]
                    break
                number -= count * width
        return {name: values[name] for name in self.space.names if name in values}

    def index(self, values: Mapping[str, Scalar]) -> int | None:
        """Return the number of a combination, so that ``at(index(values)) == values``; None for any other trial."""
        number, known = 0, Values()
        for index, dimension in enumerate(self._dimensions):
            if not dimension.active(known):
                continue
            place = _index_of(dimension, self._values[index], values.get(dimension.name))
            if place is None:
                return None
            for first, count, width in self._spans(index, known):
                if place < first:
                    return None
                number += min(count, place - first) * width
                if place < first + count:
                    break
            else:
                return None
            known[dimension.name] = self._values[index][place]
        return number

    def _below(self, index: int, values: Values) -> int:
        """Count the combinations of the dimensions from `index` on, given the values of those before."""
        while index < len(self._dimensions) and not self._dimensions[index].active(values):
            index += 1
        if index == len(self._dimensions):
            return 1
        return sum(count * width for _, count, width in self._spans(index, values))

    def _spans(self, index: int, values: Values) -> list[_Span]:
        """Return the spans of a dimension that exists, given the values of those before; without empty ones."""
        key = (index, *((name, self._class_of(name, values[name])) for name in self._matter[index] if name in values))
        if key not in self._known:
            named = [each for each in self.space.requirements if self._dimensions[index].name in each.names]
            stretches = self._stretches[index]
            self._known[key] = [
                span for first, count in stretches for span in self._allowed(index, values, first, count, named)
            ]
        return self._known[key]

    def _allowed(
        self, index: int, values: Values, first: int, count: int, requirements: "Sequence[Requirement]"
    ) -> Iterator[_Span]:
        """Yield the spans of a stretch of values, halved until each requirement is decided or a single value is left."""
        undecided = []
        for each in requirements:
            may_hold, may_fail = self._outcomes(each, index, values, first, count)
            if not may_hold:
                return
            if may_fail:
                undecided.append(each)
        if undecided and count > 1:
            half = count // 2
            yield from self._allowed(index, values, first, half, undecided)
            yield from self._allowed(index, values, first + half, count - half, undecided)
            return
        width = self._below(index + 1, {**values, self._dimensions[index].name: self._values[index][first]})
        if width:
            yield first, count, width

    def _outcomes(
        self, requirement: "Requirement", index: int, values: Values, first: int, count: int
    ) -> tuple[bool, bool]:
        """Return whether a requirement may hold, and may fail, where a dimension has one of some values."""
        self._checks += 1
        if self._checks > MOST_CHECKS:
            raise TooManyCombinations(
                f"it would take more than {MOST_CHECKS:,} looks to count the combinations that the requirements allow"
            )
        return self._requirements.of(requirement, index, values, first, count)

    @cached_property
    def _requirements(self) -> "Outcomes":
        from cloudtune.space.outcomes import Outcomes  # noqa: PLC0415  # few spaces have requirements

        return Outcomes(self.space, self._values)

    # Conditions

    @cached_property
    def _stretches(self) -> list[list[tuple[int, int]]]:
        """For each dimension, the stretches (first index, count) of values with the same conditions below.

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
    def _matter(self) -> list[list[str]]:
        """For each dimension, the earlier names on which it or a later one depends."""
        matter: list[list[str]] = []
        names: frozenset[str] = frozenset()
        for index in reversed(range(len(self._dimensions))):
            dimension = self._dimensions[index]
            names |= frozenset(dimension.parameter.when or ())
            for requirement in self.space.requirements:
                if dimension.name in requirement.names:
                    names |= requirement.names
            matter.append(sorted(names & {earlier.name for earlier in self._dimensions[:index]}))
        return matter[::-1]

    def _class_of(self, name: str, value: Scalar) -> object:
        """Return what counts depend on: the key of a value that requirements or conditions name, None for any other."""
        key = scalar_key(value)
        return key if name in self._required or key in self._named[name] else None

    @cached_property
    def _required(self) -> frozenset[str]:
        return frozenset[str]().union(*(requirement.names for requirement in self.space.requirements))

    @cached_property
    def _named(self) -> dict[str, set[tuple[bool, Scalar]]]:
        named: dict[str, set[tuple[bool, Scalar]]] = {}
        for dimension in self._dimensions:
            for parent, values in (dimension.parameter.when or {}).items():
                named.setdefault(parent, set()).update(map(scalar_key, values))
        return named


def count_of(space: Space, levels: int | None = None) -> int | None:
    """Return the number of combinations of a space; None where it is infinite, or too long to count.

    Args:
        space: the space.
        levels: values of a continuous axis; None to take none of them.
    """
    if levels is None and space.size is None:
        return None
    try:
        return Combinations(space, levels or 1).size
    except TooManyCombinations:
        return None


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
