"""The log of a job, followed by the dashboard: every line comes once, however long the log is."""

import time
from collections.abc import Iterator

from cloudtune.driver.interrupt import Condition
from cloudtune.errors import ProviderError
from cloudtune.provider.http_api import HttpApi
from cloudtune_ray.tailing import texts

_CLOSES = 30.0
"""Seconds after a job's end in which the dashboard, which looks at its log each second, has told all of it."""

_SHARE = 10
"""A log that is told whole each time is read again after so many times what the last read took."""


class JobLog:
    """Reads the log of one job.

    Args:
        api: of the dashboard.
        job: its submission id.
        soon: seconds between two looks.
    """

    def __init__(self, api: HttpApi, job: str, soon: float) -> None:
        self._api, self._path, self._soon = api, f"api/jobs/{job}/logs", soon
        self._told = 0  # characters of lines

    def lines(self, over: Condition) -> Iterator[str]:
        """Yield the lines as they come, until the job has ended.

        Where the dashboard's WebSocket does not come through, such as at a proxy that knows none, the whole log is read each time.

        Raises:
            ProviderError: the dashboard cannot be reached, or does not know the job.
        """
        pause = self._soon
        while not over():  # else it is asked for what there is by now
            try:
                yield from self._followed(over)
            except ProviderError:
                began = time.monotonic()
                yield from self._read(last=False)
                pause = max(self._soon, _SHARE * (time.monotonic() - began))
            else:
                return
            time.sleep(pause)
        yield from self._read(last=True)

    def _followed(self, over: Condition) -> Iterator[str]:
        """Yield what is told from the connection's beginning to its end, without what was told before."""
        with texts(self._api, f"{self._path}/tail", self._soon) as came:
            known, rest, until = self._told, "", None
            for text in came:
                skipped = min(known, len(text))
                known -= skipped
                *whole, rest = (rest + text[skipped:]).split("\n")
                yield from map(self._line, whole)
                if text or not over():
                    until = None
                elif time.monotonic() > (until := until or time.monotonic() + _CLOSES):
                    break
        if rest:
            yield self._line(rest)

    def _line(self, line: str) -> str:
        self._told += len(line) + 1
        return line

    def _read(self, *, last: bool) -> Iterator[str]:
        """Read the whole log, and yield its further lines; the last one where nothing comes after it."""
        text: str = self._api.ask("GET", self._path)["logs"] or ""
        whole = text if last else text[: text.rfind("\n") + 1]
        new = whole[self._told :].splitlines()
        self._told = max(self._told, len(whole))
        yield from new
