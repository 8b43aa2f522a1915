"""Optuna's samplers and HyperOpt's TPE as strategies: what they suggest, and that a resume changes nothing."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amounts import examples
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from late import LATE

from cloudtune.search import Observation, Strategy, UnsuitableStrategy
from cloudtune.search.random_search import RandomSearch
from cloudtune.space.parameters import Categorical, Constant, Float, Int, LogNormal, Normal, Ordinal
from cloudtune.space.space import Entries, Space, Values
from cloudtune.store.records import TrialState
from cloudtune.testing.specs import spaces

if LATE:
    optuna = pytest.importorskip("optuna")
    hyperopt = pytest.importorskip("hyperopt")
    pytest.importorskip("cmaes")
    from cloudtune.search import hyperopt_tpe, optuna_sampler
    from cloudtune.search.hyperopt_tpe import HyperoptSearch
    from cloudtune.search.optuna_sampler import OptunaSearch


pytestmark = pytest.mark.xdist_group("peers")  # which take seconds to load

MIXED: Entries = {
    "kind": Categorical(values=("a", "b", None)),
    "count": Int(low=1, high=100, scale="log"),
    "part": Float(low=0, high=1, when={"kind": ("a",)}),
    "rate": Float(low=1e-4, high=1, scale="log", when={"kind": ("b", None)}),
    "step": Float(low=0.1, high=0.5, step=0.1),
    "rank": Ordinal(values=("low", "mid", "high")),
    "bell": Normal(mean=0, std=1, low=-2),
    "batch": Int(low=8, high=64, step=8, scale="log"),
    "log": LogNormal(mean=0, std=1),
    "fixed": Constant(value=3),
}

KINDS: dict[str, Callable[..., Strategy]] = {
    "hyperopt": lambda space, **about: HyperoptSearch(space, startup=4, **about),
    "random": lambda space, **about: OptunaSearch(space, sampler="RandomSampler", **about),
    "tpe": lambda space, **about: _tpe(space, {}, **about),
    "grouped": lambda space, **about: _tpe(space, {"multivariate": True, "group": True}, **about),
    "nsgaii": lambda space, **about: _by_generations("NSGAIISampler", space, **about),
    "nsgaiii": lambda space, **about: _by_generations("NSGAIIISampler", space, **about),
    "cma": lambda space, **about: OptunaSearch(space, sampler="CmaEsSampler", options={"popsize": 4}, **about),
}
SINGLE = [pytest.param(each, marks=pytest.mark.complete) if each in ("grouped", "nsgaiii") else each for each in KINDS]
SEVERAL = ["random", "tpe", "nsgaii", "nsgaiii"]


def _tpe(space: Space, options: dict[str, Any], **about: Any) -> Strategy:
    return OptunaSearch(space, options={"n_startup_trials": 4, "constant_liar": True, **options}, **about)


def _by_generations(sampler: str, space: Space, **about: Any) -> Strategy:
    return OptunaSearch(space, sampler=sampler, options={"population_size": 4}, **about)


def told(number: int, values: Values, *losses: float, state: TrialState = TrialState.COMPLETED) -> Observation:
    return Observation(number, values, state, losses or None)


# A resume


@pytest.mark.parametrize("kind", SINGLE)
def test_a_strategy_that_is_told_the_history_goes_on_as_the_old_one_would_have(kind: str) -> None:
    """Trials in parallel that end out of order and in every way; rebuilt at every point, it suggests the same."""
    space, chance = Space(MIXED), random.Random(2)
    search = KINDS[kind](space, seed=5)
    log: list[Observation] = []
    running: dict[int, Values] = {}
    suggestions: dict[int, Values] = {}
    for number in range(22):
        while len(running) >= 3:
            ended = chance.choice(sorted(running))
            state = chance.choice(
                [TrialState.COMPLETED] * 4 + [TrialState.FAILED, TrialState.PRUNED, TrialState.CANCELLED]
            )
            losses = [] if state is TrialState.FAILED else [chance.random()]
            log.append(told(ended, running.pop(ended), *losses, state=state))
            search.observe(log[-1])
        rebuilt = KINDS[kind](space, seed=5)
        for earlier, values in suggestions.items():
            rebuilt.restore(earlier, values)
        for observation in log:
            rebuilt.observe(observation)
        suggestion = search.suggest(number)
        assert suggestion is not None
        assert space.contains(suggestion)
        assert rebuilt.suggest(number) == suggestion, f"trial {number} differs after a resume"
        suggestions[number] = running[number] = suggestion
    assert len({space.key(values) for values in suggestions.values()}) > 15


def first_suggestions() -> list[str]:
    """Twelve suggestions of three strategies that are told the same."""
    found = []
    for kind in ("hyperopt", "grouped", "nsgaii"):
        search = KINDS[kind](Space(MIXED), seed=3)
        for number in range(12):
            values = search.suggest(number)
            assert values is not None
            found.append(str(values))
            search.observe(told(number, values, float(number * 7 % 5)))
    return found


@pytest.mark.complete
def test_another_process_suggests_the_same() -> None:
    """Neither the order of sets nor the addresses of objects have a say."""
    program = "import test_search_peers as here; print(*here.first_suggestions(), sep='\\n')"
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    there = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parent,
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[1] / "support")},
    ).stdout
    assert there.splitlines() == first_suggestions()


@pytest.mark.parametrize("kind", SINGLE)
def test_other_seeds_give_other_trials(kind: str) -> None:
    space = Space({"x": Float(low=0, high=1), "y": Float(low=0, high=1)})
    assert len({str(KINDS[kind](space, seed=seed).suggest(0)) for seed in range(8)}) == 8


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("sampler", ["CmaEsSampler", "NSGAIISampler", "NSGAIIISampler"])
def test_one_after_the_other_generations_are_those_of_optuna_alone(sampler: str) -> None:
    """A study of Optuna's own, with the same seeds, makes the same trials as one that is rebuilt out of the history."""
    options: dict[str, Any] = {"popsize": 5} if sampler == "CmaEsSampler" else {"population_size": 5}
    search = OptunaSearch(Space(QUADRATIC), sampler=sampler, options=options, seed=1)
    study = optuna.create_study(sampler=search._sampler(0))
    for number in range(22):
        values = search.suggest(number)
        assert values is not None
        study.sampler = search._sampler(number)
        trial = study.ask(search._distributions)
        assert all(
            search._carriers[name].decode(trial.params[name]) == pytest.approx(values[name], 1e-3) for name in values
        )
        loss = quadratic(values)
        study.tell(trial, loss)
        search.observe(told(number, values, loss))


