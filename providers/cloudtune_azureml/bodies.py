"""What of a body of Azure Resource Manager's API `rest` reads: its shape, checked before it is read.

The members are those of `SweepJob` in the REST specification (machinelearningservices); all others may be there, too.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from cloudtune_azureml.rest import EXPRESSIONS

Data = dict[str, Any]


class _Wide(BaseModel):
    model_config = ConfigDict(extra="allow", alias_generator=to_camel, strict=True)


def _expression(wire: list[Any]) -> list[Any]:
    """Refuses what is no expression of a search space, such as ``["uniform", [0, 1]]``."""
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
