"""Patience with what passes, and Azure's errors in our words."""

import contextlib
import io
import logging
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from cloudtune.driver.listeners import is_lost, refuse_lost
from cloudtune.errors import CloudtuneError, CredentialError, ProviderError, QuotaError

_PASSING = frozenset({408, 429, 500, 502, 503, 504})

TRIES = 12
"""How often a call is made at most: with the waits between, some two minutes."""

WAIT = wait_exponential_jitter(initial=0.5, max=20, jitter=0.5)
"""The wait before a call is made again; the service may ask for a longer one."""

T = TypeVar("T")

_log = logging.getLogger(__name__)

_COLOUR = re.compile("\x1b\\[[0-9;]*m")


def patiently(doing: str, call: Callable[[], T], endpoint: str | None = None) -> T:
    """What a call returns that may be made twice: again after throttling, 5xx and lost connections.

    Args:
        doing: what is being done, as it follows ``while``.
        call: makes the call.
        endpoint: of an emulator, which is not tried again when it has ended; None for Azure's own.

    Raises:
        ProviderError: it was refused, or did not get through in `TRIES` tries.
    """

    def passes(error: BaseException) -> bool:
        return _passes(error) and not is_lost(endpoint)

    try:
        with translated(doing):
            passing = retry_if_exception(passes)
            return Retrying(stop=stop_after_attempt(TRIES), wait=_wait, retry=passing, reraise=True)(call)
    except ProviderError:
        refuse_lost(endpoint, doing)
        raise


def _wait(state: RetryCallState) -> float:
    """Seconds until the next try: ours, or what the header ``Retry-After`` asks for."""
    error = state.outcome.exception() if state.outcome is not None else None
    response = getattr(error, "response", None)
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    return max(WAIT(state), float(asked) if asked.isdigit() else 0.0)


def _passes(error: BaseException) -> bool:
    ours = isinstance(error, CloudtuneError)  # what another call within this one could not get through is over
    return not ours and isinstance(error, AzureError | OSError) and _in_words(error, "").retryable


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps the SDK's progress bars and remarks from the terminal."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turns Azure's errors within it into ours.

    Args:
        doing: what is being done, as it follows ``while``.
    """
    try:
        yield
    except CloudtuneError:
        raise
    except (AzureError, OSError) as error:
        raise _in_words(error, doing) from error
    except Exception as error:
        if not type(error).__module__.startswith("azure."):
            raise
        raise ProviderError(f"Azure's SDK refused while {doing}: {error}", code=type(error).__name__) from error


def _in_words(wrapped: BaseException, doing: str) -> ProviderError:
    error = _root(wrapped)
    status = getattr(error, "status_code", None)
    code, said = str(status or type(error).__name__), _said(error)
    if (
        isinstance(error, ClientAuthenticationError) and status is None
    ):  # of azure.identity: none of its ways led to a token
        _log.debug("%s", said)
        todo = "log in (az login), or set AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET"
        return CredentialError(f"there are no credentials for Azure, which are needed for {doing}; {todo}", code=code)
    if isinstance(error, ClientAuthenticationError) or status == 401:
        todo = "log in again (az login)"
        return CredentialError(f"Azure refused while {doing}: {said}; {todo}", code=code)
    if status == 403:
        return CredentialError(f"Azure refused while {doing}: {said}; ask for the permission", code=code)
    if "quota" in said.lower():
        return QuotaError(f"a limit of the subscription is reached while {doing}: {said}", code=code)
    if isinstance(error, ServiceRequestError | ServiceResponseError | OSError) and status is None:
        return ProviderError(f"Azure cannot be reached while {doing}: {said}", code=code, retryable=True)
    return ProviderError(f"Azure answered while {doing}: {said}", code=code, retryable=status in _PASSING)


def _root(error: BaseException) -> BaseException:
    """What the SDK wrapped in an error of its own: so a lost connection may arrive."""
    cause = error.__cause__
    wrapped = type(error).__module__.startswith("azure.ai.ml") and isinstance(cause, AzureError | OSError)
    return _root(cause) if wrapped and cause is not None else error


def _said(error: BaseException) -> str:
    message = getattr(error, "message", "") or str(error)
    inner = getattr(error, "error", None) if isinstance(error, HttpResponseError) else None
    return _plain(str(getattr(inner, "message", "") or message))


def _plain(text: str) -> str:
    """A message without the colours, the heading and the advice that the SDK puts around what is wrong."""
    words = " ".join(_COLOUR.sub("", text).split())
    _, found, details = words.partition("Details: ")
    return details.partition(" Resolutions: ")[0] if found else words
