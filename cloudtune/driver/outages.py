"""Tolerate outages of a service."""

import contextlib
from collections.abc import Iterator

from cloudtune.errors import ProviderError


class OutageTolerance:
    """Suppresses retryable errors up to a number in a row, beyond the retries of the client library for each call.

    Args:
        failures: greatest number of failures in a row; with the library's own retries each may take minutes.
    """

    def __init__(self, failures: int = 20) -> None:
        self._most = failures
        self._failures = 0

    @contextlib.contextmanager
    def tolerated(self) -> Iterator[None]:
        """Suppress a retryable error within the context; the caller tries again.

        Raises:
            ProviderError: the error is not retryable, or there were too many in a row.
        """
        try:
            yield
        except ProviderError as error:
            self._failures += 1
            if not error.retryable or self._failures > self._most:
                raise
        else:
            self._failures = 0
