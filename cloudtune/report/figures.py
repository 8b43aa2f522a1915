"""The data of a chart, without its drawing: the report, the live page and plotly figures draw the same.

Colours, symbols and dashes are names; each drawing has its own for a light and a dark background.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

Tick = tuple[float, str]
"""A position on an axis and its label."""

Number = float | None
"""A value of a series; None leaves a gap."""

Colour = Literal["blue", "green", "amber", "red", "grey"]
Symbol = Literal[
    "circle",
    "circle-open",
    "triangle",
    "triangle-open",
    "cross",
    "cross-thin",
    "square-open",
    "diamond",
    "diamond-open",
]
Dash = Literal["solid", "dot", "dash"]
Pattern = Literal["", "/", "x", ".", "+", "-"]

Mark = Literal["points", "line", "steps", "band", "bars", "spans", "boxes"]
"""How a series is drawn.

``points``, ``line``: at ``x`` and ``y``. ``steps``: a line that keeps each value until the next ``x``. ``band``: between ``low`` and
``high`` over ``x``. ``bars``: lying, from 0 to ``x``, in the row ``y``. ``spans``: lying, from ``low`` to ``high``, in the row ``y``.
``boxes``: at ``x``, from ``low`` to ``high`` (the quartiles) with a line at ``y`` (the median) and whiskers to ``far``.
"""


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of a chart.

    Attributes:
        title: plain text; "" for none.
        kind: ``linear``; ``log``; ``count``, which has ticks at whole numbers alone; ``percent``, with 1 as 100 %; or ``rows``,
            which has neither ticks nor a grid, and its first row at the top.
        limits: what is shown at first, in the units of the values; None for all there is.
        ticks: their positions and labels, in place of those that the drawing chooses; () for its own.
    """

    title: str = ""
    kind: Literal["linear", "log", "count", "percent", "rows"] = "linear"
    limits: tuple[float, float] | None = None
    ticks: Sequence[Tick] = ()


@dataclass(frozen=True, slots=True)
class Series:
    """A part of a chart with one look; its sequences are equally long, or empty where the mark has none.

    Attributes:
        mark: see `Mark`.
        name: in the legend, once for all series of the name; "" for none.
        x, y: the positions.
        low, high: ends of bands, spans and boxes; of points and bars those of a whisker along the value.
        far: the ends of the whiskers of boxes.
        trials: the trial's number of each point; of a line, one number for all of it; () for none.
        colour, symbol, dash, pattern: the look; the pattern lies over bars and spans.
        size: of symbols and of the width of lines, in pixels; of boxes their width in units of the axis.
        opacity: from 0 to 1.
    """

    mark: Mark
    name: str = ""
    x: Sequence[Number] = ()
    y: Sequence[Number] = ()
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    far: Sequence[tuple[float, float]] = ()
    trials: Sequence[int] = ()
    colour: Colour = "blue"
    symbol: Symbol = "circle"
    dash: Dash = "solid"
    pattern: Pattern = ""
    size: float = 2.0
    opacity: float = 1.0

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data for JSON, without what has its default."""
        return _changed(self)


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with two axes.

    Attributes:
        caption: what it shows, as plain text.
        x, y: its axes.
        series: in the order in which they are drawn.
        height: in pixels.
        legend: whether it has a legend.
    """

    caption: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    height: int = 380
    legend: bool = True

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return {
            "kind": "chart",
            "caption": self.caption,
            "x": _changed(self.x),
            "y": _changed(self.y),
            "series": [each.to_data() for each in self.series],
            "height": self.height,
            "legend": self.legend,
        }


@dataclass(frozen=True, slots=True)
class ParallelAxis:
    """An axis of parallel coordinates.

    Attributes:
        label: plain text.
        values: the position of each trial.
        limits: the ends of the axis.
        ticks: positions and labels; () for those that the drawing chooses.
    """

    label: str
    values: Sequence[float]
    limits: tuple[float, float]
    ticks: Sequence[Tick] = ()


@dataclass(frozen=True, slots=True)
class Parallel:
    """Parallel coordinates: each trial is a line through its values.

    Attributes:
        caption: what they show, as plain text.
        axes: the objective's is the last.
        trials: the number of each line's trial, the best last, so that it is drawn on top.
        shades: how good each trial is, from 0 (the worst) to 1.
        height: in pixels.
    """

    caption: str
    axes: Sequence[ParallelAxis]
    trials: Sequence[int]
    shades: Sequence[float]
    height: int = 440

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return {
            "kind": "parallel",
            "caption": self.caption,
            "axes": [_changed(axis) for axis in self.axes],
            "trials": self.trials,
            "shades": self.shades,
            "height": self.height,
        }


Drawing = Chart | Parallel
"""Any chart."""


def _changed(part: Axis | Series | ParallelAxis) -> dict[str, Any]:
    """Return the fields of a part that differ from their defaults."""
    values = {each.name: (getattr(part, each.name), each.default) for each in fields(part)}
    return {name: value for name, (value, default) in values.items() if value != default}
