"""One-time runs: each is a process of this machine, and its states are the service's.

https://docs.databricks.com/api/workspace/jobs: the states of ``runs/get``, and the codes of a termination.
"""

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cloudtune.emulation.job_thread import JobThread
from cloudtune.emulation.machine_starts import MachineStarts
from cloudtune.emulation.mounting import mounting
from cloudtune.emulation.processes import Limit, Processes, Start
from cloudtune.emulation.refused import Refused
from cloudtune.emulation.starting import environment_of, with_the_emulator
from cloudtune.emulation.timeline import Timeline
from cloudtune_databricks.emulator import execute
from cloudtune_databricks.emulator.errors import Faults
from cloudtune_databricks.emulator.files import Volumes, WorkspaceFiles
from cloudtune_databricks.emulator.model import Program

ROOT = "/Volumes"

_NO_ROOM = (
    "Unexpected failure while waiting for the cluster to be ready: Cluster is in unexpected state Terminated: "
    "INSUFFICIENT_INSTANCE_CAPACITY(CLOUD_FAILURE): there are no instances of the type {machine}"
)
_TAKEN = "Unexpected failure while waiting for the driver: Cluster is in unexpected state Terminated: SPOT_INSTANCE_TERMINATION(CLOUD_FAILURE)"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended.

    Attributes:
        life: its last life cycle state.
        result: its result state.
        code: of its termination.
        kind: the type of that.
        message: for its reader.
    """

    life: str
    result: str
    code: str
    kind: str
    message: str = ""


_SUCCESS = Ended("TERMINATED", "SUCCESS", "SUCCESS", "SUCCESS")
_CANCELLED = Ended("TERMINATED", "CANCELED", "USER_CANCELED", "SUCCESS", "Run cancelled.")
_TIMED_OUT = Ended("TERMINATED", "TIMEDOUT", "CANCELED", "CLIENT_ERROR", "Run timed out.")


@dataclass(frozen=True, slots=True)
class Status:
    """How a run stands.

    Attributes:
        life: its life cycle state.
        begun: seconds since 1970 at which its cluster was there; None before.
        over: seconds since 1970 at which it ended; None before.
        end: how; None before.
    """

    life: str
    begun: float | None = None
    over: float | None = None
    end: Ended | None = None


@dataclass(frozen=True, slots=True)
class Workshop:
    """What runs run with.

    Attributes:
        folder: for their own folders.
        volumes: of Unity Catalog.
        files: of the workspace.
        faults: what goes wrong on purpose.
        grace: seconds between SIGTERM and SIGKILL.
        kept: bytes of a run's output that are kept: its end.
        room: says how many runs run at once.
        starts: of machines.
        environment: variables of their programs.
        scratch: see `cloudtune.emulation.workplace.Workplace.scratch`.
    """

    folder: Path
    volumes: Volumes
    files: WorkspaceFiles
    faults: Faults
    grace: float
    kept: int
    room: threading.Semaphore
    starts: MachineStarts
    environment: Callable[[], Mapping[str, str]]
    scratch: Callable[[], Path | None]


class Run(JobThread[Ended]):
    """One run with its one task.

    Args:
        run_id: its id; that of its task is the next one.
        program: what it runs.
        workshop: what it runs with.
        creator: who submitted it.
    """

    def __init__(self, run_id: int, program: Program, workshop: Workshop, creator: str) -> None:
        super().__init__(f"run {run_id}")
        self.run_id, self.program, self._shop, self._creator = run_id, program, workshop, creator
        self.created = time.time()
        self._states = Timeline(Status("QUEUED"))
        self._folder = workshop.folder / str(run_id)
        self._lines: deque[str] = deque()
        self._size, self._cut, self._struck = 0, False, False
        self.done = threading.Event()

    @property
    def active(self) -> bool:
        """Whether it has not ended."""
        return self._states.now.end is None

    # In its thread

    def _job(self) -> Ended:
        while not self._shop.room.acquire(timeout=0.02):
            if self._stop_requests.pending:
                return _CANCELLED
        try:
            return self._with_room()
        finally:
            self._shop.room.release()

    def _with_room(self) -> Ended:
        self._states.put(Status("PENDING"))
        if self.program.cluster is not None:
            self._shop.starts.wait(self._stop_requests)
        fault = self._shop.faults.at_start(self.program.name, self.program.node_type)
        if self._stop_requests.pending:
            return _CANCELLED
        if fault == "capacity":
            message = _NO_ROOM.format(machine=self.program.node_type or "serverless")
            return Ended("INTERNAL_ERROR", "FAILED", "CLUSTER_ERROR", "CLOUD_FAILURE", message)
        if fault == "internal":
            return Ended(
                "INTERNAL_ERROR", "FAILED", "INTERNAL_ERROR", "INTERNAL_ERROR", "The run had an unexpected error."
            )
        return self._execute()

    def _execute(self) -> Ended:
        self._folder.mkdir(parents=True)
        try:
            start = self._start()
        except Refused as refused:
            return Ended("INTERNAL_ERROR", "FAILED", "RESOURCE_NOT_FOUND", "CLIENT_ERROR", refused.message)
        self._states.put(Status("RUNNING", time.time()))
        processes = Processes(
            [start], mark=self._folder, grace=self._shop.grace, on_line=self._hear, stop_requests=self._stop_requests
        )
        timeout = self.program.timeout
        limits = [Limit(time.monotonic() + timeout, "time")] if timeout else []
        codes, why = processes.run(limits, lambda: None)
        if why == "interrupt":
            return Ended("INTERNAL_ERROR", "FAILED", "CLUSTER_ERROR", "CLOUD_FAILURE", _TAKEN)
        if why:
            return _TIMED_OUT if why == "time" else _CANCELLED
        if codes[0] or self._error():
            message = "Workload failed, see run output for details"
            return Ended("TERMINATED", "FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR", message)
        return _SUCCESS

    def _start(self) -> Start:
        task, scratch = self.program.task, self._shop.scratch()
        if task.spark_python_task is not None:
            path = str(task.spark_python_task.python_file)
            place = self._shop.files.place(path)
            if not place.is_file():
                raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Cannot read the python file {path}: it does not exist")
            what = ["file", str(place)]
        else:
            assert task.python_wheel_task is not None
            what = ["wheel", task.python_wheel_task.package_name, task.python_wheel_task.entry_point]
        words = [
            *with_the_emulator(),
            sys.executable,
            "-u",
            str(execute.__file__),
            str(self._folder / "error"),
            *what,
            *self.program.words,
        ]
        cluster = self.program.cluster
        variables = {**self._shop.environment(), **({} if cluster is None else cluster.spark_env_vars or {})}
        way, work = mounting(ROOT), self._folder / "work"
        work.mkdir()
        if way.works:
            words = way.words({ROOT: self._shop.volumes.folder}, self._folder / "stage", str(work), words)
        else:
            variables["CLOUDTUNE_VOLUMES"] = str(self._shop.volumes.folder.parent)
        return Start(words, environment_of(variables, self._folder, self._folder / "home", scratch), work, scratch)

    def _hear(self, _: int, line: str) -> None:
        self._lines.append(line)
        self._size += len(line) + 1
        while self._size > self._shop.kept and self._lines:
            self._size -= len(self._lines.popleft()) + 1
            self._cut = True
        if self.program.spot and not self._struck:
            self._struck = True
            if self._shop.faults.interrupts(self.program.name):
                self.interrupt()

    def _failed(self, error: Exception) -> Ended:
        return Ended(
            "INTERNAL_ERROR",
            "FAILED",
            "INTERNAL_ERROR",
            "INTERNAL_ERROR",
            f"the emulator failed: {type(error).__name__}: {error}",
        )

    def _report(self, ended: Ended) -> None:
        now = self._states.now
        self._states.put(replace(now, life=ended.life, over=time.time(), end=ended))
        self.done.set()

    # What is told of it

    def _error(self) -> dict[str, str]:
        place = self._folder / "error"
        return dict(json.loads(place.read_text("utf-8"))) if place.is_file() else {}

    def told(self, *, expanded: bool = True) -> dict[str, Any]:
        """Return what the service says of it."""
        status = self._states.at(self._shop.faults.slow)
        times = {
            "start_time": _milliseconds(self.created),
            "end_time": 0 if status.over is None else _milliseconds(status.over),
        }
        duration = 0 if status.over is None else _milliseconds(status.over - self.created)
        said = {**_states_of(status), **times}
        task = {
            **self.program.said["tasks"][0],
            "run_id": self.run_id + 1,
            "attempt_number": 0,
            **said,
            "setup_duration": 0 if status.begun is None else _milliseconds(status.begun - self.created),
            "execution_duration": 0
            if status.begun is None or status.over is None
            else max(1, _milliseconds(status.over - status.begun)),
            "cleanup_duration": 0,
        }
        return {
            "run_id": self.run_id,
            "job_id": self.run_id + 2,
            "number_in_job": self.run_id,
            "run_name": self.program.name,
            "creator_user_name": self._creator,
            "run_type": "SUBMIT_RUN",
            "format": "MULTI_TASK",
            "trigger": "ONE_TIME",
            "run_duration": duration,
            **said,
            **({"tasks": [task]} if expanded else {}),
        }

    def output(self) -> dict[str, Any]:
        """Return what it printed, and its error; for a run that has ended."""
        if self.active:
            return {
                "metadata": self.told(expanded=False),
                "error": "Run result is not available until the run has ended",
            }
        return {
            "metadata": self.told(expanded=False),
            "logs": "\n".join(self._lines),
            "logs_truncated": self._cut,
            **self._error(),
        }


def _states_of(status: Status) -> dict[str, Any]:
    state: dict[str, Any] = {"life_cycle_state": status.life, "state_message": "", "user_cancelled_or_timedout": False}
    if status.end is None:
        details = {
            "queue_details": {
                "code": "ACTIVE_RUNS_LIMIT_REACHED",
                "message": "Queued due to reaching the limit of active runs.",
            }
        }
        queued = status.life == "QUEUED"
        return {"state": state, "status": {"state": status.life, **(details if queued else {})}}
    end = status.end
    stopped = end in (_CANCELLED, _TIMED_OUT)
    state |= {"result_state": end.result, "state_message": end.message, "user_cancelled_or_timedout": stopped}
    ending = {"code": end.code, "type": end.kind, "message": end.message}
    return {"state": state, "status": {"state": "TERMINATED", "termination_details": ending}}


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
