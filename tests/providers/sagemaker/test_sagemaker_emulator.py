"""The emulator's API: what it answers, refuses, lists, stops and deletes, and that its jobs really run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from late import LATE

from cloudtune.errors import ConfigError
from cloudtune.search import strategy_for
from cloudtune.spec.job import TuningJob

if LATE:
    pytest.importorskip("moto")
    import boto3
    import botocore.session
    import moto.sagemaker.urls
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.config import Config
    from botocore.credentials import Credentials
    from botocore.exceptions import ClientError, ConnectionClosedError
    from moto import mock_aws
    from moto.sagemaker.responses import SageMakerResponse

    from cloudtune_sagemaker.emulator import Faults, SageMakerEmulator
    from cloudtune_sagemaker.emulator.jobs import TERMINAL

    MODEL = botocore.session.get_session().get_service_model("sagemaker")


IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1"
ECHO = 'echo "score=$SM_HP_X;"'
"""A program for the shell whose score is its parameter x."""

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
        self.emulator = emulator
        self.program = program
        patient = Config(retries={"total_max_attempts": 1})
        self.sagemaker = self.client("sagemaker", config=patient)

    def client(self, service: str, **how: Any) -> Any:
        return boto3.client(service, **{**self.emulator.of_client, "region_name": "us-east-1"}, **how)

    def tune(self, name: str, trials: int | None = 4, **how: Any) -> dict[str, Any]:
        """Runs a tuning job to its end, and describes it."""
        self.sagemaker.create_hyper_parameter_tuning_job(**tuning(self.emulator, name, trials, **how))
        assert self.emulator.wait(name, 60) in TERMINAL
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
        eventually(lambda: self.training_job(name)["TrainingJobStatus"] in TERMINAL)
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
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.fixture(scope="module")
def shared() -> Iterator[Used]:
    """One emulator for all tests that leave nothing behind but jobs of names of their own."""
    with SageMakerEmulator(images={"*": ECHO}, grace=0.2) as emulator:
        yield Used(emulator, ECHO)


@pytest.fixture
def emulate() -> Iterator[Callable[..., Used]]:
    """Starts emulators with programs of a test's own."""
    running: list[SageMakerEmulator] = []

    def start(program: str = ECHO, **settings: Any) -> Used:
        running.append(SageMakerEmulator(images={"*": program}, **{"grace": 0.2, **settings}).start())
        return Used(running[-1], program)

    yield start
    for emulator in running:
        emulator.stop()


# Answers in the service's shapes


def strange(shape: Any, value: Any, path: str = "") -> list[str]:
    """What in an answer is not as botocore's model says."""
    if shape.type_name == "structure":
        found = [f"{path}.{name} is unknown" for name in value if name not in shape.members]
        found += [f"{path}.{name} is missing" for name in shape.required_members if name not in value]
        for name in value.keys() & shape.members.keys():
            found += strange(shape.members[name], value[name], f"{path}.{name}")
        return found
    if shape.type_name == "list":
        return [each for item in value for each in strange(shape.member, item, f"{path}[]")]
    if shape.type_name == "map":
        return [each for item in value.values() for each in strange(shape.value, item, f"{path}{{}}")]
    enum = getattr(shape, "enum", None)
    return [f"{path} is {value!r}"] if enum and value not in enum else []


def test_every_answer_has_the_members_of_the_services_model(shared: Used) -> None:
    from cloudtune_sagemaker.emulator import answers
    from cloudtune_sagemaker.emulator.describing import described

    jobs = shared.emulator.jobs
    shared.tune("shapes", 3, changes={"TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": 2.0}})
    name = shared.trials("shapes")[0]["TrainingJobName"]
    answers: list[tuple[str, Any]] = [
        ("DescribeHyperParameterTuningJob", described(jobs.tuning_job("shapes"))),
        ("DescribeTrainingJob", answers.described(jobs.training_job(name), 0.0)),
    ]
    trials, _ = jobs.list_trials({"HyperParameterTuningJobName": "shapes"})
    answers.append(("ListTrainingJobsForHyperParameterTuningJob", {"TrainingJobSummaries": trials}))
    answers.append(("ListTrainingJobs", {"TrainingJobSummaries": jobs.list_training_jobs({})[0]}))
    tunings, _ = jobs.list_tuning_jobs({})
    answers.append(("ListHyperParameterTuningJobs", {"HyperParameterTuningJobSummaries": tunings}))
    for operation, answer in answers:
        assert strange(MODEL.operation_model(operation).output_shape, answer, operation) == []
    assert trials


