"""Map between a parameter's values and positions on the unit interval.

An axis maps the unit interval onto the values of a parameter so that uniform positions give the distribution that
the spec asks for (its quantile function), and maps every value back to its position. Values are *canonical*: rounded
to what survives a codec and a text, so that every strategy on every provider uses exactly the same number.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Protocol

from cloudtune.space.parameters import (
    Categorical,
    Constant,
    Float,
    Int,
    LogNormal,
    Normal,
    Ordinal,
    Parameter,
    Scalar,
    same_scalar,
)

if TYPE_CHECKING:
    from statistics import NormalDist

SIGNIFICANT_DIGITS = 12
"""Significant digits kept of a real value: more than a training script needs, fewer than log and exp distort."""

TAIL = 1e-7
"""Probability cut from each tail of a normal distribution, so that its inverse stays finite (±5.2 std)."""

NORMAL_DIGITS = 7
"""Digits kept of a deviation: converting to a probability near 1 and back distorts the tenth digit."""


@cache
def _standard_normal() -> "NormalDist":
    from statistics import NormalDist  # noqa: PLC0415  # loads fractions and random, and few spaces need it

    return NormalDist()


class Axis(Protocol):
    """The positions and values of one parameter."""

    @property
    def size(self) -> int | None:
        """Number of values; None for a continuous axis."""

    @property
    def ordered(self) -> bool:
        """Whether near positions mean near values (false for categorical)."""

    def at(self, position: float) -> Scalar:
        """Return the canonical value at a position in [0, 1]; uniform positions give the specified distribution."""

    def position(self, value: Scalar) -> float:
        """Return the position of a value in [0, 1], so that at(position(v)) == v for every canonical v.

        Raises:
            ValueError: the axis has no such value.
        """

    def grid(self, levels: int) -> Sequence[Scalar]:
        """Return all values of a finite axis, else `levels` values at equally spaced positions, ends included."""


class ListedAxis:
    """A finite axis of listed values, all equally likely."""

    def __init__(self, values: Sequence[Scalar], *, ordered: bool) -> None:
        self.values = tuple(values)
        self.ordered = ordered
        self.size = len(self.values)

    def at(self, position: float) -> Scalar:
        return self.values[min(int(position * self.size), self.size - 1)]

    def position(self, value: Scalar) -> float:
        return (self.index(value) + 0.5) / self.size

    def value(self, index: int) -> Scalar:
        """Return the value at an index."""
        return self.values[index]

    def edge(self, index: int) -> float:
        """Return the position from which on the values are of this index or above."""
        return index / self.size

    def index(self, value: Scalar) -> int:
        """Return the index of a value in the list.

        Raises:
            ValueError: the axis has no such value.
        """
        for index, known in enumerate(self.values):
            if same_scalar(known, value):
                return index
        raise ValueError(f"{value!r} is none of {list(self.values)}")

    def grid(self, levels: int) -> Sequence[Scalar]:  # noqa: ARG002  # a finite axis has its own levels
        return self.values


class _Scale:
    """A monotone map from values to the line on which they are uniform: linear, log or reverse_log."""

    def __init__(self, name: str) -> None:
        self.name = name

    def forward(self, value: float) -> float:
        if self.name == "log":
            return math.log(value)
        return -math.log1p(-value) if self.name == "reverse_log" else value

    def back(self, point: float) -> float:
        if self.name == "log":
            return math.exp(point)
        return -math.expm1(-point) if self.name == "reverse_log" else point


class SteppedAxis:
    """A finite axis of equally stepped numbers, on any scale.

    Each value covers the interval of half a step to both sides, and its probability is the width of that interval
    on the scale: on a linear scale all values are equally likely.
    """

    ordered = True

    def __init__(self, low: float, step: float, size: int, scale: str, *, whole: bool) -> None:
        self.size = size
        self._low, self._step, self._whole = low, step, whole
        self._exact_low, self._exact_step = Decimal(repr(low)), Decimal(repr(step))
        self._scale = _Scale(scale)
        high = low + step * (size - 1)
        bottom, top = low - step / 2, high + step / 2
        if scale == "log" and bottom <= 0:
            bottom = low / 2
        if scale == "reverse_log":
            bottom, top = max(bottom, 0.0), min(top, (1 + high) / 2)
        self._bottom, self._top = self._scale.forward(bottom), self._scale.forward(top)

    def value(self, index: int) -> int | float:
        """Return the value at an index, computed in decimals to avoid binary rounding: 0.1 + 2 · 0.1 is 0.3."""
        if self._whole:
            return int(self._low) + index * int(self._step)
        return float(self._exact_low + index * self._exact_step)

    def index(self, value: Scalar) -> int:
        """Return the index of a value.

        Raises:
            ValueError: the axis has no such value.
        """
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{value!r} is not a number")
        index = round((value - self._low) / self._step)
        if not 0 <= index < self.size or not math.isclose(self.value(index), value, rel_tol=1e-9, abs_tol=1e-12):
            first, second, last = self.value(0), self.value(1 % self.size), self.value(self.size - 1)
            raise ValueError(f"{value!r} is none of {first}, {second}, …, {last}")
        return index

    def at(self, position: float) -> int | float:
        if self._scale.name == "linear":
            return self.value(min(int(position * self.size), self.size - 1))
        value = self._scale.back(self._bottom + position * (self._top - self._bottom))
        return self.value(min(max(math.floor((value - self._low) / self._step + 0.5), 0), self.size - 1))

    def edge(self, index: int) -> float:
        """Return the position from which on the values are of this index or above."""
        if self._scale.name == "linear" or index in (0, self.size):
            return index / self.size
        between = self._low + (index - 0.5) * self._step
        return (self._scale.forward(between) - self._bottom) / (self._top - self._bottom)

    def position(self, value: Scalar) -> float:
        index = self.index(value)
        if self._scale.name == "linear" or self.size == 1:
            return (index + 0.5) / self.size
        return (self._scale.forward(self.value(index)) - self._bottom) / (self._top - self._bottom)

    def grid(self, levels: int) -> Sequence[Scalar]:  # noqa: ARG002  # a finite axis has its own levels
        return _SteppedValues(self)


class _SteppedValues(Sequence[Scalar]):
    """All values of a stepped axis, computed on access: they may be far more than memory holds."""

    def __init__(self, axis: SteppedAxis) -> None:
        self._axis = axis

    def __len__(self) -> int:
        return self._axis.size

    def __getitem__(self, index: int) -> Scalar:  # type: ignore[override]  # slices are not needed
        if not 0 <= index < self._axis.size:
            raise IndexError(index)
        return self._axis.value(index)

    def __iter__(self) -> Iterator[Scalar]:
        return (self._axis.value(index) for index in range(self._axis.size))


@dataclass(frozen=True, slots=True)
class Rounding:
    """The rounding that makes the values of a real range canonical.

    A canonical value is an end of the range, or has few digits and lies at least one unit of its last digit away from
    both ends: rounding recovers a value that was distorted by less than half a unit. `cloudtune.trial` rounds alike.

    Attributes:
        low: the lowest value.
        high: the highest value.
        digits: digits kept: significant ones if `relative`, else decimals (negative: zeros before the point).
        relative: whether digits are counted from the first that is not 0; needs low > 0.
    """

    low: float
    high: float
    digits: int
    relative: bool

    @classmethod
    def of_range(cls, low: float, high: float, scale: str) -> "Rounding":
        """Return the rounding of all real numbers of a range on a scale."""
        digits = _decimals(high - low) if scale == "linear" else SIGNIFICANT_DIGITS
        return cls(low, high, digits, relative=scale == "log")

    def __call__(self, value: float) -> float:
        """Return the canonical value nearest to a value."""
        rounded = _few_digits(value, self.digits, relative=self.relative)
        unit = 10.0 ** (1 - self.digits if self.relative else -self.digits)
        if rounded - self.low < unit * (self.low if self.relative else 1.0):
            return self.low
        if self.high - rounded < unit * (self.high if self.relative else 1.0):
            return self.high
        return rounded


def _few_digits(value: float, digits: int, *, relative: bool) -> float:
    return float(f"{value:.{digits - 1}e}") if relative else round(value, digits)


class RealAxis:
    """Every real number of a range, on any scale."""

    ordered = True
    size = None

    def __init__(self, low: float, high: float, scale: str) -> None:
        self.low, self.high = low, high
        self._scale = _Scale(scale)
        self._bottom, self._top = self._scale.forward(low), self._scale.forward(high)
        self.rounding = Rounding.of_range(low, high, scale)

    def at(self, position: float) -> float:
        if position <= 0 or self._top == self._bottom:
            return self.low
        if position >= 1:
            return self.high
        return self.rounding(self._scale.back(self._bottom + position * (self._top - self._bottom)))

    def position(self, value: Scalar) -> float:
        number = number_within(value, self.low, self.high)
        width = self._top - self._bottom  # 0 where the scale cannot tell low from high
        return min(max((self._scale.forward(number) - self._bottom) / width, 0.0), 1.0) if width else 0.0

    def grid(self, levels: int) -> Sequence[Scalar]:
        return tuple(self.at(level / (levels - 1) if levels > 1 else 0.5) for level in range(levels))


class NormalAxis:
    """A normal or lognormal number, optionally truncated, optionally in steps.

    Attributes:
        low: the lowest value.
        high: the highest value.
        masses: the probabilities below `low` and below `high`, between `TAIL` and 1 - `TAIL`.
        rounding: the rounding of values without a step.
        step: the distance of neighbouring values; None for a continuous axis.
        first: the multiple of the step that is the lowest value.
        size: number of values; None without a step.
    """

    ordered = True

    def __init__(self, parameter: Normal | LogNormal) -> None:
        self._log = isinstance(parameter, LogNormal)
        self._mean, self._std, self.step = parameter.mean, parameter.std, parameter.step
        self.masses = self._mass(parameter.low, TAIL), self._mass(parameter.high, 1 - TAIL)
        if self.masses[1] <= self.masses[0]:
            raise ValueError("the cuts leave nothing of the distribution")
        # The tails bound a cut as well: a cut beyond a tail would have the position of the tail.
        digits = self._digits()
        lowest, highest = (_few_digits(self._quantile(mass), digits, relative=self._log) for mass in (TAIL, 1 - TAIL))
        self.low = lowest if parameter.low is None else max(parameter.low, lowest)
        self.high = highest if parameter.high is None else min(parameter.high, highest)
        self.rounding = Rounding(self.low, self.high, digits, relative=self._log)
        self.size: int | None = None
        self.first = 0
        if self.step is not None:
            self._count_steps(self.step)

    def _digits(self) -> int:
        """Return the digits that resolve the deviation into at least 10^7 parts; see `NORMAL_DIGITS`."""
        if self._log:
            return max(1, min(NORMAL_DIGITS - math.floor(math.log10(self._std)), SIGNIFICANT_DIGITS - 1))
        return _decimals(self._std) - SIGNIFICANT_DIGITS + NORMAL_DIGITS

    def _count_steps(self, step: float) -> None:
        deviation = self._std * self.high if self._log else self._std
        if step < max(4e-9 * deviation, 1e-12 * max(abs(self.low), abs(self.high))):
            raise ValueError(f"step {step} is too fine for the width of the distribution; leave it out")
        self.first = math.ceil(self.low / step - 1e-9)
        self.size = math.floor(self.high / step + 1e-9) - self.first + 1
        if self.size < 1:
            raise ValueError(f"no multiple of step {step} lies within {self.low} to {self.high}")

    def _mass(self, cut: float | None, otherwise: float) -> float:
        return otherwise if cut is None else normal_mass(cut, self._mean, self._std, log=self._log)

    def _quantile(self, mass: float) -> float:
        point = self._mean + self._std * _standard_normal().inv_cdf(min(max(mass, TAIL), 1 - TAIL))
        return math.exp(point) if self._log else point

    def value(self, index: int) -> float:
        """Return the value at an index, of an axis with steps."""
        return float((self.first + index) * Decimal(repr(self.step)))

    def edge(self, index: int) -> float:
        """Return the position from which on the values are of this index or above, of an axis with steps."""
        if index in (0, self.size):
            return float(bool(index))
        between = self._mass((self.first + index - 0.5) * (self.step or 0.0), 0.0)
        return min(max((between - self.masses[0]) / (self.masses[1] - self.masses[0]), 0.0), 1.0)

    def at(self, position: float) -> float:
        if self.size is None and (position <= 0 or position >= 1):
            return self.low if position <= 0 else self.high
        value = self._quantile(self.masses[0] + position * (self.masses[1] - self.masses[0]))
        if self.step is None or self.size is None:
            return self.rounding(value)
        return self.value(min(max(round(value / self.step) - self.first, 0), self.size - 1))

    def position(self, value: Scalar) -> float:
        mass = self._mass(number_within(value, self.low, self.high, self.step or 0.0), 0.0)
        return min(max((mass - self.masses[0]) / (self.masses[1] - self.masses[0]), 0.0), 1.0)

    def grid(self, levels: int) -> Sequence[Scalar]:
        if self.size is not None:
            return tuple(self.value(index) for index in range(self.size))
        return tuple(self.at((level + 0.5) / levels) for level in range(levels))


def normal_mass(value: float, mean: float, std: float, *, log: bool) -> float:
    """Return the probability below a value of a normal (if `log`, lognormal) number, in [`TAIL`, 1 - `TAIL`]."""
    if log:
        value = math.log(value) if value > 0 else -math.inf
    return min(max(_standard_normal().cdf((value - mean) / std), TAIL), 1 - TAIL)


def _decimals(width: float) -> int:
    """Return the decimals that resolve a width into 10^SIGNIFICANT_DIGITS parts."""
    return SIGNIFICANT_DIGITS - math.floor(math.log10(width)) if width > 0 else SIGNIFICANT_DIGITS


def number_within(value: Scalar, low: float, high: float, slack: float = 0.0) -> float:
    """Return the value as a number.

    Raises:
        ValueError: it is not a number between low and high; `slack` beyond them is allowed.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")  # noqa: TRY004  # the axis has no such value
    if not low - slack <= value <= high + slack:
        raise ValueError(f"{value!r} is outside {low} to {high}")
    return float(value)


