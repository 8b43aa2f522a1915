"""Azure Machine Learning's own tuner: the sweep job of one run.

A poll is two calls, however many trials there are: one for the job, one for its trials, whose parameters and last metrics
MLflow tells; and one more for each trial that logged something, which gives all of its values.
"""

import json
import shlex
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cloudtune.driver.outputs import RunBrief
from cloudtune.driver.snapshots import JobSnapshot, ServiceStates, TrialSnapshot
from cloudtune.driver.verdict import exceeds
from cloudtune.errors import RunNotFound
from cloudtune.provider.managed_run import Tuner
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, Trial, TrialState
from cloudtune_azureml.client import Azure
from cloudtune_azureml.container import flattened_branches
from cloudtune_azureml.logs import LoggedMetrics
from cloudtune_azureml.names import run_name
from cloudtune_azureml.parse import parse, travelled
from cloudtune_azureml.rest import file_of
from cloudtune_azureml.space import codec_of
from cloudtune_azureml.storage import JobOutputs

JOB_STATES: Mapping[str, RunState] = ServiceStates(
    {
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
    },
    other=RunState.RUNNING,
)
"""Each JobStatus of the service as a state of a run, before the reasons are looked at."""

TRIAL_STATES: Mapping[str, TrialState] = ServiceStates(
    {
        "SCHEDULED": TrialState.RUNNING,
        "RUNNING": TrialState.RUNNING,
        "FINISHED": TrialState.COMPLETED,
        "FAILED": TrialState.FAILED,
        "KILLED": TrialState.CANCELLED,
    },
    other=TrialState.RUNNING,
)
"""Each RunStatus of MLflow as a state of a trial, before the reasons are looked at."""

Data = Mapping[str, Any]


@dataclass(slots=True)
class _Known:
    """What is known of one trial: its parameters, and what it logged."""

    parameters: dict[str, Any]
    logged: LoggedMetrics = field(default_factory=LoggedMetrics)


class AzureMlTuner(JobOutputs, Tuner):
    """The sweep job of one run, which has its name before it is made.

    Args:
        azure: the clients.
        brief: what is asked for the run.
    """

    lag = 1

    def __init__(self, azure: Azure, brief: RunBrief) -> None:
        request: Any = brief.plan.request
        own = request.get("name") or run_name(brief.job.name, brief.id)
        super().__init__(brief, brief.native.get("job") or str(own))
        self.azure = azure
        self._job = brief.job
        self._codec = codec_of(brief.job)
        self._fixed = _fixed(brief.plan.request)
        self._trials: dict[int, _Known] = {}
        self._unnumbered: dict[str, int] = {}

    def create(self, *, again: bool) -> str:
        origin = Path(self.brief.native["base"])
        self.azure.create(self.name, self.brief.request(), origin, look_first=again)
        return self.name

    def stop(self) -> None:
        self.azure.cancel(self.name)

    # One poll

    def poll(self, done: Collection[int]) -> JobSnapshot:
        body = self.azure.job(self.name)
        if body is None:
            return JobSnapshot(RunState.CANCELLED, None, 0.0, "the sweep job was deleted")
        own = body["properties"]
        state = JOB_STATES.get(own.get("status") or "", RunState.RUNNING)
        runs = self.azure.runs(own.get("experimentName") or "Default", "mlflow.parentRunId", self.name)
        numbered = [(self._number(str(run["info"]["run_id"])), run) for run in runs]
        seen = [self._seen(number, run) for number, run in numbered if number not in done]
        reason = failure_of(self.azure, self.name) if state is RunState.FAILED else ""
        trials = [replace(each, reports=self._trials[each.number].logged.taken()) for each in seen]
        return JobSnapshot(state, self.brief.created, time.time() - self.brief.created, reason, trials)

    def _number(self, name: str) -> int:
        """Return a trial's number: the service counts them in their names."""
        tail = name.rpartition("_")[2]
        return int(tail) if tail.isdigit() else self._unnumbered.setdefault(name, len(self._unnumbered))

    def _seen(self, number: int, run: Data) -> TrialSnapshot:
        """Read what is new of a trial; return the rest of its snapshot."""
        info = run["info"]
        name, state = str(info["run_id"]), TRIAL_STATES[info["status"]]
        known = self._trials.get(number)
        if known is None:
            known = self._trials[number] = _Known(self._parameters(run))
        known.logged.read(self.azure, Trial(number, {}, attempt=1, place=name), run)
        started, ended = times_of(info)
        if not state.ended and exceeds(self._job, started, time.time()):
            self.azure.cancel(name)  # the service has its own limit, of a minute at least
        too_long = state is not TrialState.COMPLETED and exceeds(self._job, started, ended or time.time())
        return TrialSnapshot(
            number,
            name,
            state,
            known.parameters,
            started=started,
            ended=ended if state.ended else None,
            reason=failure_of(self.azure, name) if state is TrialState.FAILED and not too_long else "",
            too_long=too_long,
            stopped_early=state is TrialState.CANCELLED and self._job.stopping is not None,
        )

    def _parameters(self, run: Data) -> dict[str, Any]:
        """Return the parameters, which are told as MLflow's, and in a tag."""
        data = run.get("data", {})
        tags = {each["key"]: each["value"] for each in data.get("tags", [])}
        told: dict[str, Any] = {each["key"]: each["value"] for each in data.get("params", [])}
        told |= json.loads(tags["hyperparameters"]) if "hyperparameters" in tags else {}
        flat = flattened_branches(told)
        try:
            return self._codec.decode({**self._fixed, **flat})
        except ValueError:  # a job of another client, whose space says more than its spec here
            return flat


def times_of(info: Data) -> tuple[float | None, float | None]:
    """Return when a run began and ended, as MLflow tells it, in seconds since 1970; one that is scheduled has not begun."""
    begun, over = info.get("start_time"), info.get("end_time")
    started = float(begun) / 1000 if begun and info["status"] != "SCHEDULED" else None
    return started, float(over) / 1000 if over else None


def failure_of(azure: Azure, name: str) -> str:
    """Return why a job failed, as the run history tells it."""
    told = azure.history(name, f"looking why {name} failed")
    error = ((told.get("error") or {}).get("error") or {}).get("message")
    said = str(error or "the service gave no reason")
    return said.partition("Error: ")[2] or said


def _fixed(request: Data) -> dict[str, str]:
    """Return the parameters that do not vary: words ``--name=value`` of the command."""
    command = str((request.get("trial") or request).get("command") or "")
    try:
        words = [word[2:].partition("=") for word in shlex.split(command) if word.startswith("--")]
    except ValueError:
        return {}
    return {name: text for name, equals, text in words if equals and "${{" not in text}


# Sweep jobs that were started elsewhere


def find(azure: Azure, name: str) -> TuningJob:
    """Return the spec of a sweep job.

    Raises:
        RunNotFound: the workspace has no such job.
    """
    body = azure.job(name)
    if body is None or body["properties"].get("jobType") != "Sweep":
        hint = f"`az ml job list -w {azure.settings.workspace} -g {azure.settings.resource_group}` lists its jobs"
        raise RunNotFound(f"Azure Machine Learning has no tuning job {name!r} in the workspace; {hint}")
    spec = travelled(file_of(body))
    return parse(body) if spec is None else TuningJob.from_data(spec, name)