def test_a_tuning_job_runs_its_trials_and_tells_all_of_them(shared: Used) -> None:
    job = shared.tune("complete", 6, Tags=[{"Key": "team", "Value": "ads"}])
    trials = shared.trials("complete")
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"] == {
        "Completed": 6, "InProgress": 0, "RetryableError": 0, "NonRetryableError": 0, "Stopped": 0,
    }  # fmt: skip
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 6, "Pending": 0, "Failed": 0}
    assert [row["TrainingJobName"][:13] for row in trials] == [f"complete-{number:03d}-" for number in range(1, 7)]
    for row in trials:
        assert row["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == float(row["TunedHyperParameters"]["x"])
    best = max(trials, key=lambda row: float(row["TunedHyperParameters"]["x"]))
    assert job["BestTrainingJob"] == best
    assert job["HyperParameterTuningEndTime"] >= best["TrainingEndTime"] >= best["TrainingStartTime"]
    assert "OverallBestTrainingJob" not in job
    assert job["TrainingJobDefinition"]["StaticHyperParameters"] == {"_tuning_objective_metric": "score"}


def test_a_trial_is_a_training_job_with_its_model_its_metrics_and_its_log(shared: Used) -> None:
    shared.tune("trial", 1, TrainingJobDefinition=definition(shared.emulator, StaticHyperParameters={"epochs": "3"}))
    (row,) = shared.trials("trial")
    job = shared.training_job(row["TrainingJobName"])
    assert job["TuningJobArn"].endswith(":hyper-parameter-tuning-job/trial")
    assert job["HyperParameters"] == {
        "epochs": "3", "_tuning_objective_metric": "score", **row["TunedHyperParameters"],
    }  # fmt: skip
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Completed", "Completed")
    statuses = [each["Status"] for each in job["SecondaryStatusTransitions"]]
    assert statuses == ["Starting", "Training", "Uploading", "Completed"]
    metric, again = job["FinalMetricDataList"]
    assert again == {**metric, "MetricName": "ObjectiveMetric"}, "the service adds the objective under this name"
    assert (metric["MetricName"], metric["Value"]) == ("score", float(row["TunedHyperParameters"]["x"]))
    assert job["TrainingTimeInSeconds"] >= 1
    model = job["ModelArtifacts"]["S3ModelArtifacts"]
    assert model == f"s3://{shared.emulator.bucket}/out/{row['TrainingJobName']}/output/model.tar.gz"
    bucket, _, key = model.removeprefix("s3://").partition("/")
    assert shared.client("s3").head_object(Bucket=bucket, Key=key)["ContentLength"] > 0
    assert f"score={float(row['TunedHyperParameters']['x'])};" in shared.printed(row["TrainingJobName"])


# The search is cloudtune's


def test_random_values_are_those_of_the_local_random_strategy(shared: Used) -> None:
    ranges = {
        "ContinuousParameterRanges": [
            {"Name": "x", "MinValue": "0.001", "MaxValue": "1000", "ScalingType": "Logarithmic"},
            {"Name": "close", "MinValue": "0.5", "MaxValue": "0.999", "ScalingType": "ReverseLogarithmic"},
        ],
        "IntegerParameterRanges": [{"Name": "depth", "MinValue": "2", "MaxValue": "9"}],
        "CategoricalParameterRanges": [{"Name": "kernel", "Values": ["rbf", "poly"]}],
    }
    shared.tune("seeded", 5, changes={"ParameterRanges": ranges, "RandomSeed": 11})
    job = TuningJob.from_data(
        {
            "name": "local",
            "trial": {"command": "true"},
            "objective": {"metric": "loss", "goal": "minimize"},
            "space": {
                "kernel": {"type": "categorical", "values": ["rbf", "poly"]},
                "depth": {"type": "int", "low": 2, "high": 9},
                "close": {"type": "float", "low": 0.5, "high": 0.999, "scale": "reverse_log"},
                "x": {"type": "float", "low": 0.001, "high": 1000, "scale": "log"},
            },
            "limits": {"trials": 9},
        }
    )
    strategy = strategy_for(job, job.search_space(), 11)
    expected = [strategy.suggest(number) for number in range(5)]
    found = [row["TunedHyperParameters"] for row in shared.trials("seeded")]
    assert [{name: str(value) for name, value in (values or {}).items()} for values in expected] == found


def test_auto_scaling_is_logarithmic_for_a_wide_range_above_zero() -> None:
    from cloudtune_sagemaker.emulator.ranges import ranges_of

    declared = [
        {"Name": "wide", "MinValue": "0.01", "MaxValue": "1"},
        {"Name": "narrow", "MinValue": "0.1", "MaxValue": "1", "ScalingType": "Auto"},
        {"Name": "zero", "MinValue": "0", "MaxValue": "1000"},
    ]
    found = {each.name: each.parameter.scale for each in ranges_of({"ContinuousParameterRanges": declared})}  # type: ignore[union-attr]
    assert found == {"wide": "log", "narrow": "linear", "zero": "linear"}


@pytest.mark.parametrize("strategy", ["Bayesian", "Hyperband"])
def test_a_strategy_completes(shared: Used, strategy: str) -> None:
    changes = {"Strategy": strategy}
    if strategy == "Hyperband":
        changes["StrategyConfig"] = {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}}  # type: ignore[assignment]
    job = shared.tune(strategy.lower(), 5, changes=changes)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["ObjectiveStatusCounters"]["Succeeded"] == 5


