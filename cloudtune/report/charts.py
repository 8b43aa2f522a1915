"""The charts, as figures of plotly.js (https://plotly.com/javascript/reference): plain data, drawn by the page."""

import json
import math
from collections.abc import Sequence
from typing import Any

from cloudtune.axis import Axis
from cloudtune.importance import importance
from cloudtune.outcome import losses
from cloudtune.parameters import Scalar
from cloudtune.report.study import Study
from cloudtune.space import Dimension
from cloudtune.states import Trial, TrialState

Figure = dict[str, Any]

# Colours that are told apart with any kind of colour vision (Okabe & Ito 2008), each with a symbol of its own.
BLUE, GREEN, ORANGE, RED, GREY = "#0072B2", "#009E73", "#E69F00", "#D55E00", "#999999"
_LOOKS = {
    TrialState.COMPLETED: (BLUE, "circle"),
    TrialState.PRUNED: (ORANGE, "triangle-down"),
    TrialState.FAILED: (RED, "x"),
    TrialState.CANCELLED: (GREY, "square-open"),
    TrialState.RUNNING: (GREEN, "diamond"),
    TrialState.WAITING: (GREY, "circle-open"),
}
_SCALE = [
    [0.0, "#440154"],
    [0.25, "#3b528b"],
    [0.5, "#21918c"],
    [0.75, "#5ec962"],
    [1.0, "#fde725"],
]  # viridis

MAX_PARALLEL = 2000
"""Lines of the parallel coordinates; of more trials, the best."""


def _text(value: Scalar) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _short(text: str, length: int = 18) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _hover(trial: Trial) -> str:
    """What is shown of a trial under the pointer; plotly reads tags in it, so what might be one is escaped."""
    lines = [f"trial {trial.number} ({trial.state.value})"]
    lines += [f"{name} = {value:.6g}" for name, value in trial.metrics.items()]
    lines += [f"{name} = {_short(_text(value), 40)}" for name, value in trial.parameters.items()]
    return "<br>".join(line.replace("&", "&amp;").replace("<", "&lt;") for line in lines)


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _layout(x: str, y: str, height: int = 380, **more: Any) -> dict[str, Any]:
    return {
        "height": height,
        "margin": {"l": 70, "r": 20, "t": 20, "b": 55},
        "xaxis": {"title": {"text": _plain(x)}, **more.pop("xaxis", {})},
        "yaxis": {"title": {"text": _plain(y)}, **more.pop("yaxis", {})},
        "legend": {"orientation": "h", "y": 1.12},
        "hovermode": "closest",
        **more,
    }


def history(study: Study) -> Figure:
    """Every trial in the order of their ends, and the best so far."""
    ended = sorted((trial for trial in study.trials if trial.ended), key=lambda trial: (trial.ended or 0, trial.number))
    order = {trial.number: index for index, trial in enumerate(ended, 1)}
    worst = _edge(study)
    data: list[dict[str, Any]] = []
    for state, (colour, symbol) in _LOOKS.items():
        group = [trial for trial in ended if trial.state is state]
        if group:
            values = [study.value(trial) if state is not TrialState.FAILED else None for trial in group]
            data.append(
                {
                    "type": "scattergl" if len(ended) > 1000 else "scatter",
                    "mode": "markers",
                    "name": state.value,
                    "x": [order[trial.number] for trial in group],
                    "y": [worst if value is None else value for value in values],
                    "text": [_hover(trial) for trial in group],
                    "hoverinfo": "text",
                    "marker": {
                        "color": colour,
                        "symbol": symbol,
                        "size": 8 if len(ended) < 300 else 5,
                        "opacity": 0.8,
                    },
                }
            )
    steps: list[tuple[int, float]] = []
    better = max if study.objective.goal == "maximize" else min
    for trial in ended:
        value = study.value(trial)
        if trial.state is TrialState.COMPLETED and value is not None:
            steps.append((order[trial.number], better(value, steps[-1][1]) if steps else value))
    if steps:
        data.append(
            {
                "type": "scatter", "mode": "lines", "name": "best so far", "line": {"color": GREEN, "shape": "hv", "width": 2.5},
                "x": [*(x for x, _ in steps), len(ended)], "y": [*(y for _, y in steps), steps[-1][1]], "hoverinfo": "skip",
            }
        )  # fmt: skip
    return {
        "data": data,
        "layout": _layout("trials, as they ended", study.objective.metric, yaxis=_focused(study)),
    }


def _edge(study: Study) -> float | None:
    """Where trials without a value are drawn: at the worse edge of the others."""
    values = [value for trial in study.trials if (value := study.value(trial)) is not None]
    if not values:
        return 0.0
    return min(values) if study.objective.goal == "maximize" else max(values)


