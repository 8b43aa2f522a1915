"""Temporary folders that are told from those of programs which were killed, by a lock that ends with its process."""

import contextlib
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from cloudtune.system.locks import lock, open_lock, try_lock
from cloudtune.system.processes import is_mine

PREFIX = "cloudtune-"
"""How the names of all temporary folders of cloudtune begin."""

_LOCK = ".in-use"
_PLAIN = re.compile(rf"{PREFIX}[a-z0-9_]{{8}}")
"""The names of folders without a kind, as `tempfile` makes them."""


class TemporaryFolder:
    """A temporary folder, readable by its owner alone; a context manager that removes it.

    Args:
        kind: what its name has behind `PREFIX`; "" for nothing but a random word.

    Attributes:
        path: its path; it holds the file ``.in-use`` beside what its owner puts there.
    """

    def __init__(self, kind: str = "") -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-" if kind else PREFIX))
        self._held: int | None = open_lock(self.path / _LOCK, 0o600)
        lock(self._held)

    def remove(self) -> None:
        """Remove it with all that is in it; nothing the second time."""
        held, self._held = self._held, None
        if held is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(held)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def abandoned(kind: str = "", *, without_lock: float = math.inf) -> Iterator[Path]:
    """Yield this user's temporary folders whose owners are gone.

    Args:
        kind: see `TemporaryFolder`.
        without_lock: seconds since the last change of a folder that has no lock, after which its owner counts as gone.
    """
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}{kind}-*" if kind else f"{PREFIX}*")):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or not is_mine(folder.stat()):
                continue
            if (folder / _LOCK).is_file():
                gone = bool(kind or _PLAIN.fullmatch(folder.name)) and _is_free(folder / _LOCK)
            else:
                gone = time.time() - folder.stat().st_mtime > without_lock
            if gone:
                yield folder


def _is_free(path: Path) -> bool:
    held = open_lock(path, create=False)
    try:
        return try_lock(held)
    finally:
        os.close(held)
