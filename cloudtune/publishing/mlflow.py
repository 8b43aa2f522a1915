"""The target MLflow: a parent run for the run, with a child run for each trial."""

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

from cloudtune.costs.views import run_cost, trial_charge
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
from cloudtune.results.confirmation import settled
from cloudtune.results.constraints import feasible_text, nearest_trial, reason_of
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
"""Tags that identify runs of MLflow: our run's id and state, and for trials the number and attempt."""

TRIAL_STATES = {
    TrialState.WAITING: "SCHEDULED",
    TrialState.RUNNING: "RUNNING",
    TrialState.PAUSED: "SCHEDULED",
    TrialState.COMPLETED: "FINISHED",
    TrialState.PRUNED: "FINISHED",
    TrialState.FAILED: "FAILED",
    TrialState.CANCELLED: "KILLED",
}
"""The mlflow.entities.RunStatus by trial state; ``cloudtune.state`` tells pruned trials from completed ones."""

RUN_STATES = {
    RunState.WAITING: "SCHEDULED",
    RunState.RUNNING: "RUNNING",
    RunState.STOPPING: "RUNNING",
    RunState.INTERRUPTED: "SCHEDULED",  # until it is resumed
    RunState.COMPLETED: "FINISHED",
    RunState.FAILED: "FAILED",
    RunState.CANCELLED: "KILLED",
}

_SETTINGS = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
"""Environment variables set during calls of MLflow, unless the user has set them. MLflow's 7 retries of an unreachable
server last four minutes; the publisher retries by itself."""

_LEVELS = {
    "mlflow": logging.WARNING,
    "mlflow.tracking.request_header.registry": logging.ERROR,  # plugins such as SageMaker's warn of other URIs
    "alembic": logging.WARNING,
}
"""Log levels during calls of MLflow."""

_ENDED = ("FINISHED", "FAILED", "KILLED")

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
"""Prefixes of database URIs (mlflow.store.db.db_types.DATABASE_ENGINES), which mlflow-skinny does not support."""

_DATABASE_NEEDS = ("sqlalchemy", "alembic")

_SPEC = "job.yaml"

_ValueKey = tuple[str, int, int, str]
"""The key of a logged value: metric, step, milliseconds since 1970, value as text."""


@dataclass(slots=True)
class _LoggedRun:
    """A run of MLflow and what has been logged to it.

    Attributes:
        id: its id in MLflow.
        attempt: the trial's attempt, as text.
        status: its status in MLflow.
        tags: its tags in MLflow.
        params: whether the parameters have been logged.
        known: the parameters that an earlier publisher has logged, which MLflow changes no more.
        sent: the values that have been logged.
    """

    id: str
    attempt: str
    status: str
    tags: dict[str, str]
    params: bool = False
    known: Mapping[str, str] = field(default_factory=dict)
    sent: set[_ValueKey] = field(default_factory=set)

    @property
    def ended(self) -> bool:
        """Whether everything has been logged: the final status is set last."""
        return self.status in _ENDED


