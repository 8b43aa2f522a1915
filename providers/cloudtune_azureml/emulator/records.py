"""Runs as the run history and MLflow tell them: their states, parameters, metrics and output."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cloudtune.emulation.timeline import Timeline

TERMINAL = frozenset({"Completed", "Failed", "Canceled"})
"""States in which a run stays."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One logged value.

    Attributes:
        key: the metric's name.
        value: may be no number.
        timestamp: milliseconds since 1970.
        step: as it was logged.
    """

    key: str
    value: float
    timestamp: int
    step: int


@dataclass(frozen=True, slots=True)
class Status:
    """What the service reports of a run at one moment; times are seconds since 1970.

    Attributes:
        state: of the service.
        started: None before.
        ended: None before.
        error: why it failed; "" if it did not.
        metrics: all so far.
        params: as MLflow tells them.
        tags: as the run history and MLflow tell them.
        properties: as the run history tells them.
    """

    state: str = "NotStarted"
    started: float | None = None
    ended: float | None = None
    error: str = ""
    metrics: tuple[Metric, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)


class Run:
    """One run: of a job, of a sweep's trial, or made through MLflow.

    Args:
        name: its id.
        experiment: the experiment that it is in.
        kind: ``sweep``, ``command`` or ``mlflow``.
        parent: the id of its sweep; "" for none.
        tags: at the start.
        on_metric: called with every logged value.

    Attributes:
        hidden: whether it is archived.
        lines: what its program printed.
        outputs: places in datastores, ``NAME/paths/PATH``, by the names of its outputs.
    """

    def __init__(
        self,
        name: str,
        experiment: str,
        kind: str,
        *,
        parent: str = "",
        tags: Mapping[str, str] | None = None,
        on_metric: Callable[[Metric], None] | None = None,
    ) -> None:
        self.name, self.experiment, self.kind, self.parent = name, experiment, kind, parent
        self.created = time.time()
        self.hidden = False
        self.lines: list[str] = []
        self.outputs: dict[str, str] = {}
        self._on_metric = on_metric
        self._lock = threading.RLock()
        self._timeline = Timeline(Status(tags=dict(tags or {})))

    def status(self, lag: float = 0.0) -> Status:
        """Return its state so many seconds ago."""
        return self._timeline.at(lag)

    def change(self, **changes: Any) -> Status:  # fields of Status
        """Go over to another state; one that has ended stays as it is."""
        with self._lock:
            now = self._timeline.now
            if now.state in TERMINAL:
                changes = {name: value for name, value in changes.items() if name in ("tags", "params", "properties")}
            self._timeline.put(replace(now, **changes))
            return self._timeline.now

    def log(self, metric: Metric) -> None:
        """Take a value that was logged."""
        with self._lock:
            self.change(metrics=(*self._timeline.now.metrics, metric))
        if self._on_metric is not None:
            self._on_metric(metric)

    def tag(self, tags: Mapping[str, str]) -> None:
        """Add tags."""
        with self._lock:
            self.change(tags={**self._timeline.now.tags, **tags})

    def param(self, params: Mapping[str, str]) -> None:
        """Add parameters."""
        with self._lock:
            self.change(params={**self._timeline.now.params, **params})


class Runs:
    """All runs by their ids."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._lock = threading.Lock()

    def add(self, run: Run) -> Run:
        """Keep a new run."""
        with self._lock:
            self._runs[run.name] = run
        return run

    def get(self, name: str) -> Run | None:
        """Return a run by its id; None for none."""
        return self._runs.get(name)

    def children(self, parent: str) -> list[Run]:
        """Return the trials of a sweep, in their order."""
        with self._lock:
            return [run for run in self._runs.values() if run.parent == parent]

    def all(self) -> list[Run]:
        """Return all runs, the oldest first."""
        with self._lock:
            return list(self._runs.values())

    def remove(self, name: str) -> None:
        """Forget a run."""
        with self._lock:
            self._runs.pop(name, None)
