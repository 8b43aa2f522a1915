"""What SageMaker accepts: botocore's own model of a request, which botocore checks only in part, and the service's rules.

Botocore checks members, types and minimums. Here lengths, patterns and enums of the same model are checked too, and
what the service's documents add (the API reference of CreateHyperParameterTuningJob, and "Resource Limits for
Automatic Model Tuning" in the developer guide).
"""

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

MAX_PARAMETERS = 30
"""Hyperparameters that a tuning job may search ("Resource Limits for Automatic Model Tuning")."""

MAX_VALUES = 30
"""Values of a categorical range (botocore: ParameterValues)."""

MAX_TEXT = 256
"""Characters of a value of a range (botocore: ParameterValue)."""

MAX_JOBS = 750
"""Training jobs of a tuning job, but 10,000 of a random one ("Resource Limits for Automatic Model Tuning")."""

MAX_RANDOM_JOBS = 10_000

MAX_HYPERBAND = 20_000
"""The largest MaxResource (API reference, HyperbandStrategyConfig)."""

Check = Callable[[Any, str], Iterator["Violation"]]


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that a request breaks.

    Attributes:
        path: into the request, e.g. ``TrainingJobDefinition.InputDataConfig[0].ChannelName``.
        message: the rule, as it follows "failed to satisfy constraint:".
    """

    path: str
    message: str


def problems(request: Mapping[str, Any], operation: str = "CreateHyperParameterTuningJob") -> list[Violation]:
    """Every rule that a request breaks; none for one that the service takes, as far as can be known here.

    Args:
        request: its members, as boto3 takes them.
        operation: of the service.
    """
    found = list(_checker(operation)(request, ""))
    if not found:
        rules = {"CreateHyperParameterTuningJob": _tuning_rules, "CreateTrainingJob": _training_rules}
        found = list(rules.get(operation, _no_rules)(request))
    return found


def members(operation: str = "CreateHyperParameterTuningJob") -> frozenset[str]:
    """The names of a request's members."""
    return frozenset(_model().operation_model(operation).input_shape.members)


def response_members(operation: str) -> frozenset[str]:
    """The names of an answer's members, and of what botocore adds."""
    return frozenset(_model().operation_model(operation).output_shape.members) | {"ResponseMetadata"}


# Botocore's model


@cache
def _model() -> Any:  # botocore.model.ServiceModel, which has no types
    from botocore.loaders import Loader  # noqa: PLC0415  # nothing of AWS is loaded before a request is checked
    from botocore.model import ServiceModel  # noqa: PLC0415

    return ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")


@cache
def _checker(operation: str) -> Check:
    return _compile(_model().operation_model(operation).input_shape, {})


def _compile(shape: Any, known: dict[str, Check]) -> Check:
    """A function that checks values of a shape; shapes may hold themselves."""
    if shape.name not in known:
        known[shape.name] = lambda value, path: known[shape.name](value, path)  # noqa: PLW0108  # looked up when called
        known[shape.name] = _COMPILERS.get(shape.type_name, _anything)(shape, known)
    return known[shape.name]


