"""What SageMaker accepts: botocore's model of a request, and the rules that the service's documents add.

The rules are those of the API reference of CreateHyperParameterTuningJob, and of "Resource Limits for Automatic Model
Tuning" in the developer guide.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cloudtune.planning.plain_data import join
from cloudtune.planning.violations import Violation
from cloudtune_sagemaker.schema import shape_problems

MAX_PARAMETERS = 30
"""Hyperparameters that a tuning job may search ("Resource Limits for Automatic Model Tuning")."""

MAX_VALUES = 30
"""Values of a categorical range (botocore: ParameterValues)."""

MAX_TEXT = 256
"""Characters of a value of a range (botocore: ParameterValue)."""

MAX_JOBS = 750
"""Training jobs of a tuning job, but 10,000 of a random one ("Resource Limits for Automatic Model Tuning")."""

MAX_RANDOM_JOBS = 10_000

MAX_RUNTIME = 28 * 86_400
"""Seconds that a training job may run (API reference, StoppingCondition)."""

MAX_HYPERBAND = 20_000
"""The largest MaxResource (API reference, HyperbandStrategyConfig)."""


def problems(request: Mapping[str, Any], operation: str = "CreateHyperParameterTuningJob") -> list[Violation]:
    """Return every rule that a request breaks; none for one that the service takes, as far as can be known here.

    Args:
        request: its members, as boto3 takes them.
        operation: of the service.
    """
    found = shape_problems(request, operation)
    if not found:
        rules = {"CreateHyperParameterTuningJob": _tuning_rules, "CreateTrainingJob": _training_rules}
        found = list(rules.get(operation, _no_rules)(request))
    return found


def _no_rules(_request: Mapping[str, Any]) -> Iterator[Violation]:
    return iter(())


def _tuning_rules(request: Mapping[str, Any]) -> Iterator[Violation]:
    config = request["HyperParameterTuningJobConfig"]
    one, several = request.get("TrainingJobDefinition"), request.get("TrainingJobDefinitions")
    if (one is None) == (several is None):
        yield Violation(
            "TrainingJobDefinition", "exactly one of TrainingJobDefinition and TrainingJobDefinitions must be given"
        )
        return
    yield from _limit_rules(config)
    yield from _strategy_rules(config, several is not None)
    definitions = [("TrainingJobDefinition", one)] if one is not None else [
        (f"TrainingJobDefinitions[{index}]", each) for index, each in enumerate(several or ())
    ]  # fmt: skip
    objectives = several is not None or config.get("HyperParameterTuningJobObjective") is not None
    if not objectives and (one or {}).get("TuningObjective") is None:
        yield Violation("HyperParameterTuningJobConfig.HyperParameterTuningJobObjective", "an objective must be given")
    for path, definition in definitions:
        own = definition.get("HyperParameterRanges")
        where = f"{path}.HyperParameterRanges" if own is not None else "HyperParameterTuningJobConfig.ParameterRanges"
        yield from _range_rules(own or config.get("ParameterRanges") or {}, where, definition, path, config)
        yield from _definition_rules(definition, path)
    if several is not None:
        yield from _several_rules(several)
    yield from _autotune_rules(request, config)


def _limit_rules(config: Mapping[str, Any]) -> Iterator[Violation]:
    path = "HyperParameterTuningJobConfig.ResourceLimits"
    limits = config["ResourceLimits"]
    jobs, parallel = limits.get("MaxNumberOfTrainingJobs"), limits["MaxParallelTrainingJobs"]
    most = MAX_RANDOM_JOBS if config["Strategy"] == "Random" else MAX_JOBS
    if jobs is not None and jobs > most:
        yield Violation(f"{path}.MaxNumberOfTrainingJobs", f"Member must have value less than or equal to {most}")
    if jobs is not None and parallel > jobs:
        yield Violation(f"{path}.MaxParallelTrainingJobs", "must not be above MaxNumberOfTrainingJobs")
    if jobs is None and config["Strategy"] != "Grid":
        yield Violation(f"{path}.MaxNumberOfTrainingJobs", "Member must not be null unless the strategy is Grid")


def _strategy_rules(config: Mapping[str, Any], several: bool) -> Iterator[Violation]:
    strategy, path = config["Strategy"], "HyperParameterTuningJobConfig"
    hyperband = (config.get("StrategyConfig") or {}).get("HyperbandStrategyConfig")
    if hyperband is not None and strategy != "Hyperband":
        yield Violation(f"{path}.StrategyConfig.HyperbandStrategyConfig", "needs the strategy Hyperband")
    if strategy == "Hyperband" and config.get("TrainingJobEarlyStoppingType", "Off") != "Off":
        yield Violation(f"{path}.TrainingJobEarlyStoppingType", "must be Off for Hyperband, which stops jobs itself")
    if hyperband is not None:
        low, high = hyperband.get("MinResource", 1), hyperband.get("MaxResource", MAX_HYPERBAND)
        if low > high:
            yield Violation(
                f"{path}.StrategyConfig.HyperbandStrategyConfig.MinResource", "must not be above MaxResource"
            )
        if high > MAX_HYPERBAND:
            yield Violation(f"{path}.StrategyConfig.HyperbandStrategyConfig.MaxResource", f"Member must have value less than or equal to {MAX_HYPERBAND}")  # fmt: skip
    if several and config.get("ParameterRanges"):
        yield Violation(f"{path}.ParameterRanges", "belongs into each of several definitions")
    if several and config.get("HyperParameterTuningJobObjective"):
        yield Violation(f"{path}.HyperParameterTuningJobObjective", "belongs into each of several definitions")


def _range_rules(
    ranges: Mapping[str, Any], path: str, definition: Mapping[str, Any], where: str, config: Mapping[str, Any]
) -> Iterator[Violation]:
    kinds = ("IntegerParameterRanges", "ContinuousParameterRanges", "CategoricalParameterRanges", "AutoParameters")
    named = [
        (f"{path}.{kind}[{index}]", kind, each) for kind in kinds for index, each in enumerate(ranges.get(kind) or ())
    ]
    if len(named) > MAX_PARAMETERS:
        yield Violation(path, f"a tuning job searches {MAX_PARAMETERS} hyperparameters at most, not {len(named)}")
    seen: set[str] = set()
    static = definition.get("StaticHyperParameters") or {}
    for place, kind, each in named:
        if each["Name"] in seen:
            yield Violation(f"{place}.Name", "a range of this name is there already")
        seen.add(each["Name"])
        if each["Name"] in static:
            yield Violation(f"{where}.StaticHyperParameters.{each['Name']}", "is tuned already")
        if kind in ("IntegerParameterRanges", "ContinuousParameterRanges"):
            yield from _bound_rules(each, place, whole=kind.startswith("Integer"))
            if config["Strategy"] == "Grid":
                yield Violation(place, "a grid search takes categorical ranges only")
        if kind == "CategoricalParameterRanges" and len(set(each["Values"])) < len(each["Values"]):
            yield Violation(f"{place}.Values", "holds a value twice")
    yield from _count_rules(ranges, named, config)


def _bound_rules(declared: Mapping[str, Any], path: str, *, whole: bool) -> Iterator[Violation]:
    bounds = {}
    for side in ("MinValue", "MaxValue"):
        try:
            bounds[side] = float(declared[side])
        except ValueError:
            bounds[side] = math.nan
        if not math.isfinite(bounds[side]) or (whole and bounds[side] != int(bounds[side])):
            yield Violation(f"{path}.{side}", f"must be {'a whole' if whole else 'a finite'} number")
            return
    low, high = bounds["MinValue"], bounds["MaxValue"]
    if low >= high:
        yield Violation(f"{path}.MinValue", "must be below MaxValue")
    scale = declared.get("ScalingType")
    if scale == "Logarithmic" and low <= 0:
        yield Violation(f"{path}.MinValue", "must be above 0 for Logarithmic scaling")
    if scale == "ReverseLogarithmic" and (whole or not (low >= 0 and high < 1)):
        yield Violation(f"{path}.ScalingType", "ReverseLogarithmic needs a continuous range with 0 <= x < 1")


def _count_rules(ranges: Mapping[str, Any], named: Sequence[Any], config: Mapping[str, Any]) -> Iterator[Violation]:
    """Yield that a grid is to run another number of jobs than it has combinations."""
    jobs = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    categorical = ranges.get("CategoricalParameterRanges") or ()
    if config["Strategy"] != "Grid" or jobs is None or len(categorical) < len(named):
        return
    product = math.prod(len(each["Values"]) for each in categorical)
    if jobs != product:
        path = "HyperParameterTuningJobConfig.ResourceLimits.MaxNumberOfTrainingJobs"
        yield Violation(path, f"must be left out for a grid, or be the number of combinations, {product}")


def _definition_rules(definition: Mapping[str, Any], path: str) -> Iterator[Violation]:
    algorithm = definition["AlgorithmSpecification"]
    yield from _algorithm_rules(algorithm, f"{path}.AlgorithmSpecification")
    own, tuned = definition.get("ResourceConfig"), definition.get("HyperParameterTuningResourceConfig")
    if (own is None) == (tuned is None):
        yield Violation(
            f"{path}.ResourceConfig",
            "exactly one of ResourceConfig and HyperParameterTuningResourceConfig must be given",
        )
    if tuned is not None:
        yield from _instance_rules(tuned, f"{path}.HyperParameterTuningResourceConfig")
    yield from _time_rules(definition, path)


def _algorithm_rules(algorithm: Mapping[str, Any], path: str) -> Iterator[Violation]:
    if (algorithm.get("TrainingImage") is None) == (algorithm.get("AlgorithmName") is None):
        yield Violation(f"{path}.TrainingImage", "exactly one of TrainingImage and AlgorithmName must be given")


def _instance_rules(resources: Mapping[str, Any], path: str) -> Iterator[Violation]:
    if resources.get("InstanceConfigs"):
        if resources.get("InstanceType") is not None or resources.get("InstanceCount") is not None:
            yield Violation(f"{path}.InstanceConfigs", "takes the place of InstanceType and InstanceCount")
        return
    if resources.get("AllocationStrategy") is not None:
        yield Violation(f"{path}.AllocationStrategy", "needs InstanceConfigs")
    for name in ("InstanceType", "InstanceCount", "VolumeSizeInGB"):
        if resources.get(name) is None:
            yield Violation(f"{path}.{name}", "Member must not be null")


def _time_rules(definition: Mapping[str, Any], path: str) -> Iterator[Violation]:
    stopping = definition["StoppingCondition"]
    if stopping.get("MaxRuntimeInSeconds", 0) > MAX_RUNTIME:
        where = join(path, "StoppingCondition.MaxRuntimeInSeconds")
        yield Violation(where, f"Member must have value less than or equal to {MAX_RUNTIME}")
    longest, wait = stopping.get("MaxRuntimeInSeconds"), stopping.get("MaxWaitTimeInSeconds")
    where = join(path, "StoppingCondition.MaxWaitTimeInSeconds")
    if definition.get("EnableManagedSpotTraining") and wait is None:
        yield Violation(where, "Member must not be null for managed spot training")
    if wait is not None and not definition.get("EnableManagedSpotTraining"):
        yield Violation(where, "needs EnableManagedSpotTraining")
    if wait is not None and longest is not None and wait < longest:
        yield Violation(where, "must not be below MaxRuntimeInSeconds")


def _several_rules(definitions: Sequence[Mapping[str, Any]]) -> Iterator[Violation]:
    seen: set[str] = set()
    for index, each in enumerate(definitions):
        name, path = each.get("DefinitionName"), f"TrainingJobDefinitions[{index}]"
        if name is None:
            yield Violation(f"{path}.DefinitionName", "Member must not be null in one of several definitions")
        elif name in seen:
            yield Violation(f"{path}.DefinitionName", "a definition of this name is there already")
        seen.add(name or "")
        for member in ("TuningObjective", "HyperParameterRanges"):
            if each.get(member) is None:
                yield Violation(f"{path}.{member}", "Member must not be null in one of several definitions")


def _autotune_rules(request: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Violation]:
    if request.get("Autotune") is None and (config.get("ParameterRanges") or {}).get("AutoParameters"):
        yield Violation("HyperParameterTuningJobConfig.ParameterRanges.AutoParameters", "needs Autotune")


def _training_rules(request: Mapping[str, Any]) -> Iterator[Violation]:
    algorithm = request.get("AlgorithmSpecification")
    if algorithm is not None:
        yield from _algorithm_rules(algorithm, "AlgorithmSpecification")
    if request.get("StoppingCondition") is not None:
        yield from _time_rules(request, "")
    warm = (request.get("ResourceConfig") or {}).get("KeepAlivePeriodInSeconds")
    if warm and request.get("EnableManagedSpotTraining"):  # "Considerations" of "SageMaker AI managed warm pools"
        yield Violation("ResourceConfig.KeepAlivePeriodInSeconds", "excludes managed spot training: keep one of them")
