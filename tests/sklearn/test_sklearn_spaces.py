"""What scikit-learn's searches take as a space: every value comes back, in the order of a grid, by the law of a distribution."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from late import LATE

from cloudtune import Categorical, Constant, Float, Int, TuningJob
from cloudtune.errors import SpecError
from cloudtune.search import strategy_for
from cloudtune.search.grid import GridSearch

if LATE:
    pytest.importorskip("sklearn")
    from scipy import stats
    from sklearn.model_selection import ParameterGrid
    from sklearn.svm import SVC

    from cloudtune.sklearn.spaces import SearchSpace, search_space


def job_of(space: SearchSpace, strategy: str) -> TuningJob:
    return TuningJob.from_data(
        {
            "name": "spaces",
            "trial": {"command": "true"},
            "objective": {"metric": "m", "goal": "maximize"},
            "space": space.entries,
            "strategy": {"type": strategy} | ({} if strategy == "grid" else {"seed": 7}),
            "limits": {"trials": 10_000},
        }
    )


def grid_of(grids: Any) -> list[dict[str, Any]]:
    space = search_space(grids, in_order=True)
    return [space.decoding(values) for values in GridSearch(job_of(space, "grid").search_space()).all()]


def draws(distribution: Any, count: int) -> Iterator[Any]:
    space = search_space({"x": distribution}, in_order=False)
    job = job_of(space, "random")
    strategy = strategy_for(job, job.search_space(), seed=7)
    for number in range(count):
        values = strategy.suggest(number)
        if values is None:  # all of a finite space is drawn
            return
        yield space.decoding(values)["x"]


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.builds(lambda: SVC()), st.just(max),
    st.tuples(st.integers(), st.integers()), st.floats(allow_nan=False).map(np.float64), st.integers(0, 9).map(np.int64),
)  # fmt: skip
GRID = st.dictionaries(
    st.sampled_from(["C", "clf__C", "grid", "a"]), st.lists(VALUES, min_size=1, max_size=4), max_size=3
)


@settings(max_examples=examples(150), deadline=None)
@given(st.one_of(GRID, st.lists(GRID, min_size=1, max_size=3)))
def test_a_grid_is_gone_through_as_scikit_learn_goes_and_gives_the_very_objects(grids: Any) -> None:
    ours, theirs = grid_of(grids), list(ParameterGrid(grids))
    assert [list(each) for each in ours] == [list(each) for each in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert all(mine[name] is other[name] for name in other)


def test_one_and_true_in_two_grids_are_two_values() -> None:
    assert [each["a"] for each in grid_of([{"a": [1]}, {"a": [True]}])] == [1, True]
    assert [type(each["a"]) for each in grid_of([{"a": [1]}, {"a": [True]}])] == [int, bool]


def test_arrays_give_their_own_numbers() -> None:
    values = np.logspace(-2, 2, 5)
    found = [each["C"] for each in grid_of({"C": values})]
    assert found == list(values)
    assert {type(value) for value in found} == {np.float64}
    assert [each["b"] for each in grid_of({"b": np.array([True, False])})] == [True, False]


def test_numbers_are_an_ordered_axis_for_a_model_whatever_their_order() -> None:
    space = search_space({"C": [100, 1, 10], "kernel": ["rbf", "poly"]}, in_order=False)
    assert space.entries["C"] == {"type": "ordinal", "values": [1, 10, 100]}
    assert space.entries["kernel"]["type"] == "categorical"
    assert search_space({"C": [100, 1, 10]}, in_order=True).entries["C"]["values"] == [100, 1, 10]


def test_what_several_grids_have_alike_is_searched_as_one() -> None:
    space = search_space(
        [{"C": [1, 2], "kernel": ["rbf"]}, {"C": [1, 2], "kernel": ["poly"]}, {"C": [3]}], in_order=False
    )
    assert [variant["when"]["grid"] for variant in space.entries["C"]] == [[0, 1], [2]]
    assert [variant["values"] for variant in space.entries["kernel"]] == [["rbf"], ["poly"]]


def test_objects_are_called_by_their_kind() -> None:
    space = search_space({"clf": [SVC(), SVC(C=2), None], "f": [math.sqrt, math.exp]}, in_order=True)
    assert space.entries["clf"]["values"] == ["SVC#0", "SVC#1", "None#2"]
    assert space.entries["f"]["values"] == ["sqrt#0", "exp#1"]


def test_conditions_may_speak_of_values_that_travel_by_another_name() -> None:
    space = search_space(
        {"kernel": ["rbf", "poly", len], "degree": Int(low=2, high=3, when={"kernel": ("poly", "rbf")})}, in_order=True
    )
    grid = list(GridSearch(job_of(space, "grid").search_space()).all())
    found = [space.decoding(values) for values in grid]
    assert [(each["kernel"], each.get("degree")) for each in found] == [
        ("rbf", 2),
        ("rbf", 3),
        ("poly", 2),
        ("poly", 3),
        (len, None),
    ]


def test_cloudtunes_own_parameters_stay_what_they_are() -> None:
    space = search_space(
        {
            "a": Float(low=0.1, high=1, scale="log"),
            "b": Categorical(values=(None, "x")),
            "c": Constant(value=None),
            "d": {"type": "int", "low": 1, "high": 3},
            "e": [Int(low=0, high=1, when={"b": "x"}), Float(low=0, high=1, when={"b": None})],
        },
        in_order=False,
    )
    entries = job_of(space, "random").space
    assert entries["a"] == Float(low=0.1, high=1, scale="log")
    assert entries["b"] == Categorical(values=(None, "x"))
    assert entries["c"] == Constant(value=None)
    assert entries["d"] == Int(low=1, high=3)
    assert [type(variant).__name__ for variant in entries["e"]] == ["Int", "Float"]
    assert not space.listed


@pytest.mark.parametrize(
    ("distribution", "kind"),
    [
        (lambda: stats.uniform(-2, 5), {"type": "float", "low": -2.0, "high": 3.0, "scale": "linear"}),
        (lambda: stats.loguniform(1e-4, 10), {"type": "float", "low": 1e-4, "high": 10.0, "scale": "log"}),
        (lambda: stats.reciprocal(1, 10, scale=3), {"type": "float", "low": 3.0, "high": 30.0, "scale": "log"}),
        (lambda: stats.randint(3, 9), {"type": "int", "low": 3, "high": 8}),
        (lambda: stats.norm(5, 2), {"type": "normal", "mean": 5.0, "std": 2.0}),
        (lambda: stats.lognorm(s=0.5, scale=math.e), {"type": "lognormal", "mean": 1.0, "std": 0.5}),
    ],
)
def test_a_distribution_becomes_the_parameter_that_has_its_law(distribution: Any, kind: dict[str, Any]) -> None:
    entry = search_space({"x": distribution()}, in_order=False).entries["x"]
    assert {name: entry[name] for name in kind} == pytest.approx(kind)
    found = np.array(list(draws(distribution(), 1000)))
    if kind["type"] == "int":
        seen = [int((found == value).sum()) for value in range(3, 9)]
        assert seen == [1] * 6  # a finite space is drawn without repetition
    else:
        assert stats.kstest(found, distribution().cdf).pvalue > 0.001


@pytest.mark.parametrize(
    "distribution",
    [lambda: stats.beta(2, 5), lambda: stats.expon(scale=3), lambda: stats.loguniform(1, 10, loc=-5), lambda: stats.lognorm(1, loc=2), lambda: stats.t(3), lambda: stats.truncnorm(-1, 2)],
)  # fmt: skip
def test_any_other_distribution_has_its_law_through_its_quantiles(distribution: Any) -> None:
    found = np.array(list(draws(distribution(), 1000)))
    assert np.isfinite(found).all()
    assert stats.kstest(found, distribution().cdf).pvalue > 0.001
    assert stats.kstest(found, stats.norm(20, 1).cdf).pvalue < 1e-6  # the test can tell


def test_whole_numbers_without_a_bound_stay_whole() -> None:
    found = list(draws(stats.poisson(4), 1000))
    assert {type(value) for value in found} == {int}
    expected = [1000 * stats.poisson(4).pmf(value) for value in range(9)]
    seen = [found.count(value) for value in range(9)]
    rest = 1000 - sum(seen), 1000 - sum(expected)
    assert stats.chisquare([*seen, rest[0]], [*expected, rest[1]]).pvalue > 0.001


def test_scipys_new_distributions_are_taken_too() -> None:
    if not hasattr(stats, "Normal"):
        pytest.skip("this scipy has none")
    found = np.array(list(draws(stats.Normal(mu=3, sigma=2), 500)))
    assert stats.kstest(found, stats.norm(3, 2).cdf).pvalue > 0.001


def test_whatever_has_rvs_is_drawn_by_a_seed() -> None:
    class Even:
        def rvs(self, random_state: Any = None) -> int:
            return 2 * int(np.random.RandomState(random_state).randint(0, 1000))

    found, again = list(draws(Even(), 50)), list(draws(Even(), 50))
    assert found == again
    assert len(set(found)) > 25
    assert all(value % 2 == 0 and 0 <= value < 2000 for value in found)


def test_every_mistake_is_told_with_its_place() -> None:
    with pytest.raises(SpecError) as caught:
        search_space([{"C": [], "kernel": "rbf"}, {"C": 3, 4: [1], "x": np.zeros((2, 2))}], in_order=True)
    text = str(caught.value)
    assert "space[0].C: has no values" in text
    assert "space[0].kernel: is 'rbf' (str); give a list" in text
    assert "space[1].C: is 3 (int)" in text
    assert "space[1].4: the name of a parameter is a text" in text
    assert "space[1].x: is an array of 2 dimensions" in text
    for wrong in (3, "C", [1], [], None):
        with pytest.raises(SpecError, match="space"):
            search_space(wrong, in_order=True)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((1e-3, 10.0, "log"), "cloudtune.Float(low=0.001, high=10.0, scale='log')"),
        ([1, 9, "linear"], "cloudtune.Int(low=1, high=9, scale='linear')"),
    ],
)
def test_a_range_as_tune_takes_it_is_no_list_of_values(values: Any, words: str) -> None:
    with pytest.raises(SpecError, match=re.escape(words)):
        search_space({"C": values}, in_order=False)
