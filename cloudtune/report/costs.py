"""The chart of what a run has cost over time."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import accumulate
from typing import NamedTuple

from cloudtune.costs.views import RunCost
from cloudtune.report.looks import GREEN, MANY, RED, Chart, Figure, layout, marker, points, time_unit
from cloudtune.report.study import Study
from cloudtune.store.records import Trial, TrialState

_FAR = 4
"""How many times what is spent a budget may be and still lie within the axis."""

_SPENT_LINE = {"color": GREEN, "shape": "hv", "width": 2.5}
_BUDGET_LINE = {"color": RED, "width": 1.5, "dash": "dash"}


class _Payment(NamedTuple):
    """What an attempt cost, and when it had ended: seconds since 1970."""

    when: float
    amount: Decimal
    trial: Trial


def spending(study: Study) -> Chart | None:
    """Return the chart of what the ended attempts have cost together, and at last the driver; None where no trial was charged."""
    cost = study.cost
    if cost is None:
        return None
    paid = sorted(
        (each for trial in study.trials for each in _payments(trial, study.latest)),
        key=lambda each: (each.when, each.trial.number),
    )
    if not paid:  # a driver alone was
        return None
    start = min((trial.started for trial in study.trials if trial.started is not None), default=paid[0].when)
    unit, seconds = time_unit(study.latest - start)
    x = [(each.when - start) / seconds for each in paid]
    y = [float(total) for total in accumulate(each.amount for each in paid)]
    end = max(x[-1], (study.latest - start) / seconds)
    lines = [_line("spent", [0.0, *x, end], [0.0, *y, y[-1] + float(cost.driver)], _SPENT_LINE)]
    if cost.limit is not None:
        lines.append(_line("budget", [0.0, end], [float(cost.limit)] * 2, _BUDGET_LINE))
    axis, remark = _axis(cost)
    drawn = layout(f"{unit} since the first start", f"spent, {cost.currency}", yaxis=axis)
    caption = f"What the trials have cost together, as their attempts ended: {cost}.{remark}"
    return Chart(caption, {"data": [*lines, *_markers(paid, x, y)], "layout": drawn})


def _payments(trial: Trial, latest: float) -> Iterator[_Payment]:
    """Yield what the attempts of a trial cost; all but the last had ended when the last one started."""
    for charge in trial.charges:
        if charge.amount is not None:
            over = trial.ended if charge.attempt == trial.attempt else trial.started
            yield _Payment(latest if over is None else over, charge.amount, trial)


def _line(name: str, x: Sequence[float], y: Sequence[float], looks: Figure) -> Figure:
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": looks, "hoverinfo": "skip"}


def _axis(cost: RunCost) -> tuple[Figure, str]:
    """Return the axis of money, and a sentence for the caption if the budget is outside of it."""
    if cost.limit is None or not cost.spent or cost.limit <= _FAR * cost.spent:
        return {"rangemode": "tozero"}, ""
    return {"range": [0.0, 1.06 * float(cost.spent)]}, " The budget lies outside of the axis; a double click shows it."


def _markers(paid: Sequence[_Payment], x: Sequence[float], y: Sequence[float]) -> Iterator[Figure]:
    """Yield a trace for each state, with a point for each attempt of its trials."""
    size = 8 if len(paid) < 300 else 5
    for state in TrialState:
        group = [at for at, each in enumerate(paid) if each.trial.state is state]
        if group:
            trials = [paid[at].trial for at in group]
            trace = points(trials, [x[at] for at in group], [y[at] for at in group], fast=len(paid) > MANY)
            yield {**trace, "name": state.value, "marker": marker(state, size)}
