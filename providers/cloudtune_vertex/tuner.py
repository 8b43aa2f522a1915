"""A tuning job of the service as a run: what the service tells of it, kept in the store.

A look at it is one call, however many trials there are: the job comes with all of its trials and their measurements.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from cloudtune.errors import ProviderError
from cloudtune.planning.plan import Plan
from cloudtune.provider.managed import JobSnapshot, ManagedWatch
from cloudtune.results.objectives import losses
from cloudtune.results.progress import keep_counting_values
from cloudtune.spec.units import format_duration
from cloudtune.store.records import Report, RunState, Trial, TrialState
from cloudtune.trial import metric_id
from cloudtune_vertex.client import Google, failure_text, moment
from cloudtune_vertex.names import id_of
from cloudtune_vertex.schema import seconds_of

if TYPE_CHECKING:
    from cloudtune.space.space_codec import SpaceCodec
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.store import RunStore

JOB_STATES: Mapping[str, RunState] = {
    "": RunState.RUNNING,
    "JOB_STATE_UNSPECIFIED": RunState.RUNNING,
    "JOB_STATE_QUEUED": RunState.RUNNING,
    "JOB_STATE_PENDING": RunState.RUNNING,
    "JOB_STATE_RUNNING": RunState.RUNNING,
    "JOB_STATE_PAUSED": RunState.RUNNING,
    "JOB_STATE_UPDATING": RunState.RUNNING,
    "JOB_STATE_CANCELLING": RunState.STOPPING,
    "JOB_STATE_CANCELLED": RunState.CANCELLED,
    "JOB_STATE_SUCCEEDED": RunState.COMPLETED,
    "JOB_STATE_PARTIALLY_SUCCEEDED": RunState.COMPLETED,
    "JOB_STATE_FAILED": RunState.FAILED,
    "JOB_STATE_EXPIRED": RunState.FAILED,
}
"""Each JobState of the service as a state of a run, before the reasons are looked at."""

TRIAL_STATES: Mapping[str, TrialState] = {
    "": TrialState.RUNNING,
    "STATE_UNSPECIFIED": TrialState.RUNNING,
    "REQUESTED": TrialState.RUNNING,
    "ACTIVE": TrialState.RUNNING,
    "STOPPING": TrialState.RUNNING,
    "SUCCEEDED": TrialState.COMPLETED,
    "INFEASIBLE": TrialState.FAILED,
}
"""Each Trial.State of the service as a state of a trial, before the reasons are looked at."""

Message = Mapping[str, Any]

_NO_REASON = "the service gave no reason"


@dataclass(slots=True)
class _Known:
    """What is known of one trial of the tuning job."""

    trial: Trial
    measured: int = 0
    stopping: bool = False
    finished: bool = False


class TuningJobWatch(ManagedWatch):
    """Keeps one run's part of the store up to date with its tuning job.

    Args:
        google: the clients.
        run: whose lock the caller holds while it looks.
        job: the spec.
        plan: which limits are watched.
        codec: how the space travelled.
        name: the tuning job's full name.
    """

    def __init__(
        self, google: Google, run: "RunStore", job: "TuningJob", plan: Plan, codec: "SpaceCodec", name: str
    ) -> None:
        super().__init__(run, job, plan)
        self._google = google
        self._codec = codec
        self._name = name
        self._metrics = {metric_id(objective.metric): objective.metric for objective in job.objective}
        self._fixed = fixed_arguments(plan.request)
        self._trials = {trial.number: _Known(trial, finished=True) for trial in self.restored()}

    def look(self) -> RunState:
        """Learns what is new by one call, and writes it down."""
        job = self._get()
        state = JOB_STATES[job.get("state", "")]
        for message in job.get("trials", []):
            self._hear(message, over=state.ended)
        sight = JobSnapshot(state, moment(job.get("createTime")), _elapsed(job), _reason(job))
        if state.ended:
            self._end_the_rest()
        else:
            self.enforce(sight)
        return self.write(sight)

    def stop(self) -> None:
        cancel_tuning_job(self._google, self._name)

    def _get(self) -> dict[str, Any]:
        try:
            job = self._google.call(
                f"looking at the tuning job {id_of(self._name)}",
                self._google.jobs.get_hyperparameter_tuning_job,
                name=self._name,
            )
        except ProviderError as error:
            if error.code != "NotFound":
                raise
            return {"state": "JOB_STATE_CANCELLED", "error": {"message": "the tuning job was deleted"}}
        found: dict[str, Any] = json_format.MessageToDict(job._pb)  # noqa: SLF001  # proto-plus's own way
        return found

    # Trials

    def _hear(self, message: Message, *, over: bool) -> None:
        number = int(message["id"]) - 1
        known = self._trials.get(number)
        if known is None:
            trial = Trial(number, self._parameters(message), TrialState.RUNNING, attempt=1, place=self._place(message))
            known = self._trials[number] = _Known(trial)
            self.changed(trial)
        if known.finished:
            return
        self._update(known, message)
        self._measure(known, message)
        if TRIAL_STATES[message.get("state", "")].ended:
            self._finish(known, message)
        elif over:
            known.trial.ended = moment(message.get("endTime"))

    def _place(self, message: Message) -> str:
        return str(message.get("customJob") or f"{self._name}/trials/{message['id']}")

    def _update(self, known: _Known, message: Message) -> None:
        trial, place, started = known.trial, self._place(message), moment(message.get("startTime"))
        known.stopping = known.stopping or message.get("state") == "STOPPING"
        if (trial.place, trial.started) != (place, started or trial.started):
            trial.place, trial.started = place, started or trial.started
            self.changed(trial)

    def _parameters(self, message: Message) -> dict[str, Any]:
        told = {each["parameterId"]: each.get("value") for each in message.get("parameters", [])}
        try:
            return self._codec.decode({**self._fixed, **told})
        except ValueError:  # a job of another client, whose space says more than its spec here
            return told

    def _measure(self, known: _Known, message: Message) -> None:
        measurements = message.get("measurements", [])
        for measurement in measurements[known.measured :]:
            self._take(known.trial, measurement)
        known.measured = max(known.measured, len(measurements))

    def _take(self, trial: Trial, measurement: Message) -> None:
        values = self._values(measurement)
        if values:
            at = (trial.started or time.time()) + seconds_of(measurement.get("elapsedDuration", "0s"))
            self.reported(Report(trial.number, 1, int(measurement.get("stepCount", 0)), at, values))
            keep_counting_values(self.job.objective, trial.metrics, values)
            self.changed(trial)

    def _values(self, measurement: Message) -> dict[str, float]:
        """The metrics of a measurement by our names; a missing value is 0 in the JSON of a message."""
        told = {each.get("metricId", ""): float(each.get("value", 0.0)) for each in measurement.get("metrics", [])}
        return {self._metrics.get(name, name): value for name, value in told.items()}

    # How a trial ended

    def _finish(self, known: _Known, message: Message) -> None:
        trial, final = known.trial, message.get("finalMeasurement", {})
        if not known.measured and final:
            self._take(trial, final)  # the service tells no others
        trial.metrics.update(self._values(final))
        trial.ended = moment(message.get("endTime")) or time.time()
        trial.started = trial.started or trial.ended
        trial.state, trial.reason = self._verdict(known, message)
        known.finished = True
        self.finished(trial)

    def _verdict(self, known: _Known, message: Message) -> tuple[TrialState, str]:
        state, trial = TRIAL_STATES[message.get("state", "")], known.trial
        why = self.why_ended()
        if state is TrialState.FAILED:
            if why is not None:
                return TrialState.CANCELLED, why
            return state, self._too_long(trial) or self._infeasible(trial, message)
        if losses(self.job.objective, trial.metrics) is None:
            if why is not None:
                return TrialState.CANCELLED, why
            return TrialState.FAILED, self.what_is_missing(trial)
        if known.stopping:
            return TrialState.PRUNED, "stopped early by the service"
        return state, ""

    def _infeasible(self, trial: Trial, message: Message) -> str:
        """Why the service calls a trial infeasible; a program that did not fail lacks its objective."""
        said = failure_text(message.get("infeasibleReason", ""))
        if "non-zero" in said or losses(self.job.objective, trial.metrics) is not None:
            return said or _NO_REASON
        return " ".join(filter(None, [said, self.what_is_missing(trial)]))

    def _too_long(self, trial: Trial) -> str:
        """Why a trial failed that ran as long as it may; "" if it did not."""
        limit = self.job.limits.trial_time
        if limit is None or trial.started is None or trial.ended is None:
            return ""
        over = trial.ended - trial.started >= limit.total_seconds()
        return f"it ran longer than {format_duration(limit)} (limits.trial_time)" if over else ""

    def _end_the_rest(self) -> None:
        """Trials that the service left as they were when the job ended."""
        for known in self._trials.values():
            if not known.finished:
                known.trial.state = TrialState.CANCELLED
                known.trial.reason = self.why_ended() or "the job ended before it did"
                known.trial.ended = known.trial.ended or time.time()
                known.finished = True
                self.finished(known.trial)


def fixed_arguments(request: Mapping[str, Any]) -> dict[str, str]:
    """The parameters that do not vary: the arguments ``--name=value`` of every trial."""
    spec = request.get("trialJobSpec") or request.get("jobSpec") or {}
    pools = spec.get("workerPoolSpecs") or [{}]
    program = pools[0].get("containerSpec") or pools[0].get("pythonPackageSpec") or {}
    words = [word[2:].partition("=") for word in program.get("args", []) if word.startswith("--")]
    return {name: text for name, equals, text in words if equals}


def cancel_tuning_job(google: Google, name: str) -> None:
    """Asks a tuning job to end; nothing if it has, or was never made."""
    try:
        google.call(f"stopping the tuning job {id_of(name)}", google.jobs.cancel_hyperparameter_tuning_job, name=name)
    except ProviderError as error:
        if error.code not in {"NotFound", "FailedPrecondition", "InvalidArgument", "BadRequest"}:
            raise


def _elapsed(job: Message) -> float:
    """Seconds from the making of the job to its end, or until now."""
    created, ended = moment(job.get("createTime")), moment(job.get("endTime"))
    return 0.0 if created is None else (ended or time.time()) - created


def _reason(job: Message) -> str:
    if job.get("state") == "JOB_STATE_EXPIRED":
        return "it expired: its resources were not there in time"
    return failure_text(str(job.get("error", {}).get("message", "")))
