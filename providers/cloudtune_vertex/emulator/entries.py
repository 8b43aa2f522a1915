"""What trials print, as entries of Cloud Logging."""

import itertools
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

Entry = dict[str, Any]
"""A LogEntry of Cloud Logging in JSON."""


class LogEntries:
    """All entries, in the order in which they were written."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._last = 0

    def add(self, line: str, *, project: str, job: str, task: str, trial: str = "", severity: str = "INFO") -> None:
        """Take a line of a custom job, as the service writes it down.

        Args:
            line: what was printed.
            project: the project's id.
            job: the custom job's id.
            task: the machine, e.g. ``workerpool0-0``.
            trial: the trial's id, for a job of a tuning job.
            severity: of Cloud Logging.
        """
        labels = {"ml.googleapis.com/job_id/log_area": "root"}
        entry = {
            "logName": f"projects/{project}/logs/{task}",
            "resource": {"type": "ml_job", "labels": {"job_id": job, "project_id": project, "task_name": task}},
            "labels": {**labels, "ml.googleapis.com/trial_id": trial} if trial else labels,
            "jsonPayload": {"message": line, "levelname": severity},
            "severity": severity,
        }
        self.write(entry)

    def write(self, entry: Entry) -> None:
        """Take an entry, and give it a time and an id where it has none."""
        with self._lock:
            self._last = max(
                self._last + 1_000, time.time_ns()
            )  # each a microsecond later, so that their order is kept
            moment = datetime.fromtimestamp(self._last / 1e9, UTC).isoformat(timespec="microseconds")
            stamp = moment.replace("+00:00", "Z")
            own = {"timestamp": stamp, "receiveTimestamp": stamp, "insertId": f"{next(self._numbers):012x}"}
            self._entries.append({**own, **entry})

    def matching(self, holds: Callable[[Entry], bool]) -> list[Entry]:
        """Return the entries of which something holds, by their times."""
        with self._lock:
            found = list(self._entries)
        return sorted((entry for entry in found if holds(entry)), key=lambda entry: entry["timestamp"])
