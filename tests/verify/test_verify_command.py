"""`cloudtune verify`, against a second emulator that stands for the real service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from places import others_in, profile_of, write_profiles

from cloudtune import api
from cloudtune.cli.app import run_app
from cloudtune.errors import ProviderError
from cloudtune.remote.resolving import resolve
from cloudtune.verify import job as verifying

PACKAGES = {"sagemaker": "moto", "vertex": "google.cloud.aiplatform_v1", "azureml": "azure.ai.ml"}


@pytest.fixture(
    params=["vertex", *(pytest.param(name, marks=pytest.mark.complete) for name in ("sagemaker", "azureml"))]
)
def service(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An emulator in the place of a service, with the profile `team` that leads there."""
    provider = request.param
    pytest.importorskip(PACKAGES[provider])
    monkeypatch.chdir(tmp_path)
    with import_module(f"cloudtune_{provider}.emulator").Emulator(grace=0.2) as emulator:
        for name, value in others_in(emulator.environment).items():
            monkeypatch.setenv(name, value)
        write_profiles(tmp_path, team={**profile_of(provider, emulator.environment), "poll": "0.3"})
        yield emulator


@pytest.mark.parametrize("mode", ["managed", pytest.param("driven", marks=pytest.mark.complete)])
def test_a_service_like_the_emulator_gives_no_difference(
    service: Any, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["verify", "--on", "team", "--yes", "--mode", mode]) == 0
    told = capsys.readouterr()
    assert "No differences in keys, types, states and errors." in told.out
    compared = re.search(r"operations compared: (\d+)", told.out)
    assert compared is not None
    assert int(compared[1]) >= 5
    assert "2 trials" in told.err
    assert "it ends after 30 minutes at the latest" in told.err


def test_an_answer_that_deviates_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    pytest.importorskip(PACKAGES["vertex"])
    from cloudtune_vertex.emulator import VertexEmulator

    monkeypatch.chdir(tmp_path)
    with VertexEmulator(grace=0.2) as emulator:
        for name, value in others_in(emulator.environment).items():
            monkeypatch.setenv(name, value)
        write_profiles(tmp_path, team={**profile_of("vertex", emulator.environment), "poll": "0.3"})
        told = emulator.jobs.get

        def deviating(kind: str, name: str) -> dict[str, Any]:
            found = {key: value for key, value in told(kind, name).items() if key != "endTime"}
            return {**found, "labels": {**found.get("labels", {}), "more": "x"}}

        monkeypatch.setattr(emulator.jobs, "get", deviating)
        assert run_app(["verify", "--on", "team", "--yes", "-o", "report.md"]) == 1
    text = Path("report.md").read_text()
    assert "The emulator of vertex answers otherwise than the service" in text
    assert "| get_hyperparameter_tuning_job | labels.more | text | not there |" in text
    assert "| get_hyperparameter_tuning_job | endTime | not there | time |" in text
    assert "cloudtune-verify-" not in text


def test_nobody_is_charged_without_being_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(PACKAGES["vertex"])
    monkeypatch.chdir(tmp_path)
    write_profiles(tmp_path, team={"provider": "vertex", "project": "p", "bucket": "bucket", "image": "i"})
    assert run_app(["verify", "--on", "team"]) == 3
    told = capsys.readouterr().err
    assert "start it without asking with --yes" in told
    assert run_app(["verify", "--on", "local", "--yes"]) == 2
    assert "local has no emulator to compare with" in capsys.readouterr().err


def test_the_job_is_on_the_cheapest_machine_unless_the_profile_names_one(tmp_path: Path) -> None:
    write_profiles(tmp_path, free={"provider": "vertex", "image": "i"}, own={"provider": "vertex", "machine": "n1-standard-8"})  # fmt: skip
    free, own = (verifying.smallest_job(resolve(name, tmp_path)[0], "managed", "USD 1") for name in ("free", "own"))
    assert free.compute.cpus == 1
    assert own.compute.cpus is None
    assert (own.limits.trials, str(own.limits.cost)) == (2, "USD 1")
    plan = api.plan(free, "free", project=tmp_path)
    assert plan.rates
    assert not [note for note in plan.notes if note.path.startswith("compute") and note.support.value == "unsupported"]


def test_a_job_that_fails_says_why_and_leaves_nothing_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_SCRIPT", "raise SystemExit(3)\n")
    provider, _, _ = resolve("local", tmp_path)
    job = verifying.smallest_job(provider, "driven", None).model_copy(update={"mode": "auto"})
    monkeypatch.setattr(type(provider), "listening", lambda *_: __import__("contextlib").nullcontext())
    with pytest.raises(ProviderError, match="the job for the verification ended failed"):
        verifying.answers_to(job, "local", tmp_path)
