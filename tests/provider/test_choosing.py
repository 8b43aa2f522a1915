"""`strategy: auto` on each provider: what is chosen is in the plan, in the run, and in what the service gets."""

import json
from pathlib import Path
from typing import Any

import pytest
from older_stores import lower

from cloudtune import api
from cloudtune.cli.app import run_app
from cloudtune.planning.plan import Plan
from cloudtune.provider.choosing import adapted_to
from cloudtune.provider.interface import Provider, load_provider
from cloudtune.spec.job import TuningJob
from cloudtune.spec.strategies import AutoStrategy, Bayesian, Grid, Random
from cloudtune.store.store import Store

IMAGES = {
    "sagemaker": "123456789012.dkr.ecr.us-east-1.amazonaws.com/a:1",
    "vertex": "us-docker.pkg.dev/a/b/c:1",
    "azureml": "azureml:env:1",
}
SETTINGS = {
    "sagemaker": {"role": "arn:aws:iam::123456789012:role/r", "region": "us-east-1", "instance": "ml.m5.large"},
    "vertex": {"project": "p", "region": "us-central1", "bucket": "b"},
    "azureml": {"subscription": "s", "resource_group": "g", "workspace": "w", "compute": "c"},
}
SCRIPT = "import os, sys\nprint('loss=' + sys.argv[sys.argv.index('--n') + 1])\n"


def job(**fields: Any) -> TuningJob:
    made: dict[str, Any] = {
        "name": "auto",
        "trial": {"command": "python train.py"},
        "objective": {"metric": "loss", "goal": "minimize", "regex": r"loss=(\S+)"},
        "space": {"n": {"type": "int", "low": 1, "high": 4}},
        "limits": {"trials": 20},
    }
    return TuningJob.from_data({**made, **fields})


def of(name: str, wanted: TuningJob) -> tuple[Provider, TuningJob]:
    trial = wanted.trial.model_copy(update={"image": IMAGES[name]})
    return load_provider(name)(SETTINGS[name]), wanted.model_copy(update={"trial": trial})


def why(plan: Plan) -> str:
    (note,) = [note for note in plan.notes if note.path == "strategy.type"]
    return note.message


X = {"x": {"type": "float", "low": 0, "high": 1}}


@pytest.mark.parametrize("name", IMAGES)
def test_a_service_takes_its_own_tuner(name: str) -> None:
    provider, wanted = of(name, job(space=X, strategy={"type": "auto", "seed": 4}))
    adapted = adapted_to(provider, wanted)
    assert adapted.job.strategy == Bayesian(seed=4)
    plan = adapted.on(provider.plan(adapted.job))
    assert plan.mode == "managed"
    assert why(plan) == f"auto: bayesian: each trial is chosen by what the ended ones say; by {name}'s own tuner"
    assert provider.plan(wanted).request == provider.plan(adapted.job).request


@pytest.mark.parametrize("name", IMAGES)
def test_a_service_that_cannot_spread_few_trials_takes_its_own_search(name: str) -> None:
    provider, wanted = of(name, job(space=X, limits={"trials": 3}))
    adapted = adapted_to(provider, wanted)
    assert adapted.job.strategy == Bayesian()
    assert why(adapted.on(provider.plan(adapted.job))) == f"auto: bayesian, by {name}'s own tuner"


@pytest.mark.parametrize("name", IMAGES)
def test_a_finite_space_is_the_services_own_grid(name: str) -> None:
    provider, wanted = of(name, job(limits={"trials": 4}))
    adapted = adapted_to(provider, wanted)
    assert adapted.job.strategy == Grid()
    plan = adapted.on(provider.plan(adapted.job))
    assert plan.mode == "managed"
    assert "all 4 combinations" in why(plan)


@pytest.mark.parametrize("name", IMAGES)
def test_what_the_tuner_cannot_do_is_driven_by_what_suits(name: str) -> None:
    provider, wanted = of(name, job(space=X, limits={"trials": 3}, retries=2))
    adapted = adapted_to(provider, wanted)
    assert adapted.job.strategy == Bayesian(startup=3)
    plan = adapted.on(provider.plan(adapted.job))
    assert plan.mode == "driven"
    assert why(plan) == "auto: bayesian: 3 trials are too few to learn from: they are spread evenly"


def test_more_than_a_tuner_takes_is_driven() -> None:
    provider, wanted = of("sagemaker", job(space=X, limits={"trials": 5000}))
    assert any(note.support == "unsupported" for note in provider.plan(wanted).notes)
    adapted = adapted_to(provider, wanted)
    plan = adapted.on(provider.plan(adapted.job))
    plan.refuse()
    assert plan.mode == "driven"
    assert "by cloudtune's driver, since the tuner's request would be refused" in why(plan)
    managed = adapted_to(provider, wanted.model_copy(update={"mode": "managed"}))
    assert provider.plan(managed.job).mode == "managed"


def test_a_strategy_that_is_named_has_no_such_note() -> None:
    provider, wanted = of("vertex", job(strategy={"type": "random"}))
    adapted = adapted_to(provider, wanted)
    assert adapted.job == wanted
    assert not [note for note in adapted.notes if note.path == "strategy.type"]


# Runs


def test_a_run_keeps_what_was_chosen_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    run = api.prepare(job(), "local", project=tmp_path, base=tmp_path)
    assert json.loads(run.record.job)["strategy"] == {"type": "grid"}
    assert run.written.strategy == AutoStrategy()
    assert "all 4 combinations" in why(run.plan)
    run.wait()
    assert sorted(trial.parameters["n"] for trial in run.trials()) == [1, 2, 3, 4]  # type: ignore[type-var]
    run_app(["-C", str(tmp_path), "show", run.id])
    assert "strategy auto: grid: all 4 combinations of the space fit into 20 trials" in capsys.readouterr().out


@pytest.mark.parametrize("writable", [True, False])
def test_a_stored_run_without_a_strategy_stays_random(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, writable: bool
) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    wanted = job(space=X, strategy={"type": "random"}, limits={"trials": 2})
    run = api.prepare(wanted, "local", project=tmp_path, base=tmp_path)
    Store(tmp_path).close()
    lower(tmp_path / ".cloudtune" / "store.db", 5)
    monkeypatch.setattr("cloudtune.store.database.is_writable", lambda path: writable)
    stored = TuningJob.from_data(json.loads(Store(tmp_path).run(run.id).record().job))
    assert stored.strategy == Random()
    assert stored == wanted
