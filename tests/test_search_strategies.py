"""Strategies: what they suggest, how it is distributed, and that a resume changes nothing."""

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune.job import TuningJob
from cloudtune.parameters import Categorical, Constant, Float, Int, LogNormal, Normal, Ordinal
from cloudtune.search import Observation, Strategy, UnsuitableStrategy, strategy_for
from cloudtune.search.bayesian import BayesianSearch
from cloudtune.search.draws import RandomSearch
from cloudtune.search.grid import GridSearch
from cloudtune.search.sobol import SobolSearch
from cloudtune.space import Space, Values
from cloudtune.states import TrialState
from cloudtune.testing.specs import spaces

MIXED = {
    "kind": Categorical(values=("a", "b", "c")),
    "count": Int(low=1, high=100, scale="log"),
    "part": Float(low=0, high=1, when={"kind": ("a",)}),
    "rate": Float(low=1e-4, high=1, scale="log", when={"kind": ("b", "c")}),
    "step": Float(low=0.1, high=0.5, step=0.1),
}


def told(number: int, values: Values, loss: float, state: TrialState = TrialState.COMPLETED) -> Observation:
    return Observation(number, values, state, None if state is TrialState.FAILED else (loss,))


def make(strategy: str, space: Space, seed: int = 5, **more: Any) -> Strategy:
    kinds: dict[str, Callable[..., Strategy]] = {
        "random": RandomSearch,
        "sobol": SobolSearch,
        "bayesian": lambda space, **about: BayesianSearch(space, startup=4, **about),
        "grid": lambda space, **about: GridSearch(space, levels=3, **about),
    }
    return kinds[strategy](space, seed=seed, budget=30, **more)


# Grid


def test_a_grid_is_the_product_of_its_axes_with_the_last_turning_fastest() -> None:
    space = Space(
        {"a": Ordinal(values=(1, 2)), "b": Categorical(values=("x", None)), "c": Float(low=0.1, high=0.3, step=0.1)}
    )
    expected = [
        dict(zip("abc", values, strict=True)) for values in itertools.product((1, 2), ("x", None), (0.1, 0.2, 0.3))
    ]
    assert list(GridSearch(space).all()) == expected
    assert GridSearch(space).total == 12


def test_a_conditional_grid_has_each_branch_once() -> None:
    space = Space(
        {
            "k": Categorical(values=("rbf", "poly")),
            "d": Int(low=2, high=4, when={"k": ("poly",)}),
            "e": Categorical(values=(True, False), when={"d": (3,)}),
            "C": Float(low=0, high=1),
        }
    )
    grid = list(GridSearch(space, levels=2).all())
    branches = [
        {"k": "rbf"},
        {"k": "poly", "d": 2},
        {"k": "poly", "d": 3, "e": True},
        {"k": "poly", "d": 3, "e": False},
        {"k": "poly", "d": 4},
    ]
    expected = [{**branch, "C": level} for branch in branches for level in (0.0, 1.0)]
    assert Counter(map(space.key, grid)) == Counter(map(space.key, expected))


@given(entries=spaces())
@settings(max_examples=80)
def test_every_grid_holds_each_possible_trial_exactly_once(entries: dict[str, Any]) -> None:
    space = Space(entries)
    grid = GridSearch(space, levels=2)
    some = [grid.at(number) for number in range(min(grid.size, 500))]
    assert all(space.contains(values) for values in some if values is not None)
    assert len({space.key(values) for values in some if values is not None}) == len(some)
    assert grid.at(grid.size) is None
    drawn = random.Random(0)
    if grid.size <= 500 and space.size is not None:
        keys = {space.key(values) for values in some if values is not None}
        assert all(space.key(space.at([drawn.random() for _ in space.dimensions])) in keys for _ in range(50))


def test_a_grid_of_more_points_than_memory_answers_at_once() -> None:
    space = Space({f"x{index}": Int(low=1, high=1000) for index in range(10)})
    grid = GridSearch(space)
    assert grid.size == 10**30
    assert list((grid.at(10**30 - 1) or {}).values()) == [1000] * 10
    assert list((grid.at(1_001) or {}).values()) == [1] * 8 + [2, 2]


