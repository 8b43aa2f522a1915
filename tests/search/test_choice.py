"""`strategy: auto`: what is chosen, and that every choice can search what it was chosen for."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_jobs import plain_data

from cloudtune.search import Search, strategy_for
from cloudtune.search.grid import GridSearch
from cloudtune.space.parameters import Float, Int
from cloudtune.space.space import Space
from cloudtune.spec.choice import Choice, choice_for, choose, for_tuner
from cloudtune.spec.job import Limits, TuningJob
from cloudtune.spec.strategies import AutoStrategy, Bayesian, Grid, Random
from cloudtune.testing.specs import jobs

SPACE = {"x": Int(low=1, high=6), "y": Int(low=1, high=5)}


def chosen(space: Any = SPACE, **about: Any) -> Choice:
    return choose(AutoStrategy(seed=3), Space(space), **about)


def test_a_finite_space_that_fits_is_a_grid() -> None:
    assert chosen(trials=30).strategy == Grid()
    assert "all 30 combinations" in chosen(trials=31).reason
    assert chosen(trials=29).strategy == Bayesian(seed=3)
    assert chosen({**SPACE, "z": Float(low=0, high=1)}, trials=10**6).strategy.type != "grid"


def test_a_search_that_may_end_before_its_last_trial_is_no_grid() -> None:
    assert chosen(trials=30, ends_early=True).strategy == Bayesian(seed=3)


@pytest.mark.parametrize(("trials", "parallel"), [(1, 1), (3, 1), (8, 8), (8, 20)])
def test_trials_that_cannot_learn_are_spread_evenly(trials: int, parallel: int) -> None:
    assert chosen(trials=trials, parallel=parallel).strategy == Bayesian(seed=3, startup=trials)
    assert chosen(trials=trials, parallel=parallel, known=True).strategy == Bayesian(seed=3)


def test_the_limits_of_a_job_are_heard() -> None:
    fields: dict[str, Any] = plain_data(
        objective={"metric": "m", "goal": "minimize"}, space={"x": {"type": "int", "low": 1, "high": 6}}
    )
    job = TuningJob.from_data({**fields, "limits": {"trials": 6}})
    assert job.strategy == AutoStrategy()
    found = choice_for(job)
    assert found is not None
    assert found.strategy == Grid()
    for early in ({"time": "1h"}, {"target": 1}, {"no_improvement": 3}, {"cost": 5}):
        found = choice_for(TuningJob.from_data({**fields, "limits": {"trials": 6, **early}}))
        assert found is not None
        assert found.strategy == Bayesian(cost_aware="time" in early or "cost" in early)


@given(job=jobs(strategy=st.builds(AutoStrategy, seed=st.none() | st.integers(0, 9))))
@settings(max_examples=60, deadline=None)
def test_every_choice_can_search_its_space(job: TuningJob) -> None:
    found = choice_for(job)
    assert found is not None
    assert found == choice_for(job)
    assert not isinstance(found.strategy, AutoStrategy)
    assert found.reason
    assert getattr(found.strategy, "seed", job.strategy.seed) == job.strategy.seed  # type: ignore[attr-defined]
    named = job.model_copy(update={"strategy": found.strategy})
    assert choice_for(named) is None
    assert for_tuner(named) is named
    strategy, same = strategy_for(job, job.search_space(), seed=1), strategy_for(named, job.search_space(), seed=1)
    assert strategy.suggest(0) == same.suggest(0)
    if isinstance(strategy, GridSearch):
        assert job.limits.trials is not None
        assert strategy.size <= job.limits.trials


@given(trials=st.integers(1, 40), parallel=st.integers(1, 40), seed=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_a_search_without_a_strategy_suggests_what_the_chosen_one_does(trials: int, parallel: int, seed: int) -> None:
    job = TuningJob.from_data(
        plain_data(
            objective={"metric": "m", "goal": "minimize"},
            space={name: parameter.model_dump() for name, parameter in SPACE.items()},
            limits={"trials": trials, "parallel": parallel},
        )
    )
    found = choice_for(job)
    assert found is not None
    auto = Search.for_job(job, seed=seed)
    named = Search.for_job(job.model_copy(update={"strategy": found.strategy}), seed=seed)
    for _ in range(min(trials, 6)):
        one, other = auto.ask(), named.ask()
        assert one == other
        assert one is not None
        assert other is not None
        auto.tell(one, {"m": float(one.parameters["x"])})  # type: ignore[arg-type]
        named.tell(other, {"m": float(other.parameters["x"])})  # type: ignore[arg-type]


def test_a_strategy_that_is_named_stays() -> None:
    job = TuningJob(
        name="a",
        trial={"command": "x"},
        objective={"metric": "m", "goal": "minimize"},
        space=SPACE,
        strategy=Random(seed=1),
        limits=Limits(trials=30),
    )
    assert choice_for(job) is None
    assert for_tuner(job) is job
