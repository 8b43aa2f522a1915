"""What cloudtune's driver launches for a tuning job: a training job a trial."""

from collections.abc import Callable

from moto.sagemaker.exceptions import SagemakerClientError

from cloudtune.driver.launcher import Ended
from cloudtune.emulation.launcher import ThreadedLauncher
from cloudtune.store.records import Report, Trial
from cloudtune_sagemaker.emulator.jobs import TrainingJob
from cloudtune_sagemaker.emulator.searching import METRIC, Search
from cloudtune_sagemaker.emulator.tuned import TunedJob


class TrainingJobs(ThreadedLauncher):
    """Runs each trial as a training job.

    Args:
        search: what is searched.
        name: gives the name of a trial's training job, by the trial's number.
        create: makes the training job of a trial under the trial's place; it is not started yet.
    """

    def __init__(
        self,
        search: Search,
        name: Callable[[int], str],
        create: Callable[[Trial], TunedJob],
    ) -> None:
        super().__init__()
        self._search = search
        self._name = name
        self._create = create
        self._numbers: dict[str, int] = {}
        self._trials: dict[int, TunedJob] = {}
        self._steps: dict[str, int] = {}

    def place(self, trial: Trial) -> str:
        return self._name(trial.number)

    def begin(self, trial: Trial) -> None:
        try:
            tuned = self._create(trial)
        except SagemakerClientError as error:
            self.tell(Ended(trial.number, trial.attempt, failure=f"{error.code}: {error.message}"))
            return
        self._numbers[tuned.job.name] = trial.number
        self._trials[trial.number] = tuned
        tuned.job.start()

    def stop(self, number: int) -> None:
        try:
            self._trials[number].job.stop()
        except SagemakerClientError:
            return  # it has ended by itself: `poll` tells it

    def close(self) -> None:
        for tuned in self._trials.values():
            tuned.job.close()

    # From other threads

    def measured(self, job: TrainingJob, name: str, value: float, at: float) -> None:
        """A training job printed a metric; see `Follower`."""
        number = self._numbers[job.name]
        definition = self._trials[number].definition
        if name == definition.metric:
            self._steps[job.name] = step = self._steps.get(job.name, 0) + 1
            counted = self._search.counted(definition, value)
            self.tell(Report(number, 1, step, at, {METRIC: counted}))

    def ended(self, job: TrainingJob) -> None:
        """A training job has ended; see `Follower`."""
        state = job.state()
        self.tell(Ended(self._numbers[job.name], 1, failure=state.failure if state.status == "Failed" else ""))
