"""End processes that outlived the process that started them."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

VARIABLE = "CLOUDTUNE_RUN_FOLDER"
"""The environment variable that marks processes: the folder that they belong to."""


def kill_orphans(folder: Path, spare: set[int], *, below: bool = False) -> int:
    """Kill every process of this user that stems from a run, except those to spare and their relatives.

    Args:
        folder: the run's, as ``CLOUDTUNE_RUN_FOLDER`` says in the environment of its processes (ids are unique only
            within a store).
        spare: pids of trials whose keeper lives; they, their descendants and their ancestors stay.
        below: whether processes of folders below it are killed, too.

    Returns:
        Number of processes killed.
    """
    import psutil  # noqa: PLC0415  # loaded only when a dead driver may have left processes

    stay = {os.getpid(), *spare}
    for pid in spare:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            stay |= {parent.pid for parent in process.parents()}
            stay |= {child.pid for child in process.children(recursive=True)}
    killed = 0
    for process in _suspects(folder):
        if process.pid not in stay and _stems_from(process, str(folder), below=below):
            with contextlib.suppress(psutil.Error):
                process.kill()
                killed += 1
    return killed


def _suspects(folder: Path) -> "Iterator[psutil.Process]":
    """Yield the processes whose environment may name a folder, or one below it."""
    import psutil  # noqa: PLC0415

    if not Path("/proc/self/environ").exists():
        yield from psutil.process_iter()
        return
    named = os.fsencode(f"{VARIABLE}={folder}")  # searching the bytes takes a tenth of the time of parsing them
    for pid in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):
            if named in Path(f"/proc/{pid}/environ").read_bytes():
                yield psutil.Process(pid)


def _stems_from(process: "psutil.Process", folder: str, *, below: bool) -> bool:
    import psutil  # noqa: PLC0415

    try:
        found = process.environ().get(VARIABLE, "")
    except (psutil.Error, OSError):
        return False  # another user's, or it has ended meanwhile
    return found == folder or (below and found.startswith(f"{folder}{os.sep}"))