def test_hyperopt_suggests_what_it_does_in_fmin() -> None:
    """Of the same trials and the same seed, so do its own space and its own history."""
    native = {
        "x": hyperopt.hp.uniform("x", -5, 5),
        "y": hyperopt.hp.loguniform("y", math.log(1e-3), math.log(10)),
        "n": hyperopt.hp.quniform("n", -0.5, 20.5, 1),
        "z": hyperopt.hp.normal("z", 0, 2),
    }
    trials, seeds = hyperopt.Trials(), np.random.default_rng(0)
    hyperopt.fmin(
        quadratic, native, hyperopt.tpe.suggest, 30, trials=trials, rstate=seeds, show_progressbar=False, verbose=False
    )
    search = HyperoptSearch(Space(QUADRATIC), seed=1)
    for trial in trials.trials:
        values = {name: float(found[0]) for name, found in trial["misc"]["vals"].items()}
        search.observe(told(trial["tid"], values, trial["result"]["loss"]))
    seed = search.generator(30).getrandbits(31)
    domain = hyperopt.base.Domain(None, native)
    (expected,) = hyperopt.tpe.suggest([30], domain, trials, seed, verbose=False)
    suggested = search.suggest(30) or {}
    assert suggested == {name: pytest.approx(found[0]) for name, found in expected["misc"]["vals"].items()}


