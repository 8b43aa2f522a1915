"""Population based training: who is replaced by whom, with what, and when each goes on."""

from collections.abc import Sequence
from typing import Any

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune.errors import SpecError
from cloudtune.search import Search, Suggestion
from cloudtune.store.records import Trial, TrialState

SPACE: dict[str, Any] = {
    "lr": {"type": "float", "low": 1e-4, "high": 1.0, "scale": "log"},
    "layers": {"type": "int", "low": 1, "high": 8},
    "size": {"type": "ordinal", "values": ["s", "m", "l", "xl"]},
    "kind": {"type": "categorical", "values": ["a", "b"]},
}
LOSS = {"metric": "loss", "goal": "minimize"}


def search_of(members: int = 4, *, trials: int | None = None, **fields: Any) -> Search:
    spec = {"type": "population", "members": members, "interval": 2, "max_resource": 6, **fields}
    return Search(SPACE, LOSS, spec, seed=3, trials=trials)


class Play:
    """Runs a search, some trials at a time; what a trial reports is up to its own steps and those that it inherited."""

    def __init__(self, search: Search, losses: Sequence[float], order: Sequence[int], parallel: int = 4) -> None:
        self.search, self.losses, self.order, self.parallel = search, losses, order, parallel
        self.steps: dict[int, int] = {}
        self.first: dict[int, int] = {}
        self.parents: dict[int, int] = {}
        self.states: dict[int, TrialState] = {}
        self.running: list[int] = []
        self.parameters: dict[int, Any] = {}
        self.fails: set[int] = set()

    def run(self) -> None:
        turn = 0
        while True:
            while len(self.running) < self.parallel and (trial := self.search.ask()) is not None:
                self.start(trial)
            if not self.running:
                break
            turn += 1
            self.step(self.running[self.order[turn % len(self.order)] % len(self.running)])
        for number in self.search.paused:
            self.states[number] = self.search.tell(number, state="pruned")

    def start(self, trial: Suggestion) -> None:
        assert trial.resumed == (trial.number in self.steps)
        self.running.append(trial.number)
        if not trial.resumed:
            self.parameters[trial.number] = trial.parameters
            parent = Trial(0, {}, origin=trial.origin).parent
            if parent is not None:
                self.parents[trial.number] = parent
                assert parent not in self.running, "its checkpoint may change while it is copied"
            self.steps[trial.number] = self.first[trial.number] = 0 if parent is None else self.steps[parent]

    def step(self, number: int) -> None:
        if number in self.fails:
            self.end(number, "failed")
            return
        self.steps[number] += 1
        over = self.search.report(number, self.steps[number], {"loss": self.losses[number % len(self.losses)]})
        if self.steps[number] == 6:
            self.end(number, "completed")
        elif over:
            self.end(number, "paused")

    def end(self, number: int, state: str) -> None:
        self.states[number] = self.search.tell(number, state=state)
        self.running.remove(number)


def test_after_each_generation_the_worst_goes_on_as_the_best_with_parameters_near_its_own() -> None:
    play = Play(search_of(resample=0), [0.1, 0.2, 0.3, 0.9], [0, 1, 2, 3])
    play.run()
    assert play.parents == {4: 0, 5: 0} or set(play.parents) == {4, 5}
    child, parent = play.parameters[4], play.parameters[play.parents[4]]
    assert play.first[4] == 2
    assert play.first[5] == 4
    assert child["kind"] == parent["kind"]
    assert child["lr"] in (pytest.approx(0.8 * parent["lr"]), pytest.approx(1.2 * parent["lr"])) or child["lr"] in (
        1e-4,
        1,
    )
    sizes = ["s", "m", "l", "xl"]
    assert abs(sizes.index(child["size"]) - sizes.index(parent["size"])) <= 1
    assert play.states[3] is TrialState.PRUNED
    assert [number for number in play.states if play.states[number] is TrialState.COMPLETED]
    assert play.search.best is not None


@settings(max_examples=examples(150), deadline=None)
@given(
    members=st.integers(2, 7),
    parallel=st.integers(1, 8),
    losses=st.lists(st.floats(0, 1), min_size=1, max_size=12),
    order=st.lists(st.integers(0, 7), min_size=1, max_size=9),
    fails=st.sets(st.integers(0, 9), max_size=4),
    trials=st.none() | st.integers(1, 12),
)
def test_every_population_comes_to_its_end(
    members: int, parallel: int, losses: list[float], order: list[int], fails: set[int], trials: int | None
) -> None:
    play = Play(search_of(members, trials=trials), losses, order, parallel)
    play.fails = fails
    play.run()
    assert not play.search.pending
    assert set(play.states) == set(play.steps)
    started = len(play.states)
    assert started <= (trials or members + 2 * members)
    well = [number for number in play.states if number not in fails]
    if well and started >= members:
        completed = [number for number in well if play.states[number] is TrialState.COMPLETED]
        assert completed
        assert all(play.steps[number] == 6 for number in completed)


def test_a_search_that_is_told_the_same_goes_on_alike() -> None:
    first = Play(search_of(), [0.4, 0.1, 0.3, 0.2], [1, 0, 2])
    second = Play(search_of(), [0.4, 0.1, 0.3, 0.2], [1, 0, 2])
    first.run()
    second.run()
    assert first.parameters == second.parameters
    assert first.parents == second.parents


def test_a_resumed_population_knows_its_children() -> None:
    old = Play(search_of(), [0.4, 0.1, 0.3, 0.2], [1, 0, 2])
    old.run()
    new = search_of()
    for number in range(4):
        new.restore(number, old.parameters[number])
    for number in range(4):
        for step in (1, 2):
            new.report(number, step, {"loss": [0.4, 0.1, 0.3, 0.2][number]})
        new.tell(number, state="paused")
    trial = next(trial for trial in iter(new.ask, None) if not trial.resumed)
    assert (trial.number, trial.parameters) == (4, old.parameters[4])
    assert trial.origin == f"parent:{old.parents[4]}"


def test_a_population_has_one_objective_and_no_other_stopping_rule() -> None:
    with pytest.raises(SpecError, match="one objective"):
        Search(
            SPACE,
            [LOSS, {"metric": "size", "goal": "minimize"}],
            {"type": "population", "interval": 1, "max_resource": 3},
        )
    with pytest.raises(SpecError, match="stops trials itself"):
        Search(SPACE, LOSS, {"type": "population", "interval": 1, "max_resource": 3}, stopping="median")
    with pytest.raises(SpecError, match="nothing to do after interval"):
        Search(SPACE, LOSS, {"type": "population", "interval": 3, "max_resource": 3})


def test_children_meet_the_requirements_of_the_space() -> None:
    spec = {"type": "population", "members": 4, "interval": 2, "max_resource": 6}
    play = Play(Search(SPACE, LOSS, spec, seed=3, require="lr * layers <= 0.5"), [0.4, 0.1, 0.3, 0.2], [0])
    play.run()
    assert play.parents
    assert all(values["lr"] * values["layers"] <= 0.5 for values in play.parameters.values())
