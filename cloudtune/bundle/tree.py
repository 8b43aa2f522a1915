"""The one rule of which files of a folder travel, for source and data alike, to every provider.

Links are followed wherever they lead. What no archive or object storage can hold, or what would never end, is left out
by name: sockets, pipes and devices, links to nothing, links back to a folder that they lie in, empty folders. What
cannot be read, or has a name that some service refuses, is an error of the user's to mend.
"""

import itertools
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MAX_NAME = 900
"""Bytes that a file's path below its folder may have: object names end at 1,024, and a prefix comes before them."""

MAX_ENTRIES = 2_000_000
"""Entries of a folder that are looked at: more come of links that multiply each other, or belong into an archive."""


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
"""What is refused rather than left out: the user means it to travel, and it cannot."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that travels.

    Attributes:
        name: its path below the folder, with ``/`` between the parts.
        path: where it is read.
        size: in bytes.
        executable: whether its owner may execute it.
    """

    name: str
    path: Path
    size: int
    executable: bool


@dataclass(frozen=True, slots=True)
class Left:
    """An entry that does not travel, by its path below the folder, and why."""

    name: str
    why: Why


@dataclass(frozen=True, slots=True)
class Tree:
    """What travels of a folder, or of a single file.

    Attributes:
        files: in a fixed order.
        left: what does not travel though nobody said so.
        whole: whether all of it was looked at.
        telling: names of files that travel and look like secrets.
    """

    files: tuple[File, ...]
    left: tuple[Left, ...] = ()
    whole: bool = True
    telling: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def refused(self) -> tuple[Left, ...]:
        """What must not be left out, and cannot travel."""
        return tuple(each for each in self.left if each.why in REFUSED)


Choose = Callable[[str], Why | bool]
"""Says of a path (a folder's ends in ``/``) whether it travels, stays without a word, or stays for a reason."""


def everything(_: str) -> Why | bool:
    """Choose all of a folder."""
    return True


def tree_of(place: Path, choose: Choose = everything, *, limit: int = MAX_ENTRIES) -> Tree:
    """Look at a file or folder.

    Args:
        place: it; a link is followed.
        choose: what of it travels.
        limit: entries to look at; `Tree.whole` is False where there are more.

    Raises:
        OSError: there is nothing at the place.
    """
    status = place.stat()
    if not stat.S_ISDIR(status.st_mode):
        found = _Found()
        found.take(place.name, place, status)
        return found.tree()
    found = _Found()
    folders = [("", frozenset({_identity(status)}))]
    whole = True
    while folders and whole:
        below, above = folders.pop()
        entries = list(itertools.islice(_entries(place, below, found), limit + 1))
        whole = len(entries) <= limit
        limit -= len(entries)
        if below and not entries:
            found.leave(below.rstrip("/"), Why.EMPTY)
        for name, path, status in entries:
            if stat.S_ISDIR(status.st_mode):
                if _identity(status) in above:
                    found.leave(name, Why.CYCLE)
                elif found.chosen(choose, f"{name}/"):
                    folders.append((f"{name}/", above | {_identity(status)}))
            elif found.chosen(choose, name):
                found.take(name, path, status)
    return found.tree(whole=whole)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _entries(root: Path, below: str, found: "_Found") -> Iterator[tuple[str, Path, os.stat_result]]:
    """The entries of a folder that are there; a link is what it leads to."""
    try:
        names = sorted(os.listdir(root / below))  # noqa: PTH208  # names alone are wanted
    except OSError:
        found.leave(below.rstrip("/"), Why.UNREADABLE)
        return
    for name in names:
        path = root / below / name
        try:
            yield f"{below}{name}", path, path.stat()
        except PermissionError:
            found.leave(f"{below}{name}", Why.UNREADABLE)
        except OSError:
            if path.is_symlink():  # else it vanished, as if it had never been
                found.leave(f"{below}{name}", Why.DANGLING)


class _Found:
    """What has been found so far."""

    def __init__(self) -> None:
        self._files: list[File] = []
        self._left: list[Left] = []

    def leave(self, name: str, why: Why) -> None:
        self._left.append(Left(name, why))

    def chosen(self, choose: Choose, name: str) -> bool:
        verdict = choose(name)
        if isinstance(verdict, Why):
            self.leave(name, verdict)
            return False
        if verdict and not _is_portable(name):
            self.leave(name, Why.NAME)
            return False
        return verdict

    def take(self, name: str, path: Path, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            self.leave(name, Why.SPECIAL)
        elif not os.access(path, os.R_OK):
            self.leave(name, Why.UNREADABLE)
        else:
            self._files.append(File(name, path, status.st_size, bool(status.st_mode & stat.S_IXUSR)))

    def tree(self, *, whole: bool = True) -> Tree:
        files = sorted(self._files, key=lambda file: file.name.split("/"))
        return Tree(tuple(files), tuple(sorted(self._left, key=lambda each: each.name)), whole)


def _is_portable(name: str) -> bool:
    """Whether every service's storage takes a name: Cloud Storage refuses line breaks, and all of them want UTF-8."""
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return False
    return len(encoded) <= MAX_NAME and not any(
        ord(char) < 32 or ord(char) == 127 for char in name
    )  # ASCII's control characters


def shown(name: str) -> str:
    """Return a name as a message may show it: quoted where it holds what a terminal would act on."""
    plain = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return plain if plain.isprintable() else repr(plain)[1:-1]
