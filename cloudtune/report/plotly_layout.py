"""Figures of plotly beside each other, and with a heading."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil

from cloudtune.report.figures import Chart
from cloudtune.report.plotly_figures import Figure, plotly_figure, plotly_text

_COLUMNS = 3

_GAP, _ROW_GAP = 0.07, 84
"""Between charts beside each other, as a share of the width; between rows, in pixels."""

_WIDTH = 110
"""Characters of a caption's line."""


def plotly_grid(charts: Sequence[Chart], hovers: Mapping[int, str] | None = None) -> Figure:
    """Return one figure with several charts, up to three beside each other, and one legend for all.

    Args:
        charts: at least one.
        hovers: see `plotly_figure`.
    """
    columns = min(len(charts), _COLUMNS)
    rows = ceil(len(charts) / columns)
    height = rows * charts[0].height + (rows - 1) * _ROW_GAP / 2
    width, tall = (1 - _GAP * (columns - 1)) / columns, (1 - _ROW_GAP / height * (rows - 1)) / rows
    data, axes, named = [], {}, set[str]()
    for index, chart in enumerate(charts):
        row, column = divmod(index, columns)
        figure, mark = plotly_figure(replace(chart, legend=True), hovers), str(index + 1) if index else ""
        left, top = column * (width + _GAP), 1 - row * (tall + _ROW_GAP / height)
        across, up = figure["layout"]["xaxis"], figure["layout"]["yaxis"]
        axes[f"xaxis{mark}"] = {**across, "domain": [left, min(left + width, 1.0)], "anchor": f"y{mark}"}
        axes[f"yaxis{mark}"] = {**up, "domain": [max(top - tall, 0.0), top], "anchor": f"x{mark}"}
        if column:
            del axes[f"yaxis{mark}"]["title"]
        for trace in figure["data"]:
            first = trace["showlegend"] and trace["name"] not in named
            named |= {trace["name"]} if first else set()
            data.append({**trace, "xaxis": f"x{mark}", "yaxis": f"y{mark}", "showlegend": first})
    common = plotly_figure(replace(charts[0], legend=True))["layout"]
    return {"data": data, "layout": {**common, "height": height, **axes}}


def headed(figure: Figure, title: str, caption: str) -> Figure:
    """Return a figure with a title and a caption above it.

    Args:
        figure: of `plotly_figure`, or of `plotly_grid`.
        title: plain text.
        caption: plain text, which is put on lines.
    """
    lines = textwrap.wrap(caption, _WIDTH)
    layout, above = figure["layout"], 44 + 16 * len(lines)
    heading = {
        "text": plotly_text(title),
        "subtitle": {"text": "<br>".join(map(plotly_text, lines)), "font": {"size": 12}},
        "x": 0.01,
        "xanchor": "left",
        "y": 1,
        "yref": "container",
        "yanchor": "top",
        "pad": {"t": 14},
    }
    margin = {**layout["margin"], "t": layout["margin"]["t"] + above}
    return {**figure, "layout": {**layout, "title": heading, "height": layout["height"] + above, "margin": margin}}
