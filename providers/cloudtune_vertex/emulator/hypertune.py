"""The file that a trial writes its metrics into, as the package cloudml-hypertune does: a line of JSON a metric.

The package keeps the last 100 lines and writes the file anew each time; others add lines to it.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cloudtune.errors import UNREADABLE

_NO_METRICS = frozenset({"timestamp", "trial", "global_step", "checkpoint_path"})
_SHOWN = 200  # characters of a line that cannot be read


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a trial measured at one step.

    Attributes:
        step: its ``global_step``.
        elapsed: seconds since the trial's start.
        metrics: values by the metrics' ids.
    """

    step: int
    elapsed: float
    metrics: dict[str, float] = field(default_factory=dict)


class MetricsFile:
    """Reads what is new in the file.

    A line that is there already, word by word, is not new: the package writes all of them again and again. (Its lines
    have times, so that no two are the same.)

    Args:
        path: of the file; it need not be there yet.
        started: seconds since 1970 when the trial started.
        remark: takes what is to be said of a line that cannot be read, the first time.
    """

    def __init__(self, path: Path, started: float, remark: Callable[[str], None]) -> None:
        self._path, self._started, self._remark = path, started, remark
        self._seen: set[str] = set()
        self._last: Measurement | None = None
        self._state: tuple[int, int] | None = None
        self._remarked = False

    def read(self, *, final: bool = False) -> list[Measurement]:
        """Return the measurements that are complete: of the last step another metric may follow, until the next look.

        Args:
            final: whether nothing follows any more; then a last line that is not ended counts, too.
        """
        before, done = self._last, []
        for line in self._new_lines(final=final):
            told = self._measured(line)
            if told is None:
                continue
            if self._last is not None and _belongs(self._last, told):
                self._last = replace(self._last, metrics={**self._last.metrics, **told.metrics})
                continue
            done += [] if self._last is None else [self._last]
            self._last = told
        if self._last is not None and (final or self._last is before):
            done.append(self._last)
            self._last = None
        return done

    def _new_lines(self, *, final: bool) -> list[str]:
        try:
            state = self._path.stat()
            if (state.st_mtime_ns, state.st_size) == self._state and not final:
                return []
            text = self._path.read_text("utf-8", errors="replace")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return []
        self._state = (state.st_mtime_ns, state.st_size)
        *lines, rest = text.split("\n")
        new = dict.fromkeys(line for line in [*lines, *([rest] if final else [])] if line.strip())
        fresh = [line for line in new if line not in self._seen]
        self._seen.update(fresh)
        return fresh

    def _measured(self, line: str) -> Measurement | None:
        """Return the measurement in a line; None for a line of another kind."""
        try:
            told: dict[str, Any] = json.loads(line)
            step = int(float(told.get("global_step") or 0))
            moment = float(told.get("timestamp") or time.time())
            metrics = {name: float(value) for name, value in told.items() if name not in _NO_METRICS}
        except UNREADABLE:
            metrics = {}
        if metrics:
            return Measurement(step, max(0.0, moment - self._started), metrics)
        if not self._remarked:
            self._remark(
                f"a line of the metrics file is no object with a metric, as cloudml-hypertune writes it: {line[:_SHOWN]}"
            )
            self._remarked = True
        return None


def _belongs(measurement: Measurement, told: Measurement) -> bool:
    return measurement.step == told.step and not measurement.metrics.keys() & told.metrics.keys()
