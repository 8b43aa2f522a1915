"""Trials as command jobs of Azure Machine Learning.

A poll is one call to MLflow, which tells the states and last metrics of the run's jobs, and one more for each that logged
something since.
"""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cloudtune.driver.outputs import RunBrief
from cloudtune.driver.polling import JobRunner
from cloudtune.driver.snapshots import TrialSnapshot
from cloudtune.driver.verdict import exceeds
from cloudtune.store.records import Trial, TrialState
from cloudtune_azureml.client import Azure
from cloudtune_azureml.logs import LoggedMetrics
from cloudtune_azureml.names import run_name, trial_name
from cloudtune_azureml.storage import JobOutputs
from cloudtune_azureml.translate import command_of
from cloudtune_azureml.tuner import TRIAL_STATES, failure_of, times_of
from cloudtune_azureml.workload import CHECKPOINT, PARENT

RUN_TAG = "cloudtune_run"
"""The tag by which the jobs of a driven run are found."""

_FOR_GOOD = frozenset({"400", "404", "409", "ValidationException", "JobException", "AssetException"})
"""Errors that another attempt would get again."""

_NO_CAPACITY = re.compile(
    r"(insufficient|not enough|no available) (capacity|quota|nodes)|quota exceeded", re.IGNORECASE
)
"""How the run history tells, in words alone, that no machines were to be had."""


@dataclass(slots=True)
class _Known:
    """What is known of a command job that was submitted or found: whose attempt it is, and what it logged."""

    trial: Trial
    logged: LoggedMetrics = field(default_factory=LoggedMetrics)


class AzureMlRunner(JobOutputs, JobRunner):
    """Runs each trial of a run as a command job.

    Args:
        azure: the clients.
        brief: what is asked for the run.
    """

    once = True
    for_good = _FOR_GOOD

    def __init__(self, azure: Azure, brief: RunBrief) -> None:
        super().__init__(brief)
        self.azure = azure
        self._job = brief.job
        self._name = run_name(brief.job.name, brief.id)
        self._jobs: dict[str, _Known] = {}

    def prepare(self) -> None:
        super().prepare()
        # Without one the SDK would take the name of the folder that its caller works in.
        self.template["experiment_name"] = str(self.template.get("experiment_name") or self._job.name)

    def place(self, trial: Trial) -> str:
        return trial_name(self._name, trial.number, trial.attempt)

    def use_machine(self, machine: str) -> None:
        if machine.startswith("azureml:"):  # a cluster
            self.template["compute"] = machine
        else:
            self.template["resources"] = {**self.template.get("resources", {}), "instance_type": machine}

    def submit(self, trial: Trial) -> None:
        code = self.azure.create(
            self.place(trial), self._request(trial), Path(self.brief.native["base"]), look_first=False
        )
        if code is not None:  # the next trials have the same: nothing is uploaded, or looked for, again
            self.template["code"] = code

    def _request(self, trial: Trial) -> dict[str, Any]:
        """Return the command job of one attempt."""
        variables = {**(self.template.get("environment_variables") or {}), **self.variables(trial)}
        tags = {**(self.template.get("tags") or {}), RUN_TAG: self._name}
        found: dict[str, Any] = {"command": command_of(self._job, trial, self.template["command"]), "tags": tags}
        if CHECKPOINT in (outputs := self.template.get("outputs") or {}):
            found["outputs"] = {**outputs, CHECKPOINT: self._checkpoint(outputs[CHECKPOINT], trial.number)}
            if trial.parent is not None:  # an output, since an input has to be there
                found["outputs"][PARENT] = self._checkpoint(outputs[CHECKPOINT], trial.parent)
                found["command"] = f"CLOUDTUNE_AZUREML_PARENT='${{{{outputs.{PARENT}}}}}' {found['command']}"
        title = f"{self.template.get('display_name', self._name)}-{trial.number}"
        return {
            **self.template,
            **found,
            "display_name": title,
            "environment_variables": variables,
        }

    def _checkpoint(self, output: Mapping[str, Any], number: int) -> dict[str, Any]:
        """Return the output of a trial's checkpoints, in a folder that all its attempts share; native settings may have another path."""
        root = str(output.get("path", "")).rstrip("/")
        return {**output, "path": f"{root}/{self._name}/{number:05d}"} if root else dict(output)

    def machine_of(self, trial: Trial) -> str:
        job = (self.azure.job(self.place(trial)) or {}).get("properties", {})
        machine = (job.get("resources") or {}).get("instanceType") or job.get("computeId") or ""
        named = (each for each in self.machines if each.removeprefix("azureml:") == str(machine).rpartition("/")[2])
        return next(named, "")

    def find(self, trial: Trial) -> bool:
        return self.azure.job(self.place(trial)) is not None

    def stop(self, place: str) -> None:
        self.azure.cancel(place)

    # One poll

    def poll(self, trials: Sequence[Trial]) -> Sequence[TrialSnapshot]:
        asked = {self.place(trial): trial for trial in trials}
        self._jobs = {place: self._jobs.get(place) or _Known(trial) for place, trial in asked.items()}
        runs = self.azure.runs(self.template["experiment_name"], RUN_TAG, self._name)
        told = {str(run["info"]["run_id"]): run for run in runs}
        seen = [self._seen(place, told[place]) for place in self._jobs if place in told]
        return [replace(each, reports=self._jobs[each.place].logged.taken()) for each in seen]

    def _seen(self, place: str, run: Mapping[str, Any]) -> TrialSnapshot:
        """Read what is new of a job; return the rest of its snapshot."""
        known, state = self._jobs[place], TRIAL_STATES[run["info"]["status"]]
        number, attempt = known.trial.number, known.trial.attempt
        known.logged.read(self.azure, Trial(number, {}, attempt=attempt, place=place), run)
        started, ended = times_of(run["info"])
        if not state.ended and exceeds(self._job, started, time.time()):
            self.azure.cancel(place)  # the service has its own limit, of a minute at least
        too_long = exceeds(self._job, started, ended)
        reason = "its command job was cancelled" if state is TrialState.CANCELLED else ""
        if state is TrialState.FAILED and not too_long:
            reason = failure_of(self.azure, place)
        unplaced = bool(_NO_CAPACITY.search(reason))
        return TrialSnapshot(
            number, place, state, started=started, ended=ended, reason=reason, too_long=too_long, unplaced=unplaced
        )
