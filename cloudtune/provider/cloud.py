"""What the providers of cloud services share: a run is one tuning job of the service, or is driven with a job a trial."""

import contextlib
import json
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cloudtune.driver import process as driving
from cloudtune.driver.listeners import ends_with_this_process, gone, may_ask, on_this_machine
from cloudtune.errors import ConfigError, Problem, ProviderError, RunBusy, TrialError
from cloudtune.planning.plan import Plan
from cloudtune.plugins.extras import install
from cloudtune.provider.driven import keep_earlier, search_problems
from cloudtune.provider.interface import Finding, Provider
from cloudtune.provider.reachable import answers
from cloudtune.results.progress import Watcher
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, Trial, TrialState
from cloudtune.store.secrets import forget, keep_environment

if TYPE_CHECKING:
    from cloudtune.driver.launcher import Launcher
    from cloudtune.provider.managed import ManagedWatch
    from cloudtune.space.space_codec import SpaceCodec
    from cloudtune.store.store import RunStore

_REACH = 2.0
"""Seconds within which the service has to show that it is there, before it is asked for a log or files."""

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

    emulation: ClassVar[Mapping[str, Any]] = {}
    """Settings of the service's emulator where it stands in for the user's own account, whose things it cannot know."""

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
    def log_in(self) -> None:
        """Find the credentials of this machine's user; nothing is changed, here or at the service.

        Raises:
            ConfigError: what the profile says of them cannot be used.
            CredentialError: there are none; says how to log in.
        """

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
    @abstractmethod
    def endpoint(self) -> str | None:
        """The address of another service than the real one, such as an emulator; None for the real one."""

    @property
    @abstractmethod
    def address(self) -> str | None:
        """The address of the real service; None where it is not known without its SDK."""

    def emulators(self) -> Mapping[str, str]:
        endpoint = self.endpoint
        return {self.name: endpoint} if endpoint is not None and on_this_machine(endpoint) else {}

    def addresses(self) -> Mapping[str, str]:
        address = self.endpoint or self.address
        return {} if address is None else {self.service: address}

    def reach(self, run: "RunStore") -> None:
        """Make sure that the service may be asked about a run: whatever does so calls this first.

        Raises:
            ConfigError: the service's SDK is missing.
            ProviderError: the run is emulated and its emulator is gone, or this process leads elsewhere; an emulated run is
                never looked for at the real service.
        """
        may_ask(run.record(), self.emulators(), [self.name])
        self.need_sdk()

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

        from cloudtune.provider.preparing import prepare_in  # noqa: PLC0415
        from cloudtune.store.store import Store  # noqa: PLC0415

        with tempfile.TemporaryDirectory() as project:
            store = Store(Path(project))
            # The same id again, so that the same job gives the same request.
            run = prepare_in(store, self, self.name, job, base=base, run_id=job.name)
            request = self.final(run, job, plan_of(run), folder)
            store.close()
        return request

    def verify(self, job: TuningJob, base: Path) -> list[Problem]:
        self.need_sdk()
        return search_problems(job, base) if self.plan(job).mode == "driven" else []

    def prepare(self, run: "RunStore", job: TuningJob) -> None:
        from cloudtune.bundle import shipment as packing  # noqa: PLC0415
        from cloudtune.bundle import upload as staging  # noqa: PLC0415

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
        with emulator(mounts=mounts, **cls.emulation) as running:
            yield running.environment

    # A run

    def _begin(self, run: "RunStore") -> None:
        """Make sure that a run which has not begun can: no process drives it where nobody is logged in.

        Raises:
            ConfigError: the service's SDK is missing, or what the profile says of credentials cannot be used.
            CredentialError: there are no credentials.
            ProviderError: the run is emulated, and this process leads elsewhere.
        """
        if run.record().state is RunState.WAITING:
            self.reach(run)
            self.log_in()

    def start(self, run: "RunStore") -> None:
        if plan_of(run).mode == "driven":
            self._begin(run)
            driving.start(run)
        elif run.record().state is RunState.WAITING:
            self.reach(run)
            name = self.create(run, job_of(run), plan_of(run))
            run.write(
                columns={"state": RunState.RUNNING.value, "started": time.time()},
                events=[(None, f"it is the tuning job {name}")],
            )

    def follow(self, run: "RunStore", watcher: Watcher | None = None) -> RunState:
        if plan_of(run).mode == "driven":
            self._begin(run)
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
        from cloudtune.driver.follower import RunFollower  # noqa: PLC0415
        from cloudtune.driver.outages import OutageTolerance  # noqa: PLC0415

        watch, seen, patience = self._watch_of(run), RunFollower(run), OutageTolerance()
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
                if ends_with_this_process(run.record()):
                    return self._interrupt(run, watch)
                name = run.record().native["job"]
                why = f"it goes on at {self.service} as {name}; `cloudtune resume {run.id}` follows it again"
                run.write(columns={"reason": why})
                return RunState.INTERRUPTED

    def _interrupt(self, run: "RunStore", watch: "ManagedWatch") -> RunState:
        """End a run whose emulator is about to end with this process; what there is of it is kept."""
        watch.look()
        self.keep(run)
        anew = f"`cloudtune resume {run.id}` begins it anew in another, without its trials so far"
        reason = f"its emulator ended with the command that started it, and the tuning job with it; {anew}"
        columns = {"state": RunState.INTERRUPTED.value, "reason": reason}
        run.write(columns=columns, events=[(None, f"interrupted: {reason}")])
        return RunState.INTERRUPTED

    def _watch_of(self, run: "RunStore") -> "ManagedWatch":
        """The watch of a run: a new one begins what has not ended anew."""
        self.reach(run)
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
        record = run.record()
        if "job" not in record.native or gone(record):
            driving.end_cancelled(run)
        else:
            self._watch_of(run).stop()

    def logs(self, run: "RunStore", number: int, *, follow: bool = False) -> Iterator[str]:
        from cloudtune.store.archive import keeping, kept_log  # noqa: PLC0415

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

        self._reach_for(run, trial, "printed")
        lines = self.lines(run, trial, over)
        return keeping(run, trial, lines) if trial.state.ended else lines

    def fetch(self, run: "RunStore", number: int, target: Path) -> list[Path]:
        from cloudtune.store.archive import kept_files  # noqa: PLC0415

        trial = _trial(run, number)
        kept = kept_files(run, trial, target)
        if kept is not None:
            return kept
        self._reach_for(run, trial, "left")
        return self.download(run, trial, target)

    def _reach_for(self, run: "RunStore", trial: Trial, what: str) -> None:
        """Make sure that the service may be asked what a trial printed or left.

        Raises:
            TrialError: that was in an emulator which is gone.
            ProviderError: see `reach`.
        """
        if gone(run.record()):
            raise TrialError(f"what trial {trial.number} {what} is gone with the emulator that it ran in")
        self.reach(run)
        for service, address in self.addresses().items():
            if not answers(address, _REACH):
                where = f"what trial {trial.number} {what} is at {service}"
                raise ProviderError(f"{where}, which cannot be reached", code="Connection", retryable=True)

    # What driving needs (see `driving.Site`)

    def abandon(self, run: "RunStore") -> None:
        """See `driving.Site`; with an emulator its trials have ended."""
        if gone(run.record()):
            return
        self.reach(run)
        for trial in run.trials(TrialState.RUNNING):
            self.stop_trial(trial.place)

    def settle(self, run: "RunStore") -> None:
        """See `driving.Site`; what an emulator keeps of the run is kept beyond its end."""
        forget(run)
        self.keep(run)

    def keep(self, run: "RunStore") -> None:
        """Keep what an emulator has of the run beyond its end; nothing of a real service, or where it has ended."""
        from cloudtune.store import archive as keepsakes  # noqa: PLC0415

        if self.emulators() and not gone(run.record()):
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
