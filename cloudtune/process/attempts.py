"""The process of an attempt, as its keeper wrote it down: whether it lives, how it ended, and how to end it.

It serves drivers that did not start the attempt themselves, and needs the standard library alone.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from cloudtune.process.keeper import birth, write
from cloudtune.process.setting import TrialFiles


def kept(files: TrialFiles) -> bool:
    """Return whether an attempt's process and its keeper live, so that its limits are enforced and its end recorded."""
    pids = _recorded(files)
    return len(pids) == 2 and all(pids)


def signal_group(files: TrialFiles, number: int) -> None:
    """Send a signal to the process group of an attempt, if its leader is alive."""
    for leader in _recorded(files)[:1]:
        if leader:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(leader, number)


def stop_adopted(files: TrialFiles, number: int) -> None:
    """Send a signal to an attempt that an earlier driver's keeper runs; record first that the driver stops it."""
    with contextlib.suppress(OSError):  # the disk is full; the attempt is stopped anyway
        write(files.record, json.dumps({"stopping": True}) + "\n")
    signal_group(files, number)


def ending_of(files: TrialFiles) -> dict[str, Any] | None:
    """Return how an attempt ended, from the keeper's record; None if it has not, or if its keeper died before."""
    try:
        lines = [json.loads(line) for line in Path(files.record).read_text().split("\n")[2:] if line]
    except (FileNotFoundError, ValueError):
        return None
    ending: dict[str, Any] | None = next((line for line in lines if "status" in line), None)
    if ending is not None and {"stopping": True} in lines:
        ending["why"] = ending["why"] or "stopped"
    return ending


def _recorded(files: TrialFiles) -> list[int]:
    """Return the pids of an attempt's process and of its keeper, from the keeper's record; 0 for one that has ended."""
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
    """Return the pid of an attempt that is `kept`; None for another."""
    return _recorded(files)[0] if kept(files) else None
