"""Bearing with a service that cannot be reached for a while."""

import contextlib
from collections.abc import Iterator

from cloudtune.errors import ProviderError


class OutageTolerance:
    """Bears with an outage or a lost network, beyond the retries that each call has of its client library.

    Args:
        failures: in a row that are borne; with the library's own retries each may be some minutes long.
    """

    def __init__(self, failures: int = 20) -> None:
        self._most = failures
        self._failures = 0

    @contextlib.contextmanager
    def borne(self) -> Iterator[None]:
        """Swallows an error that may pass; the next try is the caller's.

        Raises:
            ProviderError: the error will not pass, or it has been borne often enough.
        """
        try:
            yield
        except ProviderError as error:
            self._failures += 1
            if not error.retryable or self._failures > self._most:
                raise
        else:
            self._failures = 0