def test_a_grid_tries_every_combination_once(shared: Used) -> None:
    values = {
        "CategoricalParameterRanges": [{"Name": "x", "Values": ["1", "2"]}, {"Name": "y", "Values": ["a", "b", "c"]}]
    }
    job = shared.tune("grid", None, changes={"Strategy": "Grid", "ParameterRanges": values})
    found = [tuple(row["TunedHyperParameters"].values()) for row in shared.trials("grid")]
    assert sorted(found) == [(x, y) for x in "12" for y in "abc"]
    assert job["HyperParameterTuningJobStatus"] == "Completed"


def test_early_stopping_stops_a_training_job_that_does_badly(emulate: Callable[..., Used]) -> None:
    steps = 'n=0; while [ $n -lt 400 ]; do n=$((n+1)); echo "score=$SM_HP_X;"; '
    wait = "case $SM_HP_X in -*) sleep 0.02;; *) [ $n -gt 20 ] && exit 0;; esac; done"
    used = emulate(steps + wait)
    ranges = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["1", "2", "3", "4", "-5"]}]}
    job = used.tune(
        "early", None, parallel=1,
        changes={"Strategy": "Grid", "ParameterRanges": ranges, "TrainingJobEarlyStoppingType": "Auto"},
    )  # fmt: skip
    (stopped,) = [row for row in used.trials("early") if row["TrainingJobStatus"] == "Stopped"]
    assert stopped["TunedHyperParameters"] == {"x": "-5"}
    assert stopped["ObjectiveStatus"] == "Succeeded"
    assert job["TrainingJobStatusCounters"]["Stopped"] == 1
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"x": "4"}


def test_definitions_are_a_choice_with_ranges_of_their_own(shared: Used) -> None:
    def one(name: str, low: str, high: str) -> dict[str, Any]:
        extra = [{"Name": name, "MinValue": "1", "MaxValue": "9"}]
        return definition(
            shared.emulator,
            DefinitionName=name,
            TuningObjective={"Type": "Minimize", "MetricName": "score"},
            HyperParameterRanges={
                "ContinuousParameterRanges": [{"Name": "x", "MinValue": low, "MaxValue": high}],
                "IntegerParameterRanges": extra,
            },
        )

    request = tuning(shared.emulator, "definitions", 12)
    del request["TrainingJobDefinition"]
    for member in ("HyperParameterTuningJobObjective", "ParameterRanges"):
        del request["HyperParameterTuningJobConfig"][member]
    request["TrainingJobDefinitions"] = [one("small", "0", "1"), one("large", "10", "20")]
    shared.sagemaker.create_hyper_parameter_tuning_job(**request)
    assert shared.emulator.wait("definitions", 60) == "Completed"
    rows = shared.trials("definitions")
    assert {row["TrainingJobDefinitionName"] for row in rows} == {"small", "large"}
    for row in rows:
        assert set(row["TunedHyperParameters"]) == {"x", row["TrainingJobDefinitionName"]}
        assert (float(row["TunedHyperParameters"]["x"]) >= 10) == (row["TrainingJobDefinitionName"] == "large")
    assert shared.describe("definitions")["BestTrainingJob"]["TrainingJobDefinitionName"] == "small"


def test_autotune_searches_around_the_hints(shared: Used) -> None:
    hints = [
        {"Name": "x", "ValueHint": "0.5"},
        {"Name": "epochs", "ValueHint": "4"},
        {"Name": "kind", "ValueHint": "adam"},
    ]
    shared.tune("autotune", 6, changes={"ParameterRanges": {"AutoParameters": hints}}, Autotune={"Mode": "Enabled"})
    for tuned in (row["TunedHyperParameters"] for row in shared.trials("autotune")):
        assert 0.05 <= float(tuned["x"]) <= 5
        assert 1 <= int(tuned["epochs"]) <= 40
        assert tuned["kind"] == "adam"


def test_names_that_cloudtune_does_not_take_arrive_as_they_are(emulate: Callable[..., Used]) -> None:
    used = emulate('echo "score=1;"')
    odd = ["--lr", "two words", "{x}", "a=b"]
    ranges = {"IntegerParameterRanges": [{"Name": name, "MinValue": "1", "MaxValue": "5"} for name in odd]}
    used.tune("odd", 2, changes={"ParameterRanges": ranges})
    assert all(set(row["TunedHyperParameters"]) == set(odd) for row in used.trials("odd"))