def test_optunas_gaussian_process() -> None:
    pytest.importorskip("torch")
    space = Space(MIXED)
    searches = [OptunaSearch(space, sampler="GPSampler", options={"n_startup_trials": 2}) for _ in range(2)]
    for number in range(4):
        values = searches[0].suggest(number)
        assert values is not None
        assert space.contains(values)
        for search in searches:
            search.observe(told(number, values, float(number % 3)))
    assert searches[0].suggest(4) == searches[1].suggest(4)


# The space


@pytest.mark.parametrize("kind", SINGLE)
@given(entries=spaces(), seed=st.integers(0, 99))
@settings(max_examples=examples(20), deadline=None)
def test_every_suggestion_is_a_possible_trial(kind: str, entries: dict[str, Any], seed: int) -> None:
    space = Space(entries)
    try:
        search = KINDS[kind](space, seed=seed)
    except UnsuitableStrategy as error:
        assert kind == "cma"
        assert "has none" in str(error)  # noqa: PT017
        assume(False)
    for number in range(9):
        values = search.suggest(number)
        assert values is not None
        assert space.contains(values)
        search.observe(told(number, values, float(number % 3)))


@pytest.mark.parametrize("kind", SINGLE)
def test_conditional_parameters_are_learnt_where_they_exist(kind: str) -> None:
    space = Space(MIXED)
    search = KINDS[kind](space, seed=1)
    shapes = set()
    for number in range(15):
        values = search.suggest(number) or {}
        shapes.add(tuple(values))
        search.observe(told(number, values, float(values.get("part", 1.0)), state=TrialState.COMPLETED))  # type: ignore[arg-type]
    assert {("part" in shape, "rate" in shape) for shape in shapes} == {(True, False), (False, True)}


# The history


def test_optuna_hears_how_trials_ended() -> None:
    space = Space({"x": Float(low=0, high=1)})
    for sampler in ("TPESampler", "NSGAIISampler"):
        search = OptunaSearch(space, sampler=sampler)
        ends = [
            told(-1, {"x": 0.1}, 1.0),
            told(0, {"x": 0.2}, 2.0, state=TrialState.PRUNED),
            told(1, {"x": 0.3}, state=TrialState.PRUNED),
            told(2, {"x": 0.4}, state=TrialState.FAILED),
            told(3, {"x": 0.5}, 3.0, state=TrialState.CANCELLED),
            told(4, {"x": 0.6}),
        ]
        for observation in ends:
            search.observe(observation)
        trials = search._told.trials
        assert [trial.state.name for trial in trials] == ["COMPLETE", "PRUNED", "PRUNED", "FAIL", "FAIL", "FAIL"]
        assert [trial.params["x"] for trial in trials] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
        assert [trial.intermediate_values for trial in trials] == [{}, {0: 2.0}, {}, {}, {}, {}]
        assert trials[0].values == [1.0]
        assert search.suggest(5) is not None


def test_hyperopt_hears_how_trials_ended() -> None:
    search = HyperoptSearch(Space({"x": Float(low=0, high=1)}), startup=1)
    for observation in [
        told(-1, {"x": 0.1}, 1.0),
        told(0, {"x": 0.2}, 2.0, state=TrialState.PRUNED),
        told(1, {"x": 0.3}, 9.0, state=TrialState.FAILED),
        told(2, {"x": 0.4}, 3.0, state=TrialState.CANCELLED),
    ]:
        search.observe(observation)
    assert [document["misc"]["vals"] for document in search._documents] == [{"x": [0.1]}, {"x": [0.2]}, {"x": [0.3]}]
    assert [document["result"].get("loss") for document in search._documents] == [1.0, 2.0, None]
    assert search.suggest(3) is not None


