"""The chart of what a run has cost over time."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import accumulate
from typing import NamedTuple

from cloudtune.costs.views import RunCost
from cloudtune.report.figures import Axis, Chart, Series
from cloudtune.report.looks import points, time_unit
from cloudtune.report.study import Study
from cloudtune.store.records import Trial, TrialState

_FAR = 4
"""How many times what is spent a budget may be and still lie within the axis."""


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
    lines = [Series("steps", "spent", [0.0, *x, end], [0.0, *y, y[-1] + float(cost.driver)], colour="green", size=2.5)]
    if cost.limit is not None:
        limit = float(cost.limit)
        lines.append(Series("line", "budget", [0.0, end], [limit, limit], colour="red", size=1.5, dash="dash"))
    limits, remark = _limits(cost)
    caption = f"What the trials have cost together, as their attempts ended: {cost}.{remark}"
    axes = Axis(f"{unit} since the first start"), Axis(f"spent, {cost.currency}", limits=limits)
    return Chart(caption, *axes, [*lines, *_markers(paid, x, y)])


def _payments(trial: Trial, latest: float) -> Iterator[_Payment]:
    """Yield what the attempts of a trial cost; all but the last had ended when the last one started."""
    for charge in trial.charges:
        if charge.amount is not None:
            over = trial.ended if charge.attempt == trial.attempt else trial.started
            yield _Payment(latest if over is None else over, charge.amount, trial)


def _limits(cost: RunCost) -> tuple[tuple[float, float] | None, str]:
    """Return the range of an axis of money, and a sentence for the caption if the budget is outside of it."""
    outside = cost.limit is not None and cost.spent > 0 and cost.limit > _FAR * cost.spent
    most = 1.06 * float(cost.spent if outside or cost.limit is None else max(cost.spent, cost.limit))
    remark = " The budget lies outside of the axis; a double click shows it." if outside else ""
    return ((0.0, most) if most else None), remark


def _markers(paid: Sequence[_Payment], x: Sequence[float], y: Sequence[float]) -> Iterator[Series]:
    """Yield a series for each state, with a point for each attempt of its trials."""
    size = 8.0 if len(paid) < 300 else 5.0
    for state in TrialState:
        group = [at for at, each in enumerate(paid) if each.trial.state is state]
        if group:
            yield points(
                [paid[at].trial for at in group], [x[at] for at in group], [y[at] for at in group], state, size
            )
