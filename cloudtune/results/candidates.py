"""Which trials of a run are worth to be run again."""

import math
from collections.abc import Iterable, Sequence

from cloudtune.results.constraints import is_feasible
from cloudtune.results.objectives import losses, pareto_front
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Trial


def candidates(job: TuningJob, trials: Iterable[Trial], top: int) -> list[Trial]:
    """Return the trials that are worth a repetition: the best feasible ones, or for several objectives those of the front.

    Of a front with more than `top` trials the ends of each objective come first, and then those that are farthest from their
    neighbours (the crowding distance of NSGA-II, Deb et al. 2002).

    Args:
        job: the spec.
        trials: of the run.
        top: how many at most.
    """
    objectives = job.objective
    done = [
        (trial, point)
        for trial in trials
        if trial.repeat_of is None
        and is_feasible(job.constraints, trial)
        and (point := losses(objectives, trial.metrics)) is not None
    ]
    if len(objectives) == 1:
        return _distinct(trial for trial, _ in sorted(done, key=lambda pair: (pair[1], pair[0].number)))[:top]
    members = {trial.number for trial in pareto_front(objectives, job.constraints, [trial for trial, _ in done])}
    front = [(trial, point) for trial, point in done if trial.number in members]
    distances = _crowding([point for _, point in front])
    ranked = sorted(zip(distances, front, strict=True), key=lambda pair: (-pair[0], pair[1][0].number))
    return sorted(_distinct(trial for _, (trial, _) in ranked)[:top], key=lambda trial: trial.number)


def _distinct(trials: Iterable[Trial]) -> list[Trial]:
    """Return the first of the trials with the same parameters."""
    found: dict[str, Trial] = {}
    for trial in trials:
        found.setdefault(repr(sorted(trial.parameters.items())), trial)
    return list(found.values())


def _crowding(points: Sequence[tuple[float, ...]]) -> list[float]:
    distances = [0.0] * len(points)
    for axis in range(len(points[0]) if points else 0):
        order = sorted(range(len(points)), key=lambda index: points[index][axis])
        width = points[order[-1]][axis] - points[order[0]][axis] or 1.0
        distances[order[0]] = distances[order[-1]] = math.inf
        for before, here, after in zip(order, order[1:], order[2:], strict=False):
            distances[here] += (points[after][axis] - points[before][axis]) / width
    return distances
