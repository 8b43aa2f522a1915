"""The emulator answers as SageMaker did: recorded answers, beside ours to the request that would lead to them."""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from late import LATE
from recorded_shapes import differences, shape

from cloudtune_sagemaker.algorithms import algorithm_of
from cloudtune_sagemaker.schema import members

if LATE:
    pytest.importorskip("moto")
    import boto3

    from cloudtune_sagemaker.emulator import SageMakerEmulator


RECORDS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "recorded" / "sagemaker.json").read_text(encoding="utf-8")
)["records"]

NEWER = "the service has told it only since after the recording"
ACCEPTED: list[tuple[str, str, str]] = [
    ("*", "AlgorithmSpecification.EnableSageMakerMetricsTimeSeries: added", NEWER),
    ("*", "OutputDataConfig.CompressionType: added", NEWER),
    ("*", "TrainingJobSummaries[].SecondaryStatus: added", NEWER),
    ("ListTrainingJobs", "TrainingJobSummaries[].TrainingEndTime: added", NEWER),
    ("DescribeHyperParameterTuningJob", "TuningJobCompletionDetails: added", NEWER),
    ("DescribeHyperParameterTuningJob", "ConsumedResources: added", NEWER),
    *(
        ("2018", f"{member}: added", NEWER)
        for member in (
            "SecondaryStatusTransitions", "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption",
            "EnableManagedSpotTraining", "ProfilingStatus", "AlgorithmSpecification.MetricDefinitions",
            "TrainingStartTime", "TrainingTimeInSeconds", "BillableTimeInSeconds",
        )
    ),
    ("*", "SecondaryStatusTransitions: *", "how far a job is when it is looked at; their order has a test of its own"),
    ("*", "TrainingStartTime: *", "our machines start at once"),
    ("*", "TrainingTimeInSeconds: *", "our machines start at once"),
    ("*", "FinalMetricDataList: *", "a job that was looked at before it printed, or whose values were taken out"),
    ("DebugRule", "*RuleEvaluationStatuses[].RuleEvaluationJobArn: missing", "nothing evaluates rules here"),
    ("NoWarmPool", "WarmPoolStatus: added", "taken out of that recording by hand, to try a controller without it"),
    ("*warmpool*", "*: added", "a running job's answer with another status, made by hand: its end is missing"),
    ("DescribeTrainingJob", "FailureReason: *", "an algorithm's own words"),
]  # fmt: skip
"""Which recording (words of it), which difference, and why it may be. Longer than this it must not become."""

PROGRAM = r"""
case $TRAINING_JOB_NAME in
  waits*) trap '' TERM ;;
  fails*) exit 1 ;;
esac
echo '#progress_metric: host=algo-1, completed 10 % of epochs'
printf '[1]\ttrain-merror:0.07\tvalidation-merror:0.08\n[1]\ttrain-rmse:0.2\tvalidation-rmse:0.4\tvalidation-error:0.3\tvalidation-auc:0.9\n'
case $TRAINING_JOB_NAME in waits*) while :; do sleep 1; done ;; esac
"""
"""Plays every algorithm: by its job's name it waits, fails, or prints as XGBoost and others do."""


@pytest.fixture(scope="module")
def emulator() -> Iterator[SageMakerEmulator]:
    with SageMakerEmulator(images={"*": PROGRAM}, grace=60) as started:
        yield started


@pytest.fixture(scope="module")
def sagemaker(emulator: SageMakerEmulator) -> Any:
    names = {
        "aws_access_key_id": "AWS_ACCESS_KEY_ID",
        "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
        "aws_session_token": "AWS_SESSION_TOKEN",
    }
    keys = {name: emulator.environment[variable] for name, variable in names.items()}
    made = {"endpoint_url": emulator.url, "region_name": emulator.region, **keys}
    s3 = boto3.client("s3", **made)
    s3.put_object(Bucket=emulator.bucket, Key="data/one.csv", Body=b"1,2")
    manifest = [{"prefix": f"s3://{emulator.bucket}/data/"}, "one.csv"]
    s3.put_object(Bucket=emulator.bucket, Key="manifest", Body=json.dumps(manifest).encode())
    return boto3.client("sagemaker", **made)


def eventually(condition: Callable[[], Any]) -> Any:
    until = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < until, "it did not come about"
        threading.Event().wait(0.05)
    return found


# From a recorded answer to the request that would lead to it


def request_for(answer: Mapping[str, Any], operation: str, name: str, emulator: SageMakerEmulator) -> dict[str, Any]:
    """A request of the members that the answer gives back, without those that the service has filled in."""
    taken = members(operation)
    request = {member: value for member, value in answer.items() if member in taken}
    return {**_requested(request, emulator), next(member for member in request if member.endswith("JobName")): name}


