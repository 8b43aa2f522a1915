"""Where the candidates of a search are evaluated: in this process, by workers of this machine, or by a service."""

import contextlib
import math
import os
import pickle
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import joblib  # type: ignore[import-untyped]  # it has no types

from cloudtune import api
from cloudtune.config import load_profile, mounts
from cloudtune.driver import process as driving
from cloudtune.errors import ConfigError, RunNotFound
from cloudtune.provider.interface import Provider, load_provider
from cloudtune.results.progress import Watcher
from cloudtune.sklearn import evaluating
from cloudtune.sklearn.evaluating import PICKLE, Evaluation
from cloudtune.sklearn.folds import FoldLauncher, InProcess
from cloudtune.spec.job import TuningJob
from cloudtune.store.projects import project_folder
from cloudtune.store.store import RunStore, Store

if TYPE_CHECKING:
    from cloudtune.driver.launcher import Launcher
    from cloudtune.run import Run
    from cloudtune.store.records import Trial

LOCAL = "local"

PROGRAM = "cloudtune_search.py"
"""What a copy of `cloudtune.sklearn.evaluating` is called where it travels."""

_NATIVE = {"pickle": PICKLE, "keeper": "spare"}
"""What the local provider shall remember: what its workers load, and that the next search may have them soon."""

_THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS", "LOKY_MAX_CPU_COUNT",
)  # fmt: skip
"""Variables that say how many threads or processes a library may use in a worker: those of joblib's own workers, and joblib's."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A search that has come to its end, or was interrupted.

    Attributes:
        run: the handle.
        error: the exception that a candidate raised, where this machine knows it.
    """

    run: "Run"
    error: Exception | None = None


