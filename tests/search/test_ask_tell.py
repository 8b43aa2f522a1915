"""Ask and tell, as a user of Optuna's or Ax's would: one objective, several, conditions, pruning, resumes, mistakes."""

import doctest
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune import Categorical, Float, Int
from cloudtune.errors import SpecError
from cloudtune.search import KnownTrial, Result, Search, ask_tell
from cloudtune.store.records import TrialState

LOSS = {"metric": "loss", "goal": "minimize"}
LINE = {"x": Float(low=0, high=1)}
MIXED: dict[str, Any] = {
    "lr": Float(low=1e-4, high=1, scale="log"),
    "kind": {"type": "categorical", "values": ["tree", "net"]},
    "layers": {"type": "int", "low": 1, "high": 4, "when": {"kind": "net"}},
    "depth": [
        {"type": "int", "low": 1, "high": 4, "when": {"kind": "tree"}},
        {"type": "int", "low": 8, "high": 9, "when": {"kind": "net"}},
    ],
}


def quadratic(parameters: dict[str, Any]) -> float:
    return float((parameters["x"] - 2) ** 2 + (parameters["y"] + 1) ** 2)


@pytest.mark.parametrize("strategy", ["bayesian", {"type": "evolutionary", "population": 6}])
def test_the_minimum_of_a_quadratic_is_found(strategy: Any) -> None:
    space = {"x": Float(low=-10, high=10), "y": Float(low=-10, high=10)}
    search = Search(space, LOSS, strategy, seed=3, trials=60)
    drawn = Search(space, LOSS, "random", seed=3, trials=60)
    for each in (search, drawn):
        while (trial := each.ask()) is not None:
            each.tell(trial, quadratic(trial.parameters))
    assert search.best is not None
    assert drawn.best is not None
    assert search.best.metrics["loss"] < min(0.2, drawn.best.metrics["loss"])
    assert quadratic(search.best.parameters) == search.best.metrics["loss"]


def test_a_goal_to_maximize_finds_the_largest() -> None:
    search = Search(LINE, {"metric": "accuracy", "goal": "maximize"}, seed=1, trials=15)
    while (trial := search.ask()) is not None:
        search.tell(trial, {"accuracy": 1 - abs(trial.parameters["x"] - 0.25), "seconds": 3})
    assert search.best is not None
    assert search.best.parameters["x"] == pytest.approx(0.25, abs=0.05)
    assert search.best.metrics["seconds"] == 3


@pytest.mark.parametrize("strategy", ["random", "bayesian", "evolutionary"])
def test_a_mixed_space_has_each_parameter_only_under_its_conditions(strategy: str) -> None:
    search = Search(MIXED, LOSS, strategy, seed=2, trials=24)
    kinds = set()
    while (trial := search.ask()) is not None:
        parameters = trial.parameters
        kinds.add(parameters["kind"])
        net = parameters["kind"] == "net"
        assert set(parameters) == {"lr", "kind", "depth"} | ({"layers"} if net else set())
        assert parameters["depth"] in ((8, 9) if net else (1, 2, 3, 4))
        search.tell(trial, {"loss": -math.log(parameters["lr"]) + net})
    assert kinds == {"tree", "net"}


def test_several_objectives_have_a_front_and_no_best() -> None:
    objectives = [{"metric": "error", "goal": "minimize"}, {"metric": "speed", "goal": "maximize"}]
    search = Search(LINE, objectives, seed=1, trials=20)
    told = {}
    while (trial := search.ask()) is not None:
        x = trial.parameters["x"]
        told[trial.number] = ((x - 0.2) ** 2, -((x - 0.6) ** 2))
        search.tell(trial, dict(zip(("error", "speed"), told[trial.number], strict=True)))
    better = {
        number
        for number, (error, speed) in told.items()
        if not any(other != (error, speed) and other[0] <= error and other[1] >= speed for other in told.values())
    }
    assert {result.number for result in search.front} == better
    assert all(0.15 < result.parameters["x"] < 0.65 for result in search.front)
    assert search.best is None
    with pytest.raises(ValueError, match="the value 0.5 is of which objective"):
        search.tell(search.attach({"x": 0.5}), 0.5)


def test_of_equal_results_the_first_suggested_is_the_best() -> None:
    search = Search(LINE, LOSS, "random", seed=1)
    trials = [search.ask() for _ in range(3)]
    for trial in reversed(trials):
        assert trial is not None
        search.tell(trial, 1.0)
    assert search.best is not None
    assert search.best.number == 0
    assert len(search.front) == 1