def axis_of(parameter: Parameter) -> Axis:  # one return a kind
    """Return the axis of a parameter.

    Raises:
        ValueError: the parameter's distribution is empty.
    """
    match parameter:
        case Constant():
            return ListedAxis([parameter.value], ordered=False)
        case Categorical():
            return ListedAxis(parameter.values, ordered=False)
        case Ordinal():
            return ListedAxis(parameter.values, ordered=True)
        case Normal() | LogNormal():
            return NormalAxis(parameter)
        case Int():
            size = (parameter.high - parameter.low) // parameter.step + 1
            return SteppedAxis(parameter.low, parameter.step, size, parameter.scale, whole=True)
        case Float(step=None):
            if parameter.low == parameter.high:
                return ListedAxis([parameter.low], ordered=True)
            return RealAxis(parameter.low, parameter.high, parameter.scale)
        case Float(step=float(step)):
            size = math.floor((parameter.high - parameter.low) / step + 1e-9) + 1
            return SteppedAxis(parameter.low, step, size, parameter.scale, whole=False)
        case _:
            raise TypeError(f"no axis for {parameter!r}")


__all__ = ["SIGNIFICANT_DIGITS", "TAIL", "Axis", "ListedAxis", "NormalAxis", "RealAxis", "SteppedAxis", "axis_of"]
