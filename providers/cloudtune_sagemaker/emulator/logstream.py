"""A training job's output on its way to CloudWatch Logs."""

import threading
import time

from cloudtune_sagemaker.emulator.cloud import Cloud

GROUP = "/aws/sagemaker/TrainingJobs"
"""The log group of all training jobs ("Log Amazon SageMaker Events with Amazon CloudWatch")."""

DELAY = 0.1
"""Seconds that a line may wait for others."""

_MOST = 1000
_LONGEST = 1 << 18  # bytes of one event, a limit of CloudWatch Logs


class LogStream:
    """The stream of one machine: ``<job>/<host>-<seconds since 1970>``; made with the first line.

    Args:
        cloud: where to.
        job: the job's name.
        host: the machine's name.
    """

    def __init__(self, cloud: Cloud, job: str, host: str) -> None:
        self._cloud = cloud
        self.name = f"{job}/{host}-{int(time.time())}"
        self._lines: list[tuple[int, str]] = []
        self._lock = threading.Lock()
        self._last = 0
        self._since = 0.0

    def add(self, line: str) -> None:
        """Take a line; an empty one is left out, as CloudWatch Logs takes none."""
        with self._lock:
            self._last = max(self._last, time.time_ns() // 1_000_000)
            if not self._lines:
                self._since = time.monotonic()
            for start in range(0, len(line), _LONGEST):
                self._lines.append((self._last, line[start : start + _LONGEST]))
            full = len(self._lines) >= _MOST
        if full:
            self.flush()

    @property
    def due(self) -> float | None:
        """When to flush, by the monotonic clock; None while nothing waits."""
        return self._since + DELAY if self._lines else None

    def flush(self) -> None:
        """Send what waits."""
        with self._lock:
            lines, self._lines = self._lines, []
            if lines:
                self._cloud.log(GROUP, self.name, lines)
