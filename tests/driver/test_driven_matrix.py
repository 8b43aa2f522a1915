"""Every strategy with every stopping rule on every provider: it runs to its end, or the plan refuses it and says why.

By default every strategy and every rule really runs on this machine, and one combination on every other provider,
another on each; ``pytest --complete`` runs all combinations.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from places import Place, group_of, place_of

from cloudtune import TuningJob, api
from cloudtune.config import load_profile
from cloudtune.errors import SpecError, UnsupportedError
from cloudtune.planning.plan import Plan, Support
from cloudtune.plugins.entry_points import providers
from cloudtune.provider.interface import load_provider
from cloudtune.run import Run
from cloudtune.store.records import RunState, Trial, TrialState

# What learns decides by itself after few trials.
STRATEGIES: dict[str, dict[str, Any]] = {
    "bayesian": {"seed": 5},
    "evolutionary": {"seed": 5, "population": 2},
    "optuna": {"seed": 5, "options": {"n_startup_trials": 2}},
    "hyperopt": {"seed": 5, "startup": 2},
    "random": {"seed": 5},
    "sobol": {"seed": 5},
    "grid": {"levels": 2},
    "hyperband": {"seed": 5, "max_resource": 3},
}
RULES: dict[str, dict[str, Any]] = {
    "none": {},
    "median": {},
    "bandit": {"slack_factor": 0.1},
    "truncation": {"percentage": 40},
    "asha": {"min_resource": 1, "eta": 3},
    "curve": {},
    "auto": {},
}
PROVIDERS = list(providers())

INDEPENDENT = ("random", "sobol", "grid")
"""Strategies whose suggestions depend on no result."""

SPACE = {
    "x": {"type": "float", "low": 0.001, "high": 1.0, "scale": "log"},
    "k": {"type": "int", "low": 1, "high": 3},
    "kind": {"type": "categorical", "values": ["a", "b"]},
}

CALM = """
import cloudtune.trial as t
for step in range(1, 4):
    t.report(score=t.params()["x"] * t.params()["k"] * step, step=step)
"""

# Who comes early is good, each a little better than the one before; who comes last is bad, and goes on until stopped.
RACE = """
import pathlib, time
import cloudtune.trial as t
places = (pathlib.Path({folder!r}, str(place)) for place in range(99))
def taken(file):
    try:
        file.touch(exist_ok=False)
        return True
    except FileExistsError:
        return False
place = next(int(file.name) for file in places if taken(file))
for step in range(1, {steps} + 1):
    t.report(score=(step * (1 + place / 100) if place < {good} else 0.01), step=step)
if place >= {good}:
    time.sleep({patience})
"""
PATIENCE = 15
"""Seconds that one who does badly goes on unless it is stopped."""
GOOD = {"curve": 6, "auto": 6}
"""How many trials are good, where a rule needs more than four: it foretells curves from five completed trials on."""
STEPS = 6
"""How often each of them reports; a service's own rule has a grace of five."""


def job_of(place: Place, strategy: str, rule: str, mode: str, *, trials: int = 4, parallel: int = 1) -> TuningJob:
    data: dict[str, Any] = {
        "name": "cell",
        "trial": {"source": "src", "command": "python train.py"},
        "objective": {"metric": "score", "goal": "maximize"},
        "space": SPACE,
        "strategy": {"type": strategy, **STRATEGIES[strategy]},
        "limits": {"trials": trials, "parallel": parallel},
        "mode": mode,
        **place.extras,
    }
    return TuningJob.from_data(data if rule == "none" else {**data, "stopping": {"type": rule, **RULES[rule]}})


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Place]]:
    """Gives each provider's place, which stays until the last test: some take seconds to be made."""
    with ExitStack() as stack:
        yield cache(lambda provider: stack.enter_context(place_of(provider, tmp_path_factory.mktemp(provider))))


@pytest.fixture
def place(request: pytest.FixtureRequest, places: Callable[[str], Place], monkeypatch: pytest.MonkeyPatch) -> Place:
    """The place of the provider that the test is parametrized with."""
    place = places(request.param)
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    return place


def grouped(provider: str) -> pytest.MarkDecorator:
    return group_of(provider, f"matrix of {provider}")


# What the plan says


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("place", [pytest.param(each, marks=grouped(each)) for each in PROVIDERS], indirect=True)
def test_every_cell_is_planned_or_refused_with_a_reason(place: Place, strategy: str) -> None:
    profile = load_profile(place.on, place.project)
    provider = load_provider(profile.provider)(profile.settings)
    for rule in RULES:
        if strategy == "hyperband" and rule != "none":
            with pytest.raises(SpecError, match="stopping: hyperband stops trials itself; take the stopping rule away"):
                job_of(place, strategy, rule, "auto")
            continue
        plans = (provider.plan(job_of(place, strategy, rule, mode)) for mode in ("auto", "managed", "driven"))
        chosen, forced, driven = plans
        chosen.refuse()
        driven.refuse()
        assert driven.mode == "driven"
        if chosen.mode == "managed":
            forced.refuse()
            assert forced.mode == "managed", rule
        else:
            assert why_not_managed(forced), f"{strategy} with {rule} is driven, and nothing says why"


def why_not_managed(plan: Plan) -> str:
    """What a plan of ``mode: managed`` says where a plan without it is driven: a remark, or a refusal with a way out.

    A remark is that the service's tuner cannot do it, or that no plan can know whether that tuner is there.
    """
    try:
        plan.refuse()
    except UnsupportedError as refused:
        said = [each for each in refused.problems if each.path.split(".")[0] in ("mode", "strategy", "stopping")]
        assert all(re.search(r"; take (mode: managed|it) away", each.message) for each in said)
        return " ".join(each.message for each in said)
    return " ".join(
        note.message
        for note in plan.notes
        if note.path == "mode" and note.support is (Support.UNCHECKED if plan.mode == "managed" else Support.DRIVEN)
    )


