"""Shared parts of charts, as plain data for plotly.js (https://plotly.com/javascript/reference)."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cloudtune.report.words import plain, short
from cloudtune.store.records import Trial, TrialState

Figure = dict[str, Any]

# Distinguishable with any kind of colour vision, with a contrast of at least 3 to a white and a dark page (WCAG 2.2,
# 1.4.11). States differ by symbol and lines by dash as well.
BLUE, GREEN, AMBER, RED, GREY = "#2878b5", "#0a8f6a", "#b87a00", "#d0402b", "#8a8a8a"

COLOURS = {
    TrialState.COMPLETED: BLUE,
    TrialState.PRUNED: AMBER,
    TrialState.FAILED: RED,
    TrialState.CANCELLED: GREY,
    TrialState.RUNNING: GREEN,
    TrialState.PAUSED: GREEN,
    TrialState.WAITING: GREY,
}
SYMBOLS = {
    TrialState.COMPLETED: "circle",
    TrialState.PRUNED: "triangle-down",
    TrialState.FAILED: "x",
    TrialState.CANCELLED: "square-open",
    TrialState.RUNNING: "diamond-open",
    TrialState.PAUSED: "triangle-down-open",
    TrialState.WAITING: "circle-open",
}

MANY = 2000
"""Points above which a chart is drawn with WebGL."""

_FEW = 8
"""Fewest values among which outliers are looked for."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its caption.

    Attributes:
        caption: what the chart shows, as plain text.
        figure: data and layout, with the height in pixels. Traces name their trials in ``customdata``, from which the
            page makes the hover texts.
    """

    caption: str
    figure: Figure


def layout(x: str, y: str, height: int = 380, *, xaxis: Figure | None = None, yaxis: Figure | None = None) -> Figure:
    """Return the layout of a chart with two axes, `height` in pixels; the page adds colours and fonts."""
    return {
        "height": height,
        "margin": {"l": 64, "r": 16, "t": 30, "b": 50},
        "xaxis": {"title": {"text": plain(short(x, 40))}, **(xaxis or {})},
        "yaxis": {"title": {"text": plain(short(y, 30))}, **(yaxis or {})},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        "hovermode": "closest",
    }


def points(
    trials: Sequence[Trial], x: Sequence[float | None], y: Sequence[float | None], *, fast: bool = False
) -> Figure:
    """Return a trace of one point for each trial, drawn with WebGL if `fast`."""
    return {
        "type": "scattergl" if fast else "scatter",
        "mode": "markers",
        "x": list(x),
        "y": list(y),
        "customdata": [trial.number for trial in trials],
        "hoverinfo": "text",
    }


def marker(state: TrialState, size: int = 8, opacity: float = 0.8) -> Figure:
    """Return the marker of a trial in a state."""
    return {"color": COLOURS[state], "symbol": SYMBOLS[state], "size": size, "opacity": opacity}


def hatched(shape: str) -> Figure:
    """Return a pattern over the colour of a bar; shape "" for none."""
    return {"shape": shape, "fillmode": "overlay", "fgcolor": "rgba(255,255,255,0.5)", "solidity": 0.18, "size": 7}


def spread(number: int, width: float) -> float:
    """Return a deterministic shift of at most half a width, which separates trials with the same value."""
    return ((number * 0.6180339887) % 1.0 - 0.5) * width


def time_unit(seconds: float) -> tuple[str, float]:
    """Return the unit for a readable time span, and its length in seconds."""
    units = (("seconds", 1.0), ("minutes", 60.0), ("hours", 3600.0), ("days", 86400.0), ("", math.inf))
    return next(unit for unit, larger in pairwise(units) if seconds < 3 * larger[1])


@dataclass(frozen=True, slots=True)
class ValueAxis:
    """The axis of an objective.

    Attributes:
        settings: the settings for plotly.
        remark: a sentence for the caption with a space before it; "" for none.
        low, high: the ends of the shown range; both None without values.
    """

    settings: Figure
    remark: str = ""
    low: float | None = None
    high: float | None = None


def value_axis(values: Iterable[float], goal: str) -> ValueAxis:
    """Return an axis on which the good values can be distinguished.

    Positive values to be minimised that span two powers of ten or more get a log axis. Otherwise outliers (values more
    than three times farther from the best than the worse quartile) are outside of the initial range.
    """
    worst_last = sorted((value for value in values if math.isfinite(value)), reverse=goal == "maximize")
    if not worst_last:
        return ValueAxis({})
    best, worst = worst_last[0], worst_last[-1]
    if goal == "minimize" and best > 0 and worst / best >= 100:
        return ValueAxis({"type": "log"}, " The objective's axis is logarithmic.", best, worst)
    reach = best + 3.0 * (worst_last[(3 * len(worst_last)) // 4] - best)
    apart = len(worst_last) >= _FEW and math.isfinite(reach - best) and abs(worst - best) > 1.5 * abs(reach - best)
    if not apart or reach == best:
        return ValueAxis({}, "", min(best, worst), max(best, worst))
    low, high = sorted([best - 0.06 * (reach - best), reach])
    remark = " Outliers lie outside of the axis; a double click shows them."
    return ValueAxis({"range": [low, high]}, remark, low, high)
