"""The processes of an emulated training job: one process group per machine, with output and limits."""

import contextlib
import os
import selectors
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from cloudtune.emulation.stop_requests import StopRequests
from cloudtune.process.orphans import kill_orphans

_CHUNK = 1 << 16
_LONGEST_LINE = 1 << 20  # bytes; the rest of a longer line is dropped
_ROUNDS = 100  # of killing; each finds processes that the killed ones had just started

Why = Literal["", "stop", "interrupt", "close", "time", "spot"]
"""Why processes were ended; "" if they ended by themselves."""


@dataclass(frozen=True, slots=True)
class Start:
    """How to start the program of one machine.

    Attributes:
        words: the program and its arguments.
        environment: its whole environment.
        folder: the folder in which it starts.
        scratch: the folder of its temporary files, which is removed when the processes of all machines have ended; None for
            the system's.
    """

    words: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    scratch: Path | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """A time at which the processes are ended, and the reason.

    Attributes:
        at: the time, in seconds of the monotonic clock.
        why: "time" for the maximum run time, "spot" for the maximum waiting time for spot machines.
    """

    at: float
    why: Literal["time", "spot"]


class _Process:
    """One started program, with its incomplete last line of output."""

    def __init__(self, number: int, start: Start, on_end: Callable[[], None]) -> None:
        self.number = number
        self._popen = subprocess.Popen(
            start.words, env=dict(start.environment), cwd=start.folder, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert self._popen.stdout is not None
        self.output: IO[bytes] = self._popen.stdout
        os.set_blocking(self.output.fileno(), False)
        self.silent = False  # the output has reached its end
        self.ended = self.failed = False
        self._rest = b""
        self._too_long = False
        self._notify_end = on_end
        self._waiter = threading.Thread(target=self._wait, name=f"wait {self._popen.pid}", daemon=True)
        self._waiter.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    def _wait(self) -> None:
        """Wait for the end without reaping, so that the pid is not reused and signals reach no other group."""
        if hasattr(os, "waitid"):
            end = os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT)
            self.failed = end is None or (end.si_code, end.si_status) != (os.CLD_EXITED, 0)
        else:
            self.failed = self._popen.wait() != 0
        self.ended = True
        self._notify_end()

    def signal(self, number: int) -> None:
        """Send a signal to the group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the group has ended
            os.killpg(self._popen.pid, number)

    def lines(self) -> list[str] | None:
        """Return the lines completed by the next chunk of output; None if none is available."""
        if self.silent:
            return None
        try:
            data = os.read(self.output.fileno(), _CHUNK)
        except BlockingIOError:
            return None
        self.silent = not data
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = self._rest if self._too_long else self._rest + lines[0]
            self._rest, self._too_long = b"", False
        if not self._too_long:
            self._rest += rest
            self._too_long = len(self._rest) > _LONGEST_LINE
        return [_text(line) for line in lines]

    def last_lines(self) -> Iterator[str]:
        """Yield the remaining lines after the end of all processes, including an incomplete last one."""
        while (lines := self.lines()) is not None:
            yield from lines
        if self._rest:
            yield _text(self._rest)

    def finish(self) -> int:
        """Return the exit code; 128 plus the signal's number for a killed program, as a shell and Docker do."""
        self._waiter.join()
        code = self._popen.wait()
        self.output.close()
        return 128 - code if code < 0 else code


