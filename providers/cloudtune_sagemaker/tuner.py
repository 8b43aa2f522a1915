"""SageMaker's own tuner: the tuning job of one run.

A poll costs two calls, however many trials there are: one describes the job, the other reads a page of its trials or of
what they printed, in turn. A trial has ended for us when the service says so and its output has been read to the end.
When the job has ended, everything that is still missing is read.
"""

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from cloudtune.driver.outputs import RunBrief
from cloudtune.driver.snapshots import JobSnapshot, ServiceStates, TrialSnapshot
from cloudtune.errors import RunNotFound, ignoring
from cloudtune.provider.managed_run import Tuner
from cloudtune.results.objectives import losses
from cloudtune.results.progress import keep_counting_values
from cloudtune.spec.job import TuningJob
from cloudtune.spec.metric_patterns import metric_patterns
from cloudtune.spec.strategies import Hyperband
from cloudtune.store.records import Report, RunState, TrialState
from cloudtune.trial.container import JOB_FILE
from cloudtune.trial.printed_metrics import PrintedMetrics
from cloudtune_sagemaker.algorithms import as_printed
from cloudtune_sagemaker.client import EXISTS, GONE, Aws, failure_text, next_page, translated
from cloudtune_sagemaker.logs import Line, LogStreams
from cloudtune_sagemaker.names import run_name, trial_number
from cloudtune_sagemaker.parse import parse
from cloudtune_sagemaker.space import codec_of
from cloudtune_sagemaker.storage import TrainingJobOutputs
from cloudtune_sagemaker.workload import CHANNEL

JOB_STATES: Mapping[str, RunState] = ServiceStates(
    {
        "InProgress": RunState.RUNNING,
        "Stopping": RunState.STOPPING,
        "Completed": RunState.COMPLETED,
        "Failed": RunState.FAILED,
        "Stopped": RunState.CANCELLED,
        "Deleting": RunState.STOPPING,
        "DeleteFailed": RunState.CANCELLED,
    },
    other=RunState.RUNNING,
)
"""Each HyperParameterTuningJobStatus of botocore as a state of a run, before the reasons are looked at."""

TRIAL_STATES: Mapping[str, TrialState] = ServiceStates(
    {
        "InProgress": TrialState.RUNNING,
        "Stopping": TrialState.RUNNING,
        "Completed": TrialState.COMPLETED,
        "Failed": TrialState.FAILED,
        "Stopped": TrialState.CANCELLED,
        "Deleting": TrialState.CANCELLED,
    },
    other=TrialState.RUNNING,
)
"""Each TrainingJobStatus of botocore as a state of a trial, before the reasons are looked at."""


@dataclass(slots=True)
class _Known:
    """What is known of one training job of the tuning job."""

    name: str
    parameters: dict[str, Any]
    metrics: PrintedMetrics
    summary: Mapping[str, Any]
    new: list[Report] = field(default_factory=list)
    counting: dict[str, float] = field(default_factory=dict)
    read_to_its_end: bool = False
    too_long: bool | None = None
    billed: float | None = None

    @property
    def state(self) -> TrialState:
        """What the service says of it."""
        return TRIAL_STATES[self.summary["TrainingJobStatus"]]

    @property
    def final(self) -> Mapping[str, Any] | None:
        """The objective as the service counts it."""
        found: Mapping[str, Any] | None = self.summary.get("FinalHyperParameterTuningJobObjectiveMetric")
        return found


