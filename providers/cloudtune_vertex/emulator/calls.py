"""What the calls of all services share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format

Message = Any
"""A message of protobuf."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a service.

    Attributes:
        request: the type of its request, of protobuf.
        answer: from a request to an answer, both of protobuf.
    """

    request: Any
    answer: Callable[[Message], Message]


def message_of(kind: Any, data: Mapping[str, Any]) -> Message:
    """Return a message of protobuf, of a type, that says what the data say in JSON."""
    message = kind()
    json_format.ParseDict(dict(data), message)
    return message
