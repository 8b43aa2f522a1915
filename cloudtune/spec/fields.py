"""Types of the spec's fields: durations, sizes, names, and settings that may differ from provider to provider."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

from pydantic import (
    BeforeValidator,
    Field,
    GetPydanticSchema,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import core_schema

from cloudtune.plugins.entry_points import aliases
from cloudtune.space.parameters import Entry
from cloudtune.spec.money import MONEY_HELP, Money, money_data, parse_money
from cloudtune.spec.units import DURATION_HELP, SIZE_HELP, format_duration, format_size, parse_duration, parse_size

Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "number", "exclusiveMinimum": 0}], "description": DURATION_HELP}
    ),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=str),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "integer", "exclusiveMinimum": 0}], "description": SIZE_HELP}
    ),
]


def _money_schema(_source: object, _handler: object) -> core_schema.CoreSchema:
    """Return the schema of an amount, without that of the class, which would take longer than all the rest of it."""
    dumped = core_schema.plain_serializer_function_ser_schema(money_data)
    return core_schema.no_info_plain_validator_function(parse_money, serialization=dumped)


Cost = Annotated[
    Money,
    GetPydanticSchema(_money_schema),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "number", "exclusiveMinimum": 0}], "description": MONEY_HELP}
    ),
]
Text = Annotated[str, StringConstraints(min_length=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$")]
_PARAMETER_NAME = r"^[^\s{}=\-][^\s{}=]*$"
ParameterName = Annotated[str, StringConstraints(pattern=_PARAMETER_NAME, max_length=256)]
SpaceEntries = Annotated[dict[ParameterName, Entry], Field(min_length=1)]
"""Parameters, or lists of variants, by name."""

Requirements = Annotated[tuple[Text, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]
"""Conditions on the parameters of a trial, which `cloudtune.space.requirements` reads."""


def is_parameter_name(name: str) -> bool:
    """Return whether a parameter of a space may have this name."""
    return len(name) <= 256 and re.fullmatch(_PARAMETER_NAME[1:-1], name) is not None


def _by_full_name(value: object) -> object:
    """Replace aliases of providers, such as ``aws``, by their names.

    Raises:
        ValueError: two keys mean one provider.
    """
    if not isinstance(value, Mapping):
        return value
    named: dict[object, object] = {}
    full = aliases()
    for key, part in value.items():
        name = full.get(key, key) if isinstance(key, str) else key
        if name in named:
            raise ValueError(f"says something for {name!r} twice, once by its alias; keep one")
        named[name] = part
    return named


PerProvider = Text | Annotated[dict[str, Text], Field(min_length=1), BeforeValidator(_by_full_name)]
"""One text for every provider, or a text for each provider by its name or alias."""

_Alternatives = Text | Annotated[tuple[Text, ...], Field(min_length=1)]

MachineTypes = _Alternatives | Annotated[dict[str, _Alternatives], Field(min_length=1), BeforeValidator(_by_full_name)]
"""A machine type, or a list of those that will do, the preferred one first; one for all providers, or one a provider."""


Settled = str | tuple[str, ...] | Mapping[str, str | tuple[str, ...]] | None
"""What a job says by a setting that may have a value, or several, for each provider; None for nothing."""


def pick(value: Settled, provider: str) -> str | None:
    """Return the value of a per-provider setting for one provider, of several the first; None if it has none."""
    return next(iter(alternatives(value, provider)), None)


def alternatives(value: Settled, provider: str) -> tuple[str, ...]:
    """Return the values of a setting that may name several, such as machine types, the preferred one first; () for none."""
    own = value.get(provider, ()) if isinstance(value, Mapping) else value or ()
    return (own,) if isinstance(own, str) else tuple(own)
