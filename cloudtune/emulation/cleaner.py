"""The process that cleans up after a killed emulator: ``python -m cloudtune.emulation.cleaner PID FOLDER [stays]``."""

import contextlib
import os
import select
import shutil
import sys
from pathlib import Path

from cloudtune.emulation.workplace import OVER
from cloudtune.process.orphans import kill_orphans

_ROUNDS = 100
"""Most rounds of killing processes; each finds processes that the killed ones had just started."""


def clean_up(emulator: int, folder: Path, *, stays: bool) -> None:
    """Wait for the end of an emulator; unless it has cleaned up itself, end its programs and remove its folder.

    Args:
        emulator: its process id.
        folder: the folder of its programs, which their environment names.
        stays: whether the folder belongs to the user and is kept.
    """
    if _wait(emulator) == OVER:
        return
    for _ in range(_ROUNDS):
        if not kill_orphans(folder, set(), below=True):
            break
    if not stays:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(emulator: int) -> bytes:
    """Wait for the emulator's end; return `OVER` if it wrote that to stdin, b"" if it was killed."""
    watched: list[int] = [sys.stdin.fileno()]
    with contextlib.suppress(AttributeError, OSError):  # not supported here, or the emulator has ended
        watched.append(os.pidfd_open(emulator))
    ready, _, _ = select.select(watched, [], [])
    return os.read(sys.stdin.fileno(), len(OVER)) if sys.stdin.fileno() in ready else b""


if __name__ == "__main__":
    clean_up(int(sys.argv[1]), Path(sys.argv[2]), stays="stays" in sys.argv[3:])
