"""From SageMaker's requests to jobs and back: nothing is lost."""

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from amounts import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sagemaker_requests import IMAGE, ROLE, requests

from cloudtune import TuningJob, api
from cloudtune.cli.app import run_app
from cloudtune.errors import SpecError, UnsupportedError
from cloudtune.planning.plan import Support
from cloudtune.store.secrets import masked
from cloudtune.testing.specs import jobs
from cloudtune_sagemaker.parse import parse
from cloudtune_sagemaker.provider import SageMakerProvider
from cloudtune_sagemaker.rules import problems
from cloudtune_sagemaker.settings import SageMakerSettings
from cloudtune_sagemaker.space import MERGING
from cloudtune_sagemaker.translate import translate


def native_request(job: TuningJob, settings: SageMakerSettings | None = None) -> dict[str, Any]:
    """Return the request of a job with the values of its variables."""
    said = {} if settings is None else settings.model_dump(exclude_unset=True)
    return SageMakerProvider(said).to_native(job)


@given(request=requests())
@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_request_becomes_a_job_whose_request_it_is(request: dict[str, Any]) -> None:
    before = copy.deepcopy(request)
    assert problems(request) == []
    job = parse(request)
    assert request == before
    assert native_request(job) == request
    assert [type(each) for each in _scalars(native_request(job))] == [type(each) for each in _scalars(request)]
    written = TuningJob.from_yaml(job.to_yaml())
    assert written == job
    assert native_request(written) == request
    assert translate(job).mode == "managed"


def _scalars(data: Any) -> list[Any]:
    """The leaves of plain data in an order of their own."""
    if isinstance(data, dict):
        return [leaf for name in sorted(data) for leaf in _scalars(data[name])]
    return [leaf for part in data for leaf in _scalars(part)] if isinstance(data, list) else [data]


@given(job=jobs())
@settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_job_comes_back_from_its_request(job: TuningJob) -> None:
    job = job.model_copy(update={"sagemaker": {}})
    given_by_profile = SageMakerSettings(role=ROLE, image=IMAGE, bucket="bucket")
    plan = translate(job, given_by_profile)
    refused = [note for note in plan.notes if note.support is Support.UNSUPPORTED]
    if refused:
        with pytest.raises(UnsupportedError):
            plan.refuse()
        assert all(note.path and note.message for note in refused)
        return
    operation = "CreateTrainingJob" if plan.mode == "driven" else "CreateHyperParameterTuningJob"
    assert problems(plan.request, operation) == []
    if plan.mode == "managed" and (job.trial.command or job.trial.function):
        back = parse(plan.request)
        expected = masked(job)
        if job.strategy.type == "auto":  # what it chose is what the request says
            expected = expected.model_copy(update={"strategy": back.strategy})
        assert back.model_copy(update={"sagemaker": {}}).to_data() == expected.to_data()
        assert native_request(back) == plan.request


@pytest.mark.parametrize("image", ["", "246618743249.dkr.ecr.us-west-2.amazonaws.com/sagemaker-xgboost:1.7-1"])
def test_a_described_job_is_parsed_like_its_request(image: str) -> None:
    request = PLAIN
    regex, metric = "loss=(.*?);", "loss"
    if image:
        metric = "validation:rmse"
        request = MERGING.merge(
            request,
            {
                "TrainingJobDefinition": {
                    "AlgorithmSpecification": {"TrainingImage": image, "MetricDefinitions": None}
                },
                "HyperParameterTuningJobConfig": {"HyperParameterTuningJobObjective": {"MetricName": metric}},
            },
        )
    told = [*(request["TrainingJobDefinition"]["AlgorithmSpecification"].get("MetricDefinitions") or [])]
    if image:
        told = [{"Name": "validation:mae", "Regex": "a(.*)"}, {"Name": metric, "Regex": regex}]
    added = [*told, {"Name": "ObjectiveMetric", "Regex": regex}]
    described = request | {
        "HyperParameterTuningJobArn": "arn:aws:sagemaker:eu-west-1:123456789012:hyper-parameter-tuning-job/plain",
        "HyperParameterTuningJobStatus": "Completed",
        "CreationTime": datetime(2026, 1, 1, tzinfo=UTC),
        "TrainingJobStatusCounters": {"Completed": 4},
        "BestTrainingJob": {"TrainingJobName": "plain-001-1a2b3c4d"},
        "TrainingJobDefinition": MERGING.merge(
            request["TrainingJobDefinition"],
            {
                "StaticHyperParameters": {"_tuning_objective_metric": metric},
                "AlgorithmSpecification": {"MetricDefinitions": added},
            },
        ),
        "ResponseMetadata": {"HTTPStatusCode": 200},
    }
    assert parse(described) == parse(request)


