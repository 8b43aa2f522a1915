"""Trials as command jobs: what cloudtune's own driver launches on Azure Machine Learning.

A look at them is one call to MLflow, which tells the states and last metrics of the run's jobs, and one more for each
that logged something since.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.driver.launcher import Ended, finds_no_place
from cloudtune.driver.polling import PolledLauncher
from cloudtune.errors import EmulatorEnded, ProviderError
from cloudtune.store.records import Trial
from cloudtune_azureml.client import Azure
from cloudtune_azureml.launching import RUN_TAG
from cloudtune_azureml.logs import LoggedMetrics
from cloudtune_azureml.names import trial_name
from cloudtune_azureml.tuner import failure_of, overran

if TYPE_CHECKING:
    from cloudtune.spec.job import TuningJob

_FOR_GOOD = frozenset({"400", "404", "409", "ValidationException", "JobException", "AssetException"})
"""Errors that another attempt would get again."""

_NO_CAPACITY = re.compile(
    r"(insufficient|not enough|no available) (capacity|quota|nodes)|quota exceeded", re.IGNORECASE
)
"""How the run history tells, in words alone, that no machines were to be had."""

_ENDED = frozenset({"FINISHED", "FAILED", "KILLED"})


@dataclass(slots=True)
class _Running:
    """What is known of a command job that runs."""

    trial: Trial
    logged: LoggedMetrics = field(default_factory=LoggedMetrics)
    last: Any = None
    ended: Ended | None = None


class CommandJobLauncher(PolledLauncher):
    """Runs each trial as a command job.

    Args:
        azure: the clients.
        job: the spec.
        name: the run's; see `names.run_name`.
        template: the command job, but for what differs from trial to trial.
        origin: what its relative paths start from.
        command: gives a trial's command.
        interval: seconds between two looks at the service.
    """

    once = True

    def __init__(
        self,
        azure: Azure,
        job: "TuningJob",
        name: str,
        template: Mapping[str, Any],
        origin: Path,
        command: Callable[[Trial], str],
        *,
        interval: float,
    ) -> None:
        super().__init__(interval)
        self._azure = azure
        self._job = job
        self._name = name
        # Without one the SDK would take the name of the folder that its caller works in.
        self._experiment = str(template.get("experiment_name") or job.name)
        self._template = {**template, "experiment_name": self._experiment}
        self._origin = origin
        self._command = command
        self._running: dict[str, _Running] = {}

    def place(self, trial: Trial) -> str:
        return trial_name(self._name, trial.number, trial.attempt)

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def launch(self, trial: Trial) -> None:
        running = self._take(trial)
        try:
            code = self._azure.create(self.place(trial), self._request(trial), self._origin, look_first=False)
            if code is not None:  # the next trials have the same: nothing is uploaded, or looked for, again
                self._template = {**self._template, "code": code}
        except EmulatorEnded:  # which says nothing of the trial
            raise
        except ProviderError as error:
            self._end(running, str(error), retry=error.code not in _FOR_GOOD, unplaced=finds_no_place(error))

    def _request(self, trial: Trial) -> dict[str, Any]:
        """The command job of one attempt."""
        own = {"CLOUDTUNE_TRIAL": str(trial.number), "CLOUDTUNE_ATTEMPT": str(trial.attempt)}
        variables = {**(self._template.get("environment_variables") or {}), **own}
        tags = {**(self._template.get("tags") or {}), RUN_TAG: self._name}
        title = f"{self._template.get('display_name', self._name)}-{trial.number}"
        return {
            **self._template,
            "command": self._command(trial),
            "display_name": title,
            "environment_variables": variables,
            "tags": tags,
        }

    def _take(self, trial: Trial) -> _Running:
        running = self._running[self.place(trial)] = _Running(trial)
        return running

    def adopt(self, trial: Trial) -> bool:
        if self._azure.job(self.place(trial)) is None:
            return False
        self._take(trial)
        return True

    # One look

    def look(self) -> None:
        told = {str(run["info"]["run_id"]): run for run in self._azure.runs(self._experiment, RUN_TAG, self._name)}
        for place, running in list(self._running.items()):
            run = told.get(place)
            if running.ended is None and run is not None:
                self._hear(place, running, run)
            if running.ended is not None:
                del self._running[place]
                self.happened.append(running.ended)

    def _hear(self, place: str, running: _Running, run: Mapping[str, Any]) -> None:
        last = run.get("data", {}).get("metrics", [])
        if last and last != running.last:
            running.last = last
            trial = Trial(running.trial.number, {}, running.trial.state, attempt=running.trial.attempt, place=place)
            self.happened.extend(running.logged.new_reports(self._azure, trial, [each["key"] for each in last]))
        if run["info"]["status"] in _ENDED:
            self._conclude(place, running, run["info"])
        elif overran(self._job, run["info"], time.time()):  # the service has its own limit, of a minute at least
            self._azure.cancel(place)

    def _conclude(self, place: str, running: _Running, info: Mapping[str, Any]) -> None:
        if info["status"] == "FINISHED":
            self._end(running, "")
            return
        too_long = overran(self._job, info, float(info.get("end_time") or 0) / 1000)
        if too_long:
            self._end(running, too_long)
        elif info["status"] == "KILLED":
            self._end(running, "its command job was cancelled", retry=True)
        else:
            why = failure_of(self._azure, place)
            self._end(running, why, retry=True, unplaced=bool(_NO_CAPACITY.search(why)))

    def _end(self, running: _Running, failure: str, *, retry: bool = False, unplaced: bool = False) -> None:
        running.ended = Ended(running.trial.number, running.trial.attempt, failure, retry=retry, unplaced=unplaced)

    def stop(self, number: int) -> None:
        for place, running in self._running.items():
            if running.trial.number == number and running.ended is None:
                self._azure.cancel(place)

    def close(self) -> None:
        """Lets go of jobs that still run: they are the service's, and a resume takes them over."""
