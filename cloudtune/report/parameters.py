"""Charts of the parameters: parallel coordinates, and the objective by each parameter."""

import math
from statistics import quantiles

from cloudtune.report.looks import BLUE, Chart, Figure, ValueAxis, layout, marker, points, spread, value_axis
from cloudtune.report.study import Study, choose
from cloudtune.report.ticks import ticks
from cloudtune.report.words import plain, short
from cloudtune.space.space import Dimension
from cloudtune.store.records import Trial, TrialState

MAX_LINES = 1000
"""Most trials in the parallel coordinates; of more, the best and an even selection of the others."""

MAX_AXES = 12
"""Most parameters in the parallel coordinates; of more, the most important."""

MAX_SLICES = 30
"""Most parameters with a chart of their own; of more, the most important."""

_ALL_POINTS = 20_000
"""Most points in the charts of all parameters together; each chart has its share of them, up to `_POINTS`."""
_POINTS = 1500

_ABSENT = -0.12
"""The position on an axis of trials without the parameter, below the lowest value."""

# From worst to best on a dark page, where the best is brightest; the page reverses it on a light background.
_SCALE = [[0.0, "#3d3a8c"], [0.35, "#2878b5"], [0.65, "#21a58a"], [1.0, "#f6d746"]]


def _varying(study: Study, most: int) -> list[Dimension]:
    """Return the dimensions with more than one value in the space's order; of more than `most`, the most important."""
    found = [dimension for dimension in study.space.dimensions if dimension.axis.size != 1]
    if len(found) <= most:
        return found
    shares = study.shares or {}
    chosen = sorted(found, key=lambda dimension: -shares.get(dimension.name, 0.0))[:most]
    return [dimension for dimension in found if dimension in chosen]


def _position(dimension: Dimension, trial: Trial) -> float | None:
    """Return a trial's position on the axis; None if the parameter is inactive or its value is not within the space."""
    if dimension.name not in trial.parameters or not dimension.active(trial.parameters):
        return None
    try:
        position = dimension.axis.position(trial.parameters[dimension.name])
    except ValueError:
        return None
    if dimension.axis.ordered:
        return position
    return position + spread(trial.number, 0.3 / (dimension.axis.size or 1))


def parallel(study: Study) -> Chart | None:
    """Return the chart of completed trials as lines through their parameters; None for fewer than two trials."""
    trials = choose(study.ranked, MAX_LINES)[::-1]  # the best are drawn last, on top
    dimensions = _varying(study, MAX_AXES)
    if len(trials) < 2 or not dimensions:
        return None
    axis = value_axis((study.values[trial.number] for trial in study.ranked), study.objective.goal)
    values = [_within(study.values[trial.number], axis) for trial in trials]
    axes = [_parallel_axis(dimension, trials) for dimension in dimensions]
    if study.job.constraints:
        axes.append(_feasible_axis(study, trials))
    axes.append(_objective_axis(study, values, axis))
    line = {
        "color": _colours(study, trials, axes[-1]["values"]),
        "colorscale": _SCALE,
        "reversescale": study.objective.goal == "minimize",
        "showscale": False,
    }
    trace = {"type": "parcoords", "dimensions": axes, "line": line, "labelangle": -15 if len(axes) > 6 else 0}
    figure = {"data": [trace], "layout": {"height": 440, "margin": {"l": 92, "r": 60, "t": 84, "b": 28}}}
    return Chart(_parallel_caption(study, trials, dimensions, axis), figure)


def _feasible_axis(study: Study, trials: list[Trial]) -> Figure:
    """Return the axis on which feasible trials lie apart from the others; a selection on it shows either alone."""
    values = [0.0 if study.why_infeasible(trial) else 1.0 for trial in trials]
    return {"label": "feasible", "values": values, "range": [-0.1, 1.1], "tickvals": [0, 1], "ticktext": ["no", "yes"]}


def _colours(study: Study, trials: list[Trial], values: list[float]) -> list[float]:
    """Return what the colours of lines are by: the objective, and for infeasible trials its worst value."""
    worst = max(values) if study.objective.goal == "minimize" else min(values)
    return [worst if study.why_infeasible(trial) else value for trial, value in zip(trials, values, strict=True)]


def _within(value: float, axis: ValueAxis) -> float:
    """Return a value, or the end of the axis for an outlier."""
    low, high = value if axis.low is None else axis.low, value if axis.high is None else axis.high
    return min(max(value, low), high)


def _objective_axis(study: Study, values: list[float], axis: ValueAxis) -> Figure:
    label = plain(short(study.objective.metric))
    if axis.settings.get("type") != "log":
        return {"label": label, "values": values}
    powers = [math.log10(value) for value in values]
    marks = range(math.ceil(min(powers)), math.floor(max(powers)) + 1)
    return {
        "label": label,
        "values": powers,
        "tickvals": list(marks),
        "ticktext": [f"{10.0**mark:g}" for mark in marks],
    }


def _parallel_axis(dimension: Dimension, trials: list[Trial]) -> Figure:
    positions = [_position(dimension, trial) for trial in trials]
    absent = any(position is None for position in positions)
    marks = [*([(_ABSENT, "absent")] if absent else []), *ticks(dimension, 7)]
    return {
        "label": plain(short(dimension.key)),
        "values": [_ABSENT if position is None else position for position in positions],
        "range": [_ABSENT - 0.02 if absent else 0.0, 1.0],
        "tickvals": [position for position, _ in marks],
        "ticktext": [text for _, text in marks],
    }


