"""How searches learn from violations of constraints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from late import LATE

from cloudtune.errors import SpecError
from cloudtune.search import KnownTrial, Observation, Search
from cloudtune.search.evolutionary import GeneticSearch
from cloudtune.search.penalty import Penalty
from cloudtune.store.records import TrialState

if LATE:
    from cloudtune.search.acquisition import LogExpectedImprovement
    from cloudtune.search.arrays import Array
    from cloudtune.search.constrained import LogFeasibility, LogProduct
    from cloudtune.search.warping import warp

SQUARE = {name: {"type": "float", "low": 0, "high": 6} for name in "xy"}
LOSS = {"metric": "loss", "goal": "minimize"}
BOUND = {"metric": "bound", "max": 0}
TWO = [LOSS, {"metric": "other", "goal": "minimize"}]
DONE = TrialState.COMPLETED


def gardner(x: Any, y: Any) -> dict[str, float]:
    """The first of Gardner et al. (2014), whose feasible minimum is -1.889, where without the bound it would be -2."""
    return {"loss": math.cos(2 * x) * math.cos(y) + math.sin(x), "bound": math.cos(x + y) + 0.5, "other": x}


def searched(strategy: str | Mapping[str, Any] = "bayesian", trials: int = 24, **others: Any) -> Search:
    search = Search(
        SQUARE, **{"objective": LOSS, "strategy": strategy, "trials": trials, "seed": 3, "constraints": BOUND, **others}
    )
    while (trial := search.ask()) is not None:
        search.tell(trial, gardner(**trial.parameters))
    return search


def test_the_bayesian_search_finds_the_best_feasible_trial() -> None:
    search = searched()
    assert search.best is not None
    assert search.best.feasible
    assert search.best.metrics["loss"] < -1.8


def test_before_the_first_feasible_trial_it_looks_for_one() -> None:
    narrow = {"metric": "bound", "max": -0.45}  # of a square one in seventeen
    search = searched(trials=20, constraints=narrow)
    assert search.best is not None
    assert search.nearest is None


def test_where_nothing_is_feasible_the_nearest_is_told_and_nothing_is_best() -> None:
    search = searched("random", constraints={"metric": "bound", "max": -2})
    assert search.best is None
    assert search.front == []
    assert search.nearest is not None
    assert search.nearest.violations[0] == pytest.approx((search.nearest.metrics["bound"] + 2) / 2)


def test_the_front_is_of_feasible_trials() -> None:
    search = searched(objective=TWO, trials=20)
    assert search.front
    assert all(result.metrics["bound"] <= 0 for result in search.front)
    assert search.best is None


def test_trials_at_once_do_not_go_to_one_place_before_the_first_feasible_one() -> None:
    search = Search(SQUARE, LOSS, seed=3, trials=40, constraints={"metric": "bound", "max": -0.4})
    for _ in range(10):
        trial = search.ask()
        assert trial is not None
        told = gardner(**trial.parameters)
        search.tell(trial, {**told, "bound": max(told["bound"], -0.39)})
    waiting = [search.ask() for _ in range(4)]
    places = np.array([[each.parameters["x"], each.parameters["y"]] for each in waiting if each is not None])
    apart = [np.linalg.norm(one - other) for index, one in enumerate(places) for other in places[:index]]
    assert min(apart) > 0.05


@pytest.mark.parametrize("strategy", ["bayesian", "evolutionary", {"type": "evolutionary", "population": 4}])
def test_a_resumed_search_goes_on_as_the_old_one_would_have(strategy: str | Mapping[str, Any]) -> None:
    whole = searched(strategy, trials=16)
    resumed = Search(SQUARE, LOSS, strategy, seed=3, trials=16, constraints=BOUND)
    told: list[Mapping[str, Any]] = []
    other = Search(SQUARE, LOSS, strategy, seed=3, trials=16, constraints=BOUND)
    for number in range(12):
        trial = other.ask()
        assert trial is not None
        told.append(trial.parameters)
        other.tell(trial, gardner(**trial.parameters))
        resumed.restore(number, trial.parameters)
    for number, parameters in enumerate(told):
        resumed.tell(number, gardner(**parameters))
    while (trial := resumed.ask()) is not None:
        resumed.tell(trial, gardner(**trial.parameters))
    assert resumed.best == whole.best


def test_a_trial_without_a_value_of_a_constraint_completes_and_is_not_feasible() -> None:
    search = Search(SQUARE, LOSS, "random", seed=1, constraints=BOUND)
    trial = search.ask()
    assert trial is not None
    assert search.tell(trial, {"loss": 1.0}) is DONE
    assert search.best is None
    assert search.nearest is None


def test_trials_of_earlier_runs_tell_their_violations() -> None:
    search = Search(SQUARE, LOSS, seed=3, trials=30, constraints=BOUND)
    known = [KnownTrial({"x": x, "y": y}, gardner(x, y)) for x in range(6) for y in range(6)]
    assert search.learn(known) == 36
    found = []
    for _ in range(6):
        trial = search.ask()
        assert trial is not None
        search.tell(trial, gardner(**trial.parameters))
        found.append(gardner(**trial.parameters)["bound"] <= 0)
    assert sum(found) >= 4


def test_a_report_that_violates_a_constraint_is_kept_from_the_stopping_rule() -> None:
    search = Search(
        SQUARE,
        LOSS,
        "random",
        seed=1,
        stopping={"type": "median", "grace": 0},
        constraints={"metric": "memory", "max": 1},
    )
    ended = []
    for memory in [2, 2, 2, 0, 0]:  # the first would set the median that the last are above
        trial = search.ask()
        assert trial is not None
        ended.append(search.report(trial, 1, {"loss": float(memory == 0), "memory": memory}))
    assert ended == [False] * 5


def test_constraints_are_checked_as_those_of_a_job() -> None:
    with pytest.raises(SpecError, match=r"constraints\[1\].metric: the metric 'bound' has a constraint already"):
        Search(SQUARE, LOSS, constraints=[BOUND, {"metric": "bound", "min": -1}])


def observation(loss: float, *violations: float, number: int = 0) -> Observation:
    return Observation(number, {"x": 1.0, "y": 2.0}, DONE, (loss,), violations=violations)


def test_a_penalty_keeps_feasible_trials_before_all_others() -> None:
    penalty = Penalty()
    found = [
        penalty.of(observation(*each)) for each in [(5.0, 0.0), (-9.0, 0.5), (-9.0, 0.1), (3.0, -1.0), (0.0, math.inf)]
    ]
    assert sorted(range(5), key=found.__getitem__) == [3, 0, 2, 1, 4]
    assert found[4] == math.inf


def test_the_genetic_search_orders_members_by_feasibility_then_violation() -> None:
    space = Search(SQUARE, LOSS, "random").space
    genetic = GeneticSearch(space, population=9, constraints=1)
    for number, (loss, violation) in enumerate([(0.0, 2.0), (9.0, 0.0), (1.0, 0.5), (5.0, -1.0), (-1.0, 2.0)]):
        genetic.observe(observation(loss, violation, number=number))
    genetic.observe(Observation(5, {"x": 1.0, "y": 1.0}, TrialState.PRUNED, (-5.0,)))
    assert genetic._order()[:3] == [3, 1, 2]
    assert genetic._order()[-1] == 5


class Wave:
    """A prediction with derivatives that can be written down."""

    def predict(self, features: Array) -> tuple[Array, Array]:
        return np.sin(features).sum(axis=1), 1.5 + np.cos(features).mean(axis=1)

    def slopes(self, features: Array) -> tuple[Array, Array, Array, Array]:
        return *self.predict(features), np.cos(features), -np.sin(features) / features.shape[1]


def test_the_slopes_of_constrained_improvement_are_those_of_its_values() -> None:
    product = LogProduct(
        [LogExpectedImprovement(Wave(), 0.1), LogFeasibility(Wave(), -3.0), LogFeasibility(Wave(), 40.0)]
    )
    points = np.random.default_rng(1).random((5, 3)) * 3
    values, slopes = product.slopes(points)
    assert np.allclose(values, product(points))
    for column in range(3):
        step = np.zeros(3)
        step[column] = 1e-6
        numeric = (product(points + step) - product(points - step)) / 2e-6
        assert np.allclose(slopes[:, column], numeric, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("sampler", ["TPESampler", "NSGAIISampler", "NSGAIIISampler", "CmaEsSampler"])
def test_samplers_of_optuna_get_the_violations_and_suggest_by_them(sampler: str) -> None:
    pytest.importorskip("optuna")
    pytest.importorskip("cmaes")
    options = {"population_size": 4} if sampler.startswith("NSGA") else {"n_startup_trials": 4}
    asked = {"type": "optuna", "sampler": sampler, "options": options}
    searches = [Search(SQUARE, LOSS, asked, seed=1, trials=16, constraints=each) for each in (BOUND, ())]
    suggested: list[list[Mapping[str, Any]]] = []
    for search in searches:
        suggested.append([])
        while (trial := search.ask()) is not None:
            suggested[-1].append(trial.parameters)
            told = gardner(**trial.parameters)
            search.tell(trial, {"loss": told["loss"]} if trial.number == 5 else told)
    assert suggested[0] != suggested[1]
    trials = searches[0]._strategy._told.trials  # type: ignore[attr-defined]  # Optuna's study
    if sampler != "CmaEsSampler":  # to which they are a part of the loss
        known = [list(each.system_attrs["constraints"]) for each in trials]
        measured = [gardner(**each)["bound"] for each in suggested[0]]
        worst = max(1.0, *measured[:5])  # which counts for a trial that told none
        expected = [[worst if number == 5 else value] for number, value in enumerate(measured)]
        assert known == [pytest.approx(each) for each in expected]
    else:
        assert trials[5].state.name == "FAIL"


def test_hyperopt_takes_what_violates_for_worse_than_what_does_not() -> None:
    pytest.importorskip("hyperopt")
    search = searched({"type": "hyperopt", "startup": 10}, trials=40)
    assert search.best is not None
    assert search.best.metrics["loss"] < -1


def test_losses_of_feasible_trials_keep_their_distances_where_most_are_better() -> None:
    losses = np.array([0.0, 1.0, 2.0, 3.0, 10.0, 10.5, 11.0, 1e9])
    plain, kept = warp(losses), warp(losses, kept=10.5)
    steps = np.diff(kept)[:5]
    assert steps / steps[0] == pytest.approx([1.0, 1.0, 1.0, 7.0, 0.5])
    assert not np.allclose(np.diff(plain)[3:5] / np.diff(plain)[0], [7.0, 0.5])
    assert (np.diff(kept) > 0).all()
    assert np.array_equal(warp(losses, kept=1.0), plain)
