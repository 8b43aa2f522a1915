"""The model of Katib's Experiment (kubeflow.org/v1beta1), and the checks of Katib itself.

The fields are those of the custom resource (pkg/apis/controller/experiments/v1beta1/experiment_types.go of
kubeflow/katib); the rules are its admission webhook's (pkg/webhook/v1beta1/experiment/validator/validator.go) and
those of its suggestion services.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field
from pydantic.alias_generators import to_camel

from cloudtune.interop.documents import Shape

API_VERSION, KIND = "kubeflow.org/v1beta1", "Experiment"
PRIMARY = "training-container"
"""The default name of a trial's container."""

JOB = "Job"
"""The kind of Jobs of Kubernetes (batch/v1)."""

Data = Any
"""Plain data of JSON."""


def _text(value: object) -> object:
    """Return numbers and booleans as texts, for values that lack quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int | float) else value


Item = TypeVar("Item")
Text = Annotated[str, BeforeValidator(_text), Field(min_length=1)]
Items = Annotated[tuple[Item, ...], BeforeValidator(lambda value: () if value is None else value)]


class _Part(Shape):
    model_config = {**Shape.model_config, "alias_generator": to_camel}


class FeasibleSpace(_Part):
    """The values of a parameter; all numbers are texts."""

    min: Text | None = None
    max: Text | None = None
    step: Text | None = None
    list: Items[Annotated[str, BeforeValidator(_text)]] = ()
    distribution: Literal["uniform", "logUniform", "normal", "logNormal"] | None = None


class ParameterSpec(_Part):
    """A parameter."""

    name: Text
    parameter_type: Literal["double", "int", "categorical", "discrete"]
    feasible_space: FeasibleSpace


class MetricStrategy(_Part):
    """Which of a metric's values is its final value."""

    name: Text
    value: Literal["min", "max", "latest"]


class ObjectiveSpec(_Part):
    """The objective."""

    type: Literal["minimize", "maximize"]
    goal: float | None = None
    objective_metric_name: Text
    additional_metric_names: Items[Text] = ()
    metric_strategies: Items[MetricStrategy] = ()


class Setting(_Part):
    """A setting of an algorithm."""

    name: Text
    value: Annotated[str, BeforeValidator(_text)]


class Algorithm(_Part):
    """A suggestion or early stopping service, and its settings."""

    algorithm_name: Text
    algorithm_settings: Items[Setting] = ()

    @property
    def settings(self) -> dict[str, str]:
        """The settings by name."""
        return {setting.name: setting.value for setting in self.algorithm_settings}


class Filter(_Part):
    """The filter of a collector: regexes of Go, with a group for the name and one for the number."""

    metrics_format: Items[Text] = ()


class Source(_Part):
    """Where a collector finds metrics."""

    filter: Filter | None = None
    file_system_path: dict[str, Data] | None = None
    http_get: dict[str, Data] | None = None


class Collector(_Part):
    """The kind of a metrics collector."""

    kind: Literal["StdOut", "File", "TensorFlowEvent", "PrometheusMetric", "Custom", "Push", "None"] = "StdOut"
    custom_collector: dict[str, Data] | None = None


class MetricsCollectorSpec(_Part):
    """The metrics collector."""

    collector: Collector = Collector()
    source: Source | None = None


class TrialParameter(_Part):
    """A name in the trial's template, and the parameter (or the trial's metadata) that replaces it."""

    name: Annotated[Text, Field(pattern=r"^[^{}]+$")]
    reference: Text
    description: str | None = None


class TrialTemplate(_Part):
    """The template of trials."""

    primary_container_name: Text
    trial_parameters: Items[TrialParameter]
    trial_spec: dict[str, Data] | None = None
    config_map: dict[str, Data] | None = None
    retain: bool | None = None
    success_condition: str | None = None
    failure_condition: str | None = None
    primary_pod_labels: dict[str, Text] | None = None


