"""Charts as figures of plotly, as plain data (https://plotly.com/javascript/reference)."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from cloudtune.report.figures import Axis, Drawing, Mark, Parallel, ParallelAxis, Series

Figure = dict[str, Any]

# Distinguishable with any kind of colour vision, with a contrast of at least 3 to a white and a dark page (WCAG 2.2, 1.4.11).
_COLOURS = {"blue": "#2878b5", "green": "#0a8f6a", "amber": "#b87a00", "red": "#d0402b", "grey": "#8a8a8a"}
_SYMBOLS = {
    "triangle": "triangle-down",
    "triangle-open": "triangle-down-open",
    "cross": "x",
    "cross-thin": "x-thin-open",
}

# From worst to best on a light page, where the best is darkest.
_SHADES = [[0.0, "#f6d746"], [0.35, "#21a58a"], [0.65, "#2878b5"], [1.0, "#3d3a8c"]]

MANY = 2000
"""Points above which a series is drawn with WebGL."""


def plotly_figure(drawing: Drawing, hovers: Mapping[int, str] | None = None) -> Figure:
    """Return ``data`` and ``layout`` of a chart, from which ``plotly.graph_objects.Figure`` makes a figure.

    Args:
        drawing: the chart.
        hovers: what is shown of each trial under the pointer, by its number; plotly reads tags in it.
    """
    if isinstance(drawing, Parallel):
        return _parallel(drawing)
    seen: set[str] = set()
    traces = []
    for series in drawing.series:
        trace = _TRACES[series.mark](series)
        if series.name:
            trace |= {"name": plotly_text(series.name), "legendgroup": plotly_text(series.name)}
        trace["showlegend"] = bool(series.name) and series.name not in seen
        seen.add(series.name)
        if series.trials:
            trace |= _trials(series, hovers or {})
        traces.append(trace)
    layout = {
        "height": drawing.height,
        "margin": {"l": 64, "r": 16, "t": 30 if drawing.legend else 8, "b": 50},
        "xaxis": _axis(drawing.x),
        "yaxis": _axis(drawing.y),
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        "showlegend": drawing.legend,
        "hovermode": "closest",
        "barmode": "overlay" if any(each.mark == "spans" for each in drawing.series) else "group",
    }
    return {"data": traces, "layout": layout}


def plotly_text(text: str) -> str:
    """Return a text escaped for plotly, which interprets tags and entities in titles, names and ticks."""
    return escape(text, quote=False).replace("\n", " ")


def _trials(series: Series, hovers: Mapping[int, str]) -> Figure:
    """Return what names the trials of a trace, with their texts under the pointer."""
    numbers = list(series.trials) * (len(series.x) if series.mark == "line" else 1)
    texts = {"hovertext": [hovers.get(number, f"trial {number}") for number in numbers], "hoverinfo": "text"}
    return {"customdata": numbers, **texts}


def _axis(axis: Axis) -> Figure:
    settings: Figure = {"title": {"text": plotly_text(axis.title)}, "exponentformat": "e", "minexponent": 5}
    if axis.kind == "log":
        from math import log10  # noqa: PLC0415  # plotly gives the ends of a log axis as powers of ten

        settings["type"] = "log"
        limits = None if axis.limits is None else [log10(end) for end in axis.limits]
    else:
        limits = None if axis.limits is None else list(axis.limits)
    if axis.kind in ("count", "percent"):
        settings["tickformat"] = "d" if axis.kind == "count" else ".0%"
    if axis.kind == "rows":
        settings |= {"autorange": "reversed", "showticklabels": False, "showgrid": False, "zeroline": False}
    if limits is not None:
        settings["range"] = limits
    if axis.ticks:
        settings |= {
            "tickvals": [at for at, _ in axis.ticks],
            "ticktext": [plotly_text(text) for _, text in axis.ticks],
            "zeroline": False,
        }
    return settings


def _points(series: Series) -> Figure:
    looks = {
        "color": _COLOURS[series.colour],
        "symbol": _SYMBOLS.get(series.symbol, series.symbol),
        "size": series.size,
    }
    trace: Figure = {
        "type": "scattergl" if len(series.x) > MANY else "scatter",
        "mode": "markers",
        "x": list(series.x),
        "y": list(series.y),
        "marker": {**looks, "opacity": series.opacity},
    }
    return {**trace, "error_y": _whiskers(series, series.y)} if series.low else trace


def _whiskers(series: Series, values: Sequence[float | None]) -> Figure:
    middles = [value or 0.0 for value in values]
    return {
        "type": "data",
        "symmetric": False,
        "array": [end - value for end, value in zip(series.high, middles, strict=True)],
        "arrayminus": [value - end for end, value in zip(series.low, middles, strict=True)],
        "color": _COLOURS["grey"],
        "thickness": 1.5,
        "width": 4,
    }


def _line(series: Series) -> Figure:
    shape = {"shape": "hv"} if series.mark == "steps" else {}
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(series.x),
        "y": list(series.y),
        "line": {"color": _COLOURS[series.colour], "width": series.size, "dash": series.dash, **shape},
        "opacity": series.opacity,
        "hoverinfo": "skip",
    }


def _band(series: Series) -> Figure:
    colour = ",".join(str(int(_COLOURS[series.colour][at : at + 2], 16)) for at in (1, 3, 5))
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [*series.x, *reversed(series.x)],
        "y": [*series.high, *reversed(series.low)],
        "fill": "toself",
        "fillcolor": f"rgba({colour},{series.opacity})",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _bar_looks(series: Series) -> Figure:
    pattern = {
        "shape": series.pattern,
        "fillmode": "overlay",
        "fgcolor": "rgba(255,255,255,0.5)",
        "solidity": 0.18,
        "size": 7,
    }
    return {"color": _COLOURS[series.colour], "pattern": pattern}


def _bars(series: Series) -> Figure:
    ends = {"error_x": _whiskers(series, series.x)} if series.low else {}
    places = {"x": list(series.x), "y": list(series.y)}
    return {"type": "bar", "orientation": "h", **places, **ends, "marker": _bar_looks(series), "hoverinfo": "skip"}


def _spans(series: Series) -> Figure:
    return {
        "type": "bar",
        "orientation": "h",
        "width": 0.82,
        "base": list(series.low),
        "x": [end - begin for begin, end in zip(series.low, series.high, strict=True)],
        "y": list(series.y),
        "marker": _bar_looks(series),
    }


def _boxes(series: Series) -> Figure:
    return {
        "type": "box",
        "x": list(series.x),
        "width": series.size,
        "q1": list(series.low),
        "median": list(series.y),
        "q3": list(series.high),
        "lowerfence": [low for low, _ in series.far],
        "upperfence": [high for _, high in series.far],
        "line": {"color": _COLOURS[series.colour], "width": 1},
        "hoverinfo": "skip",
    }


_TRACES: dict[Mark, Callable[[Series], Figure]] = {
    "points": _points,
    "line": _line,
    "steps": _line,
    "band": _band,
    "bars": _bars,
    "spans": _spans,
    "boxes": _boxes,
}


def _parallel(drawing: Parallel) -> Figure:
    trace = {
        "type": "parcoords",
        "dimensions": [_parallel_axis(axis) for axis in drawing.axes],
        "line": {"color": list(drawing.shades), "colorscale": _SHADES, "cmin": 0.0, "cmax": 1.0, "showscale": False},
        "labelangle": -15 if len(drawing.axes) > 6 else 0,
    }
    return {"data": [trace], "layout": {"height": drawing.height, "margin": {"l": 92, "r": 60, "t": 84, "b": 28}}}


def _parallel_axis(axis: ParallelAxis) -> Figure:
    plain: Figure = {"label": plotly_text(axis.label), "values": list(axis.values)}
    if axis.limits[0] < axis.limits[1]:
        plain["range"] = list(axis.limits)
    if axis.ticks:
        plain |= {"tickvals": [at for at, _ in axis.ticks], "ticktext": [plotly_text(text) for _, text in axis.ticks]}
    return plain
