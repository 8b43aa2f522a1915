"""What the providers of cloud services share: a run is one tuning job of the service, or is driven with a job a trial."""

import contextlib
import json
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cloudtune import driving
from cloudtune.driven import keep_earlier, search_problems
from cloudtune.errors import ConfigError, Problem, RunBusy, TrialError
from cloudtune.extras import install
from cloudtune.job import TuningJob
from cloudtune.plan import Plan
from cloudtune.private import forget, keep_environment
from cloudtune.provider import Finding, Provider, Watcher
from cloudtune.states import RunState, Trial, TrialState

if TYPE_CHECKING:
    from cloudtune.launcher import Launcher
    from cloudtune.managed import ManagedWatch
    from cloudtune.space_codec import SpaceCodec
    from cloudtune.store import RunStore

_GLANCE = 1.0
"""Seconds within which a run is not looked at again by `refresh`."""


class CloudProvider(Provider):
    """Runs jobs on a cloud service; what is left to each service has no body here.

    The name of a run's tuning job on the service is kept as ``job`` in `RunRecord.native`.
    """

    emulated = True

    service: ClassVar[str]
    """What messages call the service, e.g. ``SageMaker``."""

    sdk: ClassVar[Sequence[str]]
    """Modules of the service's SDK, without which jobs can be planned and nothing else."""

    def __init__(self, settings: Mapping[str, Any], mounts: Mapping[str, Path] | None = None) -> None:
        super().__init__(settings, mounts)
        self._watches: dict[str, tuple[ManagedWatch, float]] = {}

    # What each service does in its own way

    @property
    @abstractmethod
    def poll(self) -> float:
        """Seconds between two looks at a run that is followed."""

    @abstractmethod
    def codec(self, job: TuningJob) -> "SpaceCodec":
        """How a job's space travels."""

    @abstractmethod
    def findings(self) -> list[Finding]:
        """See `check`."""

    @abstractmethod
    def look_up(self, name: str) -> tuple[TuningJob, Mapping[str, str]]:
        """See `find`."""

    @abstractmethod
    def create(self, run: "RunStore", job: TuningJob, plan: Plan) -> str:
        """Makes the run's tuning job and returns its name, also if an earlier call made it.

        Raises:
            ProviderError: the service refused it, or cannot be reached.
        """

    @abstractmethod
    def watch(self, run: "RunStore", job: TuningJob, plan: Plan) -> "ManagedWatch":
        """A new watch of the run's tuning job."""

    @abstractmethod
    def launcher(self, run: "RunStore", job: TuningJob) -> "Launcher":
        """See `driving.Site`."""

    @abstractmethod
    def final(self, run: "RunStore", job: TuningJob, plan: Plan, folder: Path) -> dict[str, Any]:
        """The plan's request without anything left open; see `to_launch`."""

    @abstractmethod
    def stop_trial(self, place: str) -> None:
        """Asks the job of a driven run's trial to end; nothing if it has."""

    @abstractmethod
    def lines(self, run: "RunStore", trial: Trial, over: driving.Condition) -> Iterator[str]:
        """The lines that a trial printed, with those to come until it is over."""

    @abstractmethod
    def download(self, run: "RunStore", trial: Trial, target: Path) -> list[Path]:
        """See `fetch`."""

    @property
    def passing(self) -> bool:
        """Whether the service is an emulator that may be gone tomorrow, with all that it keeps."""
        return False

    @property
    def away(self) -> bool:
        return True

    # Before a run

    def need_sdk(self) -> None:
        """Makes sure that the service's SDK is there.

        Raises:
            ConfigError: it is not; says how to install it.
        """
        missing = [name for name in self.sdk if not _is_installed(name)]
        if missing:
            raise ConfigError(f"{self.service} needs {', '.join(missing)}; install it with: {install(self.name)}")

    def check(self) -> list[Finding]:
        try:
            self.need_sdk()
        except ConfigError as error:
            return [Finding("SDK", ok=False, message=str(error))]
        return self.findings()

    def find(self, name: str) -> tuple[TuningJob, Mapping[str, str]]:
        self.need_sdk()
        return self.look_up(name)

    def to_launch(self, job: TuningJob, base: Path, folder: Path) -> dict[str, Any]:
        import tempfile  # noqa: PLC0415  # few jobs are launched by other tools

        from cloudtune.api import prepare_in  # noqa: PLC0415
        from cloudtune.store import Store  # noqa: PLC0415

        with tempfile.TemporaryDirectory() as project:
            store = Store(Path(project))
            # The same id again, so that the same job gives the same request.
            prepare_in(store, self, self.name, job, base=base, run_id=job.name)
            run = store.run(job.name)
            request = self.final(run, job, plan_of(run), folder)
            store.close()
        return request

    def verify(self, job: TuningJob, base: Path) -> list[Problem]:
        self.need_sdk()
        return search_problems(job, base) if self.plan(job).mode == "driven" else []

    def prepare(self, run: "RunStore", job: TuningJob) -> None:
        from cloudtune import packing, staging  # noqa: PLC0415

        native, base = run.record().native, Path(run.record().native["base"])
        keep_environment(run, job.trial.environment)
        if job.trial.command is not None or job.trial.function is not None:
            code = packing.pack(job, self.codec(job), base, run.folder / staging.ASSETS, provider=self.name)
            run.write(columns={"native": {**native, "code": code}})
        if plan_of(run).mode == "driven":
            keep_earlier(run, job)

    @classmethod
    @contextlib.contextmanager
    def emulator(cls, mounts: Mapping[str, Path]) -> Iterator[Mapping[str, str]]:
        import importlib  # noqa: PLC0415

        package = cls.__module__.partition(".")[0]
        try:
            emulator = importlib.import_module(f"{package}.emulator").Emulator
        except ImportError as error:
            message = f"the emulator needs {error.name}; install it with: {install(f'{cls.name}-emulator')}"
            raise ConfigError(message) from error
        with emulator(mounts=mounts) as running:
            yield running.environment

    # A run

    def start(self, run: "RunStore") -> None:
        if plan_of(run).mode == "driven":
            driving.start(run)
        elif run.record().state is RunState.WAITING:
            name = self.create(run, job_of(run), plan_of(run))
            run.write(
                columns={"state": RunState.RUNNING.value, "started": time.time()},
                events=[(None, f"it is the tuning job {name}")],
            )

    def follow(self, run: "RunStore", watcher: Watcher | None = None) -> RunState:
        if plan_of(run).mode == "driven":
            return driving.follow(run, self, watcher)
        self.start(run)
        while not (state := run.record().state).ended:
            try:
                with run.driving(), driving.interruptible() as interrupt:
                    return self._watch_to_the_end(run, watcher, lambda: interrupt.level > 0)
            except RunBusy:
                driving.watch(run, watcher)
        return state

    def _watch_to_the_end(self, run: "RunStore", watcher: Watcher | None, leave: driving.Condition) -> RunState:
        from cloudtune.patience import Patience  # noqa: PLC0415
        from cloudtune.watching import Watch  # noqa: PLC0415

        watch, seen, patience = self._watch_of(run), Watch(run), Patience()
        state = RunState.RUNNING
        while True:
            with patience.borne():
                state = watch.look()
            if watcher is not None:
                watcher(seen.progress())
            if state.ended:
                self.settle(run)
                return state
            if driving.pause(self.poll, leave):
                name = run.record().native["job"]
                why = f"it goes on at {self.service} as {name}; `cloudtune resume {run.id}` follows it again"
                run.write(columns={"reason": why})
                return RunState.INTERRUPTED

    def _watch_of(self, run: "RunStore") -> "ManagedWatch":
        """The watch of a run: a new one begins what has not ended anew."""
        self.need_sdk()
        if run.id not in self._watches:
            watch = self.watch(run, job_of(run), plan_of(run))
            watch.lines = lambda trial: self.lines(run, trial, lambda: True)
            self._watches[run.id] = watch, 0.0
        return self._watches[run.id][0]

    def refresh(self, run: "RunStore") -> None:
        record = run.record()
        if json.loads(record.plan)["mode"] == "driven":
            driving.refresh(run)
            return
        if record.state.ended or "job" not in record.native:
            return
        if run.id in self._watches and time.monotonic() - self._watches[run.id][1] < min(_GLANCE, self.poll):
            return
        try:
            with run.driving():
                watch = self._watch_of(run)
                if watch.look().ended:
                    self.settle(run)
                self._watches[run.id] = watch, time.monotonic()
        except RunBusy:
            return  # whoever follows it keeps the store up to date

    def cancel(self, run: "RunStore") -> None:
        if plan_of(run).mode == "driven":
            driving.cancel(run, self)
            return
        run.write(columns={"wish": "cancel"})
        if "job" not in run.record().native:
            driving.end_cancelled(run)
        else:
            self._watch_of(run).stop()

    def logs(self, run: "RunStore", number: int, *, follow: bool = False) -> Iterator[str]:
        from cloudtune.keepsakes import kept_log  # noqa: PLC0415

        trial = _trial(run, number)
        kept = kept_log(run, trial)
        if kept is not None:
            return kept

        def over() -> bool:
            if not follow:
                return True
            self.refresh(run)
            now = run.trial(number)
            return now is None or now.state.ended

        self.need_sdk()
        return self.lines(run, trial, over)

    def fetch(self, run: "RunStore", number: int, target: Path) -> list[Path]:
        from cloudtune.keepsakes import kept_files  # noqa: PLC0415

        trial = _trial(run, number)
        kept = kept_files(run, trial, target)
        if kept is not None:
            return kept
        self.need_sdk()
        return self.download(run, trial, target)

    # What driving needs (see `driving.Site`)

    def abandon(self, run: "RunStore") -> None:
        """See `driving.Site`."""
        for trial in run.trials(TrialState.RUNNING):
            self.stop_trial(trial.place)

    def settle(self, run: "RunStore") -> None:
        """See `driving.Site`; what an emulator keeps of the run is kept beyond its end."""
        from cloudtune import keepsakes  # noqa: PLC0415

        forget(run)
        if self.passing:
            keepsakes.keep(
                run,
                lambda trial: self.lines(run, trial, lambda: True),
                lambda trial, target: self.download(run, trial, target),
            )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that it is in
        return False


def job_of(run: "RunStore") -> TuningJob:
    """The spec of a run."""
    return TuningJob.from_data(json.loads(run.record().job))


def plan_of(run: "RunStore") -> Plan:
    """The plan of a run."""
    return Plan.from_data(json.loads(run.record().plan))


def _trial(run: "RunStore", number: int) -> Trial:
    trial = run.existing(number)
    if not trial.place:
        raise TrialError(f"trial {number} has not started yet")
    return trial