@pytest.mark.parametrize("kind", ["hyperopt", "tpe", "grouped"])
def test_running_trials_keep_others_away(kind: str) -> None:
    """Where many trials run already, fewer follow than would if none of them ran."""
    space = Space({"x": Float(low=0, high=1)})
    near = []
    for running in (0, 8):
        search = KINDS[kind](space, seed=1)
        for number in range(12):
            x = number / 11
            search.observe(told(number, {"x": x}, abs(x - 0.5)))
        for number in range(running):
            search.restore(12 + number, {"x": 0.45 + number * 0.01})
        before = dict(search.pending)
        count = 0
        for number in range(100, 140):
            search.pending = dict(before)
            count += abs(float((search.suggest(number) or {})["x"] or 0) - 0.5) < 0.1
        near.append(count)
    assert near[1] < near[0]


@pytest.mark.parametrize("kind", SINGLE)
def test_any_numbers_are_borne(kind: str) -> None:
    for losses in ([1.0], [1e300, -1e300, 0.0, 1e-320]):
        search = KINDS[kind](Space(MIXED))
        for number in range(14):
            values = search.suggest(number)
            assert values is not None
            search.observe(told(number, values, losses[number % len(losses)]))


@pytest.mark.parametrize("kind", SINGLE)
def test_failures_alone_are_borne(kind: str) -> None:
    search = KINDS[kind](Space(MIXED))
    for number in range(12):
        values = search.suggest(number)
        assert values is not None
        search.observe(told(number, values, state=TrialState.FAILED))


# Learning

QUADRATIC: Entries = {
    "x": Float(low=-5, high=5),
    "y": Float(low=1e-3, high=10, scale="log"),
    "n": Int(low=0, high=20),
    "z": Normal(mean=0, std=2),
}


def quadratic(v: Values) -> float:
    x, y, n, z = (float(v[name] or 0) for name in "xynz")
    return (x - 1) ** 2 + (math.log10(y) + 1) ** 2 + ((n - 7) / 5) ** 2 + (z - 1) ** 2


def best_of(search: Strategy, trials: int, parallel: int) -> float:
    best, running = math.inf, {}
    for number in range(trials):
        values = search.suggest(number)
        assert values is not None
        running[number] = values
        if len(running) >= parallel:
            ended = min(running)
            loss = quadratic(running[ended])
            best = min(best, loss)
            search.observe(told(ended, running.pop(ended), loss))
    return best


LEARNERS: dict[str, Callable[[Space, int], Strategy]] = {
    "tpe": lambda space, seed: OptunaSearch(space, seed=seed),
    "cma": lambda space, seed: OptunaSearch(space, sampler="CmaEsSampler", seed=seed),
    "hyperopt": lambda space, seed: HyperoptSearch(space, seed=seed),
}


@pytest.mark.parametrize(("kind", "parallel"), [
    ("hyperopt", 1),
    *(pytest.param(kind, parallel, marks=pytest.mark.complete) for kind, parallel in (("tpe", 1), ("tpe", 4), ("cma", 1), ("cma", 4), ("hyperopt", 4))),
])  # fmt: skip
def test_it_learns_what_random_search_does_not(kind: str, parallel: int) -> None:
    search = LEARNERS[kind]
    space = Space(QUADRATIC)
    ours = sorted(best_of(search(space, seed), 60, parallel) for seed in range(7))
    drawn = sorted(best_of(RandomSearch(space, seed=seed), 60, parallel) for seed in range(7))
    assert ours[3] < drawn[3] / 1.5


@pytest.mark.parametrize("kind", ["tpe", "nsgaii", "hyperopt"])
def test_trials_of_earlier_runs_are_learnt_from(kind: str) -> None:
    space, source = Space(QUADRATIC), RandomSearch(Space(QUADRATIC), seed=9)
    known = [values for number in range(200) if (values := source.suggest(number)) is not None]
    first = []
    for count in (0, 200):
        search = KINDS[kind](space, seed=1)
        for index, values in enumerate(known[:count]):
            search.observe(told(-1 - index, values, quadratic(values)))
        suggestions = [search.suggest(number) or {} for number in range(10)]
        first.append(sorted(quadratic(values) for values in suggestions)[5])
    assert first[1] < first[0] / 2


