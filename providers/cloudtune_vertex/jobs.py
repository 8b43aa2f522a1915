"""Trials as custom jobs of Vertex AI.

A poll lists the run's custom jobs, one page a poll, and reads the metrics file of each that runs.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.driver.outputs import RunBrief
from cloudtune.driver.polling import JobRunner
from cloudtune.driver.snapshots import TrialSnapshot
from cloudtune.driver.verdict import exceeds
from cloudtune.errors import UNREADABLE, ProviderError, TrialError, ignoring
from cloudtune.store.records import Report, RunState, Trial, TrialState
from cloudtune_vertex.client import GONE, Google, data_of, failure_text, message_of, moment, translated
from cloudtune_vertex.container import metric_id
from cloudtune_vertex.kept_machines import KeptMachines
from cloudtune_vertex.logs import lines_of, of_custom_job
from cloudtune_vertex.names import (
    ATTEMPT_LABEL,
    RUN_LABEL,
    TRIAL_LABEL,
    filter_of,
    id_of,
    machines_name,
    run_name,
    trial_labels,
)
from cloudtune_vertex.storage import download_outputs, read_if_changed
from cloudtune_vertex.translate import arguments_of
from cloudtune_vertex.tuner import JOB_STATES

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import CustomJob

    from cloudtune.driver.interrupt import Condition

METRICS_VARIABLE = "CLOUD_ML_HP_METRIC_FILE"
"""The variable by which the package cloudml-hypertune, and the trial helper, know where to write metrics."""

KEY = "persistentResourceId"
"""The member of a CustomJobSpec that names machines which are kept."""

_RESOURCE_EXHAUSTED = 8
"""google.rpc.Code: what a job ends with for want of machines."""


@dataclass(slots=True)
class _Known:
    """What is known of a custom job.

    Attributes:
        trial: whose attempt it is.
        metrics: the place of its metrics file.
        generation: of that file when it was last read.
        lines: of it that were read.
        reports: how many there were.
        new: those that no snapshot had.
        started: seconds since 1970 at which its machines were there; None before.
        end: how it ended, but for its reports; None while it runs.
    """

    trial: Trial
    metrics: str
    generation: int | None = None
    lines: set[str] = field(default_factory=set)
    reports: int = 0
    new: list[Report] = field(default_factory=list)
    started: float | None = None
    end: TrialSnapshot | None = None


class VertexRunner(JobRunner):
    """Runs each trial of a run as a custom job.

    Args:
        google: the clients.
        brief: what is asked for the run.
    """

    for_good = GONE

    def __init__(self, google: Google, brief: RunBrief) -> None:
        super().__init__(brief)
        self._google = google
        self._job = brief.job
        self._name = run_name(brief.job.name, brief.id)
        measured = [each.metric for each in brief.job.measured]
        self._metrics = {metric_id(name): name for name in (*measured, *brief.job.metrics)}
        self._jobs: dict[str, _Known] = {}
        self._names: dict[str, str] = {}
        self._attempts: dict[str, int] = {}
        self._page = ""
        self._unlisted: set[str] = set()
        request: Any = brief.plan.request
        kept = KEY in request["jobSpec"]
        self._machines = KeptMachines(google, machines_name(brief.id), brief.interval) if kept else None

    @property
    def ready(self) -> bool:
        return self._machines is None or self._machines.ready(self.template, self._job.limits.parallel)

    @property
    def kept(self) -> str:
        return "" if self._machines is None else f"the persistent resource {machines_name(self.brief.id)}"

    def release(self) -> None:
        if self._machines is not None:
            self._machines.release()

    def place(self, trial: Trial) -> str:
        return f"{self._name}/{trial.number}/{trial.attempt}"

    def use_machine(self, machine: str) -> None:
        spec = self.template["jobSpec"]
        pools = [
            {**pool, "machineSpec": {**pool["machineSpec"], "machineType": machine}} for pool in spec["workerPoolSpecs"]
        ]
        self.template["jobSpec"] = {**spec, "workerPoolSpecs": pools}

    def submit(self, trial: Trial) -> None:
        if not self.ready:
            raise ProviderError("the run's machines are still starting", retryable=True)
        self._attempts[str(trial.number)] = trial.attempt
        message = custom_job_message(self._request(trial, self._metrics_file(trial)))
        labels = labels_of(self.place(trial))
        created = self._google.create_once(
            f"starting trial {trial.number}",
            lambda: self._google.jobs.create_custom_job(
                request={"parent": self._google.parent, "custom_job": message}, timeout=60.0
            ),
            lambda: self._google.first(self._google.jobs.list_custom_jobs, filter_of(labels)),
            look_first=False,
        )
        self._names[self.place(trial)] = created.name

    def _request(self, trial: Trial, metrics: str) -> dict[str, Any]:
        """Return the custom job of one attempt: a folder of the trial's own, its arguments, and where its metrics go."""
        spec = self.template["jobSpec"]
        own = {**self.variables(trial), METRICS_VARIABLE: metrics.replace("gs://", "/gcs/", 1)}
        if trial.parent is not None:  # its AIP_CHECKPOINT_DIR
            own["CLOUDTUNE_PARENT_CHECKPOINT"] = f"{self._folder(Trial(trial.parent, {}))}/checkpoints"
        pools = [_with(pool, arguments_of(self._job, trial), own) for pool in spec["workerPoolSpecs"]]
        output = {"outputUriPrefix": self._folder(trial)}
        return {
            **self.template,
            "displayName": f"{self.template['displayName']}-{trial.number}"[:128],
            "labels": {**self.template["labels"], **trial_labels(self._name, trial.number, trial.attempt)},
            "jobSpec": {**spec, "workerPoolSpecs": pools, "baseOutputDirectory": output},
        }

    def _folder(self, trial: Trial) -> str:
        """Return the folder of a trial's files: also those that its next attempt finds."""
        root = str(self.template["jobSpec"]["baseOutputDirectory"]["outputUriPrefix"])
        return f"{root.rstrip('/')}/{trial.number + 1}"

    def _metrics_file(self, trial: Trial) -> str:
        return f"{self._folder(trial)}/metrics-{trial.attempt}.jsonl"

    def machine_of(self, trial: Trial) -> str:
        found = self._found(self.place(trial))
        pools = () if found is None else found.job_spec.worker_pool_specs
        return next((str(pool.machine_spec.machine_type) for pool in pools), "")

    def find(self, trial: Trial) -> bool:
        found = self._found(self.place(trial))
        if found is None:
            return False
        self._attempts[str(trial.number)] = trial.attempt
        self._names[self.place(trial)] = found.name
        return True

    def _found(self, place: str) -> "CustomJob | None":
        with translated(f"looking for trial {place.split('/')[1]}"):
            found: CustomJob | None = self._google.first(
                self._google.jobs.list_custom_jobs, filter_of(labels_of(place))
            )
            return found

    def stop(self, place: str) -> None:
        name = self._names.get(place)
        if name is None:
            found = self._found(place)
            name = None if found is None else found.name
        if name is not None:
            self._cancel(name)

    def _cancel(self, name: str) -> None:
        with ignoring(GONE):
            self._google.call(f"stopping {id_of(name)}", self._google.jobs.cancel_custom_job, name=name)

    # One poll

    def poll(self, trials: Sequence[Trial]) -> Sequence[TrialSnapshot]:
        asked = {self.place(trial): trial for trial in trials}
        self._jobs = {
            place: self._jobs.get(place) or _Known(trial, self._metrics_file(trial)) for place, trial in asked.items()
        }
        self._list()
        for known in self._jobs.values():
            self._read(known)  # after the list: all that it wrote before its end is there
        return [self._snapshot(place, known) for place, known in self._jobs.items()]

    def _snapshot(self, place: str, known: _Known) -> TrialSnapshot:
        reports, known.new = known.new, []
        return replace(known.end or TrialSnapshot(known.trial.number, place, started=known.started), reports=reports)

    def _list(self) -> None:
        """Read one page of the run's jobs, the newest first; the next page the next time if one that runs was not on it."""
        pages = self._google.call(
            "listing custom jobs",
            self._google.jobs.list_custom_jobs,
            parent=self._google.parent,
            filter=filter_of({RUN_LABEL: self._name}),
            page_size=100,
            page_token=self._page,
        )
        page = next(iter(pages.pages))
        places = {self._names[place]: place for place in self._jobs}
        listed = {job.name for job in page.custom_jobs}
        self._unlisted = (set(places) if not self._page else self._unlisted) - listed
        self._page = page.next_page_token if self._unlisted else ""
        for job in page.custom_jobs:
            place, ended = places.get(job.name), JOB_STATES[getattr(job.state, "name", "")].ended
            if place is not None and self._jobs[place].end is None:
                told = data_of(job)
                self._jobs[place].started = moment(told.get("startTime"))
                self._jobs[place].end = self._end(place, told) if ended else None
            elif place is None and not ended and self._is_late(job.labels):
                self._cancel(job.name)

    def _is_late(self, labels: Mapping[str, str]) -> bool:
        """Return whether a job was made for an attempt that is over: by a call of a driver that died before the answer came."""
        attempt = labels.get(ATTEMPT_LABEL, "")
        return attempt.isdigit() and int(attempt) < self._attempts.get(labels.get(TRIAL_LABEL, ""), 0)

    def _end(self, place: str, job: Mapping[str, Any]) -> TrialSnapshot:
        number, ending = self._jobs[place].trial.number, job["state"].removeprefix("JOB_STATE_").lower()
        error = job.get("error", {})
        state = {RunState.COMPLETED: TrialState.COMPLETED, RunState.FAILED: TrialState.FAILED}
        return TrialSnapshot(
            number,
            place,
            state.get(JOB_STATES[job["state"]], TrialState.CANCELLED),
            started=moment(job.get("startTime")),
            ended=moment(job.get("endTime")),
            reason=failure_text(error.get("message", "")) or f"its custom job was {ending}",
            too_long=exceeds(self._job, moment(job.get("startTime")), moment(job.get("endTime"))),
            unplaced=error.get("code") == _RESOURCE_EXHAUSTED,
        )

    def _read(self, known: _Known) -> None:
        """Read what is new in the metrics file, which its writer may have written anew with its last lines alone."""
        found = read_if_changed(self._google, known.metrics, known.generation)
        if found is None:
            return
        known.generation, content = found
        waiting: list[Report] = []
        for line in content.splitlines(keepends=True):
            if line in known.lines or not line.endswith("\n"):
                continue
            known.lines.add(line)
            self._hear(known, line, waiting)
        known.new.extend(waiting)

    def _hear(self, known: _Known, line: str, waiting: list[Report]) -> None:
        try:
            told = json.loads(line)
            step, at = int(float(told.pop("global_step", 0))), float(told.pop("timestamp", time.time()))
            values = {self._metrics[name]: float(value) for name, value in told.items() if name in self._metrics}
        except UNREADABLE:
            return  # no line of a metrics file
        if not values:
            return
        trial = known.trial
        if waiting and step and waiting[-1].step == step and not values.keys() & waiting[-1].metrics.keys():
            waiting[-1] = Report(trial.number, trial.attempt, step, at, {**waiting[-1].metrics, **values})
            return
        known.reports += 1
        waiting.append(Report(trial.number, trial.attempt, step or known.reports, at, values))

    # What trials leave

    def lines(self, trial: Trial, over: "Condition") -> Iterator[str]:
        def query() -> str:
            found = self._found(trial.place)  # the store knows of a trial before its job is made
            return "" if found is None else of_custom_job(id_of(found.name))

        return lines_of(self._google, query, self.brief.created, over, self.brief.soon)

    def files(self, trial: Trial, target: Path) -> list[Path]:
        found = self._found(trial.place)
        place = "" if found is None else found.job_spec.base_output_directory.output_uri_prefix
        if not place:
            raise TrialError(f"trial {trial.number} has no folder in Cloud Storage")
        return download_outputs(self._google, place, target)


def _with(pool: Mapping[str, Any], arguments: list[str], variables: Mapping[str, str]) -> dict[str, Any]:
    """Return a worker pool whose program has further arguments and variables."""
    for kind in ("containerSpec", "pythonPackageSpec"):
        if kind in pool:
            program = pool[kind]
            env = [each for each in program.get("env", []) if each["name"] not in variables]
            env += [{"name": name, "value": value} for name, value in variables.items()]
            return {**pool, kind: {**program, "args": [*program.get("args", []), *arguments], "env": env}}
    return dict(pool)


def labels_of(place: str) -> dict[str, str]:
    """Return the labels of the custom job at a place (`VertexRunner.place`)."""
    run, number, attempt = place.split("/")
    return trial_labels(run, int(number), int(attempt))


def custom_job_message(request: dict[str, Any]) -> "CustomJob":
    """Return the message of a request; raise `json_format.ParseError` for one that the SDK does not know."""
    from google.cloud.aiplatform_v1 import CustomJob  # noqa: PLC0415  # takes a second

    return message_of(CustomJob, request)
