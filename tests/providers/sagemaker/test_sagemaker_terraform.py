"""SageMaker's emulator beside the acceptance tests of Terraform's ``aws_sagemaker_hyper_parameter_tuning_job``.

They run against the service: what they create is created, what they check is what it answers, and how the resource reads
and deletes shows the rest. The facts are those of hashicorp/terraform-provider-aws,
``internal/service/sagemaker/hyper_parameter_tuning_job_test.go`` (at 5236d41), ``hyper_parameter_tuning_job_list_test.go``
and ``hyper_parameter_tuning_job.go``; the requests here are written anew from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from late import LATE
from recorded_shapes import differences

if LATE:
    pytest.importorskip("moto")
    import boto3
    from botocore.exceptions import ClientError

    from cloudtune_sagemaker.emulator import SageMakerEmulator


PROGRAM = """
echo '#quality_metric: host=algo-1, test msd <loss>=0.5'
case $TRAINING_JOB_NAME in waits*) trap '' TERM; while :; do sleep 1; done ;; esac
"""
"""Plays k-means, and by its job's name does not end."""

IMAGE = "174872318107.dkr.ecr.us-west-2.amazonaws.com/kmeans:1"

ACCEPTED: list[tuple[str, str, str]] = [
    ("*", "TrainingJobDefinition*.StaticHyperParameters*: added", "of the service, too: the resource takes names with _ out"),
    ("*", "TrainingJobDefinition*.AlgorithmSpecification.MetricDefinitions: added", "of the service, too: six of k-means"),
    ("*", "TrainingJobDefinition*.Enable*: added", "the service's defaults, which the resource knows as computed"),
    ("metric definitions", "*.AlgorithmSpecification.MetricDefinitions: *", "with the objective once more; see its own test"),
    ("algorithm", "*.AlgorithmSpecification.AlgorithmName: *", "an ARN for a name, as of the service; see its own test"),
    ("definitions", "TrainingJobDefinitions[].HyperParameterTuningResourceConfig: missing", "one machine is a ResourceConfig"),
    ("definitions", "TrainingJobDefinitions[].ResourceConfig: added", "one machine is a ResourceConfig"),
    *(
        ("definitions", f"TrainingJobDefinitions[].{member}: missing", "of the service, too; see its own test")
        for member in (
            "OutputDataConfig.CompressionType", "StoppingCondition.MaxPendingTimeInSeconds",
            "InputDataConfig[].DataSource.S3DataSource.InstanceGroupNames",
        )
    ),
]  # fmt: skip
"""Which configuration, which difference of Describe from the request, and why it may be."""


@pytest.fixture(scope="module")
def emulator() -> Iterator[SageMakerEmulator]:
    with SageMakerEmulator(images={"*": PROGRAM}, region="us-west-2", grace=0.2) as started:
        s3 = boto3.client("s3", **started.of_client)
        s3.put_object(Bucket=started.bucket, Key="input/placeholder.csv", Body=b"1.0,0\n")
        yield started


@pytest.fixture(scope="module")
def sagemaker(emulator: SageMakerEmulator) -> Any:
    return boto3.client("sagemaker", **emulator.of_client)


# What the configurations ask for


