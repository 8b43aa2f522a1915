"""From SageMaker's request, or what it describes of a live job, to the spec; nothing is lost.

Whatever the neutral fields can say goes there, so that the job runs on another provider. The rest, and every way of
writing that is not ours (``1e-05`` for ``1e-5``, JSON in categories), becomes native settings: the difference between
our translation of the neutral fields and the request. So the job's own request is the given one, by construction.
"""

import copy
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from cloudtune.errors import Problem, SpecError
from cloudtune.interop import legal_names
from cloudtune.planning.reading import read_job, with_native
from cloudtune.planning.translation import with_environment
from cloudtune.planning.violations import refuse
from cloudtune.spec.job import TuningJob
from cloudtune.spec.objective import check_regex
from cloudtune_sagemaker.algorithms import OBJECTIVE_METRIC, algorithm_of
from cloudtune_sagemaker.rules import problems
from cloudtune_sagemaker.schema import members, response_members
from cloudtune_sagemaker.space import CONFIG, DEFINITION, MERGING, PROGRAM, space_of, unpacked_spec
from cloudtune_sagemaker.translate import bare_request
from cloudtune_sagemaker.workload import CHANNEL, DEFAULT_DISK, DEFAULT_TRIAL_TIME, PROVIDER, VARIABLES

SOURCE = "the SageMaker request"
"""How messages call what is parsed."""

_STRATEGIES = {"Bayesian": "bayesian", "Random": "random", "Grid": "grid", "Hyperband": "hyperband"}
_KINDS = {"IdenticalDataAndAlgorithm": "identical", "TransferLearning": "transfer"}
_OBJECTIVE = "_tuning_objective_metric"
"""The static hyperparameter by which the service tells a training job what it is measured by."""

_MAX_RESOURCE = 100
"""For a Hyperband whose resources the service is to choose."""


def parse(data: Any) -> TuningJob:
    """Return the spec of a tuning job.

    Args:
        data: a body of CreateHyperParameterTuningJob, or an answer of DescribeHyperParameterTuningJob.

    Returns:
        A job whose translation is the request again; see `CloudProvider.to_native`.

    Raises:
        SpecError: it is no such request, or one that the service would refuse; says where in the request.
    """
    request = _request(data)
    static = _definitions(request)[0].get("StaticHyperParameters") or {}
    variables = _definitions(request)[0].get("Environment") or {}
    return _with_native(read_job(unpacked_spec(static), lambda: _neutral(request), variables, SOURCE), request)


_RANGES = ("IntegerParameterRanges", "ContinuousParameterRanges", "CategoricalParameterRanges", "AutoParameters")
_OWN = ("sagemaker_", "cloudtune_spec_")
"""Beginnings of static hyperparameters that are none of the user's."""


def with_legal_names(data: Any) -> tuple[Any, dict[str, str]]:
    """Return the request with names that a spec may have, and the new ones by the old; see `Provider.with_legal_names`."""
    request = _request(data)
    static = [each.get("StaticHyperParameters") or {} for each in _definitions(request)]
    ranges = [each for found in _ranges_of(request) for kind in _RANGES for each in found.get(kind) or ()]
    own = [name for each in static for name in each if not name.startswith(_OWN)]
    names = legal_names(dict.fromkeys([*(each["Name"] for each in ranges), *own]))
    renamed = {name: legal for name, legal in names.items() if name != legal}
    if not renamed or unpacked_spec(static[0]) is not None:
        return data, {}
    request = copy.deepcopy(request)
    for found in _ranges_of(request):
        for kind in _RANGES:
            for each in found.get(kind) or ():
                each["Name"] = names[each["Name"]]
    for definition in _definitions(request):
        if definition.get("StaticHyperParameters"):
            values = definition["StaticHyperParameters"]
            definition["StaticHyperParameters"] = {names.get(name, name): text for name, text in values.items()}
    return request, renamed


