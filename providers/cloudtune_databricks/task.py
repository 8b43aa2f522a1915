"""The Python file of each trial's task: starts the trial, and hands over what it prints and leaves by files on the volume.

Databricks executes it without ``__file__`` in a process of its own. A volume takes whole files alone, neither appended to nor
written out of order (https://docs.databricks.com/aws/files: limitations of volumes), so the trial writes on the machine's disk, and
pieces of its output are a file each. A marker says how many there are, by its name: one listing shows those of all trials.
Python 3.8 or newer, the standard library alone.
"""


# ruff: noqa: PTH103, PTH107, PTH112, PTH113, PTH116, PTH118, PTH120, PTH123, PTH102  # pathlib would double the time that importing this file takes

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_MOST = 1 << 20
"""Characters after which a piece of output is handed over before its time."""

_SHOWN = 4_000_000
"""Characters of the output that Databricks gets to see as well: it ends runs whose output is too large (20 MB in all,
https://docs.databricks.com/aws/jobs/monitor: output size limits)."""

_SHARE = 0.01
"""The part of a trial's time after which what it printed is handed over, where that is longer than the pause."""

_ON_THEIR_WAY = 0.05
"""Seconds that a line may take from the program."""

_GRACE = 20.0
"""Seconds between SIGTERM and SIGKILL when the run is cancelled."""


class TrialFailed(Exception):  # its name is a part of what Databricks shows
    """The trial failed; the message says why."""


def place(text: str) -> str:
    """Return the path of a place on a volume."""
    path = text[len("dbfs://") :] if text.startswith("dbfs:///") else text
    return os.environ.get("CLOUDTUNE_VOLUMES", "") + path  # an emulator that cannot mount them keeps them elsewhere


def write(path: str, content: bytes) -> None:
    """Write a whole file, and the folders that it needs."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


def show(line: str) -> None:
    """Print a line, whatever the encoding of the output is."""
    try:
        print(line, flush=True)
    except UnicodeEncodeError:
        print(ascii(line), flush=True)


class Mirror:
    """A folder on the volume that follows one of this machine's.

    Args:
        own: the folder here.
        target: the one on the volume.
    """

    def __init__(self, own: str, target: str) -> None:
        self._own, self._target = own, target
        self._known: dict[str, tuple[int, int]] = {}

    def follow(self, *, last: bool = False) -> None:
        """Copy what has changed, and remove what is gone; a file that may still be written only if this is the last time."""
        seen = {}
        for folder, _, names in os.walk(self._own):
            for path in (os.path.join(folder, name) for name in names):
                with contextlib.suppress(FileNotFoundError):  # it was renamed or removed meanwhile
                    status = os.stat(path)
                    seen[os.path.relpath(path, self._own)] = (status.st_size, status.st_mtime_ns)
        for name, stamp in seen.items():
            if self._known.get(name) != stamp and (last or time.time() - stamp[1] / 1e9 > 1.0):
                target = os.path.join(self._target, name)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(os.path.join(self._own, name), target)
                    self._known[name] = stamp
        for name in [each for each in self._known if each not in seen]:
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(self._target, name))
            del self._known[name]


class Output:
    """What a trial prints, on its way to the volume.

    Args:
        files: the run's folder there.
        name: of the attempt: ``NUMBER-ATTEMPT``.
    """

    def __init__(self, files: str, name: str) -> None:
        self._pieces, self._heard, self._name = os.path.join(files, "printed", name), os.path.join(files, "heard"), name
        self._lines: list[str] = []
        self._size, self._count, self._shown = 0, 0, 0

    def take(self, line: str) -> bool:
        """Take a line, and print it; return whether there are so many that they have to be handed over."""
        if self._shown <= _SHOWN:
            self._shown += len(line) + 1
            show(line if self._shown <= _SHOWN else "cloudtune: what follows is on the volume alone")
        self._lines.append(f"{time.time():.3f} {line}\n")
        self._size += len(line)
        return self._size > _MOST

    def hand_over(self) -> None:
        """Write a piece with the lines since the last one, and then the marker."""
        if not self._lines:
            return
        content = "".join(self._lines).encode("utf-8", "backslashreplace")
        count = self._count + 1
        write(os.path.join(self._pieces, f"{count:06d}.txt"), content)
        write(os.path.join(self._heard, f"{self._name}.{count}"), b"")
        self._lines, self._size, self._count = [], 0, count
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(self._heard, f"{self._name}.{count - 1}"))


def options(words: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the options of the request's words, and the variables of inputs."""
    said: dict[str, str] = {}
    data: dict[str, str] = {}
    for word in words:
        name, _, value = word[2:].partition("=")
        if name == "data":
            variable, _, where = value.partition("=")
            data[variable] = place(where)
        else:
            said[name] = value
    return said, data


