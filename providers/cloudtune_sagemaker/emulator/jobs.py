"""One training job: what the service tells of it, while a container runs it."""

import math
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from cloudtune.emulation.images import Images
from cloudtune.emulation.machine_starts import MachineStarts
from cloudtune.emulation.timeline import Timeline
from cloudtune_sagemaker.emulator import errors
from cloudtune_sagemaker.emulator.cloud import Cloud
from cloudtune_sagemaker.emulator.container import Container, Ended
from cloudtune_sagemaker.emulator.faults import Faults
from cloudtune_sagemaker.emulator.phases import FIRST, LAST, MESSAGES
from cloudtune_sagemaker.emulator.pools import WarmPool
from cloudtune_sagemaker.emulator.training import Training

TERMINAL = frozenset({"Completed", "Failed", "Stopped"})
"""The statuses of training jobs and tuning jobs after which nothing more happens."""

_NO_CAPACITY = (
    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type."
)
_INTERNAL = "InternalServerError: We encountered an internal error. Please try again."


@dataclass(frozen=True, slots=True)
class Workshop:
    """What training jobs run with.

    Attributes:
        cloud: S3 and the logs of the account and region.
        folder: for the jobs' own folders.
        keep: whether a job's folder stays when it has ended.
        images: what stands for images.
        grace: seconds between SIGTERM and SIGKILL.
        environment: variables for the programs.
        faults: what goes wrong on purpose.
        machine_starts: how long machines take to start.
        scratch: see `cloudtune.emulation.workplace.Workplace.scratch`.
    """

    cloud: Cloud
    folder: Path
    keep: bool
    images: Images
    grace: float
    environment: Mapping[str, str]
    faults: Faults
    machine_starts: MachineStarts = field(default_factory=MachineStarts)
    scratch: Callable[[], Path | None] = lambda: None


class Follower(Protocol):
    """Receives what happens to a training job, in the thread of its container."""

    def measured(self, job: "TrainingJob", name: str, value: float, at: float) -> None:
        """A metric was printed, at so many seconds since 1970."""

    def ended(self, job: "TrainingJob") -> None:
        """The job has reached a terminal status."""


@dataclass(frozen=True, slots=True)
class TrainingState:
    """What the service reports of a training job at one moment; times are seconds since 1970.

    Attributes:
        status: of botocore's enum TrainingJobStatus.
        transitions: secondary statuses in their order: status, start, end (None for the last), message.
        started: when its machines were ready; None before.
        ended: when it reached its terminal status; None before.
        modified: when anything changed last.
        failure: the FailureReason; "" for none.
        artifacts: the address of its model; "" for none.
        metrics: the last value of each metric, and when it was printed.
    """

    status: str
    transitions: tuple[tuple[str, float, float | None, str], ...]
    modified: float
    started: float | None = None
    ended: float | None = None
    failure: str = ""
    artifacts: str = ""
    metrics: Mapping[str, tuple[float, float]] | None = None

    @property
    def secondary(self) -> str:
        """The secondary status."""
        return self.transitions[-1][0]

    def metric(self, name: str) -> float | None:
        """Return the last value of a metric, if it is a number."""
        value = (self.metrics or {}).get(name, (math.nan, 0.0))[0]
        return value if math.isfinite(value) else None


