"""Several profiles together, over real clients and emulators: the conformance suite, quotas, outages, and a driver that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cloud_runs import SLOW, job_of
from late import LATE

from cloudtune import api
from cloudtune.cli.app import run_app
from cloudtune.run import Run
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing import ProviderConformance
from cloudtune.testing.conformance import wait_until

if LATE:
    pytest.importorskip("moto")
    import boto3

    from cloudtune_sagemaker.emulator import SageMakerEmulator


IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1"


@pytest.fixture(scope="module")
def shared() -> Iterator[SageMakerEmulator]:
    with SageMakerEmulator(grace=0.2) as running:
        yield running


def profile_for(emulator: SageMakerEmulator, project: Path, more: str = "") -> str:
    """Writes a profile of this machine and the emulator together."""
    (project / "cloudtune.toml").write_text(
        f'[profiles.emulated]\nprovider = "sagemaker"\nendpoint = "{emulator.url}"\nregion = "{emulator.region}"\n'
        f'role = "{emulator.role}"\nbucket = "{emulator.bucket}"\nimage = "{IMAGE}"\npoll = 0.2\n'
        f'[profiles.both]\nprovider = "mixed"\nprofiles = ["local", "emulated"]\n{more}'
    )
    return "both"


@pytest.mark.complete
class TestMixed(ProviderConformance):
    """This machine and SageMaker together pass what each of them passes alone."""

    quick_to_kill: ClassVar[dict[str, Any]] = {"local": {"grace": 0.2}}

    @pytest.fixture
    def on(self, shared: SageMakerEmulator, project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        for name, value in shared.environment.items():
            monkeypatch.setenv(name, value)
        return profile_for(shared, project)


def finished(run: Run) -> Counter[str]:
    """Waits for the run's end, and tells how many trials ended well where."""
    assert run.wait() is RunState.COMPLETED, run.events()
    trials = run.trials()
    assert {trial.state for trial in trials} == {TrialState.COMPLETED}, [trial.reason for trial in trials]
    assert all(trial.metrics["score"] == pytest.approx(trial.parameters["x"]) for trial in trials)
    return Counter(trial.place.partition(":")[0] for trial in trials)


def training_jobs() -> Counter[str]:
    """The states of all training jobs of the emulator."""
    found = boto3.Session().client("sagemaker").list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
    return Counter(job["TrainingJobStatus"] for job in found)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.001)


@pytest.mark.sagemaker_emulator(quotas={"ml.m5.large": 1}, grace=0.2)
def test_a_quota_of_the_account_moves_trials_to_this_machine(
    sagemaker_emulator: SageMakerEmulator, tmp_path: Path
) -> None:
    on = profile_for(sagemaker_emulator, tmp_path)
    run = api.submit(job_of(tmp_path, SLOW, limits={"trials": 10, "parallel": 4}), on, project=tmp_path, base=tmp_path)
    where = finished(run)
    assert where["emulated"] >= 1
    assert where["local"] >= 5
    assert any("emulated has no room" in message and "quota" in message.lower() for _, _, message in run.events())


@pytest.mark.usefixtures("impatient")
def test_an_outage_moves_trials_to_this_machine_and_leaves_no_job_behind(
    sagemaker_emulator: SageMakerEmulator, tmp_path: Path
) -> None:
    on = profile_for(sagemaker_emulator, tmp_path, "pause = 0.2\n")
    script = f"""
import os, pathlib, time
import cloudtune.trial as t
folder = pathlib.Path({str(tmp_path)!r})
if "TRAINING_JOB_NAME" in os.environ and not (folder / "over").exists():
    (folder / f"began-{{t.number()}}").touch()
    time.sleep(100)
t.report(score=t.params()["x"])
"""
    run = api.prepare(
        job_of(tmp_path, script, limits={"trials": 12, "parallel": 4}), on, project=tmp_path, base=tmp_path
    )
    faults = sagemaker_emulator.faults

    def disturb(progress: Any) -> None:
        there = [trial for trial in progress.running if trial.place.startswith("emulated:")]
        if faults.errors and not there:
            faults.errors = 0.0
            (tmp_path / "over").touch()
        elif not (tmp_path / "over").exists() and len(list(tmp_path.glob("began-*"))) == 2:
            faults.errors = 1.0

    assert run.wait(disturb) is RunState.COMPLETED, run.events()
    assert finished(run)["local"] >= 3
    assert faults.counts["error"] > 10
    wait_until(lambda: "InProgress" not in training_jobs())
    assert training_jobs()["Stopped"] == 2


@pytest.mark.complete
def test_a_killed_driver_is_followed_by_one_that_takes_over_what_runs_everywhere(
    sagemaker_emulator: SageMakerEmulator, tmp_path: Path
) -> None:
    on = profile_for(sagemaker_emulator, tmp_path)
    (tmp_path / "job.yaml").write_text(job_of(tmp_path, SLOW, limits={"trials": 10, "parallel": 4}).to_yaml())
    command = [sys.executable, "-m", "cloudtune", "run", "job.yaml", "--on", on, "--quiet"]
    driver = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_until(lambda: training_jobs().total() >= 2)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    run = api.attach(project=tmp_path).resume()
    where = finished(run)
    assert where.total() == 10
    assert training_jobs()["Completed"] == training_jobs().total()
    assert sum(trial.attempt - 1 for trial in run.trials()) <= training_jobs().total() - where["emulated"] + 4


@pytest.mark.complete
def test_one_study_over_this_machine_and_all_three_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("google.cloud.aiplatform_v1", "azure.ai.ml"):
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    for provider in ("SAGEMAKER", "VERTEX", "AZUREML"):
        monkeypatch.setenv(f"CLOUDTUNE_{provider}_POLL", "0.2")
    script = "import cloudtune.trial as t\np = t.params()\nprint('sees', p, flush=True)\nt.report(score=p['x'])\n"
    limits = {"trials": 12, "parallel": 4}
    (tmp_path / "job.yaml").write_text(
        job_of(tmp_path, script, limits=limits, strategy={"type": "sobol", "seed": 2}).to_yaml()
    )
    run = ["run", "job.yaml", "--on", "local,aws,gcp,azure", "--emulate", "--json", "--quiet"]
    assert run_app(run) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert result["counts"] == {"completed": 12}
    assert run_app(["trials", "--json"]) in (0, None)
    trials = json.loads(capsys.readouterr().out)
    assert {trial["place"].partition(":")[0] for trial in trials} == {"local", "aws", "gcp", "azure"}
    assert run_app(["run", "job.yaml", "--on", "local", "--json", "--quiet"]) == 0
    here = json.loads(capsys.readouterr().out)
    assert [result["best"][part] for part in ("number", "parameters", "metrics")] == [
        here["best"][part] for part in ("number", "parameters", "metrics")
    ]
    for trial in trials:
        assert run_app(["logs", result["id"], str(trial["number"])]) in (0, None)  # the emulators are gone
        assert f"sees {trial['parameters']}" in capsys.readouterr().out
