"""From Azure Machine Learning's sweep jobs, as files or as the service tells them, to the spec; nothing is lost.

Whatever the neutral fields can say goes there, so that the job runs on another provider. The rest becomes native
settings: the difference between our translation of the neutral fields and the file. So the job's own file is the
given one again, by construction.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudtune.errors import Problem, SpecError
from cloudtune.interop import legal_names
from cloudtune.interop.documents import Document
from cloudtune.planning.embedded_spec import unpacked_spec
from cloudtune.planning.reading import read_job, run_name_of, with_native
from cloudtune.planning.translation import with_environment
from cloudtune.planning.violations import refuse
from cloudtune.spec.job import TuningJob
from cloudtune_azureml.files import sweep_of
from cloudtune_azureml.rest import SweepBody, file_of, is_body
from cloudtune_azureml.rules import problems
from cloudtune_azureml.schema import READ_ONLY, snake
from cloudtune_azureml.space import MERGING, PROVIDER, command_of, names_in, space_of, with_names
from cloudtune_azureml.translate import bare_request
from cloudtune_azureml.workload import SPEC_VARIABLE, VARIABLES

SOURCE = "the Azure Machine Learning job"
"""How messages call what is parsed."""

_NAME = "sweep"
_NAMES = ("display_name", "experiment_name", "name")
_IDENTITIES = {"user_identity": "user", "aml_token": "token", "managed": "managed", "managed_identity": "managed"}


def parse(data: Any, folder: Path | None = None) -> TuningJob:
    """Return the spec of a sweep job.

    Args:
        data: a file of the v2 schema; a pipeline with one sweep in it; or a body of the REST API, as the service
            tells a live job.
        folder: what paths to further files are relative to; None for the working directory.

    Returns:
        A job whose translation is the file again; see `CloudProvider.to_native`.

    Raises:
        SpecError: it is no such job, or one that the service would refuse; says where in it.
    """
    request = _request(data, folder or Path())
    variables = request["trial"].get("environment_variables") or {}
    return _with_native(read_job(travelled(request), lambda: _neutral(request), variables, SOURCE), request)


def with_legal_names(data: Any, folder: Path | None = None) -> tuple[Any, dict[str, str]]:
    """Return the file with names that a spec may have, and the new ones by the old; see `Provider.with_legal_names`."""
    request = _given(data, folder or Path())
    space, trial = request.get("search_space"), request.get("trial")
    if not isinstance(space, Mapping) or not isinstance(trial, Mapping) or not isinstance(trial.get("command"), str):
        return data, {}  # `parse` says what is wrong
    names = legal_names(dict.fromkeys(map(str, names_in(space))))
    renamed = {name: legal for name, legal in names.items() if name != legal}
    changed = {names[str(name)]: _with_names(expression, names) for name, expression in space.items()}
    command = with_names(trial["command"], renamed)
    sweep = {**request, "search_space": changed, "trial": {**trial, "command": command}}
    if not renamed or problems(sweep) or travelled(sweep) is not None:
        return data, {}  # where something is wrong, `parse` says what
    return sweep, renamed


def _with_names(expression: Any, names: Mapping[str, str]) -> Any:
    """Return an expression, and those in the branches of its choice, with other names."""
    if not isinstance(expression, Mapping) or "values" not in expression:
        return expression
    values = [
        {names.get(name, name): _with_names(inner, names) for name, inner in value.items()}
        if isinstance(value, Mapping)
        else value
        for value in expression["values"]
    ]
    return {**expression, "values": values}


def _request(data: Any, folder: Path) -> dict[str, Any]:
    """Return the file, without what only the service says.

    Raises:
        SpecError: the service would refuse it.
    """
    request = _given(data, folder)
    refuse(problems(request), SOURCE)
    return request


def _given(data: Any, folder: Path) -> dict[str, Any]:
    """Return the file as it is given, without what only the service says."""
    if not isinstance(data, Mapping):
        raise SpecError([Problem("", "it is no mapping; give a sweep job")], SOURCE)
    given = _of_body(data) if is_body(data) else sweep_of(data, folder)
    return {name: value for name, value in given.items() if name not in READ_ONLY and value is not None}


def _of_body(body: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(body["properties"]["jobType"])
    if kind.lower() != "sweep":
        raise SpecError([Problem("properties.jobType", f"must be 'Sweep', not {kind!r}")], SOURCE)
    Document(body, SOURCE).check(SweepBody, body)
    return file_of(body)


def travelled(request: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the spec that travels with jobs whose trials start through the trial helper; None for others.

    Args:
        request: a sweep job's file.
    """
    packed = (request["trial"].get("environment_variables") or {}).get(SPEC_VARIABLE)
    return None if packed is None else unpacked_spec(packed)


