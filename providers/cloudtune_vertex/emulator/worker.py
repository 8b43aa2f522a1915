"""One custom job, run as Vertex AI runs it, by processes of this machine.

The emulator has no Docker: this machine's Python and packages play the image's role, and all machines of a job are
this one. What the service says of it: CustomJobSpec, Scheduling, "Training code requirements", "Distributed training",
"Understand the custom training service".

Machines are always to be had, so maxWaitDuration has nothing to wait for; all machines of a job are taken away
together, so restartJobOnWorkerRestart changes nothing.
"""

import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from cloudtune.emulation.authority import IDENTITY, Authority
from cloudtune.emulation.images import Images
from cloudtune.emulation.job_thread import JobThread
from cloudtune.emulation.launcher import Closed
from cloudtune.emulation.machine_starts import MachineStarts
from cloudtune.emulation.mounting import Mounting, mounting
from cloudtune.emulation.output import Allowance, last_words, speaks_of_missing, whole
from cloudtune.emulation.processes import Limit, Processes, Start, Why
from cloudtune.emulation.starting import environment_of, with_the_emulator
from cloudtune_vertex.emulator import contract, programs
from cloudtune_vertex.emulator.buckets import Buckets
from cloudtune_vertex.emulator.contract import Facts, Machine
from cloudtune_vertex.emulator.entries import LogEntries
from cloudtune_vertex.emulator.faults import Faults
from cloudtune_vertex.emulator.hypertune import Measurement, MetricsFile
from cloudtune_vertex.emulator.model import seconds_of
from cloudtune_vertex.emulator.permissions import asks_of_trial, message_of
from cloudtune_vertex.emulator.resources import Resources

BASE = "/gcs"
"""Where programs find the buckets ("Cloud Storage as a mounted file system")."""

_LOOK = 0.1
"""Seconds between two looks at the metrics file."""

_KEPT_LINES = 200
"""Lines of the output, for the message of a failure."""

_WEEK = 7 * 86_400.0
"""Seconds that a job may run where it does not say ("The default is 7 days", Scheduling.timeout)."""

_TRANSIENT = frozenset({6, 11, 134, 139})
"""Exit codes after which the service tries a job again: those of SIGABRT and SIGSEGV ("Handle common errors")."""

_RETRIES = 3
"""How often it does so ("up to three times")."""

_LONGEST = 2000
"""Characters of the output in the message of a failure."""