def test_a_trial_has_the_first_machines_and_checkpoints_of_its_own(shared: Used) -> None:
    flexible = {
        "AllocationStrategy": "Prioritized",
        "InstanceConfigs": [
            {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 3},
            {"InstanceType": "ml.m4.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 3},
        ],
        "VolumeKmsKeyId": "key",
    }
    declared = definition(
        shared.emulator,
        HyperParameterTuningResourceConfig=flexible,
        CheckpointConfig={"S3Uri": f"s3://{shared.emulator.bucket}/checkpoints/"},
    )
    del declared["ResourceConfig"]
    shared.tune("flexible", 1, TrainingJobDefinition=declared)
    (row,) = shared.trials("flexible")
    job = shared.training_job(row["TrainingJobName"])
    assert job["ResourceConfig"] == {
        "InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 3, "VolumeKmsKeyId": "key",
    }  # fmt: skip
    assert job["CheckpointConfig"]["S3Uri"] == f"s3://{shared.emulator.bucket}/checkpoints/{row['TrainingJobName']}"
    assert shared.describe("flexible")["TrainingJobDefinition"]["HyperParameterTuningResourceConfig"] == flexible


# When a tuning job ends


def test_a_target_ends_the_job(shared: Used) -> None:
    criteria = {"TargetObjectiveMetricValue": 0.0}
    job = shared.tune("target", 50, parallel=1, changes={"TuningJobCompletionCriteria": criteria})
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert len(shared.trials("target")) == 1


def test_no_better_objective_ends_the_job(shared: Used) -> None:
    ranges = {"CategoricalParameterRanges": [{"Name": "x", "Values": [str(9 - each) for each in range(9)]}]}
    criteria = {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}
    changes = {"Strategy": "Grid", "ParameterRanges": ranges, "TuningJobCompletionCriteria": criteria}
    job = shared.tune("still", None, parallel=1, changes=changes)
    assert len(shared.trials("still")) == 4
    assert job["TuningJobCompletionDetails"] == {"NumberOfTrainingJobsObjectiveNotImproving": 3}


def test_convergence_ends_the_job_and_is_told(shared: Used) -> None:
    ranges = {"CategoricalParameterRanges": [{"Name": "x", "Values": [str(29 - each) for each in range(30)]}]}
    criteria = {"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}
    changes = {"Strategy": "Grid", "ParameterRanges": ranges, "TuningJobCompletionCriteria": criteria}
    job = shared.tune("converged", None, parallel=1, changes=changes)
    assert len(shared.trials("converged")) == 11
    assert job["TuningJobCompletionDetails"]["ConvergenceDetectedTime"] == job["HyperParameterTuningEndTime"]


def test_a_failed_trial_costs_one_trial(emulate: Callable[..., Used]) -> None:
    used = emulate('[ "$SM_HP_X" = 2 ] && { echo broken >&2; exit 3; }; echo "score=$SM_HP_X;"')
    ranges = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["1", "2", "3"]}]}
    job = used.tune("broken", None, changes={"Strategy": "Grid", "ParameterRanges": ranges})
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["NonRetryableError"] == 1
    (failed,) = used.trials("broken", StatusEquals="Failed")
    assert failed["ObjectiveStatus"] == "Failed"
    assert failed["FailureReason"].startswith("AlgorithmError: ")
    assert "exit code: 3" in failed["FailureReason"]


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("exit 1", "No training job succeeded after 5 attempts."),
        ("echo nothing", "No objective metrics found after running 5 training jobs."),
    ],
)
def test_five_trials_without_an_objective_fail_the_job(emulate: Callable[..., Used], program: str, reason: str) -> None:
    job = emulate(program).tune("hopeless", 20, parallel=1)
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(reason)
    assert "BestTrainingJob" not in job
    assert job["TrainingJobStatusCounters"]["InProgress"] == 0


def test_the_last_value_counts_and_one_that_is_no_number_is_none(emulate: Callable[..., Used]) -> None:
    used = emulate('echo "score=9;"; echo "score=$SM_HP_X;"')
    ranges = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["1", "nan"]}]}
    job = used.tune("last", None, changes={"Strategy": "Grid", "ParameterRanges": ranges})
    rows = {row["TunedHyperParameters"]["x"]: row for row in used.trials("last")}
    assert rows["1"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 1
    assert rows["nan"]["ObjectiveStatus"] == "Failed"
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 1, "Pending": 0, "Failed": 1}


def test_stopping_a_tuning_job_stops_its_trials(emulate: Callable[..., Used]) -> None:
    used = emulate(f"{ECHO}; sleep 60")
    used.sagemaker.create_hyper_parameter_tuning_job(**tuning(used.emulator, "stopped", 10))
    eventually(lambda: len(used.trials("stopped", StatusEquals="InProgress")) == 2 and used.describe("stopped"))
    eventually(
        lambda: all(
            "FinalMetricDataList" in used.training_job(row["TrainingJobName"]) for row in used.trials("stopped")
        )
    )
    used.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped")
    assert used.describe("stopped")["HyperParameterTuningJobStatus"] in ("Stopping", "Stopped")
    assert used.emulator.wait("stopped", 30) == "Stopped"
    assert [row["TrainingJobStatus"] for row in used.trials("stopped")] == ["Stopped", "Stopped"]
    assert used.describe("stopped")["ObjectiveStatusCounters"]["Succeeded"] == 2
    code, message = refused(
        lambda: used.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped")
    )
    assert (code, "Stopped" in message) == ("ValidationException", True)


