"""What a notebook shows of a run: its state, its best trial, what it cost, and a small chart of the best over time."""

import math
from collections.abc import Sequence
from html import escape

from cloudtune.errors import CloudtuneError, in_one_line
from cloudtune.report import charts
from cloudtune.report.figures import Axis, Chart, Number
from cloudtune.report.study import Study, study_without_curves
from cloudtune.report.tables import fact_texts, why_failed
from cloudtune.report.words import count, number, short
from cloudtune.results.confirmation import said
from cloudtune.results.view import RunView
from cloudtune.store.cards import Row, card, shown, value_rows

MAX_FRONT = 5
"""Most trials of the Pareto front in a card."""

MAX_POINTS = 200
"""Most points of a series in the small chart; of more, an even selection with the last."""

_FACTS = ("ran on", "took", "cost", "trials")
_WIDTH, _HEIGHT, _LEFT, _EDGE = 420, 96, 62, 6

Point = tuple[float, float]


def run_card(run: RunView, command: str) -> str:
    """Return the card of a run; of one that cannot be read, a card that says why.

    Args:
        run: the run.
        command: that shows more of it.
    """
    try:
        study = study_without_curves(run)
        record = study.record
    except CloudtuneError as error:
        return card(f"Run {run.id}", [("cannot be read", in_one_line(error))])
    state = f"{record.state.value}: {record.reason}" if record.reason else record.state.value
    facts = [(term, text) for term, text in fact_texts(study) if term in _FACTS]
    chart = charts.history(study) if len(study.job.objective) == 1 else next(iter(charts.front(study)), None)
    more = f'<div>More: <code style="background:none;color:inherit;overflow-wrap:anywhere">{escape(command, quote=False)}</code></div>'
    return card(f"Run {record.id}", [("state", state), *facts, *_best(study)], (small(chart) if chart else "") + more)


def _best(study: Study) -> list[Row]:
    """Return what is said of the best trial, of the Pareto front, or of why there is none."""
    if len(study.job.objective) > 1 and study.front:
        return _front(study)
    if study.best is not None:
        best, metric = study.best, study.objective.metric
        known = study.confirmed.get(best.number)
        value = number(best.metrics[metric]) if known is None else f"{said(known, metric)} on average"
        return [("best", f"{short(metric, 40)} = {value} (trial {best.number})"), *value_rows(best.parameters)]
    if not study.ranked:
        yet = "" if study.record.state.ended else " yet"
        return [("best", f"no trial has ended well{yet}"), ("why", why_failed(study).strip())]
    near = "" if study.nearest is None else f"trial {study.nearest.number}: {study.why_infeasible(study.nearest)}"
    return [("best", "no trial keeps the constraints"), ("nearest", near)]


def _front(study: Study) -> list[Row]:
    sign, metric = study.sign, study.objective.metric
    front = sorted(study.front, key=lambda trial: sign * trial.metrics[metric])
    rows = [("Pareto front", f"{count(len(front), 'trial')} of {count(len(study.ranked), 'completed one')}")]
    for trial in front[:MAX_FRONT]:
        told = [f"{short(each.metric, 24)} = {number(trial.metrics[each.metric])}" for each in study.job.objective]
        rows.append((f"trial {trial.number}", ", ".join(told)))
    return rows


def small(chart: Chart) -> str:
    """Return the points and lines of a chart as a small SVG in the colour of the text, with the ends of its value axis."""
    drawn = [
        (each.mark, found)
        for each in chart.series
        if each.mark in ("points", "steps", "line")
        and (found := _finite(each.x, each.y, chart.x.kind == "log", chart.y.kind == "log"))
    ]
    if not drawn:
        return ""
    every = [point for _, points in drawn for point in points]
    across = _ends([x for x, _ in every], chart.x)
    up = _ends([y for _, y in every], chart.y)

    def place(point: Point) -> Point:
        x, y = _share(point[0], across), _share(point[1], up)
        return _LEFT + x * (_WIDTH - _LEFT - _EDGE), _HEIGHT - _EDGE - y * (_HEIGHT - 2 * _EDGE)

    paths = "".join(_path(mark, [place(point) for point in _few(points)]) for mark, points in drawn)
    low, high = (f"{10.0**end if chart.y.kind == 'log' else end:.3g}" for end in up)
    return (
        f'<svg role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
        'style="display:block;max-width:100%;height:auto;margin:.3em 0;color:inherit" fill="none" stroke="currentColor">'
        f"<title>{shown(chart.caption, 120)}</title>{paths}"
        f'<g fill="currentColor" stroke="none" font-size="10" text-anchor="end">'
        f'<text x="{_LEFT - 8}" y="{_EDGE + 4}">{escape(high)}</text>'
        f'<text x="{_LEFT - 8}" y="{_HEIGHT - _EDGE + 2}">{escape(low)}</text></g></svg>'
    )


def _finite(xs: Sequence[Number], ys: Sequence[Number], log_x: bool, log_y: bool) -> list[Point]:
    """Return the points that can be drawn, with the powers of ten of values on a log axis."""
    known = [(x, y) for x, y in zip(xs, ys, strict=True) if x is not None and y is not None]
    apt = [(x, y) for x, y in known if math.isfinite(x) and math.isfinite(y)]
    found = [(x, y) for x, y in apt if (x > 0 or not log_x) and (y > 0 or not log_y)]
    return [(math.log10(x) if log_x else x, math.log10(y) if log_y else y) for x, y in found]


def _ends(values: Sequence[float], axis: Axis) -> Point:
    """Return the ends of what is shown of an axis."""
    if axis.limits is None:
        return min(values), max(values)
    low, high = axis.limits
    return (math.log10(low), math.log10(high)) if axis.kind == "log" else (low, high)


def _share(value: float, ends: Point) -> float:
    """Return where a value lies between the ends, from 0 to 1; what lies outside of them stands at an end."""
    low, width = ends[0], ends[1] / 2 - ends[0] / 2
    return min(max((value / 2 - low / 2) / width, 0.0), 1.0) if width > 0 else 0.5


def _few(points: Sequence[Point]) -> Sequence[Point]:
    """Return at most `MAX_POINTS` of some points, the first and the last among them."""
    last = len(points) - 1
    if last < MAX_POINTS:
        return points
    return [points[index * last // (MAX_POINTS - 1)] for index in range(MAX_POINTS)]


def _path(mark: str, points: Sequence[Point]) -> str:
    """Return the element of a series: round dots, or a line that runs straight or in steps."""
    at = [f"{x:.0f} {y:.0f}" for x, y in points]
    if mark == "points":
        dots = "".join(f"M{place}h0" for place in dict.fromkeys(at))
        return f'<path d="{dots}" stroke-width="4" stroke-linecap="round" opacity=".55"/>'
    if mark == "line":
        return f'<path d="M{"L".join(at)}" stroke-dasharray="2 3"/>'
    steps = "".join(f"H{x:.0f}V{y:.0f}" for x, y in points[1:])
    return f'<path d="M{at[0]}{steps}" stroke-width="2"/>'
