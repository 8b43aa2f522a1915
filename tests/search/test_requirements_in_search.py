"""Requirements of the space: every strategy suggests allowed trials alone, and goes on alike after a resume."""

import random
from typing import Any

import pytest
from late import LATE

from cloudtune.api import plan
from cloudtune.errors import SpecError
from cloudtune.planning.plan import Support
from cloudtune.planning.summary import summary
from cloudtune.search import KnownTrial, Search
from cloudtune.search.grid import GridSearch
from cloudtune.search.random_search import RandomSearch
from cloudtune.search.strategy import Observation, Strategy
from cloudtune.space.parameters import Categorical, Float, Int
from cloudtune.space.region import region_of
from cloudtune.space.space import Space, Values
from cloudtune.spec.choice import choice_for
from cloudtune.spec.job import TuningJob
from cloudtune.spec.strategies import Grid
from cloudtune.store.records import TrialState

if LATE:
    from cloudtune.search.sobol import SobolSearch

LOSS = {"metric": "loss", "goal": "minimize"}
STRATEGIES: list[Any] = [
    "random",
    "sobol",
    {"type": "bayesian", "startup": 4},
    "evolutionary",
    {"type": "optuna", "options": {"n_startup_trials": 2}},
    {"type": "optuna", "sampler": "NSGAIISampler", "options": {"population_size": 4}},
    {"type": "hyperopt", "startup": 2},
    {"type": "grid", "levels": 4},
    {"type": "hyperband", "max_resource": 9, "searcher": "evolutionary"},
]
MIXED: dict[str, Any] = {
    "batch": {"type": "ordinal", "values": [16, 32, 64, 128]},
    "width": {"type": "int", "low": 8, "high": 512, "scale": "log"},
    "kind": {"type": "categorical", "values": ["sgd", "adam"]},
    "momentum": {"type": "float", "low": 0, "high": 1, "when": {"kind": "sgd"}},
    "lr": {"type": "float", "low": 1e-5, "high": 1, "scale": "log"},
}
NUMBERS: dict[str, Any] = {name: {"type": "float", "low": 0, "high": 1} for name in ("a", "b", "c")}
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "usual": (MIXED, ["batch * width <= 4096", "kind == 'adam' or momentum + lr < 0.5"]),
    "narrow": (MIXED, ["batch * width == 4096", "lr < 1e-3"]),
    "band": (NUMBERS, ["a <= b <= c", "abs(a + b + c - 1) <= 0.05"]),
    "lattice": (
        {name: {"type": "float", "low": 0, "high": 1, "step": 0.1} for name in "abc"},
        ["a + b + c == 1", "a < b"],
    ),
}


def drawn(strategy: Strategy, count: int) -> list[dict[str, Any]]:
    return [dict(values) for number in range(count) if (values := strategy.suggest(number)) is not None]


def loss(values: Values) -> float:
    return sum(float(value) if isinstance(value, int | float) else 1.0 for value in values.values())


def _cells() -> list[Any]:
    """Return each strategy with each case; of the slow strategies of other packages one case is in the default suite."""
    return [
        pytest.param(
            strategy,
            case,
            marks=[pytest.mark.complete]
            if "opt" in str(strategy) and ("NSGA" in str(strategy) or case != "band")
            else [],
            id=f"{strategy}-{case}",
        )
        for strategy in STRATEGIES
        for case in CASES
    ]


@pytest.mark.parametrize(("strategy", "case"), _cells())
def test_every_strategy_suggests_allowed_trials_alone_and_a_resumed_one_goes_on_alike(strategy: Any, case: str) -> None:
    entries, require = CASES[case]

    def search() -> Search:
        return Search(entries, LOSS, strategy, seed=4, trials=9, require=require)

    whole, told = search(), []
    while (trial := whole.ask()) is not None:
        assert whole.space.contains(trial.parameters), trial
        told.append(trial.parameters)
        whole.tell(trial, loss(trial.parameters))
    if strategy != {"type": "grid", "levels": 4}:  # which may have fewer
        assert len(told) == 9
    again = search()
    for number, values in enumerate(told[:6]):
        again.restore(number, values)
    for number, values in enumerate(told[:6]):
        again.tell(number, loss(values))
    assert [trial.parameters for trial in iter(again.ask, None)][:1] == told[6:7]


