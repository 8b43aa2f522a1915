"""Trials in a pool of workers, for functions that take less time than a process of their own.

A worker runs one trial after the other. One that crashes, hangs or is stopped fails only its trial: it is killed and
replaced.
"""

import contextlib
import json
import selectors
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cloudtune.driver.launcher import Ended, Launcher, TrialUpdate
from cloudtune.process.endings import ended_of
from cloudtune.process.keeper_client import KeeperClient
from cloudtune.process.logs import lines_of_slice
from cloudtune.process.setting import Setting
from cloudtune.process.sharing import Sharing, no_room
from cloudtune.results.printed_metrics import last_lines
from cloudtune.store.records import Report, Trial

if TYPE_CHECKING:
    from cloudtune.process.leases import Lease


class PoolLauncher(Launcher):
    """Sends trials to forked workers that have the function loaded.

    Args:
        setting: the setting of all trials.
        sharing: gives each worker what its trials need of this machine.
        load: the keeper's ``load`` request.
    """

    def __init__(self, setting: Setting, sharing: Sharing, load: Mapping[str, Any]) -> None:
        self._setting = setting
        self._sharing = sharing
        self.most = sharing.most(setting.job.limits.parallel)
        self._load = load
        self._happened: deque[TrialUpdate] = deque()
        self._selector = selectors.DefaultSelector()
        self._workers: dict[str, _Worker] = {}
        self._idle: list[_Worker] = []
        self._placed: set[int] = set()  # trials for which idle workers are kept
        self._busy: dict[int, _Worker] = {}
        self._next_name = 0
        (setting.folder / "workers").mkdir(exist_ok=True)
        self._keeper = self._start_keeper()

    def _start_keeper(self) -> KeeperClient:
        return self._enlist(self._new_keeper(self._setting.environment))

    def _new_keeper(self, environment: Mapping[str, str]) -> KeeperClient:
        return KeeperClient(environment, self._setting.folder / "keeper.log", bare=False)

    def _enlist(self, keeper: KeeperClient) -> KeeperClient:
        """Make a keeper load the function, and receive its answers from now on."""
        self._selector.register(keeper.socket, selectors.EVENT_READ, None)
        keeper.send({"do": "load", **self._load})
        return keeper

    def room(self) -> int | None:
        return 1 if self._sharing.active and self._unplaced_idle() else self._sharing.room(busy=bool(self._workers))

    def _unplaced_idle(self) -> bool:
        """Return whether a worker is idle for which no trial is on its way; it has what its next trial needs."""
        return len(self._idle) > len(self._placed)

    def place(self, trial: Trial) -> str:
        if self._sharing.active and self._unplaced_idle():
            self._placed.add(trial.number)
        elif self._sharing.active:
            self._sharing.reserve(trial.number)
        return ""

    def launch(self, trial: Trial) -> None:
        worker = self._worker_for(trial)
        if worker is None:
            self._happened.append(no_room(trial))
            return
        worker.take(trial, self._setting.seconds)
        self._busy[trial.number] = worker
        files = self._setting.files(trial)
        request = {
            "number": trial.number,
            "attempt": trial.attempt,
            "parameters": trial.parameters,
            "metric": self._setting.metric,
            "folder": files.folder,
            "output": files.output,
        }
        with contextlib.suppress(OSError):  # it died; the keeper will say so
            worker.connection.sendall(json.dumps(request).encode() + b"\n")

    def _worker_for(self, trial: Trial) -> "_Worker | None":
        """Return an idle worker or a new one; None if there is no room for that."""
        if not self._sharing.active:
            return self._idle.pop() if self._idle else self._start_worker(None)
        if self._idle and trial.number in self._placed:
            self._placed.discard(trial.number)
            return self._idle.pop()
        self._placed.discard(trial.number)
        lease = self._sharing.take(trial.number)
        if lease is None:
            return None
        with contextlib.closing(lease):  # the keeper has it then
            return self._start_worker(lease)

    def _start_worker(self, lease: "Lease | None") -> "_Worker":
        ours, theirs = socket.socketpair()
        name = str(self._next_name)
        self._next_name += 1
        worker = _Worker(name, ours, f"workers/{name}.log")
        self._workers[name] = worker
        self._selector.register(ours, selectors.EVENT_READ, worker)
        request = {
            "do": "worker",
            "key": name,
            "run": self._setting.run_id,
            "log": str(self._setting.folder / worker.log),
            "log_size": self._setting.log_size,
            "memory": self._setting.memory,
        }
        with theirs, contextlib.suppress(OSError):  # the keeper died; the next read from it fails
            self._keeper.start(request, lease, theirs.fileno())
        return worker

    def printed(self, trial: Trial) -> Sequence[str]:
        return last_lines(lines_of_slice(self._setting.folder, trial.place)) if ":" in trial.place else ()

    def adopt(self, trial: Trial) -> bool:  # noqa: ARG002  # its worker died with its driver
        return False

    def poll(self, timeout: float) -> Sequence[TrialUpdate]:
        self._sharing.let_go()
        if self._happened:
            timeout = 0.0
        wait = min([timeout, *(worker.time_left() for worker in self._busy.values())])
        for chosen, _ in self._selector.select(max(0.0, wait)):
            if chosen.data is None:
                self._hear_keeper()
            elif chosen.data.name in self._workers:  # else the keeper has just said that it is gone
                self._hear_worker(chosen.data)
        if self._setting.seconds is not None:
            for worker in list(self._busy.values()):
                if worker.time_left() <= 0:
                    self._kill(worker, "time")
        happened = list(self._happened)
        self._happened.clear()
        return happened

    def _hear_worker(self, worker: "_Worker") -> None:
        for message in worker.receive():
            trial = worker.trial
            if trial is None or trial.number != message["number"]:
                continue
            if "ended" not in message:
                self._happened.append(
                    Report(trial.number, trial.attempt, message["step"], message["time"], message["metrics"])
                )
                continue
            start, end = message["log"]
            failure = message["ended"]
            place = f"{worker.log}:{start}-{end}"
            self._happened.append(Ended(trial.number, trial.attempt, failure, retry=bool(failure), place=place))
            del self._busy[trial.number]
            worker.trial = None
            if not worker.doomed:
                self._idle.append(worker)

    def _hear_keeper(self) -> None:
        try:
            answers = list(self._keeper.receive())
        except ConnectionError:
            self._keeper_is_gone()
            return
        for answer in answers:
            worker = self._workers.get(answer["ended"])
            if worker is not None:
                self._hear_worker(worker)  # its last messages
                self._forget(worker, {**answer, "why": worker.killed or answer["why"]})

    def _forget(self, worker: "_Worker", outcome: Mapping[str, Any]) -> None:
        """Remove a worker that has ended, and report the end of its trial."""
        del self._workers[worker.name]
        self._selector.unregister(worker.connection)
        worker.connection.close()
        if worker in self._idle:
            self._idle.remove(worker)
        if worker.trial is not None:
            trial = worker.trial
            del self._busy[trial.number]
            log = str(self._setting.folder / worker.log)
            self._happened.append(ended_of(self._setting, trial.number, trial.attempt, outcome, log))

    def _keeper_is_gone(self) -> None:
        self._selector.unregister(self._keeper.socket)
        self._keeper.close()
        for worker in list(self._workers.values()):
            trial, worker.trial = worker.trial, None
            if trial is not None:
                del self._busy[trial.number]
                self._happened.append(Ended(trial.number, trial.attempt, "its keeper was killed", lost=True))
            self._forget(worker, {})
        self._keeper = self._start_keeper()

    def _kill(self, worker: "_Worker", why: str) -> None:
        """Kill a worker; the keeper says when it has ended."""
        worker.killed = worker.killed or why
        worker.doomed = True  # even if it has just ended its trial and is idle
        worker.deadline = None
        with contextlib.suppress(OSError):  # the keeper died; the next read from it fails
            self._keeper.send({"do": "stop", "key": worker.name, "grace": 0})

    def stop(self, number: int) -> None:
        worker = self._busy.get(number)
        if worker is not None:
            self._kill(worker, "")

    def close(self) -> None:
        self._sharing.close()
        self._keeper.close()
        for worker in self._workers.values():
            worker.connection.close()
        self._selector.close()


class _Worker:
    """A worker process, as the driver knows it."""

    __slots__ = ("_buffer", "connection", "deadline", "doomed", "killed", "log", "name", "trial")

    def __init__(self, name: str, connection: socket.socket, log: str) -> None:
        self.name = name
        self.connection = connection
        self.log = log
        self.trial: Trial | None = None
        self.deadline: float | None = None
        self.killed = ""
        self.doomed = False
        self._buffer = b""

    def take(self, trial: Trial, seconds: float | None) -> None:
        """Record that it runs a trial, and its deadline."""
        self.trial = trial
        self.deadline = None if seconds is None else time.monotonic() + seconds

    def time_left(self) -> float:
        """Return the seconds until its trial's deadline."""
        return float("inf") if self.deadline is None else self.deadline - time.monotonic()

    def receive(self) -> list[dict[str, Any]]:
        """Return the messages that have come; none if the worker is gone."""
        try:
            data = self.connection.recv(1 << 16, socket.MSG_DONTWAIT)
        except (BlockingIOError, ConnectionError):
            return []
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]
