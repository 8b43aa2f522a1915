"""The working folder of an emulator; the folder and the programs are removed even if the emulator is killed."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from cloudtune.emulation import watcher
from cloudtune.process.orphans import VARIABLE
from cloudtune.system.locks import lock, open_lock, try_lock
from cloudtune.system.processes import detached, is_mine

_WATCHER = Path(watcher.__file__)

_LOCK = ".in-use"
_YOUNG = 60.0
"""Seconds after its creation in which a folder may still lack its lock."""


class Workplace:
    """A working folder with a cleaner process, which ends programs and removes the folder if the emulator is killed.

    Args:
        given: the folder to use, which is kept; None for a temporary one, which is removed.
        kind: the emulator's name, for the name of the folder.
    """

    def __init__(self, given: Path | None, kind: str) -> None:
        self._given, self._kind = given, kind
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._held: int | None = None
        self._cleaner: subprocess.Popen[bytes] | None = None

    @property
    def stays(self) -> bool:
        """Whether the folder belongs to the user and is kept."""
        return self._given is not None

    @property
    def folder(self) -> Path:
        """The folder, created at the first access and readable by its owner alone."""
        with self._lock:
            if self._folder is None:
                self._folder = self._make()
                self._cleaner = self._watch(self._folder)
            return self._folder

    def close(self) -> None:
        """Remove the folder, unless it is the user's, and end the cleaner; all programs must have ended."""
        with self._lock:
            cleaner, folder, held = self._cleaner, self._folder, self._held
            self._cleaner = self._folder = self._held = None
        if folder is not None and not self.stays:
            shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)
        if cleaner is not None and cleaner.stdin is not None:
            with contextlib.suppress(BrokenPipeError), cleaner.stdin:
                cleaner.stdin.write(watcher.OVER)
            cleaner.wait()

    def _make(self) -> Path:
        if self._given is not None:
            self._given.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._given.absolute()
        _remove_abandoned(f"cloudtune-{self._kind}-")
        folder = Path(tempfile.mkdtemp(prefix=f"cloudtune-{self._kind}-"))
        self._held = open_lock(folder / _LOCK, 0o600)
        lock(self._held)
        return folder

    def _watch(self, folder: Path) -> subprocess.Popen[bytes]:
        """Start what waits to clean up, in a session of its own, which signals to the emulator's group do not reach."""
        words = [sys.executable, "-I", "-S", str(_WATCHER), str(os.getpid()), str(folder)]
        environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
        return subprocess.Popen(
            [*words, *(["stays"] if self.stays else [])], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd="/", env=environment, bufsize=0, **detached(),
        )  # fmt: skip


def _remove_abandoned(prefix: str) -> None:
    """Remove the folders of emulators that were killed together with their cleaners."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or not is_mine(folder.stat()):
                continue
            if not (folder / _LOCK).exists():
                if time.time() - folder.stat().st_mtime < _YOUNG:
                    continue
            elif not _is_free(folder / _LOCK):
                continue
            shutil.rmtree(folder, ignore_errors=True)


def _is_free(path: Path) -> bool:
    held = open_lock(path, create=False)
    try:
        return try_lock(held)
    except OSError:
        return False
    finally:
        os.close(held)
