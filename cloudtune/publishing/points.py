"""Learning curves as points, shared by the targets."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cloudtune.costs.views import trial_charge
from cloudtune.results.objectives import losses
from cloudtune.results.progress import ProgressCounter, keep_counting_values
from cloudtune.spec.constraint import Constraint
from cloudtune.spec.objective import Objective
from cloudtune.store.records import Report, Trial

COST = "cost"
"""The curve of one point with what a trial was charged, unless its program has a metric of that name."""


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a learning curve.

    Attributes:
        name: the curve's name: a metric, or one of `counting_name`.
        step: the step as reported by the trial.
        time: seconds since 1970.
        value: may be nan or infinite.
    """

    name: str
    step: int
    time: float
    value: float


def counting_name(objectives: Sequence[Objective], metric: str) -> str:
    """Return the name of the curve whose last value is a trial's final value of a metric.

    That is the metric itself, and ``METRIC.best`` for an objective measured by its best report.
    """
    best = any(each.metric == metric and each.measurement == "best" for each in objectives)
    return f"{metric}.best" if best else metric


def points_of(trial: Trial, reports: Iterable[Report], objectives: Sequence[Objective]) -> list[Point]:
    """Return the points of a trial in the order of its reports.

    Further reports only append points. For an ended trial, the curve of each metric ends with the metric's final value,
    also if the service gave nothing but that value; what it was charged is a metric, too.
    """
    kept: dict[str, float] = {}
    found: list[Point] = []
    for report in reports:
        keep_counting_values(objectives, kept, report.metrics)
        for name, value in report.metrics.items():
            found.append(Point(name, report.step, report.time, value))
            counting_curve = counting_name(objectives, name)
            if counting_curve != name:
                found.append(Point(counting_curve, report.step, report.time, kept[name]))
    if trial.state.ended:
        found += _last_points(trial, found, objectives)
    return found


def _last_points(trial: Trial, found: Sequence[Point], objectives: Sequence[Objective]) -> list[Point]:
    """Return a point for each metric whose curve does not end with its final value."""
    last = {point.name: point for point in found}
    step = max((point.step for point in found), default=0)
    moment = trial.ended or trial.started or 0.0
    ends = {counting_name(objectives, metric): value for metric, value in trial.metrics.items()}
    charge = trial_charge(trial)
    if charge is not None:
        ends.setdefault(COST, charge[0])
    return [
        Point(name, step, moment, value)
        for name, value in ends.items()
        if name not in last or not _nearly_same(last[name].value, value)
    ]


def improvements(
    objectives: Sequence[Objective], constraints: Sequence[Constraint], ended: Iterable[Trial]
) -> list[Point]:
    """Return the metrics of each trial that became the best so far; the step is the number of ended trials, from 1.

    Args:
        objectives: the job's objectives; with several there is no best trial.
        constraints: the job's constraints, without which no trial is the best.
        ended: the ended trials in the order in which their ends were stored.
    """
    counter, best = ProgressCounter(objectives, constraints), None
    found: list[Point] = []
    for step, trial in enumerate(ended, 1):
        counter.add(trial, losses(objectives, trial.metrics))
        if counter.best is not best:
            best = trial
            found += [Point(name, step, trial.ended or 0.0, value) for name, value in trial.metrics.items()]
    return found


def same_number(left: float | None, right: float | None) -> bool:
    """Return whether two numbers are equal, with nan equal to nan."""
    return left == right or (left is not None and right is not None and math.isnan(left) and math.isnan(right))


def _nearly_same(left: float, right: float) -> bool:
    """Return whether two numbers are equal in single precision, in which some services return values."""
    return same_number(left, right) or math.isclose(left, right, rel_tol=1e-6)
