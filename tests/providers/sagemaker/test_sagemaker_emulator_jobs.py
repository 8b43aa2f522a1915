"""Training jobs of SageMaker's emulator, and what goes wrong on purpose."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from late import LATE
from sagemaker_emulation import Used, eventually, refused, training, tuning

if LATE:
    pytest.importorskip("moto")
    from botocore.exceptions import ClientError, ConnectionClosedError

    from cloudtune_sagemaker.emulator import Faults


# Training jobs


def test_a_training_job_can_be_stopped_once(emulate: Callable[..., Used]) -> None:
    used = emulate("sleep 60")
    used.sagemaker.create_training_job(**training(used.emulator, "stop-me"))
    eventually(lambda: used.training_job("stop-me")["SecondaryStatus"] == "Training")
    used.sagemaker.stop_training_job(TrainingJobName="stop-me")
    assert used.training_job("stop-me")["TrainingJobStatus"] in ("Stopping", "Stopped")
    assert used.ended("stop-me")["SecondaryStatus"] == "Stopped"
    assert refused(lambda: used.sagemaker.stop_training_job(TrainingJobName="stop-me"))[0] == "ValidationException"
    used.sagemaker.delete_training_job(TrainingJobName="stop-me")
    assert refused(lambda: used.training_job("stop-me"))[0] == "ValidationException"


def test_a_training_job_that_runs_too_long_is_stopped(emulate: Callable[..., Used]) -> None:
    job = emulate("sleep 60").train("long", StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_a_training_job_is_made_once_under_a_name(shared: Used) -> None:
    shared.train("once")
    code, message = refused(lambda: shared.sagemaker.create_training_job(**training(shared.emulator, "once")))
    assert (code, "already exists" in message) == ("ResourceInUse", True)


def test_a_training_job_can_be_updated(shared: Used) -> None:
    shared.train("update")
    shared.sagemaker.update_training_job(TrainingJobName="update", RemoteDebugConfig={"EnableRemoteDebug": True})
    assert shared.training_job("update")["RemoteDebugConfig"] == {"EnableRemoteDebug": True}


def test_quotas_limit_the_machines_in_use(emulate: Callable[..., Used]) -> None:
    used = emulate("sleep 60", quotas={"ml.m5.large": 1})
    used.sagemaker.create_training_job(**training(used.emulator, "first"))
    code, message = refused(lambda: used.sagemaker.create_training_job(**training(used.emulator, "second")))
    assert code == "ResourceLimitExceeded"
    assert "'ml.m5.large for training job usage' is 1 Instances, with current utilization of 1" in message
    code, _ = refused(lambda: used.sagemaker.create_hyper_parameter_tuning_job(**tuning(used.emulator, "many", 2)))
    assert code == "ResourceLimitExceeded"


# Faults


def test_throttling_does_nothing_and_is_counted(emulate: Callable[..., Used]) -> None:
    used = emulate(faults=Faults(throttle=1.0, operations=["CreateTrainingJob"]))
    code, _ = refused(lambda: used.sagemaker.create_training_job(**training(used.emulator, "throttled")))
    assert code == "ThrottlingException"
    assert used.emulator.faults.counts == {"throttle": 1}
    used.emulator.faults.throttle = 0.0
    assert used.sagemaker.list_training_jobs()["TrainingJobSummaries"] == []
    assert used.train("throttled")["TrainingJobStatus"] == "Completed"
    assert used.emulator.calls["CreateTrainingJob"] == 2


def test_a_lost_answer_has_its_effect(emulate: Callable[..., Used]) -> None:
    used = emulate(faults=Faults(lost=1.0, operations=["CreateTrainingJob"]))
    with pytest.raises(ConnectionClosedError):
        used.sagemaker.create_training_job(**training(used.emulator, "lost"))
    assert used.ended("lost")["TrainingJobStatus"] == "Completed"
    used.emulator.faults.lost = 0.0
    code, _ = refused(lambda: used.sagemaker.create_training_job(**training(used.emulator, "lost")))
    assert code == "ResourceInUse"
    assert used.emulator.faults.counts == {"lost": 1}


def test_errors_and_expired_credentials_are_the_services(emulate: Callable[..., Used]) -> None:
    used = emulate(faults=Faults(errors=1.0))
    with pytest.raises(ClientError) as caught:
        used.sagemaker.list_training_jobs()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    used.emulator.faults.errors, used.emulator.faults.expired = 0.0, 1.0
    assert refused(used.sagemaker.list_training_jobs)[0] == "ExpiredTokenException"
    used.emulator.faults.services = ("s3", "sts")
    assert refused(used.client("s3").list_buckets)[0] == "ExpiredToken"
    assert refused(used.client("sts").get_caller_identity)[0] == "ExpiredToken"
    assert used.sagemaker.list_training_jobs()["TrainingJobSummaries"] == []


def test_faults_depend_on_the_seed_and_not_on_what_else_happens() -> None:
    one, other = (Faults(throttle=0.3, lost=0.1, seed=5) for _ in range(2))
    first = [one.of_call("sagemaker", "CreateTrainingJob") for _ in range(200)]
    second = []
    for _ in range(200):
        other.of_call("logs", "GetLogEvents")
        second.append(other.of_call("sagemaker", "CreateTrainingJob"))
    assert first == second
    assert 40 < first.count("throttle") < 80
    assert 8 < first.count("lost") < 35
    assert one.of_call("s3", "PUT") == ""


def test_a_slow_status_lags_behind(emulate: Callable[..., Used]) -> None:
    used = emulate()
    job = used.tune("slow", 1)
    (row,) = used.trials("slow")
    used.emulator.faults.slow = 3600.0
    assert used.describe("slow")["HyperParameterTuningJobStatus"] == "InProgress"
    assert used.describe("slow")["ObjectiveStatusCounters"] == {"Succeeded": 0, "Pending": 1, "Failed": 0}
    assert "BestTrainingJob" not in used.describe("slow")
    assert used.training_job(row["TrainingJobName"])["SecondaryStatus"] == "Starting"
    used.emulator.faults.slow = 0.0
    assert used.describe("slow") == job


def test_capacity_and_internal_errors_fail_a_training_job(emulate: Callable[..., Used]) -> None:
    used = emulate(faults=Faults(capacity=1.0))
    job = used.train("no-capacity")
    assert (job["TrainingJobStatus"], job["FailureReason"][:14]) == ("Failed", "CapacityError:")
    assert "TrainingStartTime" not in job
    used.emulator.faults.capacity, used.emulator.faults.internal = 0.0, 1.0
    assert (
        used.train("internal", RetryStrategy={"MaximumRetryAttempts": 3})["FailureReason"][:20]
        == "InternalServerError:"
    )
    assert used.emulator.faults.counts == {"capacity": 1, "internal": 4}


def test_a_spot_interruption_starts_the_job_again(emulate: Callable[..., Used]) -> None:
    used = emulate('echo "score=1;"; sleep 0.3; echo "score=2;"', faults=Faults(spot=1.0))
    job = used.train(
        "spot",
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
    )
    statuses = [each["Status"] for each in job["SecondaryStatusTransitions"]]
    assert statuses == ["Starting", "Training", "Interrupted", "Starting", "Training", "Uploading", "Completed"]
    assert job["FinalMetricDataList"][0]["Value"] == 2
    assert used.emulator.faults.counts == {"spot": 1}


def test_a_spot_job_can_be_interrupted_by_hand(emulate: Callable[..., Used]) -> None:
    used = emulate("sleep 0.5")
    limits = {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}
    request = training(used.emulator, "by-hand", EnableManagedSpotTraining=True, StoppingCondition=limits)
    used.sagemaker.create_training_job(**request)
    eventually(lambda: used.training_job("by-hand")["SecondaryStatus"] == "Training")
    used.emulator.interrupt("by-hand")
    assert "Interrupted" in [each["Status"] for each in used.ended("by-hand")["SecondaryStatusTransitions"]]