class ExperimentSpec(_Part):
    """The spec of an experiment."""

    objective: ObjectiveSpec
    algorithm: Algorithm
    early_stopping: Algorithm | None = None
    parameters: Items[ParameterSpec] = ()
    parallel_trial_count: Annotated[int, Field(ge=1)] | None = None
    max_trial_count: Annotated[int, Field(ge=1)] | None = None
    max_failed_trial_count: Annotated[int, Field(ge=0)] | None = None
    resume_policy: Literal["", "Never", "LongRunning", "FromVolume"] | None = None
    metrics_collector_spec: MetricsCollectorSpec | None = None
    trial_template: TrialTemplate
    nas_config: dict[str, Data] | None = None


class Experiment(_Part):
    """An Experiment."""

    api_version: Literal["kubeflow.org/v1beta1"]
    kind: Literal["Experiment"]
    metadata: dict[str, Data] = {}
    spec: ExperimentSpec


# The parts of Kubernetes' objects that a job uses; other members are allowed


class _Wide(_Part):
    model_config = {**_Part.model_config, "extra": "allow"}


class Variable(_Wide):
    """An environment variable."""

    name: Text
    value: Annotated[str, BeforeValidator(_text)] | None = None


Quantities = dict[str, Annotated[str, BeforeValidator(_text)]]


class Resources(_Wide):
    """The limits and requests of a container."""

    limits: Quantities = {}
    requests: Quantities = {}


class Container(_Wide):
    """A container of a pod."""

    image: Text | None = None
    command: Items[Annotated[str, BeforeValidator(_text)]] = ()
    args: Items[Annotated[str, BeforeValidator(_text)]] = ()
    env: Items[Variable] = ()
    resources: Resources = Resources()


class PodSpec(_Wide):
    """A pod."""

    service_account_name: Text | None = None


class PodTemplate(_Wide):
    """A pod's template."""

    spec: PodSpec


class JobSpec(_Wide):
    """A Job of Kubernetes."""

    template: PodTemplate
    backoff_limit: Annotated[int, Field(ge=0)] | None = None
    active_deadline_seconds: Annotated[int, Field(ge=1)] | None = None


class JobTemplate(_Wide):
    """The template of a Job of Kubernetes."""

    spec: JobSpec


class Replicas(_Wide):
    """Replicas of one role in a job of Kubeflow's training operator."""

    replicas: Annotated[int, Field(ge=0)] = 1


class Trainer(_Wide):
    """The machines of a TrainJob."""

    num_nodes: Annotated[int, Field(ge=1)] = 1


Mistake = tuple[Sequence[str | int], str]
"""A path from the root, and a message."""

_PLACE = re.compile(r"\$\{trialParameters\.(.+?)\}")
_METADATA = re.compile(r"\$\{trialSpec\.(Name|Namespace|Kind|APIVersion|(Annotations|Labels)\[.+\])\}")


def mistakes(spec: ExperimentSpec) -> Iterator[Mistake]:
    """Yield the mistakes for which Katib refuses a well-formed experiment."""
    if spec.nas_config is not None or spec.algorithm.algorithm_name in ("enas", "darts"):
        yield ("spec", "algorithm"), "searches the architecture of a network, which no job of cloudtune can say"
        return
    yield from _objective_mistakes(spec.objective)
    if not spec.parameters:
        yield ("spec", "parameters"), "must name at least one parameter"
    names = [parameter.name for parameter in spec.parameters]
    for index, parameter in enumerate(spec.parameters):
        path = ("spec", "parameters", index)
        if parameter.name in names[:index]:
            yield (*path, "name"), f"the parameter {parameter.name!r} stands twice"
        for key, message in _space_mistakes(parameter, grid=spec.algorithm.algorithm_name == "grid"):
            yield (*path, "feasibleSpace", *key), message
    yield from _template_mistakes(spec.trial_template, names)


