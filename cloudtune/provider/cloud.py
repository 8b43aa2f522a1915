"""The base of providers of cloud services: a run is one tuning job of the service, or is driven with a job for each trial."""

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from cloudtune.driver.process import Site
from cloudtune.errors import ConfigError, Problem
from cloudtune.planning.plan import Plan
from cloudtune.planning.translation import with_environment
from cloudtune.provider.driven import keep_earlier, search_problems
from cloudtune.provider.interface import Finding, Provider
from cloudtune.provider.service import Service
from cloudtune.provider.settings import ServiceSettings
from cloudtune.results.progress import Watcher
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState
from cloudtune.store.secrets import forget_packed, keep_environment

if TYPE_CHECKING:
    from cloudtune.driver.launcher import Launcher
    from cloudtune.driver.outputs import RunBrief
    from cloudtune.driver.polling import JobRunner
    from cloudtune.provider.driven_run import DrivenRun
    from cloudtune.provider.managed_run import ManagedRun, Tuner
    from cloudtune.space.space_codec import SpaceCodec
    from cloudtune.store.store import RunStore


class CloudProvider(Service, Provider, Site):
    """Runs jobs on a cloud service: by its own tuner, or driven with a plain job for each trial.

    The name of a run's tuning job on the service is kept as ``job`` in `RunRecord.native`.
    """

    settings_type: ClassVar[type[ServiceSettings]] = ServiceSettings
    """What a profile may say besides the provider's name."""

    variables: ClassVar[str] = ""
    """Name of the fields of a request that hold environment variables; see `cloudtune.planning.translation.with_environment`."""

    def __init__(self, settings: Mapping[str, Any], mounts: Mapping[str, Path] | None = None) -> None:
        super().__init__(settings, mounts)
        neutral = {} if self.words is None else self.words.settings
        self._settings = self.settings_type.of(settings, self.name, neutral)
        self._managed: dict[str, ManagedRun] = {}

    @property
    def poll(self) -> float:
        return self._settings.poll

    @property
    def endpoint(self) -> str | None:
        return self._settings.endpoint

    @property
    def address(self) -> str | None:
        return None

    # What each service does in its own way

    @abstractmethod
    def codec(self, job: TuningJob) -> "SpaceCodec":
        """Return how the values of a job's space travel to the service and back."""

    @abstractmethod
    def findings(self) -> list[Finding]:
        """Return what a run needs at the service and whether it is there; the SDK is."""

    @abstractmethod
    def look_up(self, name: str) -> tuple[TuningJob, Mapping[str, str]]:
        """Return the spec of a tuning job of the service, and what a run's record has to keep of it (``job``: its name).

        Args:
            name: the service's own.

        Raises:
            RunNotFound: the service has no such job.
            ProviderError: the service cannot be reached, or refuses.
        """

    @abstractmethod
    def request(self, run: "RunStore", job: TuningJob, plan: Plan, folder: Path | None = None) -> dict[str, Any]:
        """Return the plan's request without anything left open, after code and data have been uploaded.

        Args:
            run: the run.
            job: the spec.
            plan: its plan.
            folder: where the request will lie, from where another tool launches it; None where it is sent at once.

        Raises:
            ProviderError: the service refused the uploads, or cannot be reached.
        """

    @abstractmethod
    def tuner(self, brief: "RunBrief") -> "Tuner":
        """Return the service's tuner of a managed run. Nothing is asked and nothing made yet."""

    def runner(self, brief: "RunBrief") -> "JobRunner":  # noqa: ARG002  # none here
        """Return what runs the trials of a driven run as plain jobs. Nothing is asked and nothing made yet.

        A provider whose plans are all managed has none.
        """
        raise ConfigError(f"{self.service} has no plain jobs for cloudtune to drive")

    @property
    def away(self) -> bool:
        return True

    # Before a run

    @property
    def inputs(self) -> list[str]:
        """The places on this service that the config says hold data, where trials read them."""
        if self.tables is None or self.words is None:
            return []
        return self.tables.places.of_service(self.words)

    def to_native(self, job: TuningJob) -> dict[str, Any]:
        plan = self.plan(job)
        plan.refuse()
        request: dict[str, Any] = with_environment(plan.request, job.trial.environment, self.variables)
        return request

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
            request = self.request(run, job, plan_of(run), folder)
            store.close()
        return request

    def verify(self, job: TuningJob, base: Path) -> list[Problem]:
        self.need_sdk()
        return search_problems(job, base) if self.plan(job).mode == "driven" else []

    def prepare(self, run: "RunStore", job: TuningJob) -> None:
        from cloudtune.provider.repacking import keep_program  # noqa: PLC0415  # reading a run packs nothing

        keep_environment(run, job.trial.environment)
        if job.trial.command is not None or job.trial.function is not None:
            self._pack(run, job)
        driven = plan_of(run).mode == "driven"
        if driven or not self.extends(run):
            keep_program(run, job)
        if driven:
            keep_earlier(run, job)

    def reopen(self, run: "RunStore", job: TuningJob) -> None:
        """Pack the code of a run again, which is removed when it ends.

        Raises:
            ConfigError: the program is gone, or has changed; a run of the service's tuner ends for good, unless it `extends`.
        """
        from cloudtune.provider.repacking import check_program  # noqa: PLC0415  # few runs go on after their end

        if plan_of(run).mode == "managed" and self.extends(run):
            super().reopen(run, job)
        self._managed.pop(run.id, None)  # it has the limits of before
        check_program(run, job)
        keep_environment(run, job.trial.environment)
        forget_packed(run)
        if job.trial.command is not None or job.trial.function is not None:
            self._pack(run, job)

    def _pack(self, run: "RunStore", job: TuningJob) -> None:
        from cloudtune.bundle.shipment import pack  # noqa: PLC0415
        from cloudtune.bundle.upload import ASSETS  # noqa: PLC0415

        native, assets = run.record().native, run.folder / ASSETS
        base, codec = Path(native["base"]), self.codec(job)
        code = pack(job, codec, base, assets, provider=self.name, contract=self._contract())
        run.write(columns={"native": {**native, "code": code}})

    @classmethod
    def _contract(cls) -> Path:
        """Return the file of the module ``container`` of the provider's package."""
        found = find_spec(f"{cls.__module__.partition('.')[0]}.container")
        assert found is not None
        assert found.origin is not None
        return Path(found.origin)

    # A run

    def managed(self, run: "RunStore") -> "ManagedRun":
        """Return a run of the service's tuner, the same each time: it knows what it has read already."""
        from cloudtune.provider.managed_run import ManagedRun  # noqa: PLC0415  # planning needs none of it

        if run.id not in self._managed:
            self._managed[run.id] = ManagedRun(
                self, run, lambda: self.tuner(self._brief(run)), job_of(run), plan_of(run)
            )
        return self._managed[run.id]

    def driven(self, run: "RunStore") -> "DrivenRun":
        """Return a run that cloudtune drives."""
        from cloudtune.provider.driven_run import DrivenRun  # noqa: PLC0415  # planning needs none of it

        return DrivenRun(self, run, lambda: self.runner(self._brief(run)), self)

    def _brief(self, run: "RunStore") -> "RunBrief":
        from cloudtune.driver.outputs import RunBrief  # noqa: PLC0415

        record, job, plan = run.record(), job_of(run), plan_of(run)
        request = partial(self.request, run, job, plan)
        return RunBrief(run.id, job, plan, record.native, record.created, self.poll, request, run.folder)

    def _run(self, run: "RunStore") -> "ManagedRun | DrivenRun":
        """Return the run as its plan's mode says: the one place where that is asked."""
        return self.driven(run) if json.loads(run.record().plan)["mode"] == "driven" else self.managed(run)

    def start(self, run: "RunStore") -> None:
        self._run(run).start()

    def follow(self, run: "RunStore", watcher: Watcher | None = None) -> RunState:
        return self._run(run).follow(watcher)

    def refresh(self, run: "RunStore") -> None:
        self._run(run).refresh()

    def cancel(self, run: "RunStore") -> None:
        self._run(run).cancel()

    def logs(self, run: "RunStore", number: int, *, follow: bool = False) -> Iterator[str]:
        return self._run(run).logs(number, follow=follow)

    def fetch(self, run: "RunStore", number: int, target: Path) -> list[Path]:
        return self._run(run).fetch(number, target)

    def kept(self, run: "RunStore") -> list[str]:
        from cloudtune.provider.driven_run import KEPT  # noqa: PLC0415  # few runs keep anything

        native = run.record().native
        return [native[KEPT]] if KEPT in native else []

    def release(self, run: "RunStore") -> None:
        self.driven(run).release()

    # A site of driven runs

    def launcher(self, run: "RunStore", job: TuningJob) -> "Launcher":  # noqa: ARG002  # the run has it
        return self.driven(run).launcher()

    def abandon(self, run: "RunStore") -> None:
        self.driven(run).abandon()

    def settle(self, run: "RunStore") -> None:
        self.driven(run).settle()

    def keep(self, run: "RunStore") -> None:
        self.driven(run).keep()


def job_of(run: "RunStore") -> TuningJob:
    """Return the spec of a run."""
    return TuningJob.from_data(json.loads(run.record().job))


def plan_of(run: "RunStore") -> Plan:
    """Return the plan of a run."""
    return Plan.from_data(json.loads(run.record().plan))