def _requested(value: Any, emulator: SageMakerEmulator, name: str = "") -> Any:
    if isinstance(value, Mapping):
        members = {member: _requested(each, emulator, member) for member, each in value.items()}
        members.pop("_tuning_objective_metric", None)
        if members.get("KmsKeyId") == "":
            del members["KmsKeyId"]
        if "MetricDefinitions" in members:
            assert algorithm_of(members), "only SageMaker's own algorithms are recorded"
            del members["MetricDefinitions"]
        if "InstanceGroups" in members:
            del members["InstanceCount"]
        if members.get("S3DataType") == "ManifestFile":
            members["S3Uri"] = f"s3://{emulator.bucket}/manifest"
        return members
    if isinstance(value, list):
        return [_requested(each, emulator, name) for each in value]
    if value == "<s3>":
        return f"s3://{emulator.bucket}/{'data/' if name == 'S3Uri' else 'out'}"
    return emulator.role if value == "<arn iam role>" else value


_PLAYED = {"InProgress": "waits", "Stopping": "waits", "Completed": "does", "Failed": "fails"}
_numbers = itertools.count(1)


class Played:
    """A job brought to the state of a recording.

    Args:
        record: with a described job of the kind.
        kind: TrainingJob or HyperParameterTuningJob.
    """

    def __init__(self, record: Mapping[str, Any], kind: str, sagemaker: Any, emulator: SageMakerEmulator) -> None:
        answer = record["answer"]
        self.kind, self.key, self.sagemaker = kind, f"{kind}Name", sagemaker
        self.status: str = answer[f"{kind}Status"]
        part = self.status
        if answer.get("WarmPoolStatus", {}).get("Status") == "InUse":
            part = "InProgress"
        self.name = f"{_PLAYED[part]}-{next(_numbers)}"
        self.request = request_for(answer, f"Create{kind}", self.name, emulator)
        limits = self.request.get("HyperParameterTuningJobConfig", {}).get("ResourceLimits")
        self.limits = dict(limits or {})
        if self.limits and part == "Completed":  # it needs no twenty training jobs to look the same
            limits["MaxNumberOfTrainingJobs"], limits["MaxParallelTrainingJobs"] = 2, 2
        self.pool = answer.get("WarmPoolStatus", {}).get("Status")
        if self.pool == "Terminated":
            self.request["ResourceConfig"]["KeepAlivePeriodInSeconds"] = 1
        self.made = self._call("create", **self.request)
        self._bring(part, emulator)

    def _call(self, verb: str, **members: Any) -> dict[str, Any]:
        words = re.sub(r"(?<!^)(?=[A-Z])", "_", self.kind).lower()
        answer: dict[str, Any] = getattr(self.sagemaker, f"{verb}_{words}")(**members)
        return answer

    def describe(self) -> dict[str, Any]:
        return self._call("describe", **{self.key: self.name})

    def _bring(self, status: str, emulator: SageMakerEmulator) -> None:
        if status in ("InProgress", "Stopping"):
            eventually(lambda: any(job.state().metrics for job in self.training_jobs(emulator)))
        if status == "Stopping":
            self._call("stop", **{self.key: self.name})
        eventually(lambda: self.describe()[f"{self.kind}Status"] == status)
        if self.pool is not None:
            eventually(lambda: self.describe()["WarmPoolStatus"]["Status"] == self.pool)

    def training_jobs(self, emulator: SageMakerEmulator) -> list[Any]:
        if self.kind == "TrainingJob":
            return [emulator.jobs.training_job(self.name)]
        return [trial.job for trial in emulator.jobs.tuning_job(self.name).trials]

    def close(self, emulator: SageMakerEmulator) -> None:
        """Ends its processes."""
        if self.kind != "TrainingJob":
            emulator.jobs.tuning_job(self.name).close()
        for job in self.training_jobs(emulator):
            job.close()


def as_asked(played: Played) -> dict[str, Any]:
    """Our answer as a shape, with the limits that the recording had."""
    answer: dict[str, Any] = shape(played.describe())
    if played.pool == "Terminated":
        answer["ResourceConfig"]["KeepAlivePeriodInSeconds"] = 70
    if played.limits:
        answer["HyperParameterTuningJobConfig"]["ResourceLimits"] = played.limits
    return answer


def unaccepted(found: Iterator[str], *marks: str) -> list[str]:
    """The differences that no entry of the list explains, for a recording with these marks."""
    return [
        difference
        for difference in found
        if not any(
            any(fnmatch(mark, which) for mark in (*marks, "*")) and _matches(difference, what)
            for which, what, _ in ACCEPTED
        )
    ]


def _matches(difference: str, what: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, what.split("*"))), difference) is not None


def marks_of(record: Mapping[str, Any]) -> list[str]:
    answer = record["answer"]
    told = [record["operation"], *record["sources"]]
    if "SecondaryStatus" in answer and "ProfilingStatus" not in answer:
        told.append("2018")
    if "DebugRuleConfigurations" in answer:
        told.append("DebugRule")
    if "KeepAlivePeriodInSeconds" in answer.get("ResourceConfig", {}) and "WarmPoolStatus" not in answer:
        told.append("NoWarmPool")
    return told


DESCRIBED = [record for record in RECORDS if record["operation"].startswith("Describe")]


