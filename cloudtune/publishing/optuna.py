"""The target Optuna: a study for optuna-dashboard and Optuna's own analyses."""

import contextlib
import json
import math
import os
import shlex
import warnings
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.costs.views import run_cost, trial_charge
from cloudtune.errors import ConfigError
from cloudtune.publishing.points import same_number
from cloudtune.publishing.target import Target, need
from cloudtune.results.confirmation import settled
from cloudtune.results.constraints import reason_of, violations
from cloudtune.results.objectives import best_trial, losses
from cloudtune.store.records import TrialState

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

    from cloudtune.results.view import RunView
    from cloudtune.store.records import Report, RunRecord, Trial

MARK = "cloudtune:run"
"""The user attribute of a study with the run's id."""

NUMBER = "cloudtune:number"
"""The user attribute of a trial with the number of the run's trial."""

_ATTEMPT = "cloudtune:attempt"

_REPEATED = (
    "Optuna takes the best single value for the best, so repetitions are no trials of the study: the best by its mean is the "
    "study's user attribute cloudtune:best, the means are cloudtune:confirmed"
)
"""What becomes of the repetitions of ``confirm``."""

_OWN_PREFIXES = ("cloudtune:", "metrics_")

STATES = {
    TrialState.WAITING: "WAITING",
    TrialState.RUNNING: "RUNNING",
    TrialState.PAUSED: "RUNNING",
    TrialState.COMPLETED: "COMPLETE",
    TrialState.PRUNED: "PRUNED",
    TrialState.FAILED: "FAIL",
    TrialState.CANCELLED: "FAIL",
}
"""The optuna.trial.TrialState by trial state; the user attribute ``cloudtune:state`` has the exact state."""

_SQLITE_FILES = (".db", ".sqlite", ".sqlite3")


