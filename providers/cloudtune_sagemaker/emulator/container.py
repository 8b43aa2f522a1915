"""One training job, run as SageMaker runs it, by processes of this machine.

What the service says of it: "How Amazon SageMaker Runs Your Training Image", "… Provides Training Information",
"… Processes Training Output", "… Signals Algorithm Success and Failure", "Managed Spot Training", StoppingCondition.

The emulator has no Docker: this machine's Python and packages play the image's role. Network isolation takes a
program's credentials, not its network. All machines of a training cluster are this one.
"""

import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from cloudtune.emulation.images import Images
from cloudtune.emulation.job_thread import JobThread
from cloudtune.emulation.launcher import Closed
from cloudtune.emulation.machine_starts import MachineStarts
from cloudtune.emulation.mounting import Mounting, mounting
from cloudtune.emulation.output import Allowance, last_words, speaks_of_missing
from cloudtune.emulation.processes import Limit, Processes, Why
from cloudtune.errors import ProviderError
from cloudtune_sagemaker.emulator import channels, definitions, machine, toolkit
from cloudtune_sagemaker.emulator.algorithms import algorithm_of
from cloudtune_sagemaker.emulator.artifacts import Checkpoints, upload_results
from cloudtune_sagemaker.emulator.cloud import Cloud
from cloudtune_sagemaker.emulator.contract import Room
from cloudtune_sagemaker.emulator.failures import (
    JobFailure,
    algorithm_error,
    shorten,
)
from cloudtune_sagemaker.emulator.logstream import LogStream
from cloudtune_sagemaker.emulator.metrics import MetricFinder
from cloudtune_sagemaker.emulator.phases import LAST, MESSAGES
from cloudtune_sagemaker.emulator.pipes import Pipe
from cloudtune_sagemaker.emulator.training import BASE, Training

_KEPT_LINES = 200  # of the output, for the reason of a failure
_MOST_UNSEARCHED = 1000  # lines
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Ended:
    """How a training job ended.

    Attributes:
        state: the job's status.
        failure: the FailureReason; "" unless it failed.
        artifacts: the address of the model in S3; "" if there is none.
        why: what ended it: "time" MaxRuntimeInSeconds, "spot" MaxWaitTimeInSeconds, "stop" a request; "" its program.
        exit_code: of the program that failed first, else of the first machine's; 128 and more for a signal; None if
            none was started.
        started: seconds since 1970, when the machines began.
        ended: seconds since 1970.
        metrics: the last value of each metric, and when it was printed.
    """

    state: Literal["Completed", "Failed", "Stopped"]
    failure: str
    artifacts: str
    why: Literal["", "time", "stop", "spot"]
    exit_code: int | None
    started: float
    ended: float
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(slots=True)
class _Outcome:
    """How the programs of one start ended."""

    codes: list[int]
    why: Why
    first_failed: int | None
    programs: list[machine.Program]

    @property
    def code(self) -> int:
        """Of the program that failed first, or of the first machine's."""
        if self.first_failed is not None:
            return self.codes[self.first_failed]
        return next((code for code in self.codes if code), 0)

    @property
    def number(self) -> int:
        """Of the machine that `code` is of."""
        if self.first_failed is not None:
            return self.first_failed
        return next((number for number, code in enumerate(self.codes) if code), 0)


