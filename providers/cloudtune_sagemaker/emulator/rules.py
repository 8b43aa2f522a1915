"""What the service refuses of a request that fits botocore's model.

From the API reference of CreateHyperParameterTuningJob, CreateTrainingJob and their members, and from "Resource Limits
for Automatic Model Tuning" and "SageMaker AI managed warm pools" in the developer guide.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cloudtune_sagemaker.emulator import errors
from cloudtune_sagemaker.emulator.model import Found, misfits

MOST_JOBS = 750
""""Number of training jobs per hyperparameter tuning job": 750, but 10,000 of Random."""

_MOST_RANDOM_JOBS = 10_000
_MOST_PARAMETERS = 30
""""Number of hyperparameters that can be searched"."""

_LONGEST = 28 * 86_400
"""Seconds of MaxRuntimeInSeconds ("The maximum value is 28 days")."""

_MOST_RESOURCE = 20_000
""""MaxResource … for hyperparameter tuning … the maximum is 20,000"."""

_CONFIG = "HyperParameterTuningJobConfig"

Data = Mapping[str, Any]


def check(request: Data, operation: str) -> None:
    """Refuse a request that the model or a rule does not allow.

    Args:
        request: its members.
        operation: e.g. ``CreateTrainingJob``.

    Raises:
        SagemakerClientError: a ValidationException that lists all that is wrong, in the words of the service.
    """
    rules = {"CreateHyperParameterTuningJob": _of_tuning_job, "CreateTrainingJob": _of_training_job}
    found = misfits(request, operation) or (list(rules[operation](request)) if operation in rules else [])
    if found:
        head = f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected: "
        raise errors.invalid(head + "; ".join(_said(request, path, rule) for path, rule in found))


def _said(request: Data, path: str, rule: str) -> str:
    own = ".".join(part[:1].lower() + part[1:] for part in path.split("."))
    value: Any = request
    for part in path.replace("[", ".").replace("]", "").split("."):
        if isinstance(value, list):
            value = value[int(part)] if part.isdecimal() and int(part) < len(value) else None
        else:
            value = value.get(part) if isinstance(value, Mapping) else None
    shown = "" if value is None else f" '{value if isinstance(value, str) else json.dumps(value, default=str)}'"
    return f"Value{shown} at '{own}' failed to satisfy constraint: {rule}"


# Tuning jobs


def _of_tuning_job(request: Data) -> Found:
    config: Data = request[_CONFIG]
    single, several = request.get("TrainingJobDefinition"), request.get("TrainingJobDefinitions")
    if (single is None) == (several is None):
        yield "TrainingJobDefinition", "exactly one of TrainingJobDefinition and TrainingJobDefinitions must be given"
        return
    yield from _of_limits(config["ResourceLimits"], config["Strategy"])
    yield from _of_strategy(config)
    if single is not None:
        if config.get("HyperParameterTuningJobObjective") is None and single.get("TuningObjective") is None:
            yield f"{_CONFIG}.HyperParameterTuningJobObjective", "an objective must be given"
        yield from _of_definition(single, "TrainingJobDefinition", config)
    else:
        yield from _of_several(several or (), config)
    if request.get("Autotune") is None and (config.get("ParameterRanges") or {}).get("AutoParameters"):
        yield f"{_CONFIG}.ParameterRanges.AutoParameters", "needs Autotune"


def _of_limits(limits: Data, strategy: str) -> Found:
    path, jobs = f"{_CONFIG}.ResourceLimits", limits.get("MaxNumberOfTrainingJobs")
    if jobs is None:
        if strategy != "Grid":
            yield f"{path}.MaxNumberOfTrainingJobs", "Member must not be null unless the strategy is Grid"
        return
    most = _MOST_RANDOM_JOBS if strategy == "Random" else MOST_JOBS
    if jobs > most:
        yield f"{path}.MaxNumberOfTrainingJobs", f"Member must have value less than or equal to {most}"
    if limits["MaxParallelTrainingJobs"] > jobs:
        yield f"{path}.MaxParallelTrainingJobs", "must not be above MaxNumberOfTrainingJobs"


def _of_strategy(config: Data) -> Found:
    hyperband = (config.get("StrategyConfig") or {}).get("HyperbandStrategyConfig")
    path = f"{_CONFIG}.StrategyConfig.HyperbandStrategyConfig"
    if config["Strategy"] == "Hyperband" and config.get("TrainingJobEarlyStoppingType", "Off") != "Off":
        yield f"{_CONFIG}.TrainingJobEarlyStoppingType", "must be Off for Hyperband, which stops jobs itself"
    if hyperband is None:
        return
    if config["Strategy"] != "Hyperband":
        yield path, "needs the strategy Hyperband"
    high = hyperband.get("MaxResource", _MOST_RESOURCE)
    if hyperband.get("MinResource", 1) > high:
        yield f"{path}.MinResource", "must not be above MaxResource"
    if high > _MOST_RESOURCE:
        yield f"{path}.MaxResource", f"Member must have value less than or equal to {_MOST_RESOURCE}"


def _of_several(definitions: Sequence[Data], config: Data) -> Found:
    for member in ("ParameterRanges", "HyperParameterTuningJobObjective"):
        if config.get(member):
            yield f"{_CONFIG}.{member}", "belongs into each of several definitions"
    names = [each.get("DefinitionName") for each in definitions]
    for index, each in enumerate(definitions):
        path = f"TrainingJobDefinitions[{index}]"
        for member in ("DefinitionName", "TuningObjective", "HyperParameterRanges"):
            if each.get(member) is None:
                yield f"{path}.{member}", "Member must not be null in one of several definitions"
        if names[index] is not None and names[index] in names[:index]:
            yield f"{path}.DefinitionName", "a definition of this name is there already"
        yield from _of_definition(each, path, config)


def _of_definition(definition: Data, path: str, config: Data) -> Found:
    own = definition.get("HyperParameterRanges")
    where = f"{_CONFIG}.ParameterRanges" if own is None else f"{path}.HyperParameterRanges"
    yield from _of_ranges(own or config.get("ParameterRanges") or {}, where, config)
    names = {each["Name"] for _, _, each in _ranges(own or config.get("ParameterRanges") or {})}
    for name in definition.get("StaticHyperParameters") or ():
        if name in names:
            yield f"{path}.StaticHyperParameters.{name}", "is tuned already"
    yield from _of_algorithm(definition["AlgorithmSpecification"], f"{path}.AlgorithmSpecification")
    resources = definition.get("HyperParameterTuningResourceConfig")
    if (definition.get("ResourceConfig") is None) == (resources is None):
        message = "exactly one of ResourceConfig and HyperParameterTuningResourceConfig must be given"
        yield f"{path}.ResourceConfig", message
    if resources is not None:
        yield from _of_instances(resources, f"{path}.HyperParameterTuningResourceConfig")
    yield from _of_time(definition, f"{path}.")


def _ranges(declared: Data) -> Iterator[tuple[str, int, Data]]:
    for kind in ("Integer", "Continuous", "Categorical"):
        for index, each in enumerate(declared.get(f"{kind}ParameterRanges") or ()):
            yield f"{kind}ParameterRanges", index, each
    for index, each in enumerate(declared.get("AutoParameters") or ()):
        yield "AutoParameters", index, each


def _of_ranges(declared: Data, path: str, config: Data) -> Found:
    ranges = list(_ranges(declared))
    if len(ranges) > _MOST_PARAMETERS:
        yield path, f"a tuning job searches {_MOST_PARAMETERS} hyperparameters at most, not {len(ranges)}"
    grid, seen = config["Strategy"] == "Grid", set()
    for kind, index, each in ranges:
        at = f"{path}.{kind}[{index}]"
        if each["Name"] in seen:
            yield f"{at}.Name", "a range of this name is there already"
        seen.add(each["Name"])
        if kind == "CategoricalParameterRanges" and len(set(each["Values"])) < len(each["Values"]):
            yield f"{at}.Values", "holds a value twice"
        if kind in ("IntegerParameterRanges", "ContinuousParameterRanges"):
            yield from _of_bounds(each, at, whole=kind == "IntegerParameterRanges")
            if grid:
                yield at, "a grid search takes categorical ranges only"
    jobs = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    combinations = math.prod(len(each["Values"]) for _, _, each in ranges if "Values" in each)
    if grid and jobs not in (None, combinations) and all("Values" in each for _, _, each in ranges):
        where = f"{_CONFIG}.ResourceLimits.MaxNumberOfTrainingJobs"
        yield where, f"must be left out for a grid, or be the number of combinations, {combinations}"


def _of_bounds(declared: Data, path: str, *, whole: bool) -> Found:
    low, high = _number(declared["MinValue"], whole=whole), _number(declared["MaxValue"], whole=whole)
    for side, value in (("MinValue", low), ("MaxValue", high)):
        if value is None:
            yield f"{path}.{side}", f"must be {'a whole' if whole else 'a finite'} number"
    if low is None or high is None:
        return
    if low >= high:
        yield f"{path}.MinValue", "must be below MaxValue"
    scale = declared.get("ScalingType")
    if scale == "Logarithmic" and low <= 0:
        yield f"{path}.MinValue", "must be above 0 for Logarithmic scaling"
    if scale == "ReverseLogarithmic" and (whole or low < 0 or high >= 1):
        yield f"{path}.ScalingType", "ReverseLogarithmic needs a continuous range with 0 <= x < 1"


def _number(text: str, *, whole: bool) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and (not whole or value.is_integer()) else None


# What both kinds of job have


def _of_algorithm(algorithm: Data, path: str) -> Found:
    if (algorithm.get("TrainingImage") is None) == (algorithm.get("AlgorithmName") is None):
        yield f"{path}.TrainingImage", "exactly one of TrainingImage and AlgorithmName must be given"


def _of_instances(resources: Data, path: str) -> Found:
    if not resources.get("InstanceConfigs"):
        for name in ("InstanceType", "InstanceCount", "VolumeSizeInGB"):
            if resources.get(name) is None:
                yield f"{path}.{name}", "Member must not be null"
        if resources.get("AllocationStrategy") is not None:
            yield f"{path}.AllocationStrategy", "needs InstanceConfigs"
    elif resources.get("InstanceType") is not None or resources.get("InstanceCount") is not None:
        yield f"{path}.InstanceConfigs", "takes the place of InstanceType and InstanceCount"


def _of_time(definition: Data, path: str) -> Found:
    stopping: Data = definition.get("StoppingCondition") or {}
    longest, wait = stopping.get("MaxRuntimeInSeconds"), stopping.get("MaxWaitTimeInSeconds")
    at, spot = f"{path}StoppingCondition.MaxWaitTimeInSeconds", bool(definition.get("EnableManagedSpotTraining"))
    if longest is not None and longest > _LONGEST:
        yield f"{path}StoppingCondition.MaxRuntimeInSeconds", f"Member must have value less than or equal to {_LONGEST}"
    if wait is None:
        if spot and stopping:
            yield at, "Member must not be null for managed spot training"
        return
    if not spot:
        yield at, "needs EnableManagedSpotTraining"
    if longest is not None and wait < longest:
        yield at, "must not be below MaxRuntimeInSeconds"


def _of_training_job(request: Data) -> Found:
    if request.get("AlgorithmSpecification") is not None:
        yield from _of_algorithm(request["AlgorithmSpecification"], "AlgorithmSpecification")
    yield from _of_time(request, "")
    warm = (request.get("ResourceConfig") or {}).get("KeepAlivePeriodInSeconds")
    if warm and request.get("EnableManagedSpotTraining"):
        yield "ResourceConfig.KeepAlivePeriodInSeconds", "excludes managed spot training: keep one of them"