_NOTHING: Mapping[str, str | float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Ended:
    """How a custom job ended.

    Attributes:
        state: succeeded, failed or cancelled.
        failure: the message of its error; "" unless it failed.
        started: seconds since 1970, when its programs began.
        ended: seconds since 1970.
    """

    state: Literal["succeeded", "failed", "cancelled"]
    failure: str
    started: float
    ended: float


@dataclass(frozen=True, slots=True)
class Workshop:
    """What custom jobs run with.

    Attributes:
        buckets: Cloud Storage.
        entries: takes what is printed.
        folder: for the jobs' own folders.
        images: what stands for images.
        grace: seconds between SIGTERM and SIGKILL.
        environment: variables for the programs, e.g. STORAGE_EMULATOR_HOST.
        faults: what goes wrong on purpose.
        authority: decides what service accounts of jobs may do.
        resources: the machines.
        way: how ``/gcs`` is mounted; None finds out what works here.
        scratch: see `cloudtune.emulation.workplace.Workplace.scratch`.
    """

    buckets: Buckets
    entries: LogEntries
    folder: Path
    images: Images
    grace: float
    environment: Mapping[str, str]
    faults: Faults
    authority: Authority
    resources: Resources = field(default_factory=lambda: Resources(MachineStarts()))
    way: Mounting | None = None
    scratch: Callable[[], Path | None] = lambda: None


class Worker(JobThread[Ended]):
    """Runs one custom job.

    Args:
        spec: the CustomJobSpec, which is valid.
        name: the job's: ``projects/P/locations/L/customJobs/ID``.
        trial: its id, for a job of a tuning job; else "".
        parameters: what the trial is called with.
        output: the ``gs://`` folder of its files; "" for none.
        workshop: what it runs with.
        on_running: called when the programs start, the first time.
        on_measurement: takes each measurement of a tuning job's trial.
        on_end: takes the end, as the last of all. None of these is called once `close` has begun; all of them are
            called from the worker's own thread.
    """

    def __init__(
        self,
        spec: Mapping[str, Any],
        *,
        name: str,
        trial: str = "",
        parameters: Mapping[str, str | float] = _NOTHING,
        output: str = "",
        workshop: Workshop,
        on_running: Callable[[], None],
        on_measurement: Callable[[Measurement], None],
        on_end: Callable[[Ended], None],
    ) -> None:
        super().__init__(f"custom job {name.rpartition('/')[2]}")
        self._parameters = dict(parameters)
        self._shop = workshop
        self._on_running, self._on_measurement, self._on_end = on_running, on_measurement, on_end
        _, self._project, *_, self._id = name.split("/")
        self._parent = name.partition("/customJobs/")[0]
        self._folder = workshop.folder.absolute() / self._id
        metrics = self._folder / "hypertune" / "output.metrics" if trial else None
        self._facts = Facts(spec, self._project, self._id, trial, output, metrics, contract.machines_of(spec), ())
        self._scheduling: Mapping[str, Any] = spec.get("scheduling", {})
        self._allowance = Allowance()
        self._output: list[deque[str]] = []
        self._started = 0.0
        self._limits: list[Limit] = []

    # In its thread

    def _failed(self, error: Exception) -> Ended:
        if isinstance(error, programs.JobFailure):
            return self._ended("failed", str(error))
        said = f"Internal error occurred: the emulator failed: {type(error).__name__}: {error}"
        return self._ended("failed", said)

    def _report(self, ended: Ended) -> None:
        if ended.failure:
            self._say(ended.failure, "service", severity="ERROR")
        self._on_end(ended)

    def _ended(self, state: Literal["succeeded", "failed", "cancelled"], failure: str = "") -> Ended:
        now = time.time()
        return Ended(state, failure, self._started or now, now)

    def _job(self) -> Ended:
        """Run the programs until they have ended for good."""
        lenient = not self._scheduling.get("disableRetries")
        retries = _RETRIES if lenient else 0
        while self._stop_requests.pending != "stop":
            codes, why, first_failed = self._train()
            number = first_failed or 0  # "completes successfully when its primary replica exits with exit code 0"
            if why == "stop":
                break
            if why == "time":
                return self._ended("failed", "The job has run longer than its timeout.")
            if why == "interrupt":
                if not lenient:
                    return self._ended("failed", "The machines of the job were preempted, and it disables retries.")
                self._remark("the machines were preempted; the job starts anew")
            elif codes[number] in _TRANSIENT and retries:
                retries -= 1
                self._remark(f"the program ended with exit code {codes[number]}; the job starts anew")
            elif codes[number]:
                return self._ended("failed", self._failure(number, codes[number]))
            else:
                return self._ended("succeeded")
        return self._ended("cancelled")

    def _train(self) -> tuple[list[int], Why, int | None]:
        """Run the programs once; returns their exit codes, why they were ended, and which failed before the others."""
        if self._stop_requests.pending == "close":
            raise Closed
        machines = self._shop.resources.take(self._parent, self._facts.spec, self._stop_requests)
        try:
            return self._train_on_machines()
        finally:
            machines.give_back()

    def _train_on_machines(self) -> tuple[list[int], Why, int | None]:
        if self._stop_requests.pending == "close":
            raise Closed
        starts = self._prepare()
        if not self._started:
            self._started = time.time()
            timeout = seconds_of(self._scheduling.get("timeout", "0s")) or _WEEK
            self._limits = [Limit(time.monotonic() + timeout, "time")]
            self._on_running()
        path = self._facts.metrics
        metrics = None if path is None else MetricsFile(path, self._started, self._remark)
        processes = self._processes(starts)
        codes, why = processes.run(self._limits, lambda: self._tick(metrics))
        if why == "close":
            raise Closed
        self._tell(metrics, final=True)
        if why == "interrupt":
            self._stop_requests.clear("interrupt")
        return codes, why, processes.first_failed

    def _processes(self, starts: Sequence[Start]) -> Processes:
        try:
            return Processes(
                starts,
                mark=self._folder,
                grace=self._shop.grace,
                on_line=self._on_line,
                stop_requests=self._stop_requests,
                primary=0,
            )
        except OSError as error:
            raise programs.JobFailure(f"the program cannot be started: {error}") from error

    # Starting

    def _prepare(self) -> list[Start]:
        """Make all machines anew: nothing is left of an earlier start but what is in Cloud Storage."""
        self._need_permissions()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        if self._facts.metrics is not None:
            self._facts.metrics.parent.mkdir()
        self._output = [deque(maxlen=_KEPT_LINES) for _ in self._facts.machines]
        self._facts = replace(self._facts, addresses=contract.addresses(len(self._facts.machines)))
        return [self._start_of(machine) for machine in self._facts.machines]

    def _need_permissions(self) -> None:
        """Fail a job whose service account may not read or write its buckets."""
        if self._facts.spec.get("serviceAccount"):
            missing = self._shop.authority.denied(IDENTITY, *asks_of_trial(self._facts.spec, self._facts.output))
            if missing is not None:
                raise programs.JobFailure(message_of(missing))

    def _mounting(self) -> Mounting:
        return self._shop.way or mounting(BASE)

    def _seen(self, text: str) -> str:
        """Return a text with its paths below ``/gcs`` as programs can open them."""
        if self._mounting().works:
            return text
        return whole(BASE).sub(lambda _: str(self._shop.buckets.folder), text)

    def _start_of(self, machine: Machine) -> Start:
        room, way = self._folder / machine.task, self._mounting()
        work = room / "work"
        work.mkdir(parents=True)
        words = programs.words_of(machine, contract.arguments(self._parameters), self._shop.images)
        scratch = self._shop.scratch()
        environment = environment_of(self._variables(machine, room), self._folder, room / "home", scratch)
        command = [*with_the_emulator(), *map(self._seen, words)]
        shown = {BASE: self._shop.buckets.folder}
        return Start(way.words(shown, room / "stage", str(work), command), environment, work, scratch)

    def _variables(self, machine: Machine, room: Path) -> dict[str, str]:
        declared = {**self._shop.environment, **contract.variables(self._facts, machine)}
        given = {name: self._seen(value) for name, value in declared.items()}
        if machine.program.get("packageUris"):
            modules = programs.unpack(machine.program["packageUris"], self._shop.buckets, room / "packages")
            given["PYTHONPATH"] = ":".join(filter(None, [*map(str, modules), given.get("PYTHONPATH")]))
        if not self._mounting().works:
            given["CLOUDTUNE_GCS"] = str(self._shop.buckets.folder)
        return given

    # Output and metrics

    def _on_line(self, number: int, line: str) -> None:
        self._output[number].append(line)
        for kept in self._allowance.lines(line):
            self._say(kept, self._facts.machines[number].task)

    def _remark(self, text: str) -> None:
        """Say something of the emulator's own in the log of the first machine."""
        self._say(f"emulator: {text}", self._facts.machines[0].task)

    def _say(self, line: str, task: str, *, severity: str = "INFO") -> None:
        self._shop.entries.add(
            line, project=self._project, job=self._id, task=task, trial=self._facts.trial, severity=severity
        )

    def _tick(self, metrics: MetricsFile | None) -> float | None:
        self._tell(metrics)
        return None if metrics is None else time.monotonic() + _LOOK

    def _tell(self, metrics: MetricsFile | None, *, final: bool = False) -> None:
        for measurement in () if metrics is None else metrics.read(final=final):
            if self._stop_requests.pending != "close":
                self._on_measurement(measurement)

    def _failure(self, number: int, code: int) -> str:
        """Return the message of the error, as the service words it; the end of the output says what it was."""
        task, lines = self._facts.machines[number].task, list(self._output[number])
        said = last_words(lines)[-_LONGEST:]
        if not self._mounting().works and speaks_of_missing(lines, BASE):
            hint = (
                f"the emulator could not mount {BASE} on this machine: {self._mounting().why_not}; a script finds the "
                "buckets' folder in CLOUDTUNE_GCS"
            )
            self._remark(hint)
            said += f"\n({hint})"
        return (
            f"The replica {task} exited with a non-zero status of {code}. Termination reason: Error.\n{said}\n"
            "To find out more about why your job exited please check the logs: "
            f"https://console.cloud.google.com/logs/viewer?project={self._project}&resource=ml_job%2Fjob_id%2F{self._id}"
        )
