"""One tuning job: cloudtune's driver, which launches training jobs, and what the service tells of both."""

import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cloudtune.driver.interrupt import Interrupt
from cloudtune.driver.loop import Driver
from cloudtune.emulation.launcher import Closed
from cloudtune.emulation.timeline import Timeline
from cloudtune.search.known_trials import KnownTrial
from cloudtune.store.records import RunRecord, RunState, Trial
from cloudtune.store.store import Store
from cloudtune_sagemaker.emulator import errors
from cloudtune_sagemaker.emulator.jobs import TERMINAL, TrainingJob
from cloudtune_sagemaker.emulator.searching import METRIC, Search
from cloudtune_sagemaker.emulator.trials import TrainingJobs
from cloudtune_sagemaker.emulator.tuned import TunedJob

_ATTEMPTS = 5
"""Training jobs without any objective at a job's beginning after which the service gives it up."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TuningState:
    """What the service reports of a tuning job itself at one moment; times are seconds since 1970.

    Attributes:
        status: of botocore's enum HyperParameterTuningJobStatus.
        modified: when anything changed last.
        ended: when it reached its terminal status; None before.
        failure: the FailureReason; "" for none.
        converged: when the search was found to have converged; None if it was not.
    """

    status: str
    modified: float
    ended: float | None = None
    failure: str = ""
    converged: float | None = None


class HyperParameterTuningJob:
    """One tuning job.

    Args:
        request: the members of CreateHyperParameterTuningJob, which are valid.
        arn: of the job.
        search: what it searches.
        parents: the tuning jobs that it starts warm from, which have ended.
        folder: for its own store.
        name_of: gives the name of a trial's training job, by the trial's number.
        create: makes the training job of a trial, which this job follows; it is not started yet.
    """

    def __init__(
        self,
        request: Mapping[str, Any],
        *,
        arn: str,
        search: Search,
        parents: "Sequence[HyperParameterTuningJob]",
        folder: Path,
        name_of: Callable[[int], str],
        create: Callable[["HyperParameterTuningJob", Trial], TunedJob],
    ) -> None:
        self.request = dict(request)
        self.name: str = request["HyperParameterTuningJobName"]
        self.arn = arn
        self.search = search
        self.tags: list[dict[str, str]] = list(request.get("Tags") or [])
        self.created = time.time()
        self.trials: list[TunedJob] = []
        self.parents = parents
        self._folder = folder
        self._create = create
        self._interrupt = Interrupt()
        self._gave_up = False
        self._lock = threading.RLock()
        self._timeline = Timeline(TuningState("InProgress", self.created))
        self._launcher = TrainingJobs(search, name_of, self._make)
        self._thread = threading.Thread(target=self._run, name=f"tuning {self.name}", daemon=True)

    # What others ask of it

    def start(self) -> None:
        """Tune; return at once."""
        self._thread.start()

    def stop(self) -> None:
        """End it and its training jobs early.

        Raises:
            SagemakerClientError: it has ended.
        """
        with self._lock:
            state = self.state()
            if state.status in TERMINAL:
                raise errors.invalid(
                    f"The request was rejected because the hyperparameter tuning job is in status {state.status}."
                )
            if state.status != "Stopping":
                self._timeline.put(replace(state, status="Stopping", modified=time.time()))
        self._halt()

    def _halt(self) -> None:
        self._interrupt.level = 2
        self._launcher.wake()

    def close(self) -> None:
        """Make its thread leave, and wait for it; its training jobs are ended by their owner."""
        self._launcher.abandon()
        self.join()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for its end, at most so many seconds; return whether it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # What its training jobs tell, in their containers' threads

    def measured(self, job: TrainingJob, name: str, value: float, at: float) -> None:
        """A training job printed a metric; see `Follower`."""
        self._launcher.measured(job, name, value, at)

    def ended(self, job: TrainingJob) -> None:
        """A training job has ended; see `Follower`."""
        with self._lock:
            self._timeline.put(replace(self.state(), modified=time.time()))
        over = [trial.objective_status() for trial in self.trials if trial.job.state().status in TERMINAL]
        if len(over) >= _ATTEMPTS and "Succeeded" not in over and self.state().status == "InProgress":
            self._gave_up = True
            self._halt()
        self._launcher.ended(job)

    # What the service reports of it

    def state(self, lag: float = 0.0) -> TuningState:
        """Return its own state so many seconds ago."""
        return self._timeline.at(lag)

    def best(self, lag: float = 0.0, among: Sequence[TunedJob] | None = None) -> TunedJob | None:
        """Return the training job with the best final objective, the first of equals; its own, or among those given."""
        maximize = self.search.definitions[0].maximize
        found: TunedJob | None = None
        least = math.inf
        for trial in self.trials if among is None else among:
            loss = self._loss(trial, lag, maximize=maximize)
            if loss < least:
                found, least = trial, loss
        return found

    def without_progress(self, lag: float = 0.0) -> int:
        """Return how many training jobs in a row, those that ended last, brought no better objective."""
        maximize = self.search.definitions[0].maximize
        over = [trial for trial in self.trials if trial.job.state(lag).ended is not None]
        best, count = math.inf, 0
        for trial in sorted(over, key=lambda trial: trial.job.state(lag).ended or 0.0):
            if (
                trial.job.state(lag).status == "Completed"
                and (loss := self._loss(trial, lag, maximize=maximize)) < math.inf
            ):
                best, count = (loss, 0) if loss < best else (best, count + 1)
        return count

    def _loss(self, trial: TunedJob, lag: float, *, maximize: bool) -> float:
        value = trial.objective(lag)
        if value is None:
            return math.inf
        counted = self.search.counted(trial.definition, value)
        return -counted if maximize else counted

    # The thread

    def _run(self) -> None:
        try:
            outcome = self._drive()
        except Closed:
            return
        except Exception as error:  # noqa: BLE001  # a job must end for those who wait, whatever went wrong
            _log.exception("the tuning job %s failed", self.name)
            self._end("Failed", f"InternalServerError: the emulator failed: {type(error).__name__}: {error}")
        else:
            self._conclude(outcome)

    def _drive(self) -> RunState:
        seed = self.search.seed
        with closing(Store(self._folder)) as store:
            run = store.create(RunRecord(self.name, self.name, "sagemaker", "", "{}", "{}", created=self.created))
            driver = Driver(
                self.search.job,
                run,
                self._launcher,
                seed=secrets.randbelow(2**31) if seed is None else seed,
                interrupt=self._interrupt,
                known=self._known_trials(),
            )
            return driver.run()

    def _known_trials(self) -> list[KnownTrial]:
        return [
            KnownTrial(
                self.search.values(trial.definition.name, trial.tuned),
                self._measured(trial),
                trial.trial_state(),
                parent.name,
            )
            for parent in self.parents
            for trial in parent.trials
        ]

    def _measured(self, trial: TunedJob) -> dict[str, float]:
        value = trial.objective()
        return {} if value is None else {METRIC: self.search.counted(trial.definition, value)}

    def _make(self, trial: Trial) -> TunedJob:
        tuned = self._create(self, trial)
        with self._lock:
            self.trials.append(tuned)
            self._timeline.put(replace(self.state(), modified=time.time()))
        return tuned

    def _conclude(self, outcome: RunState) -> None:
        """End the job as the service would."""
        hopeless = not any(trial.objective_status() == "Succeeded" for trial in self.trials)
        if self.state().status == "Stopping":
            self._end("Stopped")
        elif self._gave_up or hopeless:
            self._end("Failed", _why_hopeless(self.trials, gave_up=self._gave_up))
        elif outcome is RunState.INTERRUPTED:
            self._end("Stopped")
        else:
            self._end("Completed")

    def _end(self, status: str, failure: str = "") -> None:
        now = time.time()
        with self._lock:
            patience = self.search.converges
            converged = status == "Completed" and patience is not None and self.without_progress() >= patience
            self._timeline.put(TuningState(status, now, now, failure, now if converged else None))


def _why_hopeless(trials: Sequence[TunedJob], *, gave_up: bool) -> str:
    """Return the FailureReason of a job without any objective."""
    if any(trial.job.state().status == "Completed" for trial in trials):
        return (
            f"No objective metrics found after running {len(trials)} training jobs. Please ensure that the custom "
            "algorithm is emitting the objective metric as defined by the regular expression provided."
        )
    if not gave_up:
        return "All training jobs failed. Please take a look at the training jobs failures to get more details."
    return (
        f"No training job succeeded after {len(trials)} attempts. "
        "Please take a look at the training job failures to get more details."
    )