@pytest.mark.parametrize("kind", SEVERAL)
def test_several_objectives(kind: str) -> None:
    """Also with trials that failed or were pruned, which have no place on the front."""
    space = Space({"x": Float(low=0, high=1), "y": Float(low=0, high=1), "k": Categorical(values=("a", "b"))})
    search = KINDS[kind](space, objectives=2, seed=1)
    late = []
    for number in range(60):
        values = search.suggest(number)
        assert values is not None
        x, y = float(values["x"] or 0), float(values["y"] or 0)
        state = {7: TrialState.FAILED, 8: TrialState.PRUNED}.get(number % 10, TrialState.COMPLETED)
        search.observe(told(number, values, x + y, 1 - x + y, state=state))
        late.append(y)
    if kind != "random":
        assert sum(late[40:]) / 20 < 0.3, "y is bad for both"


# Errors


@pytest.mark.parametrize(("arguments", "message"), [
    ({"sampler": "GridSampler"}, "no sampler 'GridSampler'; use one of CmaEsSampler, GPSampler, .* grid and sobol"),
    ({"sampler": "nsgaii"}, "no sampler 'nsgaii'"),
    ({"options": {"n_startup": 3}}, "takes no option 'n_startup' here; it takes .*constant_liar, .*n_startup_trials"),
    ({"options": {"seed": 3}}, "the seed stands beside the sampler"),
    ({"options": {"gamma": 3}}, "takes no option 'gamma' here"),
    ({"options": {"n_startup_trials": "3"}}, "option 'n_startup_trials' is int, not '3'"),
    ({"options": {"n_startup_trials": True}}, "option 'n_startup_trials' is int, not True"),
    ({"options": {"multivariate": False, "group": True}}, "TPESampler does not take these options: ``group``"),
    ({"sampler": "NSGAIISampler", "options": {"population_size": 1}}, "does not take these options: `population_size`"),
    ({"sampler": "CmaEsSampler", "options": {"with_margin": True}}, "with_margin needs points"),
    ({"sampler": "CmaEsSampler", "objectives": 2}, "one objective; use NSGAIISampler"),
])  # fmt: skip
def test_what_optuna_cannot_do_is_said_before_the_first_trial(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsuitableStrategy, match=message):
        OptunaSearch(Space(MIXED), **arguments)


def test_cma_es_needs_numbers_that_every_trial_has() -> None:
    entries = {"k": Categorical(values=("a", "b")), "x": Float(low=0, high=1, when={"k": "a"}), "c": Constant(value=1)}
    with pytest.raises(UnsuitableStrategy, match="numbers that every trial has"):
        OptunaSearch(Space(entries), sampler="CmaEsSampler")


def test_hyperopt_has_one_objective() -> None:
    with pytest.raises(UnsuitableStrategy, match="one objective"):
        HyperoptSearch(Space(MIXED), objectives=2)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space(MIXED)
    monkeypatch.setitem(optuna_sampler._NEEDS, "CmaEsSampler", "no_such_package")
    with pytest.raises(UnsuitableStrategy, match="pip install no_such_package"):
        OptunaSearch(space, sampler="CmaEsSampler")
    monkeypatch.setattr(optuna_sampler, "optuna", None)
    with pytest.raises(UnsuitableStrategy, match=r"pip install .*\[optuna\]"):
        OptunaSearch(space)
    monkeypatch.setattr(hyperopt_tpe, "hyperopt", None)
    with pytest.raises(UnsuitableStrategy, match=r"pip install .*\[hyperopt\]"):
        HyperoptSearch(space)


@pytest.mark.parametrize("kind", SINGLE)
def test_nothing_is_logged_and_the_users_settings_stay(
    kind: str, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    before = optuna.logging.get_verbosity()
    search = KINDS[kind](Space(MIXED))
    for number in range(9):
        values = search.suggest(number) or {}
        search.observe(told(number, values, 1.0))
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")
    assert not [str(each.message) for each in recwarn.list]
