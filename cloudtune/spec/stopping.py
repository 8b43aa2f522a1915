"""The stopping rules of the spec, by which a job stops trials early."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, SerializeAsAny, WrapValidator, model_validator

from cloudtune.plugins.entry_points import STOPPING
from cloudtune.space.parameters import Count, Integer, Positive, SpecModel, no_text
from cloudtune.spec.kinds import Kinds


class StoppingSpec(SpecModel):
    """The base of all stopping rules of the spec, also of those in other packages.

    A stopping rule of another package names its type and its settings::

        class PatienceSpec(StoppingSpec):
            type: Literal["patience"] = "patience"
            steps: Count = 5
    """

    type: str


class _Stepped(StoppingSpec):
    grace: Annotated[Integer, Field(ge=0)] = 0
    """Steps (reports) of a trial before it may be stopped."""
    interval: Count = 1
    """Steps between two judgements of a trial."""


class Median(_Stepped):
    """Stops a trial whose best value is worse than the median of the others' running averages at the same step."""

    type: Literal["median"] = "median"


class Bandit(_Stepped):
    """Stops a trial whose best value lies outside a slack of the best trial's at the same step."""

    type: Literal["bandit"] = "bandit"
    slack_factor: Positive | None = None
    """The slack as a ratio of the best value."""
    slack_amount: Positive | None = None
    """The slack as a distance from the best value."""

    @model_validator(mode="after")
    def _one_slack(self) -> Self:
        if (self.slack_factor is None) == (self.slack_amount is None):
            raise ValueError("needs one of slack_factor and slack_amount, not both")
        return self


class Truncation(_Stepped):
    """Stops the lowest percentage of the trials at every judgement."""

    type: Literal["truncation"] = "truncation"
    percentage: Annotated[Integer, Field(ge=1, le=99)]
    """The share that is stopped."""


class Curve(_Stepped):
    """Stops a trial that is unlikely to end better than the best, by the learning curves of completed trials."""

    type: Literal["curve"] = "curve"
    probability: Annotated[float, BeforeValidator(no_text), Field(gt=0, lt=1)] = 0.05
    """The probability of ending better than the best, below which a trial is stopped."""


class Asha(StoppingSpec):
    """Asynchronous successive halving (arXiv 1810.05934): at steps min, min·eta, min·eta², … only the best 1/eta of the trials continue."""

    type: Literal["asha"] = "asha"
    min_resource: Count = 1
    """The step of the first rung."""
    max_resource: Count | None = None
    """The step beyond which nothing is stopped; null for no bound."""
    eta: Annotated[Integer, Field(ge=2)] = 3
    """One in so many trials continues at each rung."""
    resume: Literal["checkpoint"] | None = None
    """checkpoint: trials pause at each rung, and the best go on later from what they keep in trial.checkpoint_dir(); null: the others are stopped for good."""


class Auto(StoppingSpec):
    """The service's own early stopping."""

    type: Literal["auto"] = "auto"


_Own = Median | Bandit | Truncation | Curve | Asha | Auto

STOPPING_KINDS = Kinds("stopping rule", STOPPING, StoppingSpec, _Own)
"""The stopping rules that a job may ask for."""

if TYPE_CHECKING:
    Stopping = StoppingSpec
else:
    Stopping = Annotated[_Own, Discriminator("type"), WrapValidator(STOPPING_KINDS.validate), SerializeAsAny()]
