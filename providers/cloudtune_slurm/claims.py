"""Who runs an attempt: the first task that claims it in the shared folder, or nobody. Imports the standard library alone.

An answer of sbatch may be lost, so that the same batch is submitted twice, and a task that its driver has given up may
start later than anybody expected. Each task claims its attempt by making a file, which one alone can; the driver claims
the attempts that it gives up. A task that Slurm requeues has its claim already.
"""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from cloudtune.process.keeper import append
from cloudtune.process.setting import TrialFiles

NOBODY = ""
"""The task in the claim of a driver, which runs nothing."""


def claim(files: TrialFiles, task: str, node: str = "") -> bool:
    """Claim an attempt for a task of Slurm (``123_4``) on a node, and return whether it has it."""
    path = _path(files)
    begun = json.dumps({"task": task, "node": node, "started": time.time()}) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        starts = starts_of(files)
        if not starts or starts[0]["task"] != task:
            return False
    append(str(path), begun)
    return True


def note_end(files: TrialFiles) -> None:
    """Write down when the task that has an attempt ended."""
    with contextlib.suppress(OSError):  # the disk is full; the poll that sees the end takes its own time
        append(str(_path(files)), json.dumps({"ended": time.time()}) + "\n")


def starts_of(files: TrialFiles) -> list[dict[str, Any]]:
    """Return each start of an attempt: ``task``, ``node``, ``started`` and, if it is known, ``ended``; [] before the first."""
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


def _path(files: TrialFiles) -> Path:
    return Path(f"{files.record}.task")
