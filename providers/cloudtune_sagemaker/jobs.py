"""Trials as training jobs of SageMaker.

However many trials run, a poll costs two calls: one lists the run's training jobs, one reads what they printed. Only of a
job that failed or was stopped, the reason is asked for, once.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cloudtune.driver.outputs import RunBrief
from cloudtune.driver.polling import JobRunner
from cloudtune.driver.snapshots import TrialSnapshot
from cloudtune.errors import ignoring
from cloudtune.spec.metric_patterns import metric_patterns
from cloudtune.store.records import Report, Trial, TrialState
from cloudtune.trial.printed_metrics import PrintedMetrics
from cloudtune_sagemaker.algorithms import as_printed
from cloudtune_sagemaker.client import EXISTS, GONE, Aws, failure_text, next_page, translated
from cloudtune_sagemaker.logs import LogStreams
from cloudtune_sagemaker.names import run_name, trial_name
from cloudtune_sagemaker.storage import TrainingJobOutputs, copy_objects
from cloudtune_sagemaker.translate import hyperparameters_of

_ENDED = frozenset({"Completed", "Failed", "Stopped", "Deleted"})
"""Of botocore's enum TrainingJobStatus: the others are InProgress, Stopping and Deleting."""

_STATES = {"Completed": TrialState.COMPLETED, "Failed": TrialState.FAILED}

_WAITING = frozenset({"Pending", "Starting", "LaunchingMLInstances", "PreparingTrainingStack", None})
"""Secondary statuses of a job that no machine runs yet; it is billed from its TrainingStartTime on."""

_QUESTIONS = 10
"""How many jobs that have ended are asked about in one poll."""


@dataclass(slots=True)
class _Known:
    """What is known of a training job that was submitted or found.

    Attributes:
        trial: whose attempt it is.
        metrics: reads what it prints.
        status: as the service last said.
        started: seconds since 1970 from which it is billed, as far as the list of jobs tells; None while it waits.
        new: reports that no snapshot had.
        end: how it ended, but for its reports; None while it runs.
        read_to_its_end: whether all that it printed has been read.
    """

    trial: Trial
    metrics: PrintedMetrics
    status: str = "InProgress"
    started: float | None = None
    new: list[Report] = field(default_factory=list)
    end: TrialSnapshot | None = None
    read_to_its_end: bool = False