def parallel(study: Study) -> Figure | None:
    """Every completed trial as a line through its parameters, coloured by the objective."""
    trials = _with_value(study)[:MAX_PARALLEL]
    dimensions = [dimension for dimension in study.space.dimensions if dimension.axis.size != 1]
    if len(trials) < 2 or not dimensions:
        return None
    values = [study.value(trial) or 0.0 for trial in trials]
    axes = [_parallel_axis(dimension, trials) for dimension in dimensions]
    axes.append({"label": _plain(_short(study.objective.metric)), "values": values})
    line = {
        "color": values, "colorscale": _SCALE, "showscale": True, "reversescale": study.objective.goal == "minimize",
        "colorbar": {"title": {"text": _plain(_short(study.objective.metric))}, "thickness": 14},
    }  # fmt: skip
    return {
        "data": [{"type": "parcoords", "dimensions": axes, "line": line, "labelangle": -20 if len(axes) > 6 else 0}],
        "layout": {"height": 430, "margin": {"l": 80, "r": 60, "t": 80 if len(axes) > 6 else 60, "b": 30}},
    }


def _with_value(study: Study) -> list[Trial]:
    """The completed trials that have a value, the best first."""
    found = [(losses((study.objective,), trial.metrics), trial) for trial in study.completed]
    return [trial for _, trial in sorted(((loss, trial) for loss, trial in found if loss), key=lambda pair: pair[0])]


def _parallel_axis(dimension: Dimension, trials: Sequence[Trial]) -> dict[str, Any]:
    """An axis on positions, so that every scale and kind is drawn as it is searched; "none" is below."""
    label = {"label": _plain(_short(dimension.key))}
    positions = [_position(dimension, trial) for trial in trials]
    absent = any(position is None for position in positions)
    ticks = axis_ticks(dimension.axis)
    if absent:
        ticks = [(-0.12, "none"), *ticks]
    return {
        **label,
        "values": [-0.12 if position is None else position for position in positions],
        "range": [-0.15 if absent else 0.0, 1.0],
        "tickvals": [position for position, _ in ticks],
        "ticktext": [_plain(_short(text)) for _, text in ticks],
    }


def _position(dimension: Dimension, trial: Trial) -> float | None:
    if dimension.name not in trial.parameters or not dimension.active(trial.parameters):
        return None
    try:
        return dimension.axis.position(trial.parameters[dimension.name])
    except ValueError:
        return None


def axis_ticks(axis: Axis, most: int = 7) -> list[tuple[float, str]]:
    """Positions on an axis and what to write there."""
    if axis.size is not None and axis.size <= 12:
        return [(axis.position(value), _tick(value)) for value in axis.grid(1)]
    values = [axis.at(level / (most - 1)) for level in range(most)]
    return [(axis.position(value), _tick(value)) for value in values]


def _tick(value: Scalar) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if 1e-3 <= abs(value) < 1e5 else f"{value:.2g}"
    return _text(value)