PLAIN: dict[str, Any] = {
    "HyperParameterTuningJobName": "plain",
    "HyperParameterTuningJobConfig": {
        "Strategy": "Bayesian",
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2},
        "ParameterRanges": {
            "ContinuousParameterRanges": [{"Name": "lr", "MinValue": "1e-05", "MaxValue": "0.1", "ScalingType": "Logarithmic"}],
            "CategoricalParameterRanges": [{"Name": "optimizer", "Values": ['"adam"', '"sgd"']}],
        },
    },
    "TrainingJobDefinition": {
        "StaticHyperParameters": {"epochs": "3", "sagemaker_program": "train.py", "sagemaker_submit_directory": "s3://b/code.tar.gz"},
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File", "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}]},
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": "s3://b/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    },
}  # fmt: skip


def test_what_the_neutral_fields_can_say_is_there(tmp_path: Path) -> None:
    job = parse(PLAIN)
    assert job.to_data()["space"] == {
        "lr": {"type": "float", "low": 1e-5, "high": 0.1, "scale": "log"},
        "optimizer": {"type": "categorical", "values": ["adam", "sgd"]},
        "epochs": {"type": "constant", "value": 3},
    }
    assert job.trial.command == "python train.py"
    assert str(job.limits.trial_time) == "1:00:00"
    api.plan(job, "local", project=tmp_path).refuse()  # another provider can run it


def test_definitions_that_search_different_things_become_conditions() -> None:
    several = copy.deepcopy(PLAIN)
    config = several["HyperParameterTuningJobConfig"]
    objective, one = config.pop("HyperParameterTuningJobObjective"), several.pop("TrainingJobDefinition")
    del config["ParameterRanges"], one["StaticHyperParameters"]
    several["TrainingJobDefinitions"] = [
        {**one, "DefinitionName": name, "TuningObjective": objective, "HyperParameterRanges": {"IntegerParameterRanges": [{"Name": tuned, "MinValue": "1", "MaxValue": "9", "ScalingType": "Linear"}]}}
        for name, tuned in (("knn", "k"), ("fm", "factors"))
    ]  # fmt: skip
    job = parse(several)
    assert job.to_data()["space"] == {
        "definition": {"type": "categorical", "values": ["knn", "fm"]},
        "k": {"type": "int", "low": 1, "high": 9, "when": {"definition": "knn"}},
        "factors": {"type": "int", "low": 1, "high": 9, "when": {"definition": "fm"}},
    }
    assert native_request(job) == several


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "no object"),
        ({"HyperParameterTuningJobName": "a b"}, "HyperParameterTuningJobName"),
        (PLAIN | {"WarmStart": {}}, "did you mean 'WarmStartConfig'"),
        (PLAIN | {"TrainingJobDefinitions": [PLAIN["TrainingJobDefinition"]]}, "exactly one"),
    ],
)
def test_what_is_no_request_is_refused_with_its_place(data: Any, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        parse(data)


plain_data = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["Name", "Values", "Key", "x"]), inner, max_size=3)
        | st.lists(st.fixed_dictionaries({"Name": st.sampled_from(["a", "b", "c"])}, optional={"x": inner}), max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from(["A", "B", "Name"]), plain_data, max_size=3)


def test_null_removes_a_member_but_not_one_of_an_item_of_a_list() -> None:
    assert MERGING.merge({"B": {"y": 1}}, {"A": [{"x": None}], "B": {"x": {"z": None}, "y": None}}) == {
        "A": [{"x": None}],
        "B": {"x": {}},
    }


@given(ours=objects, wanted=objects)
@settings(max_examples=examples(300), deadline=None)
def test_a_difference_merged_in_gives_what_was_wanted(ours: Any, wanted: Any) -> None:
    patch = MERGING.difference(ours, wanted)
    assert MERGING.merge(ours, patch) == wanted
    assert MERGING.difference(wanted, wanted) == {}


def test_only_the_item_that_differs_is_in_a_difference() -> None:
    ours = {"Channels": [{"ChannelName": "a", "x": 1}, {"ChannelName": "b", "x": 1}, {"ChannelName": "c"}]}
    wanted = {"Channels": [{"ChannelName": "a", "x": 1}, {"ChannelName": "b", "x": 2}]}
    patch = MERGING.difference(ours, wanted)
    assert patch == {"Channels": [{"ChannelName": "c", "$gone": True}, {"ChannelName": "b", "x": 2}]}


def test_import_and_export_give_the_same_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "request.json").write_text(json.dumps(PLAIN))
    assert (
        run_app(["import", str(tmp_path / "request.json"), "--from", "sagemaker", "-o", str(tmp_path / "job.yaml")])
        == 0
    )
    assert "settings of sagemaker alone: " in capsys.readouterr().err
    assert run_app(["export", str(tmp_path / "job.yaml"), "--to", "aws"]) == 0
    assert json.loads(capsys.readouterr().out) == PLAIN
    assert run_app(["export", str(tmp_path / "job.yaml"), "--to", "local"]) == 2
    assert "no requests of its own" in capsys.readouterr().err


def test_a_mistake_in_what_is_imported_has_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.json").write_text('{"HyperParameterTuningJobName": "a",\n  oops}')
    assert run_app(["import", str(tmp_path / "broken.json"), "--from", "sagemaker"]) == 2
    assert "line 2, column 3" in capsys.readouterr().err
