"""Vertex AI's own tuner: the hyperparameter tuning job of one run.

A poll is one call, however many trials there are: the job comes with all of its trials and their measurements.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.driver.outputs import RunBrief
from cloudtune.driver.snapshots import JobSnapshot, ServiceStates, TrialSnapshot
from cloudtune.driver.verdict import exceeds
from cloudtune.errors import RunNotFound, TrialError, ignoring
from cloudtune.provider.managed_run import Tuner
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunState, Trial, TrialState
from cloudtune_vertex.client import GONE, Google, data_of, failure_text, message_of, moment
from cloudtune_vertex.container import metric_id
from cloudtune_vertex.logs import lines_of, of_custom_job
from cloudtune_vertex.names import RUN_LABEL, filter_of, id_of
from cloudtune_vertex.parse import parse, travelled
from cloudtune_vertex.schema import seconds_of
from cloudtune_vertex.space import codec_of
from cloudtune_vertex.storage import download_outputs

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import HyperparameterTuningJob

    from cloudtune.driver.interrupt import Condition

JOB_STATES: Mapping[str, RunState] = ServiceStates(
    {
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
    },
    other=RunState.RUNNING,
)
"""Each JobState of the service as a state of a run, before the reasons are looked at."""

TRIAL_STATES: Mapping[str, TrialState] = ServiceStates(
    {
        "": TrialState.RUNNING,
        "STATE_UNSPECIFIED": TrialState.RUNNING,
        "REQUESTED": TrialState.RUNNING,
        "ACTIVE": TrialState.RUNNING,
        "STOPPING": TrialState.RUNNING,
        "SUCCEEDED": TrialState.COMPLETED,
        "INFEASIBLE": TrialState.FAILED,
    },
    other=TrialState.RUNNING,
)
"""Each Trial.State of the service as a state of a trial, before the reasons are looked at."""

Message = Mapping[str, Any]


@dataclass(slots=True)
class _Known:
    """What is known of one trial: its parameters, how many measurements were read, and whether it was told to stop early."""

    parameters: dict[str, Any]
    measured: int = 0
    stopping: bool = False


class VertexTuner(Tuner):
    """The tuning job of one run.

    Args:
        google: the clients.
        brief: what is asked for the run.
    """

    def __init__(self, google: Google, brief: RunBrief) -> None:
        super().__init__(brief, brief.native.get("job", ""))
        self._google = google
        self._job = brief.job
        self._codec = codec_of(brief.job)
        names = [each.metric for each in brief.job.objective] + [each.metric for each in brief.job.constraints]
        self._metrics = {metric_id(name): name for name in names}
        self._fixed = fixed_arguments(brief.plan.request)
        self._trials: dict[int, _Known] = {}

    def create(self, *, again: bool) -> str:
        message = tuning_job_message(self.brief.request())
        labels = {RUN_LABEL: message.labels[RUN_LABEL]}
        jobs, parent = self._google.jobs, self._google.parent
        created = self._google.create_once(
            f"making the tuning job {message.display_name}",
            lambda: jobs.create_hyperparameter_tuning_job(
                request={"parent": parent, "hyperparameter_tuning_job": message}, timeout=60.0
            ),
            lambda: self._google.first(jobs.list_hyperparameter_tuning_jobs, filter_of(labels)),
            look_first=again,
        )
        return str(created.name)

    def stop(self) -> None:
        doing = f"stopping the tuning job {id_of(self.name)}"
        with ignoring(GONE):
            self._google.call(doing, self._google.jobs.cancel_hyperparameter_tuning_job, name=self.name)

    # One poll

    def poll(self, done: Collection[int]) -> JobSnapshot:
        job = self._get()
        trials = [
            self._snapshot(number, message)
            for message in job.get("trials", [])
            if (number := int(message["id"]) - 1) not in done
        ]
        state = JOB_STATES[job.get("state", "")]
        return JobSnapshot(state, moment(job.get("createTime")), _elapsed(job), _reason(job), trials)

    def _get(self) -> dict[str, Any]:
        doing = f"looking at the tuning job {id_of(self.name)}"
        with ignoring({"NotFound"}):
            job = self._google.call(doing, self._google.jobs.get_hyperparameter_tuning_job, name=self.name)
            return data_of(job)
        return {"state": "JOB_STATE_CANCELLED", "error": {"message": "the tuning job was deleted"}}

    def _snapshot(self, number: int, message: Message) -> TrialSnapshot:
        known = self._trials.get(number)
        if known is None:
            known = self._trials[number] = _Known(self._parameters(message))
        known.stopping = known.stopping or message.get("state") == "STOPPING"
        state = TRIAL_STATES[message.get("state", "")]
        started, ended = moment(message.get("startTime")), moment(message.get("endTime"))
        final = message.get("finalMeasurement", {}) if state.ended else {}
        said = failure_text(message.get("infeasibleReason", ""))
        failed = state is TrialState.FAILED
        return TrialSnapshot(
            number,
            str(message.get("customJob") or f"{self.name}/trials/{message['id']}"),
            state,
            known.parameters,
            started=started,
            ended=ended,
            reports=self._new_reports(number, known, message, final, started),
            metrics=self._values(final),
            reason=said,
            too_long=failed and exceeds(self._job, started, ended or time.time()),
            stopped_early=known.stopping,
            unmeasured=failed and "non-zero" not in said,
        )

    def _parameters(self, message: Message) -> dict[str, Any]:
        told = {each["parameterId"]: each.get("value") for each in message.get("parameters", [])}
        try:
            return self._codec.decode({**self._fixed, **told})
        except ValueError:  # a job of another client, whose space says more than its spec here
            return told

    def _new_reports(
        self, number: int, known: _Known, message: Message, final: Message, started: float | None
    ) -> list[Report]:
        """Return the measurements that were not read before; the final one where the service tells no others."""
        measurements = message.get("measurements", [])
        new = measurements[known.measured :]
        known.measured = max(known.measured, len(measurements))
        if not known.measured and final:
            new, known.measured = [final], 1
        return [
            Report(number, 1, int(each.get("stepCount", 0)), at + seconds_of(each.get("elapsedDuration", "0s")), values)
            for at, each in ((started or time.time(), each) for each in new)
            if (values := self._values(each))
        ]

    def _values(self, measurement: Message) -> dict[str, float]:
        """Return the metrics of a measurement by our names; a missing value is 0 in the JSON of a message."""
        told = {each.get("metricId", ""): float(each.get("value", 0.0)) for each in measurement.get("metrics", [])}
        return {self._metrics.get(name, name): value for name, value in told.items()}

    # What trials leave

    def lines(self, trial: Trial, over: "Condition") -> Iterator[str]:
        own = id_of(trial.place) if "/customJobs/" in trial.place else ""
        query = of_custom_job(own, tuning_job=id_of(self.name), trial=str(trial.number + 1))
        return lines_of(self._google, lambda: query, self.brief.created, over, self.brief.soon)

    def files(self, trial: Trial, target: Path) -> list[Path]:
        job = self._google.call(
            "looking at the tuning job", self._google.jobs.get_hyperparameter_tuning_job, name=self.name
        )
        root = job.trial_job_spec.base_output_directory.output_uri_prefix
        if not root:
            raise TrialError(f"trial {trial.number} has no folder in Cloud Storage")
        return download_outputs(self._google, f"{root.rstrip('/')}/{trial.number + 1}", target)


def fixed_arguments(request: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters that do not vary: the arguments ``--name=value`` of every trial."""
    spec = request.get("trialJobSpec") or request.get("jobSpec") or {}
    pools = spec.get("workerPoolSpecs") or [{}]
    program = pools[0].get("containerSpec") or pools[0].get("pythonPackageSpec") or {}
    words = [word[2:].partition("=") for word in program.get("args", []) if word.startswith("--")]
    return {name: text for name, equals, text in words if equals}


