"""What the service refuses of a job that is a message already.

From the comments in google/cloud/aiplatform/v1/{study,custom_job,hyperparameter_tuning_job,job_state}.proto, and from
"Labels" and "Distributed training" in the documentation of Vertex AI.
"""

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from cloudtune_vertex.emulator.errors import Refused
from cloudtune_vertex.emulator.model import Message, leaves

Found = Iterator[tuple[str, str]]
"""Paths and what is wrong there."""

PARENTS = {"parent_discrete_values": "discrete_value_spec", "parent_int_values": "integer_value_spec", "parent_categorical_values": "categorical_value_spec"}  # fmt: skip
"""The kind of parameter that each condition needs as its parent (ConditionalParameterSpec)."""

_CLOSE = 1e-10
"""Between discrete values, and of a condition's value from its parent's ("within a 1e-10")."""

_LETTERS = "lowercase letters, digits, dashes and underscores"
_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+(/cryptoKeyVersions/[^/]+)?")
_NETWORK = re.compile(r"projects/[^/]+/global/networks/[^/]+")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def check(message: Message, field: str) -> None:
    """Refuse a message that breaks a rule.

    Args:
        message: a HyperparameterTuningJob or a CustomJob, of protobuf.
        field: the request's, which holds the message.

    Raises:
        Refused: lists what is wrong as the service does.
    """
    _refuse(list(_of_values(message)) or list(_of_job(message)), field)


def check_study(study: Message) -> None:
    """Refuse a Study, of protobuf, that breaks a rule; see `check`."""
    _refuse(list(_of_values(study)) or [*_of_display_name(study), *_of_study(study.study_spec)], "study")


def check_measurement(measurement: Message, study: Message, *, final: bool) -> None:
    """Refuse a Measurement that breaks a rule.

    Args:
        measurement: of protobuf.
        study: the StudySpec.
        final: whether it is that of a trial's end, which has a value of every metric.

    Raises:
        Refused: see `check`.
    """
    _refuse([*_of_values(measurement), *_of_measurement(measurement, study, final=final)], "measurement")


def _of_measurement(measurement: Message, study: Message, *, final: bool) -> Found:
    known = [metric.metric_id for metric in study.metrics]
    told = [metric.metric_id for metric in measurement.metrics]
    if measurement.step_count < 0:
        yield "stepCount", f"must not be below 0, but is {measurement.step_count}"
    for name in told:
        if name not in known:
            yield "metrics", f"{name!r} is no metric of the study; its metrics are: {', '.join(known)}"
        if told.count(name) > 1:
            yield "metrics", f"{name!r} stands twice"
    for name in known:
        if name not in told and final:
            yield "metrics", f"has no value of {name!r}"
    if not told:
        yield "metrics", "must hold a metric"


def _refuse(found: Sequence[tuple[str, str]], field: str) -> None:
    if found:
        lines = [f"{number}.Field: {field}.{path}; Message: {said}" for number, (path, said) in enumerate(found, 1)]
        raise Refused("INVALID_ARGUMENT", "List of found errors:\t" + "\t".join(lines))


def _of_values(message: Message) -> Found:
    for path, field, value in leaves(message):
        if field.enum_type is not None and value not in field.enum_type.values_by_number:
            yield path, f"has no value {value!r}; known are: {', '.join(field.enum_type.values_by_name)}"
        if isinstance(value, float) and not math.isfinite(value):
            yield path, f"must be a number, not {value}"


def _of_job(job: Message) -> Found:
    yield from _of_display_name(job)
    yield from _of_labels(job)
    if job.HasField("encryption_spec") and not _KEY.fullmatch(job.encryption_spec.kms_key_name):
        yield (
            "encryptionSpec.kmsKeyName",
            "must be the full name of a key: projects/…/locations/…/keyRings/…/cryptoKeys/…",
        )
    if job.DESCRIPTOR.name == "CustomJob":
        yield from _of_spec(job.job_spec, "jobSpec")
        return
    yield from _of_study(job.study_spec)
    for name, count in (("maxTrialCount", job.max_trial_count), ("parallelTrialCount", job.parallel_trial_count)):
        if count < 1:
            yield name, f"must be 1 or more, not {count}"
    if job.max_failed_trial_count < 0:
        yield "maxFailedTrialCount", "must not be below 0"
    yield from _of_spec(job.trial_job_spec, "trialJobSpec")


def _of_display_name(message: Message) -> Found:
    if not 1 <= len(message.display_name) <= 128:
        yield "displayName", f"must have 1 to 128 characters, not {len(message.display_name)}"


def _of_labels(job: Message) -> Found:
    if len(job.labels) > 64:
        yield "labels", f"are {len(job.labels)}, more than 64"
    for key, value in job.labels.items():
        if not key[:1].isalpha() or not _is_label(key):
            yield f"labels.{key}", f"a key is of {_LETTERS}, a letter first, 63 at most"
        if value and not _is_label(value):
            yield f"labels.{key}", f"a value is of {_LETTERS}, 63 at most, not {value!r}"


