"""Trials as processes: each with its own process group, folder, log and limits."""

import contextlib
import json
import selectors
import signal
import time
from collections import deque
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cloudtune.driver.launcher import Ended, Launcher, TrialUpdate
from cloudtune.errors import StoreError
from cloudtune.process.attempts import ending_of, signal_attempt, stop_adopted, watched
from cloudtune.process.endings import ended_of
from cloudtune.process.keeper_client import KeeperClient
from cloudtune.process.logs import sample
from cloudtune.process.setting import Setting, TrialFiles
from cloudtune.process.sharing import Sharing, no_room
from cloudtune.process.tail import Tail
from cloudtune.spec.metric_patterns import metric_patterns
from cloudtune.store.records import Trial
from cloudtune.trial.commands import compile_command

if TYPE_CHECKING:
    from cloudtune.process.leases import Lease

_NOT_ITS_OWN = ("stopped", "system")
"""Ends of an attempt that the trial did not cause: its driver stopped it, or the machine could not start it."""

READING_INTERVAL = 0.1
"""Seconds between two reads of what the running trials have written."""

_LULL = 0.002
"""Seconds without an answer of the keeper after which the driver has time."""


class ProcessLauncher(Launcher):
    """Starts a process for every trial, through the keeper.

    Args:
        setting: the setting of all trials.
        sharing: gives each trial what it needs of this machine.
        load: the keeper's ``load`` request for function trials; None for commands.
    """

    def __init__(self, setting: Setting, sharing: Sharing, load: Mapping[str, Any] | None = None) -> None:
        self._setting = setting
        self._sharing = sharing
        self.most = sharing.most(setting.job.limits.parallel)
        self._load = load
        self._patterns = metric_patterns(setting.job.measured, setting.job.metrics, heard=False)
        command = setting.job.trial.command
        self._command = None if command is None else compile_command(command, list(setting.job.space))
        self._running: dict[int, _Process] = {}
        self._happened: deque[TrialUpdate] = deque()
        self._selector = selectors.DefaultSelector()
        self._next_reading = 0.0
        self._next: int | None = None
        self._made_ahead: set[int] = set()
        self._launched: set[int] = set()
        self._keeper = self._start_keeper()

    def _start_keeper(self) -> KeeperClient:
        needs_packages = self._load is not None or self._setting.memory is not None
        keeper = KeeperClient(self._setting.environment, self._setting.folder / "keeper.log", bare=not needs_packages)
        self._selector.register(keeper.socket, selectors.EVENT_READ)
        if self._load is not None:
            keeper.send({"do": "load", **self._load})
        return keeper

    def room(self) -> int | None:
        return self._sharing.room(busy=bool(self._running))

    def place(self, trial: Trial) -> str:
        self._sharing.reserve(trial.number)
        return self._setting.place(trial)

    def launch(self, trial: Trial) -> None:
        lease = self._sharing.take(trial.number)
        if lease is None and self._sharing.active:
            self._happened.append(no_room(trial))
            return
        try:
            self._launch(trial, lease)
        finally:
            if lease is not None:
                lease.close()  # the keeper has it

    def _launch(self, trial: Trial, lease: "Lease | None") -> None:
        files = self._setting.files(trial)
        self._launched.add(trial.number)
        self._running[trial.number] = _Process(trial, files, self._patterns, adopted=False)
        try:
            if trial.number not in self._made_ahead:
                files.make_folders()
            self._setting.inherit(trial)
            with open(files.parameters, "wb") as file:  # noqa: PTH123  # no Path: many files are written
                file.write(json.dumps({"parameters": trial.parameters}).encode())
            self._keeper.start(self._request(trial, files), lease)
            self._next = trial.number + 1
        except ConnectionError:
            self._keeper_is_gone()
        except OSError as error:
            place = error.filename or files.folder
            raise StoreError(
                f"{place} cannot be written: {error.strerror or error}; the run can be resumed once that is mended"
            ) from error

    def _make_ahead(self) -> None:
        """Create the next trial's files while the last one runs, since that takes longer than the rest of a launch."""
        number, self._next = self._next, None
        limit = self._setting.job.limits.trials
        if number is not None and number not in self._made_ahead and (limit is None or number < limit):
            with contextlib.suppress(OSError):  # the launch tells that the disk is full
                self._setting.files(Trial(number, {})).make()
                self._made_ahead.add(number)

    def _request(self, trial: Trial, files: TrialFiles) -> dict[str, Any]:
        request: dict[str, Any] = {
            "key": f"{trial.number}.{trial.attempt}",
            "log": files.log,
            "log_size": files.log_size,
            "record": files.record,
            "env": files.environment(trial.number),
            "limit": self._setting.seconds,
            "memory": self._setting.memory,
            "grace": self._setting.grace,
        }
        if self._command is None:
            request["env"] |= {"CLOUDTUNE_RUN": self._setting.run_id}
            return {"do": "fork", **request, "metric": self._setting.metric}
        return {
            "do": "spawn",
            **request,
            "argv": self._command(trial.parameters, trial.number),
            "cwd": str(self._setting.work),
        }

    def printed(self, trial: Trial) -> Sequence[str]:
        return sample(self._setting.files(trial).log)

    def adopt(self, trial: Trial) -> bool:
        files = self._setting.files(trial)
        alive, ending = watched(files), ending_of(files)
        if (ending is None and not alive) or (ending is not None and ending["why"] in _NOT_ITS_OWN):
            return False
        self._running[trial.number] = _Process(trial, files, self._patterns, adopted=True)
        return True

    def poll(self, timeout: float) -> Sequence[TrialUpdate]:
        self._sharing.let_go()
        if not self._happened:
            wait = min(timeout, max(0.0, self._next_reading - time.monotonic())) if self._running else timeout
            if self._awaited(wait):
                self._hear_keeper()
            if time.monotonic() >= self._next_reading:
                self._next_reading = time.monotonic() + READING_INTERVAL
                self._read_all()
        happened = list(self._happened)
        self._happened.clear()
        return happened

    def _awaited(self, seconds: float) -> bool:
        """Return whether the keeper answers within some seconds; if it has nothing to say at first, prepare meanwhile."""
        if self._next is not None and seconds > _LULL:
            if self._selector.select(_LULL):
                return True
            self._make_ahead()
            seconds -= _LULL
        return bool(self._selector.select(seconds))

    def _hear_keeper(self) -> None:
        try:
            answers = list(self._keeper.receive())
        except ConnectionError:
            self._keeper_is_gone()
            return
        for answer in answers:
            number, attempt = (int(part) for part in answer["ended"].split("."))
            process = self._running.get(number)
            if process is not None and process.trial.attempt == attempt:
                self._end(number, ended_of(self._setting, number, attempt, answer, process.files.log))

    def _read_all(self) -> None:
        for process in list(self._running.values()):
            self._happened.extend(process.tail.new())
            if process.adopted:
                self._look_after_adopted(process)

    def _look_after_adopted(self, process: "_Process") -> None:
        """Report the end of a trial that an earlier driver's keeper runs; kill it if its grace time is over."""
        trial, files = process.trial, process.files
        alive = watched(files)
        ending = ending_of(files)  # after the look at the keeper: what it left is there when it is gone
        if ending is not None:
            self._end(trial.number, ended_of(self._setting, trial.number, trial.attempt, ending, files.log))
        elif process.kill_at is not None and time.monotonic() >= process.kill_at:
            stop_adopted(files, signal.SIGKILL)
        elif not alive:
            signal_attempt(files, signal.SIGKILL)
            self._end(trial.number, Ended(trial.number, trial.attempt, "it and its keeper are gone", lost=True))

    def _end(self, number: int, ended: Ended) -> None:
        process = self._running.pop(number)
        self._happened.extend(process.tail.new(last=True))
        process.tail.close()
        self._happened.append(ended)

    def _keeper_is_gone(self) -> None:
        """End the trials of a killed keeper as lost, and start a new keeper."""
        self._selector.unregister(self._keeper.socket)
        self._keeper.close()
        for process in list(self._running.values()):
            if not process.adopted:
                trial = process.trial
                signal_attempt(process.files, signal.SIGKILL)
                self._end(trial.number, Ended(trial.number, trial.attempt, "its keeper was killed", lost=True))
        self._keeper = self._start_keeper()

    def stop(self, number: int) -> None:
        process = self._running.get(number)
        if process is None:
            return
        if process.adopted:
            stop_adopted(process.files, signal.SIGTERM if self._setting.grace else signal.SIGKILL)
            process.kill_at = time.monotonic() + self._setting.grace
            return
        try:
            self._keeper.send({"do": "stop", "key": f"{number}.{process.trial.attempt}", "grace": self._setting.grace})
        except OSError:
            self._keeper_is_gone()

    def close(self) -> None:
        self._sharing.close()
        for process in self._running.values():
            if process.adopted:
                stop_adopted(process.files, signal.SIGKILL)
            process.tail.close()
        self._keeper.close()
        self._selector.close()
        for number in self._made_ahead - self._launched:
            self._setting.files(Trial(number, {})).remove_empty()


class _Process:
    """A running trial; an adopted one was launched by an earlier driver, whose keeper runs it."""

    def __init__(self, trial: Trial, files: TrialFiles, patterns: Mapping[str, Any], *, adopted: bool) -> None:
        self.trial = trial
        self.files = files
        self.adopted = adopted
        self.kill_at: float | None = None
        self._patterns = patterns

    @cached_property
    def tail(self) -> Tail:
        """Reader of what the trial writes; created on first use, so that it does not delay the launch."""
        return Tail(self.trial.number, self.trial.attempt, self.files, self._patterns)
