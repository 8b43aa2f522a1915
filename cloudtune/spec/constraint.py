"""The constraints of a job: bounds on metrics, without which a trial is not feasible."""

import math
from typing import Annotated, Self

from pydantic import (
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from cloudtune.space.parameters import SpecModel, no_text
from cloudtune.spec.fields import Text
from cloudtune.spec.objective import Source, check_regex, one_or_list
from cloudtune.spec.units import parse_duration, parse_size

BOUND_HELP = (
    "write a number in the metric's own unit, a size such as 8GB for a metric in bytes, "
    "or a duration such as 50ms for a metric in seconds"
)


def _bound(value: object) -> float | str:
    """Return a bound as it is written: a number, or a text with a unit.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, str):
        _in_base_units(value)
        return value.strip()
    number = no_text(value)
    if not isinstance(number, int | float) or not math.isfinite(number):
        raise ValueError(f"is no finite number; {BOUND_HELP}")
    return float(number)


def _in_base_units(text: str) -> tuple[float, str]:
    """Return a text with a unit as a number of bytes or seconds, and the name of that unit.

    Raises:
        ValueError: it has no unit of size or time.
    """
    plain = text.strip()
    try:
        float(plain)
    except ValueError:
        pass
    else:
        no_text(plain)  # which says to take the quotes away
    for parse, unit in ((parse_size, "bytes"), (parse_duration, "seconds")):
        try:
            found = parse(plain)
        except ValueError:
            continue
        return (float(found) if isinstance(found, int) else found.total_seconds()), unit
    raise ValueError(f"{text[:60]!r} is no bound; {BOUND_HELP}")


Bound = Annotated[
    float | str,
    PlainValidator(_bound),
    PlainSerializer(lambda value: value, return_type=float | str),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}], "description": BOUND_HELP}),
]
"""A bound of a metric: a number, or a text with a unit of size (bytes) or time (seconds)."""


def bound_number(bound: float | str) -> float:
    """Return a bound as the number that a metric is compared with: a size in bytes, a duration in seconds."""
    return bound if isinstance(bound, float) else _in_base_units(bound)[0]


def bound_text(bound: float | str) -> str:
    """Return a bound for people, as it is written."""
    return f"{bound:g}" if isinstance(bound, float) else bound


class Constraint(SpecModel):
    """A bound on a metric. A trial that does not keep it is not feasible: it is never the best one."""

    metric: Text
    """The metric's name, as the trial reports it. It is recorded as an objective is. cost is what the trial costs, unless it reports that itself."""
    max: Bound | None = None
    """The greatest allowed value. A size (8GB) is for a metric in bytes, a duration (50ms) for one in seconds."""
    min: Bound | None = None
    """The least allowed value, written as max is."""
    regex: Text | None = None
    """Finds the metric in the trial's output, for scripts that do not report; its first group is the number. Null: name=number and name: number."""
    source: Source | None = None
    """Hears the metric where the program logs it already, as an objective's source does. Null: it reports or prints it."""

    @field_validator("regex")
    @classmethod
    def _compiles(cls, regex: str | None) -> str | None:
        return None if regex is None else check_regex(regex)

    @model_validator(mode="after")
    def _some_bound(self) -> Self:
        if self.max is None and self.min is None:
            raise ValueError("says no bound; give max, min or both")
        if self.max is not None and self.min is not None and bound_number(self.min) > bound_number(self.max):
            raise ValueError(f"allows nothing: min {bound_text(self.min)} is above max {bound_text(self.max)}")
        return self

    @property
    def bounds(self) -> tuple[tuple[str, float | str], ...]:
        """The bounds that are given, each with its comparison: ``<=`` for max, ``>=`` for min."""
        given = (("<=", self.max), (">=", self.min))
        return tuple((comparison, bound) for comparison, bound in given if bound is not None)

    def __str__(self) -> str:
        return " and ".join(f"{self.metric} {comparison} {bound_text(bound)}" for comparison, bound in self.bounds)

    @property
    def meanings(self) -> dict[str, str]:
        """What bounds with a unit mean for the metric's numbers, for people, by the field."""
        said = {}
        for field, bound in (("max", self.max), ("min", self.min)):
            if isinstance(bound, str):
                number, unit = _in_base_units(bound)
                said[field] = f"{bound} is compared with {self.metric} in {unit}, as {number:.15g}"
        return said


Constraints = Annotated[tuple[Constraint, ...], BeforeValidator(one_or_list)]
"""One constraint, or a list."""
