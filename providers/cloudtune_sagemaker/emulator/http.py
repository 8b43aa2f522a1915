"""The emulator's server: moto's, on loopback, with faults on the way and connections that end with it."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from xml.sax.saxutils import escape

from flask import Flask
from moto.backends import SERVICE_NAMES
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler

from cloudtune.emulation.access import Application, Environ, Refusal
from cloudtune.emulation.faults import Fault
from cloudtune.emulation.serving import LoopbackServer, SilentHandler, cut
from cloudtune_sagemaker.emulator import posts
from cloudtune_sagemaker.emulator.faults import Faults
from cloudtune_sagemaker.emulator.principals import Principals
from cloudtune_sagemaker.emulator.signatures import Key, Signatures

_SIGNED = re.compile(r"Credential=[^/]*/[^/]*/([^/]*)/([^/]*)/")
_VIRTUAL_HOST = re.compile(r"[a-z0-9.-]+\.localhost:[0-9]+|([a-z0-9.-]+\.)?s3[.-]([a-z0-9-]+\.)*amazonaws\.com(\.cn)?")
"""Names by which S3's buckets are called: browsers know none of them to be of another place than this machine or AWS."""

_HOSTS = 1000
"""How many hosts are remembered: buckets may be called by names of their own."""

_ANSWERS: Mapping[Fault, tuple[str, str, str]] = {
    "throttle": ("400 Bad Request", "ThrottlingException", "Rate exceeded"),
    "error": ("500 Internal Server Error", "InternalFailure", "We encountered an internal error. Please try again."),
    "expired": ("400 Bad Request", "ExpiredTokenException", "The security token included in the request is expired"),
}
"""What a client gets for a fault: status, code and message (the services' common errors)."""

_XML = "<?xml version='1.0'?><ErrorResponse><Error><Code>{0}</Code><Message>{1}</Message></Error></ErrorResponse>"
_WITH_XML: Mapping[str, str] = {
    "s3": "<?xml version='1.0'?><Error><Code>{0}</Code><Message>{1}</Message></Error>",
    "sts": _XML,
    "iam": _XML,
}
"""Errors of services that do not speak JSON, by their names in a signature."""


_REFUSED: Mapping[str, tuple[str, str, str]] = {
    "foreign": ("403 Forbidden", "AccessDeniedException", "AccessDenied"),
    "missing": ("403 Forbidden", "MissingAuthenticationToken", "AccessDenied"),
    "unknown": ("403 Forbidden", "UnrecognizedClientException", "InvalidAccessKeyId"),
    "wrong": ("403 Forbidden", "InvalidSignatureException", "SignatureDoesNotMatch"),
    "expired": ("403 Forbidden", "RequestExpired", "RequestTimeTooSkewed"),
    "lapsed": ("403 Forbidden", "ExpiredTokenException", "ExpiredToken"),
    "policy": ("403 Forbidden", "AccessDeniedException", "AccessDenied"),
    "form": ("400 Bad Request", "ValidationException", "MalformedPOSTRequest"),
    "small": ("400 Bad Request", "ValidationException", "EntityTooSmall"),
    "size": ("413 Content Too Large", "RequestEntityTooLargeException", "EntityTooLarge"),
}
"""What a client gets that may not use the emulator: the status, and the code in JSON and in XML (the services' common errors)."""


