"""Runs on SageMaker, through boto3 against the emulator: what only this provider does, and what may go wrong."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from cloudtune import TuningJob, api
from cloudtune.cli.app import run_app
from cloudtune.errors import CredentialError, RunNotFound, TrialError
from cloudtune.run import Run
from cloudtune.states import RunState, TrialState
from cloudtune.testing.conformance import wait_until
from cloudtune_sagemaker.client import Aws
from cloudtune_sagemaker.emulator import SageMakerEmulator
from cloudtune_sagemaker.managed import JOB_STATES, TRIAL_STATES
from cloudtune_sagemaker.settings import SageMakerSettings
from cloudtune_sagemaker.shapes import service_model

SCRIPT = """
import pathlib
import cloudtune.trial as t
x = t.params()["x"]
pathlib.Path(t.output_dir(), "model.txt").write_text(str(x))
for step in range(1, 4):
    t.report(score=x * step, step=step)
"""
SLOW = "import time, cloudtune.trial as t\ntime.sleep(0.4)\nt.report(score=t.params()['x'])\n"


@pytest.fixture
def emulator(sagemaker_emulator: SageMakerEmulator, monkeypatch: pytest.MonkeyPatch) -> SageMakerEmulator:
    monkeypatch.setenv("CLOUDTUNE_SAGEMAKER_IMAGE", "own:latest")
    monkeypatch.setenv("CLOUDTUNE_SAGEMAKER_POLL", "0.05")
    return sagemaker_emulator


def job_of(folder: Path, script: str = SCRIPT, **fields: Any) -> TuningJob:
    (folder / "src").mkdir(exist_ok=True)
    (folder / "src" / "train.py").write_text(script)
    return TuningJob.from_data(
        {
            "name": "runs",
            "trial": {"source": "src", "command": "python train.py", **fields.pop("trial", {})},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
            "strategy": {"type": "random", "seed": 3},
            "limits": {"trials": 4, "parallel": 2, **fields.pop("limits", {})},
            **fields,
        }
    )


@pytest.fixture
def submit(emulator: SageMakerEmulator, tmp_path: Path) -> Callable[[TuningJob], Run]:
    return lambda job: api.submit(job, "aws", project=tmp_path, base=tmp_path)


def aws() -> Any:
    return boto3.client("sagemaker")


def tuning_jobs() -> list[str]:
    summaries = aws().list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    return [summary["HyperParameterTuningJobName"] for summary in summaries]


def test_every_state_of_the_service_is_mapped() -> None:
    assert set(JOB_STATES) == set(service_model().shape_for("HyperParameterTuningJobStatus").enum)
    assert set(TRIAL_STATES) == set(service_model().shape_for("TrainingJobStatus").enum)


@pytest.mark.parametrize("mode", ["managed", "driven"])
def test_the_same_trials_as_on_this_machine(mode: str, submit: Any, tmp_path: Path) -> None:
    job = job_of(tmp_path, mode=mode, space={"lr": {"type": "float", "low": 1e-4, "high": 1.0, "scale": "log"}, "x": {"type": "float", "low": 0, "high": 1}, "kind": {"type": "categorical", "values": ["a", "b"]}})  # fmt: skip
    run = submit(job)
    assert run.wait() is RunState.COMPLETED, run.events()
    here = api.submit(job.model_copy(update={"mode": "auto"}), "local", project=tmp_path, base=tmp_path)
    here.wait()
    assert [trial.parameters for trial in run.trials()] == [trial.parameters for trial in here.trials()]
    assert run.best.number == here.best.number
    assert run.best.metrics == here.best.metrics


def test_a_look_costs_two_calls_at_any_number_of_trials(
    emulator: SageMakerEmulator, submit: Any, tmp_path: Path
) -> None:
    run = submit(job_of(tmp_path, SLOW, limits={"trials": 40, "parallel": 4}))
    watch = run._provider._watch_of(run._store)
    costs = []
    while True:
        before = emulator.calls.total()
        state = watch.look()
        if state.ended:
            break
        costs.append(emulator.calls.total() - before)
    assert len(costs) > 5
    assert set(costs) == {2}
    assert len(run.trials()) == 40


def test_lines_that_come_before_their_trial_is_listed_count(
    emulator: SageMakerEmulator, submit: Any, tmp_path: Path
) -> None:
    run = submit(job_of(tmp_path))
    emulator.wait(run.record.native["job"], 60)
    watch = run._provider._watch_of(run._store)
    watch._read()
    assert watch.look() is RunState.COMPLETED
    assert all(len(list(run.reports(trial.number))) == 3 for trial in run.trials())


def test_a_look_at_driven_trials_costs_two_calls(emulator: SageMakerEmulator, submit: Any, tmp_path: Path) -> None:
    run = submit(job_of(tmp_path, "raise SystemExit(1)" + SLOW, mode="driven", limits={"trials": 12, "parallel": 6}))
    run.wait()
    asked = emulator.calls
    assert asked["FilterLogEvents"] == asked["ListTrainingJobs"] + 12  # beside each read a list, or why one failed
    assert asked["CreateTrainingJob"] == 12


@pytest.mark.parametrize("mode", ["managed", "driven"])
def test_throttling_and_lost_answers_make_no_job_twice(
    mode: str, emulator: SageMakerEmulator, submit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    emulator.faults.throttle, emulator.faults.lost, emulator.faults.errors = 0.3, 0.1, 0.05
    run = submit(job_of(tmp_path, mode=mode, limits={"trials": 6, "parallel": 3}))
    if mode == "managed":
        assert run.wait() is RunState.COMPLETED, run.events()
    else:
        emulator.faults.throttle = 0.1  # its driver is a process of its own, with the real patience
        assert run.wait() is RunState.COMPLETED, run.events()
    emulator.faults.throttle = emulator.faults.lost = emulator.faults.errors = 0.0
    assert emulator.faults.counts["throttle"] > 0
    trials = run.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETED] * 6
    assert all(trial.metrics["score"] == pytest.approx(3 * trial.parameters["x"]) for trial in trials)
    made = aws().list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
    assert len(made) == 6
    assert len(tuning_jobs()) == (1 if mode == "managed" else 0)


def test_expired_credentials_stop_nothing_but_the_watching(
    emulator: SageMakerEmulator, submit: Any, tmp_path: Path
) -> None:
    run = submit(job_of(tmp_path, SLOW))
    emulator.faults.expired = 1.0
    with pytest.raises(CredentialError, match="log in again") as raised:
        run.wait()
    assert raised.value.code == "ExpiredTokenException"
    emulator.faults.expired = 0.0
    assert run.wait() is RunState.COMPLETED
    assert len(run.trials()) == 4


def test_who_follows_may_be_killed_and_another_goes_on(emulator: SageMakerEmulator, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(job_of(tmp_path, SLOW, limits={"trials": 8}).to_yaml())
    command = [sys.executable, "-m", "cloudtune", "run", "job.yaml", "--on", "aws", "--quiet"]
    follower = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_until(
        lambda: bool(api.runs(project=tmp_path)) and any(t.state.ended for t in api.attach(project=tmp_path).trials())
    )
    os.kill(follower.pid, signal.SIGKILL)
    follower.communicate()
    run = api.attach(project=tmp_path)
    assert run.wait() is RunState.COMPLETED
    assert [trial.number for trial in run.trials()] == list(range(8))
    assert all(len(list(run.reports(trial.number))) == 1 for trial in run.trials())
    assert len(tuning_jobs()) == 1


def test_another_machine_takes_a_job_in_by_its_name(submit: Any, tmp_path: Path) -> None:
    space = {"x": {"type": "float", "low": 0, "high": 1}, "k": {"type": "int", "low": 1, "high": 9, "step": 2, "when": {"m": ["a", "b"]}}, "m": {"type": "categorical", "values": ["a", "b", "c"]}}  # fmt: skip
    run = submit(job_of(tmp_path, space=space, limits={"trials": 6}))
    run.wait()
    (tmp_path / "elsewhere").mkdir()
    other = api.attach(run.record.native["job"], "aws", project=tmp_path / "elsewhere")
    assert other.wait() is RunState.COMPLETED
    assert other.job == run.job
    assert [(t.parameters, t.metrics, t.state) for t in other.trials()] == [
        (t.parameters, t.metrics, t.state) for t in run.trials()
    ]
    assert api.attach(run.record.native["job"], "aws", project=tmp_path / "elsewhere").id == other.id
    with pytest.raises(RunNotFound, match="no tuning job 'nothing'"):
        api.attach("nothing", "aws", project=tmp_path / "elsewhere")


def test_a_job_of_another_client_is_taken_in(emulator: SageMakerEmulator, tmp_path: Path) -> None:
    definition = {
        "AlgorithmSpecification": {"TrainingImage": "own:1", "TrainingInputMode": "File", "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]},
        "RoleArn": emulator.role,
        "OutputDataConfig": {"S3OutputPath": f"s3://{emulator.bucket}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }  # fmt: skip
    config = {
        "Strategy": "Random",
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2},
        "ParameterRanges": {"CategoricalParameterRanges": [{"Name": "size", "Values": ['"32"', '"64"']}]},
    }
    aws().create_hyper_parameter_tuning_job(
        HyperParameterTuningJobName="theirs", HyperParameterTuningJobConfig=config, TrainingJobDefinition=definition
    )
    assert run_app(["attach", "theirs", "--on", "aws"]) in (0, None)
    run = api.attach("theirs", "aws", project=tmp_path)
    run.wait()
    assert len(run.trials()) == 2
    assert {trial.state for trial in run.trials()} == {TrialState.FAILED}  # no program stands for its image
    assert "the emulator" in run.trials()[0].reason


def test_what_a_trial_left_comes_back(submit: Any, tmp_path: Path) -> None:
    run = submit(job_of(tmp_path))
    run.wait()
    files = run.fetch(run.best.number, tmp_path / "model")
    assert [file.name for file in files] == ["model.txt"]
    assert float(files[0].read_text()) == run.best.parameters["x"]
    with pytest.raises(TrialError, match="no trial 77"):
        run.fetch(77, tmp_path / "model")


def test_an_archive_that_leads_out_of_its_folder_is_not_unpacked(
    emulator: SageMakerEmulator, submit: Any, tmp_path: Path
) -> None:
    from cloudtune_sagemaker.artifacts import download

    run = submit(job_of(tmp_path))
    run.wait()
    evil = io.BytesIO()
    with tarfile.open(fileobj=evil, mode="w:gz") as archive:
        info = tarfile.TarInfo("../escaped.txt")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"evil"))
    place = run.trials()[0].place
    described = aws().describe_training_job(TrainingJobName=place)
    bucket, _, key = described["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=evil.getvalue())
    settings = SageMakerSettings(endpoint=emulator.url, region=emulator.region)
    with pytest.raises(TrialError, match="is not unpacked"):
        download(Aws(settings), place, tmp_path / "deep" / "model")
    assert not (tmp_path / "deep" / "escaped.txt").exists()


def test_an_earlier_run_warms_the_next(submit: Any, tmp_path: Path) -> None:
    first = submit(job_of(tmp_path))
    first.wait()
    second = submit(job_of(tmp_path, warm_start={"runs": [first.id], "kind": "identical"}))
    assert second.wait() is RunState.COMPLETED, second.events()
    described = aws().describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=second.record.native["job"])
    parents = described["WarmStartConfig"]["ParentHyperParameterTuningJobs"]
    assert parents == [{"HyperParameterTuningJobName": first.record.native["job"]}]


def test_values_of_the_environment_reach_the_trial_and_nothing_that_is_kept(submit: Any, tmp_path: Path) -> None:
    script = "import os, cloudtune.trial as t\nt.report(score=float(os.environ['SECRET']))\n"
    run = submit(job_of(tmp_path, script, trial={"environment": {"SECRET": "0.87654321"}}))
    run.wait()
    assert run.best.metrics["score"] == 0.87654321
    kept = [path for path in (tmp_path / ".cloudtune").rglob("*") if path.is_file() and path.name != "log.txt"]
    assert not [path for path in kept if b"0.87654321" in path.read_bytes() and path.suffix not in (".db", ".db-wal")]
    packed = json.loads((run.folder / "assets" / "cloudtune_job.json").read_text())
    assert packed["spec"]["trial"]["environment"] == {"SECRET": "***"}


def test_branches_are_definitions_of_their_own(submit: Any, tmp_path: Path) -> None:
    script = "import json, cloudtune.trial as t\np = t.params()\nprint('P', json.dumps(p))\nt.report(score=p.get('depth', p.get('rate', 0)))\n"
    space = {
        "model": {"type": "categorical", "values": ["tree", "line", 3]},
        "depth": {"type": "int", "low": 1, "high": 5, "when": {"model": "tree"}},
        "rate": {"type": "float", "low": 0.1, "high": 0.9, "when": {"model": ["line", 3]}},
    }
    run = submit(
        job_of(
            tmp_path, script, space=space, strategy={"type": "bayesian", "seed": 1}, limits={"trials": 8, "parallel": 2}
        )
    )
    assert run.wait() is RunState.COMPLETED, run.events()
    assert len(run.plan.request["TrainingJobDefinitions"]) == 3
    for trial in run.trials():
        assert set(trial.parameters) == (
            {"model", "depth"} if trial.parameters["model"] == "tree" else {"model", "rate"}
        )
        seen = next(line for line in run.logs(trial.number) if line.startswith("P "))
        assert json.loads(seen[2:]) == trial.parameters


def test_an_outage_is_sat_out(
    emulator: SageMakerEmulator, submit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    run = submit(job_of(tmp_path, SLOW))
    emulator.faults.errors, emulator.faults.operations = 1.0, ["DescribeHyperParameterTuningJob"]

    def mend(progress: Any) -> None:
        emulator.faults.errors = 0.0

    assert run.wait(mend) is RunState.COMPLETED
    assert emulator.faults.counts["error"] >= 12  # more than one call bears
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 4


def test_capacity_that_is_not_there_fails_the_trials_and_says_so(
    emulator: SageMakerEmulator, submit: Any, tmp_path: Path
) -> None:
    emulator.faults.capacity = 1.0
    run = submit(job_of(tmp_path, limits={"trials": 2}))
    assert run.wait() is RunState.FAILED
    assert all("apacity" in trial.reason for trial in run.trials())


def test_check_tells_what_is_there_and_what_is_missing(
    emulator: SageMakerEmulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ecr = boto3.client("ecr")
    registry = ecr.create_repository(repositoryName="own")["repository"]["repositoryUri"]
    monkeypatch.setenv("CLOUDTUNE_SAGEMAKER_IMAGE", f"{registry}:1")
    assert run_app(["check", "--on", "aws", "--json"]) == 1
    missing = [each for each in json.loads(capsys.readouterr().out)["aws"] if each["ok"] is False]
    assert [each["subject"] for each in missing] == ["image"]
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "layers": []}
    )
    ecr.put_image(repositoryName="own", imageManifest=manifest, imageTag="1")
    assert run_app(["check", "--on", "aws"]) == 0, capsys.readouterr().out
    assert emulator.bucket in capsys.readouterr().out
    monkeypatch.setenv("CLOUDTUNE_SAGEMAKER_BUCKET", "not-there")
    monkeypatch.setenv("CLOUDTUNE_SAGEMAKER_ROLE", "")
    assert run_app(["check", "--on", "aws", "--json"]) == 1
    found = {each["subject"]: each["ok"] for each in json.loads(capsys.readouterr().out)["aws"]}
    assert found["credentials"]
    assert found["bucket"] is False
    assert found["role"] is False


def test_a_job_without_a_role_or_an_image_says_what_to_give(tmp_path: Path) -> None:
    plan = api.plan(job_of(tmp_path), "aws", project=tmp_path)
    said = {note.path: note.message for note in plan.notes}
    assert "role" in said["identity"]
    assert "trial.image" in said["trial.image"]


def test_the_example_finds_the_same_best_trial_in_the_emulator_as_here(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    example = Path(__file__).parent.parent / "examples" / "digits"
    shutil.copytree(example, tmp_path / "digits", ignore=shutil.ignore_patterns(".cloudtune"))
    options = ["--set", "strategy.type=random", "--trials", "4", "--json", "--quiet"]
    found = []
    for place in (["--on", "local"], ["--on", "aws", "--emulate"]):
        command = [sys.executable, "-m", "cloudtune", "run", "job.yaml", *place, *options]
        done = subprocess.run(command, cwd=tmp_path / "digits", capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout)["best"])
    here, there = found
    assert (there["number"], there["parameters"], there["metrics"]) == (
        here["number"],
        here["parameters"],
        here["metrics"],
    )


def test_the_command_line_runs_a_job_in_an_emulator_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text(job_of(tmp_path).to_yaml())
    assert run_app(["run", "job.yaml", "--on", "aws", "--emulate", "--json", "--quiet"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["counts"] == {"completed": 4}
    best = result["best"]["number"]
    assert run_app(["logs", str(best)]) in (0, None)  # the emulator is gone, what was printed is not
    assert "step 3: score=" in capsys.readouterr().out
    assert run_app(["fetch", "latest", "-o", "model"]) in (0, None)
    assert float((tmp_path / "model" / "model.txt").read_text()) == result["best"]["parameters"]["x"]
    assert "CLOUDTUNE_SAGEMAKER_ENDPOINT" not in os.environ
