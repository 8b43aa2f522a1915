"""The trials that a job runs first, of which it gives some values or all."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BeforeValidator, Field

from cloudtune.space.completing import why_impossible
from cloudtune.space.parameters import ScalarField
from cloudtune.space.space import Space
from cloudtune.spec.fields import ParameterName


def _one_or_list(value: object) -> object:
    return [value] if isinstance(value, Mapping) else value


GivenValues = Annotated[dict[ParameterName, ScalarField], Field(min_length=1)]
"""Values of parameters by name, some or all of a trial."""

FirstTrials = Annotated[tuple[GivenValues, ...], BeforeValidator(_one_or_list)]
"""Trials, or a single one."""


def first_problems(space: Space, first: Sequence[Mapping[str, ScalarField]]) -> list[tuple[tuple[str | int, ...], str]]:
    """Return the problems of first trials: pairs of a location in the spec and a message."""
    return [
        (("first", index, name), message)
        for index, given in enumerate(first)
        for name, message in why_impossible(space, given)
    ]