class PassingFolder:
    """A folder that is removed when nobody refers to this object any more."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="cloudtune-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a search runs and is written down.

    Attributes:
        on: a profile or provider; None for this machine.
        project: the folder of the store.
        kept: whether the run is kept there; else the folder is a passing one.
        provider: of the profile.
    """

    on: str | None
    project: Path
    kept: bool
    provider: Provider

    @classmethod
    def of(cls, on: str | None, project: Path | None, passing: Path | None) -> "Place":
        """The place that the search's arguments name.

        Args:
            on: a profile, a provider or an alias; None for this machine.
            project: the folder of the store; None for the one around the working folder.
            passing: the folder of the store for a run that need not be kept; None for one that is kept.

        Raises:
            ConfigError: there is no such profile or provider.
        """
        folder = (passing or project or project_folder()).resolve()
        profile = load_profile(on or LOCAL, folder)
        provider = load_provider(profile.provider)(profile.settings, mounts(folder))
        return cls(on, folder, passing is None, provider)

    @property
    def here(self) -> bool:
        """Whether trials run on this machine."""
        return self.provider.name == LOCAL

    def fields(self, n_jobs: int | None, *, folds: int, patient: bool) -> dict[str, Any]:
        """What a job says because it runs here or there.

        Args:
            n_jobs: see `TuneSearchCV`.
            folds: of each candidate.
            patient: whether as few candidates as keep all workers busy shall run at the same time: a strategy knows
                the more when it suggests the next. A stopping rule is better served by many.

        Raises:
            ConfigError: `n_jobs` says nothing about a service.
        """
        if not self.here:
            if n_jobs is not None and n_jobs < 1:
                raise ConfigError(
                    f"n_jobs={n_jobs} counts the processors of this machine; say how many candidates {self.provider.name} shall run at the same time"
                )
            return {"trial": {"command": f"python {PROGRAM}"}, "mode": "driven", "limits": {"parallel": n_jobs or 1}}
        workers = joblib.effective_n_jobs(n_jobs)
        parallel = min(workers, math.ceil(workers / folds) + 1) if patient else workers
        threads = thread_limits(workers) if workers > 1 else {}
        return {
            "trial": {"function": "cloudtune.sklearn.evaluating:Evaluation", "environment": threads},
            "limits": {"parallel": parallel},
            "local": {"isolate": False},
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
        """Has the candidates of a job evaluated, until the run has ended or is interrupted.

        Args:
            job: the spec.
            evaluation: of each candidate.
            n_jobs: see `TuneSearchCV`.
            run_id: of the run; one that is there goes on.
            watcher: is told of progress.
            emulate: whether an emulator takes the place of the service.

        Raises:
            ConfigError: the run of this id is that of another search, or this machine shall be emulated.
        """
        if emulate and self.here:
            raise ConfigError('emulate=True needs a service whose place the emulator takes, such as on="aws"')
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
    """Variables by which the libraries of some workers do not use more processors than there are, as joblib sets them."""
    share = str(max(1, joblib.cpu_count() // workers))
    return {name: share for name in _THREADS if name not in os.environ}


def fingerprint(job: TuningJob, evaluation: Evaluation) -> str:
    """What makes a search the same, also in another process: data, estimator, folds, scorers, space and strategy."""
    parts = (evaluation.X, evaluation.y, evaluation.splits, evaluation.estimator, *evaluation.options.items())
    spec = job.model_dump_json(include={"objective", "space", "strategy"})
    return str(joblib.hash([spec, *(_hash(part) for part in parts)]))


def _hash(value: Any) -> str:
    """A hash that is the same in another process; of a function without a name, only that it is one."""
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
    """Drives a search in this process: with one worker all is done here, else by as many processes.

    A run that is kept can also be resumed by ``cloudtune resume``, as long as its pickle is there.
    """
    run = api.prepare(job, place.on or LOCAL, project=place.project, run_id=run_id, native={**_NATIVE, **native})
    store = Store(place.project).run(run.id)
    travelling = run.folder / PICKLE
    if (workers > 1 or place.kept) and not store.record().state.ended:
        travelling.write_bytes(cloudpickle.dumps(evaluation))
    site = _Here(place.provider, evaluation, workers)
    if driving.follow(store, site, watcher).ended:
        travelling.unlink(missing_ok=True)  # with its copy of the data
    return Outcome(run, site.raised or evaluating.left_error(run.folder))


class _Here:
    """This machine as a `driving.Site` that knows of folds."""

    def __init__(self, provider: Any, evaluation: Evaluation, workers: int) -> None:  # a provider that is a site
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
            heard=lambda trial, span: _pass_on(run.folder, trial, span),
        )

    def abandon(self, run: RunStore) -> None:
        self._provider.abandon(run)

    def settle(self, run: RunStore) -> None:
        self._provider.settle(run)

    def keep(self, run: RunStore) -> None:
        self._provider.keep(run)


def _pass_on(folder: Path, trial: "Trial", span: str) -> None:
    """Shows what a worker printed, as one of joblib's would have shown it, and keeps it as part of the trial's log."""
    path, _, ends = span.rpartition(":")
    start, end = (int(part) for part in ends.split("-"))
    if end <= start:
        return
    with (folder / path).open("rb") as file:
        file.seek(start)
        said = file.read(end - start)
    print(said.decode(errors="replace"), end="", flush=True)
    log = folder / "trials" / f"{trial.number:05d}" / ("log.txt" if trial.attempt <= 1 else f"log.{trial.attempt}.txt")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        file.write(said)


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
    """Has a service run each candidate, with the data and the estimator in what travels with its trials."""
    emulator = api.emulated(place.on, project=place.project) if emulate else contextlib.nullcontext()
    with emulator, _travelling(evaluation, job.trial.source) as source:
        trial = job.trial.model_copy(update={"source": str(source), "command": f"python {PROGRAM}"})
        travelling = job.model_copy(update={"trial": trial})
        run = api.prepare(travelling, place.on, project=place.project, run_id=run_id, native=native)
        run.wait(watcher)
    return Outcome(run)


@contextlib.contextmanager
def _travelling(evaluation: Evaluation, source: str | None) -> Iterator[Path]:
    """A folder with the program, what it evaluates, and the user's own files, if the job names some."""
    with tempfile.TemporaryDirectory(prefix="cloudtune-") as name:
        folder = Path(name, "source")
        if source is None:
            folder.mkdir()
        elif Path(source).is_dir():
            shutil.copytree(source, folder)
        else:
            raise ConfigError(f"job: trial.source: there is no folder {source!r} in {Path.cwd()}")
        shutil.copyfile(evaluating.__file__, folder / PROGRAM)
        (folder / PICKLE).write_bytes(cloudpickle.dumps(evaluation))
        yield folder