# Names, deletion, tags


def test_a_name_is_given_once_and_free_after_deletion(shared: Used) -> None:
    request = tuning(shared.emulator, "name", 1)
    shared.tune("name", 1)
    create = lambda: shared.sagemaker.create_hyper_parameter_tuning_job(**request)  # noqa: E731
    code, message = refused(create)
    assert code == "ResourceInUse"
    assert "already exists (arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/name)" in message
    before = shared.trials("name")
    shared.sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="name")
    code, _ = refused(lambda: shared.describe("name"))
    assert code == "ResourceNotFound"
    assert shared.training_job(before[0]["TrainingJobName"])["TrainingJobStatus"] == "Completed"
    create()
    assert shared.emulator.wait("name", 30) == "Completed"
    assert shared.trials("name")[0]["TrainingJobName"] != before[0]["TrainingJobName"]


def test_what_runs_cannot_be_deleted(emulate: Callable[..., Used]) -> None:
    used = emulate("sleep 60")
    used.sagemaker.create_hyper_parameter_tuning_job(**tuning(used.emulator, "busy", 1))
    (row,) = eventually(lambda: used.trials("busy"))
    assert (
        refused(lambda: used.sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="busy"))[0]
        == "ValidationException"
    )
    assert (
        refused(lambda: used.sagemaker.delete_training_job(TrainingJobName=row["TrainingJobName"]))[0]
        == "ResourceInUse"
    )


def test_unknown_jobs_are_told_as_the_service_does(shared: Used) -> None:
    client = shared.sagemaker
    unknown: list[tuple[str, Callable[[], Any]]] = [
        ("ValidationException", lambda: client.describe_training_job(TrainingJobName="none")),
        ("ValidationException", lambda: client.stop_training_job(TrainingJobName="none")),
        ("ResourceNotFound", lambda: client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="none")),
        ("ResourceNotFound", lambda: shared.trials("none")),
        ("UnknownOperationException", lambda: client.create_hub(HubName="hub", HubDescription="none")),
    ]
    assert [refused(call)[0] for _, call in unknown] == [code for code, _ in unknown]


def test_tags_are_propagated_and_change(shared: Used) -> None:
    shared.tune("tags", 1, Tags=[{"Key": "team", "Value": "ads"}])
    (row,) = shared.trials("tags")
    arn = shared.describe("tags")["HyperParameterTuningJobArn"]
    assert shared.sagemaker.list_tags(ResourceArn=row["TrainingJobArn"])["Tags"] == [{"Key": "team", "Value": "ads"}]
    shared.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "new"}, {"Key": "more", "Value": ""}])
    assert shared.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [
        {"Key": "team", "Value": "new"},
        {"Key": "more", "Value": ""},
    ]
    shared.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["team"])
    assert shared.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "more", "Value": ""}]
    assert shared.sagemaker.list_tags(ResourceArn=row["TrainingJobArn"])["Tags"] == [{"Key": "team", "Value": "ads"}]


def test_what_is_not_emulated_is_motos(shared: Used) -> None:
    made = shared.sagemaker.create_model(
        ModelName="model", ExecutionRoleArn=shared.emulator.role, Tags=[{"Key": "a", "Value": "b"}]
    )
    assert shared.sagemaker.list_tags(ResourceArn=made["ModelArn"])["Tags"] == [{"Key": "a", "Value": "b"}]
    assert shared.client("sts").get_caller_identity()["Account"] == "123456789012"
    simulated = shared.client("iam").simulate_principal_policy(
        PolicySourceArn=shared.emulator.role, ActionNames=["s3:ListBucket"]
    )
    assert [each["EvalDecision"] for each in simulated["EvaluationResults"]] == ["allowed"]
    code, _ = refused(
        lambda: shared.client("iam", config=Config(retries={"total_max_attempts": 1})).simulate_custom_policy(
            PolicyInputList=["{}"], ActionNames=["s3:ListBucket"]
        )
    )
    assert code == "NotImplemented"
    assert shared.client("iam").get_role(RoleName="cloudtune-emulator")["Role"]["Arn"] == shared.emulator.role


# Lists