# What runs


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Says which cells run."""
    if "rule" in metafunc.fixturenames:
        everything = metafunc.config.getoption("complete")
        cells = [(provider, *cell) for provider in PROVIDERS for cell in (all_cells() if everything else few(provider))]
        marked = [pytest.param(*cell, marks=grouped(cell[0]), id="-".join(cell)) for cell in cells]
        metafunc.parametrize(("place", "strategy", "rule"), marked, indirect=["place"])


def all_cells() -> list[tuple[str, str]]:
    """Every cell that the spec can say: hyperband stops trials itself."""
    return [(strategy, rule) for strategy in STRATEGIES for rule in RULES if strategy != "hyperband" or rule == "none"]


def few(provider: str) -> list[tuple[str, str]]:
    """Return every strategy once and every rule once for this machine, else one of these cells, in turns.

    Which strategy meets which rule differs from provider to provider.
    """
    shift = PROVIDERS.index(provider)
    turned = [list(RULES)[(shift + index) % len(RULES)] for index in range(len(RULES))]
    cells = list(zip(STRATEGIES, [*turned, "none"], strict=True))
    return cells if provider == "local" else [cells[3 * shift % len(cells)]]


def test_a_cell_runs_to_its_end(
    place: Place, strategy: str, rule: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    mode = see_it_run(place, strategy, rule, "auto", tmp_path)
    other = "driven" if mode == "managed" else "managed"
    if request.config.getoption("complete") and can(place, job_of(place, strategy, rule, other)):
        assert see_it_run(place, strategy, rule, other, tmp_path) == other


def can(place: Place, job: TuningJob) -> bool:
    """Whether a job is planned in the mode that it asks for, such as managed where auto drives: by Katib, if it is there."""
    profile = load_profile(place.on, place.project)
    plan = load_provider(profile.provider)(profile.settings).plan(job)
    with suppress(UnsupportedError):
        plan.refuse()
        return plan.mode == job.mode
    return False


def see_it_run(place: Place, strategy: str, rule: str, mode: str, folder: Path) -> str:
    """Runs a cell and looks at what came out; returns the mode that it ran in."""
    if rule == "none":
        run = finished(place, job_of(place, strategy, rule, mode), CALM)
        check_what_came_out(run, trials=4, steps=3)
        assert all(trial.state is TrialState.COMPLETED for trial in run.trials()) or strategy == "hyperband"
    else:
        # Katib judges a trial by those that had ended when it was made, three at least, and numbers are no order of starts.
        good, started = 6 if mode == "managed" else GOOD.get(rule, 4), folder / mode
        started.mkdir()
        job = job_of(place, strategy, rule, mode, trials=good + 1, parallel=2)
        run = finished(place, job, RACE.format(folder=str(started), good=good, steps=STEPS, patience=PATIENCE))
        check_what_came_out(run, trials=good + 1, steps=STEPS)
        (bad,) = [trial for trial in run.trials() if set(values_of(run, trial)) == {0.01}]
        if run.plan.mode == "driven":
            assert bad.state is TrialState.PRUNED, bad.reason
            assert f"by the {rule} rule" in bad.reason
        else:  # Vertex AI tells only while it stops a trial that it does; whoever misses that sees one that has ended
            assert bad.duration is not None
            assert bad.duration < PATIENCE
    repeatable = strategy in INDEPENDENT or (rule == "none" and strategy != "hyperband")
    if run.plan.mode == "driven" and repeatable:
        check_the_trials_are_those_of_this_machine(run, folder)
    return run.plan.mode


def finished(place: Place, job: TuningJob, script: str) -> Run:
    """A run that was planned, and has been driven or followed by this process to its end."""
    (place.project / "src").mkdir(exist_ok=True)
    (place.project / "src" / "train.py").write_text(script)
    planned = api.plan(job, place.on, project=place.project).mode
    run = api.prepare(job, place.on, project=place.project, base=place.project)
    assert run.wait() is RunState.COMPLETED, (run.record.reason, run.events())
    assert run.plan.mode == planned
    return run


def check_what_came_out(run: Run, trials: int, steps: int) -> None:
    found = run.trials()
    assert [trial.number for trial in found] == list(range(trials))
    assert {trial.state for trial in found} <= {TrialState.COMPLETED, TrialState.PRUNED}, [t.reason for t in found]
    assert all(trial.attempt == 1 for trial in found), run.events()
    space = run.job.search_space()
    assert all(space.contains(trial.parameters) for trial in found)
    completed = [trial for trial in found if trial.state is TrialState.COMPLETED]
    assert run.best == max(completed, key=lambda trial: trial.metrics["score"])
    for trial in completed:
        values = values_of(run, trial)
        assert len(values) == steps or set(values) == {0.01}  # one that the service stopped without telling
        assert trial.metrics["score"] == values[-1]


def values_of(run: Run, trial: Trial) -> list[float]:
    return [report.metrics["score"] for report in run.reports(trial.number)]


def check_the_trials_are_those_of_this_machine(run: Run, folder: Path) -> None:
    """A strategy suggests the same wherever the trials run, if they end the same."""
    job = run.job.model_copy(update={"stopping": None, "mode": "auto"})
    here = finished(Place("local", folder), job, CALM)
    assert [trial.parameters for trial in run.trials()] == [trial.parameters for trial in here.trials()]
