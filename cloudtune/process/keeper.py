"""The keeper: a small process between the driver and the trials of one run.

It starts every trial as a process group of its own, enforces its limits, awaits its end and records it, even when the
driver has been killed meanwhile: then it stays until the last trial has ended, so that a resumed driver finds the
outcomes in the trials' folders. It ends what a trial leaves behind: the rest of its process group, and (on Linux,
where the keeper is a "subreaper", see prctl(2)) also processes that left the group.

For function trials it imports the user's function once and forks a process for each trial, or for each worker of a
pool. Commands are started with posix_spawn.

The protocol is JSON lines over the socket whose descriptor is the last argument. This module loads at its start only
what it needs of the standard library, so that the keeper is ready within milliseconds.

Requests:   {"do": "load", …}   {"do": "spawn", "key": …}   {"do": "fork", …}   {"do": "worker", …} (with a descriptor)
            "lease": true (with a descriptor, the first) and "cpus": […], where it has devices of its own: see `leases`
            {"do": "stop", "key": …, "grace": seconds}      {"do": "quit"}
Answers:    {"ended": key, "status": wait status or null, "why": "" | "time" | "memory" | "stopped" | "start" | "system", "message": …}

"stopped": the driver asked for it, by "stop" or "quit". "system": the start failed for want of disk, memory or
processes, so that the trial itself is not to blame.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import selectors
import signal
import socket
import sys
import time

from cloudtune.process.groups import (
    await_suspension,
    become_subreaper,
    group_exists,
    has_exited,
    kill_adopted,
    memory_of,
    signal_group,
    start_ticks,
)
from cloudtune.process.log_trimming import trim_log
from cloudtune.process.starter import Starter, inherited, on_processors

TYPE_CHECKING = False  # type checkers assume True; loading typing would double the imports
if TYPE_CHECKING:
    from typing import Any

    from cloudtune.process.child import Child

_MEMORY_INTERVAL = 0.2
"""Seconds between two measurements of the memory of trials that have a limit."""

_LOG_INTERVAL = 0.25
"""Seconds between two checks of the size of logs."""

_LINGERING_INTERVAL = 0.02
"""Seconds between two checks of a group whose leader has ended on request while other members have not."""

_SYSTEM_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM}
)
"""Errors at the start of a process that are the system's: no other process would start either."""


