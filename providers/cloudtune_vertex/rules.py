"""What Vertex AI accepts: the SDK's fields, and the rules that the service's reference adds in words.

The rules are those of the comments in google/cloud/aiplatform/v1/{study,custom_job,hyperparameter_tuning_job}.proto,
and of "Labels" in the Vertex AI documentation. The SDK checks none of them.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cloudtune.planning.plain_data import join
from cloudtune.planning.violations import Violation
from cloudtune_vertex.schema import normal, seconds_of

MAX_DISPLAY_NAME = 128
"""Characters (HyperparameterTuningJob.display_name)."""

MAX_DISCRETE = 1000
"""Values of a discrete parameter (DiscreteValueSpec.values)."""

MIN_DISTANCE = 1e-10
"""Between two values of a discrete parameter (DiscreteValueSpec.values)."""

MAX_VARIABLES = 100
"""Environment variables of a container (ContainerSpec.env)."""

MAX_PACKAGES = 100
"""Packages of a program (PythonPackageSpec.package_uris)."""

MAX_POOLS = 4
"""Chief, workers, parameter servers or reduction server, and evaluators ("Distributed training")."""

MAX_LABELS = 64
MAX_LABEL = 63
"""Characters of a label's key or value ("Requirements for labels")."""

VALUE_SPECS = ("doubleValueSpec", "integerValueSpec", "categoricalValueSpec", "discreteValueSpec")
CONDITIONS = {
    "parentDiscreteValues": "discreteValueSpec",
    "parentIntValues": "integerValueSpec",
    "parentCategoricalValues": "categoricalValueSpec",
}
"""The ways to tie a parameter to its parent's values, and the kind of parent that each needs."""

_LABEL = re.compile(r"[^\W_][\w-]*")
_NETWORK = re.compile(r"projects/[^/]+/global/networks/[^/]+")
_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+(/cryptoKeyVersions/[^/]+)?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Message = Mapping[str, Any]


def problems(data: Any, message: str = "HyperparameterTuningJob") -> list[Violation]:
    """Return every rule that a message breaks; none for one that the service takes, as far as can be known here.

    Args:
        data: the message in any spelling that the service takes.
        message: ``HyperparameterTuningJob`` or ``CustomJob``.
    """
    form, found = normal(data, message)
    if not found:
        found = list(_tuning_rules(form) if message == "HyperparameterTuningJob" else _custom_job_rules(form))
    return found


def _tuning_rules(job: Message) -> Iterator[Violation]:
    yield from _resource_rules(job)
    study = job.get("studySpec")
    if study is None:
        yield Violation("studySpec", "must be given")
    else:
        yield from _metric_rules(study.get("metrics", []))
        yield from _space_rules(study)
    for name in ("maxTrialCount", "parallelTrialCount"):
        if job.get(name, 0) < 1:
            yield Violation(name, "must be 1 or more")
    if job.get("maxFailedTrialCount", 0) < 0:
        yield Violation("maxFailedTrialCount", "must not be below 0")
    if job.get("trialJobSpec") is None:
        yield Violation("trialJobSpec", "must be given")
    else:
        yield from _job_spec_rules(job["trialJobSpec"], "trialJobSpec")


def _custom_job_rules(job: Message) -> Iterator[Violation]:
    yield from _resource_rules(job)
    if job.get("jobSpec") is None:
        yield Violation("jobSpec", "must be given")
    else:
        yield from _job_spec_rules(job["jobSpec"], "jobSpec")


# What all jobs have


def _resource_rules(job: Message) -> Iterator[Violation]:
    name = job.get("displayName", "")
    if not name:
        yield Violation("displayName", "must be given")
    if len(name) > MAX_DISPLAY_NAME:
        yield Violation("displayName", f"has {len(name)} characters, more than {MAX_DISPLAY_NAME}")
    labels = job.get("labels", {})
    if len(labels) > MAX_LABELS:
        yield Violation("labels", f"are {len(labels)}, more than {MAX_LABELS}")
    for key, value in labels.items():
        yield from _label_rules(key, value)
    encryption = job.get("encryptionSpec")
    if encryption is not None and not _KEY.fullmatch(encryption.get("kmsKeyName", "")):
        expected = "projects/…/locations/…/keyRings/…/cryptoKeys/…"
        yield Violation("encryptionSpec.kmsKeyName", f"must be the full name of a key: {expected}")


def _label_rules(key: str, value: str) -> Iterator[Violation]:
    letters = "lowercase letters, digits, dashes and underscores"
    if not _LABEL.fullmatch(key) or key[0].isdigit() or key != key.lower() or len(key) > MAX_LABEL:
        yield Violation(f"labels.{key}", f"a key is of {letters}, a letter first, {MAX_LABEL} at most")
    if value and (not re.fullmatch(r"[\w-]+", value) or value != value.lower() or len(value) > MAX_LABEL):
        yield Violation(f"labels.{key}", f"a value is of {letters}, {MAX_LABEL} at most, not {value!r}")


# The study