class MlflowTarget(Target):
    """The target MLflow: runs in an experiment that is named like the job.

    The run of a trial is created when the trial starts, since MLflow's runs keep the start time of their creation; a
    new attempt replaces the previous one. Its metrics are the learning curves of the attempt; each ends with the
    metric's final value, except that for objectives measured by their best value this is the curve ``NAME.best``. What
    was charged is the metric ``cost``, unless the program has one, with tags that say the currency. The parent run has the metrics of the best trial so far by the number of ended trials, at its end the best parameters as
    ``best.NAME``, and the job as an artifact.

    Args:
        run: the run to publish.
        uri: the URI of the tracking server or store.
        experiment: the experiment's name; None for MLFLOW_EXPERIMENT_NAME, or else the job's name.
    """

    name = "mlflow"

    def __init__(self, run: "RunView", uri: str, experiment: str | None = None) -> None:
        mlflow = need("mlflow", self.name)
        super().__init__(run, uri)
        from requests.exceptions import RequestException  # noqa: PLC0415  # a dependency of MLflow

        self.trouble = (mlflow.exceptions.MlflowException, RequestException, OSError)
        self._mlflow = mlflow
        self._experiment = experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or self.job.name
        self._names = Names(self.note)
        self._trials: dict[int, _LoggedRun] = {}

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
        with super().reached(), _mlflow_settings():
            yield

    # What the target already has

    def open(self) -> None:
        missing = [name for name in _DATABASE_NEEDS if find_spec(name) is None]
        if missing and self.raw_address.startswith(_DATABASES):  # MLflow itself only says "unsupported URI"
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
                own = self._logged_run(each)
            else:
                self._trials[int(number)] = self._logged_run(each)
        self._own = own or self._create(self.run_id, self.record.started or self.record.created, {})

    def _runs(self) -> "Iterator[MlflowRun]":
        """Yield all runs of MLflow that are tagged with this run's id."""
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id], f"tags.`{RUN}` = '{self.run_id}'", max_results=1000, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _logged_run(self, run: "MlflowRun") -> _LoggedRun:
        tags = dict(run.data.tags)
        known = dict(run.data.params)
        logged = _LoggedRun(run.info.run_id, tags.get(ATTEMPT, "0"), run.info.status, tags, known=known)
        if not logged.ended or NUMBER not in tags:  # a part may be logged, and a run that has ended may go on
            for name in run.data.metrics:
                logged.sent |= {
                    _value_key(name, each.step, each.timestamp, each.value)
                    for each in self._client.get_metric_history(logged.id, name)
                }
        return logged

    def _create(self, name: str, start: float | None, tags: Mapping[str, str]) -> _LoggedRun:
        marked = {RUN: self.run_id, "mlflow.source.name": "cloudtune", **tags}
        made = self._client.create_run(self._experiment_id, start_time=_milliseconds(start), tags=marked, run_name=name)
        return _LoggedRun(made.info.run_id, tags.get(ATTEMPT, "0"), made.info.status, marked)

    # Trials

    def take_trial(self, trial: "Trial", reports: "Sequence[Report]") -> None:
        if not trial.attempt and not trial.state.ended:
            return  # its start time is not known yet
        logged = self._trials.get(trial.number)
        if logged is not None and logged.attempt != str(trial.attempt):
            self._client.delete_run(logged.id)
            logged = None
        if logged is None:
            mark = {NUMBER: str(trial.number), ATTEMPT: str(trial.attempt), "mlflow.parentRunId": self._own.id}
            start = trial.started if trial.started is not None else trial.ended
            logged = self._trials[trial.number] = self._create(f"trial {trial.number}", start, mark)
        if logged.ended:
            return
        reason = reason_of(self.job.constraints, trial)
        tags = {STATE: trial.state.value, "cloudtune.reason": reason, "cloudtune.place": trial.place}
        if self.job.constraints and trial.state is TrialState.COMPLETED:
            tags["cloudtune.feasible"] = feasible_text(self.job.constraints, trial)
        if trial.repeat_of is not None:
            tags["cloudtune.repeat_of"] = str(trial.repeat_of)
        charge = trial_charge(trial)
        if charge is not None:
            tags |= _cost_tags(*charge)
        points = points_of(trial, reports, self.job.objective)
        self._log(logged, {} if logged.params else trial.parameters, points, tags)
        self._set_status(logged, TRIAL_STATES[trial.state], trial.ended if trial.state.ended else None)

    # The run itself

    def take_run(self, record: "RunRecord", ended: "Sequence[Trial]") -> None:
        logged = self._own
        tags = {STATE: record.state.value, "cloudtune.reason": record.reason, **self._best_tags(ended)}
        cost = run_cost(record, ended, self.job)
        if cost is not None:
            tags |= _cost_tags(float(cost.spent), cost.currency)
        if logged.ended and all(logged.tags.get(name, "") == cut(tag, LONGEST_TAG) for name, tag in tags.items()):
            return
        self._log_spec(logged)
        params = {} if logged.params else _settings(self.job, record)
        if record.state.ended:
            best = best_trial(self.job.objective, self.job.constraints, ended)
            params |= {f"best.{name}": value for name, value in (best.parameters if best else {}).items()}
        self._log(logged, params, improvements(self.job.objective, self.job.constraints, ended), tags)
        self._set_status(logged, RUN_STATES[record.state], record.ended if record.state.ended else None)

    def _best_tags(self, ended: "Sequence[Trial]") -> dict[str, str]:
        if len(self.job.objective) > 1:
            front = pareto_front(self.job.objective, self.job.constraints, ended)
            return {"cloudtune.front": ", ".join(str(trial.number) for trial in front)}
        best = best_trial(self.job.objective, self.job.constraints, ended)
        if best is None:
            near = nearest_trial(self.job.objective, self.job.constraints, ended)
            return {} if near is None else {"cloudtune.nearest": str(near.number)}
        tags = {"cloudtune.best": str(best.number), "cloudtune.best.run": self._trials[best.number].id}
        known = settled(ended).get(best.number)
        if known is not None:
            tags |= {f"cloudtune.best.mean.{self._names(name)}": f"{value!r}" for name, value in known.means.items()}
            tags |= {
                f"cloudtune.best.spread.{self._names(name)}": f"{value!r}" for name, value in known.spreads.items()
            }
        return tags

    def _log_spec(self, logged: _LoggedRun) -> None:
        """Log the job as an artifact; only note a failure, since the store of artifacts may be another one."""
        if "cloudtune.job" in logged.tags:
            return
        try:
            self._client.log_text(logged.id, self.job.to_yaml(), _SPEC)
        except Exception as error:  # noqa: BLE001  # of any library of the store of artifacts
            self.note(f"{_SPEC} was not uploaded as an artifact: {type(error).__name__}")
            logged.tags["cloudtune.job"] = ""  # not tried again at every update
            return
        self._log(logged, {}, [], {"cloudtune.job": _SPEC})

    # For both

    def _log(
        self, logged: _LoggedRun, params: Mapping[str, object], points: "Sequence[Point]", tags: Mapping[str, str]
    ) -> None:
        """Log what has not been logged, in as few calls as MLflow allows."""
        entities = self._mlflow.entities
        given = {self._names(name): self._text(name, value) for name, value in params.items()}
        if changed := [name for name, text in given.items() if logged.known.get(name, text) != text]:
            self.note(
                f"MLflow changes no parameter: {', '.join(sorted(changed))} are as they were when the run ended first"
            )
        named = [entities.Param(name, text) for name, text in given.items() if name not in logged.known]
        metrics = self._new_metrics(logged, points)
        short = {name: cut(value, LONGEST_TAG) for name, value in tags.items()}
        marks = [entities.RunTag(*each) for each in short.items() if logged.tags.get(each[0], "") != each[1]]
        for some in zip_longest(
            batches(named, MOST_PARAMS), batches(list(metrics), MOST_METRICS), batches(marks, MOST_TAGS), fillvalue=()
        ):
            self._client.log_batch(logged.id, params=some[0], metrics=[metrics[each] for each in some[1]], tags=some[2])
            logged.sent.update(some[1])
        logged.tags |= short
        logged.params = logged.params or bool(params)

    def _new_metrics(self, logged: _LoggedRun, points: "Sequence[Point]") -> dict[_ValueKey, "Metric"]:
        new: dict[_ValueKey, Metric] = {}
        for point in points:
            name, moment = self._names(point.name), _milliseconds(point.time) or 0
            key = _value_key(name, point.step, moment, point.value)
            if key not in logged.sent:
                new[key] = self._mlflow.entities.Metric(name, point.value, moment, point.step)
        return new

    def _text(self, name: str, value: object) -> str:
        """Return a value as text, as MLflow's log_params writes it, cut to MLflow's limit."""
        text = str(value)
        if len(text) > LONGEST_PARAM:
            self.note(f"the value of {name!r} is cut to {LONGEST_PARAM} characters, the most that MLflow takes")
        return cut(text, LONGEST_PARAM)

    def _set_status(self, logged: _LoggedRun, status: str, ended: float | None) -> None:
        if status in _ENDED:
            self._client.set_terminated(logged.id, status, end_time=_milliseconds(ended))
            logged.sent.clear()
        elif status != logged.status:
            self._client.update_run(logged.id, status=status)
        logged.status = status


