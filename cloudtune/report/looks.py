"""Shared parts of charts: the looks of states, axes of objectives, units of time."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cloudtune.report.figures import Axis, Colour, Number, Series, Symbol
from cloudtune.report.words import short
from cloudtune.store.records import Trial, TrialState

# States differ by symbol and lines by dash as well as by colour.
COLOURS: dict[TrialState, Colour] = {
    TrialState.COMPLETED: "blue",
    TrialState.PRUNED: "amber",
    TrialState.FAILED: "red",
    TrialState.CANCELLED: "grey",
    TrialState.RUNNING: "green",
    TrialState.PAUSED: "green",
    TrialState.WAITING: "grey",
}
SYMBOLS: dict[TrialState, Symbol] = {
    TrialState.COMPLETED: "circle",
    TrialState.PRUNED: "triangle",
    TrialState.FAILED: "cross",
    TrialState.CANCELLED: "square-open",
    TrialState.RUNNING: "diamond-open",
    TrialState.PAUSED: "triangle-open",
    TrialState.WAITING: "circle-open",
}

_FEW = 8
"""Fewest values among which outliers are looked for."""


def points(
    trials: Sequence[Trial],
    x: Sequence[Number],
    y: Sequence[Number],
    state: TrialState,
    size: float = 8.0,
    opacity: float = 0.8,
) -> Series:
    """Return a series of one point for each trial, with the name and the look of a state."""
    return Series(
        "points",
        state.value,
        list(x),
        list(y),
        trials=[trial.number for trial in trials],
        colour=COLOURS[state],
        symbol=SYMBOLS[state],
        size=size,
        opacity=opacity,
    )


def spread(number: int, width: float) -> float:
    """Return a deterministic shift of at most half a width, which separates trials with the same value."""
    return ((number * 0.6180339887) % 1.0 - 0.5) * width


def time_unit(seconds: float) -> tuple[str, float]:
    """Return the unit for a readable time span, and its length in seconds."""
    units = (("seconds", 1.0), ("minutes", 60.0), ("hours", 3600.0), ("days", 86400.0), ("", math.inf))
    return next(unit for unit, larger in pairwise(units) if seconds < 3 * larger[1])


@dataclass(frozen=True, slots=True)
class ValueAxis:
    """The range of an objective on an axis.

    Attributes:
        log: whether the axis is logarithmic.
        limits: what is shown at first; None for all values.
        remark: a sentence for the caption with a space before it; "" for none.
        low, high: the ends of the shown range; both None without values.
    """

    log: bool = False
    limits: tuple[float, float] | None = None
    remark: str = ""
    low: float | None = None
    high: float | None = None

    def titled(self, title: str, length: int = 30) -> Axis:
        """Return the axis with a title of at most so many characters."""
        return Axis(short(title, length), "log" if self.log else "linear", self.limits)


def value_axis(values: Iterable[float], goal: str) -> ValueAxis:
    """Return a range in which the good values can be distinguished.

    Positive values to be minimised that span two powers of ten or more get a log axis. Otherwise outliers (values more
    than three times farther from the best than the worse quartile) are outside of the initial range.
    """
    worst_last = sorted((value for value in values if math.isfinite(value)), reverse=goal == "maximize")
    if not worst_last:
        return ValueAxis()
    best, worst = worst_last[0], worst_last[-1]
    if goal == "minimize" and best > 0 and worst / best >= 100:
        return ValueAxis(log=True, remark=" The objective's axis is logarithmic.", low=best, high=worst)
    reach = best + 3.0 * (worst_last[(3 * len(worst_last)) // 4] - best)
    apart = len(worst_last) >= _FEW and math.isfinite(reach - best) and abs(worst - best) > 1.5 * abs(reach - best)
    if not apart or reach == best:
        return ValueAxis(low=min(best, worst), high=max(best, worst))
    low, high = sorted([best - 0.06 * (reach - best), reach])
    return ValueAxis(
        limits=(low, high), remark=" Outliers lie outside of the axis; a double click shows them.", low=low, high=high
    )
