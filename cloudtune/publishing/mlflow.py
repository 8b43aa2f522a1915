"""A run as runs of MLflow: one for the run itself, with one below it for each trial."""

import contextlib
import json
import logging
import math
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import zip_longest
from typing import TYPE_CHECKING

from cloudtune.errors import ConfigError
from cloudtune.publishing.mlflow_names import (
    LONGEST_PARAM,
    LONGEST_TAG,
    MOST_METRICS,
    MOST_PARAMS,
    MOST_TAGS,
    Names,
    batches,
    cut,
)
from cloudtune.publishing.points import improvements, points_of
from cloudtune.publishing.target import Target, need
from cloudtune.results.objectives import best_trial, pareto_front
from cloudtune.store.records import RunState, TrialState

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.entities import Run as MlflowRun

    from cloudtune.publishing.points import Point
    from cloudtune.results.view import RunView
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.records import Report, RunRecord, Trial

RUN, NUMBER, ATTEMPT, STATE = "cloudtune.run", "cloudtune.trial", "cloudtune.attempt", "cloudtune.state"
"""Tags by which runs are found again: of which run, and, for those of trials, which trial and which start of it."""

TRIAL_STATES = {
    TrialState.WAITING: "SCHEDULED",
    TrialState.RUNNING: "RUNNING",
    TrialState.COMPLETED: "FINISHED",
    TrialState.PRUNED: "FINISHED",
    TrialState.FAILED: "FAILED",
    TrialState.CANCELLED: "KILLED",
}
"""mlflow.entities.RunStatus. A pruned trial did what it was to do; ``cloudtune.state`` tells it from a completed one."""

RUN_STATES = {
    RunState.WAITING: "SCHEDULED",
    RunState.RUNNING: "RUNNING",
    RunState.STOPPING: "RUNNING",
    RunState.INTERRUPTED: "SCHEDULED",  # it goes on when it is resumed
    RunState.COMPLETED: "FINISHED",
    RunState.FAILED: "FAILED",
    RunState.CANCELLED: "KILLED",
}

_SETTINGS = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
"""Variables that hold while MLflow is called, where the user has not set them. Its 7 retries of a server that is not there
would last four minutes; whoever follows a run tries again by himself."""

_LEVELS = {
    "mlflow": logging.WARNING,
    "mlflow.tracking.request_header.registry": logging.ERROR,  # plugins, such as SageMaker's, trip over others' URIs
    "alembic": logging.WARNING,
}
"""What MLflow may log while it is called."""

_ENDED = ("FINISHED", "FAILED", "KILLED")

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
"""mlflow.store.db.db_types.DATABASE_ENGINES: how the URIs of stores begin that mlflow-skinny alone cannot use."""

_DATABASE_NEEDS = ("sqlalchemy", "alembic")

_SPEC = "job.yaml"

_Identity = tuple[str, int, int, str]
"""A logged value: its curve, its step, its milliseconds since 1970, and itself."""


@dataclass(slots=True)
class _Kept:
    """A run of MLflow, and what it has.

    Attributes:
        id: of MLflow.
        attempt: which start of the trial it is.
        status: as MLflow has it.
        tags: as MLflow has them.
        params: whether they were logged.
        sent: the logged values.
    """

    id: str
    attempt: str
    status: str
    tags: dict[str, str]
    params: bool = False
    sent: set[_Identity] = field(default_factory=set)

    @property
    def ended(self) -> bool:
        """Whether all is there: the end is written last."""
        return self.status in _ENDED