def test_a_condition_on_one_of_a_million_values_is_no_burden() -> None:
    space = Space(
        {
            "n": Int(low=0, high=10**6),
            "a": Categorical(values=("x", "y", "z"), when={"n": (7, 500_000)}),
            "b": Int(low=0, high=10**6, when={"a": ("y",)}),
        }
    )
    grid = GridSearch(space)
    assert grid.size == (10**6 + 1 - 2) + 2 * (2 + 10**6 + 1)
    assert [grid.at(number) for number in (6, 7, 8)] == [{"n": 6}, {"n": 7, "a": "x"}, {"n": 7, "a": "y", "b": 0}]
    assert grid.at(grid.size - 1) == {"n": 10**6}


def test_a_grid_over_a_continuum_needs_levels() -> None:
    with pytest.raises(UnsuitableStrategy, match="'x'.*levels"):
        GridSearch(Space({"x": Float(low=0, high=1)}))


# Random and Sobol


def chi_square(counts: Counter[Any], shares: dict[Any, float]) -> float:
    total = sum(counts.values())
    return sum((counts[key] - total * share) ** 2 / (total * share) for key, share in shares.items())


@pytest.mark.parametrize("strategy", ["random", "sobol"])
def test_draws_are_distributed_as_the_space_says(strategy: str) -> None:
    space = Space(
        {
            "linear": Float(low=-2, high=6),
            "log": Float(low=1e-4, high=1, scale="log"),
            "reverse": Float(low=0, high=0.9999, scale="reverse_log"),
            "normal": Normal(mean=3, std=2),
            "lognormal": LogNormal(mean=0, std=0.5),
            "cut": Normal(mean=0, std=1, low=0),
            "int": Int(low=1, high=6),
            "logint": Int(low=1, high=3, scale="log"),
            "category": Categorical(values=("a", "b", None)),
            "free": Float(low=0, high=1),
        }
    )
    search = make(strategy, space)
    drawn = [search.suggest(number) or {} for number in range(4096)]
    quantiles: dict[str, Callable[[Any], float]] = {
        "linear": lambda x: (x + 2) / 8,
        "log": lambda x: math.log(x / 1e-4) / math.log(1e4),
        "reverse": lambda x: math.log(1 - x) / math.log(1e-4),
        "normal": lambda x: 0.5 * (1 + math.erf((x - 3) / 2 / math.sqrt(2))),
        "lognormal": lambda x: 0.5 * (1 + math.erf(math.log(x) / 0.5 / math.sqrt(2))),
        "cut": lambda x: math.erf(x / math.sqrt(2)),
    }
    for name, quantile in quantiles.items():
        cells = Counter(min(int(quantile(values[name]) * 16), 15) for values in drawn)
        assert chi_square(cells, dict.fromkeys(range(16), 1 / 16)) < 37.7, f"{name}: p < 0.001"  # 15 degrees of freedom
    assert chi_square(Counter(v["int"] for v in drawn), dict.fromkeys(range(1, 7), 1 / 6)) < 20.5
    assert chi_square(Counter(v["category"] for v in drawn), dict.fromkeys(("a", "b", None), 1 / 3)) < 13.8
    edges = [math.log(x) for x in (0.5, 1.5, 2.5, 3.5)]
    shares = {n: (edges[n] - edges[n - 1]) / (edges[3] - edges[0]) for n in (1, 2, 3)}
    assert chi_square(Counter(v["logint"] for v in drawn), shares) < 13.8


def test_a_finite_space_is_drawn_without_repetition_until_nothing_is_left() -> None:
    space = Space({"a": Int(low=0, high=3), "b": Categorical(values=("x", "y"), when={"a": (1, 2)})})
    search = RandomSearch(space, seed=1)
    drawn = [search.suggest(number) for number in range(8)]
    assert drawn[6:] == [None, None]
    assert len({space.key(values) for values in drawn if values is not None}) == 6


def test_other_seeds_give_other_trials() -> None:
    space = Space({"x": Float(low=0, high=1)})
    for strategy in ("random", "sobol", "bayesian"):
        first = {str(make(strategy, space, seed).suggest(0)) for seed in range(10)}
        assert len(first) == 10