class SageMakerTuner(TrainingJobOutputs, Tuner):
    """The tuning job of one run, which has its name before it is made.

    Args:
        aws: the clients.
        brief: what is asked for the run.
    """

    def __init__(self, aws: Aws, brief: RunBrief) -> None:
        request: Any = brief.plan.request
        name = brief.native.get("job") or run_name(request["HyperParameterTuningJobName"], brief.id)
        super().__init__(brief, name)
        self.aws = aws
        self._job = brief.job
        self._codec = codec_of(brief.job)
        self._patterns = metric_patterns(as_printed(brief.job.measured, _specification(request)), brief.job.metrics)
        self._trials: dict[int, _Known] = {}
        self._logs = LogStreams(aws, f"{name}-", brief.created)
        self._early: dict[int, list[Line]] = {}
        self._page: str | None = None
        self._list_next = True

    def create(self, *, again: bool) -> str:  # noqa: ARG002  # the service makes no second job of a name
        request = {**self.brief.request(), "HyperParameterTuningJobName": self.name}
        with ignoring(EXISTS), translated(f"making the tuning job {self.name}"):
            self.aws.sagemaker.create_hyper_parameter_tuning_job(**request)
        return self.name

    def stop(self) -> None:
        with ignoring(GONE), translated(f"stopping the tuning job {self.name}"):
            self.aws.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=self.name)

    # One poll

    def poll(self, done: Collection[int]) -> JobSnapshot:
        self._trials = {number: known for number, known in self._trials.items() if number not in done}
        described = self._describe()
        state = JOB_STATES[described["HyperParameterTuningJobStatus"]]
        if state.ended:
            self._read_all(done)
        elif self._list_next:
            self._list(done)
        else:
            self._read(done)
        if not state.ended:
            self._list_next = not self._list_next
        self._ask_how_they_ended()
        created = described.get("CreationTime")
        trials = [self._snapshot(number, known) for number, known in self._trials.items()]
        return JobSnapshot(
            state, created and created.timestamp(), _elapsed(described), _reason(described, state), trials
        )

    def _describe(self) -> Mapping[str, Any]:
        with ignoring(GONE), translated(f"looking at the tuning job {self.name}"):
            return self.aws.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=self.name)
        return {"HyperParameterTuningJobStatus": "DeleteFailed", "FailureReason": "the tuning job was deleted"}

    def _list(self, done: Collection[int]) -> bool:
        """Read a page of the trials, the newest first; go on to older pages while they hold trials that run.

        Returns:
            Whether another page follows.
        """
        answer: Mapping[str, Any] | None = None
        with ignoring(GONE), translated(f"listing the trials of {self.name}"):
            answer = self.aws.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
                HyperParameterTuningJobName=self.name,
                MaxResults=100,
                SortBy="CreationTime",
                SortOrder="Descending",
                **next_page(self._page),
            )
        if answer is None:
            return False
        numbers = [self._take_summary(summary, done) for summary in answer["TrainingJobSummaries"]]
        oldest = min(numbers, default=0)
        older = any(number < oldest and not known.state.ended for number, known in self._trials.items())
        told = {*done, *self._trials}
        unknown = len(told) < max(told, default=-1) + 1
        self._page = answer.get("NextToken") if older or unknown else None
        return self._page is not None

    def _take_summary(self, summary: Mapping[str, Any], done: Collection[int]) -> int:
        """Note what the service says of one training job; return its trial's number."""
        name = summary["TrainingJobName"]
        number = trial_number(name)
        if number is None:
            number = self._number_of(name, done)
        if number in done:
            return number
        if number not in self._trials:
            metrics = PrintedMetrics(self._patterns)
            known = self._trials[number] = _Known(name, self._parameters(summary), metrics, summary)
            self._take_lines(number, known, self._early.pop(number, []))
        self._trials[number].summary = summary
        return number

    def _number_of(self, name: str, done: Collection[int]) -> int:
        """Return the number of a trial whose name does not say it: the next one, unless the name is known."""
        found = (number for number, known in self._trials.items() if known.name == name)
        return next(found, len({*done, *self._trials}))

    def _parameters(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        fixed: Any = self.brief.plan.request
        definitions = fixed.get("TrainingJobDefinitions") or [fixed.get("TrainingJobDefinition") or {}]
        name = summary.get("TrainingJobDefinitionName")
        tuned = summary.get("TunedHyperParameters", {})
        static: dict[str, Any] = {}
        for definition in definitions:
            if len(definitions) == 1 or definition.get("DefinitionName") == name:
                static = definition.get("StaticHyperParameters") or {}
        try:
            return self._codec.decode({**static, **tuned})
        except ValueError:  # a job of another client, which encodes values in a way of its own
            return dict(tuned)

    def _read(self, done: Collection[int]) -> None:
        """Read a page of what the trials printed."""
        lines_of, read = self._logs.read({known.name for known in self._trials.values() if known.state.ended})
        for name, lines in lines_of.items():
            number = trial_number(name)
            if number is None or number in done:
                continue
            if number in self._trials:
                self._take_lines(number, self._trials[number], lines)
            else:
                self._early.setdefault(number, []).extend(lines)  # the next page of trials will have it
        for known in self._trials.values():
            known.read_to_its_end = known.read_to_its_end or known.name in read

    def _take_lines(self, number: int, known: _Known, lines: Sequence[Line]) -> None:
        for index, step, metrics in known.metrics.read_many([line.text for line in lines]):
            known.new.append(Report(number, 1, step, lines[index].time, metrics))
            keep_counting_values(self._job.objective, known.counting, metrics)

    def _read_all(self, done: Collection[int]) -> None:
        self._page = None
        while self._list(done):
            pass  # page after page
        for _ in range(2):  # the pass that goes on, and one that began after all trials had ended
            self._read(done)
            while not self._logs.between_passes:
                self._read(done)

    def _ask_how_they_ended(self) -> None:
        """Ask, once, what the list does not say: of trials that were stopped whether for their time, of spot what is billed."""
        for known in self._trials.values():
            stopped = known.summary["TrainingJobStatus"] == "Stopped" and self._job.limits.trial_time is not None
            if known.read_to_its_end and known.too_long is None and (stopped or self._job.compute.spot):
                with translated(f"asking how {known.name} ended"):
                    answer = self.aws.sagemaker.describe_training_job(TrainingJobName=known.name)
                known.too_long = answer.get("SecondaryStatus") == "MaxRuntimeExceeded"
                known.billed = answer.get("BillableTimeInSeconds")

    def _snapshot(self, number: int, known: _Known) -> TrialSnapshot:
        summary, state = known.summary, known.state
        start = summary.get("TrainingStartTime") or summary.get("CreationTime")
        reports, known.new = known.new, []
        over = state.ended and known.read_to_its_end
        final = {} if known.final is None else {self._job.objective[0].metric: float(known.final["Value"])}
        deleted = "the job ended before it did" if summary["TrainingJobStatus"] == "Deleting" else ""
        return TrialSnapshot(
            number,
            known.name,
            state if over else TrialState.RUNNING,
            known.parameters,
            started=start and start.timestamp(),
            ended=_ended_at(summary) if over else None,
            reports=reports,
            metrics=final,
            reason=deleted or failure_text(summary.get("FailureReason", "")),
            too_long=bool(known.too_long),
            billed=known.billed,
            stopped_early=over and self._stopped_early({**known.counting, **final}, summary),
        )

    def _stopped_early(self, metrics: Mapping[str, float], summary: Mapping[str, Any]) -> bool:
        """Return whether a trial may have been stopped for doing badly, which takes a value to judge by."""
        stops_early = self._job.stopping is not None or isinstance(self._job.strategy, Hyperband)
        stopped = summary["TrainingJobStatus"] == "Stopped"
        return stopped and stops_early and losses(self._job.objective, metrics) is not None


def _ended_at(summary: Mapping[str, Any]) -> float:
    moment = summary.get("TrainingEndTime") or summary.get("LastModifiedTime") or summary.get("CreationTime")
    return time.time() if moment is None else float(moment.timestamp())


def _elapsed(described: Mapping[str, Any]) -> float:
    """Return seconds from the making of the job to its end, or until now."""
    created, ended = described.get("CreationTime"), described.get("HyperParameterTuningEndTime")
    if created is None:
        return 0.0
    return (ended.timestamp() if ended is not None else time.time()) - float(created.timestamp())


def _reason(described: Mapping[str, Any], state: RunState) -> str:
    """Return why a job failed, was stopped, or ended before its last trial; "" if the service says nothing."""
    if state is RunState.COMPLETED:
        converged = described.get("TuningJobCompletionDetails", {}).get("ConvergenceDetectedTime")
        return "" if converged is None else "the service found that the search has converged"
    reason = str(described.get("FailureReason") or "")
    return failure_text(reason) if state is RunState.FAILED else reason


def _specification(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the AlgorithmSpecification of a tuning job's request, the first one's of several definitions."""
    definition = request.get("TrainingJobDefinition") or (request.get("TrainingJobDefinitions") or [{}])[0]
    found: Mapping[str, Any] = definition.get("AlgorithmSpecification") or {}
    return found


# Tuning jobs that were started elsewhere


def find(aws: Aws, name: str) -> TuningJob:
    """Return the spec of a tuning job: the one that travelled with it, or what the service describes.

    Raises:
        RunNotFound: the account has no such job in this region.
        ProviderError: AWS refused, or cannot be reached.
    """
    with ignoring(GONE), translated(f"looking for the tuning job {name}"):
        described = aws.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        spec = _travelled(aws, described)
        return parse(dict(described)) if spec is None else TuningJob.from_data(spec, name)
    hint = "`aws sagemaker list-hyper-parameter-tuning-jobs` lists them"
    raise RunNotFound(f"SageMaker has no tuning job {name!r} in {aws.region}; {hint}")


def _travelled(aws: Aws, described: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the spec in the job file beside the trial helper; None where there is none, or none that we may read."""
    definitions = described.get("TrainingJobDefinitions") or [described.get("TrainingJobDefinition") or {}]
    for channel in definitions[0].get("InputDataConfig", []):
        if channel["ChannelName"] == CHANNEL:
            place = channel["DataSource"]["S3DataSource"]["S3Uri"]
            bucket, _, prefix = place.removeprefix("s3://").partition("/")
            try:
                answer = aws.s3.get_object(Bucket=bucket, Key=f"{prefix.rstrip('/')}/{JOB_FILE}")
            except ClientError:
                return None  # what the service describes has to do
            spec: dict[str, Any] = json.loads(answer["Body"].read())["spec"]
            return spec
    return None
