"""Charts of the course of a run: objective over time, Pareto front, importance, learning curves, timeline."""

import math
from collections.abc import Sequence
from itertools import combinations

from cloudtune.report.looks import (
    AMBER,
    BLUE,
    COLOURS,
    GREEN,
    GREY,
    MANY,
    RED,
    Chart,
    Figure,
    ValueAxis,
    hatched,
    layout,
    marker,
    points,
    time_unit,
    value_axis,
)
from cloudtune.report.study import Study
from cloudtune.report.words import count, plain, short
from cloudtune.results.importance import MIN_TRIALS
from cloudtune.store.records import Trial, TrialState

MAX_BARS = 1500
"""Most trials in the timeline; of more trials, the last."""

MAX_PAIRS = 6
"""Most pairs of objectives with a chart."""

_VIOLATING = "violates a constraint"

_BEST_LINE = {"color": GREEN, "shape": "hv", "width": 2.5}


def history(study: Study) -> Chart | None:
    """Return the chart of the objective of every ended trial and the best so far; None before any trial has a value."""
    ended = [trial for trial in study.trials if trial.state.ended and trial.repeat_of is None]
    ended.sort(key=lambda trial: (study.latest if trial.ended is None else trial.ended, trial.number))
    if not ended or not study.values:
        return None
    order = {trial.number: place for place, trial in enumerate(ended, 1)}
    axis = value_axis(study.values.values(), study.objective.goal)
    traces = []
    size = 8 if len(ended) < 300 else 5
    groups = [(each.value, marker(each, size), [one for one in ended if _is(study, one, each)]) for each in TrialState]
    broken = [trial for trial in ended if study.why_infeasible(trial)]
    groups.append((_VIOLATING, {"color": AMBER, "symbol": "x-thin-open", "size": size}, broken))
    for name, looks, group in groups:
        if group:
            x = [order[trial.number] for trial in group]
            y = [study.values.get(trial.number, _worse_edge(study, axis)) for trial in group]
            traces.append({**points(group, x, y, fast=len(ended) > MANY), "name": name, "marker": looks})
    line = _best_so_far(study, ended)
    if line:
        steps = {"x": [*(x for x, _ in line), len(ended)], "y": [*(y for _, y in line), line[-1][1]]}
        looks = {"mode": "lines", "name": "best so far", "line": _BEST_LINE, "hoverinfo": "skip"}
        traces.append({"type": "scatter", **steps, **looks})
    valueless = sum(trial.number not in study.values for trial in ended)
    caption = f"The {study.objective.metric} of every trial in the order in which they ended, and the best so far."
    if valueless:
        caption += f" {count(valueless, 'trial')} without a value stand at the worse edge."
    across = {"tickformat": "d", **({"dtick": 1} if len(ended) < 12 else {})}
    figure = {
        "data": traces,
        "layout": layout("trials, as they ended", study.objective.metric, xaxis=across, yaxis=axis.settings),
    }
    return Chart(caption + axis.remark, figure)


def _is(study: Study, trial: Trial, state: TrialState) -> bool:
    """Return whether a trial is in a state, and violates no constraint."""
    return trial.state is state and not study.why_infeasible(trial)


def _worse_edge(study: Study, axis: ValueAxis) -> float:
    edge = axis.low if study.objective.goal == "maximize" else axis.high
    return 0.0 if edge is None else edge


def _best_so_far(study: Study, ended: Sequence[Trial]) -> list[tuple[int, float]]:
    """Return the places (from 1) at which the best value of a feasible trial changed, each with the new value."""
    better = max if study.objective.goal == "maximize" else min
    line: list[tuple[int, float]] = []
    for place, trial in enumerate(ended, 1):
        value = study.values.get(trial.number)
        if trial.state is not TrialState.COMPLETED or value is None or study.why_infeasible(trial):
            continue
        if not line or (value != line[-1][1] and better(value, line[-1][1]) == value):
            line.append((place, value))
    return line


def front(study: Study) -> list[Chart]:
    """Return a chart for each pair of objectives; [] for a single objective or without a completed trial."""
    if len(study.job.objective) < 2 or not study.front:
        return []
    return [
        _pair(study, one, other) for one, other in list(combinations(range(len(study.job.objective)), 2))[:MAX_PAIRS]
    ]


