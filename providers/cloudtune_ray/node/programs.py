"""The processes of a slot's trials, run by a keeper: one for each trial, or a worker that runs many."""

import asyncio
import contextlib
import importlib.util
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cloudtune.process.keeper_client import KeeperClient
from cloudtune.process.orphans import kill_orphans
from cloudtune_ray.node.attempt import Attempt


class Programs:
    """Starts, stops and observes the processes of a slot; one attempt at a time.

    Args:
        setting: the run's; see `Slot.prepare`.
        folder: the slot's own, which marks its processes.
        work: the folder that trials start in.
        package: the folder with cloudtune's own files.
        news: called when an attempt has news.
    """

    def __init__(
        self, setting: Mapping[str, Any], folder: Path, work: str, package: str, news: Callable[[], None]
    ) -> None:
        self._setting = setting
        self._folder = folder
        self._work = work
        self._package = package
        self._news = news
        self._keeper: KeeperClient | None = None
        self._worker: _Worker | None = None
        self._workers = 0
        self._attempt: Attempt | None = None
        self._time_limit: asyncio.TimerHandle | None = None

    def begin(self, attempt: Attempt, order: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        """Start an attempt; an error ends it."""
        self._attempt = attempt
        try:
            if self._keeper is None:
                self._start_keeper(environment)
            if self._setting["pooled"]:
                self._begin_in_worker(attempt, order)
            else:
                self._begin_process(attempt, order, environment)
        except OSError as error:
            self.end(attempt, not_started(error.strerror or str(error)))

    def stop(self, attempt: Attempt) -> None:
        """Ask an attempt to end, and kill it after its grace time; in a worker at once."""
        if self._worker is not None:
            self._kill_worker("")
        else:
            self._tell_keeper({"do": "stop", "key": attempt.key, "grace": self._setting["grace"]})

    def end(self, attempt: Attempt, outcome: dict[str, Any]) -> None:
        """Set how an attempt has ended, once: ``status``, ``why``, ``message`` and ``peak``, as the keeper answers."""
        if attempt.ended is None:
            attempt.ended = outcome
        if self._time_limit is not None:
            self._time_limit.cancel()
            self._time_limit = None
        self._news()

    async def close(self) -> None:
        """End the keeper and its processes."""
        if self._keeper is not None:
            self._loop.remove_reader(self._keeper.socket)
            await asyncio.to_thread(self._keeper.close)
            self._keeper = None
        self._drop_worker()

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    # The keeper

    def _start_keeper(self, environment: Mapping[str, str]) -> None:
        function, own = self._setting["function"], dict(environment)
        if self._setting["memory"] is not None:
            own["PYTHONPATH"] += os.pathsep + _folder_of("psutil")
        log = self._folder / "keeper.log"
        self._keeper = KeeperClient(own, log, bare=function is None and self._setting["memory"] is None)
        self._loop.add_reader(self._keeper.socket, self._hear_keeper)
        if function is not None:
            path = [self._work, self._package, *(part for part in sys.path if part)]
            self._tell_keeper({"do": "load", "pickle": None, "function": function, "cwd": self._work, "path": path})

    def _tell_keeper(self, request: Mapping[str, Any], *descriptors: int) -> None:
        if self._keeper is not None:
            with contextlib.suppress(OSError):  # it is gone; the next read from its socket fails
                self._keeper.send(request, *descriptors)

    def _hear_keeper(self) -> None:
        assert self._keeper is not None
        try:
            answers = list(self._keeper.receive())
        except ConnectionError:
            self._keeper_is_gone()
            return
        for answer in answers:
            if self._worker is not None and answer["ended"] == self._worker.name:
                self._worker_is_gone(answer)
            elif self._attempt is not None and answer["ended"] == self._attempt.key:
                self.end(self._attempt, answer)

    def _keeper_is_gone(self) -> None:
        """End the trial of a killed keeper as lost; the next trial starts a new keeper."""
        assert self._keeper is not None
        self._loop.remove_reader(self._keeper.socket)
        self._keeper.close()
        self._keeper = None
        self._drop_worker()
        kill_orphans(self._folder, set())
        if self._attempt is not None:
            self.end(self._attempt, {"status": None, "why": "lost", "message": "its keeper was killed", "peak": 0})

    # A process for the trial alone

    def _begin_process(self, attempt: Attempt, order: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        files = attempt.files
        files.make_folders()
        Path(files.parameters).write_text(json.dumps({"parameters": order["parameters"]}), "utf-8")
        request: dict[str, Any] = {
            "key": attempt.key,
            "log": files.log,
            "log_size": files.log_size,
            "record": files.record,
            "outlives": False,
            "env": {**files.environment(order["number"]), "PYTHONPATH": environment["PYTHONPATH"]},
            "limit": self._setting["seconds"],
            "memory": self._setting["memory"],
            "grace": self._setting["grace"],
        }
        if order["argv"] is None:
            request["env"]["CLOUDTUNE_RUN"] = self._setting["run"]
            self._tell_keeper({"do": "fork", **request, "metric": self._setting["metric"]})
        else:
            self._tell_keeper({"do": "spawn", **request, "argv": order["argv"], "cwd": self._work})

    # A worker for functions that need no process of their own

    def _begin_in_worker(self, attempt: Attempt, order: Mapping[str, Any]) -> None:
        if self._worker is not None and self._worker.doomed:
            self._drop_worker()
        worker = self._worker or self._start_worker()
        attempt.reports = []
        attempt.log = worker.log
        with contextlib.suppress(FileNotFoundError):  # the worker has not begun to write
            attempt.log_start = Path(attempt.log).stat().st_size
        if self._setting["seconds"] is not None:
            self._time_limit = self._loop.call_later(self._setting["seconds"], self._kill_worker, "time")
        worker.take(
            {
                "number": order["number"],
                "attempt": order["attempt"],
                "parameters": order["parameters"],
                "metric": self._setting["metric"],
                "folder": attempt.files.folder,
                "checkpoint": attempt.files.checkpoint,
                "output": attempt.files.output,
            }
        )

    def _start_worker(self) -> "_Worker":
        ours, theirs = socket.socketpair()
        self._workers += 1
        name = f"worker-{self._workers}"
        self._worker = _Worker(name, str(self._folder / f"{name}.log"), ours)
        self._loop.add_reader(ours, self._hear_worker)
        request = {
            "do": "worker",
            "key": name,
            "run": self._setting["run"],
            "log": self._worker.log,
            "log_size": self._setting["log_size"],
            "memory": self._setting["memory"],
        }
        with theirs:
            self._tell_keeper(request, theirs.fileno())
        return self._worker

    def _hear_worker(self) -> None:
        assert self._worker is not None
        messages, gone = self._worker.messages()
        attempt = self._attempt
        for message in messages:
            if attempt is None or attempt.reports is None or attempt.ended is not None:
                continue
            if "ended" in message:
                attempt.log_end = message["log"][1]
                self.end(attempt, {"status": 0, "why": "", "message": message["ended"], "peak": 0})
            else:
                attempt.reports.append([message["step"], message["time"], message["metrics"]])
                self._news()
        if gone:  # the keeper says how it ended
            self._loop.remove_reader(self._worker.connection)

    def _worker_is_gone(self, outcome: dict[str, Any]) -> None:
        self._hear_worker()  # its last messages
        self._drop_worker()
        attempt = self._attempt
        if attempt is not None and attempt.ended is None:
            self.end(attempt, {**outcome, "why": attempt.killed or outcome["why"]})

    def _kill_worker(self, why: str) -> None:
        """Kill the worker; the keeper says when it has ended."""
        if self._worker is not None and self._attempt is not None:
            self._worker.doomed = True
            self._attempt.killed = self._attempt.killed or why
            self._tell_keeper({"do": "stop", "key": self._worker.name, "grace": 0})

    def _drop_worker(self) -> None:
        if self._worker is not None:
            self._loop.remove_reader(self._worker.connection)
            self._worker.connection.close()
            self._worker = None


def not_started(why: str) -> dict[str, Any]:
    """Return the outcome of an attempt that was not started, in the form of the keeper's answers."""
    return {"status": None, "why": "start", "message": f"{why} (on {os.uname().nodename})", "peak": 0}


class _Worker:
    """A forked process that has the function loaded and gets trials through a socket."""

    def __init__(self, name: str, log: str, connection: socket.socket) -> None:
        self.name = name
        self.log = log
        self.connection = connection
        self.doomed = False
        self._buffer = b""

    def take(self, request: Mapping[str, Any]) -> None:
        """Send it a trial."""
        with contextlib.suppress(OSError):  # it died; the keeper says so
            self.connection.sendall(json.dumps(request).encode() + b"\n")

    def messages(self) -> tuple[list[dict[str, Any]], bool]:
        """Return all messages that have come, and whether the worker is gone."""
        gone = False
        try:
            while not gone:
                data = self.connection.recv(1 << 16, socket.MSG_DONTWAIT)
                self._buffer += data
                gone = not data
        except BlockingIOError:
            pass  # no more data now
        except ConnectionError:
            gone = True
        *lines, self._buffer = self._buffer.split(b"\n")
        return [json.loads(line) for line in lines], gone


def _folder_of(module: str) -> str:
    """Return the folder that a module is imported from; Ray brings psutil along."""
    spec = importlib.util.find_spec(module)
    return str(Path(spec.origin or "").parent.parent) if spec is not None else ""
