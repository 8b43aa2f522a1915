"""From Vertex AI's HyperparameterTuningJob, as it is sent or as the service tells it, to the spec; nothing is lost.

Whatever the neutral fields can say goes there, so that the job runs on another provider. The rest becomes native
settings: the difference between our translation of the neutral fields and the request. So the job's own request means
the same as the given one, by construction; it is written in one form (see `schema`), however the given one was.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cloudtune.errors import Problem, SpecError
from cloudtune.interop import legal_names
from cloudtune.planning.embedded_spec import unpacked_spec
from cloudtune.planning.reading import read_job, run_name_of, with_native
from cloudtune.planning.translation import with_environment
from cloudtune.planning.violations import Violation, refuse
from cloudtune.spec.job import TuningJob
from cloudtune_vertex.rules import problems
from cloudtune_vertex.schema import normal, seconds_of
from cloudtune_vertex.space import MERGING, PROVIDER, space_of
from cloudtune_vertex.translate import bare_request
from cloudtune_vertex.workload import DEFAULT_MACHINE, SPEC_VARIABLE, VARIABLES

SOURCE = "the Vertex AI request"
"""How messages call what is parsed."""

_OUTPUT_ONLY = (
    "name", "trials", "state", "createTime", "startTime", "endTime", "updateTime", "error", "satisfiesPzs",
    "satisfiesPzi",
)  # fmt: skip
"""Fields that only the service fills in (hyperparameter_tuning_job.proto)."""

_GCLOUD = {"studySpec", "trialJobSpec"}
"""Fields of the file that ``gcloud ai hp-tuning-jobs create --config`` takes; the rest are its options."""

_NAME = "hyperparameter-tuning-job"
_MEASUREMENTS = {"BEST_MEASUREMENT": "best"}


def parse(data: Any) -> TuningJob:
    """Return the spec of a tuning job.

    Args:
        data: the message as JSON or YAML, in camelCase or snake_case; what the service tells of a live job; or the
            configuration file of gcloud, which leaves the rest to options (their defaults are taken).

    Returns:
        A job whose translation means the same; see `CloudProvider.to_native`.

    Raises:
        SpecError: it is no such message, or one that the service would refuse; says where in it.
    """
    request = _request(data)
    variables = _variables(_pool(request))
    return _with_native(read_job(travelled(request), lambda: _neutral(request), variables, SOURCE), request)


def with_legal_names(data: Any) -> tuple[Any, dict[str, str]]:
    """Return the message with names that a spec may have, and the new ones by the old; see `Provider.with_legal_names`."""
    request, violations = _form(data)
    if violations:
        return data, {}  # `parse` says what is wrong
    study = copy.deepcopy(request.get("studySpec") or {})
    parameters = list(_all_of(study.get("parameters", [])))
    names = legal_names(dict.fromkeys(each["parameterId"] for each in parameters if each.get("parameterId")))
    renamed = {name: legal for name, legal in names.items() if name != legal}
    for each in parameters:
        each.update({"parameterId": names[each["parameterId"]]} if each.get("parameterId") else {})
    changed = {**request, "studySpec": study}
    if not renamed or problems(changed) or travelled(changed) is not None:
        return data, {}  # where something else is wrong, `parse` says what
    return changed, renamed


def _all_of(parameters: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield parameters, and those below them."""
    for each in parameters:
        yield each
        yield from _all_of([child.get("parameterSpec", {}) for child in each.get("conditionalParameterSpecs", [])])


def _request(data: Any) -> dict[str, Any]:
    """Return the message in its normal form, without what only the service says.

    Raises:
        SpecError: it is none, or the service would refuse it.
    """
    request, violations = _form(data)
    refuse(violations or problems(request), SOURCE)
    return request


def _form(data: Any) -> tuple[dict[str, Any], list[Violation]]:
    """Return the message in its normal form, without what only the service says, and what keeps it from being a message."""
    if not isinstance(data, Mapping):
        raise SpecError([Problem("", "it is no object; give a HyperparameterTuningJob")], SOURCE)
    form, violations = normal(data)
    request = {name: value for name, value in form.items() if name not in _OUTPUT_ONLY}
    if request.keys() <= _GCLOUD <= request.keys():
        # https://cloud.google.com/sdk/gcloud/reference/ai/hp-tuning-jobs/create
        request = {"displayName": _NAME, "maxTrialCount": 1, "parallelTrialCount": 1, **request}
    return request, violations