def _elapsed(job: Message) -> float:
    """Return seconds from the making of the job to its end, or until now."""
    created, ended = moment(job.get("createTime")), moment(job.get("endTime"))
    return 0.0 if created is None else (ended or time.time()) - created


def _reason(job: Message) -> str:
    if job.get("state") == "JOB_STATE_EXPIRED":
        return "it expired: its resources were not there in time"
    return failure_text(str(job.get("error", {}).get("message", "")))


def tuning_job_message(request: dict[str, Any]) -> "HyperparameterTuningJob":
    """Return the message of a request; raise `json_format.ParseError` for one that the SDK does not know."""
    from google.cloud.aiplatform_v1 import HyperparameterTuningJob  # noqa: PLC0415  # takes a second

    return message_of(HyperparameterTuningJob, request)


# Tuning jobs that were started elsewhere


def find(google: Google, name: str) -> tuple[TuningJob, str]:
    """Return the spec of a tuning job, and its full name.

    Args:
        google: the clients.
        name: the job's full name, its id, or the display name of the newest of that name.

    Raises:
        RunNotFound: the project has no such job in this location.
    """
    job = None
    with ignoring({"NotFound", "InvalidArgument", "BadRequest"}):
        job = _get(google, name) if "/" in name or name.isdigit() else _newest(google, name)
    if job is None:
        hint = f"`gcloud ai hp-tuning-jobs list --region={google.settings.location}` lists them"
        raise RunNotFound(f"Vertex AI has no tuning job {name!r} in {google.parent}; {hint}")
    told = data_of(job)
    spec = travelled(told)
    return parse(told) if spec is None else TuningJob.from_data(spec, name), str(job.name)


def _get(google: Google, name: str) -> Any:  # HyperparameterTuningJob, or None
    full = name if "/" in name else f"{google.parent}/hyperparameterTuningJobs/{name}"
    return google.call(f"looking for the tuning job {name}", google.jobs.get_hyperparameter_tuning_job, name=full)


def _newest(google: Google, name: str) -> Any:  # HyperparameterTuningJob, or None
    with google.translated(f"looking for the tuning job {name}"):
        return google.first(google.jobs.list_hyperparameter_tuning_jobs, f'display_name="{name}"')