def variables(said: dict[str, str], data: dict[str, str], trial: dict[str, Any], own: str) -> dict[str, str]:
    """Return the environment of the trial's program."""
    files = place(said["files"])
    found: dict[str, str] = {**os.environ, **data}
    if "environment" in said:
        with open(place(said["environment"]), encoding="utf-8") as file:
            found.update(json.load(file))
    if "experiment" in said:
        found.update(tracking(said["experiment"], said["run"], trial))
    found.update(
        CLOUDTUNE_VALUES=json.dumps(trial["values"]),
        CLOUDTUNE_RUN=said["run"],
        CLOUDTUNE_TRIAL=str(trial["number"]),
        CLOUDTUNE_SEED=str(trial["number"]),
        CLOUDTUNE_ATTEMPT=str(trial["attempt"]),
        CLOUDTUNE_REASON=os.path.join(own, "reason"),
        CLOUDTUNE_OUTPUT_DIR=os.path.join(own, "output"),
        CLOUDTUNE_CHECKPOINT_DIR=os.path.join(own, "checkpoint"),
    )
    if trial["parent"] is not None:
        found["CLOUDTUNE_PARENT_CHECKPOINT_DIR"] = os.path.join(files, str(trial["parent"]), "checkpoint")
    return found


def tracking(experiment: str, run: str, trial: dict[str, Any]) -> dict[str, str]:
    """Return variables by which MLflow, in a process of its own, logs to the workspace, and its runs have the trial's tags.

    The credentials are those of this task, which `Config` finds (https://databricks-sdk-py.readthedocs.io, native authentication).
    """
    from databricks.sdk.core import Config  # noqa: PLC0415  # on a cluster that has it

    config = Config()
    token = config.authenticate()["Authorization"].partition(" ")[2]
    tags = {"cloudtune.run": run, "cloudtune.trial": str(trial["number"]), "cloudtune.attempt": str(trial["attempt"])}
    return {
        "DATABRICKS_HOST": config.host,
        "DATABRICKS_TOKEN": token,
        "MLFLOW_TRACKING_URI": "databricks",
        "MLFLOW_EXPERIMENT_NAME": experiment,
        "MLFLOW_RUN_CONTEXT": json.dumps(tags),
    }