def _is_label(text: str) -> bool:
    return len(text) <= 63 and text == text.lower() and all(char.isalnum() or char in "-_" for char in text)


# The study


def _of_study(study: Message) -> Found:
    if not study.metrics:
        yield "studySpec.metrics", "must name a metric"
    if not study.parameters:
        yield "studySpec.parameters", "must name a parameter"
    seen: set[str] = set()
    for index, metric in enumerate(study.metrics):
        path = f"studySpec.metrics[{index}]"
        yield from _of_name(metric.metric_id, f"{path}.metricId", seen)
        if not 0 <= metric.safety_config.desired_min_safe_trials_fraction <= 1:
            yield f"{path}.safetyConfig.desiredMinSafeTrialsFraction", "must lie between 0 and 1"
    grid = study.algorithm == study.Algorithm.Value("GRID_SEARCH")
    seen = set()
    for index, parameter in enumerate(study.parameters):
        yield from _of_parameter(parameter, f"studySpec.parameters[{index}]", seen, grid=grid)


def _of_name(name: str, path: str, seen: set[str]) -> Found:
    if not name or any(char.isspace() for char in name):
        yield path, f"must be a name without white space, not {name!r}"
    if name in seen:
        yield path, f"the name {name!r} stands twice"
    seen.add(name)


def _of_parameter(parameter: Message, path: str, seen: set[str], *, grid: bool) -> Found:
    yield from _of_name(parameter.parameter_id, f"{path}.parameterId", seen)
    kind = parameter.WhichOneof("parameter_value_spec")
    if kind is None:
        yield path, "must have one of doubleValueSpec, integerValueSpec, categoricalValueSpec, discreteValueSpec"
        return
    spec, where = getattr(parameter, kind), f"{path}.{parameter.DESCRIPTOR.fields_by_name[kind].json_name}"
    if grid and kind == "double_value_spec":
        yield where, "a grid search takes integer, discrete and categorical parameters only"
    scaled = parameter.scale_type > parameter.ScaleType.Value("UNIT_LINEAR_SCALE")
    if kind in ("double_value_spec", "integer_value_spec"):
        yield from _of_range(spec, where, scaled=scaled)
    else:
        yield from _of_values_listed(spec, where, kind, scaled=scaled)
    for index, child in enumerate(parameter.conditional_parameter_specs):
        at = f"{path}.conditionalParameterSpecs[{index}]"
        yield from _of_condition(child, parameter, at)
        yield from _of_parameter(child.parameter_spec, f"{at}.parameterSpec", seen, grid=grid)


def _of_range(spec: Message, path: str, *, scaled: bool) -> Found:
    if spec.min_value > spec.max_value:
        yield f"{path}.minValue", f"{spec.min_value} is above maxValue {spec.max_value}"
    if scaled and spec.min_value <= 0:
        yield f"{path}.minValue", f"must be above 0 for a logarithmic scale, not {spec.min_value}"
    if spec.HasField("default_value") and not spec.min_value <= spec.default_value <= spec.max_value:
        yield f"{path}.defaultValue", f"{spec.default_value} is not between {spec.min_value} and {spec.max_value}"


def _of_values_listed(spec: Message, path: str, kind: str, *, scaled: bool) -> Found:
    values = list(spec.values)
    if not values:
        yield f"{path}.values", "must hold a value"
        return
    if len(set(values)) < len(values):
        yield f"{path}.values", "holds a value twice"
    if kind == "discrete_value_spec":
        if len(values) > 1000:
            yield f"{path}.values", f"are {len(values)}, more than 1000"
        if any(after - before < _CLOSE for before, after in itertools.pairwise(values)):
            yield f"{path}.values", f"must increase, by {_CLOSE:g} at least"
        if scaled and values[0] <= 0:
            yield f"{path}.values", "must be above 0 for a logarithmic scale"
    if spec.HasField("default_value") and spec.default_value not in values:
        yield f"{path}.defaultValue", f"{spec.default_value!r} is none of the values"


def _of_condition(child: Message, parent: Message, path: str) -> Found:
    condition = child.WhichOneof("parent_value_condition")
    if condition is None:
        yield path, "must have one of parentDiscreteValues, parentIntValues, parentCategoricalValues"
        return
    values = list(getattr(child, condition).values)
    where = f"{path}.{child.DESCRIPTOR.fields_by_name[condition].json_name}.values"
    kind = parent.WhichOneof("parameter_value_spec")
    if not values:
        yield where, "must hold a value of the parent"
    if kind != PARENTS[condition]:
        yield where, "are not of the parent's kind"
        return
    spec = getattr(parent, kind)
    strange = [value for value in values if not _is_of(value, spec, kind)]
    if strange:
        yield where, f"{strange[0]!r} is none of the parent's values"


