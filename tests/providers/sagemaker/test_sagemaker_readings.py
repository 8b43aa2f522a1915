"""The provider's reader and the emulator, which share no code, read the same tuning job out of a request."""

from __future__ import annotations

import contextlib
import copy
import random
from typing import Any

import pytest
from amounts import examples
from fuzzing import damaged
from hypothesis import HealthCheck, given, settings
from late import LATE
from sagemaker_requests import IMAGE, ROLE, requests

from cloudtune.space.parameters import Categorical, Constant, Float, Int, Parameter
from cloudtune.spec.job import TuningJob
from cloudtune_sagemaker import algorithms as ours_algorithms
from cloudtune_sagemaker.parse import parse
from cloudtune_sagemaker.rules import problems

if LATE:
    pytest.importorskip("moto")
    from moto.sagemaker.exceptions import SagemakerClientError

    from cloudtune_sagemaker.emulator import algorithms as their_algorithms
    from cloudtune_sagemaker.emulator.model import misfits
    from cloudtune_sagemaker.emulator.rules import check
    from cloudtune_sagemaker.emulator.searching import Search

CREATE = "CreateHyperParameterTuningJob"


def described(parameter: Parameter) -> tuple[Any, ...]:
    """Return what both readers must agree upon; they may guess another scale where the request says none."""
    if isinstance(parameter, Categorical):
        return tuple(str(each) for each in parameter.values)
    assert isinstance(parameter, Int | Float)
    return type(parameter).__name__, float(parameter.low), float(parameter.high)


def parameters(job: TuningJob) -> set[tuple[Any, ...]]:
    """Return what the parameters of a space are that vary: the emulator leaves the others where they stand."""
    found = [each for entry in job.space.values() for each in (entry if isinstance(entry, tuple) else [entry])]
    return {described(each) for each in found if not isinstance(each, Constant)}