class Keeper:
    """Starts, watches and ends process groups for the driver at the other end of a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection: socket.socket | None = connection
        self._children: dict[int, Child] = {}
        self._buffer = b""
        self._descriptors: list[int] = []
        self._starter = Starter(self._release)
        self._next_memory_check = self._next_log_check = 0.0
        self._name = f"{os.getpid()} {start_ticks(os.getpid())}"
        self._wakeup, self._wake = socket.socketpair()
        self._wakeup.setblocking(False)
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ, self._read)
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._drain_wakeup)

    def run(self) -> None:
        """Serve requests until the driver sends quit, or is gone and the last trial has ended."""
        while self._connection is not None or self._children:
            for chosen, _ in self._selector.select(self._timeout()):
                chosen.data()
            self._reap()
            self._enforce()

    def _release(self) -> None:
        """Close the keeper's own descriptors, in a forked child."""
        self._selector.close()
        self._wakeup.close()
        self._wake.close()
        if self._connection is not None:
            self._connection.close()
        for child in self._children.values():  # whatever has a lease open has its devices
            child.end_lease()

    # Requests and answers

    def _read(self) -> None:
        assert self._connection is not None
        try:
            data, descriptors, _, _ = socket.recv_fds(self._connection, 1 << 16, 8)
        except ConnectionError:
            data, descriptors = b"", []
        self._descriptors += descriptors
        if not data:
            self._disconnect()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._handle(json.loads(line))

    def _handle(self, request: dict[str, Any]) -> None:
        match request["do"]:
            case "load":
                self._starter.load(request)
            case "spawn" | "fork" | "worker":
                self._start(request)
            case "stop":
                for child in self._children.values():
                    if child.key == request["key"]:
                        self._stop_on_request(child, request["grace"])
            case "quit":
                for child in self._children.values():
                    self._stop_on_request(child, 0)
                self._disconnect()

    def _disconnect(self) -> None:
        """Close the connection to a driver that is gone or has quit, and end the children that do not outlive it."""
        if self._connection is not None:
            self._selector.unregister(self._connection)
            self._connection.close()
            self._connection = None
        for child in list(self._children.values()):
            if not child.outlives:  # such as a worker of a pool, whose results no driver would receive
                self._stop_on_request(child, 0)

    def _send(self, message: dict[str, Any]) -> None:
        if self._connection is not None:
            try:
                self._connection.sendall(json.dumps(message).encode() + b"\n")
            except OSError:
                self._disconnect()

    # Starting

    def _start(self, request: dict[str, Any]) -> None:
        lease = self._descriptors.pop(0) if request.get("lease") else None
        try:
            child = self._started(request) if lease is None else self._started_with(lease, request)
            self._children[child.pid] = child
            if child.record is not None:
                append(child.record, f"{child.pid} {start_ticks(child.pid)}\n{self._name}\n")
        except OSError as error:
            why = "system" if error.errno in _SYSTEM_ERRORS else "start"
            message = f"{error.strerror}: {error.filename or request.get('argv', ['?'])[0]}"
            self._failed_to_start(request, message, why)
        except (ImportError, ValueError) as error:  # ValueError: a word that no program can be given
            self._failed_to_start(request, str(error))
        if lease is not None and all(child.lease != lease for child in self._children.values()):
            os.close(lease)

    def _started_with(self, lease: int, request: dict[str, Any]) -> Child:
        """Start a process that holds a lease, on its processors."""
        with on_processors(request["cpus"]), inherited(lease):
            child = self._started(request)
        child.lease = lease
        return child

    def _started(self, request: dict[str, Any]) -> Child:
        match request["do"]:
            case "spawn":
                return self._starter.spawn(request)
            case "fork":
                return self._starter.fork(request)
            case _:
                return self._starter.fork_worker(request, self._descriptors.pop(0))

    def _failed_to_start(self, request: dict[str, Any], message: str, why: str = "start") -> None:
        outcome = {"status": None, "why": why, "message": message, "peak": 0}
        if "record" in request:
            with contextlib.suppress(OSError):  # the disk may have failed; the socket carries the outcome as well
                append(request["record"], f"\n\n{json.dumps(outcome)}\n")
        self._send({"ended": request["key"], **outcome})

    # Watching and ending

    def _drain_wakeup(self) -> None:
        self._wakeup.recv(4096)  # of what is left, the selector tells again

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.get(pid)
            if child is None:
                continue  # it had left its group, and was adopted when its parent died
            child.status = status
            if child.kill_at is None or not group_exists(child.pid):
                self._ended(child, status)

    def _ended(self, child: Child, status: int) -> None:
        """Kill the rest of a group whose leader has ended, trim its log, send and record its outcome."""
        del self._children[child.pid]
        signal_group(child.pid, signal.SIGKILL)
        if child.log_size is not None:
            with contextlib.suppress(OSError):  # the log has been removed
                if child.output_size > child.log_size:
                    trim_log(child.log, child.log_size, child.output_start)
        outcome = {"status": status, "why": child.why, "message": "", "peak": child.peak}
        child.end_lease()  # before the driver looks for room for the next trial
        # The driver gets the outcome first and continues meanwhile; the record is for the case that it dies.
        self._send({"ended": child.key, **outcome})
        if child.record is not None:
            with contextlib.suppress(OSError):  # the disk is full; the driver has the outcome
                append(child.record, json.dumps(outcome) + "\n")
        kill_adopted({other.pid for other in self._children.values()})

    def _timeout(self) -> float | None:
        """Return the seconds until the next deadline or check; None if there is none."""
        children = self._children.values()
        times = [child.kill_at or child.deadline for child in children]
        if any(child.status is not None for child in children):
            times.append(time.monotonic() + _LINGERING_INTERVAL)
        if any(child.memory for child in children):
            times.append(self._next_memory_check)
        if any(child.log_size for child in children):
            times.append(self._next_log_check)
        known = [moment for moment in times if moment is not None]
        return max(0.0, min(known) - time.monotonic()) if known else None

    def _enforce(self) -> None:
        """Check memory, logs, deadlines and grace times as far as they are due."""
        now = time.monotonic()
        if now >= self._next_memory_check:
            self._next_memory_check = now + _MEMORY_INTERVAL
            self._check_memory()
        if now >= self._next_log_check:
            self._next_log_check = now + _LOG_INTERVAL
            self._check_logs()
        for child in list(self._children.values()):
            if child.status is not None and (not group_exists(child.pid) or now >= (child.kill_at or 0)):
                self._ended(child, child.status)
            elif child.kill_at is not None and now >= child.kill_at:
                child.kill_at = now + 1.0
                signal_group(child.pid, signal.SIGKILL)
            elif child.deadline is not None and now >= child.deadline:
                child.deadline, child.why = None, child.why or "time"
                self._stop(child, child.grace)

    def _check_memory(self) -> None:
        """Kill the trials that use more memory than they may."""
        for child in self._children.values():
            if child.memory:
                child.peak = max(child.peak, memory_of(child.pid))
                if child.peak > child.memory and not child.why:
                    child.why = "memory"
                    signal_group(child.pid, signal.SIGKILL)

    def _check_logs(self) -> None:
        """Trim the logs that have grown too large, while their writers are suspended."""
        for child in self._children.values():
            with contextlib.suppress(OSError):  # the log has been removed
                if child.log_size is not None and child.output_size > child.log_size:
                    signal_group(child.pid, signal.SIGSTOP)
                    try:
                        await_suspension(child.pid)
                        if child.output_start >= 0:  # a worker may have ended its trial just before
                            trim_log(child.log, child.log_size, child.output_start)
                    finally:
                        signal_group(child.pid, signal.SIGCONT)

    def _stop_on_request(self, child: Child, grace: float) -> None:
        """End a trial for its driver, and record that as the reason unless it has just ended by itself."""
        if not child.why and not has_exited(child.pid):
            child.why = "stopped"
        self._stop(child, grace)

    def _stop(self, child: Child, grace: float) -> None:
        """Send SIGTERM to the group, and SIGKILL after the grace time in seconds."""
        if grace <= 0:
            signal_group(child.pid, signal.SIGKILL)
        else:
            signal_group(child.pid, signal.SIGTERM)
            child.kill_at = min(child.kill_at or float("inf"), time.monotonic() + grace)


def append(path: str, text: str) -> None:
    """Append a text to a file, made if it is missing, in a single write: a reader finds all of it or nothing.

    Raises:
        OSError: the file cannot be opened or written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def main() -> None:
    """Serve the driver at the other end of the socket whose descriptor is the last argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    become_subreaper()
    connection = socket.socket(fileno=int(sys.argv[-1]))
    connection.set_inheritable(False)  # a trial that inherited it would hide the keeper's death from the driver
    Keeper(connection).run()