class MlflowTarget(Target):
    """Runs in an experiment that is called like the job.

    The run of a trial is made when the trial starts, since MLflow's runs keep the start that they were made with; a
    further attempt takes the place of the one before. Its metrics are the learning curves of the attempt; each ends with
    the value that counts, but for objectives of which the best value counts: that is the curve ``NAME.best``. The run
    above has the metrics of the best trial so far, by the count of ended trials; at its end the best parameters as
    ``best.NAME``; and the job as an artifact.

    Args:
        run: what to publish.
        uri: of the tracking server or store.
        experiment: its name; None for MLFLOW_EXPERIMENT_NAME, or else the job's name.
    """

    name = "mlflow"

    def __init__(self, run: "RunView", uri: str, experiment: str | None = None) -> None:
        mlflow = need("mlflow", self.name)
        super().__init__(run, uri)
        from requests.exceptions import RequestException  # noqa: PLC0415  # MLflow brings it along

        self.trouble = (mlflow.exceptions.MlflowException, RequestException, OSError)
        self._mlflow = mlflow
        self._experiment = experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or self.job.name
        self._names = Names(self.note)
        self._trials: dict[int, _Kept] = {}

    @property
    def place(self) -> str:
        return f"experiment {self._experiment}, run {self.run_id}"

    @property
    def look(self) -> str:
        if self.address.startswith(("http://", "https://")):
            return f"{self.address.rstrip('/')}/#/experiments/{self._experiment_id}/runs/{self._own.id}"
        return f"mlflow ui --backend-store-uri {shlex.quote(self.address)}"

    @contextlib.contextmanager
    def reached(self) -> Iterator[None]:
        with super().reached(), _surroundings():
            yield

    # What is there already

    def open(self) -> None:
        missing = [name for name in _DATABASE_NEEDS if find_spec(name) is None]
        if missing and self.raw_address.startswith(_DATABASES):  # MLflow itself calls it an unsupported URI
            raise ConfigError(f"{self.address} needs {', '.join(missing)}; install all of MLflow: pip install mlflow")
        self._client = self._mlflow.MlflowClient(tracking_uri=self.raw_address)
        found = self._client.get_experiment_by_name(self._experiment)
        self._experiment_id = self._client.create_experiment(self._experiment) if found is None else found.experiment_id
        self.find()

    def find(self) -> None:
        own = None
        for each in self._runs():
            number = each.data.tags.get(NUMBER)
            if number is None:
                own = self._kept(each)
            else:
                self._trials[int(number)] = self._kept(each)
        self._own = own or self._create(self.run_id, self.record.started or self.record.created, {})

    def _runs(self) -> "Iterator[MlflowRun]":
        """All runs of MLflow that are marked as of this run."""
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id], f"tags.`{RUN}` = '{self.run_id}'", max_results=1000, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _kept(self, run: "MlflowRun") -> _Kept:
        tags = dict(run.data.tags)
        kept = _Kept(run.info.run_id, tags.get(ATTEMPT, "0"), run.info.status, tags)
        if not kept.ended:  # whoever published it was stopped in the middle
            for name in run.data.metrics:
                kept.sent |= {
                    _identity(name, each.step, each.timestamp, each.value)
                    for each in self._client.get_metric_history(kept.id, name)
                }
        return kept

    def _create(self, name: str, start: float | None, tags: Mapping[str, str]) -> _Kept:
        marked = {RUN: self.run_id, "mlflow.source.name": "cloudtune", **tags}
        made = self._client.create_run(self._experiment_id, start_time=_milliseconds(start), tags=marked, run_name=name)
        return _Kept(made.info.run_id, tags.get(ATTEMPT, "0"), made.info.status, marked)

    # Trials

    def take_trial(self, trial: "Trial", reports: "Sequence[Report]") -> None:
        if not trial.attempt and not trial.state.ended:
            return  # its start is not known yet
        kept = self._trials.get(trial.number)
        if kept is not None and kept.attempt != str(trial.attempt):
            self._client.delete_run(kept.id)
            kept = None
        if kept is None:
            mark = {NUMBER: str(trial.number), ATTEMPT: str(trial.attempt), "mlflow.parentRunId": self._own.id}
            start = trial.started if trial.started is not None else trial.ended
            kept = self._trials[trial.number] = self._create(f"trial {trial.number}", start, mark)
        if kept.ended:
            return
        tags = {STATE: trial.state.value, "cloudtune.reason": trial.reason, "cloudtune.place": trial.place}
        points = points_of(trial, reports, self.job.objective)
        self._log(kept, {} if kept.params else trial.parameters, points, tags)
        self._set_status(kept, TRIAL_STATES[trial.state], trial.ended if trial.state.ended else None)

    # The run itself

    def take_run(self, record: "RunRecord", ended: "Sequence[Trial]") -> None:
        kept = self._own
        if kept.ended:
            return
        self._log_spec(kept)
        params = {} if kept.params else _settings(self.job, record)
        if record.state.ended:
            best = best_trial(self.job.objective, ended)
            params |= {f"best.{name}": value for name, value in (best.parameters if best else {}).items()}
        tags = {STATE: record.state.value, "cloudtune.reason": record.reason, **self._best_tags(ended)}
        self._log(kept, params, improvements(self.job.objective, ended), tags)
        self._set_status(kept, RUN_STATES[record.state], record.ended if record.state.ended else None)

    def _best_tags(self, ended: "Sequence[Trial]") -> dict[str, str]:
        if len(self.job.objective) > 1:
            front = pareto_front(self.job.objective, ended)
            return {"cloudtune.front": ", ".join(str(trial.number) for trial in front)}
        best = best_trial(self.job.objective, ended)
        if best is None:
            return {}
        return {"cloudtune.best": str(best.number), "cloudtune.best.run": self._trials[best.number].id}

    def _log_spec(self, kept: _Kept) -> None:
        """The job as an artifact. That may go elsewhere than the metrics do, so it may fail alone."""
        if "cloudtune.job" in kept.tags:
            return
        try:
            self._client.log_text(kept.id, self.job.to_yaml(), _SPEC)
        except Exception as error:  # noqa: BLE001  # of whatever library the store of artifacts needs
            self.note(f"{_SPEC} was not uploaded as an artifact: {type(error).__name__}")
            kept.tags["cloudtune.job"] = ""  # not tried again at every look
            return
        self._log(kept, {}, [], {"cloudtune.job": _SPEC})

    # For both

    def _log(
        self, kept: _Kept, params: Mapping[str, object], points: "Sequence[Point]", tags: Mapping[str, str]
    ) -> None:
        """Logs what is not there yet, in as few calls as MLflow allows."""
        entities = self._mlflow.entities
        named = [entities.Param(self._names(name), self._text(name, value)) for name, value in params.items()]
        metrics = self._new_metrics(kept, points)
        short = {name: cut(value, LONGEST_TAG) for name, value in tags.items()}
        marks = [entities.RunTag(*each) for each in short.items() if kept.tags.get(each[0], "") != each[1]]
        for some in zip_longest(
            batches(named, MOST_PARAMS), batches(list(metrics), MOST_METRICS), batches(marks, MOST_TAGS), fillvalue=()
        ):
            self._client.log_batch(kept.id, params=some[0], metrics=[metrics[each] for each in some[1]], tags=some[2])
            kept.sent.update(some[1])
        kept.tags |= short
        kept.params = kept.params or bool(params)

    def _new_metrics(self, kept: _Kept, points: "Sequence[Point]") -> dict[_Identity, "Metric"]:
        new: dict[_Identity, Metric] = {}
        for point in points:
            name, moment = self._names(point.name), _milliseconds(point.time) or 0
            identity = _identity(name, point.step, moment, point.value)
            if identity not in kept.sent:
                new[identity] = self._mlflow.entities.Metric(name, point.value, moment, point.step)
        return new

    def _text(self, name: str, value: object) -> str:
        """A value as MLflow's own log_params writes it."""
        text = str(value)
        if len(text) > LONGEST_PARAM:
            self.note(f"the value of {name!r} is cut to {LONGEST_PARAM} characters, the most that MLflow takes")
        return cut(text, LONGEST_PARAM)

    def _set_status(self, kept: _Kept, status: str, ended: float | None) -> None:
        if status in _ENDED:
            self._client.set_terminated(kept.id, status, end_time=_milliseconds(ended))
            kept.sent.clear()
        elif status != kept.status:
            self._client.update_run(kept.id, status=status)
        kept.status = status