@pytest.fixture(scope="module")
def listed(shared: Used) -> Used:
    """An emulator with a tuning job of 13 trials, two of which have no objective, and two other jobs."""
    values = [str(each) for each in range(11)] + ["none", "nothing"]
    ranges = {"CategoricalParameterRanges": [{"Name": "x", "Values": values}]}
    shared.tune("list-me", None, parallel=4, changes={"Strategy": "Grid", "ParameterRanges": ranges})
    shared.tune("list-other", 1)
    return shared


def test_trials_are_sorted_by_their_objective_without_those_that_have_none(listed: Used) -> None:
    rows = listed.trials("list-me", SortBy="FinalObjectiveMetricValue", SortOrder="Descending")
    assert [row["TunedHyperParameters"]["x"] for row in rows] == [str(each) for each in range(10, -1, -1)]


@pytest.mark.parametrize("order", ["Ascending", "Descending"])
@pytest.mark.parametrize(
    ("by", "member"), [("Name", "TrainingJobName"), ("CreationTime", "CreationTime"), ("Status", "TrainingJobStatus")]
)
def test_trials_are_sorted(listed: Used, by: str, member: str, order: str) -> None:
    rows = listed.trials("list-me", SortBy=by, SortOrder=order, PaginationConfig={"PageSize": 4})
    assert len(rows) == 13
    assert [row[member] for row in rows] == sorted((row[member] for row in rows), reverse=order == "Descending")


def test_pages_hold_ten_rows_if_nothing_else_is_asked_for(listed: Used) -> None:
    listing = listed.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job
    first = listing(HyperParameterTuningJobName="list-me")
    second = listing(HyperParameterTuningJobName="list-me", NextToken=first["NextToken"])
    assert (len(first["TrainingJobSummaries"]), len(second["TrainingJobSummaries"])) == (10, 3)
    assert "NextToken" not in second
    names = [row["TrainingJobName"] for page in (first, second) for row in page["TrainingJobSummaries"]]
    assert len(set(names)) == 13
    code, _ = refused(lambda: listing(HyperParameterTuningJobName="list-me", NextToken="bogus"))
    assert code == "ValidationException"


def test_trials_are_filtered_by_status(listed: Used) -> None:
    assert listed.trials("list-me", StatusEquals="Failed") == []
    assert len(listed.trials("list-me", StatusEquals="Completed")) == 13


def test_tuning_jobs_are_filtered_and_sorted(listed: Used) -> None:
    listing = listed.sagemaker.list_hyper_parameter_tuning_jobs
    one, two = listed.describe("list-me"), listed.describe("list-other")

    def names(**how: Any) -> list[str]:
        answer = listing(NameContains="LIST-", **how)["HyperParameterTuningJobSummaries"]
        return [row["HyperParameterTuningJobName"] for row in answer]

    assert names() == ["list-me", "list-other"]
    assert names(SortBy="CreationTime", SortOrder="Descending") == ["list-other", "list-me"]
    assert names(CreationTimeAfter=one["CreationTime"]) == ["list-other"]
    assert names(CreationTimeBefore=two["CreationTime"]) == ["list-me"]
    assert names(LastModifiedTimeAfter=one["LastModifiedTime"]) == ["list-other"]
    assert names(StatusEquals="InProgress") == []
    (row,) = listing(NameContains="list-me")["HyperParameterTuningJobSummaries"]
    assert row["TrainingJobStatusCounters"]["Completed"] == 13
    assert row["Strategy"] == "Grid"


def test_training_jobs_are_listed_with_those_of_tuning_jobs(listed: Used) -> None:
    pages = listed.sagemaker.get_paginator("list_training_jobs")
    rows = [
        row
        for page in pages.paginate(NameContains="list-me-", StatusEquals="Completed", SortBy="Name", MaxResults=5)
        for row in page["TrainingJobSummaries"]
    ]
    assert [row["TrainingJobName"] for row in rows] == [row["TrainingJobName"] for row in listed.trials("list-me")]


# Warm start


def warm(kind: str, *parents: str) -> dict[str, Any]:
    named = [{"HyperParameterTuningJobName": parent} for parent in parents]
    return {"WarmStartConfig": {"ParentHyperParameterTuningJobs": named, "WarmStartType": kind}}


def test_an_identical_warm_start_knows_the_best_of_all(shared: Used) -> None:
    shared.tune("parent", 6)
    wide = shared.describe("parent")["BestTrainingJob"]
    low = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "0.01"}]}
    child = shared.tune(
        "child",
        3,
        changes={"Strategy": "Bayesian", "ParameterRanges": low},
        **warm("IdenticalDataAndAlgorithm", "parent"),
    )
    assert child["BestTrainingJob"]["TrainingJobName"].startswith("child-")
    assert child["OverallBestTrainingJob"] == {**wide, "TuningJobName": "parent"}
    assert [row["TrainingJobName"][:6] for row in shared.trials("child")] == ["child-"] * 3


