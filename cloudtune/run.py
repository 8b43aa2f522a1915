"""Run: the handle that a user holds, the same on every provider."""

import contextlib
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cloudtune.errors import StoreError
from cloudtune.job import TuningJob
from cloudtune.outcome import best_trial, pareto_front
from cloudtune.plan import Plan
from cloudtune.provider import Provider, Watcher
from cloudtune.states import Report, RunRecord, RunState, Trial
from cloudtune.store import RunStore
from cloudtune.watching import watched_by

if TYPE_CHECKING:
    import pandas as pd
    from optuna.storages import BaseStorage

    from cloudtune.publishing.target import Published


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
            watcher: is told of progress meanwhile. If it raises, it is dropped and the run goes on; its exception is
                raised once the run has ended.
        """
        with watched_by(self._store, watcher) as onlooker:
            return self._provider.follow(self._store, onlooker)

    def trials(self) -> list[Trial]:
        """All trials by number, brought up to date."""
        _ = self.state
        return self._store.trials()

    def changes(self, since: int = 0) -> tuple[int, list[Trial]]:
        """The trials that changed in the store after a revision (0 for all), and the revision to ask with next time."""
        return self._store.changes(since)

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

    def note(self, message: str) -> None:
        """Adds a line to what happened (`events`), where the store can be written."""
        with contextlib.suppress(StoreError):
            self._store.write(events=[(None, message)])

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

        Whole numbers and booleans stay such where trials have none (pandas' nullable types); a parameter of mixed
        types is a column of Python objects.

        Raises:
            ConfigError: pandas is not installed.
        """
        from cloudtune.tables import to_pandas, trial_rows  # noqa: PLC0415  # pandas is loaded only for this

        return to_pandas(trial_rows(self.trials()))

    def reports_to_pandas(self) -> "pd.DataFrame":
        """The learning curves as a table: a row a report with number, attempt, step, time and ``metrics_NAME``.

        Raises:
            ConfigError: pandas is not installed.
        """
        from cloudtune.tables import report_rows, to_pandas  # noqa: PLC0415  # pandas is loaded only for this

        _ = self.state
        return to_pandas(report_rows(self.reports()))

    def to_parquet(self, path: str | Path, *, reports: bool = False) -> Path:
        """Writes the trials (or their reports) as a parquet file with the columns of `to_pandas`, and returns its path.

        A column has one type: values of mixed types are JSON texts. Whole numbers stay such where trials have none; pandas
        reads them so with ``read_parquet(path, dtype_backend="numpy_nullable")``.

        Args:
            path: of the file.
            reports: whether to write the table of `reports_to_pandas`.

        Raises:
            ConfigError: pyarrow is not installed.
        """
        from cloudtune.tables import parquet, report_rows, trial_rows  # noqa: PLC0415  # pyarrow is loaded only for this

        trials = self.trials()
        data = parquet(report_rows(self.reports()) if reports else trial_rows(trials))
        Path(path).write_bytes(data)
        return Path(path)

    def publish(
        self,
        *,
        optuna: "str | BaseStorage | None" = None,
        mlflow: str | None = None,
        experiment: str | None = None,
        tensorboard: str | Path | None = None,
        follow: bool = False,
    ) -> "list[Published]":
        """Brings the run to other tools, each with the extra of its name. Doing it again adds what is new, nothing twice.

        Args:
            optuna: a URL such as ``sqlite:///study.db``, the path of a journal, or a storage of Optuna: takes a study
                of the run's id, which optuna-dashboard shows.
            mlflow: the URI of a tracking server or store: takes a run of MLflow with one below it for each trial.
            experiment: of MLflow; None for MLFLOW_EXPERIMENT_NAME, or else the job's name.
            tensorboard: a folder: takes event files for HParams, with a session a trial, and scalars.
            follow: whether to go on until the run has ended or is interrupted.

        Returns:
            Where the run is now, and how to look at it.

        Raises:
            ConfigError: an address is none, a package is not installed, or something else has the run's place there.
            ProviderError: a target cannot be reached.
            RunBusy: another process publishes the run to the same place.
        """
        from cloudtune.publishing import publisher_of  # noqa: PLC0415  # other tools are loaded only for this

        targets = publisher_of(self, optuna=optuna, mlflow=mlflow, experiment=experiment, tensorboard=tensorboard)
        with targets as publisher:
            publisher.publish(follow=follow)
            return publisher.published

    def report(self, path: str | Path) -> Path:
        """Writes one HTML page about the run that needs no network, and returns its path."""
        from cloudtune.report import write_report  # noqa: PLC0415  # the plotting library is loaded only for this

        return write_report(self, Path(path))
