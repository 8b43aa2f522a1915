"""The errors of the service, by the codes of google.rpc."""

from collections.abc import Mapping
from typing import Any

from cloudtune.emulation.authority import Ask
from cloudtune_vertex.emulator.permissions import details_of, message_of

HTTP_STATUS: Mapping[str, int] = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "ALREADY_EXISTS": 409,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
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
        details: messages of protobuf in JSON that say more.
    """

    def __init__(self, code: str, message: str, details: list[dict[str, Any]] | None = None) -> None:
        self.code, self.message, self.details = code, message, details or []
        super().__init__(message)

    @property
    def body(self) -> dict[str, Any]:
        """The answer in JSON."""
        error = {"code": HTTP_STATUS[self.code], "message": self.message, "status": self.code}
        return {"error": {**error, "details": self.details} if self.details else error}


def not_found(kind: str, name: str) -> Refused:
    """Return the answer where there is no such job."""
    return Refused("NOT_FOUND", f"The {kind} does not exist: {name}")


def denied(ask: Ask) -> Refused:
    """Return the answer where a permission is missing."""
    return Refused("PERMISSION_DENIED", message_of(ask), [details_of(ask)])
