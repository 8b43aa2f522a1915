"""What a user believes of where good values lie, before any trial: ``prior`` of a strategy."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from cloudtune.space.axes import Axis
from cloudtune.space.parameters import Positive, ScalarField, SpecModel, no_text
from cloudtune.space.space import Space
from cloudtune.spec.fields import ParameterName

_FACTOR = re.compile(r"(\d+(?:\.\d+)?)x")
_USUAL_WIDTH = 0.15
_LEAST_WIDTH = 0.01
"""Widths are standard deviations of positions on an axis of length 1."""

_HALVINGS = 50


def _factor(text: str) -> str:
    found = _FACTOR.fullmatch(text.strip())
    if found is None or float(found[1]) <= 1:
        raise ValueError(f"write a factor above 1 such as 3x, or a number in the parameter's own unit, not {text!r}")
    return text.strip()


class Belief(SpecModel):
    """Where good values of one parameter are expected, and how surely."""

    around: ScalarField
    """The value that is expected to be good."""
    spread: Positive | Annotated[str, AfterValidator(_factor)] | None = None
    """How far from it: a number in the parameter's unit, or a factor such as 3x; about two in three good values lie within. Null: an eighth of the axis to each side."""

    @model_validator(mode="after")
    def _of_a_number(self) -> "Belief":
        number = isinstance(self.around, int | float) and not isinstance(self.around, bool)
        if self.spread is not None and not number:
            raise ValueError("a spread needs a number to lie around; take the spread away")
        if isinstance(self.spread, str) and number and not float(no_text(self.around)) > 0:  # type: ignore[arg-type]
            raise ValueError(f"a factor needs a value above 0, not {self.around}; write the spread as a number")
        return self

    def width(self, axis: Axis) -> float:
        """Return the spread as a standard deviation of positions on an ordered axis, mean of both sides."""
        if self.spread is None or not isinstance(self.around, int | float):
            return _USUAL_WIDTH
        around = float(self.around)
        if isinstance(self.spread, str):
            factor = float(self.spread[:-1])
            ends = around / factor, around * factor
        else:
            ends = around - self.spread, around + self.spread
        centre = _place(axis, around)
        sides = [abs(place - centre) for place in (_place(axis, end) for end in ends) if 0 < place < 1]
        return max(sum(sides) / len(sides) if sides else 1.0, _LEAST_WIDTH)


Prior = Annotated[dict[ParameterName, Belief], Field(min_length=1)]
"""Beliefs by the parameter's name."""


def _place(axis: Axis, value: float) -> float:
    """Return the position of a number on an axis that need not have it; 0 or 1 beyond its ends."""
    low, high = 0.0, 1.0
    if float(axis.at(0.0)) > value:  # type: ignore[arg-type]
        return 0.0
    if float(axis.at(1.0)) < value:  # type: ignore[arg-type]
        return 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if float(axis.at(middle)) < value else (low, middle)  # type: ignore[arg-type]
    return (low + high) / 2


def prior_problems(
    space: Space, prior: Mapping[str, Belief] | None, kind: str
) -> list[tuple[tuple[str | int, ...], str]]:
    """Return the problems of beliefs: pairs of a location in the spec, as pydantic has it, and a message.

    Args:
        space: that they are about.
        prior: by the parameter's name.
        kind: the type of their strategy.
    """
    problems: list[tuple[tuple[str | int, ...], str]] = []
    for name, belief in (prior or {}).items():
        axes = [dimension.axis for dimension in space.dimensions if dimension.name == name]
        if not axes:
            problems.append((("strategy", kind, "prior", name), f"the space has no parameter {name!r}"))
        elif not any(has(axis, belief.around) for axis in axes):
            problems.append(
                (("strategy", kind, "prior", name, "around"), f"{name!r} never takes the value {belief.around!r}")
            )
    return problems


def has(axis: Axis, value: ScalarField) -> bool:
    """Return whether an axis has a value."""
    try:
        axis.position(value)
    except ValueError:
        return False
    return True
