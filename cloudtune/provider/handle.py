"""One run on its provider: reading, following and ending it."""

import json
from collections.abc import Iterator
from pathlib import Path

from cloudtune.driver.follower import RunFollower, watched_by
from cloudtune.driver.standing import as_it_is, lost_emulators, settle
from cloudtune.errors import CloudtuneError, ConfigError, TrialError
from cloudtune.provider.interface import Provider
from cloudtune.results.progress import Watcher
from cloudtune.store.records import ELSEWHERE, RunRecord, RunState, Trial, TrialState
from cloudtune.store.stops import ask_to_stop
from cloudtune.store.store import RunStore


class RunHandle:
    """A run in a store, and the provider that runs it.

    Args:
        store: of the run.
        provider: made from the run's profile.
    """

    def __init__(self, store: RunStore, provider: Provider) -> None:
        self._store = store
        self._provider = provider

    @property
    def id(self) -> str:
        """The run's id; `attach(id)` finds it again."""
        return self._store.id

    @property
    def record(self) -> RunRecord:
        """The run's record in the store; INTERRUPTED if its driver or its emulator on this machine has ended."""
        return as_it_is(self._store)

    @property
    def writable(self) -> bool:
        """Whether this process may change the run; False for a project that it can only read."""
        return self._store.store.writable

    @property
    def state(self) -> RunState:
        """The run's state as it was last seen; `refresh` brings it up to date."""
        return self.record.state

    def start(self) -> None:
        """Make the run go on without this process. Doing it twice makes one job.

        Raises:
            ProviderError: the provider did not take the job.
        """
        self._provider.start(self._store)

    def refresh(self) -> RunState:
        """Ask the service about the run, once, and return its state. Nothing else but `wait` brings the store up to date.

        A run that has ended is not asked for, nor one whose emulator is gone, nor where the store may only be read.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """
        record = settle(self._store)
        if not record.state.ended and self.writable and not lost_emulators(self._store):
            self._provider.refresh(self._store)
        return self.state

    def wait(self, watcher: Watcher | None = None) -> RunState:
        """Wait until the run has ended (or is interrupted), and return its state.

        A run whose emulator ends is interrupted.

        Args:
            watcher: called with the progress meanwhile. If it raises, it is dropped and the run goes on; its exception is
                raised once the run has ended.
        """
        if settle(self._store).state is RunState.INTERRUPTED and lost_emulators(self._store):
            return RunState.INTERRUPTED
        try:
            with watched_by(self._store, watcher) as onlooker:
                return self._provider.follow(self._store, onlooker)
        except CloudtuneError:
            if not lost_emulators(self._store) or settle(self._store).state is not RunState.INTERRUPTED:
                raise
            return RunState.INTERRUPTED

    def follower(self) -> RunFollower:
        """Return what counts the run's progress from one call to the next, as the store has it."""
        return RunFollower(self._store)

    def trials(self) -> list[Trial]:
        """Return all trials by number."""
        return self._store.trials()

    def logs(self, number: int, *, follow: bool = False) -> Iterator[str]:
        """Return the lines that a trial printed; with `follow` also those to come, until it ends.

        Raises:
            TrialError: there is no such trial, or it has no log.
        """
        return self._provider.logs(self._store, number, follow=follow)

    def fetch(self, number: int, target: str | Path) -> list[Path]:
        """Copy what a trial left (its model, its outputs) into a folder, and return the files.

        Raises:
            TrialError: there is no such trial, or it left nothing.
        """
        return self._provider.fetch(self._store, number, Path(target))

    def cancel(self) -> None:
        """End the run now: running trials are stopped, and it cannot be resumed."""
        if not self.refresh().ended:
            self._provider.cancel(self._store)

    def stop_trial(self, number: int) -> None:
        """Have the run's driver stop one trial, which ends as cancelled; the run goes on with others.

        Return when the request is recorded. Where no driver runs, a waiting trial is cancelled when the run goes on.

        Raises:
            TrialError: there is no such trial, or it has ended or is paused.
            ConfigError: a service's own tuner runs the trials, or the driver is a job elsewhere: they do not see what is asked here.
        """
        trial, record = self._store.existing(number), self.record
        if trial.state not in (TrialState.WAITING, TrialState.RUNNING) or record.state.ended:
            state = (
                trial.state.value
                if not record.state.ended
                else f"{trial.state.value}, and {self.id} {record.state.value}"
            )
            raise TrialError(f"trial {number} of {self.id} is {state}; only a trial that waits or runs can be stopped")
        whole = f"all of it ends with: {self._store.command('cancel')}"
        if json.loads(record.plan).get("mode") == "managed":
            raise ConfigError(
                f"{record.provider}'s own tuner runs the trials of {self.id}, which cannot be stopped one by one; {whole}"
            )
        if ELSEWHERE in record.native and record.state is not RunState.INTERRUPTED:
            raise ConfigError(
                f"the driver of {self.id} is a job on {record.native[ELSEWHERE]}, which does not see what is asked here; {whole}"
            )
        ask_to_stop(self._store, number)