def test_a_warm_start_learns_from_its_parents() -> None:
    from cloudtune.store.records import TrialState

    with SageMakerEmulator(images={"*": ECHO}) as emulator:
        used = Used(emulator, ECHO)
        used.tune("parent", 3)
        used.tune("child", 1, **warm("TransferLearning", "parent"))
        known = emulator.jobs.tuning_job("child")._earlier()
        assert [(each.parameters, each.metrics) for each in known] == [
            ({"x": float(row["TunedHyperParameters"]["x"])}, {"objective": float(row["TunedHyperParameters"]["x"])})
            for row in used.trials("parent")
        ]
        assert {each.state for each in known} == {TrialState.COMPLETED}
        assert "OverallBestTrainingJob" not in used.describe("child")


def test_a_parent_must_exist_be_over_and_be_alike(emulate: Callable[..., Used]) -> None:
    used = emulate("sleep 60")
    used.sagemaker.create_hyper_parameter_tuning_job(**tuning(used.emulator, "running", 1))

    def child(*parents: str, **members: Any) -> tuple[str, str]:
        request = {**tuning(used.emulator, "child", 1), **warm("IdenticalDataAndAlgorithm", *parents), **members}
        return refused(lambda: used.sagemaker.create_hyper_parameter_tuning_job(**request))

    assert "does not exist" in child("nobody")[1]
    assert "is in status InProgress" in child("running")[1]
    used.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="running")
    used.emulator.wait("running", 30)
    other = definition(used.emulator)
    other["AlgorithmSpecification"] = {**other["AlgorithmSpecification"], "TrainingImage": "another"}
    assert "needs the algorithm of the parent" in child("running", TrainingJobDefinition=other)[1]


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


# Refusals


def test_a_request_that_breaks_rules_is_answered_as_the_service_does(shared: Used) -> None:
    lenient = shared.client("sagemaker", config=Config(parameter_validation=False))
    request = tuning(shared.emulator, "a_name_that_is_not_legal_and_is_far_too_long", 1)
    code, message = refused(lambda: lenient.create_hyper_parameter_tuning_job(**request))
    assert code == "ValidationException"
    assert "validation error" in message
    assert "at 'hyperParameterTuningJobName' failed to satisfy constraint: " in message
    request = tuning(shared.emulator, "name-ok", 1, changes={"Strategy": "Guess"})
    _, message = refused(lambda: lenient.create_hyper_parameter_tuning_job(**request))
    assert "hyperParameterTuningJobConfig.strategy" in message
    many = lambda: lenient.list_training_jobs(MaxResults=101)  # noqa: E731
    assert refused(many)[0] == "ValidationException"


def test_a_value_of_the_wrong_type_cannot_be_read(shared: Used) -> None:
    lenient = shared.client("sagemaker", config=Config(parameter_validation=False))
    request = tuning(shared.emulator, "wrong", 1)
    request["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxParallelTrainingJobs"] = "many"
    code, _ = refused(lambda: lenient.create_hyper_parameter_tuning_job(**request))
    assert code in ("SerializationException", "ValidationException")


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


# The emulator as a whole


def test_it_ends_all_processes_and_threads() -> None:
    before = set(threading.enumerate())
    with SageMakerEmulator(images={"*": "sleep 61"}) as emulator:
        used = Used(emulator, "")
        used.sagemaker.create_hyper_parameter_tuning_job(**tuning(emulator, "endless", 4))
        used.sagemaker.create_training_job(**training(emulator, "endless"))
        eventually(lambda: len(_children("sleep\x0061")) == 3)
        port = int(emulator.url.rpartition(":")[2])
        folder = Path(emulator.environment["AWS_CONFIG_FILE"]).parent
    assert _children("sleep\x0061") == []
    assert set(threading.enumerate()) <= before
    assert not folder.exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def _children(command: str) -> list[str]:
    """Processes below this one that run a command."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").strip("\0")
        except OSError:
            continue
        if words == command:
            found.append(folder.name)
    return found


def test_a_reset_of_moto_ends_the_jobs(emulate: Callable[..., Used]) -> None:
    used = emulate("sleep 62")
    used.sagemaker.create_hyper_parameter_tuning_job(**tuning(used.emulator, "reset", 4))
    eventually(lambda: len(_children("sleep\x0062")) == 2)
    reset = AWSRequest("POST", f"{used.emulator.url}/moto-api/reset")
    keys = Credentials(*(used.emulator.of_client[name] for name in ("aws_access_key_id", "aws_secret_access_key")))
    SigV4Auth(keys, "moto", "us-east-1").add_auth(reset)
    request = urllib.request.Request(reset.url, headers=dict(reset.headers), method="POST")
    urllib.request.urlopen(request).close()
    eventually(lambda: _children("sleep\x0062") == [])
    assert used.sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"] == []
    assert used.client("s3").list_buckets()["Buckets"] == []


TWICE = """
import boto3
from cloudtune_sagemaker.emulator import SageMakerEmulator

