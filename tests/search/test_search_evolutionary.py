"""Evolutionary search and the Pareto front: what they compute, and that they get somewhere."""

import math
from typing import Any

import numpy as np
import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cloudtune.search import Observation, Strategy
from cloudtune.search.evolutionary import CovarianceSearch, GeneticSearch, evolutionary
from cloudtune.search.pareto import boxes, crowding, front, hypervolume, ranks
from cloudtune.search.random_search import RandomSearch
from cloudtune.space.parameters import Categorical, Constant, Float, Int
from cloudtune.space.space import Space, Values
from cloudtune.store.records import TrialState

NUMBERS = {"x": Float(low=-2, high=2), "y": Float(low=1e-3, high=10, scale="log"), "n": Int(low=1, high=40)}
MIXED = {
    "kind": Categorical(values=("a", "b", "c", "d")),
    "x": Float(low=-2, high=2),
    "n": Int(low=1, high=40, when={"kind": ("b", "c")}),
    "fixed": Constant(value=1),
}


def numbers(v: Values) -> float:
    return (float(v["x"] or 0) - 0.5) ** 2 + math.log10(float(v["y"] or 1)) ** 2 + ((float(v["n"] or 0) - 30) / 10) ** 2


def mixed(v: Values) -> float:
    base = {"a": 1.0, "b": 0.2, "c": 0.0, "d": 2.0}[str(v["kind"])]
    return base + (float(v["x"] or 0) + 1) ** 2 + (abs(float(v["n"] or 0) - 7) / 10 if "n" in v else 1.0)


def best_of(search: Strategy, function: Any, trials: int, parallel: int = 1) -> float:
    best, running = math.inf, {}
    for number in range(trials):
        values = search.suggest(number)
        assert values is not None
        assert search.space.contains(values)
        running[number] = values
        if len(running) >= parallel:
            ended = min(running)
            loss = function(running[ended])
            best = min(best, loss)
            search.observe(Observation(ended, running.pop(ended), TrialState.COMPLETED, (loss,)))
    return best


def test_numbers_are_for_cma_es_and_all_else_for_the_genetic_algorithm() -> None:
    assert isinstance(evolutionary(Space(NUMBERS)), CovarianceSearch)
    assert isinstance(evolutionary(Space(MIXED)), GeneticSearch)
    assert isinstance(evolutionary(Space(NUMBERS), objectives=2), GeneticSearch)
    assert isinstance(evolutionary(Space({"x": Float(low=0, high=1)})), GeneticSearch), "it needs two dimensions"


@pytest.mark.parametrize(("entries", "function"), [(NUMBERS, numbers), (MIXED, mixed)], ids=["numbers", "mixed"])
@pytest.mark.parametrize("parallel", [1, 5])
def test_it_finds_what_random_search_does_not(entries: Any, function: Any, parallel: int) -> None:
    space = Space(entries)
    ours = sorted(best_of(evolutionary(space, seed=seed, budget=150), function, 150, parallel) for seed in range(5))
    drawn = sorted(best_of(RandomSearch(space, seed=seed), function, 150) for seed in range(5))
    assert ours[2] < 0.5 * drawn[2]


def test_failed_trials_are_not_bred_from() -> None:
    space = Space(NUMBERS)
    search = evolutionary(space, seed=1)
    failed = []
    for number in range(80):
        values = search.suggest(number)
        assert values is not None
        fails = float(values["x"] or 0) < 0
        failed.append(fails)
        state = TrialState.FAILED if fails else TrialState.COMPLETED
        search.observe(Observation(number, values, state, None if fails else (numbers(values),)))
    assert sum(failed) < 20, "of 80, where half of the space fails"


