"""The working folder of an emulator; the folder and the programs are removed even if the emulator is killed."""

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from cloudtune.emulation import watcher
from cloudtune.process.orphans import VARIABLE
from cloudtune.system.processes import detached
from cloudtune.system.temporary import TemporaryFolder, abandoned

_WATCHER = Path(watcher.__file__)

_LONGEST = 64
"""Bytes of a folder's path that leave room for the names of sockets in it, such as those of `multiprocessing`: in all they may have
104 (``sun_path``, unix(4) of the BSDs; Linux has 108)."""

_YOUNG = 60.0
"""Seconds after its creation in which a folder may still lack its lock."""


class Workplace:
    """A working folder with a cleaner process, which ends programs and removes the folder if the emulator is killed.

    Args:
        given: the folder to use, which is kept; None for a temporary one, which is removed.
        kind: the emulator's name, for the name of the temporary folder.
    """

    def __init__(self, given: Path | None, kind: str) -> None:
        self._given, self._kind = given, kind
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._own: TemporaryFolder | None = None
        self._numbers = itertools.count()
        self._cleaner: subprocess.Popen[bytes] | None = None

    @property
    def stays(self) -> bool:
        """Whether the folder belongs to the user and is kept."""
        return self._given is not None

    @property
    def folder(self) -> Path:
        """The folder, created at the first access and readable by its owner alone."""
        return self._made()[0]

    def scratch(self) -> Path | None:
        """Return a new folder for the temporary files of one machine, which goes with the emulator, and may go before.

        None where the system's temporary folder lies so deep that no sockets could be made in it: such a machine's program
        has its temporary files in the system's folder, where they stay if it is killed.
        """
        folder = self._made()[1].path / "t" / str(next(self._numbers))
        if len(os.fsencode(folder)) > _LONGEST:
            return None
        folder.mkdir(mode=0o700, parents=True)
        return folder

    def _made(self) -> tuple[Path, TemporaryFolder]:
        """Return the folder and the temporary one, which is the same unless the user gave one."""
        with self._lock:
            if self._folder is None or self._own is None:
                self._own = self._make_own()
                self._folder = self._own.path if self._given is None else self._given.absolute()
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._cleaner = _watch(self._folder, self._own.path)
            return self._folder, self._own

    def close(self) -> None:
        """Remove the folder, unless it is the user's, and end the cleaner; all programs must have ended."""
        with self._lock:
            cleaner, own = self._cleaner, self._own
            self._cleaner = self._folder = self._own = None
        if own is not None:
            own.remove()
        if cleaner is not None and cleaner.stdin is not None:
            with contextlib.suppress(BrokenPipeError), cleaner.stdin:
                cleaner.stdin.write(watcher.OVER)
            cleaner.wait()

    def _make_own(self) -> TemporaryFolder:
        for folder in abandoned(
            self._kind, without_lock=_YOUNG
        ):  # by emulators that were killed together with their cleaners
            shutil.rmtree(folder, ignore_errors=True)
        return TemporaryFolder(self._kind)


def _watch(folder: Path, temporary: Path) -> subprocess.Popen[bytes]:
    """Start what waits to clean up, in a session of its own, which signals to the emulator's group do not reach."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(_WATCHER), str(os.getpid()), str(folder), str(temporary)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", env=environment, bufsize=0,
        **detached(),
    )  # fmt: skip
