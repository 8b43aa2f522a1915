"""Bound the size of a log file: remove its middle while its writers go on appending.

The keeper loads this module before its first trial, so that it imports nothing but ``os``.
"""

from __future__ import annotations

import os

NOTE_SIZE = 128
"""Bytes of the note that counts the bytes removed from a log; it stands at half of the log's greatest size."""

_KEPT = 1 << 20
"""Bytes kept, at most, of a log's end when its middle is removed."""

_NOTE_START = b"\n[cloudtune: "


def trim_log(path: str, size: int, start: int = 0) -> None:
    """Remove the middle of a log that exceeds its greatest size, and write a note in its place.

    The first half of ``size`` stays, and of the end a quarter of ``size``, at most 1 MiB. Processes that append to the
    file go on after that.

    Args:
        path: of the file.
        size: bytes that the log may hold.
        start: offset in the file at which the log begins: a worker's file holds the logs of several trials.

    Raises:
        OSError: the file cannot be read or written.
    """
    head, kept = start + size // 2, min(_KEPT, size // 4)
    with open(path, "r+b", buffering=0) as file:  # noqa: PTH123  # pathlib would double the keeper's start
        end = file.seek(0, os.SEEK_END)
        if end - start > size:
            before = bytes_removed(file.fileno(), head)
            last = os.pread(file.fileno(), kept, end - kept)
            removed = before + (end - kept) - (head + NOTE_SIZE if before else head)
            write_note(file.fileno(), head, removed, last)


def write_note(descriptor: int, head: int, removed: int, last: bytes = b"") -> None:
    """Truncate an open log at offset ``head``; append the note that counts the removed bytes, and the bytes after them."""
    note = _NOTE_START + f"{removed} bytes of the output are left out here: a log keeps no more]".encode()
    os.ftruncate(descriptor, head)
    os.pwrite(descriptor, note.ljust(NOTE_SIZE - 1) + b"\n" + last, head)


def bytes_removed(descriptor: int, head: int) -> int:
    """Return the number of bytes removed from an open log, by the note at offset ``head``; 0 without a note."""
    note = os.pread(descriptor, NOTE_SIZE, head)
    number = note.removeprefix(_NOTE_START).partition(b" ")[0]
    return int(number) if note.startswith(_NOTE_START) and number.isdigit() and len(note) == NOTE_SIZE else 0
