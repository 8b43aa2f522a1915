"""What a request says, as Google's messages of protobuf have read it; they are plain data for answers."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf import duration_pb2, json_format

from cloudtune_vertex.emulator.errors import Refused

Message = Any
"""A message of protobuf."""

_RANGES = ("DoubleValueSpec", "IntegerValueSpec")
"""Messages whose bounds are told even where they are 0."""


def stamp(seconds: float) -> str:
    """Return a time since 1970 as a `google.protobuf.Timestamp` in JSON."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read(data: Mapping[str, Any], message: Message) -> None:
    """Fill a message from JSON, as Google's own reader does.

    Raises:
        Refused: it cannot be read.
    """
    try:
        json_format.ParseDict(dict(data), message)
    except (json_format.ParseError, SystemError) as error:  # the latter of names that are no text of Unicode
        raise Refused("INVALID_ARGUMENT", f"Invalid JSON payload received. {error}") from None


def plain(message: Message) -> dict[str, Any]:
    """Return a message as JSON has it, but with 64-bit integers as numbers and without enums that say nothing.

    Args:
        message: of protobuf; what it does not set is left out.
    """
    form: dict[str, Any] = dict.fromkeys(("minValue", "maxValue"), 0) if message.DESCRIPTOR.name in _RANGES else {}
    for field, value in message.ListFields():
        form[field.json_name] = _many(field, value)
    return form


def _many(field: Any, value: Any) -> Any:
    if isinstance(value, Mapping):
        kind = field.message_type.fields_by_name["value"]
        return {str(key): _one(kind, value[key]) for key in value}
    if field.is_repeated:
        return [_one(field, each) for each in value]
    return _one(field, value)


def _one(field: Any, value: Any) -> Any:
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return value if known is None else known.name
    if field.message_type is None:
        return value
    if field.message_type.full_name.startswith(
        "google.protobuf."
    ):  # durations, wrappers and the like: texts and numbers
        return json_format.MessageToDict(value)
    return plain(value)


def leaves(message: Message, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the path, the field and the value of all scalars that a message sets, also in the messages below."""
    for field, value in message.ListFields():
        where = f"{path}.{field.json_name}" if path else field.json_name
        many = list(value) if field.is_repeated and not isinstance(value, Mapping) else [value]
        for index, each in enumerate(many):
            at = f"{where}[{index}]" if field.is_repeated else where
            if field.message_type is None:
                yield at, field, each
            elif not isinstance(each, Mapping):
                yield from leaves(each, at)


def seconds_of(text: str) -> float:
    """Return the seconds of a duration in JSON, e.g. ``3600s``."""
    duration = duration_pb2.Duration()
    duration.FromJsonString(text)
    return duration.ToNanoseconds() / 1e9


def duration_text(seconds: float) -> str:
    """Return seconds as a duration in JSON."""
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration.ToJsonString()
