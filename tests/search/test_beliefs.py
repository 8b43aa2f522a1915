"""`prior`: where good values are expected, in the spec and in the search."""

import math
from typing import Any

import numpy as np
import pytest
from late import LATE
from plain_jobs import plain_data

from cloudtune.errors import SpecError
from cloudtune.interop.formats import load_format
from cloudtune.planning.plan import Support
from cloudtune.provider.choosing import adapted_to
from cloudtune.provider.interface import load_provider
from cloudtune.search import Observation, Search
from cloudtune.search.bayesian import BayesianSearch
from cloudtune.search.beliefs import Beliefs, LogBeliefs
from cloudtune.search.encoding import Encoding
from cloudtune.space.parameters import Categorical, Float, Int, Parameter
from cloudtune.space.space import Space
from cloudtune.spec.beliefs import Belief
from cloudtune.spec.choice import choice_for
from cloudtune.spec.job import TuningJob
from cloudtune.spec.strategies import Bayesian
from cloudtune.store.records import TrialState

if LATE:
    from scipy.optimize import check_grad

MIXED: dict[str, Parameter] = {
    "kind": Categorical(values=("a", "b", "c")),
    "flag": Categorical(values=(True, False)),
    "lr": Float(low=1e-5, high=1, scale="log"),
    "depth": Int(low=1, high=9, when={"kind": ("a", "b")}),
}
PRIOR = {
    "kind": Belief(around="b"),
    "flag": Belief(around=False),
    "lr": Belief(around=1e-3, spread="3x"),
    "depth": Belief(around=6, spread=1.5),
}
PLAIN = {name: belief.model_dump(exclude_unset=True) for name, belief in PRIOR.items()}


def job(strategy: dict[str, Any], **fields: Any) -> TuningJob:
    made: dict[str, Any] = plain_data(
        space={name: parameter.model_dump() for name, parameter in MIXED.items()},
        strategy=strategy,
        limits={"trials": 30},
    )
    return TuningJob.from_data({**made, **fields})


# The spec


