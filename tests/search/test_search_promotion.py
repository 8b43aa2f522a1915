"""Successive halving that pauses: who waits, who goes on, and what the searcher learns of it."""

from typing import Any

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune.search import Search
from cloudtune.search.stopping.promotion import AshaPromotion
from cloudtune.store.records import TrialState

SPACE = {"x": {"type": "float", "low": 0.0, "high": 1.0}}
LOSS = {"metric": "loss", "goal": "minimize"}


def search_of(trials: int, *, strategy: Any = "random", **rule: Any) -> Search:
    stopping = {"type": "asha", "eta": 3, "max_resource": 9, "resume": "checkpoint", **rule}
    return Search(SPACE, LOSS, strategy, stopping=stopping, seed=1, trials=trials)


def test_a_trial_pauses_until_it_is_among_the_best_of_its_rung() -> None:
    rule = AshaPromotion(1, 9, 3)
    assert [rule.observe(number, 1, loss) for number, loss in enumerate([0.5, 0.4])] == [True, True]
    assert rule.promoted({0, 1}, last=False) is None  # the best third of two is nobody
    assert rule.observe(2, 1, 0.9)
    assert rule.promoted({0, 1, 2}, last=False) == 1
    assert rule.observe(3, 1, 0.6)
    assert rule.promoted({0, 2, 3}, last=False) is None  # trial 1 runs: the best third of four is one
    assert not AshaPromotion(1, 9, 2).observe(0, 9, 0.5)  # at the maximum nothing is paused


def test_the_first_of_a_rung_by_its_loss_goes_on_without_a_pause() -> None:
    rule = AshaPromotion(1, None, 2)
    assert rule.observe(0, 1, 0.5)
    assert not rule.observe(1, 1, 0.4)
    assert rule.observe(1, 2, 0.3)
    assert rule.promoted({0, 1}, last=False) is None


def test_higher_rungs_come_first_and_a_trial_that_has_gone_on_is_not_promoted_again() -> None:
    rule = AshaPromotion(1, None, 2)
    for number, loss in enumerate([0.1, 0.2, 0.3, 0.4]):
        rule.observe(number, 1, loss)
    for number, loss in ((0, 0.05), (1, 0.01)):
        rule.observe(number, 2, loss)
    assert rule.promoted({0, 1, 2, 3}, last=False) == 1
    assert rule.promoted({0, 2, 3}, last=False) is None


def test_steps_that_come_again_or_are_no_numbers_change_nothing() -> None:
    rule = AshaPromotion(2, 18, 3)
    assert rule.observe(0, 3, 0.5)
    assert not rule.observe(0, 1, 0.1)
    assert not rule.observe(0, 3, 0.1)
    assert not rule.observe(1, 4, float("nan"))
    assert rule.observe(1, 5, 0.6)
    assert rule.observe(2, 4, 0.7)
    assert rule.promoted({0, 1, 2}, last=False) == 0


def played(search: Search, losses: list[float], order: list[int]) -> dict[int, list[int]]:
    """Runs the trials of a search, three at a time, in an order; returns the steps that each has done."""
    steps: dict[int, list[int]] = {}
    running: list[int] = []
    states: dict[int, TrialState] = {}
    turns = 0
    while True:
        while len(running) < 3 and (trial := search.ask()) is not None:
            assert trial.resumed == (trial.number in steps)
            assert trial.number not in running
            steps.setdefault(trial.number, [])
            running.append(trial.number)
        if not running:
            break
        turns += 1
        number = running[order[turns % len(order)] % len(running)]
        step = len(steps[number]) + 1
        steps[number].append(step)
        over = search.report(number, step, {"loss": losses[number % len(losses)] / step})
        if over:
            running.remove(number)
            states[number] = search.tell(number, state=TrialState.PAUSED)
        elif step == 9:
            running.remove(number)
            states[number] = search.tell(number)
    for number in search.paused:
        states[number] = search.tell(number, state="pruned")
    assert not search.pending
    assert not search.paused
    assert set(states) == set(steps)
    assert all(len(steps[number]) == 9 for number in states if states[number] is TrialState.COMPLETED)
    return steps


@pytest.mark.parametrize("strategy", ["random", "bayesian", {"type": "evolutionary", "population": 4}])
@settings(max_examples=examples(50), deadline=None)
@given(
    trials=st.integers(1, 20),
    losses=st.lists(st.floats(0.01, 1), min_size=1, max_size=20),
    order=st.lists(st.integers(0, 5), min_size=1, max_size=9),
)
def test_every_search_ends_with_a_result_and_no_more_go_on_at_each_rung(
    strategy: Any, trials: int, losses: list[float], order: list[int]
) -> None:
    search = search_of(trials, strategy=strategy)
    steps = played(search, losses, order)
    assert len(steps) == trials
    assert search.best is not None
    beyond = [sum(len(done) > rung for done in steps.values()) for rung in (0, 1, 3)]
    assert trials == beyond[0] >= beyond[1] >= beyond[2] >= 1  # one that was among the best may no longer be
    assert beyond[1] < trials or trials == 1 or len(set(losses)) > 1


def test_a_searcher_learns_of_each_trial_once_at_its_first_rung() -> None:
    search = search_of(9, strategy="evolutionary")
    played(search, [0.9, 0.5, 0.1], [0])
    observed = search._strategy.observed
    assert sorted(observed) == list(range(9))
    assert {each.losses for each in observed.values()} == {(0.9,), (0.5,), (0.1,)}  # all at step 1


def test_only_a_search_that_pauses_takes_paused_trials() -> None:
    search = Search(SPACE, LOSS, "random", stopping="median", seed=1, trials=3)
    trial = search.ask()
    assert trial is not None
    assert not search.pauses
    with pytest.raises(ValueError, match="not how a trial ends"):
        search.tell(trial, state="paused")
