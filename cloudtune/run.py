"""Run: the handle that a user holds, the same on every provider."""

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cloudtune.job import TuningJob
from cloudtune.outcome import best_trial, pareto_front
from cloudtune.plan import Plan
from cloudtune.provider import Provider, Watcher
from cloudtune.states import Report, RunRecord, RunState, Trial
from cloudtune.store import RunStore

if TYPE_CHECKING:
    import pandas as pd


class Run:
    """A run of a tuning job; made by `submit`, `tune` and `attach`, not by hand."""

    def __init__(self, store: RunStore, provider: Provider) -> None:
        self._store = store
        self._provider = provider

    def __repr__(self) -> str:
        return f"Run({self.id!r}, on={self.record.provider!r}, state={self.record.state.value!r})"

    @property
    def id(self) -> str:
        """The run's id; `attach(id)` finds it again."""
        return self._store.id

    @property
    def folder(self) -> Path:
        """The run's folder on this machine, with its trials' folders where the provider keeps them here."""
        return self._store.folder

    @property
    def record(self) -> RunRecord:
        """What the store knows of the run at the moment."""
        return self._store.record()

    @cached_property
    def job(self) -> TuningJob:
        """The spec; the values of its environment variables are masked."""
        return TuningJob.from_data(json.loads(self.record.job))

    @cached_property
    def plan(self) -> Plan:
        """The plan that the run was made from."""
        return Plan.from_data(json.loads(self.record.plan))

    @property
    def state(self) -> RunState:
        """The run's state, brought up to date."""
        if not self.record.state.ended:
            self._provider.refresh(self._store)
        return self.record.state

    def start(self) -> None:
        """Makes the run go on without this process. Doing it twice makes one job.

        Raises:
            ProviderError: the provider did not take the job.
        """
        self._provider.start(self._store)

    def refreshed(self) -> RunRecord:
        """The record, after a look at how things are."""
        _ = self.state
        return self.record

    def wait(self, watcher: Watcher | None = None) -> RunState:
        """Waits until the run has ended (or is interrupted), and returns its state.

        Args:
            watcher: is told of progress meanwhile.
        """
        return self._provider.follow(self._store, watcher)

    def trials(self) -> list[Trial]:
        """All trials by number, brought up to date."""
        _ = self.state
        return self._store.trials()

    def counts(self) -> dict[str, int]:
        """How many trials are in each state, by the state's name."""
        return self._store.counts()

    def trial(self, number: int) -> Trial | None:
        """One trial, if it exists."""
        return self._store.trial(number)

    def reports(self, number: int | None = None) -> Iterator[Report]:
        """Everything that the trials, or one of them, reported, in the order in which it came."""
        return self._store.reports(number)

    def events(self) -> list[tuple[float, int | None, str]]:
        """What happened and is worth a line: seconds since 1970, trial (None for the run itself), message."""
        return self._store.events()

    @property
    def best(self) -> Trial | None:
        """The completed trial with the best objective; None before the first, and for several objectives."""
        return best_trial(self.job.objective, self.trials())

    @property
    def front(self) -> list[Trial]:
        """The completed trials that no other beats in every objective, by number."""
        return pareto_front(self.job.objective, self.trials())

    def logs(self, number: int, *, follow: bool = False) -> Iterator[str]:
        """The lines that a trial printed; with `follow` also those to come, until it ends.

        Raises:
            TrialError: there is no such trial, or it has no log.
        """
        return self._provider.logs(self._store, number, follow=follow)

    def fetch(self, number: int, target: str | Path) -> list[Path]:
        """Copies what a trial left (its model, its outputs) into a folder, and returns the files.

        Raises:
            TrialError: there is no such trial, or it left nothing.
        """
        return self._provider.fetch(self._store, number, Path(target))

    def cancel(self) -> None:
        """Ends the run now: running trials are stopped, and it cannot be resumed."""
        if not self.state.ended:
            self._provider.cancel(self._store)

    def resume(self) -> "Run":
        """Lets an interrupted run go on, without this process; finished trials are kept, none is run twice."""
        if not self.state.ended:
            self._provider.resume(self._store)
            self._provider.start(self._store)
        return self

    def to_pandas(self) -> "pd.DataFrame":
        """The trials as a table: number, state, parameters (``params_NAME``), metrics (``metrics_NAME``) and times.

        Raises:
            ConfigError: pandas is not installed.
        """
        from cloudtune.tables import to_pandas  # noqa: PLC0415  # pandas is loaded only for this

        return to_pandas(self.trials())

    def report(self, path: str | Path) -> Path:
        """Writes one HTML page about the run that needs no network, and returns its path."""
        from cloudtune.report import write_report  # noqa: PLC0415  # the plotting library is loaded only for this

        return write_report(self, Path(path))