def _metric_rules(metrics: Sequence[Message]) -> Iterator[Violation]:
    if not metrics:
        yield Violation("studySpec.metrics", "must name a metric")
    seen: set[str] = set()
    for index, metric in enumerate(metrics):
        name, path = metric.get("metricId", ""), f"studySpec.metrics[{index}].metricId"
        yield from _name_rules(name, path)
        if name in seen:
            yield Violation(path, f"the metric {name!r} stands twice")
        seen.add(name)
        fraction = metric.get("safetyConfig", {}).get("desiredMinSafeTrialsFraction", 0.0)
        if not 0 <= fraction <= 1:
            where = f"studySpec.metrics[{index}].safetyConfig.desiredMinSafeTrialsFraction"
            yield Violation(where, f"must lie between 0 and 1, not be {fraction}")


def _name_rules(name: str, path: str) -> Iterator[Violation]:
    if not name or re.search(r"\s", name):
        yield Violation(path, f"must be a name without white space, not {name!r}")


def _space_rules(study: Message) -> Iterator[Violation]:
    parameters = study.get("parameters", [])
    if not parameters:
        yield Violation("studySpec.parameters", "must name a parameter")
    seen: set[str] = set()
    grid = study.get("algorithm") == "GRID_SEARCH"
    for index, parameter in enumerate(parameters):
        yield from _parameter_rules(parameter, f"studySpec.parameters[{index}]", seen, grid=grid)


def _parameter_rules(parameter: Message, path: str, seen: set[str], *, grid: bool) -> Iterator[Violation]:
    name = parameter.get("parameterId", "")
    yield from _name_rules(name, f"{path}.parameterId")
    if name in seen:
        yield Violation(f"{path}.parameterId", f"the parameter {name!r} stands twice")
    seen.add(name)
    kind = next((each for each in VALUE_SPECS if each in parameter), None)
    if kind is None:
        yield Violation(path, f"must have one of {', '.join(VALUE_SPECS)}")
        return
    if grid and kind == "doubleValueSpec":
        yield Violation(f"{path}.{kind}", "a grid search takes integer, discrete and categorical parameters only")
    check = _listed_rules if kind in ("categoricalValueSpec", "discreteValueSpec") else _bound_rules
    yield from check(parameter, kind, f"{path}.{kind}")
    for index, child in enumerate(parameter.get("conditionalParameterSpecs", [])):
        where = f"{path}.conditionalParameterSpecs[{index}]"
        yield from _condition_rules(child, parameter, where)
        yield from _parameter_rules(child.get("parameterSpec", {}), f"{where}.parameterSpec", seen, grid=grid)


def _bound_rules(parameter: Message, kind: str, path: str) -> Iterator[Violation]:
    spec = parameter[kind]
    low, high = spec["minValue"], spec["maxValue"]
    if not low <= high:
        yield Violation(f"{path}.minValue", f"{low} is above maxValue {high}")
    if parameter.get("scaleType", "UNIT_LINEAR_SCALE") != "UNIT_LINEAR_SCALE" and low <= 0:
        yield Violation(f"{path}.minValue", f"must be above 0 for {parameter['scaleType']}, not {low}")
    if "defaultValue" in spec and not low <= spec["defaultValue"] <= high:
        yield Violation(f"{path}.defaultValue", f"{spec['defaultValue']} is not between {low} and {high}")


def _listed_rules(parameter: Message, kind: str, path: str) -> Iterator[Violation]:
    values = parameter[kind].get("values", [])
    if not values:
        yield Violation(f"{path}.values", "must hold a value")
    elif len(set(values)) < len(values):
        yield Violation(f"{path}.values", "holds a value twice")
    elif kind == "discreteValueSpec":
        yield from _discrete_rules(parameter, values, path)
    default = parameter[kind].get("defaultValue")
    if default is not None and values and default not in values:
        yield Violation(f"{path}.defaultValue", f"{default!r} is none of the values")


def _discrete_rules(parameter: Message, values: Sequence[float], path: str) -> Iterator[Violation]:
    if len(values) > MAX_DISCRETE:
        yield Violation(f"{path}.values", f"are {len(values)}, more than {MAX_DISCRETE}")
    if any(later - value < MIN_DISTANCE for value, later in itertools.pairwise(values)):
        yield Violation(f"{path}.values", f"must increase, by {MIN_DISTANCE:g} at least")
    if parameter.get("scaleType", "UNIT_LINEAR_SCALE") != "UNIT_LINEAR_SCALE" and values[0] <= 0:
        yield Violation(f"{path}.values", f"must be above 0 for {parameter['scaleType']}")


def _condition_rules(child: Message, parent: Message, path: str) -> Iterator[Violation]:
    condition = next((each for each in CONDITIONS if each in child), None)
    if condition is None:
        yield Violation(path, f"must have one of {', '.join(CONDITIONS)}")
        return
    kind = CONDITIONS[condition]
    values = child[condition].get("values", [])
    where = f"{path}.{condition}.values"
    if not values:
        yield Violation(where, "must hold a value of the parent")
    if kind not in parent:
        yield Violation(f"{path}.{condition}", f"needs a parent with {kind}")
    elif kind == "integerValueSpec":
        low, high = parent[kind]["minValue"], parent[kind]["maxValue"]
        if any(not low <= value <= high for value in values):
            yield Violation(where, f"must lie between the parent's {low} and {high}")
    else:
        strange = [value for value in values if not _is_among(value, parent[kind].get("values", []))]
        if strange:
            yield Violation(where, f"{strange[0]!r} is none of the parent's values")


