"""A sweep job of the service as a run: what the service tells of it, kept in the store.

A look at it is two calls, however many trials there are: one for the job, one for its trials, whose parameters and
last metrics MLflow tells; and one more for each trial that logged something, which gives all of its values.
"""

import json
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cloudtune.planning.plan import Plan
from cloudtune.provider.managed import JobSnapshot, ManagedWatch
from cloudtune.results.objectives import losses
from cloudtune.results.progress import keep_counting_values
from cloudtune.spec.units import format_duration
from cloudtune.store.records import RunState, Trial, TrialState
from cloudtune.trial import flattened_branches
from cloudtune_azureml.client import Azure
from cloudtune_azureml.logs import LoggedMetrics

if TYPE_CHECKING:
    from cloudtune.space.space_codec import SpaceCodec
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.store import RunStore

JOB_STATES: Mapping[str, RunState] = {
    "": RunState.RUNNING,
    "NotStarted": RunState.RUNNING,
    "Starting": RunState.RUNNING,
    "Provisioning": RunState.RUNNING,
    "Preparing": RunState.RUNNING,
    "Queued": RunState.RUNNING,
    "Running": RunState.RUNNING,
    "Finalizing": RunState.RUNNING,
    "NotResponding": RunState.RUNNING,
    "Paused": RunState.RUNNING,
    "Scheduled": RunState.RUNNING,
    "Unknown": RunState.RUNNING,
    "CancelRequested": RunState.STOPPING,
    "Completed": RunState.COMPLETED,
    "Failed": RunState.FAILED,
    "Canceled": RunState.CANCELLED,
}
"""Each JobStatus of the service as a state of a run, before the reasons are looked at."""

TRIAL_STATES: Mapping[str, TrialState] = {
    "SCHEDULED": TrialState.RUNNING,
    "RUNNING": TrialState.RUNNING,
    "FINISHED": TrialState.COMPLETED,
    "FAILED": TrialState.FAILED,
    "KILLED": TrialState.CANCELLED,
}
"""Each RunStatus of MLflow as a state of a trial, before the reasons are looked at."""

_LAG = 1
"""Looks for which a trial without its metrics may still get them: they come after its end."""

Data = Mapping[str, Any]


@dataclass(slots=True)
class _Known:
    """What is known of one trial of the sweep."""

    trial: Trial
    logged: LoggedMetrics = field(default_factory=LoggedMetrics)
    last: Any = None
    waited: int = 0
    finished: bool = False


