"""SageMaker's emulator with the clients of a test, and requests to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cloudtune_sagemaker.emulator import SageMakerEmulator

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1"

ECHO = 'echo "score=$SM_HP_X;"'
"""A program for the shell whose score is its parameter x."""

ENDED = ("Completed", "Failed", "Stopped")

RANGES = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]}


def definition(emulator: SageMakerEmulator, **changes: Any) -> dict[str, Any]:
    """A TrainingJobDefinition."""
    return {
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "score", "Regex": "score=(.*?);"}],
        },
        "RoleArn": emulator.role,
        "OutputDataConfig": {"S3OutputPath": f"s3://{emulator.bucket}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        **changes,
    }


def tuning(
    emulator: SageMakerEmulator,
    name: str,
    trials: int | None = 4,
    *,
    parallel: int = 2,
    changes: Any = None,
    **members: Any,
) -> dict[str, Any]:
    """A CreateHyperParameterTuningJob request; `changes` are those of its config."""
    limits = {
        "MaxParallelTrainingJobs": min(parallel, trials or parallel),
        **({} if trials is None else {"MaxNumberOfTrainingJobs": trials}),
    }
    config = {
        "Strategy": "Random",
        "RandomSeed": 7,
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
        "ResourceLimits": limits,
        "ParameterRanges": RANGES,
        **(changes or {}),
    }
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": config,
        "TrainingJobDefinition": definition(emulator),
        **members,
    }


def training(emulator: SageMakerEmulator, name: str, **members: Any) -> dict[str, Any]:
    """A CreateTrainingJob request."""
    return {"TrainingJobName": name, "HyperParameters": {"x": "0.5"}, **definition(emulator), **members}


class Used:
    """An emulator and the clients of a test."""

    def __init__(self, emulator: SageMakerEmulator, program: str) -> None:
        from botocore.config import Config

        self.emulator = emulator
        self.program = program
        patient = Config(retries={"total_max_attempts": 1})
        self.sagemaker = self.client("sagemaker", config=patient)

    def client(self, service: str, **how: Any) -> Any:
        import boto3

        return boto3.client(service, **{**self.emulator.of_client, "region_name": "us-east-1"}, **how)

    def tune(self, name: str, trials: int | None = 4, **how: Any) -> dict[str, Any]:
        """Runs a tuning job to its end, and describes it."""
        self.sagemaker.create_hyper_parameter_tuning_job(**tuning(self.emulator, name, trials, **how))
        assert self.emulator.wait(name, 60) in ENDED
        return self.describe(name)

    def describe(self, name: str) -> dict[str, Any]:
        answer = self.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        return {member: value for member, value in answer.items() if member != "ResponseMetadata"}

    def trials(self, name: str, **how: Any) -> list[dict[str, Any]]:
        pages = self.sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job")
        return [
            row
            for page in pages.paginate(HyperParameterTuningJobName=name, **how)
            for row in page["TrainingJobSummaries"]
        ]

    def train(self, name: str, **members: Any) -> dict[str, Any]:
        """Runs a training job to its end, and describes it."""
        self.sagemaker.create_training_job(**training(self.emulator, name, **members))
        return self.ended(name)

    def ended(self, name: str) -> dict[str, Any]:
        eventually(lambda: self.training_job(name)["TrainingJobStatus"] in ENDED)
        return self.training_job(name)

    def training_job(self, name: str) -> dict[str, Any]:
        answer = self.sagemaker.describe_training_job(TrainingJobName=name)
        return {member: value for member, value in answer.items() if member != "ResponseMetadata"}

    def printed(self, name: str) -> list[str]:
        logs = self.client("logs")
        group = "/aws/sagemaker/TrainingJobs"
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
        return [
            event["message"]
            for stream in streams
            for event in logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
        ]


def eventually(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """Waits until something is true."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not come about"
        threading.Event().wait(0.02)
    return found


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    """The code and the message of the error that a call is answered with."""
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.fixture(scope="module")
def shared() -> Iterator[Used]:
    """One emulator for all tests of a file that leave nothing behind but jobs of names of their own."""
    from cloudtune_sagemaker.emulator import SageMakerEmulator

    with SageMakerEmulator(images={"*": ECHO}, grace=0.2) as emulator:
        yield Used(emulator, ECHO)


@pytest.fixture
def emulate() -> Iterator[Callable[..., Used]]:
    """Starts emulators with programs of a test's own."""
    from cloudtune_sagemaker.emulator import SageMakerEmulator

    running: list[SageMakerEmulator] = []

    def start(program: str = ECHO, **settings: Any) -> Used:
        running.append(SageMakerEmulator(images={"*": program}, **{"grace": 0.2, **settings}).start())
        return Used(running[-1], program)

    yield start
    for emulator in running:
        emulator.stop()
