"""Calls of a service that speaks JSON over HTTP, for providers without an SDK; its errors in our words."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from cloudtune.driver.listeners import refuse_lost
from cloudtune.errors import ConfigError, CredentialError, ProviderError
from cloudtune.provider.settings import ServiceSettings, Text

_PATIENCE = 30.0
"""Seconds that a call may take."""


class HttpSettings(ServiceSettings):
    """The settings of a service that lets in who brings a token."""

    token: Text = None
    """Lets its bearer in; null for a service that asks for none."""


class HttpApi:
    """A service at an address.

    Args:
        service: what messages call it.
        endpoint: its address, ``https://host:port``; None where the profile names none.
        token: lets its bearer in; None for a service that asks for none.
        headers: returns more headers of a call, such as those of a proxy before the service; None for none.
        tls: whom to trust, and who is asking; None for what this machine trusts.
        emulated: whether an address of this machine is an emulator's, which is gone for good where it does not answer;
            False for that of a service whose address here is a tunnel's.
    """

    def __init__(
        self,
        service: str,
        endpoint: str | None,
        token: str | None = None,
        *,
        headers: Callable[[], Mapping[str, str]] | None = None,
        tls: ssl.SSLContext | None = None,
        emulated: bool = True,
    ) -> None:
        self.service, self._endpoint, self._token = service, endpoint, token
        self._more, self.tls, self._emulated = headers, tls, emulated

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a call, which let it in."""
        own = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        return own if self._more is None else {**own, **self._more()}

    def url(self, path: str) -> str:
        """Return the address of a path.

        Raises:
            ConfigError: there is no address of the service.
        """
        if self._endpoint is None:
            raise ConfigError(f'the profile names no {self.service}; write endpoint = "https://…"')
        return f"{self._endpoint.rstrip('/')}/{quote(path, safe='/?=&')}"

    def ask(self, method: str, path: str, data: Any = None) -> Any:  # plain data
        """Call the service; return the data of its JSON, or else the bytes.

        Args:
            method: of HTTP.
            path: below the address, may have a query.
            data: the body: bytes, or plain data for JSON; None for none.

        Raises:
            ConfigError: there is no address.
            CredentialError: it lets nobody in with this token.
            ProviderError: it refuses (`code` is the status), or cannot be reached.
        """
        url = self.url(path)
        body = data if data is None or isinstance(data, bytes) else json.dumps(data).encode()
        request = urllib.request.Request(url, body, self.headers, method=method)  # noqa: S310  # as the profile says
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE, context=self.tls) as answer:  # noqa: S310
                said = answer.read()
                return json.loads(said) if answer.headers.get_content_type() == "application/json" else said
        except urllib.error.HTTPError as error:
            raise self._refused(error) from error
        except OSError as error:
            if self._emulated:
                refuse_lost(self._endpoint, f"asking {self.service} for {path}")
            message = f"{self.service} cannot be reached: {getattr(error, 'reason', error)}"
            raise ProviderError(message, code="Connection", retryable=True) from error

    def find(self, path: str) -> Any:  # plain data
        """Return what the service says at a path; None if there is nothing (404). Raises as `ask`."""
        try:
            return self.ask("GET", path)
        except ProviderError as error:
            if error.code != "404":
                raise
            return None

    def _refused(self, error: urllib.error.HTTPError) -> ProviderError:
        with error:
            said = error.read(2000).decode(errors="replace").strip() or error.reason
        message = f"{self.service} says {error.code}: {said}"
        if error.code in (401, 403):
            return CredentialError(message, code=str(error.code))
        return ProviderError(message, code=str(error.code), retryable=error.code >= 500 or error.code == 429)