def _is_of(value: Any, spec: Message, kind: str) -> bool:
    if kind == "integer_value_spec":
        return bool(spec.min_value <= value <= spec.max_value)
    if kind == "discrete_value_spec":
        return any(abs(value - each) <= _CLOSE for each in spec.values)
    return value in spec.values


# What the trials run


def _of_spec(spec: Message, path: str) -> Found:
    pools = list(spec.worker_pool_specs)
    if not pools or not pools[0].ListFields():
        yield f"{path}.workerPoolSpecs", "must have a first pool"
    if len(pools) > 4:
        yield f"{path}.workerPoolSpecs", f"are {len(pools)}, more than 4"
    for index, pool in enumerate(pools):
        if pool.ListFields():  # "If you want to skip a pool, leave it empty"
            yield from _of_pool(pool, f"{path}.workerPoolSpecs[{index}]", first=index == 0, bare=not spec.persistent_resource_id)  # fmt: skip
    yield from _of_places(spec, path)


def _of_places(spec: Message, path: str) -> Found:
    for name in ("timeout", "max_wait_duration"):
        if getattr(spec.scheduling, name).ToNanoseconds() < 0:
            yield (
                f"{path}.scheduling.{spec.scheduling.DESCRIPTOR.fields_by_name[name].json_name}",
                "must not be below 0",
            )
    if spec.network and not _NETWORK.fullmatch(spec.network):
        yield f"{path}.network", f"must be projects/NUMBER/global/networks/NAME, not {spec.network!r}"
    if spec.network and spec.HasField("psc_interface_config"):
        yield f"{path}.pscInterfaceConfig", "excludes network; keep one of them"
    if spec.HasField("base_output_directory") and not spec.base_output_directory.output_uri_prefix.startswith("gs://"):
        yield f"{path}.baseOutputDirectory.outputUriPrefix", "must be a place in Cloud Storage, gs://…"
    if spec.tensorboard and not spec.service_account:
        yield f"{path}.tensorboard", "needs serviceAccount"


def _of_pool(pool: Message, path: str, *, first: bool, bare: bool) -> Found:
    if pool.replica_count < 0 or (first and pool.replica_count > 1):
        yield (
            f"{path}.replicaCount",
            f"must be {'1 in the first pool' if first else '1 or more'}, not {pool.replica_count}",
        )
    machine = pool.machine_spec
    if bare and not machine.machine_type:
        yield f"{path}.machineSpec.machineType", "must be given"
    if machine.accelerator_count and not machine.accelerator_type:
        yield f"{path}.machineSpec.acceleratorType", "must be given with acceleratorCount"
    accelerators = machine.DESCRIPTOR.fields_by_name["accelerator_type"].enum_type.values_by_number
    kind = accelerators[machine.accelerator_type].name
    if machine.accelerator_type and machine.accelerator_count < 1 and not kind.startswith("TPU"):
        yield f"{path}.machineSpec.acceleratorCount", f"must be 1 or more for {kind}"
    match pool.WhichOneof("task"):
        case "container_spec":
            yield from _of_given(pool.container_spec, ("image_uri",), f"{path}.containerSpec")
            yield from _of_variables(pool.container_spec.env, f"{path}.containerSpec.env")
        case "python_package_spec":
            yield from _of_package(pool.python_package_spec, f"{path}.pythonPackageSpec")
        case _:
            yield path, "must have containerSpec or pythonPackageSpec"


def _of_given(message: Message, names: Sequence[str], path: str) -> Found:
    for name in names:
        if not getattr(message, name):
            yield f"{path}.{message.DESCRIPTOR.fields_by_name[name].json_name}", "must be given"


def _of_package(package: Message, path: str) -> Found:
    yield from _of_given(package, ("executor_image_uri", "package_uris", "python_module"), path)
    if len(package.package_uris) > 100:
        yield f"{path}.packageUris", f"are {len(package.package_uris)}, more than 100"
    for index, place in enumerate(package.package_uris):
        if not place.startswith("gs://"):
            yield f"{path}.packageUris[{index}]", f"must be a place in Cloud Storage, gs://…, not {place!r}"
    yield from _of_variables(package.env, f"{path}.env")


def _of_variables(variables: Sequence[Message], path: str) -> Found:
    if len(variables) > 100:
        yield path, f"are {len(variables)} variables, more than 100"
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        if not _IDENTIFIER.fullmatch(variable.name):
            yield f"{path}[{index}].name", f"must be a C identifier, not {variable.name!r}"
        if variable.name in seen:
            yield f"{path}[{index}].name", f"the variable {variable.name!r} stands twice"
        seen.add(variable.name)
