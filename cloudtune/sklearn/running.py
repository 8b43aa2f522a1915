"""Execution of a search: in this process, by workers of this machine, or on a service."""

import contextlib
import math
import os
import pickle
import shutil
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import joblib  # type: ignore[import-untyped]  # has no types

from cloudtune import api
from cloudtune.config import load_profile
from cloudtune.driver import process as driver_process
from cloudtune.errors import ConfigError, RunNotFound
from cloudtune.plugins.entry_points import DEFAULT
from cloudtune.provider.interface import Provider
from cloudtune.remote.resolving import provider_for
from cloudtune.results.progress import Watcher
from cloudtune.sklearn import evaluating
from cloudtune.sklearn.evaluating import PICKLE, Evaluation
from cloudtune.sklearn.folds import FoldLauncher, InProcess
from cloudtune.spec.job import TuningJob
from cloudtune.store.projects import project_folder
from cloudtune.store.store import RunStore, Store
from cloudtune.system.temporary import TemporaryFolder

if TYPE_CHECKING:
    from cloudtune.driver.launcher import Launcher
    from cloudtune.run import Run
    from cloudtune.store.records import Trial

PROGRAM = "cloudtune_search.py"
"""The name of the copy of `cloudtune.sklearn.evaluating` that travels to a service."""

_NATIVE = {"pickle": PICKLE, "keeper": "spare"}
"""Options of the local provider: the pickle that its workers load, and that the workers stay for the next search."""

_THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS", "LOKY_MAX_CPU_COUNT",
)  # fmt: skip
"""Environment variables that limit a library's threads or processes in a worker, as joblib sets them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A search that has ended or was interrupted.

    Attributes:
        run: its run.
        error: the first exception of a candidate, if it was raised on this machine.
    """

    run: "Run"
    error: Exception | None = None