def _ranges_of(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all ranges of a request: the job's, and those of its definitions."""
    found = [request[CONFIG].get("ParameterRanges"), *(e.get("HyperParameterRanges") for e in _definitions(request))]
    return [each for each in found if each]


def _request(data: Any) -> dict[str, Any]:
    """Return the members of a request, without those that only an answer has."""
    if not isinstance(data, Mapping):
        raise SpecError([Problem("", "it is no object; give the body of CreateHyperParameterTuningJob")], SOURCE)
    answer = response_members("DescribeHyperParameterTuningJob") - members()
    request = {name: value for name, value in data.items() if name not in answer and value is not None}
    if answer & data.keys():
        request = _as_it_was_sent(request)
    refuse(problems(request), SOURCE)
    return request


def _as_it_was_sent(described: dict[str, Any]) -> dict[str, Any]:
    """Return a described request without what the service itself has put there."""
    several, one = described.get(f"{DEFINITION}s"), described.get(DEFINITION)
    if isinstance(several, list):
        return {**described, f"{DEFINITION}s": [_definition_as_it_was_sent(each) for each in several]}
    return {**described, DEFINITION: _definition_as_it_was_sent(one)} if one is not None else described


def _definition_as_it_was_sent(definition: Any) -> Any:
    """Return a definition without the objective among the static hyperparameters and the metrics, and without an algorithm's own metrics."""
    static = definition.get("StaticHyperParameters") if isinstance(definition, Mapping) else None
    if not isinstance(static, Mapping) or _OBJECTIVE not in static:
        return definition
    sent = MERGING.merge(dict(definition), {"StaticHyperParameters": {_OBJECTIVE: None}})
    specification = definition.get("AlgorithmSpecification")
    told = specification.get("MetricDefinitions") if isinstance(specification, Mapping) else None
    if not isinstance(told, list) or not all(isinstance(each, Mapping) for each in told):
        return sent
    own = [each for each in told if each.get("Name") != OBJECTIVE_METRIC]
    algorithm = algorithm_of(specification)
    if algorithm is not None and all(algorithm.knows(each.get("Name", "")) for each in own):
        own = []
    kept = {name: value for name, value in specification.items() if name != "MetricDefinitions"}
    return {**sent, "AlgorithmSpecification": {**kept, "MetricDefinitions": own} if own else kept}


def _definitions(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    several: list[dict[str, Any]] = request.get(f"{DEFINITION}s") or []
    return several or [request[DEFINITION]]


def _with_native(neutral: TuningJob, request: Mapping[str, Any]) -> TuningJob:
    """Return the neutral job with native settings that make its request the given one."""
    job = neutral.model_copy(update={"sagemaker": {}})
    program = {DEFINITION: {"StaticHyperParameters": {PROGRAM: "…"}}}
    own = PROGRAM in (_definitions(request)[0].get("StaticHyperParameters") or {})
    if own and not any(
        each["ChannelName"] == CHANNEL for each in _definitions(request)[0].get("InputDataConfig") or ()
    ):
        job = job.model_copy(update={"sagemaker": program})  # the toolkit starts the user's own program
    ours = with_environment(bare_request(job), job.trial.environment, VARIABLES)
    return with_native(neutral, PROVIDER, request, ours, MERGING)


# The neutral fields


def _neutral(request: Mapping[str, Any]) -> dict[str, Any]:
    config, definitions = request[CONFIG], _definitions(request)
    definition = definitions[0]
    objective = config.get("HyperParameterTuningJobObjective") or definition["TuningObjective"]
    regexes = _regexes(definition)
    data = {
        "name": request["HyperParameterTuningJobName"],
        "trial": _trial(definition),
        "objective": _objective(objective, regexes),
        "metrics": {name: regex for name, regex in regexes.items() if name != objective["MetricName"]},
        "space": space_of(config, definitions),
        "strategy": _strategy(config),
        "stopping": {"type": "auto"} if config.get("TrainingJobEarlyStoppingType") == "Auto" else None,
        "limits": _limits(config, definition),
        "warm_start": _warm_start(request),
        "compute": _compute(definition),
        "data": _data(definition),
        "output": _s3(definition["OutputDataConfig"]["S3OutputPath"]),
        "network": _network(definition),
        "identity": definition["RoleArn"],
        "encryption": _encryption(definition),
        "tags": {tag["Key"]: tag["Value"] for tag in request.get("Tags") or ()},
    }
    if not data["space"]:
        raise SpecError([Problem(f"{CONFIG}.ParameterRanges", "names nothing to search")], SOURCE)
    return {name: value for name, value in data.items() if value not in (None, {})}


def _trial(definition: Mapping[str, Any]) -> dict[str, Any]:
    static = definition.get("StaticHyperParameters") or {}
    trial: dict[str, Any] = {"environment": dict(definition.get("Environment") or {})}
    image = definition["AlgorithmSpecification"].get("TrainingImage")
    program = _decoded(static[PROGRAM]) if PROGRAM in static else None
    if program is not None:
        trial["command"] = f"{'python' if program.endswith('.py') else 'sh'} {program}"
    # An algorithm of the service's own stands for an image: the spec must say what a trial runs.
    trial["image"] = image or {"sagemaker": definition["AlgorithmSpecification"]["AlgorithmName"]}
    return trial


def _decoded(text: str) -> str:
    """Return a text that the SDK may have put into JSON."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str) else text


def _regexes(definition: Mapping[str, Any]) -> dict[str, str]:
    """Return the metric definitions whose regexes we understand; one of a name."""
    found: dict[str, str] = {}
    for each in definition["AlgorithmSpecification"].get("MetricDefinitions") or ():
        try:
            found.setdefault(each["Name"], check_regex(each["Regex"]))
        except ValueError:
            continue  # it stays in the native settings
    return found


def _objective(declared: Mapping[str, str], regexes: Mapping[str, str]) -> dict[str, Any]:
    name = declared["MetricName"]
    objective = {"metric": name, "goal": declared["Type"].lower()}
    return {**objective, "regex": regexes[name]} if name in regexes else objective


def _strategy(config: Mapping[str, Any]) -> dict[str, Any]:
    strategy: dict[str, Any] = {"type": _STRATEGIES[config["Strategy"]]}
    seed = config.get("RandomSeed")
    if seed is not None and strategy["type"] != "grid" and seed < 2**31:
        strategy["seed"] = seed
    if strategy["type"] == "hyperband":
        resources = (config.get("StrategyConfig") or {}).get("HyperbandStrategyConfig") or {}
        most = resources.get("MaxResource", max(_MAX_RESOURCE, resources.get("MinResource", 1)))
        strategy |= {"min_resource": resources.get("MinResource", 1), "max_resource": most}
    return strategy


def _limits(config: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, Any]:
    resources, completion = config["ResourceLimits"], config.get("TuningJobCompletionCriteria") or {}
    longest = definition["StoppingCondition"].get("MaxRuntimeInSeconds")
    target = completion.get("TargetObjectiveMetricValue")
    limits = {
        "trials": resources.get("MaxNumberOfTrainingJobs"),
        "parallel": resources["MaxParallelTrainingJobs"],
        "time": resources.get("MaxRuntimeInSeconds"),
        "trial_time": None if longest == DEFAULT_TRIAL_TIME else longest,
        "target": target if target is not None and math.isfinite(target) else None,
        "no_improvement": (completion.get("BestObjectiveNotImproving") or {}).get(
            "MaxNumberOfTrainingJobsNotImproving"
        ),
    }
    return {name: value for name, value in limits.items() if value is not None}


def _warm_start(request: Mapping[str, Any]) -> dict[str, Any] | None:
    declared = request.get("WarmStartConfig")
    if declared is None:
        return None
    runs = [parent["HyperParameterTuningJobName"] for parent in declared["ParentHyperParameterTuningJobs"]]
    return {"runs": runs, "kind": _KINDS[declared["WarmStartType"]]} if all(runs) else None


def _compute(definition: Mapping[str, Any]) -> dict[str, Any]:
    resources = definition.get("ResourceConfig") or definition.get("HyperParameterTuningResourceConfig") or {}
    several = resources.get("InstanceConfigs") or resources.get("InstanceGroups") or [{}]
    disk = resources.get("VolumeSizeInGB") or several[0].get("VolumeSizeInGB") or DEFAULT_DISK
    spot = bool(definition.get("EnableManagedSpotTraining"))
    compute = {
        "instance": resources.get("InstanceType") or _instances(several),
        "count": resources.get("InstanceCount") or several[0].get("InstanceCount") or 1,
        "disk": None if disk == DEFAULT_DISK else f"{disk}GB",
        "spot": spot or None,
        "max_wait": definition["StoppingCondition"].get("MaxWaitTimeInSeconds") if spot else None,
    }
    return {name: value for name, value in compute.items() if value is not None and (name, value) != ("count", 1)}


def _instances(several: Sequence[Mapping[str, Any]]) -> str | list[str] | None:
    """Return the machine types of InstanceConfigs that differ in nothing else; else the first one."""
    types = [each.get("InstanceType") for each in several]
    alike = all({**each, "InstanceType": None} == {**several[0], "InstanceType": None} for each in several)
    return (
        [str(kind) for kind in types]
        if alike and len(types) > 1 and "InstanceGroupName" not in several[0]
        else types[0]
    )


def _data(definition: Mapping[str, Any]) -> dict[str, str]:
    places = {}
    for each in definition.get("InputDataConfig") or ():
        source = each["DataSource"].get("S3DataSource")
        place = None if source is None else _s3(source["S3Uri"])
        if place is not None:
            places[each["ChannelName"]] = place
    return places


def _s3(place: str) -> str | None:
    """Return a place in S3 as the spec writes it; the service also takes the https:// of a bucket, which stays native."""
    return place if place.startswith("s3://") else None


def _network(definition: Mapping[str, Any]) -> dict[str, Any] | None:
    vpc = definition.get("VpcConfig") or {}
    network = {
        "subnets": vpc.get("Subnets"),
        "security_groups": vpc.get("SecurityGroupIds"),
        "isolated": definition.get("EnableNetworkIsolation"),
    }
    return {name: value for name, value in network.items() if value} or None


def _encryption(definition: Mapping[str, Any]) -> dict[str, Any] | None:
    resources = definition.get("ResourceConfig") or definition.get("HyperParameterTuningResourceConfig") or {}
    encryption = {
        "key": definition["OutputDataConfig"].get("KmsKeyId"),
        "volume_key": resources.get("VolumeKmsKeyId"),
        "traffic": definition.get("EnableInterContainerTrafficEncryption"),
    }
    return {name: value for name, value in encryption.items() if value} or None
