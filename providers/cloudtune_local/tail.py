"""Reading what a trial writes while it writes it: its reports, and the metrics in its output."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from io import FileIO

from cloudtune.states import Report
from cloudtune.trial import PrintedMetrics

CHUNK = 1 << 20
"""Bytes read of one file in one turn, so that a chatty trial does not keep the driver from the others."""

_LONGEST_LINE = 1 << 16


class Lines:
    """The complete lines that a growing file has got since the last look."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: FileIO | None = None
        self._rest = b""

    def new(self, *, last: bool = False) -> Iterator[bytes]:
        """The new lines, without their ends; with `last` all there are, also one that was never ended."""
        while True:
            data = self._read()
            *lines, self._rest = (self._rest + data).split(b"\n")
            yield from lines
            if len(self._rest) > _LONGEST_LINE:
                self._rest = b""  # no line of metrics is that long; a progress bar without line ends may be
            if not (last and data):
                break
        if last and self._rest:
            yield self._rest
            self._rest = b""

    def _read(self) -> bytes:
        if self._file is None:
            try:
                self._file = open(self._path, "rb", buffering=0)  # noqa: PTH123, SIM115  # a path a string: many are opened
            except FileNotFoundError:
                return b""
        return self._file.read(CHUNK)

    def close(self) -> None:
        """Lets go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class Tail:
    """What one attempt of a trial says of its metrics, in its reports and in its output.

    A metric that the trial reports is not looked for in its output any more: a script that does both would be
    heard twice.
    """

    def __init__(
        self, number: int, attempt: int, reports: str, log: str, patterns: Mapping[str, re.Pattern[str]]
    ) -> None:
        self._number, self._attempt = number, attempt
        self._reports, self._log = Lines(reports), Lines(log)
        self._metrics = PrintedMetrics(patterns)

    def new(self, *, last: bool = False) -> Iterator[Report]:
        """What was said since the last look; with `last` all of the rest."""
        for line in self._reports.new(last=last):
            report = self._reported(line)
            if report is not None:
                yield report
        for line in () if self._metrics.exhausted else self._log.new(last=last):
            report = self._printed(line)
            if report is not None:
                yield report

    def _reported(self, line: bytes) -> Report | None:
        try:
            data = json.loads(line)
            metrics = {str(name): float(value) for name, value in data["metrics"].items()}
            report = Report(self._number, self._attempt, int(data["step"]), float(data["time"]), metrics)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            return None  # half a line of a process that was killed, or not ours: what follows still counts
        for name in metrics:
            self._metrics.ignore(name)
        return report

    def _printed(self, line: bytes) -> Report | None:
        told = self._metrics.read(line.decode(errors="replace"))
        return None if told is None else Report(self._number, self._attempt, told[0], time.time(), told[1])

    def close(self) -> None:
        """Lets go of the files."""
        self._reports.close()
        self._log.close()
