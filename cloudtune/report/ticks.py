"""Ticks of a parameter's axis in charts.

Charts draw a parameter by its position in [0, 1] on its axis (see `cloudtune.space.axes`), as it is searched: a log
axis is drawn as log, steps and categories have equal distances. The ticks label positions with values.
"""

import math
from collections.abc import Iterable, Iterator

from cloudtune.report.figures import Tick
from cloudtune.report.words import scalar, short
from cloudtune.space.axes import ListedAxis
from cloudtune.space.parameters import Float, Int, Scalar
from cloudtune.space.space import Dimension

_NEAR = 0.05
"""The least distance of two ticks, so that labels do not overlap."""


def ticks(dimension: Dimension, most: int = 6, length: int = 14) -> list[Tick]:
    """Return the ticks of a parameter, in the order of their positions.

    Args:
        dimension: the parameter's dimension.
        most: the approximate number of ticks, from 2; up to twice as many for a parameter with no more values.
        length: the most characters of a label; longer ones are cut.
    """
    axis = dimension.axis
    places = [(axis.position(value), value) for value in _marked(dimension, most)]
    if not isinstance(axis, ListedAxis):
        places = _apart(places)
    return [(position, short(_label(value), length)) for position, value in places]


def _marked(dimension: Dimension, most: int) -> Iterable[Scalar]:
    """Return the values to mark, from low to high."""
    axis, parameter = dimension.axis, dimension.parameter
    if axis.size is not None and axis.size <= 2 * most:
        return axis.grid(1)
    if isinstance(axis, ListedAxis):
        return [axis.values[index * (axis.size - 1) // (most - 1)] for index in range(most)]
    if isinstance(parameter, Float | Int) and parameter.scale != "reverse_log":
        low, high = float(parameter.low), float(parameter.high)
        logarithmic = parameter.scale == "log" and high >= 10 * low
        marks = _powers(low, high, most) if logarithmic else _round_numbers(low, high, most)
        return [axis.at(0.0), *(_stepped(parameter, mark) for mark in marks), axis.at(1.0)]
    # The middles of equal parts, since the ends of a normal distribution are far from most of its values.
    return [axis.at((index + 0.5) / most) for index in range(most)]


def _stepped(parameter: Float | Int, value: float) -> float:
    """Return the value of the parameter nearest to a number within its range."""
    if parameter.step is None:
        return value
    low, step = parameter.low, parameter.step
    last = math.floor((parameter.high - low) / step + 1e-9)
    return low + min(round((value - low) / step), last) * step


def _powers(low: float, high: float, most: int) -> Iterator[float]:
    """Yield the marks of a log axis: 1, 2, 5, 10, …, or 1, 10, 100, …, or fewer powers of ten."""
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high))
    decades = math.log10(high) - math.log10(low)
    factors = (1, 2, 5) if 3 * decades <= most else (1,)
    stride = max(1, math.ceil(decades / most))
    for exponent in range(first, last + 1):
        for factor in factors if exponent % stride == 0 else ():
            mark = float(f"{factor}e{exponent}")
            if low <= mark <= high:
                yield mark


def _round_numbers(low: float, high: float, most: int) -> Iterator[float]:
    """Yield the multiples within a range of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    if rough < 1e-300:
        return
    power = math.floor(math.log10(rough))
    step = next(mark for factor in (1, 2, 5, 10) if (mark := float(f"{factor}e{power}")) >= rough * (1 - 1e-9))
    for index in range(math.ceil(low / step), math.floor(high / step) + 1):
        if low <= index * step <= high:
            yield index * step


def _apart(places: list[tuple[float, Scalar]]) -> list[tuple[float, Scalar]]:
    """Return the first and last place, and those between that are at least `_NEAR` from their neighbours."""
    kept = places[:1]
    for place in places[1:-1]:
        if kept[-1][0] + _NEAR <= place[0] <= places[-1][0] - _NEAR:
            kept.append(place)
    return [*kept, *places[-1:]] if len(places) > 1 else kept


def _label(value: Scalar) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return scalar(value)
    if value == 0 or 1e-4 <= abs(value) < 1e5:
        return f"{value:.0f}" if abs(value) >= 1e4 or value == round(value) else f"{value:.4g}"
    mantissa, _, power = f"{value:.2e}".partition("e")
    return f"{float(mantissa):g}e{int(power)}"
