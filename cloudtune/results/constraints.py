"""Whether trials keep a job's constraints, by how much they miss them, and which misses them least."""

import math
from collections.abc import Iterable, Mapping, Sequence

from cloudtune.results.confirmation import expected_metrics, settled
from cloudtune.spec.constraint import Constraint, bound_number, bound_text
from cloudtune.spec.objective import Objective
from cloudtune.store.records import Trial, TrialState

Constraints = Sequence[Constraint]


def violations(constraints: Constraints, metrics: Mapping[str, float]) -> tuple[float, ...]:
    """Return for each bound of the constraints by how much a completed trial violates it; 0 and below: not at all.

    That is the distance beyond the bound as a share of the bound, so that those of different metrics can be added; of
    a bound of 0 the distance itself. Infinite where the trial has no number for the metric: such a trial is not
    feasible.
    """
    found = []
    for constraint in constraints:
        value = metrics.get(constraint.metric, math.nan)
        for comparison, bound in constraint.bounds:
            number = bound_number(bound)
            beyond = value - number if comparison == "<=" else number - value
            found.append(math.inf if not math.isfinite(value) else beyond / (abs(number) or 1.0))
    return tuple(found)


def known_violations(constraints: Constraints, metrics: Mapping[str, float]) -> tuple[float, ...]:
    """Return the `violations` of a trial that is not at its end, or was run without these constraints; () if one is not known."""
    known = all(each.metric in metrics for each in constraints)
    return violations(constraints, metrics) if known else ()


def bound_count(constraints: Constraints) -> int:
    """Return the number of `violations` of a trial."""
    return sum(len(constraint.bounds) for constraint in constraints)


def total_violation(found: Iterable[float]) -> float:
    """Return the sum of what is violated; 0 for a feasible trial."""
    return sum(max(each, 0.0) for each in found)


def is_feasible(constraints: Constraints, trial: Trial) -> bool:
    """Return whether a trial completed and keeps every constraint."""
    kept = total_violation(violations(constraints, trial.metrics)) == 0 if constraints else True
    return trial.state is TrialState.COMPLETED and kept


def feasible_text(constraints: Constraints, trial: Trial) -> str:
    """Return whether a trial is feasible, for a table: yes or no; "" for a trial that did not complete."""
    return "" if trial.state is not TrialState.COMPLETED else "yes" if is_feasible(constraints, trial) else "no"


def why_infeasible(constraints: Constraints, metrics: Mapping[str, float]) -> str:
    """Return which constraints a completed trial does not keep, e.g. ``latency_ms = 61.2, not <= 50``; "" for none."""
    said = []
    for constraint in constraints:
        value = metrics.get(constraint.metric, math.nan)
        if not math.isfinite(value):
            said.append(f"no value of {constraint.metric}")
            continue
        broken = [
            f"{comparison} {bound_text(bound)}"
            for comparison, bound in constraint.bounds
            if (value > bound_number(bound) if comparison == "<=" else value < bound_number(bound))
        ]
        said += [f"{constraint.metric} = {value:.6g}, not {each}" for each in broken]
    return "; ".join(said)


def reason_of(constraints: Constraints, trial: Trial) -> str:
    """Return which constraints a completed trial does not keep, and why a trial is in its state; "" for neither."""
    broken = why_infeasible(constraints, trial.metrics) if trial.state is TrialState.COMPLETED else ""
    return "; ".join(filter(None, [f"not feasible: {broken}" if broken else "", trial.reason]))


def what_is_untold(constraints: Constraints, reported: Mapping[str, float]) -> str:
    """Return what to do about a constraint for whose metric a completed trial has told no value; "" for none.

    Args:
        constraints: of the job.
        reported: the metrics of the trial.
    """
    untold = next((each for each in constraints if each.metric not in reported), None)
    if untold is None:
        return ""
    from cloudtune.results.printed_metrics import how_to_log, how_to_report, instead_of  # noqa: PLC0415  # few trials need it

    name, seen = untold.metric, instead_of(untold.metric, None, (), reported)
    if untold.source is not None:
        ways = how_to_log(name, untold.source)
        return f"{ways}; {seen}" if seen else ways
    ways = f"print {name}=VALUE, call {how_to_report(name)}, or {'mend' if untold.regex else 'give'} the constraint's regex"
    return f"{ways}; {seen}" if seen else ways


def judged(objectives: Sequence[Objective], trials: Iterable[Trial]) -> list[tuple[Trial, Mapping[str, float]]]:
    """Return the completed trials of the search, of which one may be the best, with the metrics by which they are judged.

    Of trials that were run again these are the means of their repetitions. For one objective only such trials may be the best
    then, if there are any.
    """
    every = list(trials)
    known = settled(every)
    alone = known if len(objectives) == 1 else None
    return [
        (trial, expected_metrics(trial, known))
        for trial in every
        if trial.state is TrialState.COMPLETED and trial.repeat_of is None and (not alone or trial.number in alone)
    ]


def nearest_trial(objectives: Sequence[Objective], constraints: Constraints, trials: Iterable[Trial]) -> Trial | None:
    """Return the completed trial that violates the constraints least, the first of equals; see `judged`.

    None where a trial is feasible, or none completed with a value for every constraint.
    """
    found = judged(objectives, trials)
    ranked = [(total_violation(violations(constraints, metrics)), trial.number, trial) for trial, metrics in found]
    least = min(ranked, default=None)
    return None if least is None or not 0 < least[0] < math.inf else least[2]


def nothing_feasible(objectives: Sequence[Objective], constraints: Constraints, trials: Sequence[Trial]) -> str:
    """Return the sentence that no completed trial is feasible, with the nearest one; "" where that is not so. See `judged`."""
    found = judged(objectives, trials)
    kept = (total_violation(violations(constraints, metrics)) == 0 for _, metrics in found)
    if not constraints or not found or any(kept):
        return ""
    means = len(objectives) == 1 and bool(settled(trials))
    who, how = ("candidate", " by the means of its repetitions") if means else ("trial", "")
    asked = f"no {who} keeps {' and '.join(map(str, constraints))}{how}"
    near = nearest_trial(objectives, constraints, trials)
    if near is None:
        untold = [each.metric for each in constraints if all(each.metric not in metrics for _, metrics in found)]
        if not untold:
            return f"{asked}: none told all of these metrics"
        return f"{asked}: none told {' and '.join(untold)}; print {untold[0]}=VALUE, or give the constraint a regex"
    metrics = next(metrics for trial, metrics in found if trial.number == near.number)
    told = ", ".join(f"{each.metric} = {metrics.get(each.metric, math.nan):.6g}" for each in objectives)
    return f"{asked}; trial {near.number} comes nearest: {told}; {why_infeasible(constraints, metrics)}"
