"""One attempt of a trial on a node, and its news for the driver."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cloudtune.process.log_file import LogReader
from cloudtune.process.setting import TrialFiles

CHUNK = 1 << 20
"""Bytes of a log in one answer."""

PIECE = 4 << 20
"""Bytes of a file in one answer."""


class Attempt:
    """An attempt, from its order on; it is kept after its end until the next attempt.

    Args:
        order: the driver's.
        files: the attempt's files.
        kept: the folders whose files are sent back, by the first part of their names in the manifest.
    """

    def __init__(self, order: Mapping[str, Any], files: TrialFiles, kept: Mapping[str, str]) -> None:
        self.key: str = order["key"]
        self.files = files
        self.log = files.log
        self.log_start = 0
        self.log_end: int | None = None
        self.reports: list[list[Any]] | None = None  # a worker's; processes write theirs into a file
        self.killed = ""
        self.stopped = False
        self.ended: dict[str, Any] | None = None
        self._kept = kept

    def news(self, log: int, reports: int) -> dict[str, Any]:
        """Return what the driver does not have yet, in portions; the end comes with the last portion.

        Args:
            log: bytes of the log that the driver has.
            reports: bytes of the reports, or a worker's reports, that the driver has.
        """
        ended = self.ended  # before reading, so that the files of an ended attempt are read to their end
        said, more = self._log(log)
        if self.reports is None:
            said["lines"] = _read(self.files.reports, reports, CHUNK)
        else:
            said["reports"] = self.reports[reports:]
        if ended is not None and not more and len(said.get("lines", b"")) < CHUNK:
            said |= {"ended": ended, "files": list(self._manifest(ended))}
        return said

    def _log(self, known: int) -> tuple[dict[str, Any], bool]:
        """Return the next part of the log, with the offset up to which it is left out, and whether there is more."""
        reader = LogReader(self.log, self.files.log_size, begin=self.log_start, finish=self.log_end)
        reader.offset = known
        piece = reader.read(CHUNK)
        reader.close()
        left_out = {"left_out_until": piece.start} if piece.start > known else {}
        return {"log": piece.data, **left_out}, piece.end > piece.stop

    def _manifest(self, ended: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
        """Yield names, sizes and modes of the files to send back: outputs, and the checkpoint for another attempt."""
        well = ended["status"] == 0 and not ended["why"] and not ended["message"] and not self.stopped
        for name, folder in self._kept.items():
            if name == "checkpoint" and well:
                continue  # no other attempt will follow
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file():
                    about = path.stat()
                    yield f"{name}/{path.relative_to(folder)}", about.st_size, about.st_mode & 0o777

    def piece(self, name: str, offset: int) -> bytes:
        """Return a part of a file of the manifest."""
        kind, _, below = name.partition("/")
        return _read(os.path.join(self._kept[kind], below), offset, PIECE)  # noqa: PTH118


def _read(path: str, offset: int, most: int) -> bytes:
    """Return bytes of a file; none where it does not exist (yet)."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # no Path: read often
            file.seek(offset)
            return file.read(most)
    except FileNotFoundError:
        return b""
