import math
from typing import Any

import pytest

from cloudtune.results.constraints import (
    bound_count,
    is_feasible,
    nearest_trial,
    total_violation,
    violations,
    why_infeasible,
)
from cloudtune.results.objectives import best_trial, losses, pareto_front
from cloudtune.results.progress import ProgressCounter
from cloudtune.spec.constraint import Constraint
from cloudtune.spec.objective import Objective
from cloudtune.store.records import Trial, TrialState

FAST = Constraint(metric="latency", max="50ms")
SMALL = Constraint(metric="memory", max="8GB", min=0)
AIM = (Objective(metric="accuracy", goal="maximize"),)


def trial(number: int, state: TrialState = TrialState.COMPLETED, **metrics: Any) -> Trial:
    return Trial(number, {"x": number}, state, metrics)


def test_violations_are_shares_of_the_bound_in_its_base_unit() -> None:
    assert violations((FAST, SMALL), {"latency": 0.06, "memory": 6e9}) == pytest.approx((0.2, -0.25, -6e9))
    assert bound_count((FAST, SMALL)) == 3


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_trial_without_a_number_for_a_constraint_is_not_feasible(value: float | None) -> None:
    told: dict[str, Any] = {} if value is None else {"latency": value}
    assert violations((FAST,), told) == (math.inf,)
    assert why_infeasible((FAST,), told) == "no value of latency"
    assert not is_feasible((FAST,), trial(0, **told))


def test_a_bound_itself_is_allowed() -> None:
    assert is_feasible((FAST,), trial(0, latency=0.05))
    assert why_infeasible((FAST,), {"latency": 0.05}) == ""


def test_the_reason_names_each_broken_bound() -> None:
    found = why_infeasible((FAST, SMALL), {"latency": 0.0612, "memory": -1})
    assert found == "latency = 0.0612, not <= 50ms; memory = -1, not >= 0"


def test_best_and_front_are_of_the_feasible_trials_alone() -> None:
    trials = [trial(0, accuracy=0.9, latency=1), trial(1, accuracy=0.5, latency=0.05), trial(2, accuracy=0.8)]
    best = best_trial(AIM, (FAST,), trials)
    assert best is not None
    assert best.number == 1
    assert [each.number for each in pareto_front(AIM, (FAST,), trials)] == [1]
    assert [each.number for each in pareto_front(AIM, (), trials)] == [0]


def test_the_nearest_trial_violates_least_and_is_none_beside_a_feasible_one() -> None:
    far, near, pruned = trial(0, latency=1), trial(1, latency=0.06), trial(2, TrialState.PRUNED, latency=0.051)
    assert nearest_trial(AIM, (FAST,), [far, near, pruned, trial(3)]) is near
    assert nearest_trial(AIM, (FAST,), [far, near, trial(4, latency=0.01)]) is None
    assert nearest_trial(AIM, (FAST,), [trial(3)]) is None
    assert total_violation(violations((FAST,), near.metrics)) == pytest.approx(0.2)


def test_progress_counts_feasible_improvements_alone() -> None:
    counter = ProgressCounter(AIM, (FAST,))

    def add(each: Trial) -> None:
        counter.add(each, losses(AIM, each.metrics))

    add(trial(0, accuracy=0.99, latency=1))
    add(trial(1, accuracy=0.98, latency=2))
    assert counter.best is None
    assert counter.since_best == 1
    add(trial(2, accuracy=0.9, latency=0.06))  # nearer to what is allowed
    assert counter.since_best == 0
    assert counter.nearest is not None
    assert counter.nearest.number == 2
    add(trial(3, accuracy=0.5, latency=0.01))
    assert (counter.best_number, counter.since_best) == (3, 0)
    assert counter.nearest is None
    add(trial(4, accuracy=0.9, latency=0.06))
    assert (counter.best_number, counter.since_best) == (3, 1)
