"""Run one task of an array on its node: ``python -m cloudtune_slurm.task BATCH.json``. Imports the standard library alone.

The process is the keeper of its trial (`cloudtune.process.keeper`): it enforces limits, trims the log, passes on SIGTERM,
and records the end in the shared folder.
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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cloudtune.process.agent import place_of
from cloudtune.process.attempts import ending_of
from cloudtune.process.groups import become_subreaper
from cloudtune.process.keeper import Keeper, append
from cloudtune.process.keeper_client import trial_environment
from cloudtune.process.needs import Needs, thread_limits
from cloudtune.process.setting import TrialFiles
from cloudtune.trial.hearing import hearing
from cloudtune_slurm.claims import claim, has_ended, note_end, of_start, starts_of, still_runs

LOOK_INTERVAL = 2.0
"""Seconds between two looks whether the attempt is to end: its driver has stopped it, or Slurm took this node for dead."""

_ended_by_slurm: list[bool] = []
"""Whether Slurm has asked this task to end, so that it runs no more trials."""


def files_of(root: Path, shared: Mapping[str, Any], number: int, attempt: int) -> TrialFiles:
    """Return the files of an attempt; `shared` has ``outputs`` and ``log_size``."""
    output = None if shared["outputs"] is None else f"{shared['outputs']}/{number:05d}"
    return TrialFiles(f"{root}/{place_of(number)}", attempt, output, shared["log_size"])


def run(root: Path, shared: Mapping[str, Any], order: Mapping[str, Any], environ: Mapping[str, str]) -> int:
    """Run an attempt to its end, unless another task has claimed it, and return the exit code.

    Args:
        root: the run's folder.
        shared: what all trials of the batch share; see `SlurmLauncher`.
        order: ``number``, ``attempt``, ``parameters`` and ``argv`` of the attempt.
        environ: of this process.
    """
    files = files_of(root, shared, order["number"], order["attempt"])
    task = f"{environ['SLURM_ARRAY_JOB_ID']}_{environ['SLURM_ARRAY_TASK_ID']}"
    # A controller that died before it heard of the end starts the task once more.
    if has_ended(files) or not claim(files, task, environ.get("SLURMD_NODENAME", "")):
        return 0
    files.make_folders()
    Path(files.parameters).write_text(json.dumps({"parameters": order["parameters"]}), "utf-8")
    os.environ.clear()
    os.environ.update(_environment(root, shared, environ))
    try:
        return _kept(files, len(starts_of(files)), shared, order)
    finally:
        note_end(files)


def _environment(root: Path, shared: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    # A prologue has chosen the interpreter; else it is the one that runs this.
    python = (shutil.which("python") or shutil.which("python3")) if shared["prologue"] else None
    own = {**trial_environment(environ, shared["run"], root, python), **shared["data"], **shared["environment"]}
    return hearing({**own, **thread_limits(Needs(cpus=shared["cpus"]), own)})


def _kept(claimed: TrialFiles, count: int, shared: Mapping[str, Any], order: Mapping[str, Any]) -> int:
    """Run the trial, for this time, with this process as its keeper."""
    files = of_start(claimed, count)
    become_subreaper()
    ours, theirs = socket.socketpair()
    keeper = Keeper(theirs)
    stop = {"do": "stop", "key": files.record, "grace": shared["grace"]}
    beside = threading.Thread(
        target=_until_answered, args=(ours, lambda: still_runs(claimed, count), stop), daemon=True
    )

    def pass_on(_number: int, _frame: object) -> None:
        _ended_by_slurm.append(True)
        append(files.record, json.dumps({"stopping": True}) + "\n")  # before the end that it causes
        with contextlib.suppress(OSError):  # it has ended just now
            ours.sendall(json.dumps(stop).encode() + b"\n")

    signal.signal(signal.SIGTERM, pass_on)
    request = {
        "do": "spawn",
        "key": files.record,
        "argv": [word or sys.executable for word in order["argv"]],
        "cwd": shared["work"],
        "record": files.record,
        "limit": shared["seconds"],
        "grace": shared["grace"],
        "log": files.log,
        "log_size": files.log_size,
        "env": files.environment(order["number"]),
    }
    ours.sendall(json.dumps(request).encode() + b"\n")
    beside.start()
    keeper.run()
    return _code(ending_of(files))


def _until_answered(connection: socket.socket, still_ours: Callable[[], bool], stop: Mapping[str, Any]) -> None:
    """Close the connection once the trial has ended, upon which the keeper returns; end it when it is not ours any longer."""
    asked = False
    while not select.select([connection], [], [], LOOK_INTERVAL)[0]:
        with contextlib.suppress(OSError):  # the shared folder does not answer now
            if not asked and not still_ours():
                connection.sendall(json.dumps(stop).encode() + b"\n")
                asked = True
    connection.close()


def _code(ending: Mapping[str, Any] | None) -> int:
    """Return an exit code by which Slurm, too, knows how the trial ended."""
    if ending is None or ending["status"] is None:
        return 1
    code = os.waitstatus_to_exitcode(ending["status"])
    return code if code >= 0 else 128 - code


def main(path: Path, index: int) -> int:
    """Run the trials of a task of a batch, by its index, one after the other; return the last exit code that is not 0."""
    batch = json.loads(path.read_text("utf-8"))
    shared, orders, environ = batch["shared"], batch["orders"], dict(os.environ)
    code, many = 0, shared["per_task"]
    for order in orders[index * many : (index + 1) * many]:
        code = run(path.parent.parent, shared, order, environ) or code
        if _ended_by_slurm:
            break
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute(), int(os.environ["SLURM_ARRAY_TASK_ID"])))
