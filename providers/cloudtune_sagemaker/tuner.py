"""A tuning job of the service as a run: what the service tells of it, kept in the store.

A look at it costs two calls, however many trials there are: one describes the job, the other reads a page of its
trials or of what they printed, in turn. A trial has ended for us when the service says so and its output has been
read to the end. When the job has ended, everything that is still missing is read.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from cloudtune.planning.plan import Plan
from cloudtune.provider.managed import JobSnapshot, ManagedWatch
from cloudtune.results.objectives import losses
from cloudtune.results.progress import keep_counting_values
from cloudtune.spec.metric_patterns import metric_patterns
from cloudtune.spec.strategies import Hyperband
from cloudtune.spec.units import format_duration
from cloudtune.store.records import Report, RunState, Trial, TrialState
from cloudtune.trial import PrintedMetrics
from cloudtune_sagemaker.algorithms import as_printed
from cloudtune_sagemaker.client import Aws, code_of, next_page, translated
from cloudtune_sagemaker.jobs import failure_text
from cloudtune_sagemaker.logs import Line, LogStreams, by_job
from cloudtune_sagemaker.names import trial_number

if TYPE_CHECKING:
    from cloudtune.space.space_codec import SpaceCodec
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.store import RunStore

JOB_STATES: Mapping[str, RunState] = {
    "InProgress": RunState.RUNNING,
    "Stopping": RunState.STOPPING,
    "Completed": RunState.COMPLETED,
    "Failed": RunState.FAILED,
    "Stopped": RunState.CANCELLED,
    "Deleting": RunState.STOPPING,
    "DeleteFailed": RunState.CANCELLED,
}
"""Each HyperParameterTuningJobStatus of botocore as a state of a run, before the reasons are looked at."""

TRIAL_STATES: Mapping[str, TrialState] = {
    "InProgress": TrialState.RUNNING,
    "Stopping": TrialState.RUNNING,
    "Completed": TrialState.COMPLETED,
    "Failed": TrialState.FAILED,
    "Stopped": TrialState.CANCELLED,
    "Deleting": TrialState.CANCELLED,
}
"""Each TrainingJobStatus of botocore as a state of a trial, before the reasons are looked at."""

_GONE = frozenset({"ResourceNotFound", "ValidationException"})


@dataclass(slots=True)
class _Known:
    """What is known of one training job of the tuning job."""

    trial: Trial
    metrics: PrintedMetrics
    reported: dict[str, float]
    summary: Mapping[str, Any]
    drained: bool = False
    finished: bool = False

    @property
    def over(self) -> bool:
        """Whether the service says that it has ended."""
        return TRIAL_STATES[self.summary["TrainingJobStatus"]].ended


class TuningJobWatch(ManagedWatch):
    """Keeps one run's part of the store up to date with its tuning job.

    Args:
        aws: the clients.
        run: whose lock the caller holds while it looks.
        job: the spec.
        plan: which limits are watched.
        codec: how the space travelled.
        name: the tuning job's name.
    """

    def __init__(self, aws: Aws, run: "RunStore", job: "TuningJob", plan: Plan, codec: "SpaceCodec", name: str) -> None:
        super().__init__(run, job, plan)
        self._aws = aws
        self._codec = codec
        self._name = name
        self._patterns = metric_patterns(as_printed(job.objective, _specification(plan)), job.metrics)
        self._trials: dict[int, _Known] = {}
        self._logs = LogStreams(aws, f"{name}-", run.record().created)
        self._of_this_pass: set[int] = set()
        self._early: dict[int, list[Line]] = {}
        self._page: str | None = None
        self._list_next = True
        self._restore()

    def _restore(self) -> None:
        """Takes up what an earlier watch left: trials that have ended for us, and nothing of the others."""
        for trial in self.restored():
            known = _Known(trial, PrintedMetrics({}), {}, {"TrainingJobStatus": "Completed"}, finished=True)
            self._trials[trial.number] = known

    # One look

    def look(self) -> RunState:
        """Learns what is new by two calls, and writes it down; all that is left when the job has ended."""
        described = self._describe()
        state = JOB_STATES[described["HyperParameterTuningJobStatus"]]
        if state.ended:
            self._read_all()
        elif self._list_next:
            self._list()
        else:
            self._read()
        if not state.ended:
            self._list_next = not self._list_next
            self.enforce(_sight(described, state))
        return self.write(_sight(described, state))

    def stop(self) -> None:
        stop_tuning_job(self._aws, self._name)

    def _describe(self) -> Mapping[str, Any]:
        with translated(f"looking at the tuning job {self._name}"):
            try:
                return self._aws.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=self._name)
            except ClientError as error:
                if code_of(error) not in _GONE:
                    raise
        return {"HyperParameterTuningJobStatus": "DeleteFailed", "FailureReason": "the tuning job was deleted"}

    def _list(self) -> bool:
        """Reads a page of the trials, the newest first; goes on to older pages while they hold trials that run.

        Returns:
            Whether another page follows.
        """
        with translated(f"listing the trials of {self._name}"):
            try:
                answer = self._aws.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
                    HyperParameterTuningJobName=self._name,
                    MaxResults=100,
                    SortBy="CreationTime",
                    SortOrder="Descending",
                    **next_page(self._page),
                )
            except ClientError as error:
                if code_of(error) not in _GONE:
                    raise
                return False
        summaries = answer["TrainingJobSummaries"]
        numbers = [self._heard_of(summary) for summary in summaries]
        oldest = min(numbers, default=0)
        older = any(number < oldest and not known.over for number, known in self._trials.items())
        unknown = len(self._trials) < max(self._trials, default=-1) + 1
        self._page = answer.get("NextToken") if older or unknown else None
        return self._page is not None

    def _heard_of(self, summary: Mapping[str, Any]) -> int:
        """Takes note of what the service says of one training job; returns its trial's number."""
        name = summary["TrainingJobName"]
        number = trial_number(name)
        if number is None:
            number = len(self._trials)
        known = self._trials.get(number)
        if known is None:
            trial = Trial(number, self._parameters(summary), TrialState.RUNNING, attempt=1, place=name)
            known = self._trials[number] = _Known(trial, PrintedMetrics(self._patterns), {}, summary)
            self.changed(trial)
            self._take(known, self._early.pop(number, []))
        known.summary = known.summary if known.finished else summary
        start = summary.get("TrainingStartTime") or summary.get("CreationTime")
        if not known.finished and start is not None and known.trial.started != start.timestamp():
            known.trial.started = start.timestamp()
            self.changed(known.trial)
        return number

    def _parameters(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        fixed = self.plan.request
        definitions = fixed.get("TrainingJobDefinitions") or [fixed.get("TrainingJobDefinition") or {}]
        name = summary.get("TrainingJobDefinitionName")
        assert isinstance(definitions, list)
        static: dict[str, Any] = {}
        for definition in definitions:
            if isinstance(definition, dict) and (len(definitions) == 1 or definition.get("DefinitionName") == name):
                static = dict(definition.get("StaticHyperParameters") or {})  # type: ignore[arg-type]
        sent = {**static, **summary.get("TunedHyperParameters", {})}
        try:
            return self._codec.decode(sent)
        except ValueError:  # a job of another client, which encodes values in a way of its own
            return {name: value for name, value in sent.items() if name in summary.get("TunedHyperParameters", {})}

    def _read(self) -> None:
        """Reads a page of what the trials printed, and finishes those that had ended when the pass began."""
        if self._logs.between_passes:
            self._of_this_pass = {number for number, known in self._trials.items() if known.over}
        for name, lines in by_job(self._logs.read()).items():
            number = trial_number(name)
            if number is not None and number not in self._trials:
                self._early.setdefault(number, []).extend(lines)  # the next page of trials will have it
            elif number is not None:
                self._take(self._trials[number], lines)
        if self._logs.between_passes:
            self._finish(self._of_this_pass)

    def _take(self, known: _Known, lines: Sequence[Line]) -> None:
        if known.finished:
            return
        for number, step, metrics in known.metrics.read_many([line.text for line in lines]):
            self.reported(Report(known.trial.number, 1, step, lines[number].time, metrics))
            known.reported.update(metrics)
            keep_counting_values(self.job.objective, known.trial.metrics, metrics)
            self.changed(known.trial)

    def _read_all(self) -> None:
        self._page = None
        while self._list():
            pass  # page after page
        self._read()
        while not self._logs.between_passes:
            self._read()
        self._read()  # a pass that began after all trials had ended
        while not self._logs.between_passes:
            self._read()
        self._finish(self._trials.keys())

    # How a trial ended

    def _finish(self, numbers: Iterable[int]) -> None:
        left = [self._trials[number] for number in numbers if not self._trials[number].finished]
        for known in sorted(left, key=lambda known: (_ended_at(known.summary), known.trial.number)):
            trial, summary = known.trial, known.summary
            final = summary.get("FinalHyperParameterTuningJobObjectiveMetric")
            if final is not None:
                trial.metrics[self.job.objective[0].metric] = final["Value"]
            trial.state, trial.reason = self._verdict(known)
            trial.ended = _ended_at(summary)
            trial.started = trial.started or trial.ended
            known.finished = True
            self.finished(trial)

    def _verdict(self, known: _Known) -> tuple[TrialState, str]:
        summary, objectives = known.summary, self.job.objective
        state = TRIAL_STATES[summary["TrainingJobStatus"]]
        if state is TrialState.FAILED:
            return state, failure_text(summary.get("FailureReason", "")) or "the service gave no reason"
        if state is TrialState.COMPLETED and losses(objectives, known.trial.metrics) is None:
            return TrialState.FAILED, self.what_is_missing(known.trial, {**known.trial.metrics, **known.reported})
        if summary["TrainingJobStatus"] == "Stopped":
            return self._why_stopped(known)
        return state, "" if state is TrialState.COMPLETED else "the job ended before it did"

    def _why_stopped(self, known: _Known) -> tuple[TrialState, str]:
        """A stopped training job ran too long, was stopped early for doing badly, or had to end with its job."""
        limit = self.job.limits.trial_time
        if limit is not None and self._ran_too_long(known.trial.place):
            return TrialState.FAILED, f"it ran longer than {format_duration(limit)} (limits.trial_time)"
        why = self.why_ended()
        if why is not None:
            return TrialState.CANCELLED, why
        stops_early = self.job.stopping is not None or isinstance(self.job.strategy, Hyperband)
        if stops_early and losses(self.job.objective, known.trial.metrics) is not None:
            return TrialState.PRUNED, "stopped early by the service"
        return TrialState.CANCELLED, "it was stopped on the service"

    def _ran_too_long(self, name: str) -> bool:
        with translated(f"asking how {name} ended"):
            answer = self._aws.sagemaker.describe_training_job(TrainingJobName=name)
        return answer.get("SecondaryStatus") == "MaxRuntimeExceeded"


def stop_tuning_job(aws: Aws, name: str) -> None:
    """Asks a tuning job to end; nothing if it has, or was never made."""
    with translated(f"stopping the tuning job {name}"):
        try:
            aws.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        except ClientError as error:
            if code_of(error) not in _GONE:
                raise


def _ended_at(summary: Mapping[str, Any]) -> float:
    moment = summary.get("TrainingEndTime") or summary.get("LastModifiedTime") or summary.get("CreationTime")
    return time.time() if moment is None else float(moment.timestamp())


def _elapsed(described: Mapping[str, Any]) -> float:
    """Seconds from the making of the job to its end, or until now."""
    created, ended = described.get("CreationTime"), described.get("HyperParameterTuningEndTime")
    if created is None:
        return 0.0
    return (ended.timestamp() if ended is not None else time.time()) - float(created.timestamp())


def _sight(described: Mapping[str, Any], state: RunState) -> JobSnapshot:
    created = described.get("CreationTime")
    return JobSnapshot(state, created and created.timestamp(), _elapsed(described), _reason(described, state))


def _reason(described: Mapping[str, Any], state: RunState) -> str:
    """Why a job failed, was stopped, or ended before its last trial; "" if the service says nothing."""
    if state is RunState.COMPLETED:
        converged = described.get("TuningJobCompletionDetails", {}).get("ConvergenceDetectedTime")
        return "" if converged is None else "the service found that the search has converged"
    reason = str(described.get("FailureReason") or "")
    return failure_text(reason) if state is RunState.FAILED else reason


def _specification(plan: Plan) -> Mapping[str, Any]:
    """The AlgorithmSpecification of a plan's request, the first one's of several definitions."""
    request: Any = plan.request
    definition = request.get("TrainingJobDefinition") or (request.get("TrainingJobDefinitions") or [{}])[0]
    found: Mapping[str, Any] = definition.get("AlgorithmSpecification") or {}
    return found
