"""Runs on SageMaker, through boto3 against the emulator: what only this provider does, and what may go wrong."""

from __future__ import annotations

import io
import json
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest
from cloud_runs import SLOW, CloudRuns, Submit, job_of, submitting
from late import LATE
from shown_elsewhere import DRIVERS_OF_THEIR_OWN, OF_SHARED_CODE, SAME_FOR_PLAIN_JOBS

from cloudtune import api
from cloudtune.cli.app import run_app
from cloudtune.errors import TrialError
from cloudtune.store.records import RunState, TrialState
from cloudtune_sagemaker.schema_update import of_sdk
from cloudtune_sagemaker.settings import SageMakerSettings

if LATE:
    import boto3

    from cloudtune_sagemaker.client import Aws
    from cloudtune_sagemaker.emulator import SageMakerEmulator
    from cloudtune_sagemaker.tuner import JOB_STATES, TRIAL_STATES


@pytest.fixture
def emulator(sagemaker_emulator: SageMakerEmulator, monkeypatch: pytest.MonkeyPatch) -> SageMakerEmulator:
    monkeypatch.setenv("CLOUDTUNE_SAGEMAKER_IMAGE", "own:latest")
    monkeypatch.setenv("CLOUDTUNE_SAGEMAKER_POLL", "0.15")
    return sagemaker_emulator


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.001)


submit = submitting("aws")


def aws() -> Any:
    return boto3.client("sagemaker")


def tuning_jobs() -> list[str]:
    summaries = aws().list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    return [summary["HyperParameterTuningJobName"] for summary in summaries]


@pytest.mark.complete_are(
    *SAME_FOR_PLAIN_JOBS, *OF_SHARED_CODE, DRIVERS_OF_THEIR_OWN[0]
)  # drivers are killed in test_driven_kills
class TestSageMaker(CloudRuns):
    on = "aws"
    machines = ("ml.g5.xlarge", "ml.g4dn.xlarge")
    variables = "CLOUDTUNE_SAGEMAKER_"
    look = "DescribeHyperParameterTuningJob"
    keeps_the_seed = True

    def tuning_jobs(self, emulator: SageMakerEmulator) -> int:
        return len(tuning_jobs())

    def trial_jobs(self, emulator: SageMakerEmulator) -> int:
        jobs = aws().list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
        return 0 if tuning_jobs() else len(jobs)


def test_every_state_of_the_service_is_mapped() -> None:
    assert set(JOB_STATES) == set(of_sdk().shapes["HyperParameterTuningJobStatus"]["enum"])
    assert set(TRIAL_STATES) == set(of_sdk().shapes["TrainingJobStatus"]["enum"])


def test_a_look_costs_two_calls_at_any_number_of_trials(
    emulator: SageMakerEmulator, submit: Submit, tmp_path: Path
) -> None:
    run = submit(job_of(tmp_path, SLOW, limits={"trials": 6, "parallel": 2}))
    watch = run._provider.managed(run._store)
    costs = []
    while True:
        before = emulator.calls.total()
        state = watch.look()
        if state.ended:
            break
        costs.append(emulator.calls.total() - before)
        threading.Event().wait(0.05)
    assert len(costs) > 5
    assert set(costs) == {2}
    assert len(run.trials()) == 6


def test_lines_that_come_before_their_trial_is_listed_count(
    emulator: SageMakerEmulator, submit: Submit, tmp_path: Path
) -> None:
    run = submit(job_of(tmp_path))
    emulator.wait(run.record.native["job"], 60)
    watch = run._provider.managed(run._store)
    watch.tuner._read(())
    assert watch.look() is RunState.COMPLETED
    assert all(len(list(run.reports(trial.number))) == 3 for trial in run.trials())


def test_a_look_at_driven_trials_costs_two_calls(emulator: SageMakerEmulator, submit: Submit, tmp_path: Path) -> None:
    run = submit(
        job_of(tmp_path, "raise SystemExit(1)" + SLOW, mode="driven", limits={"trials": 8, "parallel": 4, "failed": 20})
    )
    run.wait()
    asked = emulator.calls
    assert asked["FilterLogEvents"] <= asked["ListTrainingJobs"] + 2  # beside each read a list, or questions left over
    assert asked["CreateTrainingJob"] == 8


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


def test_an_archive_that_leads_out_of_its_folder_is_not_unpacked(
    emulator: SageMakerEmulator, submit: Submit, tmp_path: Path
) -> None:
    from cloudtune_sagemaker.storage import download

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


def test_an_earlier_run_warms_the_next(submit: Submit, tmp_path: Path) -> None:
    first = submit(job_of(tmp_path))
    first.wait()
    second = submit(job_of(tmp_path, warm_start={"runs": [first.id], "kind": "identical"}))
    assert second.wait() is RunState.COMPLETED, second.events()
    described = aws().describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=second.record.native["job"])
    parents = described["WarmStartConfig"]["ParentHyperParameterTuningJobs"]
    assert parents == [{"HyperParameterTuningJobName": first.record.native["job"]}]


def test_branches_are_definitions_of_their_own(submit: Submit, tmp_path: Path) -> None:
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


def test_capacity_that_is_not_there_fails_the_trials_and_says_so(
    emulator: SageMakerEmulator, submit: Submit, tmp_path: Path
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
