"""Evaluate a requirement for all trials of a box at once: interval arithmetic, with outcomes as sets.

What is returned contains what any trial of the box gives; it may contain more. So a requirement that fails for a box
fails for each of its trials, and one that holds for a box holds for each.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

from cloudtune.space.parameters import Scalar, same_scalar
from cloudtune.space.requirements.algebra import Algebra
from cloudtune.space.requirements.nodes import Node

TRUE, FALSE, UNDEFINED, ABSENT = 1, 2, 4, 8
"""The outcomes of a condition, as bits of a set of them: UNDEFINED where a part has no value, ABSENT where a parameter has none."""

_LARGEST = 1e308
_SLACK = 1e-14
"""The relative error of a float operation beside the decimal one, with a margin."""

_TINY = 5e-324
_WHOLE = 2.0**53
_QUOTIENT = 1e33
"""Beyond it a whole quotient has no value in decimals."""


@dataclass(frozen=True, slots=True)
class Range:
    """The values that something may have in a box.

    Attributes:
        low: the lowest number.
        high: the highest number, below `low` where there is none.
        others: the values that are no numbers.
        flags: `UNDEFINED` and `ABSENT`, where it may have no value.
    """

    low: float
    high: float
    others: tuple[Scalar, ...] = ()
    flags: int = 0

    @property
    def numeric(self) -> bool:
        """Whether it may be a number."""
        return self.low <= self.high

    @property
    def exists(self) -> bool:
        """Whether it may have a value."""
        return self.low <= self.high or bool(self.others)

    def union(self, other: "Range") -> "Range":
        """Return the values of both."""
        others = tuple(each for each in other.others if not any(same_scalar(each, own) for own in self.others))
        return Range(
            min(self.low, other.low), max(self.high, other.high), self.others + others, self.flags | other.flags
        )


NOTHING = Range(math.inf, -math.inf)


class Ranges(Algebra[Range, int]):
    """Evaluates for a box.

    Args:
        of: returns the range of a parameter.
    """

    def __init__(self, of: Callable[[str], Range]) -> None:
        self._of = of

    def outcomes(self, node: Node) -> tuple[bool, bool]:
        """Return whether a requirement may hold for a trial of the box, and whether it may fail for one."""
        found = self.condition(node)
        return bool(found & (TRUE | ABSENT)), bool(found & (FALSE | UNDEFINED))

    def literal(self, value: Scalar) -> Range:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return Range(math.inf, -math.inf, (value,))
        number = float(value)
        return Range(*_widened(number, number, whole=abs(value) < _WHOLE and float(value).is_integer()))

    def parameter(self, name: str) -> Range:
        return self._of(name)

    def rank(self, value: Range, order: Sequence[Scalar]) -> Range:
        places = [order.index(each) for each in value.others if each in order]
        if not places:
            return replace(NOTHING, flags=value.flags)
        return Range(min(places), max(places), (), value.flags)

    def operation(self, operator: str, operands: Sequence[Range]) -> Range:
        flags = 0
        for operand in operands:
            flags |= operand.flags | (UNDEFINED if operand.others else 0)
            if not operand.exists:
                break
        if not all(operand.numeric for operand in operands):
            return replace(NOTHING, flags=flags)
        low, high, more = _OPERATIONS[operator](*((each.low, each.high) for each in operands))
        whole = operator in _WHOLE_OPERATIONS and all(
            each.low.is_integer() and each.high.is_integer() for each in map(_floats, operands)
        )
        low, high = _widened(low, high, whole=whole)
        flags |= more
        if math.isnan(low) or math.isnan(high):
            return Range(-_LARGEST, _LARGEST, (), flags | UNDEFINED)
        if high > _LARGEST or low < -_LARGEST:
            flags |= UNDEFINED
            low, high = max(low, -_LARGEST), min(high, _LARGEST)
        return Range(low, high, (), flags)

    def comparison(self, operator: str, left: Range, right: Range) -> int:
        flags = left.flags | (right.flags if left.exists else 0)
        if not (left.exists and right.exists):
            return flags
        if operator in ("==", "!="):
            return flags | _equal(left, right, yes=TRUE if operator == "==" else FALSE)
        if left.others or right.others:
            flags |= UNDEFINED
        if not (left.numeric and right.numeric):
            return flags
        if operator in (">", ">="):
            left, right, operator = right, left, "<" if operator == ">" else "<="
        strict = operator == "<"
        may = left.low < right.high if strict else left.low <= right.high
        fail = left.high >= right.low if strict else left.high > right.low
        return flags | (TRUE if may else 0) | (FALSE if fail else 0)

    def member(self, value: Range, values: Sequence[Scalar]) -> int:
        found = self.comparison("==", value, self.literal(values[0]))
        for each in values[1:]:
            one = self.comparison("==", value, self.literal(each))
            may = (found | one) & TRUE
            fail = FALSE if found & one & FALSE else 0
            found = value.flags | may | fail
        return found

    def truth(self, value: Range) -> int:
        flags = value.flags | (UNDEFINED if value.numeric else 0)
        for each in value.others:
            flags |= (TRUE if each else FALSE) if isinstance(each, bool) else UNDEFINED
        return flags

    def negation(self, truth: int) -> int:
        turned = (FALSE if truth & TRUE else 0) | (TRUE if truth & FALSE else 0)
        return turned | truth & (UNDEFINED | ABSENT)

    def both(self, left: int, right: Callable[[], int]) -> int:
        return (left & ~TRUE) | (right() if left & TRUE else 0)

    def either(self, left: int, right: Callable[[], int]) -> int:
        return (left & ~FALSE) | (right() if left & FALSE else 0)


def _equal(left: Range, right: Range, yes: int) -> int:
    """Return the outcomes of a comparison for equality; `yes` is the one of equals."""
    no = TRUE + FALSE - yes
    alike = any(same_scalar(one, other) for one in left.others for other in right.others)
    overlap = left.numeric and right.numeric and left.low <= right.high and right.low <= left.high
    point = left.low == left.high == right.low == right.high and not left.others and not right.others
    single = len(left.others) == len(right.others) == 1 and alike and not left.numeric and not right.numeric
    return (yes if alike or overlap else 0) | (0 if point or single else no)


def _floats(each: Range) -> Range:
    return Range(float(each.low), float(each.high))


def _widened(low: float, high: float, *, whole: bool) -> tuple[float, float]:
    """Return an interval that holds the decimal results; that of whole numbers is exact."""
    if whole and low > -_WHOLE and high < _WHOLE:
        return low, high
    return low - _SLACK * abs(low) - _TINY, high + _SLACK * abs(high) + _TINY


# Operations: from the ends of the operands to those of the result, and `UNDEFINED` where it may have no value

_Ends = tuple[float, float]
_Result = tuple[float, float, int]


def _corners(operation: Callable[[float, float], float], left: _Ends, right: _Ends) -> _Result:
    found = [operation(one, other) for one, other in product(left, right)]
    return min(found), max(found), 0


def _times(one: float, other: float) -> float:
    return 0.0 if 0.0 in (one, other) else one * other


def _quotient(left: _Ends, right: _Ends) -> _Result:
    parts = [
        _corners(_divided, left, part)
        for part in ((right[0], min(right[1], -_TINY)), (max(right[0], _TINY), right[1]))
        if part[0] <= part[1]
    ]
    if not parts:
        return math.inf, -math.inf, UNDEFINED
    zero = UNDEFINED if right[0] <= 0 <= right[1] else 0
    return min(part[0] for part in parts), max(part[1] for part in parts), zero


def _divided(one: float, other: float) -> float:
    try:
        return one / other
    except OverflowError:
        return math.copysign(math.inf, one) * math.copysign(1.0, other)


def _whole_quotient(left: _Ends, right: _Ends) -> _Result:
    low, high, flags = _quotient(left, right)
    if low > high:
        return low, high, flags
    low, high = _widened(low, high, whole=False)
    if max(abs(low), abs(high)) > _QUOTIENT:
        return low, high, UNDEFINED
    return math.floor(low), math.floor(high), flags


def _remainder(left: _Ends, right: _Ends) -> _Result:
    low, high, flags = _whole_quotient(left, right)
    if low > high:
        return low, high, flags
    if right[0] == right[1] and low == high and abs(low) < _WHOLE:
        rest = low * right[0]
        return left[0] - rest - _SLACK * abs(rest), left[1] - rest + _SLACK * abs(rest), flags
    return min(right[0], 0.0), max(right[1], 0.0), flags


def _power(base: _Ends, exponent: _Ends) -> _Result:
    if exponent[0] == exponent[1] and float(exponent[0]).is_integer():
        return _whole_power(base, exponent[0])
    if base[0] < 0:
        return -math.inf, math.inf, UNDEFINED
    low, high, _ = _corners(_raised, base, exponent)
    if base[0] > 0:
        return low, high, 0
    return min(low, 0.0), high, UNDEFINED if exponent[0] < 0 else 0


def _whole_power(base: _Ends, exponent: float) -> _Result:
    if exponent < 0:
        low, high, flags = _whole_power(base, -exponent)
        one: _Ends = 1.0, 1.0
        below, above, more = _quotient(one, (low, high))
        return below, above, flags | more
    ends = [_raised(base[0], exponent), _raised(base[1], exponent)]
    inside = [0.0] if base[0] < 0 < base[1] and exponent % 2 == 0 and exponent else []
    return min(ends + inside), max(ends + inside), 0


def _raised(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and exponent % 2 == 1 else math.inf
    except ValueError:  # zero to a negative power
        return math.inf


def _monotone(function: Callable[[float], float], least: float) -> Callable[[_Ends], _Result]:
    """Return the operation of an increasing function that has values from `least` on, or above it."""

    def operation(ends: _Ends) -> _Result:
        flags = UNDEFINED if ends[0] < least or (least == _TINY and ends[0] <= 0) else 0
        if ends[1] < least:
            return math.inf, -math.inf, UNDEFINED
        return function(max(ends[0], least)), function(ends[1]), flags

    return operation


def _exponential(value: float) -> float:
    return math.exp(min(value, 709.7)) if value < 709.7 else math.inf


def _magnitude(ends: _Ends) -> _Result:
    low = 0.0 if ends[0] <= 0 <= ends[1] else min(abs(ends[0]), abs(ends[1]))
    return low, max(abs(ends[0]), abs(ends[1])), 0


_OPERATIONS: dict[str, Callable[..., _Result]] = {
    "+": lambda left, right: (left[0] + right[0], left[1] + right[1], 0),
    "-": lambda left, right: (left[0] - right[1], left[1] - right[0], 0),
    "*": lambda left, right: _corners(_times, left, right),
    "/": _quotient,
    "//": _whole_quotient,
    "%": _remainder,
    "**": _power,
    "neg": lambda ends: (-ends[1], -ends[0], 0),
    "abs": _magnitude,
    "min": lambda *each: (min(low for low, _ in each), min(high for _, high in each), 0),
    "max": lambda *each: (max(low for low, _ in each), max(high for _, high in each), 0),
    "floor": lambda ends: (float(math.floor(ends[0])), float(math.floor(ends[1])), 0),
    "ceil": lambda ends: (float(math.ceil(ends[0])), float(math.ceil(ends[1])), 0),
    "sqrt": _monotone(math.sqrt, 0.0),
    "exp": _monotone(_exponential, -math.inf),
    "log": _monotone(math.log, _TINY),
    "log2": _monotone(math.log2, _TINY),
    "log10": _monotone(math.log10, _TINY),
}

_WHOLE_OPERATIONS = ("+", "-", "*", "neg", "abs", "min", "max", "floor", "ceil", "//")
