"""What the emulator refuses, in the service's form, and what can go wrong on purpose."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from werkzeug.wrappers import Response

from cloudtune.emulation import faults
from cloudtune.emulation.faults import Fault
from cloudtune.emulation.refused import Refused


@dataclass(slots=True)
class Faults(faults.Faults):
    """Faults of Databricks' emulator.

    Services are ``jobs`` and ``files``. Operations of ``jobs`` are ``SubmitRun``, ``ListRuns``, ``GetRun``, ``GetRunOutput``,
    ``CancelRun`` and ``DeleteRun``; those of ``files`` ``PutFile``, ``GetFile``, ``ListDirectory`` and the like. ``full`` names
    node types; ``capacity`` has the cluster of a run fail to start.
    """

    services: Collection[str] = ("jobs", "files")


def invalid(message: str) -> Refused:
    """Return the answer to a request that is not valid."""
    return Refused(400, "INVALID_PARAMETER_VALUE", message)


REFUSALS: Mapping[Fault, Refused] = {
    "throttle": Refused(429, "REQUEST_LIMIT_EXCEEDED", "Rate limit exceeded. Please try again later."),
    "error": Refused(500, "INTERNAL_ERROR", "The service had an internal error."),
    "expired": Refused(401, "UNAUTHENTICATED", "The access token has expired."),
}


def answered(refused: Refused) -> Response:
    """Return the response of HTTP that tells an error."""
    body = {"error_code": refused.code, "message": refused.message, "details": []}
    again = {"Retry-After": "1"} if refused.status == 429 else {}
    return Response(json.dumps(body), refused.status, again, mimetype="application/json")