class TrainingJob:
    """One training job.

    Args:
        request: the members of CreateTrainingJob, which are valid.
        arn: of the job.
        workshop: what it runs with.
        tuning_arn: of the tuning job that it is a trial of; "" for none.
        follower: receives what happens.
    """

    def __init__(
        self,
        request: Mapping[str, Any],
        *,
        arn: str,
        workshop: Workshop,
        tuning_arn: str = "",
        follower: Follower | None = None,
    ) -> None:
        self.request = dict(request)
        self.name: str = request["TrainingJobName"]
        self.arn, self.tuning_arn = arn, tuning_arn
        self.tags: list[dict[str, str]] = list(request.get("Tags") or [])
        self.created = time.time()
        self._workshop = workshop
        self._follower = follower
        self._folder = workshop.folder / self.name
        self._lock = threading.RLock()
        self._stopping = self._closed = False
        self._interruptible = bool(request.get("EnableManagedSpotTraining"))
        self._container: Container | None = None
        self.pool = WarmPool(self.request)
        self.warm = False
        first = ("Starting", self.created, None, FIRST)
        self._timeline = Timeline(TrainingState("InProgress", (first,), self.created))

    # What others ask of it

    def start(self) -> None:
        """Run it; return at once."""
        machine = str((self.request.get("ResourceConfig") or {}).get("InstanceType", ""))
        fault = self._workshop.faults.at_start(self.name, machine)
        retries = int((self.request.get("RetryStrategy") or {}).get("MaximumRetryAttempts", 0))
        while fault == "internal" and retries > 0:  # "when a training job fails due to an InternalServerError"
            retries -= 1
            self._on_phase("Restarting", "Restarting after an internal error")
            fault = self._workshop.faults.at_start(self.name, machine)
        if fault:
            now = time.time()
            reason = _NO_CAPACITY if fault == "capacity" else _INTERNAL
            self._on_end(Ended("Failed", reason, "", "", None, now, now))
        else:
            self._run()

    def _run(self) -> None:
        workshop = self._workshop
        container = Container(
            Training(self.request, self.arn, workshop.cloud.region),
            cloud=workshop.cloud,
            folder=self._folder,
            images=workshop.images,
            grace=workshop.grace,
            environment=workshop.environment,
            machine_starts=None if self.warm else workshop.machine_starts,
            scratch=workshop.scratch,
            on_phase=self._on_phase,
            on_metric=self._on_metric,
            on_end=self._on_end,
        )
        with self._lock:
            if self._closed:
                return
            self._container = container
            container.start()
            if self._stopping:
                container.stop()

    def stop(self) -> None:
        """End it early, keeping what it saved.

        Raises:
            SagemakerClientError: it has ended.
        """
        with self._lock:
            if self.state().status in TERMINAL:
                raise errors.invalid(
                    f"The request was rejected because the training job is in status {self.state().status}."
                )
            if not self._stopping:
                self._stopping = True
                self._timeline.put(replace(self.state(), status="Stopping", modified=time.time()))
            if self._container is not None:
                self._container.stop()

    def interrupt(self) -> None:
        """Take its machines away, as an interruption of spot machines does.

        Raises:
            SagemakerClientError: it does not run on spot machines.
        """
        if not self.request.get("EnableManagedSpotTraining"):
            raise errors.invalid(f"{self.name} does not use managed spot training")
        with self._lock:
            if self._container is not None:
                self._container.interrupt()

    def close(self) -> None:
        """End its programs at once; it reports nothing more, and cannot be started any more."""
        with self._lock:
            self._closed = True
        if self._container is not None:
            self._container.close()

    def update(self, request: Mapping[str, Any]) -> None:
        """Take over members of UpdateTrainingJob, each into what it had under that name."""
        with self._lock:
            for name in ("ProfilerConfig", "ResourceConfig", "RemoteDebugConfig"):
                if name in request:
                    self.request[name] = {**self.request.get(name, {}), **request[name]}
            if "ProfilerRuleConfigurations" in request:
                self.request["ProfilerRuleConfigurations"] = request["ProfilerRuleConfigurations"]
            if "ResourceConfig" in request:
                self.pool.update()
            self._timeline.put(replace(self.state(), modified=time.time()))

    # What the service reports of it

    def state(self, lag: float = 0.0) -> TrainingState:
        """Return its state so many seconds ago."""
        return self._timeline.at(lag)

    def warm_pool(self, lag: float = 0.0) -> dict[str, Any]:
        """Return the WarmPoolStatus; an empty one for a job that keeps no machines, as those of tuning jobs never do."""
        return {} if self.tuning_arn else self.pool.status(self.state(lag).ended)

    # What its container tells

    def _on_phase(self, status: str, message: str) -> None:
        if status in _LAST:
            return  # told together with the end
        with self._lock:
            state = self.state()
            if status == state.secondary:
                self._say(state, message)
                return
            if status == "Stopping":
                state = replace(state, status="Stopping")
            if state.started is None and status not in ("Starting", "Restarting", "Stopping"):
                state = replace(state, started=time.time())
            self._put(state, status, message)

    def _on_metric(self, name: str, value: float, at: float) -> None:
        with self._lock:
            state = self.state()
            metrics = {**(state.metrics or {}), name: (value, at)}
            self._timeline.amend(replace(state, metrics=metrics))
            interrupted = self._interruptible and self._workshop.faults.interrupts(self.name)
            self._interruptible = False
            if interrupted and self._container is not None:
                self._container.interrupt()
        if self._follower is not None:
            self._follower.measured(self, name, value, at)

    def _on_end(self, ended: Ended) -> None:
        last = LAST.get(ended.why, ended.state)
        with self._lock:
            state = replace(
                self.state(),
                status=ended.state,
                ended=ended.ended,
                failure=ended.failure,
                artifacts=ended.artifacts,
                metrics={**(self.state().metrics or {}), **ended.metrics},
            )
            self._put(state, last, MESSAGES.get(last, last))
        if not self._workshop.keep:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._follower is not None:
            self._follower.ended(self)

    def _say(self, state: TrainingState, message: str) -> None:
        """Change what is said with the present secondary status."""
        *before, (name, start, end, _) = state.transitions
        self._timeline.amend(replace(state, transitions=(*before, (name, start, end, message))))

    def _put(self, state: TrainingState, status: str, message: str) -> None:
        """Go over to a secondary status; a terminal one has its end already."""
        now = time.time()
        before = state.transitions[:-1]
        name, start, _, said = state.transitions[-1]
        end = now if state.ended is not None else None
        transitions = (*before, (name, start, now, said), (status, now, end, message))
        self._timeline.put(replace(state, transitions=transitions, modified=now))


_LAST = frozenset({"Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded"})


def take_over(job: TrainingJob, others: Sequence[TrainingJob]) -> None:
    """Give a new job the machines of one that has ended, if any are kept that fit."""
    if not job.warm_pool():
        return
    for other in others:
        if other.warm_pool().get("Status") == "Available" and other.pool.fits(job.request):
            other.pool.hand_over(job.name)
            job.warm = True
            return