def channel(name: str, emulator: SageMakerEmulator, **more: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{emulator.bucket}/input/", **more.pop("source", {})}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **more}


def definition(emulator: SageMakerEmulator, **changes: Any) -> dict[str, Any]:
    """The definition that most of them have: k-means on two channels."""
    found = {
        "RoleArn": emulator.role,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "InputDataConfig": [channel("train", emulator), channel("test", emulator)],
        "OutputDataConfig": {"S3OutputPath": f"s3://{emulator.bucket}/output/"},
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        **changes,
    }
    return {name: value for name, value in found.items() if value is not None}


def integers(**ends: tuple[int, int]) -> list[dict[str, str]]:
    return [
        {"Name": name, "MinValue": str(low), "MaxValue": str(high), "ScalingType": "Auto"}
        for name, (low, high) in ends.items()
    ]


RANGES = {
    "CategoricalParameterRanges": [{"Name": "init_method", "Values": ["kmeans++", "random"]}],
    "IntegerParameterRanges": integers(epochs=(1, 10), extra_center_factor=(4, 10), mini_batch_size=(3000, 15000)),
}
MSD = {"MetricName": "test:msd", "Type": "Minimize"}


def config(trials: int = 2, limits: Mapping[str, int] | None = None, **changes: Any) -> dict[str, Any]:
    found = {
        "Strategy": "Bayesian",
        "HyperParameterTuningJobObjective": MSD,
        "ParameterRanges": RANGES,
        "ResourceLimits": {"MaxNumberOfTrainingJobs": trials, "MaxParallelTrainingJobs": 1, **(limits or {})},
        **changes,
    }
    return {name: value for name, value in found.items() if value is not None}


def of_algorithm(emulator: SageMakerEmulator, **changes: Any) -> dict[str, Any]:
    """What they ask of an algorithm of their own (``aws_sagemaker_algorithm``)."""
    ranges = {"ContinuousParameterRanges": [{"Name": "learning_rate", "MinValue": "0.1", "MaxValue": "0.5"}]}
    objective = {"MetricName": "validation:accuracy", "Type": "Maximize"}
    named = {"AlgorithmName": "test-algorithm", "TrainingInputMode": "File"}
    return {
        "HyperParameterTuningJobConfig": config(HyperParameterTuningJobObjective=objective, ParameterRanges=ranges),
        "TrainingJobDefinition": definition(emulator, AlgorithmSpecification=named, **changes),
    }


def two_definitions(emulator: SageMakerEmulator) -> dict[str, Any]:
    said = {"CompressionType": "None", "ContentType": "text/csv", "InputMode": "File", "RecordWrapperType": "None"}
    whole = {"S3DataDistributionType": "FullyReplicated"}
    own = {"TuningObjective": MSD, "HyperParameterRanges": RANGES}
    first = definition(
        emulator,
        DefinitionName="def-1",
        EnableInterContainerTrafficEncryption=True,
        EnableManagedSpotTraining=True,
        EnableNetworkIsolation=True,
        CheckpointConfig={"LocalPath": "/opt/ml/checkpoints", "S3Uri": f"s3://{emulator.bucket}/checkpoints/"},
        HyperParameterTuningResourceConfig={
            "AllocationStrategy": "Prioritized",
            "InstanceConfigs": [{"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}],
        },
        ResourceConfig=None,
        InputDataConfig=[
            channel(
                "train", emulator, **said, ShuffleConfig={"Seed": 42},
                source={**whole, "AttributeNames": ["label_size"], "InstanceGroupNames": ["instance-group-1"]},
            ),
            channel("test", emulator, **said, ShuffleConfig={"Seed": 44}, source=whole),
        ],
        OutputDataConfig={"CompressionType": "GZIP", "S3OutputPath": f"s3://{emulator.bucket}/output/"},
        RetryStrategy={"MaximumRetryAttempts": 2},
        StoppingCondition={"MaxPendingTimeInSeconds": 7200, "MaxRuntimeInSeconds": 3500, "MaxWaitTimeInSeconds": 3500},
        VpcConfig={"SecurityGroupIds": ["sg-0123456789abcdef0"], "Subnets": ["subnet-0123456789abcdef0"]},
        **own,
    )  # fmt: skip
    return {
        "HyperParameterTuningJobConfig": config(HyperParameterTuningJobObjective=None, ParameterRanges=None),
        "TrainingJobDefinitions": [first, definition(emulator, DefinitionName="def-2", **own)],
    }


def basic(emulator: SageMakerEmulator, **changes: Any) -> dict[str, Any]:
    """The request of most of them, with changes of its config."""
    return {"HyperParameterTuningJobConfig": config(**changes), "TrainingJobDefinition": definition(emulator)}


def described_channels(emulator: SageMakerEmulator) -> list[dict[str, Any]]:
    return [channel(name, emulator, ContentType="text/csv", InputMode="File") for name in ("train", "test")]


METRICS = [
    {"Name": "test:msd", "Regex": r"#quality_metric: host=\S+, test msd <loss>=(\S+)"},
    {"Name": "test:accuracy", "Regex": r"#quality_metric: host=\S+, test accuracy=(\S+)"},
]
CRITERIA = {
    "TargetObjectiveMetricValue": pytest.approx(0.95),
    "BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3},
    "ConvergenceDetected": {"CompleteOnConvergence": "Enabled"},
}

CONFIGURATIONS: Mapping[str, Callable[[SageMakerEmulator], dict[str, Any]]] = {
    "basic": lambda emulator: {
        **basic(emulator),
        "TrainingJobDefinition": definition(
            emulator, InputDataConfig=described_channels(emulator), StaticHyperParameters={"feature_dim": "3", "k": "2"}
        ),
    },
    "metric definitions": lambda emulator: {
        **basic(emulator),
        "TrainingJobDefinition": definition(
            emulator,
            AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File", "MetricDefinitions": METRICS},
            InputDataConfig=described_channels(emulator),
            StaticHyperParameters={"feature_dim": "3", "k": "2"},
        ),
    },
    "definitions": two_definitions,
    "autotune": lambda emulator: {**basic(emulator), "Autotune": {"Mode": "Enabled"}},
    "options": lambda emulator: basic(
        emulator, limits={"MaxRuntimeInSeconds": 3600}, RandomSeed=42, TrainingJobEarlyStoppingType="Auto"
    ),
    "objective and ranges": basic,
    "algorithm": lambda emulator: of_algorithm(emulator, InputDataConfig=None),
    "algorithm with an environment": lambda emulator: of_algorithm(
        emulator,
        Environment={"MODEL_VARIANT": "kmeans", "TEST_ENV": "enabled"},
        InputDataConfig=described_channels(emulator),
    ),
    "strategy": lambda emulator: basic(
        emulator,
        Strategy="Hyperband",
        StrategyConfig={"HyperbandStrategyConfig": {"MaxResource": 9, "MinResource": 1}},
    ),
    "completion criteria": lambda emulator: basic(
        emulator, trials=4, TuningJobCompletionCriteria={**CRITERIA, "TargetObjectiveMetricValue": 0.95}
    ),
}  # fmt: skip


def unaccepted(found: Iterator[str], mark: str) -> list[str]:
    return [
        difference
        for difference in found
        if not any(
            (which == "*" or mark.startswith(which))
            and re.fullmatch(".*".join(map(re.escape, what.split("*"))), difference)
            for which, what, _ in ACCEPTED
        )
    ]


def told(answer: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """What Describe answers of the members of a request."""
    return {name: answer[name] for name in request if name in answer}


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call()
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration_is_created_read_back_and_deleted(
    name: str, sagemaker: Any, emulator: SageMakerEmulator
) -> None:
    job = f"tf-{name.replace(' ', '-')}"[:32]
    request = CONFIGURATIONS[name](emulator)
    arn = sagemaker.create_hyper_parameter_tuning_job(HyperParameterTuningJobName=job, **request)[
        "HyperParameterTuningJobArn"
    ]
    assert arn == f"arn:aws:sagemaker:us-west-2:{emulator.account}:hyper-parameter-tuning-job/{job}"
    describe = lambda: sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=job)  # noqa: E731
    begun = describe()
    without_metrics = name.startswith("algorithm")  # which stand with the algorithm: moto has no CreateAlgorithm
    assert emulator.wait(job, 60) == ("Failed" if without_metrics else "Completed")
    for answer in (begun, describe()):
        assert (answer["HyperParameterTuningJobName"], answer["HyperParameterTuningJobArn"]) == (job, arn)
        assert unaccepted(differences(request, told(answer, request)), name) == []
        for each in answer.get("TrainingJobDefinitions") or [answer["TrainingJobDefinition"]]:
            assert {key for key in each["StaticHyperParameters"] if key.startswith("_")} == {"_tuning_objective_metric"}
    rows = sagemaker.list_hyper_parameter_tuning_jobs(NameContains=job)["HyperParameterTuningJobSummaries"]
    assert job in [row["HyperParameterTuningJobName"] for row in rows]
    sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=job)
    assert refused(describe)[0] == "ResourceNotFound"


@pytest.mark.parametrize(
    ("name", "count"), [("basic", 6), ("metric definitions", 3)], ids=["of the algorithm", "of one's own"]
)
def test_metrics_that_the_service_adds(name: str, count: int, sagemaker: Any, emulator: SageMakerEmulator) -> None:
    """The resource's first runs told of "block count changed from 0 to 6": k-means' five, and the objective once more."""
    job = f"metrics-{count}"
    sagemaker.create_hyper_parameter_tuning_job(HyperParameterTuningJobName=job, **CONFIGURATIONS[name](emulator))
    answer = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=job)
    metrics = answer["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"]
    assert (len(metrics), metrics[-1]["Name"]) == (count, "ObjectiveMetric")
    if name != "basic":
        assert metrics[:2] == METRICS
    assert emulator.wait(job, 60) == "Completed"


def test_what_the_service_does_not_tell_again(sagemaker: Any, emulator: SageMakerEmulator) -> None:
    """The errors of the resource's first runs, which stand in its code beside what it does about them."""
    request = CONFIGURATIONS["definitions"](emulator)
    sagemaker.create_hyper_parameter_tuning_job(HyperParameterTuningJobName="untold", **request)
    answer = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="untold")
    asked, first = request["TrainingJobDefinitions"][0], answer["TrainingJobDefinitions"][0]
    assert "HyperParameterTuningResourceConfig" not in first
    assert first["ResourceConfig"] == asked["HyperParameterTuningResourceConfig"]["InstanceConfigs"][0]
    assert "CompressionType" not in first["OutputDataConfig"]
    assert first["StoppingCondition"] == {"MaxRuntimeInSeconds": 3500, "MaxWaitTimeInSeconds": 3500}
    source = first["InputDataConfig"][0]["DataSource"]["S3DataSource"]
    assert (source["AttributeNames"], "InstanceGroupNames" in source) == (["label_size"], False)
    assert emulator.wait("untold", 60) == "Completed"