def _is_among(value: Any, values: Sequence[Any]) -> bool:
    if isinstance(value, float):  # "The Double values must match with the values set in the parent", within 1e-10
        return any(abs(value - each) <= MIN_DISTANCE for each in values)
    return value in values


# The jobs of the trials


def _job_spec_rules(spec: Message, path: str) -> Iterator[Violation]:
    pools = spec.get("workerPoolSpecs", [])
    if not pools or not pools[0]:
        yield Violation(f"{path}.workerPoolSpecs", "must have a first pool")
    if len(pools) > MAX_POOLS:
        yield Violation(f"{path}.workerPoolSpecs", f"are {len(pools)}, more than {MAX_POOLS}")
    for index, pool in enumerate(pools):
        if pool:
            yield from _pool_rules(pool, f"{path}.workerPoolSpecs[{index}]", spec, first=index == 0)
    yield from _scheduling_rules(spec.get("scheduling", {}), f"{path}.scheduling")
    network = spec.get("network")
    if network is not None and not _NETWORK.fullmatch(network):
        yield Violation(f"{path}.network", f"must be projects/NUMBER/global/networks/NAME, not {network!r}")
    if network is not None and "pscInterfaceConfig" in spec:
        yield Violation(f"{path}.pscInterfaceConfig", "excludes network; keep one of them")
    output = spec.get("baseOutputDirectory")
    if output is not None and not str(output.get("outputUriPrefix", "")).startswith("gs://"):
        yield Violation(f"{path}.baseOutputDirectory.outputUriPrefix", "must be a place in Cloud Storage, gs://…")
    if "tensorboard" in spec and "serviceAccount" not in spec:
        yield Violation(f"{path}.tensorboard", "needs serviceAccount")


def _pool_rules(pool: Message, path: str, spec: Message, *, first: bool) -> Iterator[Violation]:
    replicas = pool.get("replicaCount", 0)
    if replicas < 0 or (first and replicas > 1):
        yield Violation(
            f"{path}.replicaCount", f"must be {'1 in the first pool' if first else '1 or more'}, not {replicas}"
        )
    machine = pool.get("machineSpec", {})
    if not machine.get("machineType") and "persistentResourceId" not in spec:
        yield Violation(f"{path}.machineSpec.machineType", "must be given")
    yield from _machine_rules(machine, f"{path}.machineSpec")
    if "containerSpec" in pool:
        yield from _container_rules(pool["containerSpec"], f"{path}.containerSpec")
    elif "pythonPackageSpec" in pool:
        yield from _package_rules(pool["pythonPackageSpec"], f"{path}.pythonPackageSpec")
    else:
        yield Violation(path, "must have containerSpec or pythonPackageSpec")


def _machine_rules(machine: Message, path: str) -> Iterator[Violation]:
    kind, count = machine.get("acceleratorType", ""), machine.get("acceleratorCount", 0)
    if kind and count < 1 and not kind.startswith("TPU"):
        yield Violation(f"{path}.acceleratorCount", f"must be 1 or more for {kind}")
    if count and not kind:
        yield Violation(f"{path}.acceleratorType", "must be given with acceleratorCount")


def _container_rules(container: Message, path: str) -> Iterator[Violation]:
    if not container.get("imageUri"):
        yield Violation(f"{path}.imageUri", "must be given")
    yield from _variable_rules(container.get("env", []), f"{path}.env")


def _package_rules(package: Message, path: str) -> Iterator[Violation]:
    for name in ("executorImageUri", "packageUris", "pythonModule"):
        if not package.get(name):
            yield Violation(f"{path}.{name}", "must be given")
    if len(package.get("packageUris", [])) > MAX_PACKAGES:
        yield Violation(f"{path}.packageUris", f"are more than {MAX_PACKAGES}")
    for index, place in enumerate(package.get("packageUris", [])):
        if not place.startswith("gs://"):
            yield Violation(f"{path}.packageUris[{index}]", f"must be a place in Cloud Storage, gs://…, not {place!r}")
    yield from _variable_rules(package.get("env", []), f"{path}.env")


def _variable_rules(variables: Sequence[Message], path: str) -> Iterator[Violation]:
    if len(variables) > MAX_VARIABLES:
        yield Violation(path, f"are {len(variables)} variables, more than {MAX_VARIABLES}")
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        name = variable.get("name", "")
        if not _VARIABLE.fullmatch(name):
            yield Violation(f"{path}[{index}].name", f"must be a C identifier, not {name!r}")
        if name in seen:
            yield Violation(f"{path}[{index}].name", f"the variable {name!r} stands twice")
        seen.add(name)


def _scheduling_rules(scheduling: Message, path: str) -> Iterator[Violation]:
    for name in ("timeout", "maxWaitDuration"):
        if seconds_of(scheduling.get(name, "0s")) < 0:
            yield Violation(join(path, name), "must not be below 0")
