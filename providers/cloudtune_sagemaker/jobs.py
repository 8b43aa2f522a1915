"""Trials as training jobs: what cloudtune's own driver launches on SageMaker.

However many trials run, a look at them costs two calls: one lists the run's training jobs, one reads what they
printed. Only of a job that failed or was stopped, the reason is asked for, once.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from cloudtune.driver.launcher import Ended, finds_no_place
from cloudtune.driver.polling import PolledLauncher
from cloudtune.errors import EmulatorEnded, ProviderError
from cloudtune.spec.metric_patterns import metric_patterns
from cloudtune.spec.units import format_duration
from cloudtune.store.records import Report, Trial
from cloudtune.trial import PrintedMetrics
from cloudtune_sagemaker.algorithms import as_printed
from cloudtune_sagemaker.client import Aws, code_of, next_page, translated
from cloudtune_sagemaker.logs import LogStreams, by_job
from cloudtune_sagemaker.names import trial_name

if TYPE_CHECKING:
    from cloudtune.spec.job import TuningJob

_SOON = 0.2
"""Seconds until the next look while there are reasons to ask for."""

_ENDED = frozenset({"Completed", "Failed", "Stopped", "Deleted"})
"""Of botocore's enum TrainingJobStatus: the others are InProgress, Stopping and Deleting."""

_FOR_GOOD = frozenset({"ValidationException", "ResourceNotFound"})
"""Codes of a refused request that another attempt would get again."""


@dataclass(slots=True)
class _Running:
    """What is known of a training job that runs."""

    trial: Trial
    name: str
    metrics: PrintedMetrics
    status: str = "InProgress"
    ended: Ended | None = None
    read_since_end: bool = False