def test_a_stopping_rule_ends_trials_that_do_badly() -> None:
    search = Search(LINE, LOSS, "random", seed=4, stopping={"type": "median", "grace": 1}, trials=30)
    states = {}
    while (trial := search.ask()) is not None:
        for step in range(1, 8):
            if search.report(trial, step, trial.parameters["x"]):
                states[trial.number] = search.tell(trial, state="pruned"), step
                break
        else:
            states[trial.number] = search.tell(trial), 7
    pruned = [step for state, step in states.values() if state is TrialState.PRUNED]
    assert 5 < len(pruned) < 25
    assert min(pruned) == 2, "as soon as the grace is over"
    assert search.best is not None
    assert states[search.best.number][0] is TrialState.COMPLETED


def test_without_a_rule_nothing_is_stopped_and_hyperband_has_its_own() -> None:
    def stopped(**arguments: Any) -> int:
        search = Search(LINE, LOSS, seed=4, trials=12, **arguments)
        count = 0
        while (trial := search.ask()) is not None:
            ends = search.report(trial, 1, trial.parameters["x"])
            count += ends
            search.tell(trial, state="pruned" if ends else "completed")
        return count

    assert stopped(strategy="random") == 0
    assert stopped(strategy={"type": "hyperband", "max_resource": 9}) > 0


def test_what_was_reported_counts_as_the_objective_says() -> None:
    for measurement, counting in (("last", 3.0), ("best", 1.0)):
        search = Search(LINE, {**LOSS, "measurement": measurement}, "random", seed=1)
        trial = search.ask()
        assert trial is not None
        for step, value in enumerate((2.0, 1.0, 3.0)):
            search.report(trial, step, value)
        search.tell(trial)
        assert search.best == Result(0, trial.parameters, {"loss": counting})


def test_pending_trials_keep_others_away_and_results_come_in_any_order() -> None:
    search = Search({"x": Int(low=1, high=4)}, LOSS, "random", seed=1)
    asked = [search.ask() for _ in range(5)]
    assert asked[4] is None, "nothing is left"
    trials = [trial for trial in asked if trial is not None]
    assert sorted(trial.parameters["x"] for trial in trials) == [1, 2, 3, 4]
    assert search.pending == {trial.number: trial.parameters for trial in trials}
    for trial in reversed(trials):
        search.tell(trial.number, trial.parameters["x"])
    assert search.pending == {}
    assert search.best is not None
    assert search.best.parameters == {"x": 1}


def test_failures_are_learnt_from_and_never_the_best() -> None:
    search = Search({"x": Float(low=-1, high=1)}, LOSS, seed=1, trials=25)
    right = 0
    while (trial := search.ask()) is not None:
        if trial.parameters["x"] > 0:
            right += trial.number >= 15
            state = search.tell(trial, math.nan) if trial.number % 2 else search.tell(trial, state="failed")
            assert state is TrialState.FAILED
        else:
            search.tell(trial, trial.parameters["x"] + 1)
    assert right <= 2, "where trials fail the search does not go on"
    assert search.best is not None
    assert search.best.parameters["x"] < -0.9


def test_trials_of_ones_own_choice_and_known_trials_are_learnt_from() -> None:
    def suggestion(prepare: Any) -> Any:
        search = Search(LINE, LOSS, {"type": "bayesian", "startup": 2}, seed=1)
        prepare(search)
        trial = search.ask()
        assert trial is not None
        return trial

    def attach(search: Search) -> None:
        for x in (0.0, 0.5, 1.0, 0.7):
            search.tell(search.attach({"x": x}), (x - 0.7) ** 2)

    def learn(search: Search) -> None:
        found = search.learn(KnownTrial({"x": x}, {"loss": (x - 0.7) ** 2}) for x in (0.0, 0.5, 1.0, 0.7))
        assert found == 4

    def transfer(search: Search) -> None:
        known = [KnownTrial({"x": x, "y": 1}, {"loss": 100 + (x - 0.7) ** 2}, origin="old") for x in (0.1, 0.71, 0.9)]
        assert search.learn(known, transfer=True) == 3

    assert suggestion(attach).number == 4
    assert suggestion(attach).parameters["x"] == pytest.approx(0.7, abs=0.1)
    assert suggestion(learn).number == 0
    assert suggestion(learn).parameters["x"] == pytest.approx(0.7, abs=0.1)
    assert suggestion(transfer).parameters["x"] == 0.71, "the best hint comes first"