def travelled(request: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the spec that travels with jobs whose trials start through the trial helper; None for others.

    Args:
        request: a HyperparameterTuningJob in camelCase.
    """
    packed = _variables(_pool(request)).get(SPEC_VARIABLE)
    return None if packed is None else unpacked_spec(packed)


def _pool(request: Mapping[str, Any]) -> dict[str, Any]:
    pool: dict[str, Any] = request["trialJobSpec"]["workerPoolSpecs"][0]
    return pool


def _program(pool: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = pool.get("containerSpec") or pool["pythonPackageSpec"]
    return found


def _variables(pool: Mapping[str, Any]) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in _program(pool).get("env", [])}


def _with_native(neutral: TuningJob, request: Mapping[str, Any]) -> TuningJob:
    """Return the neutral job with native settings that make its request the given one."""
    own = {} if travelled(request) is not None else _program_of(request)
    job = neutral.model_copy(update={"vertex": own})
    ours, _ = normal(with_environment(bare_request(job), job.trial.environment, VARIABLES))
    return with_native(neutral, PROVIDER, request, ours, MERGING)


def _program_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return native settings that say that the container starts by itself, if it does."""
    pool = _pool(request)
    named = {"pythonPackageSpec": pool["pythonPackageSpec"]} if "pythonPackageSpec" in pool else {}
    if "command" in pool.get("containerSpec", {}):
        named = {"containerSpec": {"command": pool["containerSpec"]["command"]}}
    return {"trialJobSpec": {"workerPoolSpecs": [named]}} if named else {}


# The neutral fields


def _neutral(request: Mapping[str, Any]) -> dict[str, Any]:
    study, spec = request["studySpec"], request["trialJobSpec"]
    data = {
        "name": run_name_of(request["displayName"], _NAME),
        "trial": _trial(_pool(request)),
        "objective": _objectives(study),
        "constraints": _constraints(study),
        "space": space_of(study["parameters"]),
        "strategy": _strategy(study),
        "stopping": _stopping(study),
        "limits": _limits(request),
        "compute": _compute(spec),
        "output": spec.get("baseOutputDirectory", {}).get("outputUriPrefix"),
        "network": {"name": spec["network"]} if "network" in spec else None,
        "identity": spec.get("serviceAccount"),
        "encryption": _encryption(request),
        "tags": request.get("labels"),
    }
    if not data["space"]:
        raise SpecError([Problem("studySpec.parameters", "names nothing to search")], SOURCE)
    return {name: value for name, value in data.items() if value not in (None, {}, [])}


def _trial(pool: Mapping[str, Any]) -> dict[str, Any]:
    program = _program(pool)
    command: Sequence[str] | None = None
    if "pythonPackageSpec" in pool:
        command = ["python", "-m", program["pythonModule"], *program.get("args", [])]
    elif program.get("command"):
        command = [*program["command"], *program.get("args", [])]
    trial = {
        "image": program.get("imageUri") or program.get("executorImageUri"),
        "command": None if command is None or "" in command else command,
        "environment": _variables(pool),
    }
    return {name: value for name, value in trial.items() if value}


def _objectives(study: Mapping[str, Any]) -> list[dict[str, Any]]:
    measurement = _MEASUREMENTS.get(study.get("measurementSelectionType", ""))
    found = []
    for metric in study["metrics"][: _count_of_objectives(study)]:
        # "GOAL_TYPE_UNSPECIFIED: Goal Type will default to maximize."
        goal = "minimize" if metric.get("goal") == "MINIMIZE" else "maximize"
        each = {"metric": metric["metricId"], "goal": goal}
        found.append({**each, "measurement": measurement} if measurement else each)
    return found


def _constraints(study: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the safety metrics: of one that is minimised the threshold is the greatest safe value."""
    return [
        {
            "metric": metric["metricId"],
            "max" if metric.get("goal") == "MINIMIZE" else "min": metric["safetyConfig"].get("safetyThreshold", 0.0),
        }
        for metric in study["metrics"][_count_of_objectives(study) :]
    ]


def _count_of_objectives(study: Mapping[str, Any]) -> int:
    """Return how many of the metrics are objectives: those before the safety metrics.

    All of them where a job's constraints would come back as another message; the thresholds stay native settings then.
    """
    safe = ["safetyConfig" in metric for metric in study["metrics"]]
    first = safe.index(True) if True in safe else len(safe)
    plain = first > 0 and all(safe[first:]) and study.get("measurementSelectionType") != "BEST_MEASUREMENT"
    return first if plain else len(safe)


def _strategy(study: Mapping[str, Any]) -> dict[str, str]:
    known = {"GRID_SEARCH": "grid", "RANDOM_SEARCH": "random"}
    return {"type": known.get(study.get("algorithm", ""), "bayesian")}


def _stopping(study: Mapping[str, Any]) -> dict[str, str] | None:
    if "medianAutomatedStoppingSpec" in study:
        return {"type": "median"}
    automatic = "decayCurveStoppingSpec" in study or "convexAutomatedStoppingSpec" in study
    return {"type": "auto"} if automatic else None


def _limits(request: Mapping[str, Any]) -> dict[str, Any]:
    stopping = request["studySpec"].get("studyStoppingConfig", {})
    longest = stopping.get("maximumRuntimeConstraint", {}).get("maxDuration")
    timeout = request["trialJobSpec"].get("scheduling", {}).get("timeout")
    limits = {
        "trials": request["maxTrialCount"],
        "parallel": request["parallelTrialCount"],
        "failed": request.get("maxFailedTrialCount"),
        "time": _seconds(longest),
        "trial_time": _seconds(timeout),
        "no_improvement": stopping.get("maxNumTrialsNoProgress") or None,
    }
    return {name: value for name, value in limits.items() if value is not None}


def _seconds(duration: str | None) -> float | None:
    return (seconds_of(duration) or None) if duration is not None else None


def _compute(spec: Mapping[str, Any]) -> dict[str, Any]:
    first, *others = spec["workerPoolSpecs"]
    machine, disk = first.get("machineSpec", {}), first.get("diskSpec", {}).get("bootDiskSizeGb")
    kind = machine.get("machineType")
    count = 1 + sum(pool.get("replicaCount", 1) for pool in others if pool)
    compute = {
        "instance": None if kind == DEFAULT_MACHINE else kind,
        "accelerators": _accelerators(machine),
        "count": None if count == 1 else count,
        "disk": None if disk is None else f"{disk}GB",
        "spot": spec.get("scheduling", {}).get("strategy") == "SPOT" or None,
    }
    return {name: value for name, value in compute.items() if value is not None}


def _accelerators(machine: Mapping[str, Any]) -> dict[str, Any] | None:
    kind, count = machine.get("acceleratorType"), machine.get("acceleratorCount", 0)
    return {"type": kind, "count": count} if kind and count else None


def _encryption(request: Mapping[str, Any]) -> dict[str, str] | None:
    return {"key": request["encryptionSpec"]["kmsKeyName"]} if "encryptionSpec" in request else None
