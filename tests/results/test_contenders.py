"""Of many trials a few are read, which say of a run what all of them say."""

import math
import random
from decimal import Decimal
from pathlib import Path

import pytest
from older_stores import lower
from plain_jobs import plain_data

from cloudtune.costs.views import cost_of, run_cost
from cloudtune.errors import DamagedRun
from cloudtune.results.confirmation import settled
from cloudtune.results.constraints import nearest_trial, nothing_feasible
from cloudtune.results.contenders import contenders
from cloudtune.results.objectives import best_trial, pareto_front
from cloudtune.spec.constraint import Constraint
from cloudtune.spec.job import TuningJob
from cloudtune.spec.objective import Objective
from cloudtune.store import outcomes
from cloudtune.store.records import Charge, RunRecord, Trial, TrialState
from cloudtune.store.store import RunStore, Store

NAMES = ("loss", 'a "quoted" näme', "size")
KINDS = [(objectives, bounded) for objectives in (1, 2, 3) for bounded in (False, True)]


def stored(project: Path, trials: list[Trial]) -> RunStore:
    run = Store(project).create(RunRecord("a-run", "n", "local", "local", "{}", "{}", created=1.0))
    run.write(trials=trials)
    return run


def drawn(chance: random.Random, count: int, *, repeats: bool) -> list[Trial]:
    """Trials with equal values, missing ones, and ones that are no numbers."""
    values = (0.0, 1, 2.5, -1.0, 1e308, 10**300, math.inf, -math.inf, math.nan)
    trials = []
    for number in range(count):
        metrics = {name: chance.choice(values) if chance.random() < 0.5 else chance.random() for name in NAMES}
        for name in NAMES:
            if chance.random() < 0.1:
                del metrics[name]
        state = chance.choice((*[TrialState.COMPLETED] * 4, *TrialState))
        repeated = chance.randrange(number) if repeats and number > count // 2 else None
        trials.append(Trial(number, {"x": number}, state, metrics, repeat_of=repeated))
    return trials


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize(("objectives", "bounded"), KINDS)
def test_they_say_what_all_trials_say(
    objectives: int, bounded: bool, repeats: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "_AT_ONCE", 7)
    chance, few = random.Random(f"{objectives} {bounded} {repeats}"), 0
    goals = [Objective(metric=name, goal=chance.choice(("minimize", "maximize"))) for name in NAMES[:objectives]]
    for number in range(8):
        limits = [Constraint(metric="size", max=chance.choice((0.0, 0.5, -0.5)))] if bounded else []
        trials = drawn(chance, chance.choice((0, 1, 3, 40)), repeats=repeats)
        run = stored(tmp_path / str(number), trials)
        chosen = contenders(run, goals, limits)
        few += len(chosen) < len(trials)
        for of in (best_trial, pareto_front, nearest_trial, nothing_feasible):
            assert repr(of(goals, limits, chosen)) == repr(of(goals, limits, trials)), of  # nan is not equal to itself
        assert repr(settled(chosen)) == repr(settled(trials))
        run.store.close()
    assert few or objectives == 3 or (repeats and objectives == 2)


def test_of_many_trials_a_few_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = [Trial(number, {}, TrialState.COMPLETED, {"loss": float(number // 2)}) for number in range(2000)]
    run, made = stored(tmp_path, trials), []
    monkeypatch.setattr(outcomes, "trial_of", lambda row: made.append(row[0]) or trials[row[0]])
    monkeypatch.setattr(RunStore, "trials", lambda *_: pytest.fail("all trials are read"))
    assert contenders(run, [Objective(metric="loss", goal="minimize")], []) == trials[:2]
    assert made == [0, 1]


def test_a_store_of_an_earlier_version_that_may_only_be_read_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stored(tmp_path, [Trial(number, {}, TrialState.COMPLETED, {"loss": 1.0 - number}) for number in range(3)])
    run.store.close()
    lower(run.path, 1)
    monkeypatch.setattr("cloudtune.store.database.is_writable", lambda _: False)
    older = RunStore(Store(tmp_path), run.id)
    assert [trial.number for trial in contenders(older, [Objective(metric="loss", goal="minimize")], [])] == [2]
    assert list(outcomes.charges(older)) == []
    assert [trial.number for trial in outcomes.page(older, [], 1, 1)] == [1]


@pytest.mark.parametrize("text", ["{", "[]", "1", "{},{}", "", "[" * 5000, '{"loss": "low"}'])
def test_damaged_metrics_are_said_to_be(text: str, tmp_path: Path) -> None:
    run = stored(tmp_path, [Trial(number, {}, TrialState.COMPLETED, {"loss": 1.0}) for number in range(3)])
    run.store.database.execute("UPDATE trials SET metrics = ? WHERE number = 1", [text])
    with pytest.raises(DamagedRun, match="trial 1: metrics"):
        contenders(run, [Objective(metric="loss", goal="minimize")], [])


@pytest.mark.parametrize("amounts", [(None, None), ("0.1", "1E-7"), ("0", None), (None, "12")])
def test_what_a_run_has_cost_is_the_same_without_its_trials(amounts: tuple[str | None, ...], tmp_path: Path) -> None:
    charges = [
        Charge(1, "2 cpus", 1, 3.0, amount and Decimal(amount), "USD" if amount else "") for amount in amounts
    ]  # a machine whose name looks like an amount
    trials = [Trial(0, {}), *(Trial(number, {}, charges=(each, each)) for number, each in enumerate(charges, 1))]
    run = stored(tmp_path, trials)
    job = TuningJob.from_data(plain_data(objective={"metric": "m", "goal": "minimize"}, limits={"trials": 1}))
    found = cost_of(run.record(), outcomes.charges(run), job)
    assert found == run_cost(run.record(), trials, job)
    assert (found is None) is (amounts == (None, None))


@pytest.mark.parametrize("states", [(), (TrialState.FAILED,), (TrialState.FAILED, TrialState.COMPLETED)])
def test_a_page_is_a_part_of_the_trials(states: tuple[TrialState, ...], tmp_path: Path) -> None:
    run = stored(tmp_path, [Trial(number, {}, list(TrialState)[number % 7]) for number in range(30)])
    every = [trial for trial in run.trials() if not states or trial.state in states]
    for limit, skip in ((None, 0), (3, 0), (3, 4), (0, 0), (None, 2), (5, 100)):
        assert outcomes.page(run, states, limit, skip) == every[skip:][:limit], (limit, skip)
