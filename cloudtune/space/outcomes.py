"""Whether a requirement may hold, and may fail, in a part of the combinations of a space's values."""

from collections.abc import Mapping, Sequence

from cloudtune.space.parameters import Scalar
from cloudtune.space.requirements.ranges import ABSENT, NOTHING, Range, Ranges
from cloudtune.space.requirements.requirement import Requirement
from cloudtune.space.space import Space


class Outcomes:
    """Judges requirements while the values of a space are chosen one dimension after the other.

    Args:
        space: the space.
        values: that each dimension may have, in their order.
    """

    def __init__(self, space: Space, values: Sequence[Sequence[Scalar]]) -> None:
        self._dimensions = space.dimensions
        self._values = values
        self._hulls = [_hull(each, 0, len(each)) for each in values]
        self._last = {
            requirement.text: max(
                index for index, dimension in enumerate(space.dimensions) if dimension.name in requirement.names
            )
            for requirement in space.requirements
        }  # the last dimension that each requirement names

    def of(
        self, requirement: Requirement, index: int, values: Mapping[str, Scalar], first: int, count: int
    ) -> tuple[bool, bool]:
        """Return whether a requirement may hold, and may fail, where a dimension has one of some values.

        Args:
            requirement: of the space.
            index: of the dimension.
            values: of the dimensions before it, by name.
            first: the index of the dimension's first value.
            count: the number of its values from there.
        """
        name = self._dimensions[index].name
        if count == 1 and self._last[requirement.text] <= index:
            holds = requirement.holds({**values, name: self._values[index][first]})
            return holds, not holds

        def range_of(asked: str) -> Range:
            if asked == name:
                return _hull(self._values[index], first, count)
            if asked in values:
                return _hull((values[asked],), 0, 1)
            return self._later_range(asked, index)

        return Ranges(range_of).outcomes(requirement.node)

    def _later_range(self, name: str, index: int) -> Range:
        """Return the range of a parameter that is chosen after a dimension; absent where it is not."""
        found, surely = NOTHING, False
        for later in range(index + 1, len(self._dimensions)):
            if self._dimensions[later].name == name:
                found = found.union(self._hulls[later])
                surely = surely or not self._dimensions[later].parameter.when
        return found if surely else Range(found.low, found.high, found.others, ABSENT)


def _hull(values: Sequence[Scalar], first: int, count: int) -> Range:
    """Return the range of some neighbouring values: numbers that increase, or any values of a list."""
    if not isinstance(values, tuple):
        low, high = values[first], values[first + count - 1]
        assert isinstance(low, int | float)
        assert isinstance(high, int | float)
        return Range(low, high)
    numbers, others = [], []
    for each in values[first : first + count]:
        if isinstance(each, int | float) and not isinstance(each, bool):
            numbers.append(each)
        else:
            others.append(each)
    return (
        Range(min(numbers), max(numbers), tuple(others)) if numbers else Range(NOTHING.low, NOTHING.high, tuple(others))
    )
