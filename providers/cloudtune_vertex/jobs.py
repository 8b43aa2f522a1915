"""Trials as custom jobs: what cloudtune's own driver launches on Vertex AI.

A look at them lists the run's custom jobs, one page a look, and reads the metrics file of each that runs.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from cloudtune.driver.launcher import Ended, finds_no_place
from cloudtune.driver.polling import PolledLauncher
from cloudtune.errors import EmulatorEnded, ProviderError
from cloudtune.spec.units import format_duration
from cloudtune.store.records import Report, Trial
from cloudtune.trial import metric_id
from cloudtune_vertex.client import Google, failure_text, moment, translated
from cloudtune_vertex.launching import custom_job_message, find_custom_job
from cloudtune_vertex.names import ATTEMPT_LABEL, RUN_LABEL, TRIAL_LABEL, filter_of, id_of, trial_labels
from cloudtune_vertex.storage import read_if_changed
from cloudtune_vertex.tuner import JOB_STATES

if TYPE_CHECKING:
    from cloudtune.spec.job import TuningJob

METRICS_VARIABLE = "CLOUD_ML_HP_METRIC_FILE"
"""The variable by which the package cloudml-hypertune, and the trial helper, know where to write metrics."""

_FOR_GOOD = frozenset({"InvalidArgument", "BadRequest", "NotFound", "FailedPrecondition"})
"""Errors that another attempt would get again."""

_RESOURCE_EXHAUSTED = 8
"""google.rpc.Code: what a job ends with for want of machines."""


@dataclass(slots=True)
class _Running:
    """What is known of a custom job that runs."""

    trial: Trial
    metrics: str
    name: str = ""
    ended: Ended | None = None
    generation: int | None = None
    lines: set[str] = field(default_factory=set)
    reports: int = 0


class CustomJobLauncher(PolledLauncher):
    """Runs each trial as a custom job.

    Args:
        google: the clients.
        job: the spec.
        name: the run's, in labels; see `names.run_name`.
        template: the custom job, but for what differs from trial to trial.
        arguments: gives a trial's arguments.
        interval: seconds between two looks at the service.
    """

    def __init__(
        self,
        google: Google,
        job: "TuningJob",
        name: str,
        template: Mapping[str, Any],
        arguments: Callable[[Trial], list[str]],
        *,
        interval: float,
    ) -> None:
        super().__init__(interval)
        self._google = google
        self._job = job
        self._name = name
        self._template = template
        self._arguments = arguments
        self._metrics = {metric_id(name): name for name in (*_objectives(job), *job.metrics)}
        self._running: dict[str, _Running] = {}
        self._attempts: dict[str, int] = {}
        self._page = ""
        self._unlisted: set[str] = set()

    def place(self, trial: Trial) -> str:
        return f"{self._name}/{trial.number}/{trial.attempt}"

    def launch(self, trial: Trial) -> None:
        running = self._take(trial)
        message = custom_job_message(self._request(trial, running.metrics))
        labels = labels_of(self.place(trial))
        try:
            created = self._google.create_once(
                f"starting trial {trial.number}",
                lambda: self._google.jobs.create_custom_job(
                    request={"parent": self._google.parent, "custom_job": message}, timeout=60.0
                ),
                lambda: find_custom_job(self._google, labels),
                look_first=False,
            )
        except EmulatorEnded:  # which says nothing of the trial
            raise
        except ProviderError as error:
            self._end(running, str(error), retry=error.code not in _FOR_GOOD, unplaced=finds_no_place(error))
        else:
            running.name = created.name

    def _request(self, trial: Trial, metrics: str) -> dict[str, Any]:
        """The custom job of one attempt: a folder of the trial's own, its arguments, and where its metrics go."""
        spec = self._template["jobSpec"]
        own = {
            "CLOUDTUNE_TRIAL": str(trial.number),
            "CLOUDTUNE_ATTEMPT": str(trial.attempt),
            METRICS_VARIABLE: metrics.replace("gs://", "/gcs/", 1),
        }
        pools = [_with(pool, self._arguments(trial), own) for pool in spec["workerPoolSpecs"]]
        output = {"outputUriPrefix": self._folder(trial)}
        return {
            **self._template,
            "displayName": f"{self._template['displayName']}-{trial.number}"[:128],
            "labels": {**self._template["labels"], **trial_labels(self._name, trial.number, trial.attempt)},
            "jobSpec": {**spec, "workerPoolSpecs": pools, "baseOutputDirectory": output},
        }

    def _folder(self, trial: Trial) -> str:
        """The folder of a trial's files: also those that its next attempt finds."""
        root = str(self._template["jobSpec"]["baseOutputDirectory"]["outputUriPrefix"])
        return f"{root.rstrip('/')}/{trial.number + 1}"

    def _take(self, trial: Trial) -> _Running:
        metrics = f"{self._folder(trial)}/metrics-{trial.attempt}.jsonl"
        running = self._running[self.place(trial)] = _Running(trial, metrics)
        self._attempts[str(trial.number)] = trial.attempt
        return running

    def adopt(self, trial: Trial) -> bool:
        with translated(f"looking for trial {trial.number}"):
            found = find_custom_job(self._google, labels_of(self.place(trial)))
        if found is None:
            return False
        self._take(trial).name = found.name
        return True

    @property
    def busy(self) -> bool:
        return bool(self._running)

    # One look

    def look(self) -> None:
        self._list()
        for place, running in list(self._running.items()):
            self._read(running)  # after the list: all that it wrote before its end is there
            if running.ended is not None:
                del self._running[place]
                self.happened.append(running.ended)

    def _list(self) -> None:
        """One page of the run's jobs, the newest first; the next page the next time if one that runs was not on it."""
        pages = self._google.call(
            "listing custom jobs",
            self._google.jobs.list_custom_jobs,
            parent=self._google.parent,
            filter=filter_of({RUN_LABEL: self._name}),
            page_size=100,
            page_token=self._page,
        )
        page = next(iter(pages.pages))
        names = {running.name: running for running in self._running.values()}
        listed = {job.name for job in page.custom_jobs}
        self._unlisted = (set(names) if not self._page else self._unlisted) - listed
        self._page = page.next_page_token if self._unlisted else ""
        for job in page.custom_jobs:
            running, ended = names.get(job.name), JOB_STATES[job.state.name].ended
            if running is not None and running.ended is None and ended:
                self._conclude(running, json_format.MessageToDict(job._pb))  # noqa: SLF001  # proto-plus's own way
            elif running is None and not ended and self._is_late(job.labels):
                cancel_custom_job(self._google, job.name)

    def _is_late(self, labels: Mapping[str, str]) -> bool:
        """Whether a job was made for an attempt that is over: by a call of a driver that died before the answer came."""
        attempt = labels.get(ATTEMPT_LABEL, "")
        return attempt.isdigit() and int(attempt) < self._attempts.get(labels.get(TRIAL_LABEL, ""), 0)

    def _conclude(self, running: _Running, job: Mapping[str, Any]) -> None:
        state = job["state"]
        if state in ("JOB_STATE_SUCCEEDED", "JOB_STATE_PARTIALLY_SUCCEEDED"):
            self._end(running, "")
            return
        limit, started, ended = self._job.limits.trial_time, moment(job.get("startTime")), moment(job.get("endTime"))
        took = 0.0 if started is None or ended is None else ended - started
        if limit is not None and took >= limit.total_seconds():
            self._end(running, f"it ran longer than {format_duration(limit)} (limits.trial_time)")
            return
        said = failure_text(job.get("error", {}).get("message", ""))
        ending = state.removeprefix("JOB_STATE_").lower()
        no_room = job.get("error", {}).get("code") == _RESOURCE_EXHAUSTED
        self._end(running, said or f"its custom job was {ending}", retry=True, unplaced=no_room)

    def _end(self, running: _Running, failure: str, *, retry: bool = False, unplaced: bool = False) -> None:
        running.ended = Ended(running.trial.number, running.trial.attempt, failure, retry=retry, unplaced=unplaced)

    def _read(self, running: _Running) -> None:
        """Reads what is new in the metrics file, which its writer may have written anew with its last lines alone."""
        found = read_if_changed(self._google, running.metrics, running.generation)
        if found is None:
            return
        running.generation, content = found
        waiting: list[Report] = []
        for line in content.splitlines(keepends=True):
            if line in running.lines or not line.endswith("\n"):
                continue
            running.lines.add(line)
            self._hear(running, line, waiting)
        self.happened.extend(waiting)

    def _hear(self, running: _Running, line: str, waiting: list[Report]) -> None:
        try:
            told = json.loads(line)
            step, at = int(float(told.pop("global_step", 0))), float(told.pop("timestamp", time.time()))
            values = {self._metrics[name]: float(value) for name, value in told.items() if name in self._metrics}
        except (ValueError, TypeError, AttributeError):
            return  # no line of a metrics file
        if not values:
            return
        trial = running.trial
        if waiting and step and waiting[-1].step == step and not values.keys() & waiting[-1].metrics.keys():
            waiting[-1] = Report(trial.number, trial.attempt, step, at, {**waiting[-1].metrics, **values})
            return
        running.reports += 1
        waiting.append(Report(trial.number, trial.attempt, step or running.reports, at, values))

    def stop(self, number: int) -> None:
        for running in self._running.values():
            if running.trial.number == number and running.ended is None and running.name:
                cancel_custom_job(self._google, running.name)

    def close(self) -> None:
        """Lets go of jobs that still run: they are the service's, and a resume takes them over."""


def _objectives(job: "TuningJob") -> list[str]:
    return [objective.metric for objective in job.objective]


def _with(pool: Mapping[str, Any], arguments: list[str], variables: Mapping[str, str]) -> dict[str, Any]:
    """A worker pool whose program has further arguments and variables."""
    for kind in ("containerSpec", "pythonPackageSpec"):
        if kind in pool:
            program = pool[kind]
            env = [each for each in program.get("env", []) if each["name"] not in variables]
            env += [{"name": name, "value": value} for name, value in variables.items()]
            return {**pool, kind: {**program, "args": [*program.get("args", []), *arguments], "env": env}}
    return dict(pool)


def labels_of(place: str) -> dict[str, str]:
    """The labels of the custom job at a place (`CustomJobLauncher.place`)."""
    run, number, attempt = place.split("/")
    return trial_labels(run, int(number), int(attempt))


def cancel_custom_job(google: Google, name: str) -> None:
    """Asks a custom job to end; nothing if it has."""
    try:
        google.call(f"stopping {id_of(name)}", google.jobs.cancel_custom_job, name=name)
    except ProviderError as error:
        if error.code not in _FOR_GOOD:
            raise