@pytest.mark.parametrize(
    "strategy",
    ["random", "bayesian", *(pytest.param(each, marks=pytest.mark.complete) for each in ("sobol", "evolutionary"))],
)
@pytest.mark.parametrize(
    ("require", "share"),
    [
        (["abs(a - 0.3) < 5e-7"], 1e-6),
        (["a + b + c < 0.02"], 8e-6 / 6),
        (["a < b", "abs(a - b) < 2e-6"], 2e-6),
        (["a ** 2 + b ** 2 + c ** 2 < 1e-4"], 5.2e-7),
    ],
    ids=str,
)
def test_allowed_trials_are_found_where_one_in_a_million_is(require: list[str], share: float, strategy: str) -> None:
    search = Search(NUMBERS, LOSS, strategy, seed=1, trials=8, require=require)
    trials = [search.ask() for _ in range(8)]
    assert all(trial is not None and search.space.allows(trial.parameters) for trial in trials)
    assert len({trial.parameters["a"] for trial in trials if trial is not None}) == 8
    if region_of(search.space).acceptance > 0.02:
        assert region_of(search.space).share == pytest.approx(share, rel=0.5)


def test_random_draws_have_the_distribution_of_allowed_draws_from_the_whole_space() -> None:
    entries: dict[str, Any] = {"a": Float(low=0, high=1), "b": Float(low=0, high=1)}
    space = Space(entries, ["a + b < 0.05"])  # a triangle: the mean of each is a third of its side
    found = drawn(RandomSearch(space, seed=3), 1500)
    assert sum(values["a"] for values in found) / 1500 == pytest.approx(0.05 / 3, rel=0.06)
    assert sum(values["a"] < 0.01 for values in found) / 1500 == pytest.approx(1 - 0.8**2, abs=0.04)
    points = drawn(SobolSearch(space, seed=3), 256)
    assert sum(values["a"] for values in points) / 256 == pytest.approx(0.05 / 3, rel=0.03)


def test_draws_stay_the_same_where_the_requirements_hold() -> None:
    free, bound = Space(SPACE_OF_TWO), Space(SPACE_OF_TWO, ["x < 0.9"])
    pairs = list(zip(drawn(RandomSearch(free, seed=5), 40), drawn(RandomSearch(bound, seed=5), 40), strict=True))
    assert all(one == other for one, other in pairs if one["x"] < 0.9)
    assert sum(one == other for one, other in pairs) > 30


SPACE_OF_TWO: dict[str, Any] = {"x": Float(low=0, high=1), "k": Categorical(values=("p", "q"))}


@pytest.mark.parametrize("seed", range(12))
def test_a_grid_has_each_allowed_combination_once_in_its_order(seed: int) -> None:
    chance = random.Random(seed)
    entries: dict[str, Any] = {
        "a": Int(low=1, high=7),
        "k": Categorical(values=("x", "y", 3)),
        "b": Int(low=1, high=5, when={"k": "x"}),
        "c": Float(low=0, high=1, step=0.25),
    }
    forms = (
        "a + b + c < {}",
        "a * c >= {} or k == 'y'",
        "k == 3 or a % 2 == 0",
        "b in [1, 2, {}]",
        "k != 'x' or a < b",
    )
    require = [form.format(chance.randint(1, 5)) for form in chance.sample(forms, 2)]
    free, grid = GridSearch(Space(entries)), GridSearch(Space(entries, require))
    expected = [values for values in free.all() if grid.space.allows(values)]
    assert list(grid.all()) == expected
    assert grid.size == grid.total == len(expected)
    assert [grid.index(values) for values in expected] == list(range(len(expected)))
    assert all(grid.index(values) is None for values in free.all() if values not in expected)


