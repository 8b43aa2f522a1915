"""Read what a trial writes while it runs: its reports, and the metrics in its output."""

import json
import time
from collections.abc import Iterator, Mapping
from io import FileIO

from cloudtune.driver.launcher import Remark
from cloudtune.errors import UNREADABLE
from cloudtune.process.log_file import CHUNK, LogReader
from cloudtune.process.setting import TrialFiles
from cloudtune.store.records import Report
from cloudtune.trial.printed_metrics import LineSplitter, PrintedMetrics

FAR_BEHIND = 32 << 20
"""Bytes of output that may wait to be searched for metrics; of more, only the last `_CAUGHT_UP` are searched."""

_CAUGHT_UP = 4 << 20

_LONGEST_REPORT = 1 << 22


class Lines:
    """Reads the complete lines that a growing file has got since the last read."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: FileIO | None = None
        self._rest = b""

    def new(self, *, last: bool = False) -> Iterator[bytes]:
        """Yield the new lines, without their ends; with `last` all that are left, including one without an end."""
        while True:
            data = self._read()
            *lines, self._rest = (self._rest + data).split(b"\n")
            yield from lines
            if len(self._rest) > _LONGEST_REPORT:
                self._rest = b""  # no report is that long, and neither is the rest of this line one
            if not (last and data):
                break
        if last and self._rest:
            yield self._rest
            self._rest = b""

    def _read(self) -> bytes:
        if self._file is None:
            try:
                self._file = open(self._path, "rb", buffering=0)  # noqa: PTH123, SIM115  # no Path: files are many
            except FileNotFoundError:
                return b""
        return self._file.read(CHUNK)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class OutputLines:
    """Reads the lines that a trial prints, skipping what it prints faster than can be searched.

    Args:
        path: of the log.
        size: bytes that the log keeps.

    Attributes:
        missed: bytes that were skipped.
    """

    def __init__(self, path: str, size: int) -> None:
        self._log = LogReader(path, size)
        self._splitter = LineSplitter()
        self.missed = 0

    def new(self, *, last: bool = False) -> Iterator[list[bytes]]:
        """Yield the new lines in batches: one, or with `last` all that are left."""
        while True:
            known = self._log.offset
            piece = self._log.read()
            if piece.end - piece.start > FAR_BEHIND:
                self._log.offset = piece.end - _CAUGHT_UP
                piece = self._log.read()
            if piece.start > known:
                self.missed += piece.start - known
                self._splitter.skip()
            yield self._splitter.feed(piece.data)
            if not last or not piece.data:
                break
        if last:
            yield self._splitter.finish()

    def close(self) -> None:
        """Close the file."""
        self._log.close()


class Tail:
    """Reads the metrics of one attempt of a trial from its reports and its output.

    A metric that the trial reports is no longer searched for in its output, since a script that does both would count
    twice.

    Args:
        number: of the trial.
        attempt: which start of it.
        files: the attempt's files.
        patterns: see `cloudtune.spec.metric_patterns.metric_patterns`.
    """

    def __init__(self, number: int, attempt: int, files: TrialFiles, patterns: Mapping[str, str | None]) -> None:
        self._number, self._attempt = number, attempt
        self._reports, self._output = Lines(files.reports), OutputLines(files.log, files.log_size)
        self._metrics = PrintedMetrics(patterns)

    def new(self, *, last: bool = False) -> Iterator[Report | Remark]:
        """Yield the reports and remarks since the last call; with `last` all of the rest."""
        for line in self._reports.new(last=last):
            report = self._reported(line)
            if report is not None:
                yield report
        for lines in () if self._metrics.exhausted else self._output.new(last=last):
            for step, metrics in self._metrics.read(*(line.decode(errors="replace") for line in lines)):
                yield Report(self._number, self._attempt, step, time.time(), metrics)
        yield from self._remarks(last=last)

    def _remarks(self, *, last: bool) -> Iterator[Remark]:
        said, self._metrics.remarks = self._metrics.remarks, []
        if last and self._output.missed:
            said.append(
                f"{self._output.missed / 1e6:,.1f} MB of its output were not searched for metrics: it writes faster "
                "than can be read; cloudtune.trial.report tells metrics without that"
            )
            self._output.missed = 0
        return (Remark(self._number, self._attempt, text) for text in said)

    def _reported(self, line: bytes) -> Report | None:
        try:
            data = json.loads(line)
            metrics = {str(name): float(value) for name, value in data["metrics"].items()}
            report = Report(self._number, self._attempt, int(data["step"]), float(data["time"]), metrics)
        except UNREADABLE:
            return None  # half a line of a killed process, or not a report: later lines still count
        for name in metrics:
            self._metrics.ignore(name)
        return report

    def close(self) -> None:
        """Close the files."""
        self._reports.close()
        self._output.close()