def _with_its_parent() -> None:
    """Have the program end with this process, however that ends (PR_SET_PDEATHSIG, prctl(2))."""
    import ctypes  # noqa: PLC0415

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def started(program: str, folder: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start the program, in a group of processes of its own."""
    with_parent: dict[str, Any] = {"preexec_fn": _with_its_parent} if sys.platform == "linux" else {}
    return subprocess.Popen(
        [sys.executable, program], cwd=folder, env=environment, start_new_session=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **with_parent,
    )  # fmt: skip


class Stopped(Exception):  # nothing has gone wrong
    """The run is cancelled."""


class Lines:
    """The lines that a program prints.

    Args:
        process: the program.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._queue: queue.SimpleQueue[str | type[Stopped] | None] = queue.SimpleQueue()
        self._process, self._over = process, False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        # A progress bar ends its lines with carriage returns, and some programs end none.
        output = io.TextIOWrapper(self._process.stdout, "utf-8", "replace", newline=None)
        while line := output.readline(_MOST):
            self._queue.put(line.rstrip("\n"))

    def _wait(self) -> None:
        self._process.wait()
        self._reader.join(2.0)  # a process that it left may hold the output open
        self._queue.put(None)

    def stop(self, *_: object) -> None:
        """Have the next one be `Stopped`; may be called by the handler of a signal, whatever the thread is doing."""
        self._queue.put(Stopped)

    def next(self, seconds: float) -> str | None:
        """Return the next line, None after the last.

        Args:
            seconds: that it is waited for at most.

        Raises:
            queue.Empty: there was none.
            Stopped: the run is cancelled.
        """
        if self._over:
            return None
        line = self._queue.get(timeout=seconds) if seconds > 0 else self._queue.get_nowait()
        if isinstance(line, type):
            raise line
        self._over = line is None
        return line

    def ready(self) -> Iterator[str]:
        """Yield the lines that are on their way."""
        until = time.monotonic() + _ON_THEIR_WAY
        with contextlib.suppress(queue.Empty):
            while (line := self.next(until - time.monotonic())) is not None:
                yield line

    def rest(self) -> Iterator[str]:
        """Yield the lines that are left when the program has ended."""
        while not self._over:
            with contextlib.suppress(Stopped):
                line = self.next(10.0)
                if line is not None:
                    yield line


def end(process: subprocess.Popen[bytes]) -> None:
    """End the program and all that it started."""
    for number, seconds in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return


class HandingOver:
    """Hands over what a trial prints and keeps, from time to time.

    Args:
        lines: that the program prints.
        output: of the trial.
        checkpoint: its mirror.
        pause: seconds between two times, at least.
    """

    def __init__(self, lines: Lines, output: Output, checkpoint: Mirror, pause: float) -> None:
        self._lines, self._output, self._checkpoint, self._pause = lines, output, checkpoint, pause
        self._begin = time.monotonic()
        self._next = self._begin + pause

    @property
    def wait(self) -> float:
        """Seconds until the next time."""
        return max(self._next - time.monotonic(), 0.0)

    def now(self, *, last: bool = False) -> None:
        """Hand over: first the checkpoint, so that no report is missing which the program made before it.

        Where the volume cannot be written, say so, and try again the next time.
        """
        try:
            self._checkpoint.follow(last=last)
            for line in self._lines.ready():
                self._output.take(line)
            self._output.hand_over()
        except OSError as error:
            print(f"cloudtune: the volume took nothing: {error}", flush=True)
            if last:
                raise
        elapsed = time.monotonic() - self._begin
        self._next = time.monotonic() + max(self._pause, _SHARE * elapsed)

    def watch(self) -> None:
        """Take what the program prints, and hand it over, until it has ended."""
        while True:
            try:
                line = self._lines.next(self.wait)
            except queue.Empty:
                self.now()
                continue
            if line is None:
                return
            if self._output.take(line):
                self.now()


def on_sigterm(handler: Any) -> None:
    """Have SIGTERM handled, if this is the main thread."""
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGTERM, handler)


def run(said: dict[str, str], data: dict[str, str], own: str) -> None:
    """Run the trial; raise `TrialFailed` if it fails."""
    if "trial-file" in said:
        with open(place(said["trial-file"]), encoding="utf-8") as file:
            said["trial"] = file.read()
    trial = json.loads(base64.b64decode(said["trial"]))
    files = place(said["files"])
    folder = os.path.join(files, str(trial["number"]))
    code, kept = os.path.join(own, "code"), os.path.join(own, "checkpoint")
    shutil.copytree(place(said["code"]), code)
    os.mkdir(os.path.join(own, "output"))
    if os.path.isdir(os.path.join(folder, "checkpoint")):
        shutil.copytree(os.path.join(folder, "checkpoint"), kept)
    else:
        os.mkdir(kept)
    output = Output(files, f"{trial['number']}-{trial['attempt']}")
    process = started(os.path.join(code, "trial.py"), code, variables(said, data, trial, own))
    lines, checkpoint = Lines(process), Mirror(kept, os.path.join(folder, "checkpoint"))
    handing = HandingOver(lines, output, checkpoint, float(said["pause"]))
    on_sigterm(lines.stop)
    try:
        handing.watch()
    finally:
        end(process)
        for line in lines.rest():
            output.take(line)
        Mirror(os.path.join(own, "output"), os.path.join(folder, "output")).follow(last=True)
        handing.now(last=True)
    if process.returncode:
        reason = os.path.join(own, "reason")
        if os.path.isfile(reason):
            with open(reason, encoding="utf-8") as file:
                raise TrialFailed(file.read())
        raise TrialFailed(f"it exited with code {process.returncode}")


def _cancelled(number: int, _: Any) -> None:
    raise SystemExit(128 + number)


def main(words: list[str]) -> None:
    """Run the trial that the words of the request describe."""
    on_sigterm(_cancelled)
    own = tempfile.mkdtemp(prefix="cloudtune-task-")
    try:
        run(*options(words), own)
    finally:
        shutil.rmtree(own, ignore_errors=True)
        on_sigterm(signal.SIG_DFL)


if __name__ == "__main__":
    main(sys.argv[1:])