class TemporaryStore:
    """A temporary folder that is removed when this object is garbage-collected."""

    def __init__(self) -> None:
        folder = TemporaryFolder()
        self.path = folder.path
        weakref.finalize(self, folder.remove)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a search runs and is stored.

    Attributes:
        on: a profile or provider; None for this machine.
        project: the folder of the store.
        kept: whether the run is kept; else the folder is temporary.
        provider: the profile's provider.
    """

    on: str | None
    project: Path
    kept: bool
    provider: Provider

    @classmethod
    def of(cls, on: str | None, project: Path | None, temporary: Path | None) -> "Place":
        """Return the place for the arguments of a search.

        Args:
            on: a profile, a provider or an alias; None for this machine.
            project: the folder of the store; None for that of the working folder.
            temporary: the folder of the store for a run that is not kept; None for one that is kept.

        Raises:
            ConfigError: there is no such profile or provider.
        """
        folder = (temporary or project or project_folder()).resolve()
        profile = load_profile(on or DEFAULT, folder)
        provider = provider_for(profile, folder, None)
        return cls(on, folder, temporary is None, provider)

    @property
    def here(self) -> bool:
        """Whether trials run on this machine."""
        return self.provider.name == DEFAULT

    def fields(self, n_jobs: int | None, *, folds: int, few_parallel: bool) -> dict[str, Any]:
        """Return the fields of the job that depend on the place.

        Args:
            n_jobs: see `TuneSearchCV`.
            folds: the number of folds of each candidate.
            few_parallel: whether to run only as many candidates in parallel as keep all workers busy, so that the
                strategy observes more results before it suggests; a stopping rule works better with many.

        Raises:
            ConfigError: `n_jobs` has no meaning for a service.
        """
        if not self.here:
            if n_jobs is not None and n_jobs < 1:
                raise ConfigError(
                    f"n_jobs={n_jobs} counts the processors of this machine; say how many candidates {self.provider.name} shall run at the same time"
                )
            return {"trial": {"command": f"python {PROGRAM}"}, "mode": "driven", "limits": {"parallel": n_jobs or 1}}
        workers = joblib.effective_n_jobs(n_jobs)
        parallel = min(workers, math.ceil(workers / folds) + 1) if few_parallel else workers
        threads = thread_limits(workers) if workers > 1 else {}
        return {
            "trial": {"function": "cloudtune.sklearn.evaluating:Evaluation", "environment": threads},
            "limits": {"parallel": parallel},
            DEFAULT: {"isolate": False},
        }

    def run(
        self,
        job: TuningJob,
        evaluation: Evaluation,
        *,
        n_jobs: int | None,
        run_id: str | None,
        watcher: Watcher,
        emulate: bool,
    ) -> Outcome:
        """Run the job until its run has ended or is interrupted.

        Args:
            job: the spec.
            evaluation: the evaluation of candidates.
            n_jobs: see `TuneSearchCV`.
            run_id: the run's id; an existing run of the same search is resumed.
            watcher: called with the progress.
            emulate: whether to run in an emulator of the service.

        Raises:
            ConfigError: the run of this id is of another search, or `emulate` is set for this machine.
        """
        if emulate and self.here:
            raise ConfigError("emulate=True needs a service whose place the emulator takes; say on=PROVIDER")
        native = {} if run_id is None else {"search": fingerprint(job, evaluation)}
        if run_id is not None:
            self._compare(run_id, native)
        if self.here:
            workers = joblib.effective_n_jobs(n_jobs)
            return run_here(job, evaluation, self, workers=workers, run_id=run_id, native=native, watcher=watcher)
        return run_there(job, evaluation, self, run_id=run_id, native=native, watcher=watcher, emulate=emulate)

    def _compare(self, run_id: str, native: Mapping[str, str]) -> None:
        try:
            record = Store(self.project).run(run_id).record()
        except RunNotFound:
            return
        if record.id == run_id and record.native.get("search") != native["search"]:
            raise ConfigError(
                f"the run {run_id} is of another search: data, estimator, folds, scorers, space or strategy differ; give another run_id"
            )


def thread_limits(workers: int) -> dict[str, str]:
    """Return the environment variables that share the processors among workers, as joblib sets them."""
    share = str(max(1, joblib.cpu_count() // workers))
    return {name: share for name in _THREADS if name not in os.environ}


def fingerprint(job: TuningJob, evaluation: Evaluation) -> str:
    """Return a hash of a search, stable across processes: of data, estimator, folds, scorers, space and strategy."""
    parts = (evaluation.X, evaluation.y, evaluation.splits, evaluation.estimator, *evaluation.options.items())
    spec = job.model_dump_json(include={"objective", "space", "strategy"})
    return str(joblib.hash([spec, *(_hash(part) for part in parts)]))


def _hash(value: Any) -> str:
    """Return a hash that is stable across processes; of objects that cannot be pickled, the name of the type."""
    try:
        return str(joblib.hash(value))
    except (pickle.PicklingError, AttributeError, TypeError):
        return type(value).__name__


# This machine


def run_here(
    job: TuningJob,
    evaluation: Evaluation,
    place: Place,
    *,
    workers: int,
    run_id: str | None,
    native: Mapping[str, str],
    watcher: Watcher | None,
) -> Outcome:
    """Drive a search from this process, with the folds in this process for one worker, else in worker processes.

    A run that is kept can also be resumed by ``cloudtune resume``, as long as its pickle exists.
    """
    run = api.prepare(job, place.on or DEFAULT, project=place.project, run_id=run_id, native={**_NATIVE, **native})
    store = Store(place.project).run(run.id)
    travelling = run.folder / PICKLE
    if (workers > 1 or place.kept) and not store.record().state.ended:
        travelling.write_bytes(cloudpickle.dumps(evaluation))
    site = _Here(place.provider, evaluation, workers)
    if driver_process.follow(store, site, watcher).ended:
        travelling.unlink(missing_ok=True)  # it holds a copy of the data
    return Outcome(run, site.raised or evaluating.stored_error(run.folder))


class _Here(driver_process.Site):
    """The `driver_process.Site` of this machine, which launches folds."""

    def __init__(self, provider: Any, evaluation: Evaluation, workers: int) -> None:  # a provider that implements Site
        self._provider, self._evaluation, self._workers = provider, evaluation, workers
        self._alone: InProcess | None = None

    @property
    def raised(self) -> Exception | None:
        """The first exception that a fold raised in this process."""
        return None if self._alone is None else self._alone.raised

    def launcher(self, run: RunStore, job: TuningJob) -> "Launcher":
        if self._workers == 1:
            self._alone = InProcess(self._evaluation)
        return FoldLauncher(
            self._alone or self._provider.launcher(run, job),
            self._workers,
            self._evaluation,
            run.folder,
            in_turn=job.stopping is not None or job.strategy.type == "hyperband",
            limit=job.limits.trial_time,
            on_output=lambda trial, span: _keep_output(run.folder, trial, span),
        )

    def abandon(self, run: RunStore) -> None:
        self._provider.abandon(run)

    def settle(self, run: RunStore) -> None:
        self._provider.settle(run)

    def keep(self, run: RunStore) -> None:
        self._provider.keep(run)


def _keep_output(folder: Path, trial: "Trial", span: str) -> None:
    """Print the output of a fold, as joblib's workers do, and append it to the trial's log.

    Args:
        folder: the run's folder.
        trial: the fold's trial.
        span: the place of the output, ``PATH:START-END`` in bytes, with a path below the folder.
    """
    path, _, ends = span.rpartition(":")
    start, end = (int(part) for part in ends.split("-"))
    if end <= start:
        return
    with (folder / path).open("rb") as file:
        file.seek(start)
        output = file.read(end - start)
    print(output.decode(errors="replace"), end="", flush=True)
    log = folder / "trials" / f"{trial.number:05d}" / ("log.txt" if trial.attempt <= 1 else f"log.{trial.attempt}.txt")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        file.write(output)


# A service


def run_there(
    job: TuningJob,
    evaluation: Evaluation,
    place: Place,
    *,
    run_id: str | None,
    native: Mapping[str, str],
    watcher: Watcher | None,
    emulate: bool,
) -> Outcome:
    """Run a search on a service, with the data and the estimator in the source that travels with its trials."""
    emulator = api.emulated(place.on, project=place.project) if emulate else contextlib.nullcontext()
    with emulator, _packed_source(evaluation, job.trial.source) as source:
        trial = job.trial.model_copy(update={"source": str(source), "command": f"python {PROGRAM}"})
        travelling = job.model_copy(update={"trial": trial})
        run = api.prepare(travelling, place.on, project=place.project, run_id=run_id, native=native)
        run.wait(watcher)
    return Outcome(run)


@contextlib.contextmanager
def _packed_source(evaluation: Evaluation, source: str | None) -> Iterator[Path]:
    """Make a temporary source folder: the program, the pickled evaluation, and the files of `source` if it is given."""
    with TemporaryFolder() as temporary:
        folder = temporary.path / "source"
        if source is None:
            folder.mkdir()
        elif Path(source).is_dir():
            shutil.copytree(source, folder)
        else:
            raise ConfigError(f"job: trial.source: there is no folder {source!r} in {Path.cwd()}")
        shutil.copyfile(evaluating.__file__, folder / PROGRAM)
        (folder / PICKLE).write_bytes(cloudpickle.dumps(evaluation))
        yield folder
