"""Read a growing log in bounded memory, while `trim_log` may remove its middle.

Offsets count the bytes that the trial has written, including those that were removed.
"""

import os
from dataclasses import dataclass

from cloudtune.process.log_trimming import NOTE_SIZE, bytes_removed, write_note

CHUNK = 1 << 20
"""Bytes of one file that one call reads, so that a trial that prints much does not delay the others."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a log.

    Attributes:
        start: its offset; later than the requested one where that part was removed.
        data: its bytes.
        end: the offset of the log's end.
    """

    start: int
    data: bytes
    end: int

    @property
    def stop(self) -> int:
        """The offset after it."""
        return self.start + len(self.data)


def read_log(descriptor: int, offset: int, most: int, size: int, *, begin: int = 0, finish: int | None = None) -> Piece:
    """Return a part of a log.

    Args:
        descriptor: of the open file.
        offset: where to begin.
        most: bytes to read.
        size: greatest size of the log in bytes, to which it is trimmed.
        begin: where in the file the log begins: 0, except for the trials of a worker.
        finish: where in the file it ends; None for the file's end.

    Raises:
        OSError: it cannot be read.
    """
    head = size // 2
    while True:
        last = os.fstat(descriptor).st_size if finish is None else finish
        longer = last - begin > head
        gone = bytes_removed(descriptor, begin + head) if longer else 0
        added = NOTE_SIZE - gone if gone else 0  # difference between a byte's place in the log and its offset
        start = max(offset, head + gone) if gone and offset >= head else offset
        end = last - begin - added
        most = max(0, min(most, end - start))
        if start < head:
            data = os.pread(descriptor, min(most, head - start) if gone else most, begin + start)
        else:
            data = os.pread(descriptor, most, begin + start + added)
        if not longer or bytes_removed(descriptor, begin + head) == gone:  # else the keeper has just trimmed it
            return Piece(start, data, max(end, start + len(data)))


def end_of_log(path: str, size: int) -> int:
    """Return the offset of a log's end; 0 where there is no log."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return 0
    try:
        return read_log(descriptor, 0, 0, size).end
    finally:
        os.close(descriptor)


def leave_out(path: str, until: int, size: int) -> None:
    """Replace what follows the first half of a log by a note that the bytes up to an offset are removed.

    Raises:
        OSError: it cannot be written.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        write_note(descriptor, size // 2, until - size // 2)
    finally:
        os.close(descriptor)


class LogReader:
    """Reads what was appended to a growing log since the last read.

    Args:
        path: of the log, which need not exist yet.
        size: greatest size of the log in bytes.
        begin: where in the file it begins; see `read_log`.
        finish: where in the file it ends; None for the file's end.
    """

    def __init__(self, path: str, size: int, *, begin: int = 0, finish: int | None = None) -> None:
        self._path, self._size, self._begin, self._finish = path, size, begin, finish
        self._descriptor: int | None = None
        self.offset = 0

    def read(self, most: int = CHUNK) -> Piece:
        """Return the next part; it begins later than at `offset` where bytes were removed."""
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self._path, os.O_RDONLY)
            except FileNotFoundError:
                return Piece(self.offset, b"", self.offset)
        piece = read_log(self._descriptor, self.offset, most, self._size, begin=self._begin, finish=self._finish)
        self.offset = piece.stop
        return piece

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
