"""Who runs an attempt: the first task that claims it in the shared folder, or nobody. Imports the standard library alone.

An answer of sbatch may be lost, so that the same batch is submitted twice, and a task that its driver has given up may
start later than anybody expected. Each task claims its attempt by making a file, which one alone can; the driver claims
the attempts that it gives up. A task that Slurm requeues has its claim already.
"""

import contextlib
import copy
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudtune.process.attempts import ending_of
from cloudtune.process.keeper import append
from cloudtune.process.setting import TrialFiles

_WRITING = 60.0
"""Seconds after which a claim without a word is nobody's: its node died just then, or its disk was full."""

NOBODY = ""
"""The task in the claim of a driver, which runs nothing."""


def claim(files: TrialFiles, task: str, **details: object) -> bool:
    """Claim an attempt for a task of Slurm (``123_4``), and return whether it has it.

    Args:
        files: of the attempt.
        task: its name; a task that Slurm started again has the claims of its earlier starts.
        details: of its start: its ``node``, the ``batch`` that it was submitted in, and its ``turn``, which is how many
            trials this start of the task has run before.
    """
    path = _path(files)
    begun = json.dumps({"task": task, **details, "started": time.time()}) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        starts = starts_of(files)
        if starts and (starts[0]["task"] != task or "fenced" in starts[-1]):
            return False
        if not starts and time.time() - path.stat().st_mtime < _WRITING:
            return False
        begun = f"\n{begun}"  # half a line may stand there
    append(str(path), begun)
    return [start["task"] for start in starts_of(files)[:1]] == [task]


def fence(files: TrialFiles) -> None:
    """Let no task run an attempt any longer: one that may still run ends within seconds, as it does if it was started elsewhere."""
    if not claim(files, NOBODY):
        _note(files, fenced=time.time())


def of_start(files: TrialFiles, count: int) -> TrialFiles:
    """Return the files of one start of an attempt, from 1: each records its end in a file of its own.

    A node that Slurm takes for dead may go on for a while, beside the node on which the attempt was started again.
    """
    found = copy.copy(files)
    found.record = files.record if count <= 1 else f"{files.record}.{count}"
    return found


def still_runs(files: TrialFiles, count: int) -> bool:
    """Return whether an attempt is still that of its start of a number: not started elsewhere, and not given up."""
    starts = starts_of(files)
    return len(starts) == count and "fenced" not in starts[-1]


def note_end(files: TrialFiles) -> None:
    """Write down when the task that has an attempt ended."""
    with contextlib.suppress(OSError):  # the disk is full; the poll that sees the end takes its own time
        _note(files, ended=time.time())


def note_sent(files: TrialFiles) -> None:
    """Write down that the task that has an attempt has all it needs, where its node does not see the run's folder."""
    _note(files, sent=time.time())


def _note(files: TrialFiles, **what: float) -> None:
    append(str(_path(files)), json.dumps(what) + "\n")


def starts_of(files: TrialFiles) -> list[dict[str, Any]]:
    """Return each start of an attempt: what `claim` wrote, ``started`` and, if that happened, ``ended``, ``fenced`` or ``sent``; [] before."""
    try:
        lines = _path(files).read_text().splitlines()
    except FileNotFoundError:
        return []
    starts: list[dict[str, Any]] = []
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:
            continue  # half a line: its node died
        if "task" in said:
            starts.append(said)
        elif starts:
            starts[-1] |= said
    return starts


def has_ended(files: TrialFiles) -> bool:
    """Return whether the last start of an attempt came to an end of its own, whatever Slurm knows of it."""
    ending = ending_of(of_start(files, len(starts_of(files))))
    return ending is not None and by_itself(ending)


def by_itself(ending: Mapping[str, Any]) -> bool:
    """Return whether a trial ended by itself or at its own limits, and not by a signal, which may be Slurm's."""
    if ending["why"] == "stopped":
        return False
    return (
        ending["why"] != "" or ending["status"] is None or not _by_signal(os.waitstatus_to_exitcode(ending["status"]))
    )


def _by_signal(code: int) -> bool:
    return code < 0 or code in (128 + 9, 128 + 15)  # a shell adds 128 to the signal that ended its command


def _path(files: TrialFiles) -> Path:
    return Path(f"{files.record}.task")
