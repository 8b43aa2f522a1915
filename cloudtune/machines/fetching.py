"""Ask a public price list: bounded in size and time, and never past a certificate."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from typing import IO, Any

from cloudtune.errors import ProviderError
from cloudtune.errors.masking import masked_text

_CHUNK = 1 << 16


class Fetcher:
    """Gets texts from a price list.

    Args:
        seconds: how long all requests together may take.
        most_bytes: how much they may answer together.
    """

    def __init__(self, seconds: float = 300, most_bytes: int = 1 << 30) -> None:
        self._until = time.monotonic() + seconds
        self._left = most_bytes

    def json(self, url: str, headers: Mapping[str, str] | None = None) -> Any:  # JSON of others
        """Return the JSON that an address answers with.

        Raises:
            ProviderError: it cannot be reached, refuses, takes too long, says too much, or answers with no JSON.
        """
        text = "\n".join(self.lines(url, headers))
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise ProviderError(f"{_shown(url)} did not answer with JSON; the prices stay as they were") from None

    def lines(self, url: str, headers: Mapping[str, str] | None = None) -> Iterator[str]:
        """Yield the lines that an address answers with.

        Raises:
            ProviderError: see `json`.
        """
        try:
            with self._open(url, headers) as answer:
                yield from self._read(answer, url)
        except urllib.error.HTTPError as error:
            raise ProviderError(f"{_shown(url)} answered {error.code} {error.reason}", code=str(error.code)) from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise ProviderError(f"{_shown(url)} cannot be read: {reason}", retryable=True) from None

    def _open(self, url: str, headers: Mapping[str, str] | None) -> IO[bytes]:
        if not url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            raise ProviderError(f"{_shown(url)} is no address of a price list: it must begin with https://")
        request = urllib.request.Request(url, headers={"Accept": "*/*", **(headers or {})})  # noqa: S310  # checked above
        opened: IO[bytes] = urllib.request.urlopen(request, timeout=max(self._seconds(url), 1))  # noqa: S310
        return opened

    def _seconds(self, url: str) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise ProviderError(f"{_shown(url)} takes too long; the prices stay as they were", retryable=True)
        return left

    def _read(self, answer: IO[bytes], url: str) -> Iterator[str]:
        rest = b""
        while chunk := answer.read(_CHUNK):
            self._seconds(url)
            self._left -= len(chunk)
            if self._left < 0:
                raise ProviderError(
                    f"{_shown(url)} answers with more than a price list has; the prices stay as they were"
                )
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in whole)
        if rest:
            yield rest.decode("utf-8", "replace")


def _shown(url: str) -> str:
    """Return an address without what follows the ``?``, which may be a key."""
    return masked_text(url.partition("?")[0])
