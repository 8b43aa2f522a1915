"""The files that Azure Machine Learning takes for sweep jobs and command jobs: the CLI's v2 YAML schema, as types.

They are the fields of the SDK's own schemas (`azure.ai.ml._schema`), which a test compares with these. The SDK takes
seconds to import, and a plan must take milliseconds.

https://learn.microsoft.com/azure/machine-learning/reference-yaml-job-sweep
https://learn.microsoft.com/azure/machine-learning/reference-yaml-job-command
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Whole = Annotated[int, Field(strict=True)]
Scalar = str | bool | int | float
Texts = dict[str, str | None]
Variables = dict[str, str | int | float | bool | None]


def snake(value: object) -> object:
    """Return a name in snake case: the service takes enums in any spelling, such as ``MedianStopping``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", value).lower() if isinstance(value, str) else value


Snake = BeforeValidator(snake)


class Node(BaseModel):
    """A part of a file: fields that are not of the schema are refused."""

    model_config = ConfigDict(extra="forbid", strict=False)


# Search space


class Choice(Node):
    """One of the values; a dict is a branch with parameters of its own."""

    type: Annotated[Literal["choice"], Snake]
    values: Annotated[list[str | bool | int | float | dict[str, "Expression | str | bool | int | float"]], Field(min_length=1)]  # fmt: skip


class Range(Node):
    """Uniform; for loguniform the bounds are exponents of e."""

    type: Annotated[Literal["uniform", "loguniform"], Snake]
    min_value: Number
    max_value: Number


class SteppedRange(Node):
    """The same, rounded to multiples of q."""

    type: Annotated[Literal["quniform", "qloguniform"], Snake]
    min_value: Number
    max_value: Number
    q: Number


class Bell(Node):
    """Normal; for lognormal the parameters are of the logarithm."""

    type: Annotated[Literal["normal", "lognormal"], Snake]
    mu: Number
    sigma: Number


class SteppedBell(Node):
    """The same, rounded to multiples of q."""

    type: Annotated[Literal["qnormal", "qlognormal"], Snake]
    mu: Number
    sigma: Number
    q: Number


class Randint(Node):
    """A whole number from 0 to below `upper`."""

    type: Annotated[Literal["randint"], Snake]
    upper: Annotated[Whole, Field(ge=1)]


_KINDS = {
    "choice": "choice",
    "uniform": "range",
    "loguniform": "range",
    "quniform": "stepped",
    "qloguniform": "stepped",
    "normal": "bell",
    "lognormal": "bell",
    "qnormal": "steppedbell",
    "qlognormal": "steppedbell",
    "randint": "randint",
}


def _kind(value: Any) -> str | None:
    name = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return _KINDS.get(str(snake(name)))


Expression = Annotated[
    Annotated[Choice, Tag("choice")]
    | Annotated[Range, Tag("range")]
    | Annotated[SteppedRange, Tag("stepped")]
    | Annotated[Bell, Tag("bell")]
    | Annotated[SteppedBell, Tag("steppedbell")]
    | Annotated[Randint, Tag("randint")],
    Discriminator(
        _kind,
        custom_error_type="expression",
        custom_error_message="must have a type: choice, uniform, loguniform, quniform, qloguniform, normal, lognormal, qnormal, qlognormal or randint",
    ),
]


# Sampling, objective, early termination, limits


class Sampling(Node):
    """A sampling algorithm with its settings."""

    type: Annotated[Literal["random", "grid", "bayesian"], Snake]
    seed: Whole | None = None
    logbase: Number | str | None = None
    rule: Annotated[Literal["random", "sobol"], Snake] | None = None


class Objective(Node):
    """What is optimised."""

    goal: Annotated[Literal["minimize", "maximize"], Snake]
    primary_metric: Annotated[str, Field(min_length=1)]


class EarlyTermination(Node):
    """A policy that cancels trials that do badly."""

    type: Annotated[Literal["bandit", "median_stopping", "truncation_selection"], Snake]
    evaluation_interval: Whole | None = None
    delay_evaluation: Whole | None = None
    slack_factor: Number | None = None
    slack_amount: Number | None = None
    truncation_percentage: Whole | None = None


class SweepLimits(Node):
    """How far a sweep goes; times in seconds."""

    max_total_trials: Whole
    max_concurrent_trials: Whole | None = None
    timeout: Whole | None = None
    trial_timeout: Whole | None = None


class CommandLimits(Node):
    """How long a command job may take, in seconds."""

    timeout: Whole | None = None


