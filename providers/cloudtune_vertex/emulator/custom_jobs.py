"""One custom job: what the service tells of it, while a worker runs it."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from cloudtune.emulation.timeline import Timeline
from cloudtune_vertex.emulator.hypertune import Measurement
from cloudtune_vertex.emulator.model import stamp
from cloudtune_vertex.emulator.worker import Ended, Worker, Workshop

TERMINAL = frozenset({"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"})
"""The states of jobs after which nothing more happens."""

_ENDS = {"succeeded": "JOB_STATE_SUCCEEDED", "failed": "JOB_STATE_FAILED", "cancelled": "JOB_STATE_CANCELLED"}
_FAULTS = {
    "capacity": (
        8,
        "Resources are insufficient in region. Please try a different region or use a different accelerator.",
    ),
    "internal": (13, "Internal error occurred. Please retry in a few minutes."),
}
"""What a job ends with that does not start: the code of google.rpc, and a message."""

_FAILED = 3
"""The code of google.rpc of a job whose program failed (INVALID_ARGUMENT, as the service has it)."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What the service reports of a job at one moment; times are seconds since 1970.

    Attributes:
        state: of the service's enum JobState.
        updated: when anything changed last.
        started: when it began to run; None before.
        ended: when it reached its terminal state; None before.
        error: its code and message; None for none.
    """

    state: str
    updated: float
    started: float | None = None
    ended: float | None = None
    error: tuple[int, str] | None = None

    def fields(self) -> dict[str, Any]:
        """Return the fields of the job's message."""
        found: dict[str, Any] = {"state": self.state, "updateTime": stamp(self.updated)}
        if self.started is not None:
            found["startTime"] = stamp(self.started)
        if self.ended is not None:
            found["endTime"] = stamp(self.ended)
        if self.error is not None:
            found["error"] = {"code": self.error[0], "message": self.error[1]}
        return found


class Follower(Protocol):
    """Receives what happens to a custom job, in the thread of its worker."""

    def running(self, job: "CustomJob") -> None:
        """Its programs began."""

    def measured(self, job: "CustomJob", measurement: Measurement) -> None:
        """It measured something."""

    def ended(self, job: "CustomJob") -> None:
        """It reached a terminal state."""


class CustomJob:
    """One custom job.

    Args:
        request: the message, which is valid.
        name: ``projects/P/locations/L/customJobs/ID``.
        workshop: what it runs with.
        trial: its id, for a job of a tuning job; else "".
        parameters: what the trial is called with.
        output: the folder of its files, for a trial; else that of the request.
        follower: receives what happens.
    """

    kind = "CustomJob"

    def __init__(
        self,
        request: Mapping[str, Any],
        name: str,
        workshop: Workshop,
        *,
        trial: str = "",
        parameters: Mapping[str, str | float] | None = None,
        output: str = "",
        follower: Follower | None = None,
    ) -> None:
        self.request = dict(request)
        self.name = name
        self.created = time.time()
        self._shop = workshop
        self._follower = follower
        self._lock = threading.RLock()
        self._timeline = Timeline(JobStatus("JOB_STATE_PENDING", self.created))
        spec = request["jobSpec"]
        own = spec.get("baseOutputDirectory", {}).get("outputUriPrefix", "")
        self._preemptible = spec.get("scheduling", {}).get("strategy") == "SPOT"
        self._worker = Worker(
            spec,
            name=name,
            trial=trial,
            parameters=parameters or {},
            output=output or own,
            workshop=workshop,
            on_running=self._on_running,
            on_measurement=self._on_measurement,
            on_end=self._on_end,
        )

    # What others ask of it

    def start(self) -> None:
        """Run it; return at once."""
        pools = self.request["jobSpec"].get("workerPoolSpecs") or [{}]
        machine = str((pools[0].get("machineSpec") or {}).get("machineType", ""))
        fault = self._shop.faults.at_start(self.request["displayName"], machine)
        if fault:
            self._finish("JOB_STATE_FAILED", _FAULTS[fault])
        else:
            self._worker.start()

    def cancel(self) -> None:
        """End it early; nothing if it has ended."""
        with self._lock:
            if self.status().state in TERMINAL:
                return
            self._put(replace(self.status(), state="JOB_STATE_CANCELLING"))
        self._worker.stop()

    def preempt(self) -> None:
        """Take its machines away."""
        self._worker.interrupt()

    def close(self) -> None:
        """End its processes at once, and report nothing any more."""
        self._worker.close()

    # What the service reports of it

    @property
    def listed(self) -> bool:
        """Whether lists hold it: those of trials are found by their trials."""
        return self._follower is None

    def status(self, lag: float = 0.0) -> JobStatus:
        """Return its state so many seconds ago."""
        return self._timeline.at(lag)

    def message(self, lag: float = 0.0) -> dict[str, Any]:
        """Return the resource in JSON."""
        return {**self.request, "name": self.name, "createTime": stamp(self.created), **self.status(lag).fields()}

    # What its worker tells

    def _put(self, status: JobStatus) -> None:
        self._timeline.put(replace(status, updated=time.time()))

    def _on_running(self) -> None:
        with self._lock:
            status = self.status()
            if status.state == "JOB_STATE_PENDING":
                status = replace(status, state="JOB_STATE_RUNNING")
            self._put(replace(status, started=time.time()))
        if self._follower is not None:
            self._follower.running(self)
        elif self._preemptible and self._shop.faults.interrupts(self.name):
            self._worker.interrupt()

    def _on_measurement(self, measurement: Measurement) -> None:
        if self._preemptible and self._shop.faults.interrupts(self.name):
            self._preemptible = False  # once
            self._worker.interrupt()
        if self._follower is not None:
            self._follower.measured(self, measurement)

    def _on_end(self, ended: Ended) -> None:
        self._finish(_ENDS[ended.state], (_FAILED, ended.failure) if ended.failure else None)

    def _finish(self, state: str, error: tuple[int, str] | None) -> None:
        with self._lock:
            now = time.time()
            status = self.status()
            self._put(JobStatus(state, now, status.started, now, error))
        if self._follower is not None:
            self._follower.ended(self)
