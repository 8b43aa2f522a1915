"""Native settings in the spec: members of a provider's own requests, under the provider's name."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, JsonValue

from cloudtune.plugins.entry_points import aliases, providers

Native = dict[str, JsonValue]
"""Members of a provider's request by their names."""

FIELD = "native"
"""The field of the job that holds the native settings of each provider by its name."""


def own_keys(model: type[BaseModel]) -> dict[str, str]:
    """Return the names of installed providers by the keys of a job under which their native settings may stand.

    A key is a provider's name or alias. A provider that is named like a field of the job has none.

    Args:
        model: of the job.
    """
    keys = {**aliases(), **{name: name for name in providers()}}
    return {key: name for key, name in keys.items() if key not in model.model_fields}


def native_path(model: type[BaseModel], provider: str) -> str:
    """Return the path of a provider's native settings in a job: ``sagemaker``, or ``native.NAME`` of one not installed."""
    return provider if provider in own_keys(model) else f"{FIELD}.{provider}"


def gathered(model: type[BaseModel], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's data with all native settings below `FIELD`, by their providers' full names.

    Args:
        model: of the job.
        data: of the job; keys that are neither fields nor those of `own_keys` stay where they are.

    Raises:
        ValueError: a provider's settings stand in two places.
    """
    said = data.get(FIELD, {})
    if set(data) <= model.model_fields.keys() and not said:
        return dict(data)
    keys = own_keys(model)
    rest = {key: value for key, value in data.items() if key not in keys}
    if not isinstance(said, Mapping):
        return rest
    native: dict[Any, Any] = {}
    places: dict[Any, str] = {}
    own = [(key, key, data[key]) for key in data if key in keys]
    for place, key, settings in (*own, *((f"{FIELD}.{key}", key, settings) for key, settings in said.items())):
        name = keys.get(key, key) if isinstance(key, str) else key
        if name in keys and isinstance(settings, Mapping) and not settings:
            continue
        if name in native:
            raise ValueError(f"has settings under {places[name]} and under {place}; keep one")
        native[name], places[name] = settings, place
    return {**rest, **({FIELD: native} if native or FIELD in data else {})}


def as_written(location: tuple[str | int, ...], model: type[BaseModel], data: Any) -> tuple[str | int, ...]:
    """Return the location in the original data of a value that `gathered` moved.

    Args:
        location: keys and indexes of a value in the gathered data.
        model: of the job.
        data: the original data.
    """
    match location:
        case ("native", str(name), *rest) if isinstance(data, Mapping):
            below = data.get(FIELD)
            keys = [key for key, provider in own_keys(model).items() if provider == name]
            if isinstance(below, Mapping):
                for key in (name, *keys):
                    if key in below:
                        return (FIELD, key, *rest)
            return next(((key, *rest) for key in keys if key in data), location)
    return location
