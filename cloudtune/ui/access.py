"""Who may use the page: a browser on this machine that was given the token, and no page of another site."""

from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloudtune.emulation.access import NAMES, new_secret, same

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the browser loads and runs: files of this server, and nothing within the page itself."""

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_NO_TOKEN = "This page needs the address with its token, as `cloudtune ui` printed it.\n"  # noqa: S105  # a message
_YEAR = 365 * 86400


@dataclass(frozen=True)
class Access:
    """What a request must bring.

    Attributes:
        port: of the server.
        token: in the address that is opened first, where it is exchanged for a cookie.
        session: the cookie's value.
    """

    port: int
    token: str = field(default_factory=new_secret, repr=False)
    session: str = field(default_factory=new_secret, repr=False)

    @property
    def address(self) -> str:
        """The page's address, without its token."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def address_with_token(self) -> str:
        """The address to open."""
        return f"{self.address}?{urlencode({'token': self.token})}"

    @property
    def cookie(self) -> str:
        """The cookie's name; browsers share cookies between the ports of a host."""
        return f"cloudtune-{self.port}"

    @property
    def hosts(self) -> set[str]:
        """The values of the header Host that name this server; any other is a name that was made to lead here (DNS rebinding)."""
        return {f"{name}:{self.port}" for name in NAMES}


class Guard:
    """Middleware that refuses every request that lacks what `Access` says, and adds the headers of every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                added = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message["headers"], *(each for each in added if each[0] not in given)]
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that may not pass, or that exchanges its token for a cookie; None for the others."""
        access, headers = self._access, Headers(scope=scope)
        if headers.getlist("host") != [headers.get("host", "")] or headers.get("host", "") not in access.hosts:
            return PlainTextResponse("This server answers to the names of this machine alone.\n", 403)
        if self._is_foreign(scope, headers):
            return PlainTextResponse("Other sites may not ask this server.\n", 403)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        if given and scope["path"] == "/" and scope["method"] == "GET":
            if not same(given[0], access.token):
                return PlainTextResponse(_NO_TOKEN, 403)
            answer = RedirectResponse("/", 303)
            answer.set_cookie(access.cookie, access.session, max_age=_YEAR, httponly=True, samesite="strict")
            return answer
        session = _cookies(headers).get(access.cookie)
        if session is None:
            return PlainTextResponse(_NO_TOKEN, 401)
        return None if same(session, access.session) else PlainTextResponse(_NO_TOKEN, 403)

    def _is_foreign(self, scope: Scope, headers: Headers) -> bool:
        """Return whether another site sent the request: by its Origin, or by what the browser says of it (Fetch Metadata)."""
        origins = {f"http://{host}" for host in self._access.hosts}
        origin = headers.get("origin")
        if origin is not None and origin not in origins:
            return True
        if scope["method"] not in ("GET", "HEAD"):
            return origin is None
        cross = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        return cross and headers.get("sec-fetch-mode") != "navigate"  # a link to the page is no harm, and has no cookie


def _cookies(headers: Headers) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
    return {name: value for name, _, value in pairs}
