"""What a request for a job says, as Azure's SDK reads a job that the service tells: with its models and entities.

`azure.ai.ml` has no model of requests alone; `Job._load_from_rest` is how its clients read the same body back.
"""

import sys
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from cloudtune.emulation.refused import Refused
from cloudtune_azureml.emulator.clients import allow_import

Data = Mapping[str, Any]

_SYSTEM = "_aml_system_"
"""Prefix of the tags that the service itself gives a sweep."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an input comes from or an output goes to.

    Attributes:
        path: a URL, a place in a datastore or an asset; None where the service chooses it.
        kind: e.g. ``uri_folder``.
    """

    path: str | None
    kind: str


@dataclass(frozen=True, slots=True)
class Program:
    """What a command job, or each trial of a sweep, runs.

    Attributes:
        command: of the shell, with places such as ``${{inputs.data}}``.
        code: the asset with the code; None for none.
        environment: the environment's reference.
        variables: of the environment.
        distribution: ``type`` in lower case, and its settings by the names of the SDK; empty for none.
        nodes: machines, from 1.
        cluster: the compute cluster that it runs on; "" for serverless machines.
        size: of each machine; "" where the job names none.
        inputs: a `Place` or a literal value, by their names.
        outputs: by their names.
        timeout: seconds; None for no limit.
        identity: whether it uses storage as an identity of its own, not by the workspace's credentials.
    """

    command: str
    code: str | None
    environment: str
    variables: Mapping[str, str]
    distribution: Data
    nodes: int
    cluster: str
    size: str
    inputs: Data
    outputs: Mapping[str, Place]
    timeout: float | None
    identity: bool


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep searches; its parts are the SDK's own.

    Attributes:
        space: a `SweepDistribution` by each parameter's name.
        sampling: a `SamplingAlgorithm`.
        metric: the primary metric.
        goal: ``minimize`` or ``maximize``.
        policy: an `EarlyTerminationPolicy`; None for none.
        limits: `SweepJobLimits`, times in seconds.
    """

    space: Data
    sampling: Any
    metric: str
    goal: str
    policy: Any
    limits: Any


@dataclass(frozen=True, slots=True)
class Job:
    """One job.

    Attributes:
        program: what it or each of its trials runs.
        sweep: what it searches; None for a command job.
        experiment: it is in.
        tags: the user's own.
    """

    program: Program
    sweep: Sweep | None
    experiment: str
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """``sweep`` or ``command``, as the run history tells it."""
        return "command" if self.sweep is None else "sweep"


def job_of(name: str, body: Data) -> Job:
    """Return what the body of a job says.

    Args:
        name: of the job.
        body: as Resource Manager gets it, with ``properties``.

    Raises:
        Refused: the SDK cannot read it.
    """
    try:
        given = _entity(name, body)
        sweep = _sweep(given) if body["properties"]["jobType"] == "Sweep" else None
        program = _program(given, given if sweep is None else given.trial)
        tags = {key: value for key, value in (given.tags or {}).items() if not key.startswith(_SYSTEM)}
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001  # the SDK's readers raise whatever a wrong value leads to
        raise Refused(400, "UserError", f"The job cannot be read: {type(error).__name__} {error}") from None
    return Job(program, sweep, given.experiment_name or "Default", tags)


def _entity(name: str, body: Data) -> Any:
    allow_import()
    from azure.ai.ml.entities import CommandJob  # noqa: PLC0415  # takes seconds
    from azure.ai.ml.sweep import SweepJob  # noqa: PLC0415

    kind = body["properties"]["jobType"]
    kinds: Mapping[str, Any] = {"Sweep": SweepJob, "Command": CommandJob}
    if kind not in kinds:
        raise Refused(400, "UserError", f"The emulator runs jobs of the type Sweep or Command, not {kind!r}.")
    base: Any = vars(sys.modules[kinds[kind].__module__])["JobBase"]  # of its own version of the API
    read = getattr(base, "deserialize", base)  # until 1.30 or so msrest's, which take the data apart
    return kinds[kind]._load_from_rest(read({"name": name, "properties": deepcopy(body["properties"])}))  # noqa: SLF001


_OWN_IDENTITIES = ("ManagedIdentityConfiguration", "UserIdentityConfiguration")
"""Classes of the SDK for identities with which a job uses storage."""


def _program(job: Any, own: Any) -> Program:
    """Return what is run: inputs and outputs stand with the job, the rest with a sweep's trial or the command job."""
    limits = job.limits.trial_timeout if own is not job and job.limits else getattr(job.limits, "timeout", None)
    resources = getattr(job, "resources", None) or own.resources or {}
    distribution = {} if own.distribution is None else dict(vars(own.distribution))
    return Program(
        command=own.command,
        code=own.code,
        environment=own.environment,
        variables={name: str(value) for name, value in (own.environment_variables or {}).items()},
        distribution={**distribution, "type": str(distribution["type"]).lower()} if distribution else {},
        nodes=int(_member(resources, "instance_count") or 1),
        cluster=str(job.compute or "").rpartition("/")[2].removeprefix("azureml:"),
        size=str(_member(resources, "instance_type") or ""),
        inputs={name: _input(each) for name, each in (job.inputs or {}).items()},
        outputs={name: _place(each) for name, each in (job.outputs or {}).items() if name != "default"},
        timeout=limits,
        identity=type(job.identity).__name__ in _OWN_IDENTITIES,
    )


def _member(given: Any, name: str) -> Any:
    return given.get(name) if isinstance(given, Mapping) else getattr(given, name, None)


def _input(given: Any) -> Any:
    """Return an input's place, or its value where it is a literal."""
    given = getattr(given, "_data", given)  # a command job wraps what its inputs are made of
    return _place(given) if hasattr(given, "path") else given


def _place(given: Any) -> Place:
    given = getattr(given, "_data", given)
    return Place(getattr(given, "path", None), str(getattr(given, "type", "")))


def _sweep(job: Any) -> Sweep:
    from azure.ai.ml.sweep import RandomSamplingAlgorithm  # noqa: PLC0415  # takes seconds

    return Sweep(
        space=job.search_space,
        sampling=job.sampling_algorithm or RandomSamplingAlgorithm(),
        metric=job.objective.primary_metric,
        goal=str(getattr(job.objective.goal, "value", job.objective.goal)).lower(),
        policy=job.early_termination,
        limits=job.limits,
    )
