"""Reading what a trial writes while it writes it: its reports, and the metrics in its output."""

import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from io import FileIO

from cloudtune.job import Objective
from cloudtune.states import Report

CHUNK = 1 << 20
"""Bytes read of one file in one turn, so that a chatty trial does not keep the driver from the others."""

_LONGEST_LINE = 1 << 16

_NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf(?:inity)?)"


def metric_patterns(objectives: Sequence[Objective], metrics: Mapping[str, str]) -> dict[str, re.Pattern[str]]:
    """How each metric is found in a line of output: its own regex, or ``name=number`` and ``name: number``."""
    patterns = {objective.metric: objective.regex or _default_pattern(objective.metric) for objective in objectives}
    return {name: re.compile(regex) for name, regex in {**patterns, **metrics}.items()}


def _default_pattern(metric: str) -> str:
    return rf"(?i:(?<![\w.-])[\"']?{re.escape(metric)}[\"']?\s*[=:]\s*({_NUMBER})(?![\w]))"


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
        self._patterns = dict(patterns)
        self._seen: dict[str, int] = {}

    def new(self, *, last: bool = False) -> Iterator[Report]:
        """What was said since the last look; with `last` all of the rest."""
        for line in self._reports.new(last=last):
            report = self._reported(line)
            if report is not None:
                yield report
        for line in self._log.new(last=last) if self._patterns else ():
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
            self._patterns.pop(name, None)
        return report

    def _printed(self, line: bytes) -> Report | None:
        text = line.decode(errors="replace")
        metrics: dict[str, float] = {}
        for name, pattern in self._patterns.items():
            for match in pattern.finditer(text):
                value = _number(match)
                if value is not None:
                    metrics[name] = value
                    self._seen[name] = self._seen.get(name, 0) + 1
        if not metrics:
            return None
        step = max(self._seen[name] for name in metrics)
        return Report(self._number, self._attempt, step, time.time(), metrics)

    def close(self) -> None:
        """Lets go of the files."""
        self._reports.close()
        self._log.close()


def _number(match: re.Match[str]) -> float | None:
    text = next((group for group in match.groups() if group is not None), "")
    try:
        return float(text.replace(",", "")) if text else None
    except ValueError:
        return math.nan  # the pattern says that this is the metric, and it is no number
