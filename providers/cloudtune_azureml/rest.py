"""From the bodies of Azure Resource Manager's API to the v2 schema of files: what the service tells of a sweep job.

https://learn.microsoft.com/rest/api/azureml/jobs/get; the SDK reads them by `SweepJob._load_from_rest`.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Data = dict[str, Any]

EXPRESSIONS: Mapping[str, tuple[str, ...]] = {
    "choice": ("values",),
    "randint": ("upper",),
    "uniform": ("min_value", "max_value"),
    "loguniform": ("min_value", "max_value"),
    "quniform": ("min_value", "max_value", "q"),
    "qloguniform": ("min_value", "max_value", "q"),
    "normal": ("mu", "sigma"),
    "lognormal": ("mu", "sigma"),
    "qnormal": ("mu", "sigma", "q"),
    "qlognormal": ("mu", "sigma", "q"),
}
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
_MODES = {
    "ReadOnlyMount": "ro_mount",
    "ReadWriteMount": "rw_mount",
    "Download": "download",
    "Upload": "upload",
    "Direct": "direct",
    "EvalMount": "eval_mount",
    "EvalDownload": "eval_download",
}
_RESOURCE = re.compile(r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.MachineLearningServices/workspaces/[^/]+/(.+)")  # fmt: skip


_SYSTEM = "_aml_system_"
"""Prefix of the tags that the service adds to a sweep itself, and refuses in a request."""


def is_body(data: Mapping[str, Any]) -> bool:
    """Return whether data is a body of the API: its fields stand under ``properties``, with a ``jobType``."""
    properties = data.get("properties")
    return isinstance(properties, Mapping) and "jobType" in properties


def file_of(body: Mapping[str, Any]) -> Data:
    """Return the file of a sweep job or command job, from its body; what is empty is left out."""
    own = body["properties"]
    kind = str(own["jobType"]).lower()
    trial = _program(own.get("trial") or own)
    found: Data = {
        "type": kind,
        "name": body.get("name"),
        "display_name": own.get("displayName"),
        "description": own.get("description"),
        "experiment_name": own.get("experimentName"),
        "tags": {key: value for key, value in (own.get("tags") or {}).items() if not key.startswith(_SYSTEM)},
        "compute": short_id(own.get("computeId")),
        "identity": _identity(own.get("identity")),
        "inputs": {name: _input(each) for name, each in (own.get("inputs") or {}).items()},
        "outputs": {name: _output(each) for name, each in (own.get("outputs") or {}).items() if name != "default"},
        "resources": _snaked(own.get("resources")),
        "queue_settings": _queue(own.get("queueSettings")),
        **({"trial": _with_resources(trial, own["trial"]), **_sweep(own)} if kind == "sweep" else trial),
    }
    return {name: value for name, value in found.items() if value not in (None, {}, "")}


def _sweep(own: Mapping[str, Any]) -> Data:
    return {
        "sampling_algorithm": _sampling(own.get("samplingAlgorithm") or {}),
        "search_space": {name: expression_of(each) for name, each in (own.get("searchSpace") or {}).items()},
        "objective": {"goal": own["objective"]["goal"].lower(), "primary_metric": own["objective"]["primaryMetric"]},
        "early_termination": _policy(own.get("earlyTermination")),
        "limits": _limits(own.get("limits") or {}),
    }


def _program(own: Mapping[str, Any]) -> Data:
    distribution = own.get("distribution")
    found = {
        "command": own.get("command"),
        "code": short_id(own.get("codeId")),
        "environment": short_id(own.get("environmentId")),
        "environment_variables": own.get("environmentVariables"),
        "distribution": None if not distribution else _typed(distribution, "distributionType"),
    }
    return {name: value for name, value in found.items() if value not in (None, {})}


def _with_resources(trial: Data, own: Mapping[str, Any]) -> Data:
    resources = _snaked(own.get("resources"))
    return {**trial, "resources": resources} if resources else trial


def short_id(text: str | None) -> str | None:
    """Return ``azureml:NAME:VERSION`` for the full id of something in a workspace; other texts as they are."""
    found = _RESOURCE.fullmatch(text or "")
    if found is None:
        return text
    parts = found[1].split("/")
    return f"azureml:{':'.join(part for part in parts[1::2])}"


def expression_of(wire: Any) -> Data:
    """Return an expression of a search space, from ``["uniform", [0, 1]]``."""
    kind, arguments = wire[0], wire[1]
    if kind == "choice":
        return {"type": "choice", "values": [_branch(value) for value in arguments[0]]}
    return {"type": kind, **dict(zip(EXPRESSIONS[kind], arguments, strict=False))}


def _branch(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: expression_of(each) if _is_expression(each) else each for name, each in value.items()}


def _is_expression(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and value[0] in EXPRESSIONS


def seconds_of(text: str | None) -> int | None:
    """Return seconds from a duration of ISO 8601, such as ``PT1H30M``."""
    found = _DURATION.fullmatch(text or "")
    if not text or found is None:
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return int(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _limits(limits: Mapping[str, Any]) -> Data:
    found = {
        "max_total_trials": limits.get("maxTotalTrials"),
        "max_concurrent_trials": limits.get("maxConcurrentTrials"),
        "timeout": seconds_of(limits.get("timeout")),
        "trial_timeout": seconds_of(limits.get("trialTimeout")),
    }
    return {name: value for name, value in found.items() if value is not None}


def _sampling(algorithm: Mapping[str, Any]) -> Any:
    kind = str(algorithm.get("samplingAlgorithmType", "Random")).lower()
    rule = algorithm.get("rule")
    found = {"rule": rule.lower() if rule else None, "seed": algorithm.get("seed"), "logbase": algorithm.get("logbase")}
    given = {name: value for name, value in found.items() if value is not None}
    return {"type": kind, **given} if given else kind


def _policy(policy: Mapping[str, Any] | None) -> Data | None:
    if not policy:
        return None
    found = _typed(policy, "policyType")
    found["type"] = _snake(policy["policyType"])
    if found.get("slack_factor") and not found.get("slack_amount"):
        found.pop("slack_amount", None)  # the SDK sends both, the other as 0
    if found.get("slack_amount") and not found.get("slack_factor"):
        found.pop("slack_factor", None)
    return found


def _typed(data: Mapping[str, Any], kind: str) -> Data:
    found = {_snake(name): value for name, value in data.items() if name != kind and value is not None}
    return {"type": str(data[kind]).lower(), **found}


def _snaked(data: Mapping[str, Any] | None) -> Data | None:
    return None if data is None else {_snake(name): value for name, value in data.items() if value is not None}


def _queue(settings: Mapping[str, Any] | None) -> Data | None:
    if not settings:
        return None
    names = {1: "low", 2: "medium", 3: "high"}
    found = {
        "job_tier": str(settings.get("jobTier") or "").lower().replace("null", ""),  # the service says "Null" for none
        "priority": names.get(settings.get("priority") or 0),
    }
    return {name: value for name, value in found.items() if value}


def _identity(identity: Mapping[str, Any] | None) -> Data | None:
    if not identity:
        return None
    kinds = {"Managed": "managed_identity", "AMLToken": "aml_token", "UserIdentity": "user_identity"}
    names = {"clientId": "client_id", "objectId": "object_id", "resourceId": "msi_resource_id"}
    found = {names[name]: value for name, value in identity.items() if name in names and value}
    return {"type": kinds[identity["identityType"]], **found}


def _input(given: Mapping[str, Any]) -> Any:
    if str(given.get("jobInputType")).lower() == "literal":
        return given.get("value")
    return _place(given, given["jobInputType"])


def _output(given: Mapping[str, Any]) -> Data:
    return _place(given, given["jobOutputType"])


def _place(given: Mapping[str, Any], kind: str) -> Data:
    mode = given.get("mode")
    found = {"type": kind, "path": given.get("uri"), "mode": _MODES.get(mode, mode) if mode else None}
    return {name: value for name, value in found.items() if value is not None}


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class _Wide(BaseModel):
    model_config = ConfigDict(extra="allow", alias_generator=to_camel, strict=True)


def _expression(wire: list[Any]) -> list[Any]:
    """Return an expression; raise ValueError for what is no expression of a search space, such as ``["uniform", [0, 1]]``."""
    kind = wire[0]
    if not isinstance(kind, str) or kind not in EXPRESSIONS:
        raise ValueError(f"{kind!r} is no distribution; known are: {', '.join(EXPRESSIONS)}")
    if not isinstance(wire[1], list) or len(wire[1]) < 1:
        raise ValueError(f"{kind} needs a list of its {' and '.join(EXPRESSIONS[kind])}")
    if kind == "choice":
        if not isinstance(wire[1][0], list):
            raise ValueError("choice needs a list of a list of values")
        for branch in wire[1][0]:
            for inner in branch.values() if isinstance(branch, Mapping) else ():
                if (
                    isinstance(inner, list)
                    and len(inner) == 2
                    and isinstance(inner[0], str)
                    and inner[0] in EXPRESSIONS
                ):
                    _expression(inner)
    return wire


Expression = Annotated[list[Any], Field(min_length=2, max_length=2), AfterValidator(_expression)]


class _Program(_Wide):
    command: str | None = None
    code_id: str | None = None
    environment_id: str | None = None
    environment_variables: Data | None = None
    distribution: "_Distribution | None" = None
    resources: Data | None = None


class _Distribution(_Wide):
    distribution_type: str


class _Input(_Wide):
    job_input_type: str
    mode: str | None = None


class _Output(_Wide):
    job_output_type: str
    mode: str | None = None


class _Identity(_Wide):
    identity_type: Literal["Managed", "AMLToken", "UserIdentity"]


class _Sampling(_Wide):
    sampling_algorithm_type: str = "Random"
    rule: str | None = None


class _Objective(_Wide):
    goal: str
    primary_metric: str


class _Policy(_Wide):
    policy_type: str


class _Limits(_Wide):
    timeout: str | None = None
    trial_timeout: str | None = None


class _Queue(_Wide):
    job_tier: str | None = None
    priority: int | None = None


class _Properties(_Wide):
    job_type: str
    display_name: str | None = None
    compute_id: str | None = None
    trial: _Program
    inputs: dict[str, _Input] | None = None
    outputs: dict[str, _Output] | None = None
    identity: _Identity | None = None
    resources: Data | None = None
    queue_settings: _Queue | None = None
    search_space: dict[str, Expression] | None = None
    sampling_algorithm: _Sampling | None = None
    objective: _Objective
    early_termination: _Policy | None = None
    limits: _Limits | None = None


class SweepBody(_Wide):
    """The body of a sweep job."""

    name: str | None = None
    properties: _Properties
