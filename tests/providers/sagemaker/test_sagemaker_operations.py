"""Every operation of SageMaker's API is answered or refused by the emulator; none fails, and none searches in vain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from late import LATE

if LATE:
    pytest.importorskip("moto")
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError

    from cloudtune_sagemaker.emulator import SageMakerEmulator


class Used:
    """An emulator with three training jobs and a tuning job that have ended."""

    def __init__(self, emulator: SageMakerEmulator) -> None:
        self.emulator = emulator
        self.sagemaker, self.logs = self.client("sagemaker"), self.client("logs")
        for name, rate in (("a", "0.25"), ("b", "0.5"), ("c", "fails")):
            self.sagemaker.create_training_job(
                TrainingJobName=f"job-{name}",
                HyperParameters={"rate": rate},
                Tags=[{"Key": "team", "Value": name}],
                **self.definition(),
            )
        self.sagemaker.create_hyper_parameter_tuning_job(**self.tuning())
        assert emulator.wait("tuned", 60) == "Completed"
        waiter = self.sagemaker.get_waiter("training_job_completed_or_stopped")
        for name in ("a", "b"):
            waiter.wait(TrainingJobName=f"job-{name}", WaiterConfig={"Delay": 1})

    def client(self, service: str) -> Any:
        given = self.emulator.environment
        keys = {
            "aws_access_key_id": given["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": given["AWS_SECRET_ACCESS_KEY"],
            "aws_session_token": given["AWS_SESSION_TOKEN"],
        }
        once = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
        return boto3.client(service, endpoint_url=self.emulator.url, region_name="us-east-1", config=once, **keys)

    def definition(self) -> dict[str, Any]:
        metrics = [{"Name": "score", "Regex": "score=([0-9.]+)"}]
        return {
            "AlgorithmSpecification": {
                "TrainingImage": "python:3",
                "TrainingInputMode": "File",
                "MetricDefinitions": metrics,
            },
            "RoleArn": self.emulator.role,
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.emulator.bucket}/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        }

    def tuning(self) -> dict[str, Any]:
        return {
            "HyperParameterTuningJobName": "tuned",
            "HyperParameterTuningJobConfig": {
                "Strategy": "Random",
                "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
                "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2},
                "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "rate", "MinValue": "0", "MaxValue": "1"}]},
            },
            "TrainingJobDefinition": self.definition(),
        }

    def found(self, *filters: tuple[str, str, str], **how: Any) -> list[str]:
        rows = [dict(zip(("Name", "Operator", "Value"), each, strict=True)) for each in filters]
        wanted = [{member: value for member, value in row.items() if value} for row in rows]
        expression = {"SearchExpression": {"Filters": wanted}} if wanted else {}
        answer = self.sagemaker.search(Resource="TrainingJob", **expression, **how)
        return [each["TrainingJob"]["TrainingJobName"] for each in answer["Results"]]


@pytest.fixture(scope="module")
def used() -> Iterator[Used]:
    program = 'case $SM_HP_RATE in fails) exit 3 ;; esac; echo "score=$SM_HP_RATE"'
    with SageMakerEmulator(images={"*": program}) as emulator:
        yield Used(emulator)


# Every operation


def least(shape: Any, name: str = "", depth: int = 0) -> Any:
    """The least value of a shape that its model takes, as far as a model says so."""
    if shape.type_name == "structure":
        return {member: least(shape.members[member], member, depth + 1) for member in shape.required_members}
    if shape.type_name == "list":
        return [least(shape.member, name, depth + 1)] * max(1, shape.metadata.get("min", 0))
    if shape.type_name == "map":
        return {"a": least(shape.value, name, depth + 1)}
    if shape.type_name == "string":
        return _text(shape, name)
    plain: dict[str, Any] = {"boolean": True, "timestamp": 1_700_000_000, "blob": b"1"}
    return plain.get(shape.type_name, max(1, shape.metadata.get("min", 1)))


def _text(shape: Any, name: str) -> str:
    if shape.enum:
        return str(shape.enum[0])
    pattern = shape.metadata.get("pattern", "")
    if "arn:" in pattern or name.endswith("Arn"):
        kind = re.sub(r"(?<!^)(?=[A-Z])", "-", name.removesuffix("Arn") or "model").lower()
        return f"arn:aws:sagemaker:us-east-1:123456789012:{kind}/least"
    if "s3" in pattern or name.endswith("Uri"):
        return "s3://least/least"
    return "least".ljust(shape.metadata.get("min", 0), "x")


def test_every_operation_is_answered_or_refused_in_the_services_form(used: Used) -> None:
    wrong = {}
    for operation in used.sagemaker.meta.service_model.operation_names:
        answer = _answer(used, operation)
        codes = answer.get("Error", {"Code": "none"}).values()
        if answer["ResponseMetadata"]["HTTPStatusCode"] >= 500 or not all(codes):
            wrong[operation] = answer
    assert not wrong


def _answer(used: Used, operation: str) -> dict[str, Any]:
    """Call the operation with the least that its model asks for; return the answer, also where it is a refusal."""
    model = used.sagemaker.meta.service_model.operation_model(operation)
    call = getattr(used.sagemaker, _method(used.sagemaker, operation))
    try:
        return dict(call(**(least(model.input_shape) if model.input_shape else {})))
    except ClientError as error:
        return dict(error.response)


def _method(client: Any, operation: str) -> str:
    return next(name for name, each in client.meta.method_to_api_mapping.items() if each == operation)


def test_tags_of_what_is_no_resource_of_sagemaker_are_refused(used: Used) -> None:
    for arn in ("arn:aws:s3:::bucket", "arn:aws:iam::123456789012:role/r", "nonsense"):
        for call in (
            lambda arn=arn: used.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "b"}]),
            lambda arn=arn: used.sagemaker.list_tags(ResourceArn=arn),
            lambda arn=arn: used.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["a"]),
        ):
            with pytest.raises(ClientError) as refused:
                call()
            assert refused.value.response["Error"]["Code"] == "ValidationException"


# Search


def test_a_search_finds_what_a_list_has(used: Used) -> None:
    listed = [
        row["TrainingJobName"] for row in used.sagemaker.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
    ]
    assert sorted(used.found(MaxResults=100)) == sorted(listed)
    (row,) = used.sagemaker.search(Resource="HyperParameterTuningJob")["Results"]
    assert row["HyperParameterTuningJob"]["HyperParameterTuningJobName"] == "tuned"


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ([("TrainingJobStatus", "Equals", "Failed")], ["job-c"]),
        ([("HyperParameters.rate", "GreaterThan", "0.3"), ("TrainingJobName", "Contains", "JOB-")], ["job-b"]),
        ([("Metrics.score", "LessThanOrEqualTo", "0.25"), ("TuningJobArn", "NotExists", "")], ["job-a"]),
        ([("Tags.team", "In", "a, b")], ["job-b", "job-a"]),
        ([("Tags.team", "NotEquals", "a"), ("Tags.team", "Exists", "")], ["job-c", "job-b"]),
        ([("CreationTime", "LessThan", "2020-01-01T00:00:00Z")], []),
    ],
)
def test_a_search_is_filtered(filters: list[tuple[str, str, str]], names: list[str], used: Used) -> None:
    assert used.found(*filters, SortBy="TrainingJobName") == names


def test_a_search_has_pages(used: Used) -> None:
    how: dict[str, Any] = {
        "Resource": "TrainingJob",
        "SortBy": "TrainingJobName",
        "SortOrder": "Ascending",
        "MaxResults": 2,
    }
    pages = list(used.sagemaker.get_paginator("search").paginate(**how))
    names = [each["TrainingJob"]["TrainingJobName"] for page in pages for each in page["Results"]]
    assert len(pages) == 3
    assert names == sorted(names)
    assert names[:3] == ["job-a", "job-b", "job-c"]
    assert pages[0]["TotalHits"] == {"Value": 5, "Relation": "EqualTo"}


# Logs


def test_log_events_are_those_of_the_streams_with_a_prefix(used: Used) -> None:
    group = "/aws/sagemaker/TrainingJobs"
    found = used.logs.filter_log_events(logGroupName=group, logStreamNamePrefix="job-a/")
    assert {event["logStreamName"].partition("/")[0] for event in found["events"]} == {"job-a"}
    assert [event["message"] for event in found["events"]] == ["score=0.25"]
    assert used.logs.filter_log_events(logGroupName=group, logStreamNamePrefix="none")["events"] == []
    pages = used.logs.get_paginator("describe_log_streams").paginate(
        logGroupName=group, PaginationConfig={"PageSize": 2}
    )
    names = [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
    assert len(names) == len(set(names)) >= 4
