"""What a trial prints, for the page: the last lines, and those to come while somebody reads them."""

import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from cloudtune.errors import CloudtuneError, ProviderError
from cloudtune.remote.resolving import provider_of
from cloudtune.run import Run
from cloudtune.store.records import Trial
from cloudtune.store.secrets import kept_environment
from cloudtune.store.store import RunStore, Store

MAX_LINES = 3000
"""Most lines in memory; of more, the last."""

MAX_LENGTH = 2000
"""Most characters of a line."""

_PATIENCE = 20.0
"""Seconds after which a log is followed no more that nobody has asked for."""


class _Abandoned(Exception):  # no error: nobody reads the log any more
    """Ends the following of a log from within."""


class _FollowedStore(RunStore):
    """A run's store, whose reading ends what follows a log as soon as nobody wants it."""

    def __init__(self, store: Store, run_id: str, tail: "LogTail") -> None:
        super().__init__(store, run_id)
        self._tail = tail

    def trial(self, number: int) -> Trial | None:
        if not self._tail.wanted:
            raise _Abandoned
        return super().trial(number)


class LogTail:
    """The last lines of a trial's log, read by a thread of its own: at once what there is, then what comes.

    Args:
        project: the folder with the store.
        run_id: the run's whole id.
        number: of the trial.
    """

    def __init__(self, project: Path, run_id: str, number: int) -> None:
        self._project, self._run_id, self._number = project, run_id, number
        self._lock = threading.Lock()
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._count = 0
        self._problem = ""
        self._asked = time.monotonic()
        self.over = False
        threading.Thread(target=self._follow, name=f"log of trial {number} of {run_id}", daemon=True).start()

    @property
    def wanted(self) -> bool:
        """Whether anybody has asked for lines of late."""
        return time.monotonic() - self._asked < _PATIENCE

    def since(self, place: int) -> dict[str, Any]:
        """Return the lines after a place, as far as they are kept; empty where there is nothing new.

        Returns:
            ``lines``, ``place`` (of the next call), ``left_out`` (how many are gone), ``over`` and ``problem``.
        """
        self._asked = time.monotonic()
        with self._lock:
            first = self._count - len(self._lines)
            start = max(place, first) if place <= self._count else first
            lines = list(self._lines)[start - first :]
            done, problem = self.over, self._problem
            if not lines and not done:
                return {}
            left_out = max(first - place, 0) if place <= self._count else first
            return {"lines": lines, "place": self._count, "left_out": left_out, "over": done, "problem": problem}

    def _follow(self) -> None:
        try:
            store = _FollowedStore(Store(self._project), self._run_id, self)
            with suppress(ProviderError):
                kept_environment(store)  # these values are masked in what is sent
            run = Run(store, provider_of(store.record(), self._project))
            trial = store.trial(self._number)
            for line in run.logs(self._number, follow=trial is not None and not trial.state.ended):
                with self._lock:
                    self._lines.append(line if len(line) <= MAX_LENGTH else f"{line[:MAX_LENGTH]}…")
                    self._count += 1
        except _Abandoned:
            pass
        except CloudtuneError as error:
            self._problem = str(error)
        except Exception as error:  # noqa: BLE001  # whatever an SDK raises is told to the reader
            self._problem = f"{type(error).__name__}: {error}"
        finally:
            self.over = True


class LogTails:
    """The logs that are being read, one for all who read the same."""

    def __init__(self) -> None:
        self._tails: dict[tuple[str, int], LogTail] = {}

    def tail(self, project: Path, run_id: str, number: int) -> LogTail:
        """Return the tail of a trial's log; begin to follow it where nobody does."""
        for key, old in list(self._tails.items()):
            if not old.wanted:
                del self._tails[key]
        found = self._tails.get((run_id, number))
        if found is None:
            found = self._tails[run_id, number] = LogTail(project, run_id, number)
        return found