def _parallel_caption(study: Study, trials: list[Trial], dimensions: list[Dimension], axis: ValueAxis) -> str:
    few = f"{len(trials):,} of the" if len(trials) < len(study.ranked) else "The"
    caption = f"{few} completed trials, each a line through its parameters to its {study.objective.metric}; the stronger the colour stands out, the better."
    if study.job.constraints:
        caption += " Trials that violate a constraint have the colour of the worst."
    if "range" in axis.settings:
        caption += " Outliers are drawn at the end of its axis."
    if len(dimensions) < len(_varying(study, len(study.space.dimensions))):
        caption += f" The {len(dimensions)} most important parameters are shown."
    return caption + " Drag along an axis to select, and an axis by its name to move it."


def slices(study: Study) -> list[tuple[str, Chart]]:
    """Return for each parameter its key and the chart of the objective by its values."""
    dimensions = _varying(study, MAX_SLICES)
    if not study.values or not dimensions:
        return []
    axis = value_axis(study.values.values(), study.objective.goal)
    completed = {trial.number for trial in study.ranked}
    others = [trial for trial in study.trials if trial.number in study.values and trial.number not in completed]
    trials = choose([*study.ranked, *others], min(_POINTS, max(_ALL_POINTS // len(dimensions), 200)))
    return [(dimension.key, _slice(study, dimension, trials, axis)) for dimension in dimensions]


def slices_caption(study: Study, shown: list[tuple[str, Chart]]) -> str:
    """Return the common caption of the charts of `slices`."""
    caption = f"The {study.objective.metric} by the value of each parameter, on the parameter's own scale."
    most = max(
        (sum(len(trace["x"]) for trace in chart.figure["data"] if "customdata" in trace) for _, chart in shown),
        default=0,
    )
    if most < len(study.values) and most:
        caption += f" Up to {most:,} of {len(study.values):,} trials are drawn, the best among them."
    if len(shown) < len(_varying(study, len(study.space.dimensions))):
        caption += f" The {len(shown)} most important parameters are shown."
    if any(trace["type"] == "box" for _, chart in shown for trace in chart.figure["data"]):
        caption += " Boxes span the middle half of the completed trials, with their median."
    return caption + value_axis(study.values.values(), study.objective.goal).remark


def _slice(study: Study, dimension: Dimension, trials: list[Trial], axis: ValueAxis) -> Chart:
    placed = [(position, trial) for trial in trials if (position := _position(dimension, trial)) is not None]
    traces = [] if dimension.axis.ordered else _boxes(study, dimension)
    for state in TrialState:
        group = [(position, trial) for position, trial in placed if trial.state is state]
        if group:
            found = [trial for _, trial in group]
            trace = points(found, [position for position, _ in group], [study.values[trial.number] for trial in found])
            traces.append({**trace, "name": state.value, "marker": marker(state, 6, 0.65)})
    caption = f"{study.objective.metric} by {dimension.key}: {len(placed):,} trials."
    return Chart(caption, {"data": traces, "layout": across(study, dimension, 290, _same_range(axis))})


def across(study: Study, dimension: Dimension, height: int, losses: Figure) -> Figure:
    """Return the layout of a chart of the objective by one parameter.

    Args:
        study: of the run.
        dimension: whose positions, from 0 to 1, are on the x axis, with its values at the ticks.
        height: in pixels.
        losses: the y axis.
    """
    marks = ticks(dimension, 5, 10)
    axis = {
        "tickvals": [position for position, _ in marks],
        "ticktext": [plain(text) for _, text in marks],
        "range": [-0.04, 1.04],
        "zeroline": False,
    }
    drawn = layout(dimension.key, study.objective.metric, height, xaxis=axis, yaxis=losses)
    return {**drawn, "margin": {"l": 58, "r": 8, "t": 8, "b": 48}, "showlegend": False}


def _same_range(axis: ValueAxis) -> Figure:
    """Return the settings of the objective's axis with the same range in all charts."""
    if axis.low is None or axis.high is None or "range" in axis.settings:
        return axis.settings
    low, high = (math.log10(axis.low), math.log10(axis.high)) if axis.settings else (axis.low, axis.high)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    limits = [low - margin, high + margin]
    return {**axis.settings, "range": limits} if all(map(math.isfinite, limits)) else axis.settings


def _boxes(study: Study, dimension: Dimension) -> list[Figure]:
    """Return a trace of boxes for the values that at least five completed trials have; [] for none."""
    groups: dict[int, list[float]] = {}
    size = dimension.axis.size or 1
    for trial in study.ranked:
        position = _position(dimension, trial)
        if position is not None:
            groups.setdefault(min(int(position * size), size - 1), []).append(study.values[trial.number])
    enough = {index: values for index, values in sorted(groups.items()) if len(values) >= 5}
    if not enough:
        return []
    quarters = [quantiles(values, n=4, method="inclusive") for values in enough.values()]
    return [
        {
            "type": "box", "x": [(index + 0.5) / size for index in enough], "width": 0.6 / size, "hoverinfo": "skip",
            **{name: [each[place] for each in quarters] for place, name in enumerate(("q1", "median", "q3"))},
            "lowerfence": [min(values) for values in enough.values()],
            "upperfence": [max(values) for values in enough.values()],
            "line": {"color": BLUE, "width": 1}, "fillcolor": "rgba(40,120,181,0.12)",
        }
    ]  # fmt: skip
