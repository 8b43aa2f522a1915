"""A run on a service, driven by cloudtune with a plain job for each trial."""

from collections.abc import Callable
from functools import cached_property

from cloudtune.driver import process as driver_process
from cloudtune.driver.launcher import Launcher
from cloudtune.driver.listeners import gone
from cloudtune.driver.polling import JobLauncher, JobRunner
from cloudtune.errors import ProviderError
from cloudtune.provider.service import Service
from cloudtune.provider.service_run import ServiceRun
from cloudtune.results.progress import Watcher
from cloudtune.store.records import RunState
from cloudtune.store.store import RunStore

KEPT = "kept"
"""The key of `RunRecord.native` under which stands what is kept at the service for the run's trials, and costs."""


class DrivenRun(ServiceRun):
    """A run whose trials cloudtune suggests, and a service runs.

    Args:
        service: that runs its trials.
        run: the run.
        runner: makes what runs its trials, when it is first needed.
        site: of the driver; gives this run's `launcher`, `abandon`, `settle` and `keep`.
    """

    def __init__(
        self, service: Service, run: RunStore, runner: Callable[[], JobRunner], site: driver_process.Site
    ) -> None:
        super().__init__(service, run)
        self._make = runner
        self._site = site

    @cached_property
    def runner(self) -> JobRunner:
        """Runs the trials as plain jobs."""
        return self._make()

    @property
    def outputs(self) -> JobRunner:
        return self.runner

    def start(self) -> None:
        self._check_login()
        driver_process.start(self.run)

    def follow(self, watcher: Watcher | None = None) -> RunState:
        self._check_login()
        return driver_process.follow(self.run, self._site, watcher)

    def _check_login(self) -> None:
        """Check the credentials before a run begins: a driver in the background could not ask for them.

        Raises:
            ConfigError: the service's SDK is missing, or what the profile says of credentials cannot be used.
            CredentialError: there are no credentials.
            ProviderError: the run is emulated, and this process leads elsewhere.
        """
        if self.run.record().state is RunState.WAITING:
            self.service.reach(self.run)
            self.service.log_in()

    def refresh(self) -> None:
        driver_process.refresh(self.run)

    def cancel(self) -> None:
        driver_process.cancel(self.run, self._site)

    def launcher(self) -> Launcher:
        """Return what launches the run's trials; see `driver_process.Site.launcher`."""
        self.service.reach(self.run)
        if self.runner.kept:
            self._note(self.runner.kept)
            self.run.write(events=[(None, f"uses {self.runner.kept}, given back when the run ends")])
        return JobLauncher(self.runner)

    def _note(self, kept: str) -> None:
        """Write down what is kept at the service for the run; "" for nothing more."""
        native = {name: text for name, text in self.run.record().native.items() if name != KEPT}
        self.run.write(columns={"native": {**native, **({KEPT: kept} if kept else {})}})

    def keep(self) -> None:
        super().keep()
        try:
            self.release()
        except ProviderError as error:
            kept = f"{self.runner.kept} is kept and costs until `cloudtune gc` has released it"
            self.run.write(events=[(None, f"{error}; {kept}")])

    def release(self) -> None:
        """Give back what is kept for the run's trials; see `Provider.release`."""
        record = self.run.record()
        if KEPT not in record.native or self.run.launched():
            return
        if not gone(record):
            self.service.reach(self.run)
            self.runner.release()
        self._note("")

    def abandon(self) -> None:
        """Ask the jobs of running trials to end; with an emulator they have ended."""
        if gone(self.run.record()):
            return
        self.service.reach(self.run)
        for trial in self.run.launched():
            self.runner.stop(trial.place)
