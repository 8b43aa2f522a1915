"""Charts of the parameters: parallel coordinates, and the objective by each parameter."""

import math
from dataclasses import replace
from statistics import quantiles

from cloudtune.report.figures import Axis, Chart, Parallel, ParallelAxis, Series
from cloudtune.report.looks import ValueAxis, points, spread, value_axis
from cloudtune.report.study import Study, choose
from cloudtune.report.ticks import ticks
from cloudtune.report.words import short
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


def parallel(study: Study) -> Parallel | None:
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
    numbers = [trial.number for trial in trials]
    return Parallel(_parallel_caption(study, trials, dimensions, axis), axes, numbers, _shades(study, trials, axes[-1]))


def _feasible_axis(study: Study, trials: list[Trial]) -> ParallelAxis:
    """Return the axis on which feasible trials lie apart from the others; a selection on it shows either alone."""
    values = [0.0 if study.why_infeasible(trial) else 1.0 for trial in trials]
    return ParallelAxis("feasible", values, (-0.1, 1.1), ((0.0, "no"), (1.0, "yes")))


def _shades(study: Study, trials: list[Trial], objective: ParallelAxis) -> list[float]:
    """Return how good trials are by the objective's axis, from 0 to 1; infeasible ones are as the worst."""
    low, high = min(objective.values), max(objective.values)
    width = (high - low) or 1.0
    heights = [(value - low) / width for value in objective.values]
    return [
        0.0 if study.why_infeasible(trial) else 1.0 - height if study.objective.goal == "minimize" else height
        for trial, height in zip(trials, heights, strict=True)
    ]


def _within(value: float, axis: ValueAxis) -> float:
    """Return a value, or the end of the axis for an outlier."""
    low, high = value if axis.low is None else axis.low, value if axis.high is None else axis.high
    return min(max(value, low), high)


def _objective_axis(study: Study, values: list[float], axis: ValueAxis) -> ParallelAxis:
    label = short(study.objective.metric)
    if not axis.log:
        return ParallelAxis(label, values, (min(values), max(values)))
    powers = [math.log10(value) for value in values]
    marks = range(math.ceil(min(powers)), math.floor(max(powers)) + 1)
    return ParallelAxis(label, powers, (min(powers), max(powers)), [(float(mark), f"{10.0**mark:g}") for mark in marks])


def _parallel_axis(dimension: Dimension, trials: list[Trial]) -> ParallelAxis:
    positions = [_position(dimension, trial) for trial in trials]
    absent = any(position is None for position in positions)
    return ParallelAxis(
        short(dimension.key),
        [_ABSENT if position is None else position for position in positions],
        (_ABSENT - 0.02 if absent else 0.0, 1.0),
        [*([(_ABSENT, "absent")] if absent else []), *ticks(dimension, 7)],
    )


def _parallel_caption(study: Study, trials: list[Trial], dimensions: list[Dimension], axis: ValueAxis) -> str:
    few = f"{len(trials):,} of the" if len(trials) < len(study.ranked) else "The"
    caption = f"{few} completed trials, each a line through its parameters to its {study.objective.metric}; the stronger the colour stands out, the better."
    if study.job.constraints:
        caption += " Trials that violate a constraint have the colour of the worst."
    if axis.limits is not None:
        caption += " Outliers are drawn at the end of its axis."
    if len(dimensions) < len(_varying(study, len(study.space.dimensions))):
        caption += f" The {len(dimensions)} most important parameters are shown."
    return caption + " Drag along an axis to select."


def slices(study: Study, parameter: str | None = None) -> list[tuple[str, Chart]]:
    """Return for each parameter its key and the chart of the objective by its values.

    Args:
        study: of the run.
        parameter: the name or the key of the only one wanted; None for all, up to `MAX_SLICES`.
    """
    dimensions = (
        _varying(study, MAX_SLICES)
        if parameter is None
        else [each for each in _varying(study, len(study.space.dimensions)) if parameter in (each.name, each.key)]
    )
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
        (sum(len(series.trials) for series in chart.series) for _, chart in shown),
        default=0,
    )
    if most < len(study.values) and most:
        caption += f" Up to {most:,} of {len(study.values):,} trials are drawn, the best among them."
    if len(shown) < len(_varying(study, len(study.space.dimensions))):
        caption += f" The {len(shown)} most important parameters are shown."
    if any(series.mark == "boxes" for _, chart in shown for series in chart.series):
        caption += " Boxes span the middle half of the completed trials, with their median."
    return caption + value_axis(study.values.values(), study.objective.goal).remark


def _slice(study: Study, dimension: Dimension, trials: list[Trial], axis: ValueAxis) -> Chart:
    placed = [(position, trial) for trial in trials if (position := _position(dimension, trial)) is not None]
    series = [] if dimension.axis.ordered else _boxes(study, dimension)
    for state in TrialState:
        group = [(position, trial) for position, trial in placed if trial.state is state]
        if group:
            found = [trial for _, trial in group]
            values = [study.values[trial.number] for trial in found]
            series.append(points(found, [position for position, _ in group], values, state, 6.0, 0.65))
    caption = f"{study.objective.metric} by {dimension.key}: {len(placed):,} trials."
    losses = Axis(kind="log" if axis.log else "linear", limits=_same_range(axis))
    return by_parameter(caption, study, dimension, series, losses, 290)


def by_parameter(
    caption: str, study: Study, dimension: Dimension, series: list[Series], losses: Axis, height: int
) -> Chart:
    """Return a chart of the objective by one parameter.

    Args:
        caption: of the chart.
        study: of the run.
        dimension: whose positions, from 0 to 1, are on the x axis, with its values at the ticks.
        series: of the chart.
        losses: the y axis, which gets the objective's name.
        height: in pixels.
    """
    across = Axis(short(dimension.key, 40), limits=(-0.04, 1.04), ticks=ticks(dimension, 5, 10))
    up = replace(losses, title=short(study.objective.metric, 30))
    return Chart(caption, across, up, series, height, legend=False)


def _same_range(axis: ValueAxis) -> tuple[float, float] | None:
    """Return the limits of the objective's axis, the same in all charts."""
    if axis.low is None or axis.high is None or axis.limits is not None:
        return axis.limits
    low, high = (math.log10(axis.low), math.log10(axis.high)) if axis.log else (axis.low, axis.high)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    limits = low - margin, high + margin
    if not all(map(math.isfinite, limits)):
        return None
    return (10.0 ** limits[0], 10.0 ** limits[1]) if axis.log else limits


def _boxes(study: Study, dimension: Dimension) -> list[Series]:
    """Return a series of boxes for the values that at least five completed trials have; [] for none."""
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
    low, middle, high = (list(each) for each in zip(*quarters, strict=True))
    ends = [(min(values), max(values)) for values in enough.values()]
    places = [(index + 0.5) / size for index in enough]
    return [Series("boxes", "", places, middle, low=low, high=high, far=ends, size=0.6 / size, opacity=0.12)]
