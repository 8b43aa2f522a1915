"""Where the values of a parameter stand in a chart, and how they are labelled.

Charts draw a parameter by its position on the axis (see `cloudtune.space.axes`), which is how it is searched: a log axis
comes out as log, steps and categories stand apart equally. The ticks say which values these are.
"""

import math
from collections.abc import Iterable, Iterator

from cloudtune.report.words import scalar, short
from cloudtune.space.axes import ListedAxis
from cloudtune.space.parameters import Float, Int, Scalar
from cloudtune.space.space import Dimension

Tick = tuple[float, str]
"""A position from 0 to 1 and its label."""

_NEAR = 0.05
"""Ticks nearer to each other than this would overlap."""


def ticks(dimension: Dimension, most: int = 6, length: int = 14) -> list[Tick]:
    """The ticks of a parameter, in the order of their positions.

    Args:
        dimension: of the space.
        most: about so many ticks; from 2. Up to twice as many where a parameter has no more values.
        length: characters of a label; longer ones are cut.
    """
    axis = dimension.axis
    places = [(axis.position(value), value) for value in _marked(dimension, most)]
    if not isinstance(axis, ListedAxis):
        places = _apart(places)
    return [(position, short(_label(value), length)) for position, value in places]


def _marked(dimension: Dimension, most: int) -> Iterable[Scalar]:
    """The values to mark, from low to high."""
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
    # The middles of equal parts: the ends of a bell are far from where its values are.
    return [axis.at((index + 0.5) / most) for index in range(most)]


def _stepped(parameter: Float | Int, value: float) -> float:
    """The value of the parameter that is next to a number within its range."""
    if parameter.step is None:
        return value
    low, step = parameter.low, parameter.step
    last = math.floor((parameter.high - low) / step + 1e-9)
    return low + min(round((value - low) / step), last) * step


def _powers(low: float, high: float, most: int) -> Iterator[float]:
    """Marks of a log axis: 1, 2, 5, 10, …, or 1, 10, 100, …, or fewer powers of ten."""
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
    """Multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    if rough < 1e-300:
        return
    power = math.floor(math.log10(rough))
    step = next(mark for factor in (1, 2, 5, 10) if (mark := float(f"{factor}e{power}")) >= rough * (1 - 1e-9))
    for index in range(math.ceil(low / step), math.floor(high / step) + 1):
        if low <= index * step <= high:
            yield index * step


def _apart(places: list[tuple[float, Scalar]]) -> list[tuple[float, Scalar]]:
    """The ends, and of what lies between them what is apart from its neighbours."""
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
