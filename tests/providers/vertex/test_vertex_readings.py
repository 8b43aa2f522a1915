"""The provider's reader and the emulator, which share no code, read the same tuning job out of a request."""

from __future__ import annotations

import contextlib
import json
import random
from typing import Any

import pytest
from amounts import examples
from fuzzing import damaged
from hypothesis import HealthCheck, given, settings
from late import LATE
from vertex_requests import requests

from cloudtune.space.parameters import Categorical, Constant, LogNormal, Normal, Ordinal, Parameter, Scalar
from cloudtune.spec.job import TuningJob
from cloudtune_vertex.parse import parse
from cloudtune_vertex.rules import problems
from cloudtune_vertex.schema import normal

if LATE:
    pytest.importorskip("google.cloud.aiplatform_v1")
    from google.cloud import aiplatform_v1 as v1
    from google.protobuf import json_format

    from cloudtune_vertex.emulator.errors import Refused
    from cloudtune_vertex.emulator.model import plain, read
    from cloudtune_vertex.emulator.rules import check
    from cloudtune_vertex.emulator.searching import search_of


def message_of(data: dict[str, Any]) -> Any:
    """Return the message that Google's own reader makes of a request in JSON."""
    return v1.HyperparameterTuningJob.pb(v1.HyperparameterTuningJob.from_json(json.dumps(data)))


def meant(value: Scalar) -> Scalar:
    """Return what a category means: the provider writes all but plain texts as JSON, and the service knows texts alone."""
    with contextlib.suppress(ValueError):
        found = json.loads(value) if isinstance(value, str) else value
        value = found if isinstance(found, Scalar) else value
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def described(parameter: Parameter, *, scales: bool) -> tuple[Any, ...]:
    """Return what both readers must agree upon: values, or bounds and the scale."""
    assert not isinstance(parameter, Normal | LogNormal)
    if isinstance(parameter, Constant):
        return (meant(parameter.value),)
    if isinstance(parameter, Categorical | Ordinal):
        return tuple(map(meant, parameter.values))
    return float(parameter.low), float(parameter.high), *([parameter.scale] if scales else [])


def parameters(job: TuningJob, *, scales: bool) -> list[str]:
    """Return what the parameters are, in an order that hangs on no name."""
    found = [each for entry in job.space.values() for each in (entry if isinstance(entry, tuple) else [entry])]
    return sorted(f"{described(each, scales=scales)} {len(each.when or ())}" for each in found)


def agree(ours: TuningJob, data: dict[str, Any]) -> None:
    """Fail unless the emulator takes the request for what the provider does."""
    message = message_of(data)
    check(message, "hyperparameter_tuning_job")
    theirs = search_of(message).job
    scales = "UNIT_REVERSE_LOG_SCALE" not in str(data)  # which a spec can say of some ranges alone
    assert parameters(ours, scales=scales) == parameters(theirs, scales=scales)
    metrics = data["studySpec"]["metrics"]
    safe = {
        each["metricId"] for each in metrics if "safetyConfig" in each
    }  # which the provider may keep as native settings
    objectives = [each for each in ours.objective if each.metric not in safe]
    assert [(each.goal, each.measurement) for each in objectives] == [(each.goal, each.measurement) for each in theirs.objective]  # fmt: skip
    assert {each.metric for each in theirs.constraints} == safe
    assert {each.metric for each in ours.constraints} in (safe, set())
    assert ours.strategy.type == theirs.strategy.type
    if len(ours.objective) == 1:  # of several the service stops none
        kinds = {"auto": "curve"}  # the emulator's own rule for the service's by curves
        found = None if ours.stopping is None else kinds.get(ours.stopping.type, ours.stopping.type)
        assert found == (theirs.stopping and theirs.stopping.type)
    ours_most, theirs_most = ours.limits, theirs.limits
    assert ours_most.trials == theirs_most.trials
    assert (ours_most.time, ours_most.no_improvement) == (theirs_most.time, theirs_most.no_improvement)


