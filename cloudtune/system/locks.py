"""Locks of whole files, which the system frees when the process that holds them dies.

On POSIX systems they are those of flock(2), on Windows those of `msvcrt.locking` on one byte far behind the file's content,
where they hinder nobody who reads the file (https://learn.microsoft.com/windows/win32/api/fileapi/nf-fileapi-lockfile).
"""

import os
import sys
import time
from pathlib import Path

_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0) | getattr(os, "O_BINARY", 0)
"""No child inherits a lock; Windows calls that by another name."""

_PAUSE = 0.01
"""Seconds between two tries of `lock`, where no call of the system waits without a limit."""

_PAUSES = (0.0, *(0.001,) * 10)
"""Seconds before each try of `lock_soon`: a process that tests whether a lock is held holds it for microseconds."""

_DYING_PAUSES = (0.05,) * 10
"""Further such seconds where the process that holds the lock may have been killed."""


def open_lock(path: Path | str, mode: int = 0o644, *, create: bool = True) -> int:
    """Open a file to lock it, and return its descriptor; who opens it closes it, which frees the lock.

    Args:
        path: of the file.
        mode: its permissions if it is made.
        create: whether to make it where there is none; else it is opened to read.

    Raises:
        OSError: it cannot be opened.
    """
    return os.open(path, (os.O_RDWR | os.O_CREAT if create else os.O_RDONLY) | _FLAGS, mode)


if sys.platform == "win32":
    import msvcrt

    _PLACE = 1 << 30

    def try_lock(descriptor: int, *, shared: bool = False) -> bool:  # noqa: ARG001  # Windows' call has no shared locks
        """As on POSIX systems; a shared lock is one of its own here, which who only looks holds for microseconds."""
        os.lseek(descriptor, _PLACE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:  # EACCES: another process holds it
            return False
        return True

    def lock(descriptor: int) -> None:
        """As on POSIX systems."""
        while not try_lock(descriptor):
            time.sleep(_PAUSE)

else:
    import fcntl

    def try_lock(descriptor: int, *, shared: bool = False) -> bool:
        """Lock an open file unless another process holds it; return whether it is locked now.

        Args:
            descriptor: of `open_lock`.
            shared: whether others may share the lock.

        Raises:
            OSError: the file system has no locks.
        """
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def lock(descriptor: int) -> None:
        """Lock an open file, and wait until no other process holds it.

        Raises:
            OSError: the file system has no locks.
        """
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def lock_soon(descriptor: int, *, dying: bool = False) -> bool:
    """Lock an open file unless another process holds it for longer than a moment; return whether it is locked now.

    Args:
        descriptor: of `open_lock`.
        dying: whether the process that holds it may have just been killed; it then has half a second more to die.

    Raises:
        OSError: the file system has no locks.
    """
    for pause in (*_PAUSES, *(_DYING_PAUSES if dying else ())):
        time.sleep(pause)
        if try_lock(descriptor):
            return True
    return False
