"""Listing of the files of a folder that travel; one rule for source and data and for every provider.

Links are followed. Entries that no archive or object storage can hold, and endless ones, are left out and reported:
sockets, pipes and devices, dangling links, links to a folder above them, empty folders. Files that cannot be read, or
whose name some service refuses, are errors.
"""

import itertools
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MAX_NAME = 900
"""Most bytes of a file's path below its folder: object names have at most 1,024, including a prefix."""

MAX_ENTRIES = 2_000_000
"""Most entries of a folder that are listed; more arise from nested links, or belong into an archive."""


class Why(StrEnum):
    """Why an entry of a folder does not travel."""

    SPECIAL = "a socket, pipe or device"
    DANGLING = "a link to nothing"
    CYCLE = "a link back to a folder that it lies in"
    EMPTY = "an empty folder"
    SECRET = "usually holds secrets"  # noqa: S105  # no secret itself
    OWN = "cloudtune's own file, which may hold secrets"
    UNREADABLE = "cannot be read"
    NAME = "has a name that not every service takes: not UTF-8, with control characters, or longer than 900 bytes"


REFUSED = frozenset({Why.UNREADABLE, Why.NAME})
"""Reasons that are errors: the user wants the file to travel, and it cannot."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that travels.

    Attributes:
        name: its path below the folder, with ``/`` between the parts.
        path: the local path.
        size: its size in bytes.
        executable: whether its owner may execute it.
    """

    name: str
    path: Path
    size: int
    executable: bool


@dataclass(frozen=True, slots=True)
class Excluded:
    """An entry that does not travel, by its path below the folder, and why."""

    name: str
    why: Why


@dataclass(frozen=True, slots=True)
class Tree:
    """The files of a folder that travel, or a single file.

    Attributes:
        files: the files that travel, in a fixed order.
        excluded: the entries that do not travel, other than those that the user leaves out.
        whole: whether all entries were listed; False where the limit was reached.
        suspicious: the names of files that travel and look like secrets.
    """

    files: tuple[File, ...]
    excluded: tuple[Excluded, ...] = ()
    whole: bool = True
    suspicious: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def refused(self) -> tuple[Excluded, ...]:
        """The entries that must travel and cannot."""
        return tuple(each for each in self.excluded if each.why in REFUSED)


Choose = Callable[[str], Why | bool]
"""Return for a path (a folder's ends in ``/``) True to send it, False to leave it out silently, or the reason."""


def everything(_: str) -> Why | bool:
    """Choose every path."""
    return True


def tree_of(place: Path, choose: Choose = everything, *, limit: int = MAX_ENTRIES) -> Tree:
    """List what travels of a file or folder.

    Args:
        place: the file or folder; a link is followed.
        choose: decides which paths below it travel.
        limit: the most entries to list; `Tree.whole` is False where there are more.

    Raises:
        OSError: `place` does not exist.
    """
    status = place.stat()
    if not stat.S_ISDIR(status.st_mode):
        found = _TreeBuilder()
        found.add(place.name, place, status)
        return found.tree()
    found = _TreeBuilder()
    folders = [("", frozenset({_identity(status)}))]
    whole = True
    while folders and whole:
        below, above = folders.pop()
        entries = list(itertools.islice(_entries(place, below, found), limit + 1))
        whole = len(entries) <= limit
        limit -= len(entries)
        if below and not entries:
            found.exclude(below.rstrip("/"), Why.EMPTY)
        for name, path, status in entries:
            if stat.S_ISDIR(status.st_mode):
                if _identity(status) in above:
                    found.exclude(name, Why.CYCLE)
                elif found.chosen(choose, f"{name}/"):
                    folders.append((f"{name}/", above | {_identity(status)}))
            elif found.chosen(choose, name):
                found.add(name, path, status)
    return found.tree(whole=whole)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _entries(root: Path, below: str, found: "_TreeBuilder") -> Iterator[tuple[str, Path, os.stat_result]]:
    """Yield name, path and status of each entry of a folder, with links followed; note those that cannot be read."""
    try:
        names = sorted(os.listdir(root / below))  # noqa: PTH208  # names alone are wanted
    except OSError:
        found.exclude(below.rstrip("/"), Why.UNREADABLE)
        return
    for name in names:
        path = root / below / name
        try:
            yield f"{below}{name}", path, path.stat()
        except PermissionError:
            found.exclude(f"{below}{name}", Why.UNREADABLE)
        except OSError:
            if path.is_symlink():  # else it vanished meanwhile
                found.exclude(f"{below}{name}", Why.DANGLING)


class _TreeBuilder:
    """A tree under construction."""

    def __init__(self) -> None:
        self._files: list[File] = []
        self._excluded: list[Excluded] = []

    def exclude(self, name: str, why: Why) -> None:
        self._excluded.append(Excluded(name, why))

    def chosen(self, choose: Choose, name: str) -> bool:
        verdict = choose(name)
        if isinstance(verdict, Why):
            self.exclude(name, verdict)
            return False
        if verdict and not _is_portable(name):
            self.exclude(name, Why.NAME)
            return False
        return verdict

    def add(self, name: str, path: Path, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            self.exclude(name, Why.SPECIAL)
        elif not os.access(path, os.R_OK):
            self.exclude(name, Why.UNREADABLE)
        else:
            self._files.append(File(name, path, status.st_size, bool(status.st_mode & stat.S_IXUSR)))

    def tree(self, *, whole: bool = True) -> Tree:
        files = sorted(self._files, key=lambda file: file.name.split("/"))
        return Tree(tuple(files), tuple(sorted(self._excluded, key=lambda each: each.name)), whole)


def _is_portable(name: str) -> bool:
    """Return whether every service's storage takes a name: UTF-8, no control characters, at most `MAX_NAME` bytes."""
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return False
    return len(encoded) <= MAX_NAME and not any(
        ord(char) < 32 or ord(char) == 127 for char in name
    )  # ASCII's control characters


def shown(name: str) -> str:
    """Return a name as text for a message, with control characters escaped."""
    plain = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return plain if plain.isprintable() else repr(plain)[1:-1]
