"""Trials of the user's own in a search: the first ones, enqueued ones, partial ones, with every strategy."""

import math
from typing import Any

import pytest

from cloudtune.errors import SpecError
from cloudtune.search import KnownTrial, Search
from cloudtune.search.grid import GridSearch
from cloudtune.space.space import Space
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import TrialState

LOSS = {"metric": "loss", "goal": "minimize"}
SPACE: dict[str, Any] = {
    "lr": {"type": "float", "low": 1e-4, "high": 1, "scale": "log"},
    "depth": {"type": "int", "low": 1, "high": 8},
    "kind": {"type": "categorical", "values": ["tree", "net"]},
    "layers": {"type": "int", "low": 1, "high": 4, "when": {"kind": "net"}},
}
STRATEGIES: list[Any] = [
    "random",
    "sobol",
    "bayesian",
    "evolutionary",
    {"type": "optuna", "options": {"n_startup_trials": 2}},
    {"type": "hyperopt", "startup": 2},
    {"type": "grid", "levels": 3},
    {"type": "hyperband", "max_resource": 9},
]
FIRST: tuple[dict[str, Any], ...] = ({"lr": 0.25, "depth": 3, "kind": "tree"}, {"layers": 2})


def loss(values: dict[str, Any]) -> float:
    return abs(math.log10(values["lr"])) + float(values["depth"])


def run(search: Search, most: int) -> list[tuple[str, dict[str, Any]]]:
    told: list[tuple[str, dict[str, Any]]] = []
    while len(told) < most and (trial := search.ask()) is not None:
        told.append((trial.origin, trial.parameters))
        search.tell(trial, loss(trial.parameters))
    return told


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_first_trials_come_first_whole_and_in_part_and_a_resumed_search_goes_on_alike(strategy: Any) -> None:
    def search() -> Search:
        return Search(SPACE, LOSS, strategy, seed=4, trials=9, first=FIRST)

    whole = search()
    assert whole.total == 9
    told = run(whole, 6)
    whole.enqueue({"lr": 0.5})
    told += run(whole, 99)
    assert [origin for origin, _ in told] == ["first", "first", "", "", "", "", "tried", "", ""]
    assert told[0][1] == FIRST[0]
    assert told[1][1]["layers"] == 2
    assert told[1][1]["kind"] == "net"
    assert told[6][1]["lr"] == 0.5
    space = whole.space
    assert all(space.contains(values) for _, values in told)
    for done in (1, 2, 5, 7):
        resumed = search()
        for number, (origin, values) in enumerate(told[:done]):
            resumed.restore(number, values, origin)
        for number, (_, values) in enumerate(told[:done]):
            resumed.tell(number, loss(values))
        left = 6 - done
        again = run(resumed, left) if left > 0 else []
        if done < 7:
            resumed.enqueue({"lr": 0.5})
        assert again + run(resumed, 99) == told[done:]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_partial_trials_meet_the_requirements_of_the_space(strategy: Any) -> None:
    require = ["depth * lr <= 0.5"]
    search = Search(SPACE, LOSS, strategy, seed=4, trials=5, first=[{"depth": 8}, {"lr": 0.4}], require=require)
    told = run(search, 9)
    assert [origin for origin, _ in told] == ["first", "first", "", "", ""]
    assert (told[0][1]["depth"], told[1][1]["lr"], told[1][1]["depth"]) == (8, 0.4, 1)
    assert all(values["depth"] * values["lr"] <= 0.5 for _, values in told)
    with pytest.raises(ValueError, match="depth"):
        search.enqueue({"depth": 8, "lr": 0.4})


def test_a_grid_runs_nothing_twice_and_ends_after_what_it_lacks() -> None:
    space = {"a": {"type": "int", "low": 1, "high": 3}, "b": {"type": "categorical", "values": ["x", "y"]}}
    search = Search(space, LOSS, "grid", first=[{"a": 3, "b": "x"}, {"a": 2}])
    told = []
    while (trial := search.ask()) is not None:
        told.append((trial.origin, *trial.parameters.values()))
        search.tell(trial, 1.0)
        if len(told) == 4:
            search.enqueue({"a": 1, "b": "x"})  # was run already: once more, as the user wants
    assert told[:2] == [("first", 3, "x"), ("first", 2, "x")]
    assert sorted(each[1:] for each in told) == sorted([*((a, b) for a in (1, 2, 3) for b in "xy"), (1, "x")])
    assert search.total == 7
    assert search.exhausted


def test_every_combination_of_a_grid_has_its_number() -> None:
    spaces = [SPACE, {"x": {"type": "normal", "mean": 0, "std": 1, "step": 0.5}, **SPACE}]
    for entries in spaces:
        job = {"name": "j", "trial": {"command": "true"}, "objective": LOSS, "limits": {"trials": 1}}
        space: Space = TuningJob.from_data({**job, "space": entries}).search_space()
        grid = GridSearch(space, levels=3)
        assert [grid.index(values) for values in grid.all()] == list(range(grid.size))
        assert grid.index({**next(grid.all()), "lr": 0.123}) is None


def test_trials_of_a_table_without_a_result_come_after_the_first_ones() -> None:
    search = Search(SPACE, LOSS, seed=1, first=[{"lr": 0.1}])
    search.enqueue({"lr": 0.3})
    known = [
        KnownTrial({"lr": 0.2}, {}, TrialState.WAITING),
        KnownTrial({"lr": 0.01, "depth": 1, "kind": "tree"}, {"loss": 1}),
    ]
    assert search.learn(known) == 1
    assert search.enqueued == [{"lr": 0.1}, {"lr": 0.2}, {"lr": 0.3}]
    assert [
        (trial.origin, trial.parameters["lr"]) for trial in (search.ask(), search.ask(), search.ask()) if trial
    ] == [
        ("first", 0.1),
        ("first", 0.2),
        ("tried", 0.3),
    ]


def test_what_no_trial_has_is_refused_with_its_place() -> None:
    with pytest.raises(SpecError, match=r"first\[1\]\.lr: 7 is outside"):
        Search(SPACE, LOSS, first=[{"lr": 0.1}, {"lr": 7}])
    search = Search(SPACE, LOSS)
    refused: tuple[tuple[dict[str, Any], str], ...] = (
        ({"kind": "tree", "layers": 2}, "layers exists where kind is net"),
        ({}, "it gives no value"),
    )
    for given, why in refused:
        with pytest.raises(ValueError, match=why):
            search.enqueue(given)
    with pytest.raises(ValueError, match="has no parameter"):
        search.learn([KnownTrial({"lrr": 0.2}, {}, TrialState.WAITING)])
