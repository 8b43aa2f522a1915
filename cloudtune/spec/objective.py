"""The objectives of a job: metrics to be maximized or minimized."""

import re
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    field_validator,
)

from cloudtune.space.parameters import SpecModel
from cloudtune.spec.fields import Text


def one_or_list(value: object) -> object:
    """Return a list of what is one, or a list already."""
    return list(value) if isinstance(value, list | tuple) else [value]


COST = "cost"
"""The metric that cloudtune itself reports of a trial whose program does not: what the trial costs."""


Source = Literal["wandb", "mlflow", "tensorboard"]
"""A library by which programs log metrics, which a trial's own process can hear."""


class Objective(SpecModel):
    """A metric to be maximized or minimized."""

    metric: Text
    """The metric's name, as the trial reports it. Beside other objectives, cost is what the trial costs, unless it reports that itself."""
    goal: Literal["maximize", "minimize"]
    """maximize: greater is better; minimize: smaller is better."""
    regex: Text | None = None
    """Finds the metric in the trial's output, for scripts that do not report; its first group is the number. Null: name=number and name: number."""
    source: Source | None = None
    """Hears the metric where the program logs it already: by wandb.log, mlflow.log_metric, or a SummaryWriter of TensorBoard. Null: it reports or prints it."""
    measurement: Literal["last", "best"] = "last"
    """Which of the reported values counts for the trial."""

    @field_validator("regex")
    @classmethod
    def _compiles(cls, regex: str | None) -> str | None:
        return None if regex is None else check_regex(regex)


Objectives = Annotated[tuple[Objective, ...], BeforeValidator(one_or_list), Field(min_length=1)]
"""One objective, or a list."""


def check_regex(regex: str) -> str:
    """Return a regex.

    Raises:
        ValueError: it does not compile, or has no group for the number.
    """
    try:
        groups = re.compile(regex).groups
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    if not groups:
        raise ValueError("needs a group ( ) around the number")
    return regex