# All of them


@pytest.mark.parametrize("strategy", ["grid", "random", "sobol", "bayesian"])
def test_a_strategy_that_is_told_the_history_goes_on_as_the_old_one_would_have(strategy: str) -> None:
    """Thirty trials, four in flight, ending out of order; rebuilt at every point, it suggests the same."""
    space = Space(MIXED)
    chance = random.Random(2)
    search, log, running = make(strategy, space), [], {}
    suggestions: dict[int, Values] = {}
    for number in range(30):
        while len(running) >= 4:
            ended = chance.choice(sorted(running))
            state = chance.choice([TrialState.COMPLETED] * 4 + [TrialState.FAILED, TrialState.PRUNED])
            log.append(("observe", told(ended, running.pop(ended), chance.random(), state)))
            search.observe(log[-1][1])
        rebuilt = make(strategy, space)
        for number_before, values in suggestions.items():
            rebuilt.restore(number_before, values)
        for _, observation in log:
            rebuilt.observe(observation)
        suggestion = search.suggest(number)
        assert suggestion is not None
        assert rebuilt.suggest(number) == suggestion, f"trial {number} differs after a resume"
        suggestions[number] = running[number] = suggestion
    assert all(space.contains(values) for values in suggestions.values())


@pytest.mark.parametrize("strategy", ["grid", "random", "sobol", "bayesian"])
@given(entries=spaces())
@settings(max_examples=25)
def test_every_suggestion_is_a_possible_trial(strategy: str, entries: dict[str, Any]) -> None:
    space = Space(entries)
    search = make(strategy, space)
    for number in range(9):
        values = search.suggest(number)
        if values is None:
            break
        assert space.contains(values)
        search.observe(told(number, values, float(number % 3)))


# Bayesian


def branin(v: Values) -> float:
    x, y = float(v["x"] or 0), float(v["y"] or 0)
    return (
        (y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6) ** 2
        + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x)
        + 10
    )


def mixed(v: Values) -> float:
    base = {"a": 0.3, "b": 0.0, "c": 1.0}[str(v["kind"])] + (math.log10(float(v["count"] or 1)) - 1) ** 2
    return base + (
        0.3 * (math.log10(float(v["rate"] or 1)) + 2) ** 2 if "rate" in v else (float(v["part"] or 0) - 0.5) ** 2
    )


def best_of(search: Strategy, function: Callable[[Values], float], trials: int, parallel: int = 1) -> float:
    best, running = math.inf, {}
    for number in range(trials):
        values = search.suggest(number)
        assert values is not None
        running[number] = values
        if len(running) >= parallel:
            ended = min(running)
            loss = function(running[ended])
            best = min(best, loss)
            search.observe(told(ended, running.pop(ended), loss))
    return best


@pytest.mark.parametrize(("function", "entries", "good"), [
    (branin, {"x": Float(low=-5, high=10), "y": Float(low=0, high=15)}, 0.45),
    (mixed, MIXED, 0.02),
])  # fmt: skip
@pytest.mark.parametrize("parallel", [1, 4])
def test_the_model_finds_what_random_search_does_not(function: Any, entries: Any, good: float, parallel: int) -> None:
    space = Space(entries)
    ours = sorted(best_of(BayesianSearch(space, seed=seed, budget=40), function, 40, parallel) for seed in range(3))
    random_best = sorted(best_of(RandomSearch(space, seed=seed), function, 40) for seed in range(3))
    assert ours[1] < random_best[1]
    assert ours[1] <= good


@pytest.mark.parametrize("losses", [
    lambda n: 1.0, lambda n: [1e300, -1e300, 0.0, 1e-300][n % 4], lambda n: float(n % 2), lambda n: 1e-320 * n,
], ids=["constant", "huge", "two values", "denormal"])  # fmt: skip
def test_the_model_bears_any_numbers(losses: Callable[[int], float]) -> None:
    search = BayesianSearch(Space(MIXED), startup=4, budget=20)
    for number in range(20):
        values = search.suggest(number)
        assert values is not None
        search.observe(told(number, values, losses(number)))