# What a job runs, and on what


class BuildContext(Node):
    """A Docker build."""

    path: str
    dockerfile_path: str | None = None


class Environment(Node):
    """An environment that is made with the job."""

    name: str | None = None
    version: str | int | None = None
    description: str | None = None
    tags: Texts | None = None
    properties: Texts | None = None
    image: str | None = None
    build: BuildContext | None = None
    conda_file: str | dict[str, Any] | None = None
    inference_config: dict[str, Any] | None = None
    os_type: Annotated[Literal["linux", "windows"], Snake] | None = None
    datastore: str | None = None
    auto_delete_setting: dict[str, Any] | None = None


class Resources(Node):
    """Machines of one trial."""

    instance_type: str | None = None
    instance_count: Whole | None = None
    max_instance_count: Whole | None = None
    locations: list[str] | None = None
    shm_size: str | None = None
    docker_args: str | list[str] | None = None
    properties: dict[str, Any] | None = None


class Distribution(Node):
    """How the processes of a distributed trial are started."""

    type: Annotated[str, BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)]
    process_count_per_instance: Whole | None = None
    parameter_server_count: Whole | None = None
    worker_count: Whole | None = None
    port: Whole | None = None
    address: str | None = None
    include_dashboard: bool | None = None
    dashboard_port: Whole | None = None
    head_node_additional_args: str | None = None
    worker_node_additional_args: str | None = None


class QueueSettings(Node):
    """The tier of serverless compute."""

    job_tier: Annotated[Literal["null", "spot", "basic", "standard", "premium"], Snake] | None = None
    priority: Annotated[Literal["low", "medium", "high"], Snake] | None = None


class Trial(Node):
    """What each trial of a sweep runs."""

    command: Annotated[str, Field(min_length=1)]
    code: str | None = None
    environment: str | Environment
    environment_variables: Variables | None = None
    resources: Resources | None = None
    distribution: Distribution | None = None
    queue_settings: QueueSettings | None = None


class Input(Node):
    """Data, a model, or a value."""

    type: str | None = None
    path: str | None = None
    mode: Annotated[Literal["download", "ro_mount", "direct", "eval_mount", "eval_download"], Snake] | None = None
    path_on_compute: str | None = None
    datastore: str | None = None
    value: Scalar | None = None


class Output(Node):
    """Where a job leaves something."""

    name: str | None = None
    version: str | int | None = None
    type: Annotated[Literal["uri_file", "uri_folder", "mltable", "mlflow_model", "custom_model", "triton_model"], Snake] | None = None  # fmt: skip
    path: str | None = None
    mode: Annotated[Literal["mount", "upload", "rw_mount", "direct"], Snake] | None = None


class Identity(Node):
    """Who the job is."""

    type: Annotated[Literal["managed", "managed_identity", "aml_token", "user_identity"], Snake]
    client_id: str | None = None
    object_id: str | None = None
    msi_resource_id: str | None = None


class Job(Node):
    """What all jobs have."""

    schema_: Annotated[str | None, Field(alias="$schema")] = None
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9$][a-zA-Z0-9_${}-]{0,254}$")] | None = None
    display_name: str | None = None
    description: str | None = None
    experiment_name: str | None = None
    tags: Texts | None = None
    properties: Texts | None = None
    compute: str | None = None
    identity: Identity | None = None
    services: dict[str, dict[str, Any]] | None = None
    inputs: dict[str, Input | Scalar] | None = None
    outputs: dict[str, Output | None] | None = None
    resources: Resources | None = None
    queue_settings: QueueSettings | None = None


class SweepJob(Job):
    """A sweep job."""

    type: Annotated[Literal["sweep"], Snake]
    trial: Trial
    sampling_algorithm: Annotated[Literal["random", "grid", "bayesian"], Snake] | Sampling | None = None
    search_space: Annotated[dict[str, Expression], Field(min_length=1)]
    objective: Objective
    early_termination: EarlyTermination | None = None
    limits: SweepLimits


class CommandJob(Job):
    """A command job."""

    type: Annotated[Literal["command"], Snake] = "command"
    command: Annotated[str, Field(min_length=1)]
    code: str | None = None
    environment: str | Environment
    environment_variables: Variables | None = None
    distribution: Distribution | None = None
    limits: CommandLimits | None = None
    parameters: dict[str, Any] | None = None
    component: str | None = None


READ_ONLY = ("id", "status", "creation_context", "log_files")
"""Fields that only the service fills in (`dump_only` in the SDK's schemas)."""
