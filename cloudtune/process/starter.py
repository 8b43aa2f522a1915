"""Start the processes of trials: commands by posix_spawn(3), functions by a fork of the process that has loaded them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys

from cloudtune.process.child import Child, SharedOffset
from cloudtune.process.log_trimming import trim_log

TYPE_CHECKING = False  # type checkers assume True; loading typing would double the keeper's imports
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND

_DEFAULT_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGPIPE", "SIGXFSZ", "SIGINT", "SIGTERM", "SIGHUP", "SIGCHLD")
    if hasattr(signal, name)  # Windows, where plans are made and no trial starts, has few of them
)


@contextlib.contextmanager
def on_processors(cpus: list[int]) -> Iterator[None]:
    """Let processes that are started meanwhile run on some processors alone; on all where none are given."""
    if not cpus:
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


@contextlib.contextmanager
def inherited(descriptor: int) -> Iterator[None]:
    """Let programs that are started meanwhile inherit a descriptor."""
    os.set_inheritable(descriptor, True)
    try:
        yield
    finally:
        os.set_inheritable(descriptor, False)


class Starter:
    """Starts each trial, or each worker of a pool, as a process group of its own.

    Every method that starts one raises OSError if the system refuses, and ImportError if the user's function could not
    be loaded.

    Args:
        release: closes the keeper's own descriptors; called in a forked child.
    """

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = release
        self._environment = dict(os.environb)  # decoding it for each trial would take longer than the rest of a start
        self._function: Callable[..., object] | None = None
        self._forked: Any = None
        self._load_error = ""

    def load(self, request: dict[str, Any]) -> None:
        """Load the user's function, once for all trials, and the module by which a forked process runs it.

        Any error of the user's module becomes the ImportError of the trials that are started after it.
        """
        os.chdir(request["cwd"])
        sys.path[:] = request["path"]
        from cloudtune.process import worker  # noqa: PLC0415  # only function trials need packages
        from cloudtune.trial.functions import load_function  # noqa: PLC0415

        self._forked = worker
        self._function, self._load_error = None, ""  # of an earlier run
        try:
            if request["pickle"]:
                import pickle  # noqa: PLC0415

                with open(request["pickle"], "rb") as file:  # noqa: PTH123  # pathlib would double the keeper's start
                    self._function = pickle.load(file)  # noqa: S301  # the user's own function, from their own folder
            else:
                self._function = load_function(request["function"])
        except Exception as error:  # noqa: BLE001  # whatever the user's module raises is the trials' failure
            self._load_error = f"the function cannot be loaded: {type(error).__name__}: {error}"

    def spawn(self, request: dict[str, Any]) -> Child:
        """Start a command."""
        os.chdir(request["cwd"])
        pid = os.posix_spawnp(
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
        return Child(pid, request)

    def fork(self, request: dict[str, Any]) -> Child:
        """Start a process that calls the user's function for one trial."""
        function = self._ready_function()

        def run() -> int:
            os.environ.update(request["env"])
            code: int = self._forked.run_function(function, request)
            return code

        return Child(self._fork(request["log"], run), request)

    def fork_worker(self, request: dict[str, Any], descriptor: int) -> Child:
        """Start a process that calls the user's function for one trial after the other.

        Args:
            request: the driver's.
            descriptor: of the socket to the driver, for the worker; closed here.
        """
        try:
            function = self._ready_function()
            environment = request.get("env", {})
            log_start = SharedOffset()
            log_start.put(-1)

            def ended(start: int) -> None:
                log_start.put(-1)  # from here on the keeper does not trim the log
                trim_log(request["log"], request["log_size"], start)

            def serve() -> int:
                os.environ.update(environment)
                connection = socket.socket(fileno=descriptor)
                code: int = self._forked.serve(function, connection, request["run"], log_start.put, ended)
                return code

            return Child(self._fork(request["log"], serve), request, log_start)
        finally:
            os.close(descriptor)

    def _ready_function(self) -> Callable[..., object]:
        if self._function is None:
            raise ImportError(self._load_error)
        return self._function

    def _fork(self, path: str, body: Callable[[], int]) -> int:
        """Return the pid of a child that runs ``body`` as a trial, with its output in the log at ``path``."""
        log = os.open(path, _LOG_FLAGS, 0o644)
        try:
            pid = os.fork()
            if pid == 0:
                self._forked.leave(lambda: self._run_as_trial(log, body))
            return pid
        finally:
            os.close(log)

    def _run_as_trial(self, log: int, body: Callable[[], int]) -> int:
        self._become_trial(log)
        return body()

    def _become_trial(self, log: int) -> None:
        """Release the keeper's resources in a forked child, and redirect its standard streams."""
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        self._release()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(null)
        os.close(log)
