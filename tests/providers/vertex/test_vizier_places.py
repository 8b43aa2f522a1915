"""Vizier suggests trials that run on other providers: the study has each as it ran there, and goes on at the next provider."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from late import LATE
from places import Place, group_of, place_of

from cloudtune.cli.app import run_app
from cloudtune.store.records import Trial, TrialState
from cloudtune.store.store import Store

if LATE:
    pytest.importorskip("google.cloud.aiplatform_v1")
    from cloudtune_vertex.client import Google
    from cloudtune_vertex.emulator import VertexEmulator
    from cloudtune_vertex.vizier.places import settings_of
    from cloudtune_vertex.vizier.spec import VizierSpec

SCRIPT = """
import time
import cloudtune.trial as trial

p = trial.params()
depth = p["depth"] if p["kind"] == "tree" else 0
if trial.number() == 1:
    raise SystemExit("it does not fit")
for step in (1, 2):
    trial.report(step=step, loss=p["lr"] + depth, size=1.0 + depth)
"""
PRUNED = """
import time
import cloudtune.trial as trial

bad = trial.number() == 3
for step in range(1, 200 if bad else 4):
    trial.report(step=step, loss=100.0 if bad else 1.0)
    time.sleep(0.3 if bad else 0)
"""
SPACE = {
    "lr": {"type": "float", "low": 1e-3, "high": 1.0, "scale": "log"},
    "kind": {"type": "categorical", "values": ["tree", "line"]},
    "depth": {"type": "int", "low": 1, "high": 5, "when": {"kind": "tree"}},
}
PROVIDERS = ("kubernetes", "sagemaker", "azureml", "ray", "slurm")
ELSEWHERE = [pytest.param(each, marks=[group_of(each, "vertex"), pytest.mark.complete]) for each in PROVIDERS]
"""Each beside those of its own provider's tests, which have its emulator's packages loaded or its cluster started."""


@pytest.fixture(scope="module")
def emulator() -> Iterator[VertexEmulator]:
    with VertexEmulator(seed=3, transport="rest") as emulator:
        yield emulator


@pytest.fixture
def project(emulator: VertexEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path)
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@contextmanager
def at(provider: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A place of a provider, to which this process is led meanwhile."""
    with place_of(provider, project) as place, monkeypatch.context() as patch:
        for name, value in place.environment.items():
            patch.setenv(name, value)
        yield place


def run(project: Path, on: str, script: str, extras: Mapping[str, Any], **fields: Any) -> list[Trial]:
    """Run a job; return its trials by their numbers."""
    (project / "src" / "train.py").write_text(script)
    job = {"name": "there", "trial": {"source": "src", "command": "python train.py"}, "mode": "driven", "space": SPACE}
    (project / "job.json").write_text(json.dumps({**job, **extras, **fields}))
    assert run_app(["run", "job.json", "--on", on, "--quiet"]) == 0
    store = Store(project)
    newest = max(store.records(), key=lambda record: record.created)
    return sorted(store.run(newest.id).trials(), key=lambda trial: trial.number)


def study_of(name: str) -> list[Any]:
    """Return the trials of a study."""
    vizier = Google(settings_of(VizierSpec())).vizier
    parent = Google(settings_of(VizierSpec())).parent
    study = vizier.lookup_study(request={"parent": parent, "display_name": name})
    return list(vizier.list_trials(request={"parent": study.name}))


def losses(trial: Any) -> dict[str, float]:
    return {each.metric_id: each.value for each in trial.final_measurement.metrics}


@pytest.mark.parametrize("provider", [pytest.param("local", marks=group_of("vertex", "vertex")), *ELSEWHERE])
def test_a_study_has_the_trials_of_any_provider_and_goes_on_with_the_next_run(
    provider: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = [{"metric": "loss", "goal": "minimize"}, {"metric": "size", "goal": "minimize"}]
    strategy = {"type": "vizier", "algorithm": "random", "study": f"on-{provider}"}
    limits = {"trials": 4, "parallel": 2, "failed": 99}
    fields = {"objective": objective, "strategy": strategy, "limits": limits}
    with at(provider, project, monkeypatch) as place:
        first = run(project, place.on, SCRIPT, place.extras, first=[{"kind": "tree", "depth": 2}], **fields)
        again = run(project, place.on, SCRIPT, place.extras, **fields)
    there = study_of(f"on-{provider}")
    assert sorted(each.client_id.partition(".")[0] for each in there) == sorted(
        [name_of(project, 0), name_of(project, 1)] * 4
    )
    told = {parameter.value: each for each in there for parameter in each.parameters if parameter.parameter_id == "lr"}
    for trial in first:  # those that are suggested together have one client: their values tell them apart
        known = min(told.items(), key=lambda each: abs(each[0] - float(trial.parameters["lr"])))[1]  # type: ignore[arg-type]
        parameters = {each.parameter_id: each.value for each in known.parameters}
        assert math.isclose(parameters["lr"], trial.parameters["lr"])  # type: ignore[arg-type]
        assert parameters["kind"] == trial.parameters["kind"]
        assert ("depth" in parameters) == (trial.parameters["kind"] == "tree")
        if trial.number == 1:
            assert (trial.state, known.state.name) == (TrialState.FAILED, "INFEASIBLE")
            assert known.infeasible_reason == "the trial failed"
        else:
            assert (trial.state, known.state.name) == (TrialState.COMPLETED, "SUCCEEDED"), trial.reason
            assert losses(known) == pytest.approx(trial.metrics)
    assert first[0].parameters["depth"] == 2
    assert [trial.state for trial in again] == [trial.state for trial in first]


def name_of(project: Path, index: int) -> str:
    """Return the id of a run, by the order of the runs."""
    return sorted(Store(project).records(), key=lambda record: record.created)[index].id


@pytest.mark.parametrize("provider", ELSEWHERE)
def test_viziers_rule_stops_trials_of_any_provider(
    provider: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = {"type": "vizier", "algorithm": "random", "early_stopping": "median"}
    objective = {"metric": "loss", "goal": "minimize"}
    with at(provider, project, monkeypatch) as place:
        limits = {"trials": 4, "parallel": 1}
        trials = run(project, place.on, PRUNED, place.extras, objective=objective, strategy=strategy, limits=limits)
    assert [trial.state for trial in trials] == [*[TrialState.COMPLETED] * 3, TrialState.PRUNED], trials[3].reason
    assert "by the vizier rule" in trials[3].reason
    there = study_of(f"cloudtune-{name_of(project, 0)}")
    (pruned,) = (each for each in there if each.client_id == f"{name_of(project, 0)}.3")
    assert losses(pruned) == {"loss": 100.0}