for _ in range(2):
    with SageMakerEmulator() as emulator:
        s3 = boto3.client("s3", **emulator.of_client)
        assert "Contents" not in s3.list_objects_v2(Bucket=emulator.bucket)
        s3.put_object(Bucket=emulator.bucket, Key="left", Body=b"")
"""


def test_the_next_emulator_knows_nothing_of_the_one_before() -> None:
    subprocess.run([sys.executable, "-c", TWICE], check=True)


def test_what_moto_held_before_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="of-the-test")
        with SageMakerEmulator() as emulator:
            Used(emulator, "").client("s3").put_object(Bucket="of-the-test", Key="key", Body=b"")
        assert boto3.client("s3").list_objects_v2(Bucket="of-the-test")["KeyCount"] == 1


def test_boto3_under_mock_aws_really_tunes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    before = moto.sagemaker.urls.url_paths["{0}/$"]
    with mock_aws(), SageMakerEmulator(images={"*": ECHO}).installed() as emulator:
        client = boto3.client("sagemaker")
        client.create_hyper_parameter_tuning_job(**tuning(emulator, "mocked", 3))
        assert emulator.wait("mocked", 30) == "Completed"
        rows = client.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName="mocked")
        assert len(rows["TrainingJobSummaries"]) == 3
        assert boto3.client("s3").list_objects_v2(Bucket=emulator.bucket, Prefix="out/mocked-")["KeyCount"] == 3
        assert emulator.calls["CreateHyperParameterTuningJob"] == 1
    assert moto.sagemaker.urls.url_paths["{0}/$"] == before
    with mock_aws():
        faked = boto3.client("sagemaker")
        faked.create_hyper_parameter_tuning_job(**tuning(emulator, "faked", 3))
        job = faked.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="faked")
        assert job["HyperParameterTuningJobStatus"] == "Completed", "moto alone says so at once"


def test_moto_is_as_it_was_while_the_server_runs(shared: Used) -> None:
    assert moto.sagemaker.urls.url_paths["{0}/$"] == SageMakerResponse.dispatch


def test_mounted_folders_are_objects(tmp_path: Path, emulate: Callable[..., Used]) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.csv").write_text("1,2")
    used = emulate(mounts={"s3://data/train/": tmp_path})
    assert used.client("s3").get_object(Bucket="data", Key="train/deep/a.csv")["Body"].read() == b"1,2"
    with pytest.raises(ConfigError, match="no folder"):
        SageMakerEmulator(mounts={"s3://data/train": tmp_path / "missing"}).start()


def test_accounts_and_regions_are_apart(emulate: Callable[..., Used]) -> None:
    used = emulate(account="111122223333", region="eu-west-1")
    there = boto3.client("sagemaker", **used.emulator.of_client)
    made = there.create_training_job(**training(used.emulator, "there"))
    assert made["TrainingJobArn"] == "arn:aws:sagemaker:eu-west-1:111122223333:training-job/there"
    assert used.sagemaker.list_training_jobs()["TrainingJobSummaries"] == []
    assert used.client("sts").get_caller_identity()["Account"] == "111122223333"


def test_a_port_that_is_taken_is_told(shared: Used) -> None:
    port = int(shared.emulator.url.rpartition(":")[2])
    with pytest.raises(ConfigError, match="another port"):
        SageMakerEmulator(port=port).start()


def test_the_fixture_sets_the_environment(sagemaker_emulator: SageMakerEmulator) -> None:
    client = boto3.client("sagemaker")
    assert client.meta.endpoint_url == sagemaker_emulator.url
    assert client.list_training_jobs()["TrainingJobSummaries"] == []
    assert boto3.client("s3").list_buckets()["Buckets"][0]["Name"] == sagemaker_emulator.bucket


def test_the_plugin_does_not_import_moto() -> None:
    code = "import sys, cloudtune.testing.plugin; sys.exit('moto' in sys.modules or 'boto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    words = ["emulate", "sagemaker", "--json", "--mount", f"s3://data/x={tmp_path}", "--image", f"*={ECHO}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "cloudtune", *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        text = ""
        while not text.endswith("}\n"):
            text += process.stdout.readline()
        variables: Mapping[str, str] = json.loads(text)
        keys = {name.lower(): variables[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        s3 = boto3.client("s3", endpoint_url=variables["AWS_ENDPOINT_URL"], region_name="us-east-1", **keys)
        assert s3.get_object(Bucket="data", Key="x/a.txt")["Body"].read() == b"a"
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["emulate", "local"], "no emulator of 'local'"),
        (["emulate", "nowhere"], "no emulator of 'nowhere'"),
        (["emulate", "sagemaker", "--image", "x"], "is not like"),
    ],
)
def test_the_command_tells_what_is_wrong(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    from cloudtune.cli.app import run_app

    assert run_app(words) == 2
    assert message in capsys.readouterr().err
