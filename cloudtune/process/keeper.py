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

TYPE_CHECKING = False  # type checkers assume True; loading typing would double the imports
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MEMORY_INTERVAL = 0.2
"""Seconds between two measurements of the memory of trials that have a limit."""

LOG_INTERVAL = 0.25
"""Seconds between two checks of the size of logs."""

LOG_KEPT = 1 << 20
"""Bytes kept, at most, at the end of a log whose middle is left out."""

NOTE_SIZE = 128
"""Bytes of the note that says how much of a log was left out; it stands at half of the log's greatest size."""

LINGERING_INTERVAL = 0.02
"""Seconds between two checks of a group whose leader has ended on request while other members have not."""

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


class Child:
    """One started process group."""

    def __init__(self, key: str, pid: int, request: dict[str, Any]) -> None:
        self.key = key
        self.pid = pid
        self.record: str | None = request.get("record")
        self.outlives: bool = request.get("outlives", self.record is not None)
        self.memory: int | None = request.get("memory")
        self.grace: float = request.get("grace", 10.0)
        self.log: str = request["log"]
        self.log_size: int | None = request.get("log_size")
        self.log_start: _SharedOffset | None = None
        self.why = ""
        self.peak = 0
        limit = request.get("limit")
        self.deadline = time.monotonic() + limit if limit else None
        self.kill_at: float | None = None
        self.status: int | None = None  # the leader's, while others of its group may still save their state

    @property
    def output_start(self) -> int:
        """Offset in its log at which the output of its present trial begins; -1 for a worker without a trial."""
        return 0 if self.log_start is None else self.log_start.get()

    @property
    def output_size(self) -> int:
        """Bytes that its present trial has in the log; 0 for a worker without a trial.

        Raises:
            OSError: the log is gone.
        """
        start = self.output_start
        return 0 if start < 0 else os.stat(self.log).st_size - start  # noqa: PTH116


class _SharedOffset:
    """Offset in a worker's log at which the output of its present trial begins, in memory shared with the keeper."""

    def __init__(self) -> None:
        import mmap  # noqa: PLC0415  # only pools need it

        self._memory = mmap.mmap(-1, 8)

    def get(self) -> int:
        """Return the offset; -1 between two trials."""
        return int.from_bytes(self._memory[:8], "little", signed=True)

    def put(self, offset: int) -> None:
        """Set the offset; -1 where no trial runs."""
        self._memory[:8] = offset.to_bytes(8, "little", signed=True)


