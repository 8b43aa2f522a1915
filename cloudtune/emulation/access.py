"""Who may use a server of this machine: programs that were given its credentials, and no web page.

A browser sends what any page asks for to 127.0.0.1, too: forms and images without a question, other requests after a
preflight, and all of them under a name of the page's own where that name is rebound to 127.0.0.1. So every request
must come without a sign of a page of another origin, must call the server by a name that only this machine has, and
must bring credentials that are made anew at each start.
"""

import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

Environ = dict[str, Any]
Respond = Callable[..., Any]
Application = Callable[[Environ, Respond], Iterable[bytes]]

NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""What a request may call this machine."""

_OWN_SITE = frozenset({"", "none", "same-origin"})
"""Values of ``Sec-Fetch-Site`` of programs, of what a user types, and of the server's own pages (W3C, Fetch Metadata)."""

_CORS = "access-control-"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered.

    Attributes:
        kind: "foreign" for a page or a name of elsewhere, "missing" for no credentials, "wrong" for others than ours,
            "expired" for what was valid once, "size" for a body that is too large; services may have further ones.
        message: for its sender, without secrets.
    """

    kind: str
    message: str


Admit = Callable[[Environ], "Refusal | None"]
"""Looks at the credentials of a request; None where they are right."""

Refuse = Callable[[Environ, Refusal, Respond], Iterable[bytes]]
"""Answers a refused request in the service's own form."""


def new_secret() -> str:
    """Return a secret of 256 random bits, of letters, digits, ``-`` and ``_``."""
    return secrets.token_urlsafe(32)


def same(given: str, wanted: str) -> bool:
    """Return whether two secrets are the same, in a time that does not tell how far they are."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())


def bearer(authorization: str) -> str:
    """Return the token of an ``Authorization`` header of the kind ``Bearer``; "" for another one."""
    kind, _, token = authorization.strip().partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def foreign(environ: Environ, port: int, further: "re.Pattern[str] | None" = None) -> Refusal | None:
    """Find out whether a request comes from a page of elsewhere, or calls this machine by another name.

    Args:
        environ: the request.
        port: where the server listens.
        further: names, with a port or without, that mean this server, too.
    """
    host = str(environ.get("HTTP_HOST", "")).lower()
    if not _is_ours(host, port) and not (further is not None and further.fullmatch(host)):
        return Refusal("foreign", f"this server answers to 127.0.0.1:{port} and localhost:{port} alone")
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None and not _is_own_origin(str(origin), str(environ.get("wsgi.url_scheme")), port):
        return Refusal("foreign", "this server answers no page of another origin")
    if str(environ.get("HTTP_SEC_FETCH_SITE", "")).strip().lower() not in _OWN_SITE:
        return Refusal("foreign", "this server answers no page of another site")
    if environ.get("HTTP_UPGRADE", "").strip():
        return Refusal("foreign", "this server speaks HTTP alone")
    return None


def _is_ours(host: str, port: int) -> bool:
    name, colon, given = host.rpartition(":")
    return bool(colon) and name in NAMES and given == str(port)


def _is_own_origin(origin: str, scheme: str, port: int) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme == scheme and parts.path == "" and _is_ours(parts.netloc.lower(), port)


class Guard:
    """Lets requests through to an application that may use it; a WSGI application.

    Args:
        application: what it guards.
        port: gives the port of the server.
        admit: looks at the credentials.
        refuse: answers where a request is refused.
        names: further names of the server; see `foreign`.
    """

    def __init__(
        self,
        application: Application,
        *,
        port: Callable[[], int],
        admit: Admit,
        refuse: Refuse,
        names: "re.Pattern[str] | None" = None,
    ) -> None:
        self._application, self._port = application, port
        self._admit, self._refuse, self._names = admit, refuse, names

    def __call__(self, environ: Environ, respond: Respond) -> Iterable[bytes]:
        def answer(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return respond(status, [pair for pair in headers if not pair[0].lower().startswith(_CORS)], *more)

        refusal = foreign(environ, self._port(), self._names) or self._admit(environ)
        if refusal is not None:
            return self._refuse(environ, refusal, answer)
        return self._application(environ, answer)
