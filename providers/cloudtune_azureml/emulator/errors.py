"""The errors that the emulator answers with, in the service's form."""

import json
from collections.abc import Mapping
from typing import Any

from werkzeug.wrappers import Response

from cloudtune.emulation.refused import Refused


def not_found(what: str) -> Refused:
    """Return the answer where something does not exist."""
    return Refused(404, "NotFound", f"{what} was not found in this workspace.")


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return a request's body.

    Raises:
        Refused: it is no object.
    """
    if not isinstance(value, Mapping):
        raise Refused(400, "InvalidRequestContent", "The request content is no object.")
    return value


def answered(status: int, code: str, message: str) -> Response:
    """Return the response of HTTP that tells an error."""
    component = {"type": "ComponentName", "info": {"value": "managementfrontend"}}
    error = {"code": code, "message": message, "details": [], "additionalInfo": [component]}
    body = {"error": error, "error_code": code, "message": message}
    again = {} if status == 403 else {"Retry-After": "0"}  # with that header clients try again whatever it is
    return Response(json.dumps(body), status, again, mimetype="application/json")
