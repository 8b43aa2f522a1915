"""A job of an emulated service in a thread of its own, which other threads start, stop and close."""

import atexit
import threading
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from cloudtune.emulation.launcher import Closed
from cloudtune.emulation.stop_requests import StopRequests

Ended = TypeVar("Ended")
"""How a job ended, in the service's terms."""


class JobThread(ABC, Generic[Ended]):
    """A job that runs once; a subclass does the work in the methods that start with an underscore, all in its thread.

    Args:
        title: of the thread.
    """

    def __init__(self, title: str) -> None:
        self._stop_requests = StopRequests()
        self._thread = threading.Thread(target=self._run, name=title, daemon=True)

    def start(self) -> None:
        """Start the job; return at once."""
        atexit.register(self.close)
        self._thread.start()

    def stop(self) -> None:
        """Ask the programs to end (SIGTERM), and make them after the grace time; what they saved is kept."""
        self._stop_requests.request("stop")

    def interrupt(self) -> None:
        """Take the machines away, as happens to spot machines: the job starts anew, if its request lets it."""
        self._stop_requests.request("interrupt")

    def close(self) -> None:
        """End everything at once; nothing is reported any more. May be called twice."""
        self._stop_requests.request("close")
        if self._thread.ident is None:  # it never started, so it cannot release them itself
            self._stop_requests.close()
        elif threading.current_thread() is not self._thread:
            self._thread.join()

    # In its thread

    @abstractmethod
    def _job(self) -> Ended:
        """Run the job to its end; raise `Closed` when that is requested, and any other exception for what goes wrong."""

    @abstractmethod
    def _failed(self, error: Exception) -> Ended:
        """Return the end of a job for what `_job` has raised."""

    @abstractmethod
    def _report(self, ended: Ended) -> None:
        """Report the end. Not called once `close` has begun."""

    def _run(self) -> None:
        try:
            ended = self._job()
        except Closed:
            return
        except Exception as error:  # noqa: BLE001  # a job must end for those who wait, whatever went wrong
            ended = self._failed(error)
        finally:
            atexit.unregister(self.close)
            self._stop_requests.close()
        if self._stop_requests.pending != "close":
            self._report(ended)