class SweepWatch(ManagedWatch):
    """Keeps one run's part of the store up to date with its sweep job.

    Args:
        azure: the clients.
        run: whose lock the caller holds while it looks.
        job: the spec.
        plan: which limits are watched.
        codec: how the space travelled.
        name: the sweep job's.
    """

    def __init__(
        self, azure: Azure, run: "RunStore", job: "TuningJob", plan: Plan, codec: "SpaceCodec", name: str
    ) -> None:
        super().__init__(run, job, plan)
        self._azure = azure
        self._codec = codec
        self._name = name
        self._fixed = _fixed(plan.request)
        self._experiment = ""
        self._trials = {trial.number: _Known(trial, finished=True) for trial in self.restored()}

    def look(self) -> RunState:
        """Learns what is new, and writes it down."""
        body = self._azure.job(self._name)
        if body is None:
            return self._close(JobSnapshot(RunState.CANCELLED, None, 0.0, "the sweep job was deleted"))
        own = body["properties"]
        self._experiment = own.get("experimentName") or "Default"
        state = JOB_STATES.get(own.get("status") or "", RunState.RUNNING)
        for run in self._azure.runs(self._experiment, "mlflow.parentRunId", self._name):
            self._hear(run, over=state.ended)
        created = self.run.record().created
        reason = self._reason() if state is RunState.FAILED else ""
        sight = JobSnapshot(state, created, time.time() - created, reason)
        if state.ended:
            return self._close(sight)
        self.enforce(sight)
        return self.write(sight)

    def stop(self) -> None:
        self._azure.cancel(self._name)

    def _reason(self) -> str:
        return failure_of(self._azure, self._name)

    def _close(self, sight: JobSnapshot) -> RunState:
        """Ends the trials that the service left as they were when the job ended."""
        for known in self._trials.values():
            if not known.finished:
                known.trial.state = TrialState.CANCELLED
                known.trial.reason = self.why_ended() or "the job ended before it did"
                known.trial.ended = known.trial.ended or time.time()
                self._finished(known)
        return self.write(sight)

    def _finished(self, known: _Known) -> None:
        known.finished = True
        self.finished(known.trial)

    # Trials

    def _hear(self, run: Data, *, over: bool) -> None:
        info = run["info"]
        number = self._number(str(info["run_id"]))
        known = self._trials.get(number)
        if known is None:
            trial = Trial(number, self._parameters(run), TrialState.RUNNING, attempt=1, place=str(info["run_id"]))
            known = self._trials[number] = _Known(trial)
            self.changed(trial)
        if known.finished:
            return
        started = info.get("start_time")
        if known.trial.started is None and started and info["status"] != "SCHEDULED":
            known.trial.started = float(started) / 1000
            self.changed(known.trial)
        self._measure(known, run)
        if TRIAL_STATES[info["status"]].ended:
            self._finish(known, run, over=over)
        elif overran(self.job, info, time.time()):  # the service has its own limit, of a minute at least
            self._azure.cancel(known.trial.place)

    def _number(self, name: str) -> int:
        """A trial's number: the service counts them in their names."""
        tail = name.rpartition("_")[2]
        return int(tail) if tail.isdigit() else len(self._trials)

    def _parameters(self, run: Data) -> dict[str, Any]:
        """The parameters, which are told as MLflow's, and in a tag."""
        data = run.get("data", {})
        tags = {each["key"]: each["value"] for each in data.get("tags", [])}
        told: dict[str, Any] = {each["key"]: each["value"] for each in data.get("params", [])}
        told |= json.loads(tags["hyperparameters"]) if "hyperparameters" in tags else {}
        flat = flattened_branches(told)
        try:
            return self._codec.decode({**self._fixed, **flat})
        except ValueError:  # a job of another client, whose space says more than its spec here
            return flat

    def _measure(self, known: _Known, run: Data) -> None:
        last = run.get("data", {}).get("metrics", [])
        if not last or last == known.last:
            return
        known.last = last
        for report in known.logged.new_reports(self._azure, known.trial, [each["key"] for each in last]):
            self.reported(report)
            keep_counting_values(self.job.objective, known.trial.metrics, report.metrics)
            self.changed(known.trial)

    # How a trial ended

    def _finish(self, known: _Known, run: Data, *, over: bool) -> None:
        trial, state = known.trial, TRIAL_STATES[run["info"]["status"]]
        unknown = losses(self.job.objective, trial.metrics) is None
        if unknown and state is TrialState.COMPLETED and not over and known.waited < _LAG:
            known.waited += 1
            return
        trial.ended = float(run["info"].get("end_time") or 1000 * time.time()) / 1000
        trial.started = trial.started or trial.ended
        trial.state, trial.reason = self._ending_of(trial, run["info"], unknown=unknown)
        self._finished(known)

    def _ending_of(self, trial: Trial, info: Data, *, unknown: bool) -> tuple[TrialState, str]:
        state = TRIAL_STATES[info["status"]]
        why = self.why_ended()
        too_long = overran(self.job, info, trial.ended or 0.0)
        if too_long and state is not TrialState.COMPLETED and why is None:
            return TrialState.FAILED, too_long
        if state is TrialState.CANCELLED:
            if why is None and self.job.stopping is not None:
                return TrialState.PRUNED, f"stopped early by the service (stopping: {self.job.stopping.type})"
            return state, why or "cancelled at the service"
        if state is TrialState.FAILED:
            if why is not None:
                return TrialState.CANCELLED, why
            return state, failure_of(self._azure, trial.place)
        if unknown:
            return TrialState.FAILED, self.what_is_missing(trial)
        return state, ""


def overran(job: "TuningJob", info: Data, now: float) -> str:
    """Why a trial ends if it ran longer than it may; "" if it did not.

    Args:
        job: the spec.
        info: of its run, as MLflow tells it.
        now: until when it ran, seconds since 1970.
    """
    limit, started = job.limits.trial_time, info.get("start_time")
    if limit is None or not started or info["status"] == "SCHEDULED":
        return ""
    over = now - float(started) / 1000 >= limit.total_seconds()
    return f"it ran longer than {format_duration(limit)} (limits.trial_time)" if over else ""


def failure_of(azure: Azure, name: str) -> str:
    """Why a job failed, as the run history tells it."""
    told = azure.history(name, f"looking why {name} failed")
    error = ((told.get("error") or {}).get("error") or {}).get("message")
    said = str(error or "the service gave no reason")
    return said.partition("Error: ")[2] or said


def _fixed(request: Data) -> dict[str, str]:
    """The parameters that do not vary: words ``--name=value`` of the command."""
    command = str((request.get("trial") or request).get("command") or "")
    try:
        words = [word[2:].partition("=") for word in shlex.split(command) if word.startswith("--")]
    except ValueError:
        return {}
    return {name: text for name, equals, text in words if equals and "${{" not in text}
