"""What the charts share: figures of plotly.js (https://plotly.com/javascript/reference) as plain data."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cloudtune.report.words import plain, short
from cloudtune.store.records import Trial, TrialState

Figure = dict[str, Any]

# Told apart with any kind of colour vision, and at a contrast of at least 3 to both a white and a dark page
# (WCAG 2.2, 1.4.11). No colour stands alone: each state has its symbol, each line its dash.
BLUE, GREEN, AMBER, RED, GREY = "#2878b5", "#0a8f6a", "#b87a00", "#d0402b", "#8a8a8a"

COLOURS = {
    TrialState.COMPLETED: BLUE,
    TrialState.PRUNED: AMBER,
    TrialState.FAILED: RED,
    TrialState.CANCELLED: GREY,
    TrialState.RUNNING: GREEN,
    TrialState.WAITING: GREY,
}
SYMBOLS = {
    TrialState.COMPLETED: "circle",
    TrialState.PRUNED: "triangle-down",
    TrialState.FAILED: "x",
    TrialState.CANCELLED: "square-open",
    TrialState.RUNNING: "diamond-open",
    TrialState.WAITING: "circle-open",
}

MANY = 2000
"""Points above which a chart is drawn by the graphics processor."""

_FEW = 8
"""Values below which nothing is called an outlier."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with the sentence that says what it shows.

    Attributes:
        caption: plain text.
        figure: the data and the layout, with its height in pixels. Traces name their trials in ``customdata``: the
            page fills in what is shown under the pointer.
    """

    caption: str
    figure: Figure


def layout(x: str, y: str, height: int = 380, *, xaxis: Figure | None = None, yaxis: Figure | None = None) -> Figure:
    """The layout of a chart with two axes; the page adds its colours and fonts."""
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
    """A trace of one point for each trial."""
    return {
        "type": "scattergl" if fast else "scatter",
        "mode": "markers",
        "x": list(x),
        "y": list(y),
        "customdata": [trial.number for trial in trials],
        "hoverinfo": "text",
    }


def marker(state: TrialState, size: int = 8, opacity: float = 0.8) -> Figure:
    """The marker of a trial in a state."""
    return {"color": COLOURS[state], "symbol": SYMBOLS[state], "size": size, "opacity": opacity}


def hatched(shape: str) -> Figure:
    """A pattern over the colour of a bar; "" for none."""
    return {"shape": shape, "fillmode": "overlay", "fgcolor": "rgba(255,255,255,0.5)", "solidity": 0.18, "size": 7}


def spread(number: int, width: float) -> float:
    """A shift by at most half a width that keeps trials of one value apart, the same every time."""
    return ((number * 0.6180339887) % 1.0 - 0.5) * width


@dataclass(frozen=True, slots=True)
class ValueAxis:
    """The axis of an objective.

    Attributes:
        settings: for plotly.
        remark: what is to be said of it: "", or a sentence with a space before it.
        low, high: what is seen of the values; both None where there are none.
    """

    settings: Figure
    remark: str = ""
    low: float | None = None
    high: float | None = None


def value_axis(values: Iterable[float], goal: str) -> ValueAxis:
    """An axis on which the good values can be told apart.

    Positive values to be minimised that span two powers of ten or more get a log axis. Otherwise outliers (what is
    three times farther from the best than the worse quartile is) are left outside of what is seen at first.
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