def focus(study: Study) -> list[float] | None:
    """The range of the objective without its outliers: what lies far beyond the worse quartile; None if there are none."""
    values = sorted(
        (value for trial in study.trials if (value := study.value(trial)) is not None),
        reverse=study.objective.goal == "maximize",
    )
    if len(values) < _FEW:
        return None
    best, quartile, worst = values[0], values[(3 * len(values)) // 4], values[-1]
    reach = best + 3.0 * (quartile - best)
    if abs(worst - best) <= 1.5 * abs(reach - best) or reach == best:
        return None
    margin = 0.06 * (best - reach)
    return sorted([best + margin, reach])


_FEW = 8
"""Trials below which nothing is called an outlier."""


def _focused(study: Study) -> dict[str, Any]:
    found = focus(study)
    return {} if found is None else {"range": found}


def slices(study: Study) -> list[tuple[str, Figure]]:
    """Each parameter against the objective."""
    trials = [
        trial for trial in study.trials if study.value(trial) is not None and trial.state is not TrialState.FAILED
    ]
    return [
        (dimension.key, _slice(study, dimension, trials))
        for dimension in study.space.dimensions
        if dimension.axis.size != 1 and trials
    ]


def _slice(study: Study, dimension: Dimension, trials: Sequence[Trial]) -> Figure:
    data = []
    for state in (TrialState.COMPLETED, TrialState.PRUNED, TrialState.CANCELLED, TrialState.RUNNING):
        colour, symbol = _LOOKS[state]
        points = [
            (position, trial)
            for trial in trials
            if trial.state is state and (position := _position(dimension, trial)) is not None
        ]
        if points:
            data.append(
                {
                    "type": "scattergl" if len(trials) > 1000 else "scatter", "mode": "markers", "name": state.value, "showlegend": False,
                    "x": [position + (_jitter(trial.number) if not dimension.axis.ordered else 0.0) for position, trial in points],
                    "y": [study.value(trial) for _, trial in points],
                    "text": [_hover(trial) for _, trial in points], "hoverinfo": "text",
                    "marker": {"color": colour, "symbol": symbol, "size": 6, "opacity": 0.7},
                }
            )  # fmt: skip
    ticks = axis_ticks(dimension.axis, 5)
    axis = {
        "tickvals": [position for position, _ in ticks],
        "ticktext": [_plain(_short(text, 12)) for _, text in ticks],
        "range": [-0.04, 1.04],
    }
    layout = _layout(dimension.key, study.objective.metric, 280, xaxis=axis, yaxis=_focused(study))
    return {"data": data, "layout": {**layout, "margin": {"l": 60, "r": 10, "t": 10, "b": 50}}}


def _jitter(number: int) -> float:
    """A small shift that keeps equal values of a category apart, the same every time."""
    return ((number * 0.6180339887) % 1.0 - 0.5) * 0.06


def importances(study: Study) -> Figure | None:
    """How much each parameter decides."""
    pairs = [
        (trial.parameters, loss[0]) for trial in study.completed if (loss := losses((study.objective,), trial.metrics))
    ]
    shares = importance(study.space, pairs)
    if not shares:
        return None
    names = list(shares)[::-1]
    bars = {
        "type": "bar", "orientation": "h", "x": [shares[name] for name in names], "y": [_plain(_short(name, 28)) for name in names],
        "marker": {"color": BLUE}, "text": [f"{shares[name]:.0%}" for name in names], "textposition": "auto", "hoverinfo": "skip",
    }  # fmt: skip
    layout = _layout(
        "share of the importance",
        "",
        90 + 32 * len(names),
        xaxis={"tickformat": ".0%", "rangemode": "tozero"},
    )
    return {"data": [bars], "layout": {**layout, "margin": {"l": 190, "r": 20, "t": 10, "b": 55}}}


def curves(study: Study) -> Figure | None:
    """The objective over the steps of each trial that reported several times."""
    if not study.curves:
        return None
    best = study.best.number if study.best else -1
    state = {trial.number: trial.state for trial in study.trials}
    data = []
    for number, points in sorted(study.curves.items(), key=lambda item: item[0] == best):
        pruned = state[number] is TrialState.PRUNED
        colour = GREEN if number == best else ORANGE if pruned else RED if state[number] is TrialState.FAILED else BLUE
        data.append(
            {
                "type": "scatter", "mode": "lines", "name": f"trial {number}", "showlegend": False,
                "x": [step for step, _ in points], "y": [value if math.isfinite(value) else None for _, value in points],
                "line": {"color": colour, "width": 3 if number == best else 1, "dash": "dot" if pruned else "solid"},
                "opacity": 1.0 if number == best else 0.5, "hovertemplate": f"trial {number}<br>step %{{x}}: %{{y}}<extra></extra>",
            }
        )  # fmt: skip
    return {"data": data, "layout": _layout("step", study.objective.metric, yaxis=_focused(study))}


def front(study: Study) -> Figure | None:
    """Two objectives against each other, and the trials that no other beats."""
    if len(study.job.objective) < 2:
        return None
    first, second = study.job.objective[0].metric, study.job.objective[1].metric
    best = {trial.number for trial in study.front}
    data = []
    for name, chosen, colour, size in (("beaten", False, GREY, 7), ("front", True, GREEN, 11)):
        group = [trial for trial in study.completed if (trial.number in best) is chosen]
        data.append(
            {
                "type": "scatter", "mode": "markers", "name": name, "x": [trial.metrics.get(first) for trial in group],
                "y": [trial.metrics.get(second) for trial in group], "text": [_hover(trial) for trial in group], "hoverinfo": "text",
                "marker": {"color": colour, "size": size, "symbol": "diamond" if chosen else "circle"},
            }
        )  # fmt: skip
    return {"data": data, "layout": _layout(first, second)}


def timeline(study: Study) -> Figure | None:
    """When each trial ran."""
    ran = [trial for trial in study.trials if trial.started is not None and trial.ended is not None]
    if not ran:
        return None
    start = min(trial.started or 0 for trial in ran)
    data = []
    for state, (colour, _) in _LOOKS.items():
        group = [trial for trial in ran if trial.state is state]
        if group:
            data.append(
                {
                    "type": "bar", "orientation": "h", "name": state.value, "y": [trial.number for trial in group],
                    "base": [(trial.started or 0) - start for trial in group], "x": [trial.duration for trial in group],
                    "text": [_hover(trial) for trial in group], "hoverinfo": "text", "textposition": "none", "marker": {"color": colour}, "width": 0.8,
                }
            )  # fmt: skip
    return {
        "data": data,
        "layout": _layout("seconds since the start", "trial", barmode="overlay", yaxis={"autorange": "reversed"}),
    }
