"""The trials of a run that its best, its front and its nearest trial follow from."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from cloudtune.results.constraints import total_violation, violations
from cloudtune.results.objectives import losses
from cloudtune.spec.constraint import Constraint
from cloudtune.spec.objective import Objective
from cloudtune.store.outcomes import completed_metrics, trials_among

if TYPE_CHECKING:
    from cloudtune.store.records import Trial
    from cloudtune.store.store import RunStore


Point = tuple[tuple[float, ...], int]
"""Losses, one per objective, and the number of their trial."""


def contenders(run: "RunStore", objectives: Sequence[Objective], constraints: Sequence[Constraint]) -> "list[Trial]":
    """Return trials of which `best_trial`, `pareto_front`, `nearest_trial`, `nothing_feasible` and `settled` say what they say of all.

    Those are all trials where none is feasible, of more than two objectives, and of two where trials were run again.

    Args:
        run: whose trials.
        objectives: of its job.
        constraints: of its job.

    Raises:
        DamagedRun: what the store holds of them is damaged.
        StoreError: the store cannot be read.
    """
    try:
        found, repeated = _judged(run, objectives, constraints)
    except TypeError:  # a value is no number, and so the run is damaged: reading all says where
        return run.trials()
    several = len(objectives) > 1
    if (constraints and not found) or len(objectives) > 2 or (several and repeated):
        return run.trials()
    return trials_among(run, _front_of_two(found) if several else _lowest(found))


def _judged(
    run: "RunStore", objectives: Sequence[Objective], constraints: Sequence[Constraint]
) -> tuple[list[Point], bool]:
    """Return the losses and numbers of the feasible trials of the search, and whether trials were run again."""
    found: list[Point] = []
    repeated = False
    for numbers, repeats, metrics in completed_metrics(run):
        repeated = repeated or repeats.count(None) < len(repeats)
        alone = len(objectives) == 1 and not constraints
        for at in _extremes(objectives[0], repeats, metrics) if alone else range(len(numbers)):
            point = losses(objectives, metrics[at]) if repeats[at] is None else None
            if point is not None and not (constraints and total_violation(violations(constraints, metrics[at]))):
                found.append((point, numbers[at]))
    return found, repeated


def _extremes(
    objective: Objective, repeats: Sequence[int | None], metrics: Sequence[Mapping[str, float]]
) -> Iterable[int]:
    """Return the places of the trials with the best value, which is found for many without looking at each by itself."""
    name = objective.metric
    values = [each.get(name) if repeat is None else None for each, repeat in zip(metrics, repeats, strict=True)]
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite:
        return ()
    best = min(finite) if objective.goal == "minimize" else max(finite)
    return (at for at, value in enumerate(values) if value == best)


def _lowest(found: Sequence[Point]) -> list[int]:
    lowest = min((point for point, _ in found), default=())
    return [number for point, number in found if point == lowest]


def _front_of_two(found: Sequence[Point]) -> list[int]:
    """Return the numbers of the points that no other point of a lower first loss equals or beats in the second."""
    numbers, lowest, at = [], math.inf, (math.inf, math.inf)
    for point, number in sorted(found):
        if point[1] < lowest or point == at:
            lowest, at = point[1], (point[0], point[1])
            numbers.append(number)
    return numbers