class TrainingJobLauncher(PolledLauncher):
    """Runs each trial as a training job.

    Args:
        aws: the clients.
        job: the spec.
        name: the beginning of the training jobs' names; see `names.run_name`.
        template: the request of a training job, but for its name and its hyperparameters.
        hyperparameters: gives a trial's hyperparameters, all of them texts.
        interval: seconds between two looks at the service.
        since: seconds since 1970 when the run began.
    """

    once = True

    def __init__(
        self,
        aws: Aws,
        job: "TuningJob",
        name: str,
        template: Mapping[str, Any],
        hyperparameters: Callable[[Trial], dict[str, str]],
        *,
        interval: float,
        since: float,
    ) -> None:
        super().__init__(interval)
        self._aws = aws
        self._job = job
        self._name = name
        self._template = template
        self._hyperparameters = hyperparameters
        self._patterns = metric_patterns(
            as_printed(job.objective, template.get("AlgorithmSpecification") or {}), job.metrics
        )
        self._running: dict[str, _Running] = {}
        self._logs = LogStreams(aws, f"{name}-", since)
        self._questions: deque[str] = deque()
        self._of_this_pass: set[str] = set()
        self._page: str | None = None
        self._unlisted: set[str] = set()

    def place(self, trial: Trial) -> str:
        return trial_name(self._name, trial.number, trial.attempt)

    def launch(self, trial: Trial) -> None:
        running = self._take(trial)
        request = self._request(trial, running.name)
        try:
            with translated(f"starting trial {trial.number}"):
                self._aws.sagemaker.create_training_job(**request)
        except EmulatorEnded:  # which says nothing of the trial
            raise
        except ProviderError as error:
            if error.code != "ResourceInUse":  # it is there: the answer to an earlier call was lost
                self._end(running, str(error), retry=error.code not in _FOR_GOOD, unplaced=finds_no_place(error))

    def _request(self, trial: Trial, name: str) -> dict[str, Any]:
        """The training job of one attempt; what the trial keeps for its next attempt lies at a place of its own."""
        request = {**self._template, "TrainingJobName": name, "HyperParameters": self._hyperparameters(trial)}
        if "CheckpointConfig" in request:
            config = request["CheckpointConfig"]
            place = f"{config['S3Uri'].rstrip('/')}/{self._name}/{trial.number:05d}"
            request["CheckpointConfig"] = {**config, "S3Uri": place}
        own = {"CLOUDTUNE_TRIAL": str(trial.number), "CLOUDTUNE_ATTEMPT": str(trial.attempt)}
        return {**request, "Environment": {**request.get("Environment", {}), **own}}

    def _take(self, trial: Trial) -> _Running:
        running = _Running(trial, self.place(trial), PrintedMetrics(self._patterns))
        self._running[running.name] = running
        return running

    def adopt(self, trial: Trial) -> bool:
        name = self.place(trial)
        try:
            with translated(f"looking for {name}"):
                self._aws.sagemaker.describe_training_job(TrainingJobName=name)
        except ProviderError as error:
            if error.code in _FOR_GOOD:
                return False
            raise
        self._take(trial)
        return True

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def pause(self) -> float:
        return min(_SOON, self.interval) if self._questions else self.interval

    # One look

    def look(self) -> None:
        if self._questions:
            self._ask_why(self._questions[0])
            self._questions.popleft()
        else:
            self._list()
        self._read()
        for running in list(self._running.values()):
            if running.ended is not None and running.read_since_end:
                del self._running[running.name]
                self.happened.append(running.ended)

    def _list(self) -> None:
        """One page of the run's jobs, the newest first; the next page the next time if one that runs was not on it."""
        with translated("listing training jobs"):
            answer = self._aws.sagemaker.list_training_jobs(
                NameContains=f"{self._name}-",
                SortBy="CreationTime",
                SortOrder="Descending",
                MaxResults=100,
                **next_page(self._page),
            )
        listed = {summary["TrainingJobName"] for summary in answer["TrainingJobSummaries"]}
        self._unlisted = (self._running.keys() if self._page is None else self._unlisted) - listed
        self._page = answer.get("NextToken") if self._unlisted else None
        for summary in answer["TrainingJobSummaries"]:
            running = self._running.get(summary["TrainingJobName"])
            if running is None or running.status in _ENDED:
                continue
            running.status = summary["TrainingJobStatus"]
            if running.status == "Completed":
                self._end(running, "")
            elif running.status in _ENDED:
                self._questions.append(running.name)

    def _ask_why(self, name: str) -> None:
        running = self._running[name]
        with translated(f"asking how {name} ended"):
            try:
                answer = self._aws.sagemaker.describe_training_job(TrainingJobName=name)
            except ClientError as error:
                if code_of(error) not in _FOR_GOOD:
                    raise
                self._end(running, "its training job was deleted")
                return
        late = answer.get("SecondaryStatus") == "MaxRuntimeExceeded"
        why = answer.get("FailureReason", "")
        reason = self._too_long() if late else failure_text(why)
        reason = reason or f"its training job was {answer['TrainingJobStatus'].lower()}"
        self._end(running, reason, retry=not late, unplaced=why.startswith("CapacityError"))

    def _too_long(self) -> str:
        limit = self._job.limits.trial_time
        return f"it ran longer than {format_duration(limit) if limit else 'its limit'} (limits.trial_time)"

    def _end(self, running: _Running, failure: str, *, retry: bool = False, unplaced: bool = False) -> None:
        running.ended = Ended(running.trial.number, running.trial.attempt, failure, retry=retry, unplaced=unplaced)

    def _read(self) -> None:
        if self._logs.between_passes:
            self._of_this_pass = {name for name, running in self._running.items() if running.ended is not None}
        for name, lines in by_job(self._logs.read()).items():
            running = self._running.get(name)
            if running is None:
                continue
            trial = running.trial
            for number, step, metrics in running.metrics.read_many([line.text for line in lines]):
                self.happened.append(Report(trial.number, trial.attempt, step, lines[number].time, metrics))
        if self._logs.between_passes:
            for name in self._of_this_pass & self._running.keys():
                self._running[name].read_since_end = True

    def stop(self, number: int) -> None:
        for running in self._running.values():
            if running.trial.number == number and running.status not in _ENDED:
                stop_training_job(self._aws, running.name)

    def close(self) -> None:
        """Lets go of jobs that still run: they are the service's, and a resume takes them over."""


def stop_training_job(aws: Aws, name: str) -> None:
    """Asks a training job to end; nothing if it has."""
    with translated(f"stopping {name}"):
        try:
            aws.sagemaker.stop_training_job(TrainingJobName=name)
        except ClientError as error:
            if code_of(error) not in _FOR_GOOD:
                raise


def failure_text(reason: str) -> str:
    """What went wrong, from the service's FailureReason: without the class of the error, one line."""
    text = reason.removeprefix("AlgorithmError: ").removeprefix("ClientError: ")
    said = " ".join(text.split())
    told_already = re.sub(r", exit code: \d+$", "", said)
    return (told_already if "exit code" in told_already else said)[:500]