class Container(JobThread[Ended]):
    """Runs one training job.

    Args:
        training: the job; taken as valid.
        cloud: S3 and the logs.
        folder: of the job's own; made, and emptied of what a container of that name left there.
        images: what stands for images.
        grace: seconds between SIGTERM and SIGKILL; the service gives 120.
        environment: variables for the program, e.g. AWS_ENDPOINT_URL and credentials that fit it.
        way: how ``/opt/ml`` is mounted; None finds out what works here.
        machine_starts: how long its machines take to start; None for machines that are there.
        scratch: see `cloudtune.emulation.workplace.Workplace.scratch`.
        on_phase: takes each secondary status and its message, the last of them Completed, Failed, Stopped,
            MaxRuntimeExceeded or MaxWaitTimeExceeded.
        on_metric: takes name, value and seconds since 1970 of each metric that a line holds.
        on_end: takes the end, as the last of all. None of these is called once `close` has begun; all of them are
            called from the container's own thread.
    """

    def __init__(
        self,
        training: Training,
        *,
        cloud: Cloud,
        folder: Path,
        images: Images,
        grace: float = 2.0,
        environment: Mapping[str, str] = _NOTHING,
        way: Mounting | None = None,
        machine_starts: MachineStarts | None = None,
        scratch: Callable[[], Path | None] = lambda: None,
        on_phase: Callable[[str, str], None],
        on_metric: Callable[[str, float, float], None],
        on_end: Callable[[Ended], None],
    ) -> None:
        super().__init__(f"training {training.name}")
        self._training = training
        self._cloud, self._images, self._grace, self._environment = cloud, images, grace, dict(environment)
        self._folder = folder.absolute()
        self._way = way
        self._machine_starts, self._scratch = machine_starts, scratch
        self._on_phase, self._on_metric, self._on_end = on_phase, on_metric, on_end
        self._finder = MetricFinder(definitions.read_from_output(self._training))
        self._escaped = algorithm_of(self._training.algorithm) is not None
        self._allowance = Allowance()
        self._unsearched: list[str] = []
        self._metrics: dict[str, tuple[float, float]] = {}
        self._output: list[deque[str]] = []
        self._streams: list[LogStream] = []
        self._rooms: list[Room] = []
        self._started = 0.0

    # In its thread

    def _failed(self, error: Exception) -> Ended:
        if isinstance(error, JobFailure):
            return self._failure(str(error))
        return self._failure(f"InternalServerError: the emulator failed: {type(error).__name__}: {error}")

    def _report(self, ended: Ended) -> None:
        last = LAST.get(ended.why, ended.state)
        self._on_phase(last, MESSAGES[last])
        self._on_end(ended)

    def _job(self) -> Ended:
        begun, trained = time.monotonic(), 0.0
        max_wait = self._training.max_wait
        while True:
            self._prepare()
            if self._stop_requests.pending == "stop":
                return self._stopped_early()
            now = time.monotonic()
            limits = [Limit(now + self._training.max_runtime - trained, "time")]
            if max_wait is not None:
                limits.append(Limit(begun + max_wait, "spot"))
            outcome = self._train(limits)
            trained += time.monotonic() - now
            if outcome.why == "close":
                raise Closed
            for room in self._rooms:
                self._checkpoints.save(room)
            if outcome.why != "interrupt":
                return self._finish(outcome)
            self._phase("Interrupted")

    @property
    def _checkpoints(self) -> Checkpoints:
        return Checkpoints(self._training, self._cloud)

    def _prepare(self) -> None:
        """Make the machines: folders, checkpoints, input data."""
        self._phase("Starting")
        self._begin()
        if self._machine_starts is not None:
            self._machine_starts.wait(self._stop_requests)
        self._started = self._started or time.time()
        way = self._mounting()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        machine.write_hosts(self._training, self._folder)
        self._rooms = []
        for host in self._training.hosts:
            root = self._folder / host.name
            self._rooms.append(Room(host, root, BASE if way.works else str(root)))
        self._streams = [LogStream(self._cloud, self._training.name, room.host.name) for room in self._rooms]
        self._output = [deque(maxlen=_KEPT_LINES) for _ in self._rooms]
        for room in self._rooms:
            room.prepare(self._training)
        if self._training.channels or self._training.checkpoints:
            self._phase("Downloading")
        for room in self._rooms:
            self._checkpoints.restore(room)
            for channel in self._training.channels:
                if self._training.input_mode(channel) != "Pipe":
                    channels.download(channel, self._training, room, self._cloud)

    def _begin(self) -> None:
        try:
            self._cloud.begin(self._training.image, measures=bool(self._training.algorithm.get("MetricDefinitions")))
        except ProviderError as error:
            raise JobFailure(f"ClientError: {error}") from error

    def _mounting(self) -> Mounting:
        return self._way or mounting(BASE)

    def _train(self, limits: Sequence[Limit]) -> _Outcome:
        programs = [machine.program_of(self._training, room, self._images, self._cloud) for room in self._rooms]
        self._phase("Training")
        pipes: list[Pipe] = []
        try:
            for room in self._rooms:
                for channel in self._training.channels:
                    if self._training.input_mode(channel) == "Pipe":
                        pipes.append(self._pipe(channel, room))  # noqa: PERF401  # those before a failure are stopped
            processes = self._start(programs)
            codes, why = processes.run(limits, self._tick)
        finally:
            for pipe in pipes:
                pipe.stop()
            self._flush()
        if why == "interrupt":
            self._stop_requests.clear("interrupt")
        return _Outcome(codes, why, processes.first_failed, programs)

    def _pipe(self, channel: Mapping[str, Any], room: Room) -> Pipe:
        stream = self._streams[room.host.number]
        return Pipe(channel, room, len(self._rooms), self._cloud, lambda text: stream.add(f"emulator: {text}"))

    def _start(self, programs: Sequence[machine.Program]) -> Processes:
        starts = []
        for room, program, stream in zip(self._rooms, programs, self._streams, strict=True):
            way = self._mounting()
            given, scratch = self._environment, self._scratch()
            starts.append(machine.start_of(self._training, room, program, way, given, self._folder, scratch))
            for remark in (*program.remarks, *(f"emulator: {problem}" for problem in self._finder.problems)):
                stream.add(remark)
        try:
            return Processes(
                starts,
                mark=self._folder,
                grace=self._grace,
                on_line=self._on_line,
                stop_requests=self._stop_requests,
            )
        except OSError as error:
            raise JobFailure(f"AlgorithmError: the program cannot be started: {error}, exit code: 127") from error

    # Output

    def _on_line(self, number: int, line: str) -> None:
        if self._escaped:  # the logs of the service have it so, and the regexes of its algorithms count on it
            line = line.replace("\t", "#011")
        for kept in self._allowance.lines(line):
            self._streams[number].add(kept)
        self._output[number].append(line)
        self._unsearched.append(line)
        if len(self._unsearched) >= _MOST_UNSEARCHED:
            self._search()

    def _search(self) -> None:
        """Look for metrics in the lines that have come, many at once."""
        lines, self._unsearched = self._unsearched, []
        if self._stop_requests.pending == "close" or not lines:
            return
        now = time.time()  # one moment for all, since one line may hold a metric under two names
        for name, value in self._finder.find(*lines):
            self._metrics[name] = (value, now)
            self._on_metric(name, value, now)

    def _tick(self) -> float | None:
        """Search new lines, and send those that have waited long enough; return when to look again."""
        self._search()
        now = time.monotonic()
        for stream in self._streams:
            if (due := stream.due) is not None and due <= now:
                stream.flush()
        waiting = [due for stream in self._streams if (due := stream.due) is not None]
        return min(waiting) if waiting else None

    def _flush(self) -> None:
        self._search()
        for stream in self._streams:
            stream.flush()

    def _phase(self, status: str) -> None:
        if self._stop_requests.pending == "close":
            raise Closed
        self._on_phase(status, MESSAGES[status])

    # Ends

    def _finish(self, outcome: _Outcome) -> Ended:
        if outcome.why:
            self._phase("Stopping")
        elif outcome.code:
            upload_results(self._training, self._rooms, self._cloud, model="never")
            return self._failure(self._reason(outcome), outcome.code)
        self._phase("Uploading")
        model = "if any" if outcome.why else "always"
        artifacts = upload_results(self._training, self._rooms, self._cloud, model=model)
        if outcome.why in ("stop", "time", "spot"):
            return self._end("Stopped", artifacts=artifacts, why=outcome.why, code=outcome.code)
        return self._end("Completed", artifacts=artifacts, code=0)

    def _stopped_early(self) -> Ended:
        self._phase("Stopping")
        return self._end("Stopped", why="stop")

    def _failure(self, reason: str, code: int | None = None) -> Ended:
        return self._end("Failed", failure=shorten(reason), code=code)

    def _end(
        self,
        state: Literal["Completed", "Failed", "Stopped"],
        *,
        failure: str = "",
        artifacts: str = "",
        why: Literal["", "time", "stop", "spot"] = "",
        code: int | None = None,
    ) -> Ended:
        started = self._started or time.time()
        return Ended(state, failure, artifacts, why, code, started, time.time(), dict(self._metrics))

    def _reason(self, outcome: _Outcome) -> str:
        """Return the FailureReason: what the program wrote to its failure file, or the end of its output."""
        room, program = self._rooms[outcome.number], outcome.programs[outcome.number]
        output = list(self._output[outcome.number])
        written = _read_failure(room.root / "output" / "failure")
        hint = ""
        if not room.mounted and speaks_of_missing(output, BASE):
            hint = (
                f"the emulator could not mount {BASE} on this machine: {self._mounting().why_not}; a script finds its "
                "folders in SM_MODEL_DIR, SM_CHANNEL_… and SM_OUTPUT_DATA_DIR"
            )
            self._streams[outcome.number].add(f"emulator: {hint}")
            self._flush()
        if written:
            return algorithm_error(written, outcome.code, hint)
        if program.script is not None:
            text = toolkit.failure(program.words, outcome.code, last_words(output))
            return algorithm_error(text, 1, hint)  # the toolkit ends with 1, whatever the script ended with
        return algorithm_error(last_words(output), outcome.code, hint)


def _read_failure(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
