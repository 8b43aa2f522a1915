"""The errors of the service, by the codes of google.rpc."""

from collections.abc import Mapping, Sequence
from typing import Any

from cloudtune_vertex.rules import problems
from cloudtune_vertex.schema import Violation

HTTP_STATUS: Mapping[str, int] = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}
"""https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto"""


class Refused(Exception):  # an answer, not an error of ours
    """A call that is answered with an error.

    Attributes:
        code: of google.rpc, e.g. ``NOT_FOUND``.
        message: for its reader.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(message)


def check(message: Mapping[str, Any], kind: str, field: str) -> None:
    """Refuses a message that breaks the service's rules.

    Args:
        message: in JSON.
        kind: ``HyperparameterTuningJob`` or ``CustomJob``.
        field: the request's, which holds the message.

    Raises:
        Refused: it breaks a rule.
    """
    found = problems(message, kind)
    if found:
        raise Refused("INVALID_ARGUMENT", _listed(found, field))


def _listed(violations: Sequence[Violation], field: str) -> str:
    """As the service lists what is wrong with a request."""
    lines = [
        f"{number}.Field: {field}.{each.path}; Message: {each.message}" for number, each in enumerate(violations, 1)
    ]
    return "List of found errors:\t" + "\t".join(lines)


def not_found(kind: str, name: str) -> Refused:
    """The answer where there is no such job."""
    return Refused("NOT_FOUND", f"The {kind} does not exist: {name}")
