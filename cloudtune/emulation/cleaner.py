"""The process that cleans up after a killed emulator: ``python -m cloudtune.emulation.cleaner FOLDER [stays]``."""

import shutil
import sys
from pathlib import Path

from cloudtune.process.orphans import kill_orphans

_ROUNDS = 100
"""Most rounds of killing processes; each finds processes that the killed ones had just started."""


def clean_up(folder: Path, *, stays: bool) -> None:
    """End the programs of an emulator that was killed, and remove its folder.

    Args:
        folder: the folder of its programs, which their environment names.
        stays: whether the folder belongs to the user and is kept.
    """
    for _ in range(_ROUNDS):
        if not kill_orphans(folder, set(), below=True):
            break
    if not stays:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    clean_up(Path(sys.argv[1]), stays="stays" in sys.argv[2:])