def test_an_algorithm_is_told_by_its_arn(sagemaker: Any, emulator: SageMakerEmulator) -> None:
    request = CONFIGURATIONS["algorithm"](emulator)
    sagemaker.create_hyper_parameter_tuning_job(HyperParameterTuningJobName="by-name", **request)
    answer = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="by-name")
    arn = f"arn:aws:sagemaker:us-west-2:{emulator.account}:algorithm/test-algorithm"
    assert answer["TrainingJobDefinition"]["AlgorithmSpecification"]["AlgorithmName"] == arn
    emulator.wait("by-name", 60)


def test_a_child_starts_from_a_parent_that_is_complete(sagemaker: Any, emulator: SageMakerEmulator) -> None:
    static = {"feature_dim": "3", "k": "2", "init_method": "kmeans++", "mini_batch_size": "4"}
    request = {
        "HyperParameterTuningJobConfig": config(ParameterRanges={"IntegerParameterRanges": integers(epochs=(1, 2))}),
        "TrainingJobDefinition": definition(
            emulator, StaticHyperParameters=static, InputDataConfig=described_channels(emulator)
        ),
    }
    sagemaker.create_hyper_parameter_tuning_job(HyperParameterTuningJobName="p-job", **request)
    assert emulator.wait("p-job", 60) == "Completed"
    warm = {
        "WarmStartType": "TransferLearning",
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "p-job"}],
    }
    sagemaker.create_hyper_parameter_tuning_job(HyperParameterTuningJobName="c-job", **request, WarmStartConfig=warm)
    answer = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="c-job")
    assert answer["WarmStartConfig"] == warm
    assert emulator.wait("c-job", 60) == "Completed"


