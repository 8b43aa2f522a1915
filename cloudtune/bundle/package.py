"""Writing of a tree's files into a tar archive, a folder, or a folder of links."""

import contextlib
import os
import shutil
import stat
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from cloudtune.bundle.tree import File, shown, tree_of
from cloudtune.errors import Problem, SpecError

_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
"""Opening a named pipe waits for no writer; Windows has neither in its folders."""


def add_files(archive: tarfile.TarFile, files: Iterable[File], path: str) -> None:
    """Add files to a tar archive without times, owners or other metadata that differ between machines.

    Args:
        archive: open for writing.
        files: what to add; a file that has vanished is skipped, a file that grows meanwhile is cut at its first size.
        path: the spec field that the files come from, for messages.

    Raises:
        SpecError: a file cannot be read, or became shorter meanwhile.
    """
    for file in files:
        with _reading(file, path) as opened:
            if opened is None:
                continue
            info = plain(file.name, os.fstat(opened.fileno()).st_size, executable=file.executable)
            archive.addfile(info, opened)


def copy_files(files: Iterable[File], target: Path, path: str) -> None:
    """Copy files into a folder that only its owner can read; arguments and errors are those of `add_files`."""
    target.mkdir(parents=True, exist_ok=True)
    target.chmod(0o700)
    for file in files:
        with _reading(file, path) as opened:
            if opened is None:
                continue
            copy = target / file.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            mode = 0o700 if file.executable else 0o600
            with open(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as written:  # noqa: PTH123  # sets the mode
                shutil.copyfileobj(opened, written, 1 << 20)


def view_of(place: Path, folder: Path) -> Path:
    """Return a path at which local trials see only the files that travel: the place itself if all of it travels.

    Args:
        place: a file or folder.
        folder: where a folder of links to the files is made if something is left out; an existing one is reused.
    """
    if folder.is_dir():
        return folder
    tree = tree_of(place)
    if not place.is_dir() or not tree.excluded:
        return place
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for file in tree.files:
        link = fresh / file.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.path.absolute())
    fresh.rename(folder)
    return folder


def unpack_inside(archive: tarfile.TarFile, folder: Path) -> None:
    """Unpack files that come from another machine into a folder; what would lie or lead outside of it is left out.

    Raises:
        OSError: they cannot be written.
        tarfile.TarError: it is no such archive, or ends too early.
    """

    def inside(member: tarfile.TarInfo, target: str) -> tarfile.TarInfo | None:
        try:
            return tarfile.data_filter(member, target)
        except tarfile.FilterError:
            return None

    archive.extractall(folder, filter=inside)  # noqa: S202  # the filter is what it asks for


def plain(name: str, size: int, *, executable: bool = False) -> tarfile.TarInfo:
    """Return a tar entry for a file of `size` bytes, without time and owner."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o755 if executable else 0o644
    return info


@contextlib.contextmanager
def _reading(file: File, path: str) -> Iterator[BinaryIO | None]:
    """Open a file for reading; yield None if it has vanished or is no regular file any more."""
    try:
        # O_NONBLOCK: the file may have become a pipe, whose opening would wait for its writer.
        opened: BinaryIO = open(file.path, "rb", opener=lambda name, flags: os.open(name, flags | _NO_WAIT))  # noqa: SIM115  # closed below
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise _unreadable(file, path, f"cannot be read: {error.strerror}") from error
    with opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            yield None
            return
        try:
            yield opened
        except OSError as error:
            if "unexpected end of data" not in str(error):  # the message of `tarfile.copyfileobj`
                raise
            raise _unreadable(file, path, "became shorter while it was packed") from error


def _unreadable(file: File, path: str, what: str) -> SpecError:
    hint = "wait until nothing writes to it"
    if path == "trial.source":
        hint += ", or name it under trial.ignore"
    return SpecError([Problem(path, f"{shown(str(file.path))} {what}", hint)])
