"""Learning curves as points, the same for every target that draws them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cloudtune.results.objectives import losses
from cloudtune.results.progress import ProgressCounter, keep_counting_values
from cloudtune.spec.job import Objective
from cloudtune.store.records import Report, Trial


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one curve.

    Attributes:
        name: of the curve: a metric, or see `counting_name`.
        step: as the trial counts.
        time: seconds since 1970.
        value: may be nan or infinite.
    """

    name: str
    step: int
    time: float
    value: float


def counting_name(objectives: Sequence[Objective], metric: str) -> str:
    """The curve whose last value is the one that counts for a trial.

    It is the metric's own, and ``METRIC.best`` for an objective of which the best report counts.
    """
    best = any(each.metric == metric and each.measurement == "best" for each in objectives)
    return f"{metric}.best" if best else metric


def points_of(trial: Trial, reports: Iterable[Report], objectives: Sequence[Objective]) -> list[Point]:
    """What a trial reported in its last attempt, in the order in which it came.

    Further reports come behind what there is. When the trial has ended, the curve of each metric ends with the value that
    counts, also where the service told that alone.
    """
    kept: dict[str, float] = {}
    found: list[Point] = []
    for report in reports:
        keep_counting_values(objectives, kept, report.metrics)
        for name, value in report.metrics.items():
            found.append(Point(name, report.step, report.time, value))
            counting = counting_name(objectives, name)
            if counting != name:
                found.append(Point(counting, report.step, report.time, kept[name]))
    if trial.state.ended:
        found += _last_points(trial, found, objectives)
    return found


def _last_points(trial: Trial, found: Sequence[Point], objectives: Sequence[Objective]) -> list[Point]:
    """A point for each metric whose curve does not end with the value that counts."""
    last = {point.name: point for point in found}
    step = max((point.step for point in found), default=0)
    moment = trial.ended or trial.started or 0.0
    ends = {counting_name(objectives, metric): value for metric, value in trial.metrics.items()}
    return [
        Point(name, step, moment, value)
        for name, value in ends.items()
        if name not in last or not _nearly_same(last[name].value, value)
    ]


def improvements(objectives: Sequence[Objective], ended: Iterable[Trial]) -> list[Point]:
    """The metrics of the best trial so far, whenever there is a better one; a step is a trial that has ended, from 1.

    Args:
        objectives: of the job; of several there is no best trial.
        ended: the ended trials in the order in which the store came to know it.
    """
    tally, best = ProgressCounter(objectives), None
    found: list[Point] = []
    for step, trial in enumerate(ended, 1):
        tally.add(trial, losses(objectives, trial.metrics))
        if tally.best is not best:
            best = trial
            found += [Point(name, step, trial.ended or 0.0, value) for name, value in trial.metrics.items()]
    return found


def same_number(left: float | None, right: float | None) -> bool:
    """Equality under which nan equals nan."""
    return left == right or (left is not None and right is not None and math.isnan(left) and math.isnan(right))


def _nearly_same(left: float, right: float) -> bool:
    """Equality as far as services keep it, some of which tell values in single precision."""
    return same_number(left, right) or math.isclose(left, right, rel_tol=1e-6)