def _pair(study: Study, one: int, other: int) -> Chart:
    across, up = study.job.objective[one], study.job.objective[other]
    best = {trial.number for trial in study.front}
    completed = study.ranked
    groups = [
        (_VIOLATING, [trial for trial in completed if study.why_infeasible(trial)], AMBER, "x", 6),
        (
            "beaten by another",
            [each for each in completed if _is(study, each, each.state) and each.number not in best],
            GREY,
            "circle",
            6,
        ),
        ("Pareto front", [trial for trial in completed if trial.number in best], GREEN, "diamond", 10),
    ]
    two = len(study.job.objective) == 2
    traces = []
    for name, group, colour, symbol, size in groups:
        if name == _VIOLATING and not group:
            continue
        group.sort(key=lambda trial: trial.metrics[across.metric])
        x = [trial.metrics[across.metric] for trial in group]
        y = [trial.metrics.get(up.metric) for trial in group]
        looks = {"color": colour, "symbol": symbol, "size": size, "opacity": 0.85}
        lined = two and symbol == "diamond"
        trace = points(group, x, y, fast=len(group) > MANY and not lined)
        if lined:
            trace |= {"mode": "lines+markers", "line": {"color": GREEN, "width": 1, "dash": "dot"}}
        traces.append({**trace, "name": name, "marker": looks})
    axes = [
        value_axis((trial.metrics.get(each.metric, math.nan) for trial in completed), each.goal)
        for each in (across, up)
    ]
    caption = (
        f"Completed trials by {across.metric} ({across.goal}d) and {up.metric} ({up.goal}d). "
        "Diamonds are the front: no other trial is at least as good in all objectives and better in one."
        f"{axes[0].remark or axes[1].remark}"
    )
    drawn = layout(across.metric, up.metric, xaxis=axes[0].settings, yaxis=axes[1].settings)
    return Chart(caption, {"data": traces, "layout": drawn})


def importances(study: Study) -> Chart | str:
    """Return the chart of parameter importance for each objective, or a sentence why it is not known."""
    found = [(each.metric, study.aimed(aim).shares) for aim, each in enumerate(study.job.objective)]
    usable = [(metric, shares) for metric, shares in found if shares and any(shares.values())]
    if not usable:
        return _why_no_importance(study)
    names = list(usable[0][1])[:30][::-1]
    traces: list[Figure] = []
    for index, (metric, shares) in enumerate(usable):
        bar = {"type": "bar", "orientation": "h", "name": plain(short(metric)), "showlegend": len(usable) > 1}
        looks = {
            "color": [BLUE, AMBER, GREEN, RED, GREY][index % 5],
            "pattern": hatched(["", "/", "x", ".", "+"][index % 5]),
        }
        values = [shares[name] for name in names]
        texts: Figure = {"cliponaxis": False}
        aim = [each.metric for each in study.job.objective].index(metric)
        ends = study.aimed(aim).share_ends
        spans = [ends.get(name, (value, value)) for name, value in zip(names, values, strict=True)]
        texts["error_x"] = {
            "type": "data",
            "symmetric": False,
            "array": [max(high - value, 0.0) for (_, high), value in zip(spans, values, strict=True)],
            "arrayminus": [max(value - low, 0.0) for (low, _), value in zip(spans, values, strict=True)],
            "color": GREY,
            "thickness": 1.5,
            "width": 4,
        }
        places = {"x": values, "y": list(range(len(names)))}
        traces.append({**bar, **places, **texts, "marker": looks, "hoverinfo": "skip"})
    told = {name: f" {usable[0][1][name]:.0%}" if len(usable) == 1 else "" for name in names}
    labels = {"tickvals": list(range(len(names))), "ticktext": [plain(short(name, 24)) + told[name] for name in names]}
    across = {"tickformat": ".0%", "range": [0, 1.02]}
    height = 100 + max(28, 16 * len(usable)) * len(names)
    drawn = layout("share of the importance", "", height, xaxis=across, yaxis=labels)
    caption = (
        "How much each parameter decides whether a trial is among the best tenth: how differently it is distributed "
        f"there and among all {len(study.ranked):,} completed trials (PED-ANOVA, arXiv 2304.10255). "
        "Whiskers span 90 % of what the share would be with other trials of the same kind (bootstrap)."
    )
    return Chart(caption, {"data": traces, "layout": drawn})


def _why_no_importance(study: Study) -> str:
    if len(study.ranked) < MIN_TRIALS:
        return f"Not shown: it takes at least {MIN_TRIALS} completed trials; there are {len(study.ranked)}."
    if study.aimed(0).shares is None:
        return "Not shown: no parameter varies."
    return "Not shown: no parameter sets the best trials apart from the others beyond what chance does."


