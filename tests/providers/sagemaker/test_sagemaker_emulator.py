"""The emulator's API: what it answers, refuses, lists, stops and deletes, and that its jobs really run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from late import LATE
from sagemaker_emulation import Used, definition, eventually, refused, tuning

if LATE:
    pytest.importorskip("moto")
    import botocore.session
    from botocore.config import Config

    MODEL = botocore.session.get_session().get_service_model("sagemaker")


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