STRATEGIES: list[Any] = [
    {"type": "grid", "levels": 3},
    "random",
    "sobol",
    {"type": "bayesian", "startup": 3},
    {"type": "evolutionary", "population": 3},
    {"type": "hyperband", "max_resource": 9, "eta": 2, "searcher": "evolutionary"},
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
@settings(max_examples=examples(8), deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    moves=st.lists(st.tuples(st.integers(0, 5), st.floats(-3, 3)), min_size=4, max_size=25),
    cut=st.integers(0, 25),
)
def test_a_search_that_is_restored_goes_on_as_the_old_one_would_have(
    strategy: Any, seed: int, moves: list[tuple[int, float]], cut: int
) -> None:
    """Whatever was asked, reported and told in which order: a new search with the same calls suggests the same."""

    def search() -> Search:
        stopping = None if "hyperband" in str(strategy) else "median"
        return Search(MIXED, LOSS, strategy, seed=seed, stopping=stopping)

    def play(one: Search, moves: list[tuple[int, float]]) -> list[tuple[Any, ...]]:
        """What was called and what came back."""
        calls: list[tuple[Any, ...]] = []
        for step, (what, value) in enumerate(moves):
            pending = list(one.pending)
            if what < 2 or not pending:
                calls.append(("ask", one.ask()))
                continue
            number = pending[what % len(pending)]
            calls.append(("report", number, step, value, one.report(number, step, value)))
            if what > 3:
                state = ("completed", "failed")[what % 2]
                calls.append(("tell", number, state, one.tell(number, state=state)))
        return calls

    old, new = search(), search()
    before = play(old, moves[:cut])
    for suggestion in (call[1] for call in before if call[0] == "ask" and call[1] is not None):
        new.restore(suggestion.number, suggestion.parameters)
    for call in before:
        if call[0] == "report":
            assert new.report(*call[1:-1]) == call[-1]
        elif call[0] == "tell":
            assert new.tell(call[1], state=call[2]) == call[-1]
    assert (old.best, old.pending) == (new.best, new.pending)
    assert play(old, moves[cut:]) == play(new, moves[cut:])


def test_without_a_seed_one_is_drawn_that_repeats_the_search() -> None:
    one, other = Search(LINE, LOSS, "random"), Search(LINE, LOSS, "random")
    assert one.seed != other.seed
    assert one.ask() != other.ask()
    again = Search(LINE, LOSS, "random", seed=one.seed)
    assert [again.ask() for _ in range(3)][1:] == [one.ask(), one.ask()]
    assert Search(LINE, LOSS, {"type": "random", "seed": 5}).ask() == Search(LINE, LOSS, "random", seed=5).ask()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"space": {}}, "space: is empty"),
        ({"space": {"x": {"type": "flot", "low": 0, "high": 1}}}, "did you mean 'float'"),
        ({"space": {"x": {"type": "float", "low": 2, "high": 1}}}, "space.x: low 2.0 is above high 1.0"),
        ({"space": {"x": Float(low=0, high=1, when={"k": ("a",)})}}, "space.x.when.k: the space has no parameter 'k'"),
        ({"objective": {"metric": "loss", "goal": "less"}}, r"objective\[0\].goal: must be 'maximize' or 'minimize'"),
        ({"objective": [LOSS, LOSS]}, r"objective\[1\].metric: the metric 'loss' is an objective already"),
        ({"strategy": "bayes"}, "strategy.type: 'bayes' is no type of strategy .did you mean 'bayesian'"),
        ({"strategy": {"type": "bayesian", "start": 3}}, "strategy.start: unknown key 'start' .did you mean 'startup'"),
        ({"strategy": "grid"}, "space.x: a grid needs a finite axis"),
        (
            {"strategy": {"type": "optuna", "sampler": "Nothing"}},
            "strategy: .*[Nn]othing|strategy: the optuna strategy",
        ),
        ({"stopping": "medium"}, "stopping.type: 'medium' is no type of stopping rule .did you mean 'median'"),
        ({"seed": -1}, "seed: must be at least 0"),
        ({"trials": 0}, "trials: must be at least 1"),
    ],
)
def test_mistakes_are_told_in_the_words_of_the_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message) as told:
        Search(**{"space": LINE, "objective": LOSS, **arguments})
    assert str(told.value).startswith("Search has ")


