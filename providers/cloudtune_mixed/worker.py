"""A profile's launcher in its own thread, so that no profile waits for another's outage."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cloudtune.driver.launcher import Ended, Launcher, TrialUpdate
from cloudtune.driver.outages import OutageTolerance
from cloudtune.driver.polling import JobLauncher
from cloudtune.errors import ProviderError, StoreError
from cloudtune.store.records import Trial
from cloudtune_mixed.strays import Strays

_POLL_TIMEOUT = 0.05
"""Seconds that one poll of the launcher may take before the thread checks for tasks."""

_MAX_OUTAGES = 1
"""Failed polls in a row before a profile's trials are restarted on others; each poll has its client's own retries."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The profile is ready for trials.

    Attributes:
        most: how many it runs at once; None for no limit.
    """

    most: int | None = None


@dataclass(frozen=True, slots=True)
class Outage:
    """The profile cannot be reached, or rejects requests; it launches nothing until `Worker.wake`."""

    error: ProviderError


@dataclass(frozen=True, slots=True)
class Broken:
    """An error occurred that is not the profile's."""

    error: Exception


News = TrialUpdate | Ready | Outage | Broken


@dataclass(frozen=True, slots=True)
class _Task:
    """A task for the thread.

    Attributes:
        action: called with the launcher; None to retry after an outage, or to start.
        trial: the trial that it launches or adopts.
    """

    action: Callable[[Launcher], None] | None = None
    trial: Trial | None = None


class Worker:
    """The thread of one profile.

    Args:
        profile: its name.
        make: creates its launcher; may raise ProviderError, and is then called again.
        strays: records the attempts that cannot be stopped now.
        tell: called with each update, from the thread.
    """

    def __init__(
        self, profile: str, make: Callable[[], Launcher], strays: Strays, tell: Callable[[str, News], None]
    ) -> None:
        self.profile = profile
        self._make = make
        self._strays = strays
        self._tell = tell
        self._launcher: Launcher | None = None
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._running: dict[int, Trial] = {}
        self._ready = False
        self._thread = threading.Thread(target=self._work, name=f"trials on {profile}", daemon=True)
        self._thread.start()

    # For the driver's thread

    def place(self, trial: Trial) -> str:
        """Return the name that a trial will have there; the worker must be ready."""
        assert self._launcher is not None
        return self._launcher.place(trial)

    def printed(self, trial: Trial) -> Sequence[str]:
        """Return lines of a trial's output; see `Launcher.printed`."""
        return () if self._launcher is None else self._launcher.printed(trial)

    def billed(self, trial: Trial) -> float:
        """Return the seconds that are billed so far; see `Launcher.billed`. Those since its launch before the worker is ready."""
        if self._launcher is not None:
            return self._launcher.billed(trial)
        return 0.0 if trial.started is None else time.time() - trial.started

    def outlives(self, trial: Trial) -> bool:
        """Return whether a trial may continue after the worker is closed; True if the profile cannot be reached."""
        return self._launcher is None or self._launcher.outlives(trial)

    def launch(self, trial: Trial) -> None:
        """Queue the launch of a trial."""
        self._tasks.put(_Task(lambda launcher: launcher.launch(trial), trial))

    def adopt(self, trial: Trial) -> None:
        """Queue the adoption of a trial, which is reported as lost if that fails."""

        def adopt(launcher: Launcher) -> None:
            if launcher.adopt(trial):
                return
            if launcher.once:  # its launch may be under way: launched as the same attempt, it makes no second job
                launcher.launch(trial)
            else:
                self._lost(trial, "it neither runs nor left how it ended")

        self._tasks.put(_Task(adopt, trial))

    def stop(self, number: int) -> None:
        """Queue a request to stop a trial."""
        self._tasks.put(_Task(lambda launcher: launcher.stop(number)))

    def wake(self) -> None:
        """Queue a retry after an outage."""
        self._tasks.put(_Task())

    def close(self) -> None:
        """Close the launcher after all queued tasks; see `join`."""
        self._tasks.put(None)

    def join(self, seconds: float) -> bool:
        """Wait for the thread to end, and return whether it has; an outage may delay it."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    # In the thread

    def _work(self) -> None:
        try:
            self._work_until_closed()
        except Exception as error:  # noqa: BLE001  # the driver's thread raises it
            self._tell(self.profile, Broken(error))
        finally:
            if self._launcher is not None:
                with contextlib.suppress(ProviderError, StoreError):  # what cannot be stopped stays recorded
                    self._end_strays(self._launcher)
                self._launcher.close()

    def _work_until_closed(self) -> None:
        task: _Task | None = _Task()
        while task is not None:
            try:
                self._do(task)
                task = self._next()
            except ProviderError as error:
                self._out(error)
                task = self._woken()

    def _do(self, task: _Task) -> None:
        if task.trial is not None:
            self._running[task.trial.number] = task.trial  # from here on an outage makes it a stray
        launcher = self._launcher or self._made()
        self._end_strays(launcher)
        if not self._ready:
            self._ready = True
            self._tell(self.profile, Ready(launcher.most))
        if task.action is not None:
            task.action(launcher)

    def _made(self) -> Launcher:
        launcher = self._launcher = self._make()
        if isinstance(launcher, JobLauncher):
            launcher.tolerance, launcher.waits_for_room = OutageTolerance(_MAX_OUTAGES), False  # another may have room
        return launcher

    def _next(self) -> _Task | None:
        """Return the next task, and report updates until there is one."""
        assert self._launcher is not None
        while True:
            try:
                return self._tasks.get(block=not self._running)
            except queue.Empty:
                for update in self._launcher.poll(_POLL_TIMEOUT):
                    self._pass_on(update)

    def _pass_on(self, update: TrialUpdate) -> None:
        trial = self._running.get(update.number)
        if trial is None or trial.attempt != update.attempt:
            return  # the last messages of a stray
        if isinstance(update, Ended):
            del self._running[update.number]
            if update.unplaced and not update.lost:  # it may run, if only the answer to its launch was lost
                self._strays.add(self.profile, trial)
        self._tell(self.profile, update)

    def _out(self, error: ProviderError) -> None:
        """Report all running trials as lost, and record them as strays."""
        self._ready = False
        for trial in list(self._running.values()):
            self._strays.add(self.profile, trial)
            self._lost(trial, str(error))
        self._tell(self.profile, Outage(error))

    def _woken(self) -> _Task | None:
        """Return the next task after the worker is woken; report trials of tasks before that as lost."""
        while True:
            task = self._tasks.get()
            if task is None or (task.action is None and task.trial is None):
                return task
            if task.trial is not None:
                self._strays.add(self.profile, task.trial)
                self._running[task.trial.number] = task.trial
                self._lost(task.trial, "it cannot be reached")

    def _lost(self, trial: Trial, why: str) -> None:
        del self._running[trial.number]
        self._tell(self.profile, Ended(trial.number, trial.attempt, why, lost=True))

    def _end_strays(self, launcher: Launcher) -> None:
        for stray in self._strays.of(self.profile):
            if launcher.adopt(stray):
                launcher.stop(stray.number)
            self._strays.remove(self.profile, stray)
