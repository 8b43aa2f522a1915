"""Strategies: what they suggest, how it is distributed, and that a resume changes nothing."""

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from amounts import examples
from hypothesis import given, settings
from late import LATE

from cloudtune.search import Observation, Strategy, UnsuitableStrategy, rule_for, strategy_for
from cloudtune.search.bayesian import BayesianSearch
from cloudtune.search.evolutionary import evolutionary
from cloudtune.search.grid import GridSearch
from cloudtune.search.random_search import RandomSearch
from cloudtune.space.parameters import Categorical, Float, Int, LogNormal, Normal, Ordinal
from cloudtune.space.space import Space, Values
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import TrialState
from cloudtune.testing.specs import spaces

if LATE:
    from cloudtune.search.sobol import SobolSearch


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
        "evolutionary": lambda space, **about: evolutionary(space, population=4, **about),
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
@settings(max_examples=examples(80))
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
            "step": Float(low=0.1, high=0.5, step=0.1),
            "ordinal": Ordinal(values=(8, 16, 32, 64)),
            "rounded": Normal(mean=0, std=1, step=1.0),
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
    assert chi_square(Counter(v["step"] for v in drawn), dict.fromkeys((0.1, 0.2, 0.3, 0.4, 0.5), 1 / 5)) < 18.5
    assert chi_square(Counter(v["ordinal"] for v in drawn), dict.fromkeys((8, 16, 32, 64), 1 / 4)) < 16.3
    bell = {n: 0.5 * (math.erf((n + 0.5) / math.sqrt(2)) - math.erf((n - 0.5) / math.sqrt(2))) for n in range(-2, 3)}
    inner = Counter(v["rounded"] for v in drawn if abs(float(v["rounded"] or 0)) <= 2)
    assert chi_square(inner, {n: share / sum(bell.values()) for n, share in bell.items()}) < 18.5
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
    for strategy in ("random", "sobol", "bayesian", "evolutionary"):
        first = {str(make(strategy, space, seed).suggest(0)) for seed in range(10)}
        assert len(first) == 10


# All of them


@pytest.mark.parametrize("strategy", ["grid", "random", "sobol", "bayesian", "evolutionary"])
def test_a_strategy_that_is_told_the_history_goes_on_as_the_old_one_would_have(strategy: str) -> None:
    """Thirty trials, four in flight, ending out of order; rebuilt at every point, it suggests the same."""
    _rebuilt_goes_on(strategy, Space(MIXED))


def test_cma_es_that_is_told_the_history_goes_on_as_the_old_one_would_have() -> None:
    _rebuilt_goes_on(
        "evolutionary", Space({"x": Float(low=0, high=1), "n": Int(low=1, high=30), "y": Float(low=1, high=2)})
    )


def _rebuilt_goes_on(strategy: str, space: Space) -> None:
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


@pytest.mark.parametrize("strategy", ["grid", "random", "sobol", "bayesian", "evolutionary"])
@given(entries=spaces())
@settings(max_examples=examples(25))
def test_every_suggestion_is_a_possible_trial(strategy: str, entries: dict[str, Any]) -> None:
    space = Space(entries)
    search = make(strategy, space)
    for number in range(9):
        values = search.suggest(number)
        if values is None:
            break
        assert space.contains(values)
        search.observe(told(number, values, float(number % 3)))


def test_sobol_fills_the_cube_more_evenly_than_random() -> None:
    from scipy.stats import qmc

    space = Space({f"x{index}": Float(low=0, high=1) for index in range(4)})
    discrepancy = {}
    for strategy in ("random", "sobol"):
        search = make(strategy, space)
        points = [space.positions(search.suggest(number) or {}) for number in range(256)]
        discrepancy[strategy] = qmc.discrepancy(points)
    assert discrepancy["sobol"] < 0.2 * discrepancy["random"]


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ({"type": "random"}, "RandomSearch"),
        ({"type": "grid", "levels": 2}, "GridSearch"),
        ({"type": "sobol"}, "SobolSearch"),
        ({"type": "bayesian", "startup": 3}, "BayesianSearch"),
        ({"type": "evolutionary"}, "CovarianceSearch"),
        ({"type": "hyperband", "max_resource": 9}, "RandomSearch"),
        ({"type": "hyperband", "max_resource": 9, "searcher": "bayesian"}, "BayesianSearch"),
        ({"type": "hyperband", "max_resource": 9, "searcher": "evolutionary"}, "CovarianceSearch"),
        ({"type": "optuna", "sampler": "TPESampler", "options": {"n_startup_trials": 3}}, "OptunaSearch"),
        ({"type": "hyperopt", "candidates": 5}, "HyperoptSearch"),
    ],
)
def test_a_job_gets_the_strategy_that_it_asks_for(spec: dict[str, Any], kind: str) -> None:
    if spec["type"] in ("optuna", "hyperopt"):
        pytest.importorskip(spec["type"])
    number = {"type": "float", "low": 0, "high": 1}
    job = TuningJob.from_data(
        {
            "name": "j",
            "trial": {"command": "x"},
            "objective": {"metric": "m", "goal": "minimize"},
            "space": {"x": number, "y": number},
            "strategy": spec,
            "limits": {"trials": 9},
        }
    )
    strategy = strategy_for(job, job.search_space(), 1)
    assert type(strategy).__name__ == kind
    assert job.search_space().contains(strategy.suggest(0) or {})
    assert (rule_for(job) is None) == (spec["type"] != "hyperband")
