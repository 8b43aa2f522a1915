"""Read the event files that a process writes by other code than Python's, as TensorFlow does.

The files are found among those that the process has open, so that no folder is watched in which other trials write, too.
Linux says them in ``/proc/self/fd``, macOS by fcntl(2)'s ``F_GETPATH``; elsewhere none are found.
"""

# ruff: noqa: PTH112, PTH113, PTH115, PTH119, PTH120, PTH123, PTH208  # pathlib would double the time that importing this file takes

from __future__ import annotations

import os
import struct
import threading

from .events import scalars_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

    from .events import Scalars
    from .metrics import Hearing

_INTERVAL = 0.5
"""Seconds between two looks at the files."""

LONGEST = 1 << 20
"""Bytes of a record that is read: those of scalars have some dozens, a longer one is skipped."""

_HEAD = struct.Struct("<QI")  # a TFRecord: its length and a checksum of that, the data, a checksum of it
_TAIL = 4

_LINUX, _MACOS = "/proc/self/fd", "/dev/fd"
_F_GETPATH, _MAXPATHLEN = 50, 1024  # sys/fcntl.h and sys/param.h of macOS; Python has the first since 3.9


def follow(heard: Hearing) -> None:
    """Report what is written to event files of this process until its end."""
    import atexit  # noqa: PLC0415  # only programs with TensorFlow need it

    followed = OpenFiles(heard)
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(_INTERVAL):
            followed.read()

    def finish() -> None:
        ended.set()
        thread.join(10 * _INTERVAL)
        followed.read()

    thread = threading.Thread(target=run, name="cloudtune-event-files", daemon=True)
    thread.start()
    atexit.register(finish)


class OpenFiles:
    """The event files that this process has opened since the first look.

    Args:
        heard: takes the scalars.
    """

    def __init__(self, heard: Hearing) -> None:
        self._heard = heard
        self._files: dict[str, EventFile] = {}

    def read(self) -> None:
        """Report what the files have got since the last call."""
        for path in _open_event_files() - self._files.keys():
            if os.path.dirname(path) not in self._heard.folders:
                self._files[path] = EventFile(path)
        for path, file in self._files.items():
            place = os.path.basename(os.path.dirname(path))
            for found in file.new():
                self._heard.take("tensorboard", found.values, found.step, place)


def _open_event_files() -> set[str]:
    folder = next((each for each in (_LINUX, _MACOS) if os.path.isdir(each)), None)
    found = set()
    for name in () if folder is None else os.listdir(folder):
        try:
            path = os.readlink(f"{folder}/{name}") if folder == _LINUX else _path_of(int(name))
        except OSError:
            continue  # closed meanwhile
        if "tfevents" in os.path.basename(path) and os.path.isfile(path):
            found.add(path)
    return found


def _path_of(descriptor: int) -> str:
    """Return the path of an open file on macOS; raise OSError for what has none."""
    import fcntl  # noqa: PLC0415  # not on Linux

    return os.fsdecode(fcntl.fcntl(descriptor, _F_GETPATH, bytes(_MAXPATHLEN)).partition(b"\0")[0])


class EventFile:
    """Reads the records of a growing event file, whole ones alone, one at a time.

    After a record whose length cannot be, the rest of the file is left: where the next one begins is not known then.

    Args:
        path: of the file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._offset = 0
        self._broken = False

    def new(self) -> list[Scalars]:
        """Return the scalars of the records that are complete since the last call; none where the file is gone."""
        found: list[Scalars] = []
        try:
            with open(self._path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                while not self._broken:
                    data = self._record(file, size)
                    if data is None:
                        break
                    scalars = scalars_of(data)
                    if scalars is not None:
                        found.append(scalars)
        except OSError:
            return found
        return found

    def _record(self, file: IO[bytes], size: int) -> bytes | None:
        """Return the next record, b"" for one that is too long to be of scalars; None where none is complete."""
        file.seek(self._offset)
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        length = _HEAD.unpack(head)[0]
        if length >> 40:  # a terabyte
            self._broken = True
            return None
        end = self._offset + _HEAD.size + length + _TAIL
        if end > size:
            return None
        self._offset = end
        return b"" if length > LONGEST else file.read(length)
