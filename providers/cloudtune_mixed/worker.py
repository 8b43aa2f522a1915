"""A profile while its run is driven: its launcher in a thread of its own, so that none waits for another's outage."""

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cloudtune.driver.launcher import Ended, Happening, Launcher
from cloudtune.driver.outages import OutageTolerance
from cloudtune.driver.polling import PolledLauncher
from cloudtune.errors import ProviderError, StoreError
from cloudtune.store.records import Trial
from cloudtune_mixed.strays import Strays

_LOOK_UP = 0.05
"""Seconds that a launcher may wait for something to happen before the thread looks for something to do."""

_OUTAGES_BORNE = 1
"""Looks in a row that may fail before a profile's trials are started elsewhere; each has its client's own retries."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The profile can be asked to launch trials."""


@dataclass(frozen=True, slots=True)
class Outage:
    """The profile cannot be reached, or refuses us; it launches nothing until it is woken."""

    error: ProviderError


@dataclass(frozen=True, slots=True)
class Broken:
    """Something went wrong that has nothing to do with the place."""

    error: Exception


Told = Happening | Ready | Outage | Broken


@dataclass(frozen=True, slots=True)
class _Task:
    """Something to do.

    Attributes:
        action: does it; None to try again after an outage, or just to get ready.
        trial: that is launched or taken over by it.
    """

    action: Callable[[Launcher], None] | None = None
    trial: Trial | None = None


class Worker:
    """One profile's thread.

    Args:
        profile: its name.
        make: makes its launcher; may raise ProviderError, and is called again then.
        strays: where attempts are written down that nobody can tell to end now.
        tell: takes what happens; is called from the thread.
    """

    def __init__(
        self, profile: str, make: Callable[[], Launcher], strays: Strays, tell: Callable[[str, Told], None]
    ) -> None:
        self.profile = profile
        self._make = make
        self._strays = strays
        self._tell = tell
        self._launcher: Launcher | None = None
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._running: dict[int, Trial] = {}
        self._told_ready = False
        self._thread = threading.Thread(target=self._work, name=f"trials on {profile}", daemon=True)
        self._thread.start()

    # For the driver's thread

    def place(self, trial: Trial) -> str:
        """The name that a trial will have there; the worker has told that it is ready."""
        assert self._launcher is not None
        return self._launcher.place(trial)

    def printed(self, trial: Trial) -> Sequence[str]:
        """See `Launcher.printed`."""
        return () if self._launcher is None else self._launcher.printed(trial)

    def outlives(self, trial: Trial) -> bool:
        """Whether a trial goes on when the worker is closed, or may: of one that cannot be reached nobody knows."""
        return self._launcher is None or self._launcher.outlives(trial)

    def launch(self, trial: Trial) -> None:
        """Starts a trial, soon."""
        self._tasks.put(_Task(lambda launcher: launcher.launch(trial), trial))

    def adopt(self, trial: Trial) -> None:
        """Takes over a trial, soon, or tells that it is lost."""

        def adopt(launcher: Launcher) -> None:
            if launcher.adopt(trial):
                return
            if launcher.once:  # its launch may still be on its way: as the same attempt it makes no second job
                launcher.launch(trial)
            else:
                self._lost(trial, "it neither runs nor left how it ended")

        self._tasks.put(_Task(adopt, trial))

    def stop(self, number: int) -> None:
        """Asks a trial to end, soon."""
        self._tasks.put(_Task(lambda launcher: launcher.stop(number)))

    def wake(self) -> None:
        """Lets it try again after an outage."""
        self._tasks.put(_Task())

    def close(self) -> None:
        """Does what was asked before, and ends; see `join`."""
        self._tasks.put(None)

    def join(self, seconds: float) -> bool:
        """Waits for the end, and says whether it came: an outage may hold it up."""
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
                with contextlib.suppress(ProviderError, StoreError):  # what cannot be ended now stays written down
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
        if not self._told_ready:
            self._told_ready = True
            self._tell(self.profile, Ready())
        if task.action is not None:
            task.action(launcher)

    def _made(self) -> Launcher:
        launcher = self._launcher = self._make()
        if isinstance(launcher, PolledLauncher):
            launcher.patience = OutageTolerance(_OUTAGES_BORNE)
        return launcher

    def _next(self) -> _Task | None:
        """The next thing to do; what happens meanwhile is told."""
        assert self._launcher is not None
        while True:
            try:
                return self._tasks.get(block=not self._running)
            except queue.Empty:
                for happening in self._launcher.poll(_LOOK_UP):
                    self._pass_on(happening)

    def _pass_on(self, happening: Happening) -> None:
        trial = self._running.get(happening.number)
        if trial is None or trial.attempt != happening.attempt:
            return  # the last words of a stray
        if isinstance(happening, Ended):
            del self._running[happening.number]
            if happening.unplaced:  # perhaps it runs, and the answer to its launch is all that was lost
                self._strays.add(self.profile, trial)
        self._tell(self.profile, happening)

    def _out(self, error: ProviderError) -> None:
        """Everything that runs there goes on elsewhere."""
        self._told_ready = False
        for trial in list(self._running.values()):
            self._strays.add(self.profile, trial)
            self._lost(trial, str(error))
        self._tell(self.profile, Outage(error))

    def _woken(self) -> _Task | None:
        """What to do when it is to be tried again; what is asked for before that is told to be lost at once."""
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
