"""The strategy vizier with local: true, by the open google-vizier, which has an environment of its own (extra vizier-local)."""

import importlib.util
from typing import Any

import pytest

from cloudtune import TuningJob, api
from cloudtune.errors import SpecError
from cloudtune.search import Search

LOSS = {"metric": "loss", "goal": "minimize"}
SPACE: dict[str, Any] = {
    "x": {"type": "float", "low": 1e-4, "high": 1, "scale": "log"},
    "k": {"type": "int", "low": 1, "high": 9},
    "c": {"type": "categorical", "values": ["a", 2, None]},
    "o": {"type": "ordinal", "values": [1, 10, 100]},
    "y": {"type": "float", "low": 0, "high": 1, "when": {"c": ["a"]}},
    "s": {"type": "float", "low": 0, "high": 1, "step": 0.25},
    "fixed": {"type": "constant", "value": 3},
}
INSTALLED = importlib.util.find_spec("vizier") is not None
there = pytest.mark.skipif(not INSTALLED, reason="google-vizier is not installed (extra vizier-local)")


@pytest.mark.skipif(INSTALLED, reason="google-vizier is installed")
def test_the_extra_is_named_where_google_vizier_is_missing() -> None:
    with pytest.raises(SpecError, match=r"needs google-vizier: pip install .*\[vizier-local\]"):
        Search(SPACE, LOSS, {"type": "vizier", "local": True})


def test_the_plan_says_that_it_is_local_and_what_is_flattened() -> None:
    job = TuningJob.from_data(
        {
            "name": "j",
            "trial": {"command": "true"},
            "objective": LOSS,
            "space": SPACE,
            "strategy": {"type": "vizier", "local": True, "seed": 3},
            "limits": {"trials": 3},
        }
    )
    notes = {note.path: note.message for note in api.plan(job, "local").notes if note.support.value != "unsupported"}
    assert "the open google-vizier" in notes["strategy"]
    assert "always samples it" in notes["space.y"]


def searched(strategy: dict[str, Any], count: int, objective: Any = LOSS, **arguments: Any) -> list[dict[str, Any]]:
    search = Search(SPACE, objective, {"type": "vizier", "local": True, **strategy}, **arguments)
    found = []
    for _ in range(count):
        trial = search.ask()
        assert trial is not None
        assert search.space.contains(trial.parameters)
        found.append(trial.parameters)
        loss = abs(trial.parameters["k"] - 4) + trial.parameters["x"]
        search.tell(trial, {"loss": loss, "other": 1 - loss, "size": trial.parameters["k"]})
    return found


@there
@pytest.mark.parametrize("algorithm", ["random", "nsga2"])
def test_the_same_seed_suggests_the_same_trials_also_after_a_resume(algorithm: str) -> None:
    whole = searched({"algorithm": algorithm, "seed": 5}, 8)
    assert len({str(each) for each in whole}) > 4
    assert searched({"algorithm": algorithm, "seed": 5}, 8) == whole
    assert searched({"algorithm": algorithm, "seed": 6}, 8) != whole
    resumed = Search(SPACE, LOSS, {"type": "vizier", "local": True, "algorithm": algorithm, "seed": 5})
    for number, values in enumerate(whole[:5]):
        resumed.restore(number, values)
        resumed.tell(number, {"loss": abs(values["k"] - 4) + values["x"]})
    trial = resumed.ask()
    assert trial is not None
    assert trial.parameters == whole[5]


@there
def test_two_objectives_and_constraints() -> None:
    two = [LOSS, {"metric": "other", "goal": "maximize"}]
    assert len(searched({"algorithm": "nsga2"}, 4, two)) == 4
    bound = {"metric": "size", "max": 5}
    assert len(searched({"algorithm": "random"}, 4, constraints=bound)) == 4
    with pytest.raises(SpecError, match="no constraints beside several objectives"):
        searched({}, 1, two, constraints=bound)


@there
@pytest.mark.complete
@pytest.mark.timeout(1200)
def test_the_gaussian_process_suggests_different_trials_of_the_space() -> None:
    found = searched({"seed": 1}, 3)
    assert len({str(each) for each in found}) == 3


@there
def test_googles_own_classes_use_the_emulators_studies(monkeypatch: pytest.MonkeyPatch) -> None:
    from google.api_core import exceptions
    from google.cloud import aiplatform
    from google.cloud.aiplatform.vizier import Study, pyvizier

    from cloudtune_vertex.emulator.fixture import emulated

    with emulated(monkeypatch, seed=3):
        problem = pyvizier.StudyConfig()
        problem.algorithm = pyvizier.Algorithm.RANDOM_SEARCH
        goal = pyvizier.ObjectiveMetricGoal.MAXIMIZE
        problem.metric_information.append(pyvizier.MetricInformation(name="auc", goal=goal))
        root = problem.search_space.root
        root.add_float_param("lr", 1e-4, 1.0, scale_type=pyvizier.ScaleType.LOG)
        root.add_categorical_param("kind", ["a", "b"])
        study = Study.create_or_load(display_name="own", problem=problem)
        with pytest.raises(
            exceptions.Conflict
        ):  # create_or_load waits for AlreadyExists, which its client over REST has not
            Study.create_or_load(display_name="own", problem=problem)
        (trial,) = study.suggest(count=1, worker="w")
        assert 1e-4 <= trial.parameters["lr"].value <= 1
        trial.add_measurement(pyvizier.Measurement(steps=1, metrics={"auc": 0.5}))
        assert not trial.should_stop()
        done = trial.complete(pyvizier.Measurement(steps=2, metrics={"auc": 0.75}))
        assert done is not None
        assert done.metrics["auc"].value == 0.75
        assert trial.status == pyvizier.TrialStatus.COMPLETED
        assert [each.uid for each in study.optimal_trials()] == [trial.uid]
        (bad,) = study.suggest(count=1, worker="w")
        bad.complete(infeasible_reason="no memory")
        assert [each.uid for each in study.trials()] == [1, 2]
        study.delete()
        assert aiplatform.initializer.global_config.location == "us-central1"
