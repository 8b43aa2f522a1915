"""Finding and ending processes that a dead driver or keeper left behind."""

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from cloudtune_local.keeper import birth
from cloudtune_local.setting import TrialFiles

if TYPE_CHECKING:
    import psutil


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


def end_leftovers(folder: Path, spare: set[int]) -> int:
    """Kills every process of this user that stems from a run, but for some and what belongs to them.

    Args:
        folder: the run's, as ``CLOUDTUNE_RUN_FOLDER`` says in the environment of its processes (ids are unique only
            within a store).
        spare: trials that are still kept; they, their descendants and their keepers stay.

    Returns:
        How many were killed.
    """
    import psutil  # noqa: PLC0415  # loaded only when a dead driver may have left something

    stay = {os.getpid(), *spare}
    for pid in spare:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            stay |= {parent.pid for parent in process.parents()}
            stay |= {child.pid for child in process.children(recursive=True)}
    killed = 0
    for process in psutil.process_iter():
        if process.pid not in stay and _stems_from(process, str(folder)):
            with contextlib.suppress(psutil.Error):
                process.kill()
                killed += 1
    return killed


def kept_pid(files: TrialFiles) -> int | None:
    """The pid of an attempt that is `kept`."""
    return _recorded(files)[0] if kept(files) else None


def _stems_from(process: "psutil.Process", folder: str) -> bool:
    import psutil  # noqa: PLC0415

    try:
        return process.environ().get("CLOUDTUNE_RUN_FOLDER") == folder
    except (psutil.Error, OSError):
        return False  # another user's, or gone meanwhile
