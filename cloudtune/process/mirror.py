"""Copies of a trial's files in the run's folder, while it runs on another machine."""

import shutil
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cloudtune.driver.launcher import Remark
from cloudtune.process.log_file import end_of_log, leave_out
from cloudtune.process.log_trimming import trim_log
from cloudtune.process.setting import TrialFiles
from cloudtune.process.tail import Tail
from cloudtune.store.records import Report, Trial


class Mirror:
    """Writes the news of an attempt on another machine into its files here, and parses its reports and metrics.

    The files alone hold what is known, so that a driver continues where another was killed.

    Args:
        trial: in its present attempt.
        files: which are written.
        patterns: of metrics in the output; see `cloudtune.spec.metric_patterns.metric_patterns`.

    Attributes:
        ended: the outcome of the attempt as the keeper answers it; None while it runs.
    """

    def __init__(self, trial: Trial, files: TrialFiles, patterns: Mapping[str, str | None]) -> None:
        self.trial = trial
        self.files = files
        self.ended: dict[str, Any] | None = None
        self._reports = 0
        self._tail: Tail | None = None
        self._patterns = patterns
        self._missing: deque[tuple[str, int, int]] = deque()
        self._offset = 0

    @property
    def key(self) -> str:
        """The name of the attempt."""
        return f"{self.trial.number}.{self.trial.attempt}"

    def known(self) -> tuple[int, int]:
        """Return the offset of the log's end here, and the bytes (or the number, if they come parsed) of the reports."""
        return end_of_log(self.files.log, self.files.log_size), self._reports or _size(self.files.reports)

    def forget(self) -> None:
        """Remove the files that an attempt of the same number may have left."""
        for path in (self.files.log, self.files.reports):
            Path(path).unlink(missing_ok=True)

    def take(self, news: Mapping[str, Any]) -> list[Report | Remark]:
        """Write the news of an attempt, and return its new reports and remarks."""
        if "left_out_until" in news:
            leave_out(self.files.log, news["left_out_until"], self.files.log_size)
        _append(self.files.log, news.get("log", b""))
        _append(self.files.reports, news.get("lines", b""))
        number, attempt = self.trial.number, self.trial.attempt
        reports: list[Report | Remark] = [
            Report(number, attempt, step, moment, values) for step, moment, values in news.get("reports", ())
        ]
        self._reports += len(reports)
        if "ended" in news:
            self.ended = dict(news["ended"])
            self._missing.extend(news["files"])
        if "reports" not in news:
            self._tail = self._tail or Tail(number, attempt, self.files, self._patterns)
            reports += self._tail.new(last=self.ended is not None)
        if "log" in news and _size(self.files.log) > self.files.log_size:  # else who writes it trims it
            trim_log(self.files.log, self.files.log_size)
        return reports

    def rest(self) -> Iterator[Report | Remark]:
        """Yield the last reports and remarks of an attempt that is lost."""
        if self._tail is not None:
            yield from self._tail.new(last=True)

    def close(self) -> None:
        """Close the files."""
        if self._tail is not None:
            self._tail.close()

    # Files that are sent back

    def wanted(self) -> tuple[str, int] | None:
        """Return the name and the offset of the next part of a file to ask for; None when all files are here."""
        while self._missing and self._offset == 0 and self._missing[0][1] == 0:
            self.receive(b"")  # an empty file
        return (self._missing[0][0], self._offset) if self._missing else None

    def receive(self, data: bytes) -> None:
        """Write the requested part of a file.

        Raises:
            OSError: it cannot be written.
        """
        name, size, mode = self._missing[0]
        path = self._path(name)
        if self._offset == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
        with path.open("ab") as file:
            file.write(data)
        self._offset += len(data)
        if self._offset >= size or not data:  # else it became shorter meanwhile
            path.chmod(mode | 0o600)
            self._missing.popleft()
            self._offset = 0

    def clear_checkpoint(self) -> None:
        """Remove the checkpoint of an earlier attempt, if a newer one comes."""
        if any(name.startswith("checkpoint/") for name, _, _ in self._missing):
            shutil.rmtree(self.files.checkpoint, ignore_errors=True)

    def _path(self, name: str) -> Path:
        kind, _, below = name.partition("/")
        folder = Path(self.files.output if kind == "output" else self.files.checkpoint)
        path = folder / below
        if ".." in path.relative_to(folder).parts:
            raise OSError(f"{name} is not a name below the trial's folder")
        return path


def _append(path: str, data: bytes) -> None:
    if not data:
        return
    try:
        with open(path, "ab") as file:  # noqa: PTH123  # many are written
            file.write(data)
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as file:  # noqa: PTH123
            file.write(data)


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return 0
