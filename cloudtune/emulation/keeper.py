"""Runs beside an emulator: ends its programs and removes its folder if it is killed. ``python -m cloudtune.emulation.keeper``."""

import contextlib
import os
import select
import shutil
import sys
from pathlib import Path

from cloudtune.emulation.workplace import OVER
from cloudtune.process.orphans import end_leftovers

_ROUNDS = 100
"""Of killing; each may show what the killed had just started."""


def keep(emulator: int, folder: Path, *, stays: bool) -> None:
    """Wait for the end of an emulator, and clean up unless it says that it has.

    Args:
        emulator: its process.
        folder: below which its programs work, as their environment says.
        stays: whether the folder is the user's.
    """
    if _wait(emulator) == OVER:
        return
    for _ in range(_ROUNDS):
        if not end_leftovers(folder, set(), below=True):
            break
    if not stays:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(emulator: int) -> bytes:
    """What the emulator says at its end; nothing if it is killed, even where another process has its pipe."""
    watched: list[int] = [sys.stdin.fileno()]
    with contextlib.suppress(AttributeError, OSError):  # not on this system, or gone
        watched.append(os.pidfd_open(emulator))
    ready, _, _ = select.select(watched, [], [])
    return os.read(sys.stdin.fileno(), len(OVER)) if sys.stdin.fileno() in ready else b""


if __name__ == "__main__":
    keep(int(sys.argv[1]), Path(sys.argv[2]), stays="stays" in sys.argv[3:])
