"""Boxes of a space: parts of the unit cube, whose finite sides are whole numbers of values."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from math import nextafter

from cloudtune.space.axes import Axis, ListedAxis, NormalAxis, SteppedAxis
from cloudtune.space.parameters import Scalar, same_scalar
from cloudtune.space.requirements.ranges import ABSENT, NOTHING, Range, Ranges
from cloudtune.space.requirements.requirement import Requirement
from cloudtune.space.space import Dimension, Space

Interval = tuple[float, float]
"""The ends of a side: positions of a continuous axis; of a finite one the first index and the one after the last."""

Box = tuple[Interval, ...]
"""An interval for each dimension of the space."""

_NARROWEST = 1e-13


def _steps(axis: Axis) -> ListedAxis | SteppedAxis | NormalAxis | None:
    """Return a finite axis as one with edges; None for a continuous one."""
    assert isinstance(axis, ListedAxis | SteppedAxis | NormalAxis) or axis.size is None
    return None if axis.size is None else axis  # type: ignore[return-value]  # see the assertion


class Boxes:
    """Cuts the unit cube of a space into boxes, and finds out whether their trials meet the requirements.

    Args:
        space: the space.
        given: values that the trials have, by name.
    """

    def __init__(self, space: Space, given: Mapping[str, Scalar] | None = None) -> None:
        self.space = space
        self._axes = [_steps(dimension.axis) for dimension in space.dimensions]
        self._named: dict[str, list[int]] = {}
        for index, dimension in enumerate(space.dimensions):
            self._named.setdefault(dimension.name, []).append(index)
        self._matter = [self._those_that_matter(requirement) for requirement in space.requirements]
        self._ranges: dict[tuple[int, Interval], Range] = {}
        self._fixed = {
            index: side
            for name, value in (given or {}).items()
            for index in self._named[name]
            if (side := self._side_of(index, value)) is not None
        }

    def _side_of(self, dimension: int, value: Scalar) -> Interval | None:
        """Return the side that has a single value; None where the dimension never takes it."""
        try:
            position = self.space.dimensions[dimension].axis.position(value)
        except ValueError:
            return None
        axis = self._axes[dimension]
        if axis is None:
            return position, position
        first, last = 0, (axis.size or 1) - 1
        while first < last:
            middle = (first + last + 1) // 2
            first, last = (middle, last) if axis.edge(middle) <= position else (first, middle - 1)
        return first, first + 1

    @cached_property
    def whole(self) -> Box:
        """All of the unit cube, as far as no values are given."""
        return tuple(
            self._fixed.get(index, (0.0, 1.0) if axis is None else (0, axis.size or 0))
            for index, axis in enumerate(self._axes)
        )

    def _those_that_matter(self, requirement: Requirement) -> frozenset[int]:
        """Return the dimensions on which a requirement depends: those it names, and the parents of these."""
        names, found = set(requirement.names), set[int]()
        while names:
            for index in self._named[names.pop()]:
                if index not in found:
                    found.add(index)
                    names |= set(self.space.dimensions[index].parameter.when or ())
        return frozenset(found)

    # Sides

    def ends(self, dimension: int, side: Interval) -> Interval:
        """Return the positions at which a side begins and ends."""
        axis = self._axes[dimension]
        return side if axis is None else (axis.edge(int(side[0])), axis.edge(int(side[1])))

    def width(self, dimension: int, side: Interval) -> float:
        """Return the share of a side in its axis."""
        if dimension in self._fixed:
            return 1.0
        low, high = self.ends(dimension, side)
        return high - low

    def volume(self, box: Box) -> float:
        """Return the share of the space's trials that lie in a box."""
        volume = 1.0
        for dimension, side in enumerate(box):
            volume *= self.width(dimension, side)
        return volume

    def divisible(self, dimension: int, side: Interval) -> bool:
        """Return whether a side can be cut."""
        if self._axes[dimension] is not None:
            return side[1] - side[0] > 1
        return side[1] - side[0] > _NARROWEST

    def cut(self, dimension: int, side: Interval) -> float:
        """Return where a side is cut so that the halves are about equal: an index of a finite axis, else a position."""
        axis = self._axes[dimension]
        if axis is None:
            return (side[0] + side[1]) / 2
        low, high = self.ends(dimension, side)
        first, last = int(side[0]) + 1, int(side[1]) - 1
        while first < last:
            middle = (first + last) // 2
            first, last = (middle + 1, last) if axis.edge(middle) < (low + high) / 2 else (first, middle)
        return first

    def halves(self, box: Box, dimension: int) -> tuple[Box, Box]:
        """Return the two parts of a box that is cut across a dimension."""
        side = box[dimension]
        middle = self.cut(dimension, side)
        before, after = box[:dimension], box[dimension + 1 :]
        return (*before, (side[0], middle), *after), (*before, (middle, side[1]), *after)

    # Requirements

    def undecided(self, box: Box, among: Iterable[int] | None = None) -> tuple[int, ...] | None:
        """Return which requirements some of a box's trials may meet, and others not; None where none may meet one.

        Args:
            box: the box.
            among: indices of the requirements to look at, where all of its trials meet the others; None for all.
        """
        found = []
        for index in range(len(self._matter)) if among is None else among:
            may_hold, may_fail = self._outcomes(box, self.space.requirements[index], self._matter[index])
            if not may_hold:
                return None
            if may_fail:
                found.append(index)
        return tuple(found)

    def to_cut(self, box: Box, undecided: Iterable[int]) -> int | None:
        """Return the dimension across which a box is best cut to decide requirements; None where no cut would."""
        widest, found = 0.0, None
        for index in undecided:
            for dimension in sorted(self._matter[index]):
                width = self.width(dimension, box[dimension])
                if width > widest and self.divisible(dimension, box[dimension]):
                    widest, found = width, dimension
        return found

    def _outcomes(self, box: Box, requirement: Requirement, matter: frozenset[int]) -> tuple[bool, bool]:
        if not any(self.divisible(dimension, box[dimension]) for dimension in matter):
            holds = requirement.holds(self._values(box, matter))
            return holds, not holds
        return Ranges(lambda name: self._range(box, name)).outcomes(requirement.node)

    def _values(self, box: Box, matter: frozenset[int]) -> Mapping[str, Scalar]:
        """Return the values of some dimensions in a box in which each has one."""
        values: dict[str, Scalar] = {}
        for dimension in sorted(matter):
            each, axis = self.space.dimensions[dimension], self._axes[dimension]
            if each.active(values):
                first = box[dimension][0]
                values[each.name] = each.axis.at(first) if axis is None else axis.value(int(first))
        return values

    def _range(self, box: Box, name: str) -> Range:
        found, surely = NOTHING, False
        for dimension in self._named[name]:
            exists = self._exists(box, self.space.dimensions[dimension])
            if exists is not False:
                found = found.union(self._side_range(dimension, box[dimension]))
                surely = surely or exists is True
        return found if surely else Range(found.low, found.high, found.others, ABSENT)

    def _exists(self, box: Box, dimension: Dimension) -> bool | None:
        """Return whether a dimension exists in the trials of a box; None where it does in some."""
        verdict: bool | None = True
        for parent, alloweds in (dimension.parameter.when or {}).items():
            found = self._range(box, parent)
            values = [*found.others, *([found.low] if found.low == found.high else [])]
            hits = [any(same_scalar(value, allowed) for allowed in alloweds) for value in values]
            open_ended = found.low < found.high and any(
                isinstance(allowed, int | float) and found.low <= allowed <= found.high for allowed in alloweds
            )
            if not any(hits) and not open_ended:
                return False
            if found.flags or found.low < found.high or not all(hits):
                verdict = None
        return verdict

    def _side_range(self, dimension: int, side: Interval) -> Range:
        key = (dimension, side)
        if key not in self._ranges:
            if len(self._ranges) > 100_000:
                self._ranges.clear()
            self._ranges[key] = self._new_range(dimension, side)
        return self._ranges[key]

    def _new_range(self, dimension: int, side: Interval) -> Range:
        axis = self._axes[dimension]
        if axis is None:
            real = self.space.dimensions[dimension].axis
            high = side[1] if side[1] == 1.0 else nextafter(side[1], 0.0)
            return Range(_number(real.at(side[0])), _number(real.at(high)))
        first, last = int(side[0]), int(side[1]) - 1
        if not isinstance(axis, ListedAxis):
            return Range(_number(axis.value(first)), _number(axis.value(last)))
        listed = axis.values[first : last + 1]
        numbers = [each for each in listed if isinstance(each, int | float) and not isinstance(each, bool)]
        others = tuple(each for each in listed if isinstance(each, bool) or not isinstance(each, int | float))
        return Range(min(numbers), max(numbers), others) if numbers else Range(NOTHING.low, NOTHING.high, others)


def _number(value: Scalar) -> float:
    assert isinstance(value, int | float)
    return value