class OptunaTarget(Target):
    """The target Optuna: a study that is named by the run's id.

    A trial becomes an `optuna.trial.FrozenTrial`: its parameters (see `ShownSpace`), its objectives as values, the
    reports of a single objective as intermediate values, its times; all else as user attributes, ``cloudtune:…`` and
    ``metrics_NAME``. Optuna itself sets the end time of trials that are updated at their end
    (`BaseStorage.set_trial_state_values`) to the time of the update; the exact times are user attributes.

    Args:
        run: the run to publish.
        storage: a URL of SQLAlchemy, ``redis://…``, the path of a journal file, or a storage of Optuna.
    """

    name = "optuna"

    def __init__(self, run: "RunView", storage: "str | BaseStorage") -> None:
        optuna = need("optuna", self.name)
        own = f"{type(storage).__name__} {os.getpid()}-{id(storage)}"  # unique to this process and object
        super().__init__(run, storage if isinstance(storage, str) else own)
        if not isinstance(storage, str):
            self.address = type(storage).__name__
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415  # a dependency of Optuna

        from cloudtune.publishing.optuna_space import ShownSpace  # noqa: PLC0415  # imports Optuna

        self.trouble = (optuna.exceptions.OptunaError, SQLAlchemyError, OSError, RuntimeError)
        self._optuna = optuna
        self._given = storage
        self._space = ShownSpace(self.job.search_space())
        self._metrics = [each.metric for each in self.job.objective]
        self._study_attributes: dict[str, Any] = {}
        self._known: dict[int, tuple[int, FrozenTrial]] = {}

    @property
    def place(self) -> str:
        return f"study {self.run_id}"

    @property
    def look(self) -> str:
        return f"optuna-dashboard {shlex.quote(self.address)}" if isinstance(self._given, str) else "optuna.load_study"

    def open(self) -> None:
        directions = [each.goal for each in self.job.objective]
        with _quiet(self._optuna):
            self._storage = _storage(self._given, self.address) if isinstance(self._given, str) else self._given
            study = self._optuna.create_study(
                study_name=self.run_id, storage=self._storage, directions=directions, load_if_exists=True
            )
            self._take_over(study)
            study.set_metric_names(self._metrics)
            self._study_attributes = study.user_attrs
        self._study = self._storage.get_study_id_from_name(self.run_id)
        self.find()
        if self._space.approximate:
            self.note(f"shown under the nearest distribution that Optuna has: {', '.join(self._space.approximate)}")
        if len(self._metrics) > 1:
            self.note(
                "Optuna has no learning curves of several objectives: what trials reported on the way is left out"
            )

    def find(self) -> None:
        for trial in self._storage.get_all_trials(self._study):
            trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study, trial.number)
            self._known[trial.user_attrs[NUMBER]] = trial_id, trial

    def _take_over(self, study: "optuna.Study") -> None:
        """Mark the study with the run's id.

        Raises:
            ConfigError: the study belongs to another run, or another program has changed it.
        """
        trials: list[FrozenTrial] = study.get_trials(deepcopy=False)
        of = study.user_attrs.get(MARK)
        named = [each.name.lower() for each in study.directions]
        if of != self.run_id and (of is not None or trials):
            raise ConfigError(
                f"{self.address} has a study {self.run_id!r} that is not of this run; use another storage"
            )
        if named != [each.goal for each in self.job.objective] or any(NUMBER not in each.user_attrs for each in trials):
            raise ConfigError(
                f"somebody else has changed the study {self.run_id!r} in {self.address}; use another storage"
            )
        about = {MARK: self.run_id, "cloudtune:job": self.job.to_yaml(), "cloudtune:on": self.record.profile}
        for key, value in about.items():
            if study.user_attrs.get(key) != value:
                study.set_user_attr(key, value)

    def take_trial(self, trial: "Trial", reports: "Sequence[Report]") -> None:
        if trial.repeat_of is not None:
            self.note(_REPEATED)
            return
        known = self._known.get(trial.number)
        if known is not None and known[1].state.is_finished():
            if trial.attempt <= known[1].user_attrs[_ATTEMPT]:
                return
            known = None  # it was run again after its end: Optuna keeps ended trials as they are, and gets another
        wanted = self._frozen(trial, reports)
        if known is None:
            trial_id = self._storage.create_new_trial(self._study, wanted)
        else:
            trial_id = known[0]
            self._update(trial_id, known[1], wanted)
        self._known[trial.number] = trial_id, wanted

    def take_run(self, record: "RunRecord", ended: "Sequence[Trial]") -> None:
        cost = str(run_cost(record, ended, self.job) or "")
        attributes = {"cloudtune:state": record.state.value, "cloudtune:reason": record.reason, "cloudtune:cost": cost}
        if repeated := settled(ended):
            best = best_trial(self.job.objective, self.job.constraints, ended)
            attributes["cloudtune:best"] = "" if best is None else str(best.number)
            attributes["cloudtune:confirmed"] = json.dumps([each.to_data() for each in repeated.values()])
        for key, value in attributes.items():
            if self._study_attributes.get(key, "") != value:
                self._storage.set_study_user_attr(self._study, key, value)
                self._study_attributes[key] = value

    def _update(self, trial_id: int, known: "FrozenTrial", wanted: "FrozenTrial") -> None:
        """Update a trial that has not ended; set its state last, since Optuna refuses changes of ended trials."""
        stale = dict.fromkeys(known.intermediate_values.keys() - wanted.intermediate_values.keys(), math.nan)
        for step, value in {**wanted.intermediate_values, **stale}.items():  # stale: of an earlier attempt
            if step not in known.intermediate_values or not same_number(known.intermediate_values[step], value):
                self._storage.set_trial_intermediate_value(trial_id, step, value)
        gone = {
            key: None for key in known.user_attrs.keys() - wanted.user_attrs.keys() if key.startswith(_OWN_PREFIXES)
        }
        for key, attribute in {**wanted.user_attrs, **gone}.items():
            if known.user_attrs.get(key) != attribute:
                self._storage.set_trial_user_attr(trial_id, key, attribute)
        for key, attribute in wanted.system_attrs.items():
            if known.system_attrs.get(key) != attribute:
                self._storage.set_trial_system_attr(trial_id, key, attribute)
        if wanted.state != known.state:
            self._storage.set_trial_state_values(trial_id, wanted.state, wanted.values)

    def _frozen(self, trial: "Trial", reports: "Sequence[Report]") -> "FrozenTrial":
        """Return a trial as a FrozenTrial of Optuna."""
        state = self._optuna.trial.TrialState[STATES[trial.state]]
        shown = self._space.params_of(trial.parameters)
        frozen: FrozenTrial = self._optuna.trial.create_trial(
            state=state,
            values=self._values(trial),
            params={key: value for key, (value, _) in shown.items()},
            distributions={key: distribution for key, (_, distribution) in shown.items()},
            user_attrs=self._attributes(trial),
            intermediate_values=self._intermediate(reports),
            system_attrs=self._constraints(trial),
        )
        began = trial.started if trial.started is not None else trial.ended
        frozen.datetime_start = None if trial.state is TrialState.WAITING else _moment(began)
        frozen.datetime_complete = _moment(trial.ended) if trial.state.ended else None
        return frozen

    def _constraints(self, trial: "Trial") -> dict[str, list[float]]:
        """Return the violations of a completed trial as Optuna keeps them; 1 where it has no value of the metric."""
        if trial.state is not TrialState.COMPLETED or not self.job.constraints:
            return {}
        found = violations(self.job.constraints, trial.metrics)
        return {"constraints": [each if math.isfinite(each) else 1.0 for each in found]}

    def _values(self, trial: "Trial") -> list[float] | None:
        if trial.state not in (TrialState.COMPLETED, TrialState.PRUNED):
            return None
        whole = losses(self.job.objective, trial.metrics) is not None
        return [trial.metrics[metric] for metric in self._metrics] if whole else None

    def _intermediate(self, reports: "Sequence[Report]") -> dict[int, float]:
        """Return the objective's last value at each step; {} for several objectives."""
        if len(self._metrics) > 1:
            return {}
        metric = self._metrics[0]
        if any(name != metric for report in reports for name in report.metrics):
            self.note("Optuna has learning curves of the objective alone; other metrics are user attributes of a trial")
        return {each.step: each.metrics[metric] for each in reports if metric in each.metrics}

    def _attributes(self, trial: "Trial") -> dict[str, Any]:
        missing = self._space.missing(trial.parameters)
        if missing:
            self.note(f"not within the space, so user attributes of the trial: {', '.join(sorted(missing))}")
        cost, currency = trial_charge(trial) or (None, "")
        optional = {
            "cloudtune:cost": cost,
            "cloudtune:currency": currency,
            "cloudtune:reason": reason_of(self.job.constraints, trial),
            "cloudtune:place": trial.place,
            "cloudtune:started": _text(trial.started),
            "cloudtune:ended": _text(trial.ended),
        }
        return {
            NUMBER: trial.number,
            "cloudtune:state": trial.state.value,
            _ATTEMPT: trial.attempt,
            **{key: value for key, value in optional.items() if value not in (None, "")},
            **{f"params_{name}": value for name, value in missing.items()},
            **{f"metrics_{name}": _json_number(value) for name, value in trial.metrics.items()},
        }