class Keeper:
    """Starts, watches and ends process groups for the driver at the other end of a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection: socket.socket | None = connection
        self._children: dict[int, Child] = {}
        self._buffer = b""
        self._descriptors: list[int] = []
        self._function: Callable[..., object] | None = None
        self._forked: Any = None
        self._load_error = ""
        self._next_memory_look = self._next_log_look = 0.0
        self._environment = dict(
            os.environb
        )  # decoding it anew for every trial would take longer than the rest of a start
        self._name = f"{os.getpid()} {birth(os.getpid())}"
        self._wakeup, wake = socket.socketpair()
        self._wakeup.setblocking(False)
        wake.setblocking(False)
        self._wake = wake
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
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

    # The driver's side

    def _read(self) -> None:
        assert self._connection is not None
        try:
            data, descriptors, _, _ = socket.recv_fds(self._connection, 1 << 16, 8)
        except ConnectionError:
            data, descriptors = b"", []
        self._descriptors += descriptors
        if not data:
            self._driver_is_gone()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._handle(json.loads(line))

    def _handle(self, request: dict[str, Any]) -> None:
        match request["do"]:
            case "load":
                self._load(request)
            case "spawn":
                self._start(request, self._spawn)
            case "fork":
                self._start(request, self._fork)
            case "worker":
                self._start(request, self._worker)
            case "stop":
                self._stop_key(request["key"], request["grace"])
            case "quit":
                self._end_all()
                self._driver_is_gone()

    def _driver_is_gone(self) -> None:
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
                self._driver_is_gone()

    # Starting

    def _start(self, request: dict[str, Any], how: Callable[[dict[str, Any]], int]) -> None:
        try:
            pid = how(request)
            self._children[pid] = Child(request["key"], pid, request)
            self._children[pid].log_start = request.get("log_start")
            if "record" in request:
                write(request["record"], f"{pid} {birth(pid)}\n{self._name}\n")
        except OSError as error:
            why = "system" if error.errno in _SYSTEM_ERRORS else "start"
            message = f"{error.strerror}: {error.filename or request.get('argv', ['?'])[0]}"
            self._failed_to_start(request, message, why)
        except ImportError as error:
            self._failed_to_start(request, str(error))

    def _failed_to_start(self, request: dict[str, Any], message: str, why: str = "start") -> None:
        outcome = {"status": None, "why": why, "message": message, "peak": 0}
        if "record" in request:
            with contextlib.suppress(
                OSError
            ):  # the disk may have failed; the driver gets the outcome through the socket as well
                write(request["record"], f"\n\n{json.dumps(outcome)}\n")
        self._send({"ended": request["key"], **outcome})

    def _spawn(self, request: dict[str, Any]) -> int:
        os.chdir(request["cwd"])
        return os.posix_spawnp(
            request["argv"][0],
            request["argv"],
            {**self._environment, **{os.fsencode(key): os.fsencode(text) for key, text in request["env"].items()}},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, request["log"], _LOG_FLAGS, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setpgroup=0,
            setsigmask=(),
            setsigdef=_DEFAULT_SIGNALS,
        )

    def _load(self, request: dict[str, Any]) -> None:
        """Load the user's function, once for all trials, and the module that a forked process needs to run it."""
        os.chdir(request["cwd"])
        sys.path[:] = request["path"]
        from cloudtune.process import worker  # noqa: PLC0415  # only function trials need packages
        from cloudtune.trial.functions import load_function  # noqa: PLC0415

        self._forked = worker
        self._function, self._load_error = None, ""  # of an earlier run
        try:
            if request["pickle"]:
                import pickle  # noqa: PLC0415

                with open(request["pickle"], "rb") as file:  # noqa: PTH123  # no pathlib: it would double the start
                    self._function = pickle.load(file)  # noqa: S301  # the user's own function, from their own folder
            else:
                self._function = load_function(request["function"])
        except Exception as error:  # noqa: BLE001  # whatever the user's module raises is the trials' failure
            self._load_error = f"the function cannot be loaded: {type(error).__name__}: {error}"

    def _ready_function(self) -> Callable[..., object]:
        if self._function is None:
            raise ImportError(self._load_error)
        return self._function

    def _fork(self, request: dict[str, Any]) -> int:
        function = self._ready_function()
        log = os.open(request["log"], _LOG_FLAGS, 0o644)
        pid = os.fork()
        if pid == 0:
            self._become_trial(log)
            os.environ.update(request["env"])
            self._forked.leave(lambda: self._forked.run_function(function, request))
        os.close(log)
        return pid

    def _worker(self, request: dict[str, Any]) -> int:
        descriptor = self._descriptors.pop(0)
        try:
            function = self._ready_function()
            log = os.open(request["log"], _LOG_FLAGS, 0o644)
            place = request["log_start"] = _SharedOffset()
            place.put(-1)
            pid = os.fork()
            if pid == 0:
                self._become_trial(log)
                connection = socket.socket(fileno=descriptor)

                def ended(start: int) -> None:
                    place.put(-1)  # from here on the keeper does not trim the log
                    trim_log(request["log"], request["log_size"], start)

                self._forked.leave(lambda: self._forked.serve(function, connection, request["run"], place.put, ended))
            os.close(log)
        finally:
            os.close(descriptor)
        return pid

    def _become_trial(self, log: int) -> None:
        """Release the keeper's resources in a forked child, and redirect its standard streams."""
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        self._selector.close()
        self._wakeup.close()
        self._wake.close()
        if self._connection is not None:
            self._connection.close()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(null)
        os.close(log)

    # Watching and ending

    def _drain_wakeup(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wakeup.recv(4096):
                pass

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
            if child.kill_at is None or not _alive(child.pid):
                self._ended(child, status)

    def _ended(self, child: Child, status: int) -> None:
        del self._children[child.pid]
        _signal_group(child.pid, signal.SIGKILL)
        if child.log_size is not None and child.output_start >= 0:
            with contextlib.suppress(OSError):  # the log has been removed
                trim_log(child.log, child.log_size, child.output_start)
        outcome = {"status": status, "why": child.why, "message": "", "peak": child.peak}
        # The driver gets the outcome first and continues meanwhile; the record is for the case that it dies.
        self._send({"ended": child.key, **outcome})
        if child.record is not None:
            with contextlib.suppress(OSError):  # the disk is full; the driver has the outcome
                write(child.record, json.dumps(outcome) + "\n")
        _end_leftovers({other.pid for other in self._children.values()})

    def _timeout(self) -> float | None:
        """Return the seconds until the next deadline or check; None for no such."""
        times = [child.kill_at or child.deadline for child in self._children.values()]
        if any(child.status is not None for child in self._children.values()):
            times.append(time.monotonic() + LINGERING_INTERVAL)
        if any(child.memory for child in self._children.values()):
            times.append(self._next_memory_look)
        if any(child.log_size for child in self._children.values()):
            times.append(self._next_log_look)
        known = [moment for moment in times if moment is not None]
        return max(0.0, min(known) - time.monotonic()) if known else None

    def _enforce(self) -> None:
        now = time.monotonic()
        if any(child.memory for child in self._children.values()) and now >= self._next_memory_look:
            self._next_memory_look = now + MEMORY_INTERVAL
            for child in self._children.values():
                if child.memory:
                    child.peak = max(child.peak, memory_of(child.pid))
                    if child.peak > child.memory and not child.why:
                        child.why = "memory"
                        self._signal(child, signal.SIGKILL)
        if now >= self._next_log_look:
            self._next_log_look = now + LOG_INTERVAL
            self._look_at_logs()
        for child in list(self._children.values()):
            if child.status is not None and (not _alive(child.pid) or now >= (child.kill_at or 0)):
                self._ended(child, child.status)
            elif child.kill_at is not None and now >= child.kill_at:
                child.kill_at = now + 1.0
                self._signal(child, signal.SIGKILL)
            elif child.deadline is not None and now >= child.deadline:
                child.deadline, child.why = None, child.why or "time"
                self._stop(child, child.grace)

    def _look_at_logs(self) -> None:
        """Trim the logs that have grown too large, while their writers are suspended."""
        for child in self._children.values():
            with contextlib.suppress(OSError):  # the log has been removed
                if child.log_size is not None and child.output_size > child.log_size:
                    self._signal(child, signal.SIGSTOP)
                    try:
                        _await_stop(child.pid)
                        if child.output_start >= 0:  # a worker may have ended its trial just before
                            trim_log(child.log, child.log_size, child.output_start)
                    finally:
                        self._signal(child, signal.SIGCONT)

    def _stop_key(self, key: str, grace: float) -> None:
        for child in self._children.values():
            if child.key == key:
                self._stop_on_request(child, grace)

    def _stop_on_request(self, child: Child, grace: float) -> None:
        """End a trial for its driver, and record that as the reason unless it has just ended by itself."""
        if not child.why and not _has_exited(child.pid):
            child.why = "stopped"
        self._stop(child, grace)

    def _stop(self, child: Child, grace: float) -> None:
        """Ask the group to end, and kill it after the grace time in seconds."""
        if grace <= 0:
            self._signal(child, signal.SIGKILL)
        else:
            self._signal(child, signal.SIGTERM)
            child.kill_at = min(child.kill_at or float("inf"), time.monotonic() + grace)

    def _signal(self, child: Child, number: int) -> None:
        _signal_group(child.pid, number)

    def _end_all(self) -> None:
        for child in self._children.values():
            self._stop_on_request(child, 0)


def _has_exited(pid: int) -> bool:
    """Return whether a child has ended and waits to be reaped; False where the system cannot tell."""
    if not hasattr(os, "waitid"):
        return False
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _await_stop(pid: int) -> None:
    """Wait until a child that was sent SIGSTOP is suspended or has ended; at most 50 ms: it may have left its group."""
    if hasattr(os, "waitid"):
        with contextlib.suppress(ChildProcessError):  # it has ended, and was reaped
            for _ in range(50):
                if os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
                    return
                time.sleep(0.001)


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # the group has no member left
        os.killpg(group, number)


def _alive(group: int) -> bool:
    """Return whether a process group has a member left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _end_leftovers(living: set[int]) -> None:
    """Kill processes that left their group and whose trial has ended: children that the keeper did not start."""
    for _ in range(100):  # each round may orphan the children of the last
        adopted = [pid for pid in _own_children() if pid not in living and _trial_group_of(pid) not in living]
        if not adopted:
            return
        for pid in adopted:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _own_children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:  # noqa: PTH123
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []  # not Linux: init adopts such children, and the driver finds them by their environment


def _trial_group_of(pid: int) -> int:
    """Return the process group of the trial that a process stems from, by its environment; 0 where that is unknown."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
            variables = dict(item.partition(b"=")[::2] for item in file.read().split(b"\0"))
        with open(variables[b"CLOUDTUNE_PROCESS_FILE"]) as file:  # noqa: PTH123
            return int(file.read().split()[0])
    except (OSError, KeyError, ValueError, IndexError):
        return 0


def memory_of(group: int) -> int:
    """Return the memory of a process and its descendants in bytes, shared pages counted once (PSS) where possible."""
    import psutil  # noqa: PLC0415  # loaded only for jobs with a memory limit

    total = 0
    with contextlib.suppress(psutil.Error):
        leader = psutil.Process(group)
        for process in [leader, *leader.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                info = process.memory_full_info()
                total += getattr(info, "pss", info.rss)
    return total


def trim_log(path: str, size: int, start: int = 0) -> None:
    """Leave out the middle of a log that exceeds its size, and write a note in its place.

    Its first part, of half its size, stays, and at most the last megabyte. Processes continue to append after that.

    Args:
        path: of the file.
        size: bytes that the log may hold.
        start: offset in the file at which the log begins: a worker's file holds the logs of several trials.

    Raises:
        OSError: it cannot be read or written.
    """
    head, kept = start + size // 2, min(LOG_KEPT, size // 4)
    with open(path, "r+b", buffering=0) as file:  # noqa: PTH123
        end = file.seek(0, os.SEEK_END)
        if end - start > size:
            before = left_out(file.fileno(), head)
            last = os.pread(file.fileno(), kept, end - kept)
            gone = before + (end - kept) - (head + NOTE_SIZE if before else head)
            write_note(file.fileno(), head, gone, last)


def write_note(descriptor: int, head: int, gone: int, last: bytes = b"") -> None:
    """Truncate a log at its half; append the note that so many bytes are left out, and the bytes that follow them."""
    note = f"\n[cloudtune: {gone} bytes of the output are left out here: a log keeps no more]".encode()
    os.ftruncate(descriptor, head)
    os.pwrite(descriptor, note.ljust(NOTE_SIZE - 1) + b"\n" + last, head)


def left_out(descriptor: int, head: int) -> int:
    """Return the bytes of an open log that are left out, by the note at its half; 0 where there is none."""
    note = os.pread(descriptor, NOTE_SIZE, head)
    start = b"\n[cloudtune: "
    number = note.removeprefix(start).partition(b" ")[0]
    return int(number) if note.startswith(start) and number.isdigit() and len(note) == NOTE_SIZE else 0


def birth(pid: int) -> str:
    """Return when a process started, in the system's ticks, which with its pid identifies it; "" if unknown."""
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def write(path: str, text: str) -> None:
    """Append a text to a file in a single write: a reader finds all of it or nothing."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


_SYSTEM_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM}
)
"""Errors at the start of a process that are the system's: no other process would start either."""

_LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_DEFAULT_SIGNALS = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGCHLD,
)


def _adopt_orphans() -> None:
    """Make the keeper the parent of processes whose parent died (Linux; elsewhere init is)."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main() -> None:
    """Serve the driver at the other end of the socket whose descriptor is the last argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _adopt_orphans()
    connection = socket.socket(fileno=int(sys.argv[-1]))
    connection.set_inheritable(False)  # a trial that inherited it would hide the keeper's death from the driver
    Keeper(connection).run()