def test_the_model_bears_failures_alone_and_among_others() -> None:
    for fails in (lambda n: True, lambda n: n % 2 == 0):
        search = BayesianSearch(Space(MIXED), startup=4, budget=20)
        for number in range(16):
            values = search.suggest(number)
            assert values is not None
            search.observe(told(number, values, 1.0, TrialState.FAILED if fails(number) else TrialState.COMPLETED))


def test_the_model_exhausts_a_finite_space_without_repetition() -> None:
    space = Space({"c": Categorical(values=("a", "b", "c")), "n": Int(low=1, high=4)})
    search = BayesianSearch(space, budget=20)
    seen = []
    while (values := search.suggest(len(seen))) is not None:
        search.observe(told(len(seen), values, float(values["n"] or 0)))
        seen.append(space.key(values))
    assert len(seen) == len(set(seen)) == 12


@pytest.mark.parametrize("size", [1, 40])
def test_the_model_searches_one_dimension_and_many(size: int) -> None:
    entries = {f"x{index}": Float(low=0, high=1) for index in range(size)} | {"fixed": Constant(value="v")}
    assert (
        best_of(
            BayesianSearch(Space(entries), startup=5), lambda v: sum(float(v[f"x{i}"] or 0) for i in range(size)), 12
        )
        < size
    )


def test_several_objectives_spread_over_their_front() -> None:
    space = Space({"x": Float(low=0, high=1), "y": Float(low=0, high=1)})
    search = BayesianSearch(space, objectives=2, budget=40, seed=1)
    points = []
    for number in range(40):
        values = search.suggest(number)
        assert values is not None
        x, y = float(values["x"] or 0), float(values["y"] or 0)
        points.append((x, (1 - x) + y))
        search.observe(Observation(number, values, TrialState.COMPLETED, points[-1]))
    front = [p for p in points[10:] if p[1] - (1 - p[0]) < 0.1]
    assert len(front) >= 15, "most trials lie near the front, where y is 0"
    assert min(p[0] for p in front) < 0.25
    assert max(p[0] for p in front) > 0.75


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_warping_keeps_the_order_and_tames_the_size(losses: list[float]) -> None:
    import numpy as np

    from cloudtune.search.warp import warp

    warped = warp(np.array(losses))
    assert np.isfinite(warped).all()
    assert abs(warped).max() < 20
    order = np.argsort(losses, kind="stable")
    assert (np.diff(warped[order]) >= -1e-9).all()


@given(st.integers(2, 6), st.integers(1, 4))
@settings(max_examples=20)
def test_the_gradient_of_the_likelihood_is_the_one_of_its_differences(count: int, size: int) -> None:
    import numpy as np
    from scipy.optimize import check_grad

    from cloudtune.search import gp

    source = np.random.default_rng(count * 10 + size)
    points = source.random((count, size))
    points[0, 0] = np.nan
    squares = gp.differences(points, points, np.arange(size) % 2 == 1)
    targets = source.standard_normal(count)
    at = source.uniform(-1, 1, size + 1)
    error = check_grad(
        lambda x: gp._negative_log_likelihood(x, squares, targets)[0],
        lambda x: gp._negative_log_likelihood(x, squares, targets)[1],
        at,
    )
    assert error < 1e-4


def test_the_first_trials_of_a_bayesian_search_need_neither_numpy_nor_scipy() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from cloudtune.space import Space; from cloudtune import Float\n"
        "from cloudtune.search.bayesian import BayesianSearch\n"
        "print(BayesianSearch(Space({'x': Float(low=0, high=1)})).suggest(0), 'numpy' in sys.modules, 'scipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == ["False", "False"]


def test_what_does_not_exist_is_refused_in_words() -> None:
    job = TuningJob.from_data(
        {"name": "j", "trial": {"command": "x"}, "objective": {"metric": "m", "goal": "minimize"},
         "space": {"x": {"type": "float", "low": 0, "high": 1}}, "strategy": {"type": "evolutionary"}, "limits": {"trials": 1}}
    )  # fmt: skip
    with pytest.raises(UnsuitableStrategy, match="no evolutionary search yet"):
        strategy_for(job, job.search_space(), 1)