class Processes:
    """The programs of all machines of a job, run until all of their processes have ended.

    Args:
        starts: how to start each machine's program.
        mark: the job's folder, which CLOUDTUNE_RUN_FOLDER names in the environment of its processes.
        grace: seconds between SIGTERM and SIGKILL.
        on_line: called with the machine's number and each line of its output.
        stop_requests: the requests of other threads to the job.
        primary: the machine whose successful end ends the others and the job; None where all must end.

    Attributes:
        first_failed: the number of the first machine that failed while others were running; None for none.
        grace: see above; may be changed until the end is requested.

    Raises:
        OSError: a program cannot be started.
    """

    def __init__(
        self,
        starts: Sequence[Start],
        *,
        mark: Path,
        grace: float,
        on_line: Callable[[int, str], None],
        stop_requests: StopRequests,
        primary: int | None = None,
    ) -> None:
        self._primary = primary
        self._mark, self.grace, self._on_line, self._stop_requests = mark, grace, on_line, stop_requests
        self._ends, ended = socket.socketpair()
        self._ends.setblocking(False)
        self._ended_socket = ended
        self._scratch = [start.scratch for start in starts if start.scratch is not None]
        self._kill_at: float | None = None
        self._why: Why = ""
        self.first_failed: int | None = None
        self._processes: list[_Process] = []
        try:
            for number, start in enumerate(starts):
                self._processes.append(_Process(number, start, self._notify_end))
        except OSError:
            self._finish()
            raise

    @property
    def pids(self) -> list[int]:
        """The process ids of the programs, which are those of their groups."""
        return [process.pid for process in self._processes]

    def _notify_end(self) -> None:
        self._ended_socket.send(b"x")

    def run(self, limits: Sequence[Limit], tick: Callable[[], float | None]) -> tuple[list[int], Why]:
        """Wait until all programs have ended; enforce limits and requests.

        Args:
            limits: times at which the processes are ended.
            tick: called in each round; returns the time of its next call, in seconds of the monotonic clock, or None.

        Returns:
            The exit codes by machine, and why the processes were ended.
        """
        selector = selectors.DefaultSelector()
        selector.register(self._stop_requests.socket, selectors.EVENT_READ, None)
        selector.register(self._ends, selectors.EVENT_READ, None)
        for process in self._processes:
            selector.register(process.output, selectors.EVENT_READ, process)
        try:
            with selector:
                while not self._is_over():
                    self._enforce(limits)
                    for chosen, _ in selector.select(self._seconds_to_wait(limits, tick())):
                        if isinstance(chosen.data, _Process):
                            self._read(chosen.data, selector)
                        else:
                            _empty(chosen.fileobj)
        finally:  # also when `on_line` or `tick` raised
            codes = self._finish()
        return codes, self._why

    def _read(self, process: _Process, selector: selectors.BaseSelector) -> None:
        for line in process.lines() or ():
            self._on_line(process.number, line)
        if process.silent:
            selector.unregister(process.output)

    def _is_over(self) -> bool:
        """Return whether waiting is over.

        Without a request to end, the end of each program is enough; after SIGTERM other processes of its group may
        still write, until they have closed the output or the grace is over.
        """
        if self._kill_at is None:
            return all(process.ended for process in self._processes)
        return all(process.ended and process.silent for process in self._processes) or self._kill_at <= time.monotonic()

    def _enforce(self, limits: Sequence[Limit]) -> None:
        request = self._stop_requests.pending
        now = time.monotonic()
        if request == "close":
            self._why, self._kill_at = "close", now
        elif self._why == "":
            due = [limit for limit in limits if limit.at <= now]
            if request or due:
                self._why = request or due[0].why
                self._terminate(now)
        if self._kill_at is None and not self._is_over():
            failed = [process.number for process in self._processes if process.ended and process.failed]
            done = self._primary is not None and self._processes[self._primary].ended and self._primary not in failed
            if failed and not done:
                self.first_failed = failed[0]
            if failed or done:
                self._terminate(now)  # end the other machines

    def _terminate(self, now: float) -> None:
        self._kill_at = now + self.grace
        for process in self._processes:
            process.signal(signal.SIGTERM)

    def _seconds_to_wait(self, limits: Sequence[Limit], tick: float | None) -> float | None:
        times = [limit.at for limit in limits] if self._why == "" else []
        times += [at for at in (tick, self._kill_at) if at is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _finish(self) -> list[int]:
        """Kill all remaining processes, also outside of the groups, read the last output, and return the exit codes."""
        for process in self._processes:
            process.signal(signal.SIGKILL)
        for _ in range(_ROUNDS):
            if not kill_orphans(self._mark, set()):
                break
        codes: list[int] = []
        for process in self._processes:
            for line in process.last_lines():
                self._on_line(process.number, line)
            codes.append(process.finish())
        for scratch in self._scratch:
            shutil.rmtree(scratch, ignore_errors=True)
        self._ends.close()
        self._ended_socket.close()
        return codes


def _empty(waker: object) -> None:
    assert isinstance(waker, socket.socket)
    with contextlib.suppress(BlockingIOError):
        while waker.recv(4096):
            pass


def _text(line: bytes) -> str:
    return line.decode("utf-8", errors="replace").rstrip("\r")