def curves(study: Study) -> Chart | None:
    """Return the chart of the learning curves of trials with several reports; None without any."""
    drawn = [trial for trial in study.trials if trial.number in study.curves]
    if not drawn:
        return None
    best = study.best.number if study.best else -1
    axis = value_axis((value for points in study.curves.values() for _, value in points), study.objective.goal)
    seen: set[str] = set()
    traces = []
    for trial in sorted(drawn, key=lambda trial: (trial.number == best, trial.number)):
        name = f"best: trial {best}" if trial.number == best else trial.state.value
        trace = _curve(study, trial, highlighted=trial.number == best)
        traces.append({**trace, "name": name, "legendgroup": name, "showlegend": name not in seen})
        seen.add(name)
    which = (
        f"{len(drawn)} of the trials, the best among them"
        if study.more_curves
        else "all trials that reported it more than once"
    )
    caption = f"The {study.objective.metric} over the steps of {which}. Dotted lines were pruned, dashed ones failed."
    if best in study.curves:
        caption += " The thick line is the best trial."
    return Chart(
        caption + axis.remark, {"data": traces, "layout": layout("step", study.objective.metric, yaxis=axis.settings)}
    )


def _curve(study: Study, trial: Trial, *, highlighted: bool) -> Figure:
    steps = study.curves[trial.number]
    dash = {TrialState.PRUNED: "dot", TrialState.FAILED: "dash"}.get(trial.state, "solid")
    colour = GREEN if highlighted else COLOURS[trial.state]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [step for step, _ in steps],
        "y": [value if math.isfinite(value) else None for _, value in steps],
        "customdata": [trial.number] * len(steps),
        "hoverinfo": "text",
        "line": {"color": colour, "width": 3 if highlighted else 1.2, "dash": dash},
        "opacity": 1.0 if highlighted else 0.55,
    }


def timeline(study: Study) -> Chart | None:
    """Return the chart of when each trial ran, on as many rows as ran in parallel; None before the first start."""
    spans = [
        (trial.started, max(trial.started, study.latest if trial.ended is None else trial.ended), trial)
        for trial in study.trials
        if trial.started is not None
    ]
    if not spans:
        return None
    spans.sort(key=lambda span: (span[0], span[2].number))
    shown = spans[-MAX_BARS:]
    rows = _rows(shown)
    start = spans[0][0]
    unit, seconds = time_unit(max(end for _, end, _ in spans) - start)
    traces = []
    for state in TrialState:
        group = [
            (begin, end, trial, row)
            for (begin, end, trial), row in zip(shown, rows, strict=True)
            if trial.state is state
        ]
        if group:
            traces.append(
                {
                    "type": "bar", "orientation": "h", "name": state.value, "width": 0.82, "hoverinfo": "text",
                    "base": [(begin - start) / seconds for begin, _, _, _ in group],
                    "x": [(end - begin) / seconds for begin, end, _, _ in group], "y": [row for _, _, _, row in group],
                    "customdata": [trial.number for _, _, trial, _ in group],
                    "text": [str(trial.number) for _, _, trial, _ in group],
                    "textposition": "inside", "insidetextanchor": "middle", "textangle": 0, "constraintext": "none",
                    "textfont": {"color": "#ffffff"},
                    "marker": {"color": COLOURS[state], "pattern": hatched(_PATTERNS.get(state, ""))},
                }
            )  # fmt: skip
    lanes = max(rows) + 1
    axis = {"autorange": "reversed", "showticklabels": False, "showgrid": False, "zeroline": False}
    drawn = layout(f"{unit} since the first start", "side by side", 110 + min(24 * lanes, 600), yaxis=axis)
    part = f"the last {MAX_BARS:,} of {len(spans):,} trials" if len(spans) > len(shown) else "each trial"
    caption = (
        f"When {part} ran, one bar each, at most {lanes} at a time. Of a trial that was tried again, the last attempt."
    )
    return Chart(
        caption,
        {"data": traces, "layout": {**drawn, "barmode": "overlay", "uniformtext": {"mode": "hide", "minsize": 9}}},
    )


_PATTERNS = {TrialState.FAILED: "x", TrialState.PRUNED: "/", TrialState.CANCELLED: ".", TrialState.RUNNING: "-"}


def _rows(spans: Sequence[tuple[float, float, Trial]]) -> list[int]:
    """Return a row for each span, sorted by start, so that no spans of a row overlap."""
    free: list[float] = []  # the time from which each row is free
    rows = []
    for begin, end, _ in spans:
        row = next((row for row, until in enumerate(free) if until <= begin), len(free))
        if row == len(free):
            free.append(end)
        free[row] = end
        rows.append(row)
    return rows
