"""The processes of a training job: one group a machine, their output, their end."""

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from cloudtune.emulation.wishes import Wishes
from cloudtune.process.orphans import end_leftovers

_CHUNK = 1 << 16
_LONGEST_LINE = 1 << 20  # bytes; the rest of a longer line is left out
_ROUNDS = 100  # of killing; each may show what the killed had just started

Why = Literal["", "stop", "interrupt", "close", "time", "spot"]
"""Why processes were ended; "" where they ended by themselves."""


@dataclass(frozen=True, slots=True)
class Start:
    """How to start the program of one machine.

    Attributes:
        words: the program and its arguments.
        environment: all of it.
        folder: where it starts.
    """

    words: Sequence[str]
    environment: Mapping[str, str]
    folder: Path


@dataclass(frozen=True, slots=True)
class Limit:
    """When to end the processes, and why.

    Attributes:
        at: by the monotonic clock.
        why: "time" for the greatest run time, "spot" for the greatest waiting time.
    """

    at: float
    why: Literal["time", "spot"]


class _Process:
    """One started program, and what it has written since its last line."""

    def __init__(self, number: int, start: Start, tell: Callable[[], None]) -> None:
        self.number = number
        self._popen = subprocess.Popen(
            start.words, env=dict(start.environment), cwd=start.folder, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert self._popen.stdout is not None
        self.output: IO[bytes] = self._popen.stdout
        os.set_blocking(self.output.fileno(), False)
        self.silent = False  # nobody is left who could write
        self.ended = self.failed = False
        self._rest = b""
        self._too_long = False
        self._tell = tell
        self._waiter = threading.Thread(target=self._wait, name=f"wait {self._popen.pid}", daemon=True)
        self._waiter.start()

    def _wait(self) -> None:
        """Waits for the end and leaves the pid in use, so that a signal to the group reaches no other."""
        if hasattr(os, "waitid"):
            end = os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT)
            self.failed = end is None or (end.si_code, end.si_status) != (os.CLD_EXITED, 0)
        else:
            self.failed = self._popen.wait() != 0
        self.ended = True
        self._tell()

    def signal(self, number: int) -> None:
        """Sends a signal to the group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left in the group
            os.killpg(self._popen.pid, number)

    def lines(self) -> list[str] | None:
        """The lines that the next piece of output completes; None while there is no more."""
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
        """The lines that remain when all processes are gone, also one that was never ended."""
        while (lines := self.lines()) is not None:
            yield from lines
        if self._rest:
            yield _text(self._rest)

    def finish(self) -> int:
        """The exit code; 128 and the number of a signal as a shell and Docker tell it."""
        self._waiter.join()
        code = self._popen.wait()
        self.output.close()
        return 128 - code if code < 0 else code


class Processes:
    """Runs the programs of all machines of a job until they have ended, and nothing of theirs is left.

    Args:
        starts: of the machines.
        mark: the job's folder, as CLOUDTUNE_RUN_FOLDER says in the environment of its processes.
        grace: seconds between SIGTERM and SIGKILL.
        on_line: takes the machine's number and a line of its output.
        wishes: what somebody asks of the job.
        primary: the machine whose good end is the job's: the others are ended then; None where all must end.

    Attributes:
        first_failed: the number of the machine that failed while others still ran.

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
        wishes: Wishes,
        primary: int | None = None,
    ) -> None:
        self._primary = primary
        self._mark, self._grace, self._on_line, self._wishes = mark, grace, on_line, wishes
        self._ends, ended = socket.socketpair()
        self._ends.setblocking(False)
        self._ended_socket = ended
        self._kill_at: float | None = None
        self._why: Why = ""
        self.first_failed: int | None = None
        self._processes: list[_Process] = []
        try:
            for number, start in enumerate(starts):
                self._processes.append(_Process(number, start, self._tell))
        except OSError:
            self._finish()
            raise

    def _tell(self) -> None:
        self._ended_socket.send(b"x")

    def run(self, limits: Sequence[Limit], tick: Callable[[], float | None]) -> tuple[list[int], Why]:
        """Waits for the end.

        Args:
            limits: times after which the processes are ended.
            tick: called after each look; returns when it wants to be called again, by the monotonic clock.

        Returns:
            The exit codes, and why the processes were ended.
        """
        selector = selectors.DefaultSelector()
        selector.register(self._wishes.listen, selectors.EVENT_READ, None)
        selector.register(self._ends, selectors.EVENT_READ, None)
        for process in self._processes:
            selector.register(process.output, selectors.EVENT_READ, process)
        try:
            with selector:
                while not self._over():
                    self._enforce(limits)
                    for chosen, _ in selector.select(self._patience(limits, tick())):
                        if isinstance(chosen.data, _Process):
                            self._read(chosen.data, selector)
                        else:
                            _empty(chosen.fileobj)
        finally:  # also when somebody who was told of a line raised
            codes = self._finish()
        return codes, self._why

    def _read(self, process: _Process, selector: selectors.BaseSelector) -> None:
        for line in process.lines() or ():
            self._on_line(process.number, line)
        if process.silent:
            selector.unregister(process.output)

    def _over(self) -> bool:
        """Whether all is said: a program's end ends its machine; one that is asked to end may still save its work."""
        if self._kill_at is None:
            return all(process.ended for process in self._processes)
        return all(process.ended and process.silent for process in self._processes) or self._kill_at <= time.monotonic()

    def _enforce(self, limits: Sequence[Limit]) -> None:
        wish = self._wishes.now
        now = time.monotonic()
        if wish == "close":
            self._why, self._kill_at = "close", now
        elif self._why == "":
            due = [limit for limit in limits if limit.at <= now]
            if wish or due:
                self._why = wish or due[0].why
                self._ask(now)
        if self._kill_at is None and not self._over():
            failed = [process.number for process in self._processes if process.ended and process.failed]
            done = self._primary is not None and self._processes[self._primary].ended and self._primary not in failed
            if failed and not done:
                self.first_failed = failed[0]
            if failed or done:
                self._ask(now)  # the other machines end, too

    def _ask(self, now: float) -> None:
        self._kill_at = now + self._grace
        for process in self._processes:
            process.signal(signal.SIGTERM)

    def _patience(self, limits: Sequence[Limit], tick: float | None) -> float | None:
        times = [limit.at for limit in limits] if self._why == "" else []
        times += [at for at in (tick, self._kill_at) if at is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _finish(self) -> list[int]:
        """Kills what is left, in the groups and out of them, and takes the last output."""
        for process in self._processes:
            process.signal(signal.SIGKILL)
        for _ in range(_ROUNDS):
            if not end_leftovers(self._mark, set()):
                break
        codes: list[int] = []
        for process in self._processes:
            for line in process.last_lines():
                self._on_line(process.number, line)
            codes.append(process.finish())
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
