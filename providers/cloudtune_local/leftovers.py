"""Finding processes that a dead driver or keeper left behind."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from cloudtune.process.keeper import birth, write
from cloudtune.process.setting import TrialFiles


def kept(files: TrialFiles) -> bool:
    """Whether an attempt's process and its keeper are alive, so that its end will be enforced and written down."""
    pids = _recorded(files)
    return len(pids) == 2 and all(pids)


def signal_group(files: TrialFiles, number: int) -> None:
    """Sends a signal to the process group of an attempt, if its leader is alive."""
    for leader in _recorded(files)[:1]:
        if leader:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(leader, number)


def stop_adopted(files: TrialFiles, number: int) -> None:
    """Sends a signal to an attempt that an earlier driver's keeper keeps, by its driver's wish, which is written down before."""
    with contextlib.suppress(OSError):  # the disk is full: it ends all the same
        write(files.record, json.dumps({"stopping": True}) + "\n")
    signal_group(files, number)


def ending_of(files: TrialFiles) -> dict[str, Any] | None:
    """How an attempt ended, as the keeper wrote it below the pids; None if it has not, or nobody was there to write."""
    try:
        lines = [json.loads(line) for line in Path(files.record).read_text().split("\n")[2:] if line]
    except (FileNotFoundError, ValueError):
        return None
    ending: dict[str, Any] | None = next((line for line in lines if "status" in line), None)
    if ending is not None and {"stopping": True} in lines:
        ending["why"] = ending["why"] or "stopped"
    return ending


def _recorded(files: TrialFiles) -> list[int]:
    """The pids of an attempt's process and of its keeper, as the keeper wrote them down; 0 for one that is gone."""
    try:
        words = Path(files.record).read_text().split("\n")[:2]
    except OSError:
        return []
    pids = []
    for line in words:
        pid, _, born = line.partition(" ")
        alive = pid.isdecimal() and _exists(int(pid)) and birth(int(pid)) == born
        pids.append(int(pid) if alive else 0)
    return pids


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def kept_pid(files: TrialFiles) -> int | None:
    """The pid of an attempt that is `kept`."""
    return _recorded(files)[0] if kept(files) else None