def test_the_choice_of_a_strategy_and_the_plan_count_the_allowed_combinations() -> None:
    job = TuningJob.from_data(
        {
            "name": "n",
            "trial": {"command": "x"},
            "objective": LOSS,
            "space": {"a": {"type": "int", "low": 1, "high": 30}, "b": {"type": "int", "low": 1, "high": 30}},
            "require": "a * b == 36",
            "limits": {"trials": 10},
        }
    )
    choice = choice_for(job)
    assert choice is not None
    assert choice.reason == "all 7 allowed combinations of the space fit into 10 trials"
    grid = job.model_copy(update={"strategy": Grid()})
    assert grid.most_trials == 7
    assert "; 7 trials" in str(summary(grid, plan(grid, "local")))
    for service in ("sagemaker", "vertex", "azureml"):
        planned = plan(job, service)
        assert planned.mode == "driven"
        assert any("which combinations are allowed" in note.message for note in planned.notes if note.path == "require")
        managed = plan(job.model_copy(update={"mode": "managed"}), service)
        assert managed.support("require") is Support.UNSUPPORTED


def test_a_large_grid_is_counted_by_parts() -> None:
    entries: dict[str, Any] = {"a": Int(low=1, high=1000), "b": Int(low=1, high=1000), "c": Int(low=1, high=50)}
    grid = GridSearch(Space(entries, ["a * b <= 4096"]))
    assert grid.size == 50 * sum(min(1000, 4096 // a) for a in range(1, 1001))
    assert grid.at(grid.size - 1) == {"a": 1000, "b": 4, "c": 50}


@pytest.mark.parametrize(
    ("strategy", "require", "message"),
    [
        ("grid", ["a * b * c * d % 7 == 3 and a ** b % 11 > c % d"], "too|fewer values"),
        ({"type": "grid", "levels": 2}, ["0 < x < 1"], "allow no combination"),
    ],
)
def test_a_grid_that_cannot_be_counted_or_is_empty_is_refused(
    strategy: Any, require: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudtune.space.combinations.MOST_CHECKS", 3_000)
    ints: dict[str, Any] = {name: {"type": "int", "low": 1, "high": 60} for name in "abcd"}
    entries = ints if strategy == "grid" else {"x": {"type": "float", "low": 0, "high": 1}}
    with pytest.raises(SpecError, match=message):
        Search(entries, LOSS, strategy, require=require)


@pytest.mark.parametrize(
    ("require", "message"),
    [
        (["a > 2"], r"require\[0\]: no trial of the space meets a > 2; loosen"),
        (["a > 0.6", "b > 0.6", "a + b < 1"], "require: no trial of the space meets all 3 of them"),
        (["a < 2", "b > 1 and c > 1"], r"require\[1\]: no trial of the space meets b > 1"),
        (
            ["exp(a) + exp(b) == 2.5"],
            r"require\[0\]: no trial was found that meets exp.*: real numbers seldom meet an equality",
        ),
    ],
)
def test_a_space_without_allowed_trials_is_refused_with_the_requirement_at_fault(
    require: list[str], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        Search(NUMBERS, LOSS, "random", require=require)


class Stubborn(Strategy):
    """Proposes the same corner again and again."""

    def _propose(self, number: int) -> Values | None:
        return {"a": 1.0, "b": 1.0, "c": number / 10}


class Drawing(Strategy):
    """Draws by the generator of its base."""

    def _propose(self, number: int) -> Values | None:
        source = self.generator(number)
        return self.space.at(source.random() for _ in self.space.dimensions)


def test_a_strategy_of_another_package_is_asked_again_and_its_proposal_moved_in_the_end() -> None:
    space = Space({name: Float(low=0, high=1) for name in "abc"}, ["a + b + c <= 1.5", "a <= b"])
    found = drawn(Drawing(space, seed=2), 20)
    kept = drawn(Drawing(space.requiring(()), seed=2), 20)
    assert all(space.allows(values) for values in found)
    assert any(space.allows(values) for values in kept)
    assert all(one == other for one, other in zip(found, kept, strict=True) if space.allows(other))
    moved = drawn(Stubborn(space, seed=2), 5)
    assert all(space.allows(values) and loss(values) > 1.3 for values in moved)  # near the edge towards the corner
    assert moved == drawn(Stubborn(space, seed=2), 5)


def test_trials_outside_are_not_learnt_from_nor_taken_as_first_ones() -> None:
    search = Search(NUMBERS, LOSS, "random", require="a < b")
    inside, outside = {"a": 0.1, "b": 0.2, "c": 0.5}, {"a": 0.3, "b": 0.2, "c": 0.5}
    assert search.learn([KnownTrial(inside, {"loss": 1}), KnownTrial(outside, {"loss": 0})]) == 1
    with pytest.raises(ValueError, match="they do not meet 'a < b'"):
        search.attach(outside)
    with pytest.raises(SpecError, match=r"first\[0\]\.b: no trial in which a is 0.3 and b is 0.2 meets 'a < b'"):
        Search(NUMBERS, LOSS, "random", require="a < b", first=[{"a": 0.3, "b": 0.2}])


def test_real_numbers_meet_an_equality_in_their_digits() -> None:
    search = Search(NUMBERS, LOSS, "random", seed=1, require="a + b == 1")
    trials = [trial.parameters for _ in range(5) if (trial := search.ask()) is not None]
    assert len({values["a"] for values in trials}) == 5
    assert all(search.space.allows(values) for values in trials)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_a_first_trial_in_part_is_completed_to_an_allowed_one(strategy: Any) -> None:
    require = ["a < b < c", "abs(a + b + c - 1) <= 0.2"]
    first = [{"b": 0.25}, {"c": 0.75, "a": 0.0}]
    search = Search(NUMBERS, LOSS, strategy, seed=1, trials=3, require=require, first=first)
    for given in first:
        trial = search.ask()
        assert trial is not None
        assert given.items() <= trial.parameters.items()
        assert search.space.allows(trial.parameters)


def test_the_best_of_a_region_is_found_at_its_edge() -> None:
    """The least loss of the whole space is not allowed; that of the region lies where two requirements meet."""
    require = ["a + 2 * b <= 1", "a - b >= 0.1"]
    search = Search({name: NUMBERS[name] for name in "ab"}, LOSS, "bayesian", seed=1, trials=30, require=require)
    while (trial := search.ask()) is not None:
        a, b = trial.parameters["a"], trial.parameters["b"]
        search.tell(trial, (float(a or 0) - 0.2) ** 2 + (float(b or 0) - 0.9) ** 2)
    assert search.best is not None
    assert search.best.parameters["b"] == pytest.approx(0.3, abs=0.01)
    assert search.best.metrics["loss"] == pytest.approx(0.4, abs=0.015)


def test_beliefs_outside_of_what_is_required_are_followed_to_its_edge() -> None:
    strategy = {"type": "bayesian", "prior": {"a": {"around": 0.9}, "b": {"around": 0.9}}}
    search = Search(NUMBERS, LOSS, strategy, seed=1, require="a + b <= 1")
    trials = [trial.parameters for _ in range(4) if (trial := search.ask()) is not None]
    assert all(search.space.allows(values) for values in trials)
    assert loss({name: trials[0][name] for name in "ab"}) > 0.98


def test_a_finite_region_is_used_up_without_repetition() -> None:
    entries: dict[str, Any] = {"a": Int(low=1, high=30), "b": Int(low=1, high=30)}
    for strategy in ("random", "bayesian", "evolutionary"):
        search = Search(entries, LOSS, strategy, seed=1, require=["a * b == 36"])
        found = []
        while (trial := search.ask()) is not None:
            found.append(tuple(trial.parameters.values()))
            search.tell(trial, 1.0)
        assert sorted(found) == [(a, 36 // a) for a in (2, 3, 4, 6, 9, 12, 18)]


def test_a_failed_trial_and_one_in_flight_do_not_lead_outside() -> None:
    space = Space(NUMBERS_AS_MODELS, ["a < b", "b < c"])
    for kind in (RandomSearch, SobolSearch):
        strategy = kind(space, seed=1)
        first = strategy.suggest(0)
        strategy.observe(Observation(0, first or {}, TrialState.FAILED, None))
        assert space.allows(strategy.suggest(1) or {})


NUMBERS_AS_MODELS: dict[str, Any] = {name: Float(low=0, high=1) for name in "abc"}