@pytest.mark.parametrize(("prior", "problem"), [
    ({"lt": {"around": 1}}, "strategy.prior.lt: the space has no parameter 'lt'"),
    ({"lr": {"around": 3}}, "strategy.prior.lr.around: 'lr' never takes the value 3"),
    ({"depth": {"around": 2.5}}, "strategy.prior.depth.around: 'depth' never takes the value 2.5"),
    ({"kind": {"around": "b", "spread": 2}}, "strategy.prior.kind: a spread needs a number to lie around; take the spread away"),
    ({"lr": {"around": 0.1, "spread": "1x"}}, "write a factor above 1 such as 3x"),
    ({"lr": {"around": 0.1, "spread": "wide"}}, "write a factor above 1 such as 3x"),
    ({"lr": {"around": -1, "spread": "3x"}}, "a factor needs a value above 0, not -1"),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["auto", "bayesian"])
def test_a_mistake_is_told_with_its_place(prior: dict[str, Any], problem: str, kind: str) -> None:
    with pytest.raises(SpecError) as told:
        job({"type": kind, "prior": prior})
    assert problem in str(told.value)


def test_other_strategies_take_none() -> None:
    with pytest.raises(SpecError, match=r"strategy\.prior: unknown key"):
        job({"type": "random", "prior": PLAIN})


def test_a_spread_is_a_factor_or_a_distance() -> None:
    lr, depth = (Space(MIXED).dimensions[index].axis for index in (2, 3))
    assert PRIOR["lr"].width(lr) == pytest.approx(math.log(3) / math.log(1e5), rel=1e-6)
    assert PRIOR["depth"].width(depth) == pytest.approx(1.5 / 9, abs=0.06)
    linear = Space({"x": Float(low=0, high=10)}).dimensions[0].axis
    assert Belief(around=4, spread=2).width(linear) == pytest.approx(0.2)
    assert Belief(around=9, spread=2).width(linear) == pytest.approx(0.2), "the side within the range counts"
    assert Belief(around=5, spread=50).width(linear) == 1.0


def test_what_is_chosen_heeds_it() -> None:
    assert job({"type": "bayesian", "prior": PLAIN}).to_data()["strategy"]["prior"] == PLAIN  # type: ignore[index,call-overload]
    few = job(
        {"type": "auto", "seed": 3, "prior": {"kind": {"around": "b"}}}, space={"kind": MIXED["kind"].model_dump()}
    )
    chosen = choice_for(few)
    assert chosen is not None
    assert chosen.strategy == Bayesian(seed=3, prior={"kind": Belief(around="b")}), "and no grid"


@pytest.mark.parametrize("name", ["sagemaker", "vertex", "azureml"])
def test_a_services_own_tuner_goes_without_and_says_so(name: str) -> None:
    provider = load_provider(name)({})
    wanted = job({"type": "bayesian", "prior": PLAIN}, space={"lr": MIXED["lr"].model_dump()} | {"kind": MIXED["kind"].model_dump(), "flag": MIXED["flag"].model_dump(), "depth": {"type": "int", "low": 1, "high": 9}})  # fmt: skip
    plan = provider.plan(wanted)
    assert plan.mode == "managed"
    assert plan.support("strategy.prior.lr.around") is Support.APPROXIMATE
    assert plan.support("strategy.type") is Support.EXACT
    driven = provider.plan(wanted.driven())
    assert driven.support("strategy.prior.lr.around") is Support.EXACT


def test_local_runs_go_by_it_and_katib_says_that_it_does_not() -> None:
    wanted = job({"type": "auto", "prior": PLAIN})
    local = load_provider("local")({})
    adapted = adapted_to(local, wanted)
    assert adapted.job.strategy == Bayesian(prior=PRIOR)
    assert local.plan(adapted.job).support("strategy.prior.lr.around") is Support.EXACT
    for kind in ("auto", "bayesian"):
        plain = job({"type": kind, "prior": {"lr": PLAIN["lr"]}}, space={"lr": {"type": "float", "low": 0.0001, "high": 1}}, trial={"command": ["x"], "image": "i"})  # fmt: skip
        notes = load_format("katib").write(plain).notes
        assert [note.support for note in notes if note.path == "strategy.prior"] == [Support.APPROXIMATE]


# The search


def test_the_first_trial_is_what_is_believed_and_the_others_are_near() -> None:
    search = Search(MIXED, {"metric": "loss", "goal": "minimize"}, {"type": "bayesian", "startup": 200, "prior": PLAIN}, seed=5)  # fmt: skip
    first = search.ask()
    assert first is not None
    assert first.parameters == {"kind": "b", "flag": False, "lr": pytest.approx(1e-3), "depth": 6}
    drawn = [found.parameters for _ in range(199) if (found := search.ask()) is not None]
    rates = np.log10([float(each["lr"] or 0) for each in drawn])
    assert np.median(rates) == pytest.approx(-3, abs=0.1)
    assert np.std(rates) == pytest.approx(math.log10(3), rel=0.15)
    shares = {kind: sum(each["kind"] == kind for each in drawn) / len(drawn) for kind in "abc"}
    assert shares["b"] == pytest.approx(0.5 + 0.5 / 3, abs=0.06)
    assert shares["a"] > 0.1


def test_the_density_has_the_gradient_of_its_differences() -> None:
    space = Space(MIXED)
    encoding, beliefs = Encoding(space), Beliefs(space, PRIOR)
    worth = LogBeliefs(beliefs, encoding, 0.7)
    centre = encoding.features(encoding.rows([{"kind": "b", "flag": False, "lr": 1e-3, "depth": 6}]))
    ordered = [encoding.columns(index)[0] for index in (2, 3)]
    for row in encoding.features(encoding.snap(np.random.default_rng(1).random((12, encoding.size)))):

        def at(x: Any, row: Any = row) -> Any:
            point = row.copy()
            point[ordered] = x
            return point[None]

        found = worth.slopes(row[None])[1][0]
        assert check_grad(lambda x, at=at: worth(at(x))[0], lambda x, at=at: worth.slopes(at(x))[1][0][ordered], row[ordered]) < 1e-4  # fmt: skip
        assert np.count_nonzero(np.delete(found, ordered)) == 0
        assert worth(row[None])[0] <= worth(centre)[0] + 1e-9
    absent = encoding.features(encoding.rows([{"kind": "c", "flag": False, "lr": 1e-3}]))
    assert worth(absent)[0] == pytest.approx(0.7 * math.log(3)), (
        "of a parameter that does not exist nothing is believed"
    )


def regret(prior: dict[str, Belief] | None, trials: int, seed: int) -> float:
    space = Space({f"x{index}": Float(low=-5, high=5) for index in range(4)})
    search = BayesianSearch(space, budget=trials, seed=seed, prior=prior)
    best = math.inf
    for number in range(trials):
        values = search.suggest(number) or {}
        x = np.array([float(value or 0) for value in values.values()]) - 2.0
        loss = float(np.sum(x * x * [1, 4, 16, 64]) + 10 * np.sum(1 - np.cos(2 * x)))
        best = min(best, loss)
        search.observe(Observation(number, values, TrialState.COMPLETED, (loss,)))
    return best


def test_a_right_belief_helps_and_a_wrong_one_fades() -> None:
    right = {f"x{index}": Belief(around=2.4, spread=1) for index in range(4)}
    wrong = {f"x{index}": Belief(around=-3, spread=1) for index in range(4)}
    helped, alone = (sum(regret(each, 20, seed) for seed in range(2)) for each in (right, None))
    assert helped < 0.5 * alone
    assert regret(wrong, 45, 0) < 0.05 * regret(wrong, 1, 0)