def _storage(address: str, shown: str) -> "BaseStorage":
    """Return the storage of a URL or of the path of a journal file.

    Raises:
        ConfigError: the URL is invalid, or its database needs a package that is not installed.
    """
    from optuna import storages  # noqa: PLC0415  # optional
    from optuna.storages import journal  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError  # noqa: PLC0415

    try:
        if address.startswith(("redis://", "rediss://", "unix://")):
            return storages.JournalStorage(journal.JournalRedisBackend(address))
        if "://" in address:
            return storages.RDBStorage(address)
    except (ArgumentError, NoSuchModuleError):
        raise ConfigError(f"{shown} is no address of a database; write e.g. sqlite:///study.db") from None
    except ImportError as error:
        missing = getattr(error.__cause__, "name", None) or error.name or "a package for this database"
        raise ConfigError(f"{shown} needs {missing}; install it, or write sqlite:///study.db") from None
    if address.endswith(_SQLITE_FILES) or _is_sqlite(Path(address)):
        raise ConfigError(f"{address!r} looks like a database of SQLite; write sqlite:///{address}")
    return storages.JournalStorage(journal.JournalFileBackend(address))


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except FileNotFoundError:
        return False


def _moment(seconds: float | None) -> datetime:
    """Return seconds since 1970 as local time without a zone, as Optuna stores times (optuna.storages._rdb.models)."""
    return datetime.fromtimestamp(seconds or 0.0)  # noqa: DTZ006


def _text(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds).astimezone().isoformat()


def _json_number(value: float) -> float | str:
    """Return a number for JSON: numbers that are not finite as text."""
    return value if math.isfinite(value) else json.dumps(value)


@contextlib.contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Suppress Optuna's log messages below errors and its experimental warnings, within the context."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(verbosity, optuna.logging.ERROR))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