def _structure(shape: Any, known: dict[str, Check]) -> Check:
    parts = {name: _compile(member, known) for name, member in shape.members.items()}
    required = tuple(shape.required_members)

    def check(value: Any, path: str) -> Iterator[Violation]:
        if not isinstance(value, Mapping):
            yield Violation(path, "Member must be a structure")
            return
        for name in required:
            if value.get(name) is None:
                yield Violation(_join(path, name), "Member must not be null")
        for name, part in value.items():
            if name in parts:
                yield from parts[name](part, _join(path, name))
            else:
                near = difflib.get_close_matches(str(name), parts, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                yield Violation(_join(path, str(name)), f"Member is not known{hint}")

    return check


def _list(shape: Any, known: dict[str, Check]) -> Check:
    item, sized = _compile(shape.member, known), _sized(shape)

    def check(value: Any, path: str) -> Iterator[Violation]:
        if not isinstance(value, list | tuple):
            yield Violation(path, "Member must be a list")
            return
        yield from sized(len(value), path)
        for index, part in enumerate(value):
            yield from item(part, f"{path}[{index}]")

    return check


def _map(shape: Any, known: dict[str, Check]) -> Check:
    key, item, sized = _compile(shape.key, known), _compile(shape.value, known), _sized(shape)

    def check(value: Any, path: str) -> Iterator[Violation]:
        if not isinstance(value, Mapping):
            yield Violation(path, "Member must be a map")
            return
        yield from sized(len(value), path)
        for name, part in value.items():
            yield from key(name, _join(path, str(name)))
            yield from item(part, _join(path, str(name)))

    return check


def _string(shape: Any, _known: dict[str, Check]) -> Check:
    sized = _sized(shape)
    written = shape.metadata.get("pattern")
    pattern = None if written is None else _python_pattern(written)
    allowed = frozenset(shape.enum)

    def check(value: Any, path: str) -> Iterator[Violation]:
        if not isinstance(value, str):
            yield Violation(path, "Member must be a string")
            return
        yield from sized(len(value), path)
        if allowed and value not in allowed:
            yield Violation(path, f"Member must satisfy enum value set: [{', '.join(sorted(allowed))}]")
        if pattern is not None and not pattern.fullmatch(value):
            yield Violation(path, f"Member must satisfy regular expression pattern: {written}")

    return check


def _number(shape: Any, _known: dict[str, Check]) -> Check:
    whole = shape.type_name in ("integer", "long")
    low, high = shape.metadata.get("min", -math.inf), shape.metadata.get("max", math.inf)

    def check(value: Any, path: str) -> Iterator[Violation]:
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            yield Violation(path, f"Member must be {'a whole number' if whole else 'a number'}")
        elif value < low:
            yield Violation(path, f"Member must have value greater than or equal to {low}")
        elif value > high:
            yield Violation(path, f"Member must have value less than or equal to {high}")

    return check


def _boolean(_shape: Any, _known: dict[str, Check]) -> Check:
    def check(value: Any, path: str) -> Iterator[Violation]:
        if not isinstance(value, bool):
            yield Violation(path, "Member must be a boolean")

    return check


def _anything(_shape: Any, _known: dict[str, Check]) -> Check:
    def check(_value: Any, _path: str) -> Iterator[Violation]:
        return iter(())

    return check


_COMPILERS: Mapping[str, Callable[[Any, dict[str, Check]], Check]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _number,
    "long": _number,
    "float": _number,
    "double": _number,
    "boolean": _boolean,
}


def _sized(shape: Any) -> Callable[[int, str], Iterator[Violation]]:
    low, high = shape.metadata.get("min", 0), shape.metadata.get("max", math.inf)

    def check(size: int, path: str) -> Iterator[Violation]:
        if size < low:
            yield Violation(path, f"Member must have length greater than or equal to {low}")
        if size > high:
            yield Violation(path, f"Member must have length less than or equal to {high}")

    return check


_JAVA_CLASSES = {
    r"\p{L}": "a-zA-Z\u00aa-\U0003ffff",
    r"\p{M}": "\u0300-\u036f",
    r"\p{N}": r"\d",
    r"\p{P}": r"!-#%-*,-/:;?@\[-\]_{}",
    r"\p{S}": r"$+<=>^`|~",
    r"\p{Z}": r"\s",
    r"\p{Alnum}": "a-zA-Z0-9",
}
"""Java's classes of Unicode, as parts of a class of Python's; letters generously, punctuation of ASCII alone."""


def _python_pattern(written: str) -> re.Pattern[str] | None:
    """A pattern of the service, which is one of Java; None for one that Python cannot read (of rare operations)."""
    for java, python in _JAVA_CLASSES.items():
        written = written.replace(java, python)
    try:
        return re.compile(written, re.DOTALL)
    except re.error:
        return None


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


# The rules of the service


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
    """A grid runs all combinations; a finite space needs as many as there are jobs."""
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
    yield from _spot_rules(definition, path)


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


def _spot_rules(definition: Mapping[str, Any], path: str) -> Iterator[Violation]:
    stopping = definition["StoppingCondition"]
    longest, wait = stopping.get("MaxRuntimeInSeconds"), stopping.get("MaxWaitTimeInSeconds")
    where = f"{path}.StoppingCondition.MaxWaitTimeInSeconds" if path else "StoppingCondition.MaxWaitTimeInSeconds"
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
        yield from _spot_rules(request, "")