class _Applications(DomainDispatcherApplication):
    """Moto's applications; which one answers to a host is found out once, for which moto lists its own folder each time."""

    def __init__(self, create: Callable[[SERVICE_NAMES], Flask]) -> None:
        super().__init__(create)
        self._found: dict[str | None, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        """See moto."""
        if host not in self._found:
            if len(self._found) >= _HOSTS:
                self._found.clear()
            self._found[host] = super().get_backend_for_host(host)
        return self._found[host]


class _Handler(SilentHandler, MotoRequestHandler):
    """Reads requests as moto does."""


class Server(LoopbackServer):
    """Moto's applications on 127.0.0.1.

    Args:
        port: where it listens; 0 for a free one.
        account: whose calls they are, whatever their credentials say.
        keys: the pair of keys with an access key id; None where none was given out.
        principals: who asks, and what the policies permit.
        faults: what goes wrong on purpose.
        served: called with the operation of every call of SageMaker and CloudWatch Logs.
        create: makes the application of one service of moto.
    """

    def __init__(
        self,
        port: int,
        *,
        account: str,
        keys: Callable[[str], Key | None],
        principals: Principals,
        faults: Faults,
        served: Callable[[str], None],
        create: Callable[[SERVICE_NAMES], Flask],
    ) -> None:
        self._signatures = Signatures(keys)
        super().__init__(
            port,
            self._serve,
            handler=_Handler,
            admit=self._signatures.admit,
            refuse=_not_admitted,
            names=_VIRTUAL_HOST,
        )
        self._account, self._principals, self._faults, self._served = account, principals, faults, served
        self._app: Application = posts.Answering(_Applications(create))

    def _serve(self, environ: Environ, respond: Any) -> Iterable[bytes]:
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = self._account
        service, operation = _called(environ)
        if service in ("sagemaker", "logs"):
            self._served(operation)
        fault = self._faults.of_call(service, operation)
        try:
            asked = service or "s3"  # what is signed in advance, by its address or in a form
            denied = "" if fault else self._principals.denial(environ, asked, operation, _region(environ))
            if denied:
                return _refused(asked, *_denied(asked), denied, respond)
            if not fault:
                return self._app(environ, respond)
            return self._lost(environ) if fault == "lost" else _refused(service, *_faulty(service, fault), respond)
        except NotImplementedError:  # so moto says it; it has not begun to answer
            message = f"moto has no {service} {operation}"
            return _refused(service, "501 Not Implemented", "NotImplemented", message, respond)
        except ConnectionError:
            raise
        except RecursionError:
            message = "the request is nested too deeply"
            return _refused(service, "400 Bad Request", "SerializationException", message, respond)
        except Exception as error:  # noqa: BLE001  # moto checks little of what it is sent
            message = f"moto cannot answer this request: {type(error).__name__}: {error}"
            if service == "s3":
                return _refused(service, "400 Bad Request", "InvalidRequest", message, respond)
            return _refused(service, *_ANSWERS["error"][:2], message, respond)

    def _lost(self, environ: Environ) -> Iterable[bytes]:
        """Do what is asked, and close the connection."""
        answer = self._app(environ, lambda *_: lambda _: None)
        for _ in answer:
            pass  # only its effect counts
        cut(environ)
        raise ConnectionAbortedError("the answer is lost on purpose")


def _called(environ: Environ) -> tuple[str, str]:
    """Return the service that a request is signed for, and the operation it names: for S3 and the like the HTTP method."""
    signed = _SIGNED.search(environ.get("HTTP_AUTHORIZATION", ""))
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    operation = target.rpartition(".")[2] or environ.get("REQUEST_METHOD", "")
    return (signed.group(2) if signed else ""), operation


def _region(environ: Environ) -> str:
    """Return the region that a request is signed for; "" where it says none."""
    signed = _SIGNED.search(environ.get("HTTP_AUTHORIZATION", ""))
    return signed.group(1) if signed else ""


def _denied(service: str) -> tuple[str, str]:
    """Return the status and the code with which a service refuses an action that no policy allows."""
    return ("403 Forbidden", "AccessDenied") if service in _WITH_XML else ("400 Bad Request", "AccessDeniedException")


def _faulty(service: str, fault: Fault) -> tuple[str, str, str]:
    """Return status, code and message of a fault, as the service has them."""
    if service == "s3" and fault == "throttle":
        return "503 Slow Down", "SlowDown", "Please reduce your request rate."
    status, code, message = _ANSWERS[fault]
    return status, code.removesuffix("Exception") if service in _WITH_XML else code, message


def _not_admitted(environ: Environ, refusal: Refusal, respond: Any) -> Iterable[bytes]:
    """Answer a request without valid credentials."""
    service, _ = _called(environ)
    status, in_json, in_xml = _REFUSED[refusal.kind]
    speaks_json = service not in _WITH_XML if service else "HTTP_X_AMZ_TARGET" in environ
    if speaks_json:
        return _refused(service, status, in_json, refusal.message, respond)
    return _refused(service or "s3", status, in_xml, refusal.message, respond)


def _refused(service: str, status: str, code: str, message: str, respond: Any) -> Iterable[bytes]:
    if service in _WITH_XML:
        kind, body = "text/xml", _WITH_XML[service].format(code, escape(message))
    else:
        kind, body = "application/x-amz-json-1.1", json.dumps({"__type": code, "message": message})
    content = body.encode()
    respond(status, [("Content-Type", kind), ("Content-Length", str(len(content)))])
    return [content]
