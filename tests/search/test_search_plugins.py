"""Strategies and stopping rules of another package: in specs, schemas, plans, runs and searches as our own are."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from made_up import install

from cloudtune import TuningJob, api, tune
from cloudtune.errors import SpecError
from cloudtune.plugins import entry_points
from cloudtune.plugins.entry_points import STOPPING, STRATEGIES, installed
from cloudtune.search import Search
from cloudtune.spec.schema import job_schema
from cloudtune.spec.stopping import STOPPING_KINDS
from cloudtune.spec.strategies import STRATEGY_KINDS
from cloudtune.store.records import RunState, TrialState

SPIRAL = '''
    """A strategy and a stopping rule as somebody else would publish them."""

    from typing import Literal, Unpack

    from pydantic import Field

    from cloudtune.search import StoppingRule, StoppingSpec, Strategy, StrategyContext, StrategySpec
    from cloudtune.space.parameters import Count, SpecModel
    from cloudtune.space.space import Space, Values
    from cloudtune.spec.strategies import Seed
    from cloudtune.store.records import TrialState


    class Shape(SpecModel):
        turns: Count = 3
        """How often it goes round."""


    class SpiralSpec(StrategySpec):
        """Goes round and round."""

        type: Literal["spiral"] = "spiral"
        seed: Seed | None = None
        shape: Shape = Shape()
        """The form."""


    class SpiralSearch(Strategy):
        spec = SpiralSpec

        def __init__(self, space: Space, *, shape: Shape = Shape(), **context: Unpack[StrategyContext]) -> None:
            super().__init__(space, **context)
            self.shape = shape

        def _propose(self, number: int) -> Values | None:
            turn = (number * self.shape.turns / (self.budget or 10) + self.seed / 2**31) % 1
            return self.space.at(turn for _ in self.space.dimensions)


    class LateSpec(StoppingSpec):
        type: Literal["late"] = "late"
        steps: Count


    class LateRule(StoppingRule):
        spec = LateSpec

        def __init__(self, steps: int) -> None:
            self.steps = steps

        def observe(self, number: int, step: int, loss: float) -> bool:
            return step > self.steps

        def ended(self, number: int, state: TrialState) -> None:
            pass
'''
BROKEN = """
    from typing import Literal

    from cloudtune.search import StrategySpec

    class Plain: ...

    class Misnamed:
        class spec(StrategySpec):
            type: Literal["other"] = "other"
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that modules are imported from."""
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.syspath_prepend(str(place))
    yield place
    for module in ("tune_spiral", "tune_broken"):
        sys.modules.pop(module, None)


@pytest.fixture
def spiral(place: Path) -> None:
    """A package that is installed for one test."""
    strategies = {"spiral": "tune_spiral:SpiralSearch", "grid": "tune_spiral:SpiralSearch"}
    points = {STRATEGIES: strategies, STOPPING: {"late": "tune_spiral:LateRule"}}
    install(place, "tune-spiral", points, {"tune_spiral": SPIRAL})


@pytest.fixture
def broken(place: Path) -> None:
    """Another one, whose entry points refer to what is no strategy."""
    strategies = {"gone": "tune_gone:Search", "plain": "tune_broken:Plain", "misnamed": "tune_broken:Misnamed"}
    install(place, "tune-broken", {STRATEGIES: strategies}, {"tune_broken": BROKEN})


def text(strategy: str, stopping: str = "{type: late, steps: 2}") -> str:
    return (
        "name: round\n"
        "trial: {command: 'true'}\n"
        "objective: {metric: loss, goal: minimize}\n"
        "space:\n  x: {type: float, low: 0, high: 1}\n"
        f"strategy: {strategy}\n"
        f"stopping: {stopping}\n"
        "limits: {trials: 4}\n"
    )


@pytest.mark.usefixtures("spiral")
def test_a_job_names_them_by_type_and_is_written_back() -> None:
    job = TuningJob.from_yaml(text("{type: spiral, seed: 5, shape: {turns: 2}}"))
    assert type(job.strategy).__name__ == "SpiralSpec"
    assert job.to_data()["strategy"] == {"type": "spiral", "seed": 5, "shape": {"turns": 2}}
    assert TuningJob.from_yaml(job.to_yaml()) == job
    assert TuningJob.model_validate_json(job.model_dump_json()) == job
    assert TuningJob.from_data({**job.to_data(), "strategy": job.strategy}) == job


@pytest.mark.usefixtures("spiral")
@pytest.mark.parametrize(
    ("strategy", "stopping", "message"),
    [
        ("{type: spiral, shape: {turns: 0}}", "{type: auto}", "line 6, column 41: strategy.shape.turns: must be at least 1"),
        ("{type: spiral, shap: {}}", "{type: auto}", "strategy.shap: unknown key 'shap' (did you mean 'shape'?)"),
        ("{type: spiral, shape: {turn: 1}}", "{type: auto}", "strategy.shape.turn: unknown key 'turn' (did you mean 'turns'?)"),
        ("{type: spiral, seed: often}", "{type: auto}", "strategy.seed: expected a number, not the text 'often'"),
        ("{type: sprial}", "{type: auto}", "'sprial' is no type of strategy (did you mean 'spiral'?)"),
        ("{type: random}", "{type: late}", "stopping.steps: 'steps' is missing"),
        ("{type: random}", "{type: later, steps: 1}", "'later' is no type of stopping rule (did you mean 'late'?)"),
    ],
)  # fmt: skip
def test_mistakes_have_the_words_and_places_that_ours_have(strategy: str, stopping: str, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        TuningJob.from_yaml(text(strategy, stopping))


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (
            "gone",
            "(tune_gone:Search of tune-broken) cannot be loaded: ModuleNotFoundError: No module named 'tune_gone'",
        ),
        ("plain", "(tune_broken:Plain of tune-broken) has no attribute spec that is a StrategySpec"),
        ("misnamed", 'needs a spec with the field type: Literal["misnamed"] = "misnamed"'),
    ],
)
def test_a_package_that_is_broken_is_named(strategy: str, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(f"strategy: the strategy {strategy!r} ") + ".*" + re.escape(message)):
        TuningJob.from_yaml(text(f"{{type: {strategy}}}", "{type: auto}"))
    assert strategy not in job_schema()["definitions"], "the schema of all others is told all the same"
    assert sum(f"the strategy {strategy!r}" in str(error) for error in STRATEGY_KINDS.models()[1]) == 1


def test_packages_are_not_read_for_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_points, "entry_points", lambda **_: pytest.fail("read"))
    job = TuningJob.from_yaml(text("{type: bayesian}", "{type: median}"))
    search = Search(job.space, job.objective, job.strategy, stopping=job.stopping)
    assert search.ask() is not None


def test_a_type_that_is_not_installed_is_told_with_what_to_do() -> None:
    with pytest.raises(
        SpecError,
        match=r"'helix' is no type of strategy .the types are: auto, grid, .*entry points cloudtune.strategies",
    ):
        TuningJob.from_yaml(text("{type: helix}", "{type: auto}"))
    with pytest.raises(SpecError, match=r"'helix' is no type of stopping rule .*entry points cloudtune.stopping"):
        TuningJob.from_yaml(text("{type: grid, levels: 2}", "{type: helix}"))


@pytest.mark.usefixtures("spiral")
def test_our_own_types_cannot_be_replaced() -> None:
    job = TuningJob.from_yaml(text("{type: grid, levels: 3}"))
    assert type(job.strategy).__module__ == "cloudtune.spec.strategies"
    assert "grid" not in STRATEGY_KINDS.installed()


@pytest.mark.usefixtures("spiral")
def test_the_schema_has_them() -> None:
    schema = job_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)

    def valid(strategy: Any, stopping: Any = None) -> bool:
        job = {
            "name": "round", "trial": {"command": "x"}, "objective": {"metric": "l", "goal": "minimize"},
            "space": {"x": {"type": "float", "low": 0, "high": 1}}, "strategy": strategy, "stopping": stopping,
        }  # fmt: skip
        return bool(validator.is_valid(job))

    assert valid({"type": "spiral", "shape": {"turns": 2}}, {"type": "late", "steps": 3})
    assert not valid({"type": "spiral", "shape": {"turns": 0}})
    assert not valid({"type": "spiral", "turns": 1})
    assert not valid({"type": "random"}, {"type": "late"})
    assert schema["definitions"]["spiral"]["properties"]["shape"]["description"] == "The form."
    assert schema["definitions"]["spiral.Shape"]["properties"]["turns"]["description"] == "How often it goes round."


@pytest.mark.usefixtures("spiral")
def test_a_search_follows_them() -> None:
    search = Search(
        {"x": {"type": "float", "low": 0, "high": 1}}, {"metric": "loss", "goal": "minimize"},
        {"type": "spiral", "shape": {"turns": 1}}, seed=0, stopping={"type": "late", "steps": 1}, trials=4,
    )  # fmt: skip
    trials = [search.ask() for _ in range(4)]
    assert [trial and trial.parameters["x"] for trial in trials] == [0, 0.25, 0.5, 0.75]
    assert [search.report(0, step, 0.5) for step in (1, 2)] == [False, True]


@pytest.mark.usefixtures("spiral")
@pytest.mark.parametrize("on", ["local", "sagemaker", "vertex", "azureml", "ray"])
def test_plans_account_for_them_and_services_are_driven(
    on: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job = TuningJob.from_yaml(text("{type: spiral, seed: 5, shape: {turns: 2}}"))
    plan = api.plan(job, on)
    assert plan.mode == "driven"


@pytest.mark.usefixtures("spiral")
def test_a_run_is_driven_by_them(tmp_path: Path) -> None:
    def body(x: float) -> float:
        from cloudtune import trial

        for step in range(1, 4):
            trial.report(value=x, step=step)
        return x

    run = tune(
        body, {"x": {"type": "float", "low": 0, "high": 1}}, minimize="value", trials=4, project=tmp_path,
        strategy={"type": "spiral", "seed": 0, "shape": {"turns": 1}}, stopping={"type": "late", "steps": 9},
    )  # fmt: skip
    assert run.state is RunState.COMPLETED
    assert [trial.parameters["x"] for trial in run.trials()] == [0, 0.25, 0.5, 0.75]
    assert {trial.state for trial in run.trials()} == {TrialState.COMPLETED}


@pytest.mark.parametrize("kinds", [STRATEGY_KINDS, STOPPING_KINDS], ids=lambda kinds: kinds.noun)
def test_our_own_are_declared_as_those_of_others(kinds: Any) -> None:
    points = installed(kinds.group)
    own = {name: point for name, point in points.items() if name in kinds.own_names}
    assert set(kinds.own_names) - set(own) <= {"auto", "hyperband"}, "which are made of others"
    for name, point in own.items():
        if name not in ("optuna", "hyperopt", "sobol", "evolutionary", "curve"):  # load optional or large packages
            assert point.load().spec.model_fields["type"].default == name