def test_tags_are_updated_one_by_one(sagemaker: Any, emulator: SageMakerEmulator) -> None:
    """The resource deletes the tags that are gone, and adds those that are new or changed."""
    request = CONFIGURATIONS["algorithm"](emulator)
    tags = [{"Key": "key1", "Value": "value1"}]
    arn = sagemaker.create_hyper_parameter_tuning_job(HyperParameterTuningJobName="tags", **request, Tags=tags)[
        "HyperParameterTuningJobArn"
    ]
    there = lambda: {each["Key"]: each["Value"] for each in sagemaker.list_tags(ResourceArn=arn)["Tags"]}  # noqa: E731
    assert there() == {"key1": "value1"}
    new = [{"Key": "key1", "Value": "value1updated"}, {"Key": "key2", "Value": "value2"}]
    sagemaker.add_tags(ResourceArn=arn, Tags=new)
    assert there() == {"key1": "value1updated", "key2": "value2"}
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["key1"])
    assert there() == {"key2": "value2"}
    emulator.wait("tags", 60)


def test_a_job_that_runs_is_stopped_before_it_is_deleted(sagemaker: Any, emulator: SageMakerEmulator) -> None:
    """As the resource goes about it, which knows by the words "not in a terminal state" that it has to stop the job."""
    named = {"HyperParameterTuningJobName": "waits"}
    sagemaker.create_hyper_parameter_tuning_job(**named, **CONFIGURATIONS["basic"](emulator))
    delete, stop = (getattr(sagemaker, f"{verb}_hyper_parameter_tuning_job") for verb in ("delete", "stop"))
    code, message = refused(lambda: delete(**named))
    assert (code, "not in a terminal state" in message) == ("ValidationException", True)
    stop(**named)
    assert emulator.wait("waits", 60) == "Stopped"
    assert refused(lambda: stop(**named))[0] == "ValidationException"
    delete(**named)
    for call in (delete, stop, sagemaker.describe_hyper_parameter_tuning_job):
        assert refused(lambda call=call: call(**named))[0] == "ResourceNotFound"  # type: ignore[misc]


def test_jobs_are_listed_in_their_own_region(sagemaker: Any, emulator: SageMakerEmulator) -> None:
    elsewhere = boto3.client("sagemaker", **{**emulator.of_client, "region_name": "us-east-2"})
    for number in range(2):
        made = elsewhere.create_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=f"listed-{number}", **CONFIGURATIONS["algorithm"](emulator)
        )
        assert made["HyperParameterTuningJobArn"].startswith("arn:aws:sagemaker:us-east-2:")
    found = elsewhere.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    assert {row["HyperParameterTuningJobName"] for row in found} == {"listed-0", "listed-1"}
    assert sagemaker.list_hyper_parameter_tuning_jobs(NameContains="listed")["HyperParameterTuningJobSummaries"] == []
