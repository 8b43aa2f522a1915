"""Cheap trials come first where the budget does not suffice for all."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from late import LATE

from cloudtune.driver.taken import cost_of
from cloudtune.interop.formats import load_format
from cloudtune.planning.plan import Support
from cloudtune.provider.interface import load_provider
from cloudtune.search import Observation, Search
from cloudtune.search.encoding import Encoding
from cloudtune.space.parameters import Float
from cloudtune.space.space import Space
from cloudtune.spec.choice import choice_for
from cloudtune.spec.job import TuningJob
from cloudtune.spec.strategies import Bayesian
from cloudtune.store.records import Charge, Trial, TrialState

if LATE:
    from cloudtune.search.frugal import Costs, Means

SPACE = {"x": Float(low=0, high=1), "size": Float(low=0, high=1)}
LOSS = {"metric": "loss", "goal": "minimize"}


def job(strategy: dict[str, Any] | None = None, **fields: Any) -> TuningJob:
    data: dict[str, Any] = {
        "name": "thrift",
        "trial": {"command": ["x"], "image": "i"},
        "objective": LOSS,
        "space": {"x": {"type": "float", "low": 0, "high": 1}},
        "limits": {"trials": 30},
        **fields,
    }
    return TuningJob.from_data(data if strategy is None else {**data, "strategy": strategy})


# How much costs count


@given(
    budget=st.none() | st.floats(1, 1e6),
    trials=st.none() | st.integers(1, 1000),
    share=st.floats(0, 2),
    ended=st.integers(0, 1000),
)
def test_costs_count_the_less_the_more_is_spent(
    budget: float | None, trials: int | None, share: float, ended: int
) -> None:
    means, mean = Means(budget, trials), (budget or 1.0) * share / max(ended, 1)
    early, late = (means.strength(part * share * (budget or 1.0), ended, mean) for part in (0.5, 1.0))
    assert 0 <= late <= 1
    if budget is not None and trials is None:
        assert late <= early


def test_costs_do_not_count_where_the_budget_suffices_for_all_trials() -> None:
    assert Means(100.0, 20).strength(spent=10.0, ended=4, mean=2.5) == 0
    assert Means(100.0, 60).strength(spent=10.0, ended=4, mean=2.5) == pytest.approx(
        0.9 * (56 * 2.5 / 90 - 1) / 0.5, rel=0.2
    )
    assert Means(100.0, 1000).strength(spent=10.0, ended=4, mean=2.5) == pytest.approx(0.9)
    assert Means(100.0, 1000).strength(spent=100.0, ended=40, mean=2.5) == 0


# The search


def run(
    strategy: dict[str, Any], costs: bool = True, budget: float | None = 150.0, seed: int = 1
) -> list[dict[str, Any]]:
    search = Search(SPACE, LOSS, strategy, seed=seed, trials=60, cost_budget=budget)
    found: list[dict[str, Any]] = []
    for _ in range(24):
        trial = search.ask()
        assert trial is not None
        x, size = (float(str(trial.parameters[name])) for name in ("x", "size"))
        search.tell(trial, (x - 0.7) ** 2, cost=0.2 + 10 * size if costs else None)
        found.append(dict(trial.parameters))
    return found


def test_a_parameter_that_only_costs_is_kept_cheap() -> None:
    plain, thrifty = run({"type": "bayesian"}), run({"type": "bayesian", "cost_aware": True})
    start = 10
    assert plain[:5] == thrifty[:5], "nothing is known of the cost yet"
    sizes = [float(np.mean([each["size"] for each in trials[start:]])) for trials in (plain, thrifty)]
    assert sizes[1] < 0.75 * sizes[0]
    assert min(abs(each["x"] - 0.7) for each in thrifty) < 0.03


def test_nothing_changes_where_costs_are_not_told_or_the_budget_suffices() -> None:
    aware = {"type": "bayesian", "cost_aware": True}
    assert run(aware, costs=False) == run({"type": "bayesian"}, costs=False)
    assert run(aware, budget=1e6) == run({"type": "bayesian"})


def test_a_search_that_is_told_the_same_suggests_the_same() -> None:
    aware = {"type": "bayesian", "cost_aware": True}
    trials = run(aware)
    again = Search(SPACE, LOSS, aware, seed=1, trials=60, cost_budget=150.0)
    for number, values in enumerate(trials[:-1]):
        again.restore(number, values)
        again.tell(number, (values["x"] - 0.7) ** 2, cost=0.2 + 10 * values["size"])
    following = again.ask()
    assert following is not None
    assert following.parameters == trials[-1]


@pytest.mark.parametrize("cost", [-1.0, float("nan"), float("inf")])
def test_a_cost_that_cannot_be_is_refused(cost: float) -> None:
    search = Search(SPACE, LOSS, seed=1)
    trial = search.ask()
    assert trial is not None
    with pytest.raises(ValueError, match="cannot cost"):
        search.tell(trial, 0.5, cost=cost)
    assert search.pending, "the trial can still be told"


def test_the_slopes_are_those_of_the_values() -> None:
    source = np.random.default_rng(5)
    encoding = Encoding(Space(SPACE))
    costs = Costs(encoding, Means(None, None))
    points = source.random((12, 2))
    costs.add(
        [
            Observation(at, {"x": float(x), "size": float(size)}, TrialState.COMPLETED, (0.0,), cost=float(np.exp(x + 2 * size)))
            for at, (x, size) in enumerate(points)
        ]
    )  # fmt: skip
    thrift = costs.thrift()
    assert thrift is not None
    at, step = source.random((3, 2)), 1e-5
    values, slopes = thrift.slopes(at)
    assert values == pytest.approx(thrift(at))
    for column in range(2):
        moved = np.zeros((3, 2))
        moved[:, column] = step
        assert slopes[:, column] == pytest.approx((thrift(at + moved) - thrift(at - moved)) / (2 * step), abs=1e-4)


# The job


def test_a_job_of_a_limited_time_or_cost_goes_by_costs() -> None:
    assert choice_for(job()).strategy == Bayesian()  # type: ignore[union-attr]
    for limit, budget in (({"time": "1h", "parallel": 2}, 7200.0), ({"cost": "5 USD", "time": "1h"}, 5.0)):
        limited = job(limits={"trials": 30, **limit})
        chosen = choice_for(limited)
        assert chosen is not None
        assert chosen.strategy == Bayesian(cost_aware=True)
        assert "cheap ones first" in chosen.reason
        assert limited.cost_budget == budget
    assert job().cost_budget is None


def test_what_a_trial_took_is_money_where_money_is_limited() -> None:
    trial = Trial(0, {}, started=10.0, ended=14.5)
    assert cost_of(job(), trial) == 4.5
    paid = job(limits={"trials": 9, "cost": 5})
    assert cost_of(paid, trial) is None
    trial.charges = (Charge(1, "m", 1, 60.0, Decimal("0.25"), "USD"), Charge(2, "m", 1, 60.0, Decimal("0.5"), "USD"))
    assert cost_of(paid, trial) == 0.75
    trial.charges = (Charge(1, "m", 1, 60.0, Decimal("0.5"), "USD", kept=60.0),)
    assert cost_of(paid, trial) == 0.25, "the next trial has the machine by then"
    trial.charges = (*trial.charges, Charge(2, "other", 1, 60.0))
    assert cost_of(paid, trial) is None
    assert cost_of(job(), Trial(0, {}, started=10.0, ended=9.0)) == 0, "the clock was set back"


@pytest.mark.parametrize("name", ["sagemaker", "vertex", "azureml"])
def test_a_services_own_tuner_goes_without_and_says_so(name: str) -> None:
    provider, wanted = load_provider(name)({}), job({"type": "bayesian", "cost_aware": True})
    plan = provider.plan(wanted)
    assert plan.mode == "managed"
    assert plan.support("strategy.cost_aware") is Support.APPROXIMATE
    assert provider.plan(wanted.driven()).support("strategy.cost_aware") is Support.EXACT
    notes = load_format("katib").write(wanted).notes
    assert [note.support for note in notes if note.path == "strategy.cost_aware"] == [Support.APPROXIMATE]
