"""The requirements of a space for many rows at once, and rows drawn where they hold.

In floats, and with a tolerance in favour of a row, which the exact check of `Space.allows` does not have: what decides
is that check of the trial in the end.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cloudtune.search.arrays import Array, Indices, Mask
from cloudtune.search.encoding import Encoding
from cloudtune.space.axes import Axis, ListedAxis
from cloudtune.space.parameters import Scalar, scalar_key
from cloudtune.space.region import region_of
from cloudtune.space.requirements.algebra import Algebra
from cloudtune.space.requirements.nodes import Node

_FALSE, _TRUE, _UNDEFINED, _ABSENT = 0, 1, 2, 3
"""The outcomes of a condition; the latter two also tell why a value is none."""

_TOLERANCE = 1e-10
"""Relative to the largest number on the way to a comparison."""

_LARGEST = 1e308

_HALVINGS = 12
_LEAST = 24
"""Points of a sample that are searched for one by one, where draws from the cover give fewer."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A value for each of n rows.

    Attributes:
        numbers: n numbers, NaN for what is none.
        size: n magnitudes of the largest numbers that led there.
        codes: n identities of what is no number; -1 for a number.
        missing: n times why there is no value: `_UNDEFINED` or `_ABSENT`, 0 where there is one.
    """

    numbers: Array
    size: Array
    codes: Indices
    missing: Indices


class _Columns(Algebra[_Column, Indices]):
    """Evaluates for n rows.

    Args:
        count: n.
        parameter: returns the column of a parameter.
        code: returns the identity of what is no number.
    """

    def __init__(self, count: int, parameter: Callable[[str], _Column], code: Callable[[Scalar], int]) -> None:
        self._count, self._parameter, self._code = count, parameter, code

    def literal(self, value: Scalar) -> _Column:
        number = float(value) if _is_number(value) else np.nan  # type: ignore[arg-type]
        numbers = np.full(self._count, number)
        return self._column(numbers, np.abs(numbers), -1 if _is_number(value) else self._code(value))

    def _column(self, numbers: Array, size: Array, codes: Indices | int = -1, missing: Indices | int = 0) -> _Column:
        shape = np.zeros(self._count, dtype=np.intp)
        return _Column(numbers, size, shape + codes, shape + missing)

    def parameter(self, name: str) -> _Column:
        return self._parameter(name)

    def rank(self, value: _Column, order: Sequence[Scalar]) -> _Column:
        numbers = np.full(self._count, np.nan)
        for place, each in enumerate(order):
            numbers[value.codes == self._code(each)] = place
        return self._column(numbers, np.zeros(self._count), -1, value.missing)

    def operation(self, operator: str, operands: Sequence[_Column]) -> _Column:
        missing = _first_missing([operand.missing for operand in operands])
        numbers = _OPERATIONS[operator](*(operand.numbers for operand in operands))
        undefined = ~(np.abs(numbers) <= _LARGEST)
        missing = np.where((missing == 0) & undefined, _UNDEFINED, missing)
        size = np.maximum.reduce([np.abs(numbers), *(operand.size for operand in operands)])
        return self._column(numbers, size, -1, missing)

    def comparison(self, operator: str, left: _Column, right: _Column) -> Indices:
        missing = _first_missing([left.missing, right.missing])
        slack = _TOLERANCE * np.maximum(left.size, right.size)
        numeric = (left.codes < 0) & (right.codes < 0)
        if operator == "==":
            near = np.abs(left.numbers - right.numbers) <= slack
            found = np.where(np.where(numeric, near, left.codes == right.codes), _TRUE, _FALSE)
        elif operator == "!=":
            same = np.where(numeric, left.numbers == right.numbers, left.codes == right.codes)
            found = np.where(same, _FALSE, _TRUE)
        else:
            found = np.where(_ORDERS[operator](left.numbers, right.numbers, slack), _TRUE, _FALSE)
            missing = np.where((missing == 0) & ~numeric, _UNDEFINED, missing)
        return np.where(missing > 0, missing, found)

    def member(self, value: _Column, values: Sequence[Scalar]) -> Indices:
        found = self.comparison("==", value, self.literal(values[0]))
        for each in values[1:]:
            found = np.maximum(found, self.comparison("==", value, self.literal(each)))
        return found

    def truth(self, value: _Column) -> Indices:
        found = np.full(self._count, _UNDEFINED)
        found[value.codes == self._code(True)] = _TRUE
        found[value.codes == self._code(False)] = _FALSE
        return np.where(value.missing > 0, value.missing, found)

    def negation(self, truth: Indices) -> Indices:
        return np.where(truth <= _TRUE, _TRUE - truth, truth)

    def both(self, left: Indices, right: Callable[[], Indices]) -> Indices:
        return np.where(left == _TRUE, right(), left)

    def either(self, left: Indices, right: Callable[[], Indices]) -> Indices:
        return np.where(left == _FALSE, right(), left)


class Feasible:
    """Tells which rows meet the requirements of a space, and draws rows that do.

    Args:
        encoding: of the space, which has requirements.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._space = encoding.space
        self._codes: dict[tuple[bool, Scalar], int] = {}
        self._columns = {
            index: _reader(dimension.axis, self._code) for index, dimension in enumerate(self._space.dimensions)
        }

    def _code(self, value: Scalar) -> int:
        return self._codes.setdefault(scalar_key(value), len(self._codes))

    def __call__(self, rows: Array) -> Mask:
        """Return which of n × d rows (see `Encoding`) meet the requirements."""
        allowed = np.ones(len(rows), dtype=bool)
        known: dict[str, _Column] = {}

        def parameter(name: str) -> _Column:
            if name not in known:
                known[name] = self._column(name, rows)
            return known[name]

        algebra = _Columns(len(rows), parameter, self._code)
        with np.errstate(all="ignore"):
            for requirement in self._space.requirements:
                allowed &= self._outcome(algebra, requirement.node)
        return allowed

    def _outcome(self, algebra: _Columns, node: Node) -> Mask:
        found = algebra.condition(node)
        holds: Mask = (found == _TRUE) | (found == _ABSENT)
        return holds

    def _column(self, name: str, rows: Array) -> _Column:
        count = len(rows)
        numbers, codes = np.full(count, np.nan), np.full(count, -1)
        missing = np.full(count, _ABSENT)
        for index, dimension in enumerate(self._space.dimensions):
            if dimension.name == name:
                exists = ~np.isnan(rows[:, index])
                numbers[exists], codes[exists] = self._columns[index](rows[exists, index])
                missing[exists] = 0
        return _Column(numbers, np.nan_to_num(np.abs(numbers)), codes, missing)

    def exactly(self, row: Array) -> bool:
        """Return whether the trial of a row meets the requirements."""
        return self._space.allows(self._encoding.values(row))

    # Draws

    @cached_property
    def _leaves(self) -> tuple[Array, Array, Array]:
        """The lower corners, the widths and the cumulated shares of the boxes that cover the region."""
        boxes = region_of(self._space).boxes()
        lower, upper = np.array([low for low, _, _ in boxes]), np.array([high for _, high, _ in boxes])
        return lower, upper - lower, np.cumsum([volume for _, _, volume in boxes])

    def sample(self, source: np.random.Generator, count: int) -> Array:
        """Return up to n × d points of the unit cube whose trials meet the requirements, at least one."""
        lower, width, cumulated = self._leaves
        tries = int(min(count / max(region_of(self._space).acceptance, 0.05), 8 * count))
        chosen = np.searchsorted(cumulated, source.random(tries) * cumulated[-1], side="right")
        chosen = np.minimum(chosen, len(cumulated) - 1)
        raw: Array = lower[chosen] + source.random((tries, lower.shape[1])) * width[chosen]
        raw = raw[self(self._encoding.snap(raw))][:count]
        few = min(count, _LEAST) - len(raw)
        if few <= 0:
            return raw
        return np.vstack([raw, *(self._searched(source) for _ in range(few))])

    def _searched(self, source: np.random.Generator) -> Array:
        values = region_of(self._space).draw(random.Random(int(source.integers(2**63))))  # noqa: S311
        (row,) = self._encoding.rows([values])
        filled: Array = np.where(np.isnan(row), 0.5, row)
        return filled

    def back(self, starts: Array, ends: Array) -> Array:
        """Return, for each of n points on the ways from starts that are allowed to ends, the last that is found allowed."""
        reached, share = starts.copy(), np.zeros(len(starts))
        whole = self(self._encoding.snap(ends))
        reached[whole], share[whole] = ends[whole], 1.0
        width = 0.5
        for _ in range(_HALVINGS):
            tried = share + np.where(whole, 0.0, width)
            points = starts + tried[:, None] * (ends - starts)
            better = self(self._encoding.snap(points)) & ~whole
            reached[better], share[better] = points[better], tried[better]
            width /= 2
        return reached


