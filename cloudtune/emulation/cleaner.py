"""The process that cleans up after a killed emulator: ``python -m cloudtune.emulation.cleaner FOLDER TEMPORARY``."""

import shutil
import sys
from pathlib import Path

from cloudtune.process.orphans import kill_orphans

_ROUNDS = 100
"""Most rounds of killing processes; each finds processes that the killed ones had just started."""


def clean_up(folder: Path, temporary: Path) -> None:
    """End the programs of an emulator that was killed, and remove its temporary folder.

    Args:
        folder: the folder of its programs, which their environment names.
        temporary: the folder to remove: the same, unless the user gave the first one.
    """
    for _ in range(_ROUNDS):
        if not kill_orphans(folder, set(), below=True):
            break
    shutil.rmtree(temporary, ignore_errors=True)


if __name__ == "__main__":
    clean_up(Path(sys.argv[1]), Path(sys.argv[2]))