def _objective_mistakes(objective: ObjectiveSpec) -> Iterator[Mistake]:
    if objective.objective_metric_name in objective.additional_metric_names:
        yield ("spec", "objective", "additionalMetricNames"), "names the objective's metric again"


def _space_mistakes(parameter: ParameterSpec, *, grid: bool) -> Iterator[Mistake]:
    space = parameter.feasible_space
    if parameter.parameter_type in ("categorical", "discrete"):
        if not space.list:
            yield ("list",), f"a {parameter.parameter_type} parameter needs its values"
        if len(set(space.list)) < len(space.list):
            yield ("list",), "a value stands twice"
        for key in ("min", "max", "step"):
            if getattr(space, key) is not None:
                yield (key,), f"has no meaning for a {parameter.parameter_type} parameter"
        return
    if space.list:
        yield ("list",), f"has no meaning for a parameter of type {parameter.parameter_type}"
    yield from _bound_mistakes(space, whole=parameter.parameter_type == "int")
    if grid and space.step is None and parameter.parameter_type == "double":
        yield ("step",), "a grid needs the step of every double"


def _bound_mistakes(space: FeasibleSpace, *, whole: bool) -> Iterator[Mistake]:
    numbers: dict[str, float] = {}
    for key in ("min", "max", "step"):
        text = getattr(space, key)
        if text is None:
            if key != "step":
                yield (key,), "is missing"
            continue
        number = number_of(text)
        if number is None or (whole and not float(number).is_integer()):
            yield (key,), f"{text!r} is no {'whole ' if whole else ''}number"
        else:
            numbers[key] = number
    if numbers.get("min", 0) > numbers.get("max", float("inf")):
        yield ("min",), f"{space.min} is above max, {space.max}"
    if numbers.get("step", 1) <= 0:
        yield ("step",), f"must be above 0, not {space.step}"
    if space.distribution in ("logUniform", "logNormal") and numbers.get("max", 1) <= 0:
        yield ("max",), f"{space.distribution} needs numbers above 0"
    if space.distribution == "logNormal" and numbers.get("min", 1) <= 0:
        yield ("min",), "logNormal needs numbers above 0"


def _template_mistakes(template: TrialTemplate, names: Sequence[str]) -> Iterator[Mistake]:
    path = ("spec", "trialTemplate")
    if (template.trial_spec is None) == (template.config_map is None):
        yield path, "needs one of trialSpec and configMap"
    for key in ("apiVersion", "kind"):
        if template.trial_spec is not None and not isinstance(template.trial_spec.get(key), str):
            yield (*path, "trialSpec", key), "is missing"
    declared = [parameter.name for parameter in template.trial_parameters]
    references = [parameter.reference for parameter in template.trial_parameters]
    for index, parameter in enumerate(template.trial_parameters):
        here = (*path, "trialParameters", index)
        if parameter.name in declared[:index]:
            yield (*here, "name"), f"{parameter.name!r} stands twice"
        if parameter.reference in references[:index]:
            yield (*here, "reference"), f"{parameter.reference!r} stands twice"
        if parameter.reference not in names and not _METADATA.fullmatch(parameter.reference):
            yield (*here, "reference"), f"there is no parameter {parameter.reference!r}"
    for steps, name in _places(template.trial_spec):
        if name not in declared:
            yield (*path, "trialSpec", *steps), f"${{trialParameters.{name}}} is not among trialParameters"


def _places(value: Data, steps: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the paths of trial parameters in a template, with their names."""
    if isinstance(value, str):
        yield from ((steps, found[1]) for found in _PLACE.finditer(value))
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _places(part, (*steps, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _places(part, (*steps, index))


_LONGEST_NUMBER = 300
"""Most characters of a number's text."""


def number_of(text: str) -> int | float | None:
    """Return the number of a text, as int if it is written as one; None if it is no finite number."""
    if len(text) > _LONGEST_NUMBER:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) != float("inf") and number == number else None  # noqa: PLR0124  # NaN
