"""Run: a user's handle of a run, the same for every provider."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.costs.views import RunCost, cost_of
from cloudtune.driver.listeners import is_served, listeners_of, may_ask
from cloudtune.driver.standing import lost_emulators, resumable_if_broken_off, revive
from cloudtune.errors import (
    ConfigError,
    NotLaunched,
    Problem,
    ProviderError,
    RunBusy,
    SpecError,
    StoreError,
    UnsupportedError,
    in_one_line,
)
from cloudtune.notifying.telling import telling
from cloudtune.planning.plan import Plan
from cloudtune.provider.emulated import emulate
from cloudtune.provider.handle import RunHandle
from cloudtune.remote.resolving import config_folder, provider_of
from cloudtune.report import write_report
from cloudtune.results.confirmation import Confirmed, settled
from cloudtune.results.constraints import nearest_trial
from cloudtune.results.contenders import contenders
from cloudtune.results.objectives import best_trial, pareto_front
from cloudtune.results.progress import Watcher
from cloudtune.results.tables import parquet, report_rows, to_pandas, trial_rows
from cloudtune.space.parameters import Scalar
from cloudtune.space.space import Values
from cloudtune.spec.first import first_problems
from cloudtune.spec.job import TuningJob
from cloudtune.store.enqueued import enqueue, enqueued, refuse_where_none_is_taken
from cloudtune.store.outcomes import charges, page
from cloudtune.store.records import ELSEWHERE, WRITTEN, Report, RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import RunStore, Store

if TYPE_CHECKING:
    import pandas as pd
    from optuna.storages import BaseStorage

    from cloudtune.driver.replay import Replay
    from cloudtune.publishing.target import Published
    from cloudtune.report.plots import Plots


class Run(RunHandle):
    """A run of a tuning job; `submit`, `tune` and `attach` return it.

    Reading it (`state`, `record`, `trials`, `best`, `counts`, `reports`, tables, reports) returns at once what the
    store has, and never asks the service. `refresh` asks the service once; `wait` follows the run to its end; `cancel`,
    `resume`, `logs`, `fetch` and `publish` use the service because they have to. To poll: ``while not
    run.refresh().ended``.
    """

    def __repr__(self) -> str:
        return f"Run({self.id!r}, on={self.record.provider!r}, state={self.record.state.value!r})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows of the run; see `cloudtune.report.cards`."""
        from cloudtune.report.cards import run_card  # noqa: PLC0415  # only notebooks need it

        return run_card(self, self._store.command("show"))

    @property
    def plot(self) -> "Plots":
        """The run's charts as figures of plotly: ``run.plot.history()``, `parallel`, `importance`, `slice`, `curves`."""
        from cloudtune.report.plots import Plots  # noqa: PLC0415  # only those who draw need it

        return Plots(self)

    @property
    def folder(self) -> Path:
        """The run's folder on this machine, with its trials' folders where the provider has them on this machine."""
        return self._store.folder

    @property
    def project(self) -> Path:
        """The folder whose store holds the run."""
        return self._store.store.project

    @property
    def addresses(self) -> Mapping[str, str]:
        """The addresses of the services that `refresh` asks, as far as they are known, by the service's name."""
        return self._provider.addresses()

    @property
    def lost_emulators(self) -> bool:
        """Whether the run's emulator has ended before the run did."""
        return bool(lost_emulators(self._store))

    @property
    def leads_to_emulators(self) -> bool:
        """Whether the config and environment of this process name running emulators for all of the run's."""
        found = provider_of(self._store.record(), self.project).emulators()
        return all(is_served(found[name]) if name in found else False for name in self._store.record().emulators)

    def check_emulators(self) -> None:
        """Raise an error unless this process would ask the run's own emulators, or services for a real run.

        Raises:
            ProviderError: it would not, or an emulator is gone.
        """
        record, here = self._store.record(), self._provider.emulators()
        may_ask(record, here, {*record.emulators, *here})

    def for_another_thread(self) -> "Run":
        """Return the same run with its own connection to the store and its own clients."""
        store = RunStore(Store(self.project), self.id)
        return Run(store, provider_of(store.record(), self.project))

    @cached_property
    def job(self) -> TuningJob:
        """The spec in the words of the run's service; the values of its environment variables are masked."""
        with self._undamaged("its job"):
            return TuningJob.from_data(json.loads(self._store.record().job))

    @cached_property
    def written(self) -> TuningJob:
        """The spec as it was written, perhaps in the words of another service; its notes in `plan` say what became of it."""
        record = self._store.record()
        with self._undamaged("its job as written"):
            return TuningJob.from_data(json.loads(record.native.get(WRITTEN, record.job)))

    @cached_property
    def plan(self) -> Plan:
        """The plan of the run."""
        with self._undamaged("its plan"):
            return Plan.from_data(json.loads(self._store.record().plan))

    @contextlib.contextmanager
    def _undamaged(self, what: str) -> Iterator[None]:
        try:
            yield
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            why = f": {in_one_line(error)}" if isinstance(error, SpecError) else ""  # it may name a missing package
            raise self._store.damaged(f"{what} is none{why}") from error

    @contextlib.contextmanager
    def unless_refused(self) -> Iterator[None]:
        """Remove the run if the provider refuses it within the context, before it has started: without credentials, say.

        One that Ctrl-C keeps from starting is left interrupted.
        """
        try:
            with resumable_if_broken_off(self._store):
                yield
        except (ProviderError, ConfigError, UnsupportedError, NotLaunched) as error:
            passing = isinstance(error, ProviderError) and error.retryable  # then the service may have accepted it
            record = self._store.record()
            if not passing and record.state is RunState.WAITING and "job" not in record.native:
                self._store.remove()
            raise

    tells: bool = True
    """Whether the channels of the job and the config are told how the run goes; False for a rehearsal."""

    def _telling(self, *, live: bool = False) -> contextlib.AbstractContextManager[None]:
        if not self.tells:
            return contextlib.nullcontext()
        return telling(self._store, config_folder(self._store.record()), live=live)

    def refresh(self) -> RunState:
        with self._telling():
            return super().refresh()

    def wait(self, watcher: Watcher | None = None) -> RunState:
        with self._telling(live=True), resumable_if_broken_off(self._store):
            return super().wait(watcher)

    async def finished(self, watcher: Watcher | None = None) -> RunState:
        """Wait for the run from a coroutine: ``state = await run.finished()``; return its state once it has ended or is interrupted.

        The event loop goes on meanwhile, and several runs can be awaited at once (`asyncio.gather`). A run that nobody has
        started is started; a process of its own drives it then. To cancel the task ends the waiting, and not the run.

        Args:
            watcher: called in the event loop with the progress, some times a second, or all 5 seconds where a service runs the
                job by itself.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """
        from cloudtune.provider.awaiting import finished  # noqa: PLC0415  # asyncio is not for every program

        asks = self.plan.mode == "managed" or ELSEWHERE in self._store.record().native
        return await finished(self.for_another_thread, watcher, asks=asks)

    def cancel(self) -> None:
        with self._telling():
            super().cancel()

    def refreshed(self) -> RunRecord:
        """Refresh the run, and return its record."""
        self.refresh()
        return self.record

    def changes(self, since: int = 0) -> tuple[int, list[Trial]]:
        """Return the trials changed in the store after a revision (0 for all), and the revision to pass next time."""
        return self._store.changes(since)

    def counts(self) -> dict[str, int]:
        """Return the number of trials in each state, by the state's name."""
        return self._store.counts()

    def trial(self, number: int) -> Trial | None:
        """Return a trial; None if it does not exist."""
        return self._store.trial(number)

    def page(self, *states: TrialState, limit: int | None = None, skip: int = 0) -> list[Trial]:
        """Return some trials by number: at most `limit` of those in one of the states, after the first `skip` of them."""
        return page(self._store, states, limit, skip)

    @property
    def contenders(self) -> list[Trial]:
        """The trials that `best`, `front`, `nearest` and `confirmed` follow from: of many trials a few."""
        return contenders(self._store, self.job.objective, self.job.constraints)

    def reports(self, number: int | None = None) -> Iterator[Report]:
        """Yield the reports of all trials, or of one, in the order in which they came."""
        return self._store.reports(number)

    def events(self) -> list[tuple[float, int | None, str]]:
        """Return the run's events in order: seconds since 1970, trial (None for the run itself), message."""
        return self._store.events()

    def note(self, message: str) -> None:
        """Add an event to the run (`events`), if the store is writable."""
        with contextlib.suppress(StoreError):
            self._store.write(events=[(None, message)])

    @property
    def best(self) -> Trial | None:
        """The feasible trial with the best objective; None before the first, and for several objectives.

        A trial is feasible if it completed and keeps every constraint of the job.
        """
        return best_trial(self.job.objective, self.job.constraints, self.contenders)

    @property
    def confirmed(self) -> dict[int, Confirmed]:
        """What the repetitions of the candidates say (``confirm``), by the candidate's number; {} until all have ended.

        `best` is the candidate with the best mean then. A confirmation that was cut short decides nothing, and is not here.
        """
        return settled(self.contenders)

    @property
    def front(self) -> list[Trial]:
        """The feasible trials that no other beats in every objective, by number."""
        return pareto_front(self.job.objective, self.job.constraints, self.contenders)

    @property
    def nearest(self) -> Trial | None:
        """Where no trial is feasible, the completed one that violates the constraints least; else None."""
        return nearest_trial(self.job.objective, self.job.constraints, self.contenders)

    @property
    def cost(self) -> RunCost | None:
        """What its trials have cost so far, as far as prices are known; None where nothing is."""
        return cost_of(self.record, charges(self._store), self.job)

    def resume(self) -> "Run":
        """Resume an interrupted run, without waiting for it; finished trials are kept, none is run twice.

        A run whose emulator is gone moves to a new one, which runs until this process ends; see `revive`.
        """
        if self.lost_emulators:
            record = self._store.record()
            if not self.leads_to_emulators:
                emulate(record.profile, record.native.get(ELSEWHERE), self.project, config_folder(record))
            self.revive()
        if not self.refresh().ended:
            self._provider.resume(self._store)
            self._provider.start(self._store)
        return self

    def enqueue(self, *trials: Mapping[str, Scalar]) -> RunState:
        """Have trials of your own run before the next suggestion, while the run goes on or with its next resume.

        They count among ``limits.trials``. Until its driver takes a trial up it is in `enqueued`.

        Args:
            trials: values by name each, some or all of a trial's; the strategy chooses the others when its turn comes.

        Returns:
            The run's state at that moment. One that has ended runs them after `extend`.

        Raises:
            SpecError: no trial of the space has these values; says why.
            ConfigError: a service's own tuner chooses the trials, or the driver is a job elsewhere that runs now.
        """
        refuse_where_none_is_taken(self.refreshed())
        problems = [
            Problem(".".join(map(str, path[1:] if len(trials) == 1 else path)).removeprefix("0."), message)
            for path, message in first_problems(self.job.search_space(), trials)
        ]
        if problems:
            raise SpecError(problems, "the trial" if len(trials) == 1 else "the trials")
        return enqueue(self._store, [dict(given) for given in trials if given])

    @property
    def enqueued(self) -> list[Values]:
        """The given values of the trials that were enqueued and no driver has taken up."""
        return [each.parameters for each in enqueued(self._store)]

    def extend(
        self,
        *,
        trials: int | str | None = None,
        cost: float | str | None = None,
        time: float | str | timedelta | None = None,
        limits: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        agree: Callable[[TuningJob], None] | None = None,
    ) -> "Run":
        """Give a run that has ended or is interrupted longer limits, and return it; `wait` or `resume` goes on with it.

        Args:
            trials: how many more; without ``limits.trials`` more than there were.
            cost: how much more it may cost, e.g. ``10`` or ``"10 USD"``.
            time: how much longer it may take: seconds, or a text such as ``"1h"``.
            limits: other values of limits by name, e.g. ``{"target": 0.95, "trials": 100}``; None takes one away.
            environment: the values of the trials' environment variables, which are forgotten when a run ends.
            agree: called with the job as it will be, before anything is written; what it raises leaves the run as it was.

        Raises:
            RunBusy: the run goes on.
            SpecError: the limits are not valid.
            ConfigError: the run cannot go on: it is a job of a service's own tuner, its program has changed, or it would
                end at once by another limit or for want of further trials in its space; says what to do.
        """
        from cloudtune.provider.reopening import Reopening  # noqa: PLC0415  # loads the search

        self.refresh()
        more = {
            name: value for name, value in (("trials", trials), ("cost", cost), ("time", time)) if value is not None
        }
        Reopening(self._provider, self._store, environment).extend(more, limits or {}, agree)
        for name in ("job", "written", "plan"):
            self.__dict__.pop(name, None)
        return self

    def retry(self, *numbers: int, failed: bool = False, environment: Mapping[str, str] | None = None) -> "Run":
        """Have trials without a result run again with the same parameters, and return the run; `wait` or `resume` goes on.

        Args:
            numbers: of the trials; none for all that failed or were cancelled.
            failed: whether without numbers only those that failed are run again.
            environment: as for `extend`.

        Raises:
            RunBusy: the run goes on.
            TrialError: there is no such trial, or it has a result.
            ConfigError: the run cannot go on, as for `extend`.
        """
        from cloudtune.provider.reopening import RETRIED, Reopening  # noqa: PLC0415  # loads the search

        self.refresh()
        states = RETRIED[:1] if failed else RETRIED
        Reopening(self._provider, self._store, environment).retry(numbers, states)
        return self

    def revive(self) -> None:
        """Move a run whose emulator is gone to the emulator that the config and environment of this process name.

        Trials that cloudtune drives are kept. A service's own tuner, and what it has learnt, ended with the emulator:
        such a run begins again without its trials so far, and an event says so.

        Raises:
            ConfigError: no emulator is named.
        """
        record = self._store.record()
        self._provider = provider_of(record, self.project)
        found = self._provider.emulators()
        missing = [name for name in record.emulators if name not in found]
        if missing:
            raise ConfigError(f"{self.id} was emulated, and there is no emulator of {missing[0]} now")
        with self._store.locked():
            revive(self._store, record, listeners_of(found))

    def replay(self) -> "Replay":
        """Derive every suggestion of the run anew, and return whether they are the trials that were run.

        Raises:
            ConfigError: a service's own tuner suggested its trials.
            SpecError: its strategy needs a package that is not installed.
        """
        from cloudtune.driver.replay import replay  # noqa: PLC0415  # loads strategies, which few need

        return replay(self._store, self.plan.mode)

    def remove(self) -> None:
        """Remove the run from the store, with its folder; what it left at the service stays there.

        Raises:
            RunBusy: it is running.
        """
        if self.record.state in (RunState.RUNNING, RunState.STOPPING):
            raise RunBusy(f"{self.id} is {self.state.value}; end it first: {self._store.command('cancel')}")
        with self._store.locked():
            self._store.remove()

    def to_pandas(self) -> "pd.DataFrame":
        """Return the trials as a table: number, state, parameters (``params_…``), metrics (``metrics_…``) and times.

        Whole numbers and booleans keep their type where trials have none (pandas' nullable types); a parameter of mixed
        types is a column of Python objects.

        Raises:
            ConfigError: pandas is not installed.
        """
        return to_pandas(trial_rows(self.trials(), self.job.constraints))

    def reports_to_pandas(self) -> "pd.DataFrame":
        """Return the learning curves as a table: a row a report with number, attempt, step, time and ``metrics_NAME``.

        Raises:
            ConfigError: pandas is not installed.
        """
        return to_pandas(report_rows(self.reports()))

    def to_parquet(self, path: str | Path, *, reports: bool = False) -> Path:
        """Write the trials (or their reports) as a parquet file with the columns of `to_pandas`, and return its path.

        A column has one type: values of mixed types are JSON texts. Whole numbers keep their type where trials have
        none; pandas reads them so with ``read_parquet(path, dtype_backend="numpy_nullable")``.

        Args:
            path: of the file.
            reports: whether to write the table of `reports_to_pandas`.

        Raises:
            ConfigError: pyarrow is not installed.
        """
        data = parquet(report_rows(self.reports()) if reports else trial_rows(self.trials(), self.job.constraints))
        Path(path).write_bytes(data)
        return Path(path)

    def publish(
        self,
        *,
        to: Mapping[str, str | Path] | None = None,
        optuna: "str | BaseStorage | None" = None,
        mlflow: str | None = None,
        experiment: str | None = None,
        tensorboard: str | Path | None = None,
        wandb: str | None = None,
        follow: bool = False,
    ) -> "list[Published]":
        """Publish the run to other tools, each with the extra of its name. Repeated calls add what is new, nothing twice.

        Args:
            to: addresses by the names of targets, also of those that other packages add (entry points of the group
                ``cloudtune.targets``).
            optuna: a URL such as ``sqlite:///study.db``, the path of a journal, or a storage of Optuna: gets a study
                of the run's id, which optuna-dashboard shows.
            mlflow: the URI of a tracking server or store: gets a run of MLflow with one below it for each trial.
            experiment: of MLflow; None for MLFLOW_EXPERIMENT_NAME, or else the job's name.
            tensorboard: a folder: gets event files for HParams, with a session a trial, and scalars.
            wandb: a project of Weights & Biases, ``PROJECT`` or ``ENTITY/PROJECT``: gets a run for each trial that has ended.
            follow: whether to continue until the run has ended or is interrupted.

        Returns:
            Where the run was published, and how to view it.

        Raises:
            ConfigError: a target is unknown, an address is not valid, a package is not installed, or the run's place there is
                taken.
            ProviderError: a target cannot be reached.
            RunBusy: another process publishes the run to the same place.
        """
        from cloudtune.publishing import publisher_of  # noqa: PLC0415  # few runs are published

        targets = publisher_of(
            self, to=to, optuna=optuna, mlflow=mlflow, experiment=experiment, tensorboard=tensorboard, wandb=wandb
        )
        with targets as publisher:
            publisher.publish(follow=follow)
            return publisher.published

    def report(self, path: str | Path) -> Path:
        """Write one HTML page about the run that needs no network, and return its path."""
        return write_report(self, Path(path))