@given(request=requests())
@settings(max_examples=examples(100), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_request_is_read_alike_by_both(request: dict[str, Any]) -> None:
    check(request, CREATE)
    ours, theirs = parse(request), Search(request).job
    if "TrainingJobDefinition" in request:  # of several definitions each reader makes conditions of its own
        assert parameters(ours) == parameters(theirs)
    assert [each.goal for each in ours.objective] == [each.goal for each in theirs.objective]
    assert ours.strategy.type == theirs.strategy.type
    assert (ours.stopping is None) == (theirs.stopping is None)
    of_ours, of_theirs = ours.limits, theirs.limits
    assert (of_ours.trials, of_ours.parallel, of_ours.time) == (of_theirs.trials, of_theirs.parallel, of_theirs.time)
    assert of_ours.target == of_theirs.target


RANGES = {
    "IntegerParameterRanges": [{"Name": "n", "MinValue": "1", "MaxValue": "9"}],
    "CategoricalParameterRanges": [{"Name": "k", "Values": ["a", "b"]}],
}
REQUEST: dict[str, Any] = {
    "HyperParameterTuningJobName": "a",
    "HyperParameterTuningJobConfig": {
        "Strategy": "Random", "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2}, "ParameterRanges": RANGES,
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
    },
    "TrainingJobDefinition": {
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File", "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}]},
        "RoleArn": ROLE, "OutputDataConfig": {"S3OutputPath": "s3://b/o"}, "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    },
}  # fmt: skip
CONFIG, DEFINITION = "HyperParameterTuningJobConfig", "TrainingJobDefinition"


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("HyperParameterTuningJobName", "a b"), ("HyperParameterTuningJobName", "x" * 40), (f"{CONFIG}.Strategy", "Best"), (f"{CONFIG}.Strategy", "Grid"),
        (f"{CONFIG}.ResourceLimits", {}), (f"{CONFIG}.ResourceLimits", {"MaxNumberOfTrainingJobs": 4}),
        (f"{CONFIG}.ResourceLimits", {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 2}),
        (f"{CONFIG}.ResourceLimits", {"MaxNumberOfTrainingJobs": 10_001, "MaxParallelTrainingJobs": 2}),
        (f"{CONFIG}.ResourceLimits", {"MaxNumberOfTrainingJobs": "4", "MaxParallelTrainingJobs": 2}),
        (f"{CONFIG}.StrategyConfig", {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}}),
        (f"{CONFIG}.HyperParameterTuningJobObjective", {"Type": "Less", "MetricName": "loss"}), (f"{CONFIG}.ParameterRanges.AutoParameters", [{"Name": "z", "ValueHint": "1"}]),
        (f"{CONFIG}.ParameterRanges.IntegerParameterRanges.0.MinValue", "9"), (f"{CONFIG}.ParameterRanges.IntegerParameterRanges.0.MinValue", "1.5"),
        (f"{CONFIG}.ParameterRanges.IntegerParameterRanges.0.Name", "k"), (f"{CONFIG}.ParameterRanges.IntegerParameterRanges.0.ScalingType", "ReverseLogarithmic"),
        (f"{CONFIG}.ParameterRanges.CategoricalParameterRanges.0.Values", ["a", "a"]), (f"{CONFIG}.ParameterRanges.CategoricalParameterRanges.0.Values", []),
        (f"{CONFIG}.ParameterRanges.CategoricalParameterRanges.0.Values", [f"{n}" for n in range(40)]),
        (f"{DEFINITION}.StaticHyperParameters", {"n": "1"}), (f"{DEFINITION}.EnableManagedSpotTraining", True), (f"{DEFINITION}.RoleArn", "role"),
        (f"{DEFINITION}.StoppingCondition", {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 30}), (f"{DEFINITION}.StoppingCondition", {"MaxRuntimeInSeconds": 29 * 86_400}),
        (f"{DEFINITION}.ResourceConfig.InstanceType", "big"), (f"{DEFINITION}.AlgorithmSpecification.AlgorithmName", "a"),
        (f"{DEFINITION}.HyperParameterTuningResourceConfig", {"VolumeSizeInGB": 1}), (f"{DEFINITION}.Nonsense", 1), ("TrainingJobDefinitions", [REQUEST[DEFINITION]]),
    ],
)  # fmt: skip
def test_what_one_refuses_the_other_refuses_at_the_same_places(where: str, value: Any) -> None:
    check(REQUEST, CREATE)
    request = copy.deepcopy(REQUEST)
    *path, last = where.split(".")
    part: Any = request
    for step in path:
        part = part[int(step)] if step.isdecimal() else part[step]
    part[last] = value
    with pytest.raises(SagemakerClientError) as refused:
        check(request, CREATE)
    expected = {each.path for each in problems(request)}
    assert expected
    for each in expected:
        assert ".".join(step[:1].lower() + step[1:] for step in each.split(".")) in str(refused.value)


@pytest.mark.parametrize(
    ("operation", "request_"),
    [("StopTrainingJob", {}), ("ListTags", {"ResourceArn": "x", "MaxResults": 10}), ("AddTags", {"ResourceArn": "arn:aws:sagemaker:eu-west-1:123456789012:a/b", "Tags": [{"Key": "aws"}]})],
)  # fmt: skip
def test_every_operation_of_the_model_is_checked(operation: str, request_: dict[str, Any]) -> None:
    assert misfits(request_, operation)


@pytest.mark.parametrize("image", [
    "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.5-1", "811284229777.dkr.ecr.us-east-1.amazonaws.com/xgboost:1",
    "382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1", "xgboost", "own/kmeans:latest", IMAGE, "ntm@sha256:0",
])  # fmt: skip
def test_both_find_the_same_metrics_of_an_algorithm(image: str) -> None:
    ours = ours_algorithms.algorithm_of({"TrainingImage": image})
    theirs = their_algorithms.algorithm_of({"TrainingImage": image})
    assert (ours is None) == (theirs is None)
    if ours is not None and theirs is not None:
        assert (ours.own, dict(ours.metrics), dict(ours.others)) == (
            theirs.own,
            dict(theirs.metrics),
            dict(theirs.others),
        )
        assert ours.definitions("validation:auc") == theirs.definitions("validation:auc")


@pytest.mark.parametrize("seed", range(300))
def test_a_damaged_request_is_read_or_refused(seed: int) -> None:
    with contextlib.suppress(SagemakerClientError):
        request = damaged(REQUEST, random.Random(seed))
        check(request, CREATE)
        assert Search(request).job.space