def _with_native(neutral: TuningJob, request: Mapping[str, Any]) -> TuningJob:
    """Return the neutral job with native settings that make its file the given one."""
    own = {} if travelled(request) is not None else {"trial": {"command": request["trial"]["command"]}}
    bare = bare_request(neutral.model_copy(update={PROVIDER: own}))
    ours = with_environment(bare, neutral.trial.environment, VARIABLES)
    return with_native(neutral, PROVIDER, request, ours, MERGING)


# The neutral fields


def _neutral(request: Mapping[str, Any]) -> dict[str, Any]:
    trial, objective = request["trial"], request["objective"]
    data = {
        "name": run_name_of(next(filter(None, map(request.get, _NAMES)), _NAME), _NAME),
        "trial": _trial(trial, request.get("inputs") or {}),
        "objective": {"metric": objective["primary_metric"], "goal": snake(objective["goal"])},
        "space": space_of(request["search_space"]),
        "strategy": strategy_of(request.get("sampling_algorithm") or "random"),
        "stopping": stopping_of(request.get("early_termination")),
        "limits": limits_of(request["limits"]),
        "compute": _compute(request),
        "data": _data(request.get("inputs") or {}),
        "output": None,
        "identity": _identity(request.get("identity")),
        "tags": {name: str(value) for name, value in (request.get("tags") or {}).items() if isinstance(value, str)},
    }
    return {name: value for name, value in data.items() if value not in (None, {})}


def _trial(trial: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    code, environment = trial.get("code"), trial["environment"]
    local = code is not None and not code.startswith(("azureml:", "git", "http"))
    image = environment if isinstance(environment, str) else environment.get("image")
    variables = trial.get("environment_variables") or {}
    found = {
        "source": code if local else None,
        "command": command_of(trial["command"], inputs),
        "image": {"azureml": image} if image else None,
        "environment": {name: value for name, value in variables.items() if isinstance(value, str)},
    }
    return {name: value for name, value in found.items() if value}


def strategy_of(algorithm: Any) -> dict[str, Any]:
    """Return the strategy of a sampling algorithm, by its name or with settings."""
    given: dict[str, Any] = {"type": algorithm} if isinstance(algorithm, str) else dict(algorithm)
    kind = snake(given["type"])
    if kind == "random" and snake(given.get("rule")) == "sobol":
        kind = "sobol"
    seed = given.get("seed")
    return {"type": kind, **({"seed": seed} if seed is not None and seed >= 0 and kind in ("random", "sobol") else {})}


def stopping_of(policy: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the stopping rule of an early termination policy."""
    if policy is None:
        return None
    steps = {
        "interval": policy.get("evaluation_interval") or 1,
        "grace": policy.get("delay_evaluation") or 0,
    }
    kind = snake(policy["type"])
    if kind == "median_stopping":
        return {"type": "median", **steps}
    if kind == "truncation_selection":
        return {"type": "truncation", **steps, "percentage": policy["truncation_percentage"]}
    slack = "slack_factor" if policy.get("slack_factor") else "slack_amount"  # with both, which one counts is not known
    return {"type": "bandit", **steps, slack: policy[slack]}


def limits_of(limits: Mapping[str, Any]) -> dict[str, Any]:
    """Return the limits of a sweep; times in seconds."""
    trials = limits["max_total_trials"]
    found = {
        "trials": trials,
        # "If not specified, max_concurrent_trials = max_total_trials"
        "parallel": min(limits.get("max_concurrent_trials") or trials, trials),
        "time": limits.get("timeout"),
        "trial_time": limits.get("trial_timeout"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _compute(request: Mapping[str, Any]) -> dict[str, Any]:
    resources = request.get("resources") or request["trial"].get("resources") or {}
    cluster = request.get("compute")
    instance = cluster if cluster and cluster.startswith("azureml:") else resources.get("instance_type")
    count = resources.get("instance_count")
    tier = (request.get("queue_settings") or {}).get("job_tier")
    found = {
        "instance": {"azureml": instance} if instance else None,
        "count": count if count and count > 1 else None,
        "spot": snake(tier) == "spot" or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _data(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return inputs that are places; values stand in the command."""
    places = {name: given.get("path") for name, given in inputs.items() if isinstance(given, Mapping)}
    return {name: {"azureml": place} if "://" in place or place.startswith("azureml:") else place for name, place in places.items() if place}  # fmt: skip


def _identity(identity: Mapping[str, Any] | None) -> dict[str, str] | None:
    if identity is None:
        return None
    return {"azureml": identity.get("client_id") or _IDENTITIES[str(snake(identity["type"]))]}
