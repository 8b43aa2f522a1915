"""Run a task of an array on its node: ``python -m cloudtune_slurm.task BATCH.json``. Imports the standard library alone.

The process is the keeper of its trials (`cloudtune.process.keeper`): it enforces limits, trims the log, passes on SIGTERM,
and records their ends in the shared folder.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cloudtune.process.agent import place_of
from cloudtune.process.attempts import ending_of, watched
from cloudtune.process.groups import become_subreaper
from cloudtune.process.keeper import Keeper, append
from cloudtune.process.keeper_client import trial_environment
from cloudtune.process.needs import Needs, thread_limits
from cloudtune.process.setting import TrialFiles
from cloudtune.trial.hearing import hearing
from cloudtune_slurm.claims import claim, has_ended, note_end, of_start, starts_of, still_runs
from cloudtune_slurm.orders import Turns

LOOK_INTERVAL = 2.0
"""Seconds between two looks whether the attempt is to end: its driver has stopped it, or Slurm took this node for dead."""

YOUNG = 60.0
"""Seconds for which a trial is young: its task may run others after it, so that its driver ends the trial and not the task."""

_LOOK = 0.5
"""Seconds between two looks whether a young attempt is to end."""


def files_of(root: Path, shared: Mapping[str, Any], number: int, attempt: int) -> TrialFiles:
    """Return the files of an attempt; `shared` has ``outputs`` and ``log_size``."""
    output = None if shared["outputs"] is None else f"{shared['outputs']}/{number:05d}"
    return TrialFiles(f"{root}/{place_of(number)}", attempt, output, shared["log_size"])


class Task:
    """A task of an array on its node, which runs trials.

    Args:
        root: the run's folder.
        name: of the task in Slurm, ``123_4``.
        batch: the batch that it was submitted in.
        environ: of this process, for its trials.
    """

    def __init__(self, root: Path, name: str, batch: str, environ: Mapping[str, str]) -> None:
        self._root, self._name, self._batch, self._environ = root, name, batch, dict(environ)
        self._running: tuple[TrialFiles, Callable[[], None]] | None = None
        self.ending = False
        """Whether Slurm has asked it to end, so that it runs no more trials."""

    def stop(self, _number: int = signal.SIGTERM, _frame: object = None) -> None:
        """End, with the trial that runs: a handler of Slurm's signal."""
        self.ending = True
        if self._running is not None and ending_of(self._running[0]) is None:
            append(self._running[0].record, json.dumps({"stopping": True}) + "\n")  # before the end that it causes
            self._running[1]()

    def run(self, shared: Mapping[str, Any], order: Mapping[str, Any], turn: int = 0) -> int | None:
        """Run an attempt to its end and return the exit code; None if another task has claimed it, or it has ended before.

        Args:
            shared: what all trials of the batch share; see `cloudtune_slurm.batches.Briefing.batch`.
            order: ``number``, ``attempt``, ``parameters`` and ``argv`` of the attempt.
            turn: how many trials this process has run before.
        """
        files = files_of(self._root, shared, order["number"], order["attempt"])
        self._await_other(files)
        details = {"node": self._environ.get("SLURMD_NODENAME", ""), "batch": self._batch, "turn": turn}
        # A controller that died before it heard of the end starts the task once more.
        if self.ending or has_ended(files) or not claim(files, self._name, **details):
            return None
        files.make_folders()
        Path(files.parameters).write_text(json.dumps({"parameters": order["parameters"]}), "utf-8")
        os.environ.clear()
        os.environ.update(_environment(self._root, shared, self._environ))
        try:
            return self._kept(files, len(starts_of(files)), shared, order)
        finally:
            note_end(files)

    def _await_other(self, files: TrialFiles) -> None:
        """Wait for the end of an earlier start of this task, if that still runs an attempt on this node.

        A controller that was killed before it saved that a task runs starts it once more beside itself.
        """
        starts = starts_of(files)
        earlier = of_start(files, len(starts))
        while starts and starts[0]["task"] == self._name and watched(earlier) and not self.ending:
            time.sleep(_LOOK)

    def _kept(self, claimed: TrialFiles, count: int, shared: Mapping[str, Any], order: Mapping[str, Any]) -> int:
        """Run the trial, for this time, with this process as its keeper."""
        files = of_start(claimed, count)
        ours, theirs = socket.socketpair()
        keeper = Keeper(theirs)
        stop = json.dumps({"do": "stop", "key": files.record, "grace": shared["grace"]}).encode() + b"\n"

        def end() -> None:
            with contextlib.suppress(OSError):  # it has ended just now
                ours.sendall(stop)

        _send_spawn(ours, files, shared, order)
        self._running = files, end
        if self.ending:
            self.stop()
        watch = (ours, lambda: still_runs(claimed, count), end)
        threading.Thread(target=_until_answered, args=watch, daemon=True).start()
        keeper.run()
        self._running = None
        return _code(ending_of(files))


def _send_spawn(
    connection: socket.socket, files: TrialFiles, shared: Mapping[str, Any], order: Mapping[str, Any]
) -> None:
    request = {
        "do": "spawn",
        "key": files.record,
        "argv": [order["argv"][0] or sys.executable, *order["argv"][1:]],
        "cwd": shared["work"],
        "record": files.record,
        "limit": shared["seconds"],
        "grace": shared["grace"],
        "log": files.log,
        "log_size": files.log_size,
        "env": files.environment(order["number"]),
    }
    connection.sendall(json.dumps(request).encode() + b"\n")


def _environment(root: Path, shared: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    # A prologue has chosen the interpreter; else it is the one that runs this.
    python = (shutil.which("python") or shutil.which("python3")) if shared["prologue"] else None
    own = {**trial_environment(environ, shared["run"], root, python), **shared["data"], **shared["environment"]}
    return hearing({**own, **thread_limits(Needs(cpus=shared["cpus"]), own)})


def _until_answered(connection: socket.socket, still_ours: Callable[[], bool], end: Callable[[], None]) -> None:
    """Close the connection once the trial has ended, upon which the keeper returns; end it when it is not ours any longer."""
    asked, since = False, time.monotonic()
    while not select.select([connection], [], [], _LOOK if time.monotonic() - since < YOUNG else LOOK_INTERVAL)[0]:
        with contextlib.suppress(OSError):  # the shared folder does not answer now
            if not asked and not still_ours():
                end()
                asked = True
    connection.close()


def _code(ending: Mapping[str, Any] | None) -> int:
    """Return an exit code by which Slurm, too, knows how the trial ended."""
    if ending is None or ending["status"] is None:
        return 1
    code = os.waitstatus_to_exitcode(ending["status"])
    return code if code >= 0 else 128 - code


def main(path: Path, index: int, environ: Mapping[str, str]) -> int:
    """Run the trials of a task of a batch, by its index, one after the other; return the last exit code that is not 0."""
    become_subreaper()
    name = f"{environ['SLURM_ARRAY_JOB_ID']}_{environ['SLURM_ARRAY_TASK_ID']}"
    task = Task(path.parent.parent, name, path.stem, environ)
    signal.signal(signal.SIGTERM, task.stop)
    turns, last = Turns(path, index, lambda: task.ending), 0
    for shared, order in turns.offers():
        since = time.monotonic()
        code = task.run(shared, order, turns.done)
        if code is not None:
            turns.ran(time.monotonic() - since)
            last = code or last
    return last


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute(), int(os.environ["SLURM_ARRAY_TASK_ID"]), os.environ))