def test_calls_out_of_turn_are_refused() -> None:
    search = Search(LINE, LOSS, "random", seed=1)
    trial = search.ask()
    assert trial is not None
    with pytest.raises(ValueError, match="trial 7 was not suggested"):
        search.tell(7, 0.5)
    with pytest.raises(ValueError, match="trial 0 has no value of the objective 'loss'"):
        search.tell(trial, {"lost": 0.5})
    with pytest.raises(ValueError, match="'running' is not how a trial ends"):
        search.tell(trial, 0.5, state="running")
    with pytest.raises(ValueError, match="known trials come before the first trial"):
        search.learn([])
    with pytest.raises(ValueError, match="no trial of the space has the parameters {'x': 2}"):
        search.attach({"x": 2})
    with pytest.raises(ValueError, match="trial 0 cannot be restored: the next number is 1"):
        search.restore(0, {"x": 0.5})
    with pytest.raises(ValueError, match="the space has no parameter 'y'"):
        search.restore(1, {"y": 0.5})
    search.tell(trial, 0.5)
    with pytest.raises(ValueError, match="trial 0 was told already"):
        search.tell(trial, 0.5)
    with pytest.raises(ValueError, match="trial 0 was told already"):
        search.report(trial, 1, 0.5)


def test_what_the_caller_does_with_its_own_mappings_changes_nothing_that_was_told() -> None:
    search = Search(LINE, LOSS, "random", seed=1)
    metrics: dict[str, float] = {}
    told = []
    for loss in (1.0, 3.0):
        trial = search.ask()
        assert trial is not None
        told.append(dict(trial.parameters))
        trial.parameters["x"] = -1.0
        search.pending[trial.number]["x"] = -1.0
        metrics["loss"] = loss
        search.tell(trial, metrics)
    assert search.best is not None
    assert (search.best.parameters, search.best.metrics) == (told[0], {"loss": 1.0})


@pytest.mark.parametrize("metrics", ["0.5", {"loss": "0.5"}, {"loss": [1]}, 1j, 10**400, {"loss": 1, "other": "high"}])
def test_a_metric_that_is_no_number_is_refused_and_its_trial_stays_pending(metrics: Any) -> None:
    search = Search(LINE, LOSS, "random", seed=1)
    trial = search.ask()
    assert trial is not None
    for call in (lambda: search.tell(trial, metrics), lambda: search.report(trial, 1, metrics)):
        with pytest.raises(TypeError, match=r"the metric '\w+' must be"):
            call()
    with pytest.raises(TypeError, match="interpreted as an integer"):
        search.tell("0", 0.5)  # type: ignore[arg-type]
    assert search.tell(np.int64(0), {"loss": np.float32(0.5)}) == "completed"  # type: ignore[arg-type]


def test_a_search_with_an_end_says_when_it_is_reached() -> None:
    assert Search(LINE, LOSS, trials=9).total == 9
    assert Search(LINE, LOSS).total is None
    grid = Search({"x": Categorical(values=("a", "b"))}, LOSS, "grid", trials=9)
    assert grid.total == 2
    assert [grid.ask() is None for _ in range(3)] == [False, False, True]
    assert grid.exhausted


@pytest.mark.parametrize("module", [ask_tell, sys.modules["cloudtune.search"]], ids=lambda module: module.__name__)
def test_the_examples_of_the_documentation_run(module: Any) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 3
    assert found.failed == 0


def test_the_package_loads_no_numpy_until_a_strategy_needs_it() -> None:
    code = (
        "import sys\n"
        "from cloudtune.search import Search\n"
        "search = Search({'x': {'type': 'float', 'low': 0, 'high': 1}}, {'metric': 'l', 'goal': 'minimize'},\n"
        "                'random', stopping='median', seed=1)\n"
        "search.tell(search.ask(), 0.5)\n"
        "print([name for name in ('numpy', 'scipy', 'click', 'rich', 'optuna') if name in sys.modules])\n"
        "Search({'x': {'type': 'float', 'low': 0, 'high': 1}}, {'metric': 'l', 'goal': 'minimize'}, 'sobol')\n"
        "print('numpy' in sys.modules)\n"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split("\n")[:2] == ["[]", "True"]
