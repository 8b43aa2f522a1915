"""The charts of a run for the page, of the same data as its report's."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from cloudtune.errors import CloudtuneError
from cloudtune.report import charts, costs, model, parameters
from cloudtune.report.figures import Axis, Chart, Drawing, Number, Series
from cloudtune.report.study import Study

_ACROSS, _UP = 700, 360
"""The cells of a chart's area; of several points of one look in one cell, one is drawn."""

_BY_POINT = ("x", "y", "low", "high", "trials")
"""What a series of points has one of for each."""

_THIN = 1500
"""Points of a series above which they are thinned."""


def _one(chart: Drawing | str | None) -> dict[str, Any]:
    if chart is None or isinstance(chart, str):
        return {"charts": [], "text": chart or ""}
    return {"charts": [["", _data(chart)]], "text": ""}


def _data(chart: Drawing) -> dict[str, Any]:
    return (_thinned(chart) if isinstance(chart, Chart) else chart).to_data()


def _histories(study: Study) -> dict[str, Any]:
    found = [charts.history(study.aimed(aim)) for aim in range(len(study.job.objective))]
    names = [each.metric for each in study.job.objective]
    return {"charts": [[name, _data(each)] for name, each in zip(names, found, strict=True) if each], "text": ""}


def _front(study: Study) -> dict[str, Any]:
    return {"charts": [["", _data(chart)] for chart in charts.front(study)], "text": ""}


def _slices(study: Study) -> dict[str, Any]:
    found = parameters.slices(study) if study.ranked else []
    return {
        "charts": [[key, _data(chart)] for key, chart in found],
        "text": parameters.slices_caption(study, found) if found else "",
    }


def _model(study: Study) -> dict[str, Any]:
    text, columns, rows = model.expected(study)
    effects = model.effects(study)
    caption = model.effects_caption(study, effects) if effects else ""
    shown = [[key, _data(chart)] for key, chart in effects]
    return {"charts": shown, "text": text, "columns": columns, "rows": rows, "caption": caption}


_CHARTS: dict[str, Callable[[Study], dict[str, Any]]] = {
    "history": _histories,
    "front": _front,
    "importance": lambda study: _one(charts.importances(study) if study.ranked else None),
    "parallel": lambda study: _one(parameters.parallel(study)),
    "slices": _slices,
    "model": _model,
    "curves": lambda study: _one(charts.curves(study)),
    "timeline": lambda study: _one(charts.timeline(study)),
    "cost": lambda study: _one(costs.spending(study)),
}

NAMES = tuple(_CHARTS)
"""The names of charts."""


def drawn(study: Study, name: str) -> dict[str, Any]:
    """Return the charts of a name as plain data: ``charts`` with a title each, and ``text``, a sentence for all or instead of them."""
    try:
        return _CHARTS[name](study)
    except CloudtuneError as error:
        return {"charts": [], "text": str(error)}


def _thinned(chart: Chart) -> Chart:
    """Return a chart without points that would be drawn over others of the same look."""
    series = [_thin(each, chart) if each.mark == "points" and len(each.x) > _THIN else each for each in chart.series]
    return replace(chart, series=series)


def _thin(series: Series, chart: Chart) -> Series:
    places = [_cells(series.x, chart.x, _ACROSS), _cells(series.y, chart.y, _UP)]
    kept = {cell: index for index, cell in enumerate(zip(*places, strict=True))}  # of a cell the last, which is on top
    indices = sorted(kept.values())
    thinned: dict[str, Any] = {
        name: [values[at] for at in indices] for name in _BY_POINT if (values := getattr(series, name))
    }
    return replace(series, **thinned)


def _cells(values: Sequence[Number], axis: Axis, many: int) -> list[int | None]:
    """Return the cell of each value along an axis."""
    put = math.log10 if axis.kind == "log" else float
    known = [put(value) for value in values if value is not None and (axis.kind != "log" or value > 0)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    if axis.limits is not None:
        low, high = max(low, put(axis.limits[0])), min(high, put(axis.limits[1]))
    width = (high - low) / many or 1.0
    return [
        None if value is None or (axis.kind == "log" and value <= 0) else int((put(value) - low) / width)
        for value in values
    ]