@given(requests())
@settings(max_examples=examples(100), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_request_is_read_alike_by_both(data: dict[str, Any]) -> None:
    if all("safetyConfig" in each for each in data["studySpec"]["metrics"]):
        with pytest.raises(Refused, match="objective"):
            search_of(message_of(data))
    else:
        agree(parse(data), data)


@given(requests())
@settings(max_examples=examples(100), deadline=None, suppress_health_check=list(HealthCheck))
def test_both_readers_of_messages_say_what_googles_does(data: dict[str, Any]) -> None:
    message = message_of(data)
    form, violations = normal(data)
    assert not violations
    for told in (form, plain(message)):
        again = type(message)()
        json_format.ParseDict(told, again)
        assert again == message


def broken(data: dict[str, Any], where: str, value: Any) -> dict[str, Any]:
    """Return a request with something else at a path."""
    changed: dict[str, Any] = json.loads(json.dumps(data))
    *path, last = where.split(".")
    part: Any = changed
    for step in path:
        part = part[int(step)] if step.isdecimal() else part[step]
    part[int(last) if last.isdecimal() else last] = value
    return changed


REQUEST = {
    "displayName": "x", "maxTrialCount": 4, "parallelTrialCount": 2,
    "studySpec": {
        "metrics": [{"metricId": "loss", "goal": "MINIMIZE"}],
        "parameters": [
            {"parameterId": "k", "categoricalValueSpec": {"values": ["a", "b"]}, "conditionalParameterSpecs": [
                {"parentCategoricalValues": {"values": ["a"]}, "parameterSpec": {"parameterId": "d", "discreteValueSpec": {"values": [1, 2]}}}]},
            {"parameterId": "x", "doubleValueSpec": {"minValue": 1, "maxValue": 2}},
        ],
    },
    "trialJobSpec": {"workerPoolSpecs": [{"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 1, "containerSpec": {"imageUri": "i"}}]},
}  # fmt: skip
FIRST, POOL = "studySpec.parameters.0", "trialJobSpec.workerPoolSpecs.0"


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("displayName", "x" * 129), ("labels", {"Team": "a"}), ("labels", {"team": "A"}), ("labels", {"1": "a"}), ("maxTrialCount", 0),
        ("maxFailedTrialCount", -1), ("encryptionSpec", {"kmsKeyName": "k"}), ("studySpec.metrics", []), ("studySpec.parameters", []),
        ("studySpec.metrics.0.metricId", "a b"), ("studySpec.metrics.0.safetyConfig", {"desiredMinSafeTrialsFraction": 2}),
        ("studySpec.algorithm", "GRID_SEARCH"), (f"{FIRST}.parameterId", "x"), (f"{FIRST}.categoricalValueSpec.values", []),
        (f"{FIRST}.categoricalValueSpec.values", ["a", "a"]), (f"{FIRST}.categoricalValueSpec.values", ["b", "c"]),
        (f"{FIRST}.conditionalParameterSpecs.0.parentCategoricalValues", {}), (f"{FIRST}.conditionalParameterSpecs.0.parameterSpec", {"parameterId": "n"}),
        (f"{FIRST}.conditionalParameterSpecs.0.parameterSpec.discreteValueSpec.values", [2, 1]),
        ("studySpec.parameters.1.doubleValueSpec", {"minValue": 3, "maxValue": 2}),
        ("studySpec.parameters.1.doubleValueSpec", {"minValue": 1, "maxValue": 2, "defaultValue": 3}),
        ("studySpec.parameters.1", {"parameterId": "x", "scaleType": "UNIT_LOG_SCALE", "integerValueSpec": {"minValue": "0", "maxValue": "2"}}),
        (f"{POOL}.machineSpec", {}), (f"{POOL}.replicaCount", 2), (f"{POOL}.containerSpec", {"command": ["a"]}),
        (f"{POOL}.machineSpec.acceleratorCount", 1), (f"{POOL}.machineSpec.acceleratorType", "NVIDIA_TESLA_T4"),
        (f"{POOL}.containerSpec.env", [{"name": "a-b"}]), (f"{POOL}.containerSpec.env", [{"name": "a"}, {"name": "a"}]),
        ("trialJobSpec.workerPoolSpecs", []), ("trialJobSpec.network", "n"), ("trialJobSpec.scheduling", {"timeout": "-1s"}),
        ("trialJobSpec.baseOutputDirectory", {"outputUriPrefix": "s3://b"}), ("trialJobSpec.tensorboard", "t"),
    ],
)  # fmt: skip
def test_what_one_refuses_the_other_refuses(where: str, value: Any) -> None:
    check(message_of(REQUEST), "hyperparameter_tuning_job")
    data = broken(REQUEST, where, value)
    assert problems(data)
    with pytest.raises(Refused, match="List of found errors"):
        check(message_of(data), "hyperparameter_tuning_job")


@pytest.mark.parametrize("seed", range(300))
def test_a_damaged_request_is_read_or_refused(seed: int) -> None:
    with contextlib.suppress(Refused):
        message = v1.HyperparameterTuningJob.pb()()
        read(damaged(REQUEST, random.Random(seed)), message)
        check(message, "hyperparameter_tuning_job")
        assert search_of(message).job.space