def test_a_distribution_that_has_shrunk_to_a_point_begins_anew() -> None:
    space = Space({"x": Float(low=0, high=1), "y": Float(low=0, high=1)})
    search = CovarianceSearch(space, seed=1)
    for number in range(1200):
        values = search.suggest(number) or {}
        search.observe(
            Observation(
                number, values, TrialState.COMPLETED, (sum((float(x or 0) - 0.3) ** 2 for x in values.values()),)
            )
        )
        if search._starts:
            break
    assert search._starts == 1
    assert search._distribution.population_size == 2 * search._population


def test_it_begins_at_the_best_trial_of_earlier_runs() -> None:
    space = Space({"x": Float(low=0, high=1), "y": Float(low=0, high=1)})
    search = CovarianceSearch(space, seed=1)
    for number, (x, loss) in enumerate([(0.2, 3.0), (0.9, 1.0), (0.5, 2.0)]):
        search.observe(Observation(-number - 1, {"x": x, "y": x}, TrialState.COMPLETED, (loss,)))
    assert search._distribution.mean.tolist() == pytest.approx([0.9, 0.9])


def test_several_objectives_cover_their_front_better_than_random_trials() -> None:
    """ZDT1 of six dimensions (Zitzler, Deb & Thiele 2000), of which the first objective is maximised elsewhere."""
    space = Space({f"x{index}": Float(low=0, high=1) for index in range(6)})

    def zdt(values: Values) -> tuple[float, float]:
        first, *rest = (float(x or 0) for x in values.values())
        g = 1 + 9 * sum(rest) / len(rest)
        return first, g * (1 - math.sqrt(first / g))

    covered = {}
    for name, search in (
        ("ours", evolutionary(space, objectives=2, seed=1, budget=300)),
        ("random", RandomSearch(space, objectives=2, seed=1)),
    ):
        losses = []
        for number in range(300):
            values = search.suggest(number)
            assert values is not None
            losses.append(zdt(values))
            search.observe(Observation(number, values, TrialState.COMPLETED, losses[-1]))
        covered[name] = hypervolume(np.array(losses), np.array([1.1, 6.0]))
    assert covered["ours"] > 1.1 * covered["random"]


# The front

LOSSES = st.integers(1, 4).flatmap(
    lambda size: arrays(float, st.tuples(st.integers(1, 9), st.just(size)), elements=st.integers(0, 6).map(float))
)


@given(LOSSES)
@settings(max_examples=examples(60), deadline=None)
def test_ranks_are_those_of_taking_fronts_away_one_after_the_other(losses: Any) -> None:
    rank = ranks(losses)
    left = np.arange(len(losses))
    for level in range(rank.max() + 1):
        members = left[front(losses[left])]
        assert sorted(members) == sorted(np.flatnonzero(rank == level))
        left = np.setdiff1d(left, members)
    assert not len(left)


@given(LOSSES)
@settings(max_examples=examples(60), deadline=None)
def test_boxes_fill_what_the_front_leaves_free_without_overlap(losses: Any) -> None:
    """Counted on all cells of a grid: each lies in one box, or is dominated."""
    size = losses.shape[1]
    lower, upper = boxes(losses, np.full(size, 7.0))
    cells = np.stack(np.meshgrid(*[np.arange(7) + 0.5] * size, indexing="ij"), axis=-1).reshape(-1, size)
    dominated = (losses[None] <= cells[:, None]).all(axis=2).any(axis=1)
    inside = ((lower[None] < cells[:, None]) & (cells[:, None] < upper[None])).all(axis=2).sum(axis=1)
    np.testing.assert_array_equal(inside, np.where(dominated, 0, 1))
    assert hypervolume(losses, np.full(size, 7.0)) == pytest.approx(float(dominated.sum()))


def test_the_ends_of_a_front_stand_alone() -> None:
    alone = crowding(np.array([[0.0, 4.0], [1.0, 2.0], [1.5, 1.5], [4.0, 0.0]]))
    assert np.isinf(alone[[0, 3]]).all()
    assert alone[1] == pytest.approx(1.5 / 4 + 2.5 / 4)