@pytest.mark.parametrize("record", DESCRIBED, ids=lambda record: record["sources"][0].rpartition("/")[2])
def test_a_described_job_has_the_members_that_the_service_answered(
    record: dict[str, Any], sagemaker: Any, emulator: SageMakerEmulator
) -> None:
    played = Played(record, record["operation"].removeprefix("Describe"), sagemaker, emulator)
    try:
        assert unaccepted(differences(record["answer"], as_asked(played)), *marks_of(record)) == []
    finally:
        played.close(emulator)


def test_a_training_job_goes_through_the_recorded_secondary_statuses(
    sagemaker: Any, emulator: SageMakerEmulator
) -> None:
    (record,) = [each for each in DESCRIBED if len(each["answer"].get("SecondaryStatusTransitions", ())) == 5]
    played = Played(record, "TrainingJob", sagemaker, emulator)
    assert shape(played.describe())["SecondaryStatusTransitions"] == record["answer"]["SecondaryStatusTransitions"]


def test_a_tuning_jobs_training_jobs_have_the_objective_once_more(sagemaker: Any, emulator: SageMakerEmulator) -> None:
    record = next(each for each in DESCRIBED if "low-level" in each["sources"][0])
    played = Played(record, "HyperParameterTuningJob", sagemaker, emulator)
    told = played.describe()["TrainingJobDefinition"]["AlgorithmSpecification"]["MetricDefinitions"]
    regexes = {each["Name"]: each["Regex"] for each in told}
    assert regexes["ObjectiveMetric"] == regexes["validation:rmse"]
    assert (
        regexes["validation:rmse"] == r".*\[[0-9]+\].*#011validation-rmse:([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?).*"
    )
    trial = sagemaker.describe_training_job(TrainingJobName=played.describe()["BestTrainingJob"]["TrainingJobName"])
    assert trial["AlgorithmSpecification"]["MetricDefinitions"] == told
    values = {each["MetricName"]: each["Value"] for each in trial["FinalMetricDataList"]}
    assert values["ObjectiveMetric"] == values["validation:rmse"] == pytest.approx(0.4)


@pytest.mark.parametrize("kind", ["TrainingJob", "HyperParameterTuningJob"])
def test_a_listed_job_has_the_members_that_the_service_answered(
    kind: str, sagemaker: Any, emulator: SageMakerEmulator
) -> None:
    rows = f"{kind}Summaries"
    described = next(each for each in DESCRIBED if each["answer"].get(f"{kind}Status") == "Completed")
    played = Played(described, kind, sagemaker, emulator)
    listing = getattr(sagemaker, {"TrainingJob": "list_training_jobs"}.get(kind, "list_hyper_parameter_tuning_jobs"))
    (row,) = shape(listing(NameContains=played.name))[rows]
    recorded = [
        each
        for record in RECORDS
        if record["operation"] == f"List{kind}s"
        for each in record["answer"][rows]
        if f"{kind}Status" in each
    ]
    assert recorded
    for before in recorded:
        now = {**row, f"{kind}Status": before[f"{kind}Status"], "Strategy": before.get("Strategy")}
        now |= {name: before[name] for name in ("ResourceLimits",) if name in before}
        ended = {name for name in row if name.endswith("EndTime")} if before[f"{kind}Status"] == "InProgress" else set()
        now = {name: value for name, value in now.items() if name not in ended and value is not None}
        assert unaccepted(differences({rows: [before]}, {rows: [now]}), f"List{kind}s") == []


def test_tags_are_answered_as_recorded(sagemaker: Any, emulator: SageMakerEmulator) -> None:
    described = next(each for each in DESCRIBED if each["answer"].get("TrainingJobStatus") == "Completed")
    arn = Played(described, "TrainingJob", sagemaker, emulator).made["TrainingJobArn"]
    answers = {
        "AddTags": sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "JobTag", "Value": "JobTagValue"}]),
        "ListTags": sagemaker.list_tags(ResourceArn=arn),
        "DeleteTags": sagemaker.delete_tags(ResourceArn=arn, TagKeys=["JobTag"]),
    }
    for operation, answer in answers.items():
        recorded = [record["answer"] for record in RECORDS if record["operation"] == operation]
        assert shape(answer) in recorded, operation
    assert shape(sagemaker.list_tags(ResourceArn=arn)) == {"Tags": []}


def test_machines_of_a_warm_pool_are_taken_over(sagemaker: Any, emulator: SageMakerEmulator) -> None:
    described = next(
        each for each in DESCRIBED if each["answer"].get("WarmPoolStatus", {}).get("Status") == "Available"
    )
    first = Played(described, "TrainingJob", sagemaker, emulator)
    second = Played(described, "TrainingJob", sagemaker, emulator)
    pool = first.describe()["WarmPoolStatus"]
    assert (pool["Status"], pool["ReusedByJob"]) == ("Reused", second.name)
    kept = sagemaker.list_training_jobs(WarmPoolStatusEquals="Available", MaxResults=100)["TrainingJobSummaries"]
    assert second.name in [row["TrainingJobName"] for row in kept]
    assert first.name not in [row["TrainingJobName"] for row in kept]
