"""Finds the processes of runs that this test process has started, wherever they were reparented to."""

import os
import sys
import time

MARK = "CLOUDTUNE_TEST_WORKER"
"""Names the variable by which everything that a test process starts knows that process's id."""

_SETTLED = 2.0
"""After how many seconds a new process has surely become its program, with the environment that it keeps."""


_STARTS = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn"})
"""Events of the interpreter (PEP 578) by which this process starts another."""

_last_start = [time.monotonic()]


def _note(event: str, _: object) -> None:
    if event in _STARTS:
        _last_start[0] = time.monotonic()


sys.addaudithook(_note)


class OwnProcesses:
    """A look at all processes reads the environment of those alone that are new since the last look.

    Most tests start none: there is no look where none was started since the last one.
    """

    def __init__(self) -> None:
        self._looked = 0.0
        self._found = False
        self._strangers: dict[str, float] = {}
        """When the processes that are none of a run of ours were first seen, by their ids."""
        self._newest = 0

    def of_runs(self) -> list[int]:
        """Return the ids of the living processes that stem from a run which this test process started."""
        if not self._found and self._looked - _last_start[0] > _SETTLED:
            return []
        self._looked = time.monotonic()
        newest = int(_read("/proc/loadavg").split()[-1])
        if newest < self._newest:  # the system gives ids anew, perhaps those of strangers
            self._strangers.clear()
        self._newest = newest
        now, ours = self._looked, []
        before, self._strangers = self._strangers, {}
        for pid in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208  # thousands of times
            seen = before.get(pid, now)
            if now - seen < _SETTLED and _is_of_a_run(pid):
                ours.append(int(pid))
            else:
                self._strangers[pid] = seen
        self._found = bool(ours)
        return ours


def command_of(pid: int) -> str:
    """Return the command line of a process; empty when it is gone."""
    return _read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace")


def _is_of_a_run(pid: str) -> bool:
    variables = _read(f"/proc/{pid}/environ").split(b"\0")
    return f"{MARK}={os.getpid()}".encode() in variables and any(
        variable.startswith(b"CLOUDTUNE_RUN=") for variable in variables
    )


def _read(path: str) -> bytes:
    """Return what a file of /proc holds; nothing when its process is gone or another user's."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # a Path takes thrice as long
            return file.read()
    except OSError:
        return b""
