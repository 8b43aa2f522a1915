"""Files of a tree on their way into an archive or a folder, as they are at the moment that they are read."""

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


def add_files(archive: tarfile.TarFile, files: Iterable[File], path: str) -> None:
    """Add files to a tar file, each with nothing that differs from one machine, user or moment to the next.

    Args:
        archive: open for writing.
        files: what to add; one that vanished is skipped, of one that grows the beginning is taken.
        path: the spec's field that they come from, for messages.

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
    """Copy files into a folder, for its owner alone; see `add_files`."""
    target.mkdir(parents=True, exist_ok=True)
    target.chmod(0o700)
    for file in files:
        with _reading(file, path) as opened:
            if opened is None:
                continue
            copy = target / file.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            mode = 0o700 if file.executable else 0o600
            with open(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as written:  # noqa: PTH123  # of a mode
                shutil.copyfileobj(opened, written, 1 << 20)


def view_of(place: Path, folder: Path) -> Path:
    """Return where programs of this machine see what travels of a place: the place itself, if that is all of it.

    Args:
        place: a file or folder.
        folder: is made of links to the files, where something stays here; as it was made first.
    """
    if folder.is_dir():
        return folder
    tree = tree_of(place)
    if not place.is_dir() or not tree.left:
        return place
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for file in tree.files:
        link = fresh / file.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file.path.absolute())
    fresh.rename(folder)
    return folder


def plain(name: str, size: int, *, executable: bool = False) -> tarfile.TarInfo:
    """Return the entry of a file in a tar file, of no certain time and nobody in particular."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o755 if executable else 0o644
    return info


@contextlib.contextmanager
def _reading(file: File, path: str) -> Iterator[BinaryIO | None]:
    """A file open for reading; None if it is gone, or has become something else."""
    try:
        # Opening does not wait for a pipe's other end: what was a file may be one by now.
        opened: BinaryIO = open(file.path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115  # closed below
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
            if "unexpected end of data" not in str(error):  # as `tarfile.copyfileobj` has it
                raise
            raise _unreadable(file, path, "became shorter while it was packed") from error


def _unreadable(file: File, path: str, what: str) -> SpecError:
    hint = "wait until nothing writes to it"
    if path == "trial.source":
        hint += ", or name it under trial.ignore"
    return SpecError([Problem(path, f"{shown(str(file.path))} {what}", hint)])
