"""The errors of the service, by the codes of google.rpc."""

from collections.abc import Mapping

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


def not_found(kind: str, name: str) -> Refused:
    """The answer where there is no such job."""
    return Refused("NOT_FOUND", f"The {kind} does not exist: {name}")