_Read = Callable[[Array], tuple[Array, Indices]]


def _reader(axis: Axis, code: Callable[[Scalar], int]) -> _Read:
    """Return what reads n positions of an axis as numbers (NaN for none) and identities of what is no number."""
    if isinstance(axis, ListedAxis):
        values = np.array([float(each) if _is_number(each) else np.nan for each in axis.values])  # type: ignore[arg-type]
        codes = np.array([-1 if _is_number(each) else code(each) for each in axis.values])
        size = len(values)

        def listed(positions: Array) -> tuple[Array, Indices]:
            index = np.minimum((positions * size).astype(int), size - 1)
            return values[index], codes[index]

        return listed

    def numbers(positions: Array) -> tuple[Array, Indices]:
        found = np.array([axis.at(position) for position in positions.tolist()], dtype=float)
        return found, np.full(len(found), -1)

    return numbers


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _first_missing(each: Sequence[Indices]) -> Indices:
    found = each[0]
    for missing in each[1:]:
        found = np.where(found > 0, found, missing)
    return found


_ORDERS: Mapping[str, Callable[[Array, Array, Array], Mask]] = {
    "<": lambda left, right, slack: left < right + slack,
    "<=": lambda left, right, slack: left <= right + slack,
    ">": lambda left, right, slack: left > right - slack,
    ">=": lambda left, right, slack: left >= right - slack,
}

_OPERATIONS: Mapping[str, Callable[..., Array]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "//": np.floor_divide,
    "%": np.mod,
    "**": np.power,
    "neg": np.negative,
    "abs": np.abs,
    "min": lambda *each: np.minimum.reduce(each),
    "max": lambda *each: np.maximum.reduce(each),
    "floor": np.floor,
    "ceil": np.ceil,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
}
