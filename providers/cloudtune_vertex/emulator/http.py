"""One HTTP server for Cloud Storage, Cloud Logging and Vertex AI's REST API, told apart by the path; with faults on the way."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from werkzeug.wrappers import Response

from cloudtune.emulation.access import Application, Environ, Refusal
from cloudtune.emulation.bodies import Request
from cloudtune.emulation.faults import Fault
from cloudtune.emulation.serving import LoopbackServer, cut
from cloudtune_vertex.emulator.credentials import TOKEN_PATH, Tokens
from cloudtune_vertex.emulator.faults import Faults

Called = Callable[[Request], tuple[str, str]]
"""From a request to its service and operation, as `Faults` knows them."""

REFUSALS: Mapping[Fault, tuple[int, str, str]] = {
    "throttle": (429, "RESOURCE_EXHAUSTED", "Quota exceeded for requests per minute. Please try again later."),
    "error": (503, "UNAVAILABLE", "The service is currently unavailable."),
    "expired": (401, "UNAUTHENTICATED", "Request had invalid authentication credentials."),
}
"""What a client gets for a fault: the HTTP status, the code of google.rpc, and a message."""


class HttpServer(LoopbackServer):
    """Serves what is mounted.

    Args:
        port: of 127.0.0.1; 0 for a free one.
        tokens: what lets in.
        faults: what goes wrong on purpose.
        served: called with the operation of every call.
    """

    def __init__(self, port: int, *, tokens: Tokens, faults: Faults, served: Callable[[str], None]) -> None:
        super().__init__(port, self._serve, admit=tokens.admit, refuse=_not_admitted)
        self._tokens, self._faults, self._served = tokens, faults, served
        self._mounted: list[tuple[str, Application, Called]] = []

    def mount(self, prefix: str, application: Application, called: Called) -> None:
        """Serve an application for all paths that begin so.

        Args:
            prefix: e.g. ``/storage/``.
            application: what answers.
            called: says what is called.
        """
        self._mounted.append((prefix, application, called))

    def _serve(self, environ: Environ, respond: Any) -> Iterable[bytes]:
        request = Request(environ)
        if request.path == TOKEN_PATH:
            return self._tokens.answer(environ, respond)  # type: ignore[no-any-return]
        for prefix, application, called in self._mounted:
            if request.path.startswith(prefix):
                service, operation = called(request)
                self._served(operation)
                fault = self._faults.of_call(service, operation)
                if fault == "lost":
                    return _lost(application, environ)
                return application(environ, respond) if not fault else _refused(fault)(environ, respond)
        message = f"the emulator serves nothing at {request.path}"
        return _answer(404, "NOT_FOUND", message)(environ, respond)


def _not_admitted(environ: Environ, refusal: Refusal, respond: Any) -> Iterable[bytes]:
    """Answer a request without valid credentials."""
    status, code = (403, "PERMISSION_DENIED") if refusal.kind == "foreign" else (401, "UNAUTHENTICATED")
    return _answer(status, code, refusal.message)(environ, respond)


def _refused(fault: Fault) -> Response:
    return _answer(*REFUSALS[fault])


def _answer(status: int, code: str, message: str) -> Response:
    body = {"error": {"code": status, "message": message, "status": code}}
    return Response(json.dumps(body), status, mimetype="application/json")


def _lost(application: Application, environ: Environ) -> Iterable[bytes]:
    """Do what is asked, and close the connection."""
    for _ in application(environ, lambda *_: lambda _: None):
        pass  # only its effect counts
    cut(environ)
    raise ConnectionAbortedError("the answer is lost on purpose")
