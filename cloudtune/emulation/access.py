"""Access control of an emulator's server: only programs with its credentials may use it, and no web page.

A browser sends requests of any page to 127.0.0.1 as well: forms and images without a preflight, other requests after
one, and all of them under the page's own host name after DNS rebinding. So a request must carry no header of a page of
another origin, must address the server by a name of this machine, and must have the credentials of this start.
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
"""The host names by which a request may address this machine."""

_OWN_SITE = frozenset({"", "none", "same-origin"})
"""Values of ``Sec-Fetch-Site`` for programs, typed addresses and the server's own pages (W3C, Fetch Metadata)."""

_CORS = "access-control-"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused.

    Attributes:
        kind: "foreign" for a page or host name of elsewhere, "missing" for no credentials, "wrong" for wrong ones,
            "expired" for expired ones, "size" for a body that is too large; services may have further kinds.
        message: the text for the sender, without secrets.
    """

    kind: str
    message: str


Admit = Callable[[Environ], "Refusal | None"]
"""Check the credentials of a request; return None if they are valid."""

Refuse = Callable[[Environ, Refusal, Respond], Iterable[bytes]]
"""Answer a refused request in the service's own format."""


def new_secret() -> str:
    """Return a secret of 256 random bits, of letters, digits, ``-`` and ``_``."""
    return secrets.token_urlsafe(32)


def same(given: str, wanted: str) -> bool:
    """Return whether two secrets are equal, in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())


def bearer(authorization: str) -> str:
    """Return the token of an ``Authorization: Bearer`` header; "" for another scheme."""
    kind, _, token = authorization.strip().partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def foreign(environ: Environ, port: int, further: "re.Pattern[str] | None" = None) -> Refusal | None:
    """Return the refusal of a request from a page of another origin or to a foreign host name; None if it is neither.

    Args:
        environ: the request.
        port: the server's port.
        further: matches further values of ``Host`` that mean this server.
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
    """A WSGI application that passes permitted requests on to another one and refuses all others.

    Args:
        application: the application to protect.
        port: returns the server's port.
        admit: checks the credentials.
        refuse: answers refused requests.
        names: further host names of the server; see `foreign`.
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