class SageMakerRunner(TrainingJobOutputs, JobRunner):
    """Runs each trial of a run as a training job.

    Args:
        aws: the clients.
        brief: what is asked for the run.
    """

    once = True
    for_good = GONE

    def __init__(self, aws: Aws, brief: RunBrief) -> None:
        super().__init__(brief)
        request: Any = brief.plan.request
        self.aws = aws
        self._name = run_name(brief.job.name, brief.id)
        printed = as_printed(brief.job.measured, request.get("AlgorithmSpecification") or {})
        self._patterns = metric_patterns(printed, brief.job.metrics)
        self._jobs: dict[str, _Known] = {}
        self._logs = LogStreams(aws, f"{self._name}-", brief.created)
        self._questions: deque[str] = deque()
        self._page: str | None = None
        self._unlisted: set[str] = set()

    def place(self, trial: Trial) -> str:
        return trial_name(self._name, trial.number, trial.attempt)

    def use_machine(self, machine: str) -> None:
        self.template["ResourceConfig"] = {**self.template["ResourceConfig"], "InstanceType": machine}

    def submit(self, trial: Trial) -> None:
        name = self.place(trial)
        request = self._request(trial, name)
        if trial.parent is not None and "CheckpointConfig" in request:
            own = request["CheckpointConfig"]["S3Uri"]
            copy_objects(self.aws, f"{own.rpartition('/')[0]}/{trial.parent:05d}/", f"{own}/", anew=trial.attempt == 1)
        with ignoring(EXISTS), translated(f"starting trial {trial.number}"):
            self.aws.sagemaker.create_training_job(**request)

    def _request(self, trial: Trial, name: str) -> dict[str, Any]:
        """Return the training job of one attempt; what the trial keeps for its next attempt lies at a place of its own."""
        request = {
            **self.template,
            "TrainingJobName": name,
            "HyperParameters": hyperparameters_of(self.brief.job, trial),
        }
        if "CheckpointConfig" in request:
            config = request["CheckpointConfig"]
            place = f"{config['S3Uri'].rstrip('/')}/{self._name}/{trial.number:05d}"
            request["CheckpointConfig"] = {**config, "S3Uri": place}
        return {**request, "Environment": {**request.get("Environment", {}), **self.variables(trial)}}

    def machine_of(self, trial: Trial) -> str:
        return str(self._described(trial).get("ResourceConfig", {}).get("InstanceType", ""))

    def find(self, trial: Trial) -> bool:
        return bool(self._described(trial))

    def _described(self, trial: Trial) -> Mapping[str, Any]:
        """Return what the service says of an attempt's job; nothing if there is none."""
        name = self.place(trial)
        with ignoring(GONE), translated(f"looking for {name}"):
            described: Mapping[str, Any] = self.aws.sagemaker.describe_training_job(TrainingJobName=name)
            return described
        return {}

    def stop(self, place: str) -> None:
        with ignoring(GONE), translated(f"stopping {place}"):
            self.aws.sagemaker.stop_training_job(TrainingJobName=place)

    # Warm pools

    @property
    def kept(self) -> str:
        request: Any = self.brief.plan.request
        keeps = (request.get("ResourceConfig") or {}).get("KeepAlivePeriodInSeconds")
        return f"machines of {self._name} in warm pools" if keeps else ""

    def release(self) -> None:
        if not self.kept:
            return
        with translated("giving back warm pools"):
            pages = self.aws.sagemaker.get_paginator("list_training_jobs").paginate(
                NameContains=f"{self._name}-", WarmPoolStatusEquals="Available", PaginationConfig={"PageSize": 100}
            )
            # All are listed before the first is changed, which the filter then leaves out.
            names = [row["TrainingJobName"] for page in pages for row in page["TrainingJobSummaries"]]
        for name in names:
            with ignoring(GONE), translated(f"giving back the warm pool of {name}"):
                self.aws.sagemaker.update_training_job(
                    TrainingJobName=name, ResourceConfig={"KeepAlivePeriodInSeconds": 0}
                )

    # One poll

    @property
    def has_more(self) -> bool:
        return bool(self._questions)

    def poll(self, trials: Sequence[Trial]) -> Sequence[TrialSnapshot]:
        asked = {self.place(trial): trial for trial in trials}
        self._jobs = {
            name: self._jobs.get(name) or _Known(trial, PrintedMetrics(self._patterns)) for name, trial in asked.items()
        }
        if not self._questions:
            self._list()
        for _ in range(min(len(self._questions), _QUESTIONS)):
            self._ask_how_it_ended(self._questions[0])
            self._questions.popleft()
        self._read()
        return [self._snapshot(name, known) for name, known in self._jobs.items()]

    def _list(self) -> None:
        """Read one page of the run's jobs, the newest first; the next page the next time if one that runs was not on it."""
        with translated("listing training jobs"):
            answer = self.aws.sagemaker.list_training_jobs(
                NameContains=f"{self._name}-",
                SortBy="CreationTime",
                SortOrder="Descending",
                MaxResults=100,
                **next_page(self._page),
            )
        listed = {summary["TrainingJobName"] for summary in answer["TrainingJobSummaries"]}
        self._unlisted = (self._jobs.keys() if self._page is None else self._unlisted) - listed
        self._page = answer.get("NextToken") if self._unlisted else None
        for summary in answer["TrainingJobSummaries"]:
            known = self._jobs.get(summary["TrainingJobName"])
            if known is None or known.status in _ENDED:
                continue
            known.status = summary["TrainingJobStatus"]
            if known.status in _ENDED:
                self._questions.append(summary["TrainingJobName"])
            elif known.started is None and summary.get("SecondaryStatus") not in _WAITING:
                known.started = float(summary.get("LastModifiedTime", summary["CreationTime"]).timestamp())

    def _ask_how_it_ended(self, name: str) -> None:
        """Ask how a job ended, and what of its time is billed."""
        known = self._jobs.get(name)
        if known is None:
            return
        number = known.trial.number
        with ignoring(GONE), translated(f"asking how {name} ended"):
            known.end = _ending(number, name, self.aws.sagemaker.describe_training_job(TrainingJobName=name))
            return
        why = "its training job was deleted"
        known.end = TrialSnapshot(number, name, TrialState.CANCELLED, reason=why, retry=False)

    def _read(self) -> None:
        """Read a page of what the jobs printed."""
        lines_of, read = self._logs.read({name for name, known in self._jobs.items() if known.end is not None})
        for name, lines in lines_of.items():
            known = self._jobs.get(name)
            if known is None:
                continue
            trial = known.trial
            for index, step, metrics in known.metrics.read_many([line.text for line in lines]):
                known.new.append(Report(trial.number, trial.attempt, step, lines[index].time, metrics))
        for known in self._jobs.values():
            known.read_to_its_end = known.read_to_its_end or self.place(known.trial) in read

    def _snapshot(self, name: str, known: _Known) -> TrialSnapshot:
        reports, known.new = known.new, []
        seen = known.end if known.end is not None and known.read_to_its_end else None
        return replace(seen or TrialSnapshot(known.trial.number, name, started=known.started), reports=reports)


def _ending(number: int, name: str, answer: Mapping[str, Any]) -> TrialSnapshot:
    """Return how a job ended."""
    status, why = answer["TrainingJobStatus"], answer.get("FailureReason", "")
    started, ended = answer.get("TrainingStartTime"), answer.get("TrainingEndTime")
    return TrialSnapshot(
        number,
        name,
        _STATES.get(status, TrialState.CANCELLED),
        started=started and started.timestamp(),
        ended=ended and ended.timestamp(),
        reason=failure_text(why) or f"its training job was {status.lower()}",
        billed=answer.get("BillableTimeInSeconds"),
        too_long=answer.get("SecondaryStatus") == "MaxRuntimeExceeded",
        unplaced=why.startswith("CapacityError"),
    )