def _settings(job: "TuningJob", record: "RunRecord") -> dict[str, object]:
    """What says how a run searched, flat: ``strategy.type``, ``limits.trials``."""
    chosen = ("objective", "strategy", "stopping", "limits", "retries", "mode", "warm_start")
    flat = _flat("", {key: value for key, value in job.to_data().items() if key in chosen})
    return {"provider": record.provider, "profile": record.profile, "strategy.type": job.strategy.type, **flat}


def _flat(prefix: str, value: object) -> dict[str, object]:
    if isinstance(value, Mapping):
        parts = ((f"{prefix}.{key}" if prefix else str(key), each) for key, each in value.items())
        return {name: each for key, part in parts for name, each in _flat(key, part).items()}
    return {prefix: json.dumps(value) if isinstance(value, list) else value}


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _identity(name: str, step: int, moment: int, value: float) -> _Identity:
    """What tells one logged value from another; infinite ones come back from MLflow's databases as the largest."""
    shown = "nan" if math.isnan(value) else repr(min(max(value, -sys.float_info.max), sys.float_info.max))
    return name, step, moment, shown


@contextlib.contextmanager
def _surroundings() -> Iterator[None]:
    """Makes MLflow patient for seconds, not minutes, and silent about what is as it should be."""
    loggers = {logging.getLogger(name): level for name, level in _LEVELS.items()}
    levels = {logger: logger.level for logger in loggers}
    missing = {name: value for name, value in _SETTINGS.items() if name not in os.environ}
    os.environ.update(missing)
    for logger, level in loggers.items():
        logger.setLevel(level)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)
        for logger, level in levels.items():
            logger.setLevel(level)
