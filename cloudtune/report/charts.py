"""Charts of the course of a run: objective over time, Pareto front, importance, learning curves, timeline."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from cloudtune.report.figures import Axis, Chart, Colour, Dash, Pattern, Series
from cloudtune.report.looks import COLOURS, ValueAxis, points, time_unit, value_axis
from cloudtune.report.study import Study
from cloudtune.report.words import count, short
from cloudtune.results.importance import MIN_TRIALS
from cloudtune.store.records import Trial, TrialState

MAX_BARS = 1500
"""Most trials in the timeline; of more trials, the last."""

MAX_PAIRS = 6
"""Most pairs of objectives with a chart."""

_VIOLATING = "violates a constraint"

_BAR_COLOURS: tuple[Colour, ...] = ("blue", "amber", "green", "red", "grey")
_BAR_PATTERNS: tuple[Pattern, ...] = ("", "/", "x", ".", "+")
_SPAN_PATTERNS: dict[TrialState, Pattern] = {
    TrialState.FAILED: "x", TrialState.PRUNED: "/", TrialState.CANCELLED: ".", TrialState.RUNNING: "-",
}  # fmt: skip
_DASHES: dict[TrialState, Dash] = {TrialState.PRUNED: "dot", TrialState.FAILED: "dash"}


def history(study: Study) -> Chart | None:
    """Return the chart of the objective of every ended trial and the best so far; None before any trial has a value."""
    ended = _ended(study)
    if not ended or not study.values:
        return None
    order = {trial.number: place for place, trial in enumerate(ended, 1)}
    axis = value_axis(study.values.values(), study.objective.goal)
    size = 8.0 if len(ended) < 300 else 5.0
    edge = _worse_edge(study, axis)
    groups = [(state, [trial for trial in ended if _is(study, trial, state)]) for state in TrialState]
    series = [points(group, *_places(study, group, order, edge), state, size) for state, group in groups if group]
    if broken := [trial for trial in ended if study.why_infeasible(trial)]:
        x, y = _places(study, broken, order, edge)
        numbers = [trial.number for trial in broken]
        series.append(
            Series(
                "points", _VIOLATING, x, y, trials=numbers, colour="amber", symbol="cross-thin", size=size, opacity=0.8
            )
        )
    line = _improvements(study, ended)
    if line:
        x, y = [*(place for place, _, _ in line), len(ended)], [*(value for *_, value in line), line[-1][2]]
        series.append(Series("steps", "best so far", x, y, colour="green", size=2.5))
    valueless = sum(trial.number not in study.values for trial in ended)
    caption = f"The {study.objective.metric} of every trial in the order in which they ended, and the best so far."
    if valueless:
        caption += f" {count(valueless, 'trial')} without a value stand at the worse edge."
    across = Axis("trials, as they ended", "count")
    return Chart(caption + axis.remark, across, axis.titled(study.objective.metric), series)


def _places(
    study: Study, group: Sequence[Trial], order: dict[int, int], edge: float
) -> tuple[list[float], list[float]]:
    """Return the places of ended trials in their order, and their values; `edge` for those without one."""
    return [order[each.number] for each in group], [study.values.get(each.number, edge) for each in group]


def _is(study: Study, trial: Trial, state: TrialState) -> bool:
    """Return whether a trial is in a state, and violates no constraint."""
    return trial.state is state and not study.why_infeasible(trial)


def _worse_edge(study: Study, axis: ValueAxis) -> float:
    edge = axis.low if study.objective.goal == "maximize" else axis.high
    return 0.0 if edge is None else edge


def best_so_far(study: Study) -> list[tuple[int, float, float]]:
    """Return when the best value of a feasible trial changed: the place among the ended trials (from 1), the time, the value."""
    return [(place, _end(study, ended), value) for place, ended, value in _improvements(study, _ended(study))]


def _ended(study: Study) -> list[Trial]:
    """Return the ended trials of the search, in the order in which they ended."""
    ended = [trial for trial in study.trials if trial.state.ended and trial.repeat_of is None]
    return sorted(ended, key=lambda trial: (_end(study, trial), trial.number))


def _end(study: Study, trial: Trial) -> float:
    return study.latest if trial.ended is None else trial.ended


def _improvements(study: Study, ended: Sequence[Trial]) -> list[tuple[int, Trial, float]]:
    """Return the places (from 1) at which the best value of a feasible trial changed, with the trial and the new value."""
    better = max if study.objective.goal == "maximize" else min
    line: list[tuple[int, Trial, float]] = []
    for place, trial in enumerate(ended, 1):
        value = study.values.get(trial.number)
        if trial.state is not TrialState.COMPLETED or value is None or study.why_infeasible(trial):
            continue
        if not line or (value != line[-1][2] and better(value, line[-1][2]) == value):
            line.append((place, trial, value))
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
    completed = sorted(study.ranked, key=lambda trial: trial.metrics[across.metric])
    violating = [trial for trial in completed if study.why_infeasible(trial)]
    beaten = [each for each in completed if not study.why_infeasible(each) and each.number not in best]
    front = [trial for trial in completed if trial.number in best]

    def values(group: Sequence[Trial]) -> tuple[list[float], list[float | None]]:
        return [each.metrics[across.metric] for each in group], [each.metrics.get(up.metric) for each in group]

    def numbers(group: Sequence[Trial]) -> list[int]:
        return [trial.number for trial in group]

    series = [
        Series("points", "beaten by another", *values(beaten), trials=numbers(beaten), colour="grey", size=6, opacity=0.85),
        Series(
            "points", "Pareto front", *values(front), trials=numbers(front), colour="green", symbol="diamond", size=10, opacity=0.85
        ),
    ]  # fmt: skip
    if violating:
        looks = Series(
            "points", _VIOLATING, *values(violating), trials=numbers(violating), colour="amber", symbol="cross", size=6
        )
        series.insert(0, replace(looks, opacity=0.85))
    if len(study.job.objective) == 2:
        series.append(Series("line", "", *values(front), colour="green", dash="dot", size=1.0))
    axes = [
        value_axis((trial.metrics.get(each.metric, math.nan) for trial in completed), each.goal)
        for each in (across, up)
    ]
    caption = (
        f"Completed trials by {across.metric} ({across.goal}d) and {up.metric} ({up.goal}d). "
        "Diamonds are the front: no other trial is at least as good in all objectives and better in one."
        f"{axes[0].remark or axes[1].remark}"
    )
    return Chart(caption, axes[0].titled(across.metric, 40), axes[1].titled(up.metric), series)


def importances(study: Study) -> Chart | str:
    """Return the chart of parameter importance for each objective, or a sentence why it is not known."""
    found = [(aim, each.metric, study.aimed(aim).shares) for aim, each in enumerate(study.job.objective)]
    usable = [(aim, metric, shares) for aim, metric, shares in found if shares and any(shares.values())]
    if not usable:
        return _why_no_importance(study)
    first = usable[0][2]
    names = list(first)[:30][::-1]
    series: list[Series] = []
    for index, (aim, metric, shares) in enumerate(usable):
        values = [shares[name] for name in names]
        ends = study.aimed(aim).share_ends
        spans = [ends.get(name, (value, value)) for name, value in zip(names, values, strict=True)]
        bars = Series(
            "bars",
            short(metric) if len(usable) > 1 else "",
            values,
            list(range(len(names))),
            low=[min(low, value) for (low, _), value in zip(spans, values, strict=True)],
            high=[max(high, value) for (_, high), value in zip(spans, values, strict=True)],
            colour=_BAR_COLOURS[index % 5],
            pattern=_BAR_PATTERNS[index % 5],
        )
        series.append(bars)
    told = {name: f" {first[name]:.0%}" if len(usable) == 1 else "" for name in names}
    labels = [(row, short(name, 24) + told[name]) for row, name in enumerate(names)]
    caption = (
        "How much each parameter decides whether a trial is among the best tenth: how differently it is distributed "
        f"there and among all {len(study.ranked):,} completed trials (PED-ANOVA, arXiv 2304.10255). "
        "Whiskers span 90 % of what the share would be with other trials of the same kind (bootstrap)."
    )
    return Chart(
        caption,
        Axis("share of the importance", "percent", (0.0, 1.02)),
        Axis(ticks=labels),
        series,
        100 + max(28, 16 * len(usable)) * len(names),
    )


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
    ordered = sorted(drawn, key=lambda trial: (trial.number == best, trial.number))
    series = [_curve(study, trial, highlighted=trial.number == best) for trial in ordered]
    which = (
        f"{len(drawn)} of the trials, the best among them"
        if study.more_curves
        else "all trials that reported it more than once"
    )
    caption = f"The {study.objective.metric} over the steps of {which}. Dotted lines were pruned, dashed ones failed."
    if best in study.curves:
        caption += " The thick line is the best trial."
    return Chart(caption + axis.remark, Axis("step", "count"), axis.titled(study.objective.metric), series)


def _curve(study: Study, trial: Trial, *, highlighted: bool) -> Series:
    steps = study.curves[trial.number]
    return Series(
        "line",
        f"best: trial {trial.number}" if highlighted else trial.state.value,
        [step for step, _ in steps],
        [value if math.isfinite(value) else None for _, value in steps],
        trials=[trial.number],
        colour="green" if highlighted else COLOURS[trial.state],
        dash=_DASHES.get(trial.state, "solid"),
        size=3.0 if highlighted else 1.2,
        opacity=1.0 if highlighted else 0.55,
    )


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
    series = []
    for state in TrialState:
        group = [(*span, row) for span, row in zip(shown, rows, strict=True) if span[2].state is state]
        if group:
            bars = Series(
                "spans",
                state.value,
                y=[row for *_, row in group],
                low=[(begin - start) / seconds for begin, *_ in group],
                high=[(end - start) / seconds for _, end, *_ in group],
                trials=[trial.number for _, _, trial, _ in group],
                colour=COLOURS[state],
                pattern=_SPAN_PATTERNS.get(state, ""),
            )
            series.append(bars)
    lanes = max(rows) + 1
    part = f"the last {MAX_BARS:,} of {len(spans):,} trials" if len(spans) > len(shown) else "each trial"
    caption = (
        f"When {part} ran, one bar each, at most {lanes} at a time. Of a trial that was tried again, the last attempt."
    )
    height = 110 + min(24 * lanes, 600)
    return Chart(caption, Axis(f"{unit} since the first start"), Axis("side by side", "rows"), series, height)


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
