"""Losses of trials, the best feasible trial, and the Pareto front of feasible ones."""

import math
from collections.abc import Iterable, Mapping, Sequence

from cloudtune.results.constraints import judged, total_violation, violations
from cloudtune.spec.constraint import Constraint
from cloudtune.spec.objective import Objective
from cloudtune.store.records import Trial


def losses(objectives: Sequence[Objective], metrics: Mapping[str, float]) -> tuple[float, ...] | None:
    """Return one loss per objective (lower is better whatever its goal); None unless all are present and finite."""
    found = []
    for objective in objectives:
        value = metrics.get(objective.metric)
        if value is None or not math.isfinite(value):
            return None
        found.append(value if objective.goal == "minimize" else -value)
    return tuple(found)


def best_trial(
    objectives: Sequence[Objective], constraints: Sequence[Constraint], trials: Iterable[Trial]
) -> Trial | None:
    """Return the feasible trial with the lowest loss, the first of equals; None for none or several objectives.

    Of candidates that were run again it is the one with the lowest mean loss over its repetitions.
    """
    if len(objectives) > 1:
        return None
    ranked = [(loss, trial.number, trial) for trial, loss in _feasible(objectives, constraints, trials)]
    return min(ranked)[2] if ranked else None


def pareto_front(
    objectives: Sequence[Objective], constraints: Sequence[Constraint], trials: Iterable[Trial]
) -> list[Trial]:
    """Return the feasible trials that no other dominates (as good in all objectives, better in one), by number.

    Trials that were run again are placed by the means of their repetitions.
    """
    points = sorted(_feasible(objectives, constraints, trials), key=lambda pair: (pair[1], pair[0].number))
    front: list[tuple[Trial, tuple[float, ...]]] = []
    for trial, point in points:  # a trial that dominates a point comes before it in this order
        if not any(_dominates(other, point) for _, other in front):
            front.append((trial, point))
    return sorted((trial for trial, _ in front), key=lambda trial: trial.number)


def _feasible(
    objectives: Sequence[Objective], constraints: Sequence[Constraint], trials: Iterable[Trial]
) -> list[tuple[Trial, tuple[float, ...]]]:
    """Return the feasible trials of the search, of which one may be the best, with their losses."""
    found = []
    for trial, metrics in judged(objectives, trials):
        point = losses(objectives, metrics)
        if point is not None and (not constraints or total_violation(violations(constraints, metrics)) == 0):
            found.append((trial, point))
    return found


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(left <= right for left, right in zip(one, other, strict=True))


def what_is_missing(objectives: Sequence[Objective], reported: Mapping[str, float], printed: Sequence[str] = ()) -> str:
    """Return the reason, for the user, why a trial that exited with code 0 has no usable objective.

    Args:
        objectives: of the job.
        reported: the last value of each metric that was found.
        printed: lines of the trial's output, in which other metrics are looked for.
    """
    for objective in objectives:
        name = objective.metric
        if name not in reported:
            from cloudtune.results.printed_metrics import how_to_log, how_to_report, instead_of  # noqa: PLC0415  # few trials need it

            instead = instead_of(name, objective.regex, printed if objective.source is None else (), reported)
            regex = "give" if objective.regex is None else "mend"
            ways = f"print {name}=VALUE, call {how_to_report(name)}, or {regex} objective.regex"
            if objective.source is not None:
                ways = how_to_log(name, objective.source)
            return f"it ended without reporting the objective {name!r}; {instead + '; ' if instead else ''}{ways}"
        if not math.isfinite(reported[name]):
            return f"its objective {name!r} was {reported[name]} at the end"
    return "it has no usable objective"