def _cost_tags(cost: float, currency: str) -> dict[str, str]:
    return {"cloudtune.cost": str(cost), "cloudtune.currency": currency}


def _settings(job: "TuningJob", record: "RunRecord") -> dict[str, object]:
    """Return the fields of the job that describe the search, flat: ``strategy.type``, ``limits.trials``."""
    chosen = (
        "objective",
        "require",
        "strategy",
        "first",
        "stopping",
        "limits",
        "retries",
        "mode",
        "warm_start",
        "confirm",
    )
    flat = _flat("", {key: value for key, value in job.to_data().items() if key in chosen})
    return {"provider": record.provider, "profile": record.profile, "strategy.type": job.strategy.type, **flat}


def _flat(prefix: str, value: object) -> dict[str, object]:
    if isinstance(value, Mapping):
        parts = ((f"{prefix}.{key}" if prefix else str(key), each) for key, each in value.items())
        return {name: each for key, part in parts for name, each in _flat(key, part).items()}
    return {prefix: json.dumps(value) if isinstance(value, list) else value}


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _value_key(name: str, step: int, moment: int, value: float) -> _ValueKey:
    """Return the key of a logged value; infinite values become the largest float, as in MLflow's databases."""
    shown = "nan" if math.isnan(value) else repr(min(max(value, -sys.float_info.max), sys.float_info.max))
    return name, step, moment, shown


@contextlib.contextmanager
def _mlflow_settings() -> Iterator[None]:
    """Limit MLflow's retries to seconds and its logging to warnings, within the context."""
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
