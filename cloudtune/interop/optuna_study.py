"""The format of Optuna's studies, imported from any storage, with their completed trials."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from cloudtune.errors import ConfigError, Problem, SpecError
from cloudtune.interop import legal_job_name, legal_names, note_of_name, plain
from cloudtune.interop.first_trials import with_first
from cloudtune.interop.formats import Format, Imported, Note
from cloudtune.interop.optuna import space_from_optuna
from cloudtune.interop.python_spaces import job_of_space
from cloudtune.space.axes import axis_of
from cloudtune.space.parameters import Categorical, Int, Parameter, Scalar, same_scalar

_FEW = 32
"""Most values of an int parameter on which a condition is derived."""


class OptunaStudy(Format):
    """The format Optuna, a study in a storage."""

    name = "optuna"
    summary = "a storage of Optuna: a URL such as sqlite:///study.db, an SQLite file, or a journal file"

    def read(self, source: str, *, study: str | None = None) -> Imported:
        return job_from_study(_study(source, study))


def job_from_study(study: Study) -> Imported:
    """Return the job of a study, and its completed trials.

    The space is made of the distributions of all trials. Optuna has conditions only as branches of the user's code: a
    parameter that some completed trials lack gets a condition if the values of another parameter determine exactly in
    which trials it exists. Program, sampler and pruner are not stored by Optuna.

    Args:
        study: the study.

    Raises:
        SpecError: the study has no trials, or a parameter or a choice is not valid in a spec.
    """
    return _Reader(study).imported()


# Storages


def _study(source: str, name: str | None) -> Study:
    """Load the study of a name, or the only one, from a storage.

    Raises:
        ConfigError: the storage cannot be read, has no such study, or has several and no name is given.
    """
    secret = urlsplit(source).password if "://" in source else None
    try:
        storage = _storage(source)
        names = optuna.get_all_study_names(storage)
        if name is None and len(names) == 1:
            name = names[0]
        if name in names:
            return optuna.load_study(study_name=name, storage=storage)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001  # any error of a database driver
        message = str(error).partition("\n")[0]
        shown = message.replace(f":{secret}@", ":***@") if secret else message
        raise ConfigError(f"the storage cannot be read: {type(error).__name__}: {shown}") from None
    if not names:
        raise ConfigError("the storage holds no study")
    known = ", ".join(map(repr, sorted(names)))
    which = "which study? --study NAME says it" if name is None else f"there is no study {name!r}"
    raise ConfigError(f"{which}; the storage holds {known}")


def _storage(source: str) -> optuna.storages.BaseStorage:
    """Return the storage at a URL or in an existing file, without creating it.

    Raises:
        ConfigError: the file does not exist.
    """
    if "://" in source and not source.startswith("sqlite:///"):
        return optuna.storages.RDBStorage(source, skip_table_creation=True)
    path = Path(source.removeprefix("sqlite:///"))
    if not path.is_file():
        raise ConfigError(
            f"there is no file {str(path)!r}; give a storage's URL, such as sqlite:///study.db, or a file"
        )
    with path.open("rb") as file:
        is_sqlite = file.read(15) == b"SQLite format 3"
    if is_sqlite or "://" in source:
        return optuna.storages.RDBStorage(f"sqlite:///{path}", skip_table_creation=True)
    return JournalStorage(JournalFileBackend(str(path)))


# The job


class _Reader:
    """The conversion of one study."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._trials = study.get_trials(deepcopy=False)
        self._completed = [trial for trial in self._trials if trial.state is TrialState.COMPLETE]
        self._notes: list[Note] = []
        self._distributions = self._union()
        self._names = legal_names(self._distributions)

    def _note(self, path: str, message: str) -> None:
        self._notes.append(Note(path, message))

    def imported(self) -> Imported:
        """Return the job with its trials and notes.

        Raises:
            SpecError: the study has no parameters, or they are not valid in a spec.
        """
        study, source = self._study, f"the study {self._study.study_name!r}"
        if not self._distributions:
            raise SpecError([Problem("", "no trial of it has parameters yet")], source)
        try:
            parameters = space_from_optuna(self._distributions)
        except ValueError as error:
            path, _, message = str(error).partition(": ")
            raise SpecError([Problem(path, message)], source) from None
        space = {self._names[name]: each for name, each in self._with_conditions(parameters).items()}
        for name, ours in self._names.items():
            if name != ours:
                self._note(name, note_of_name(ours))
        metrics = self._metrics()
        goals = ["maximize" if each is StudyDirection.MAXIMIZE else "minimize" for each in study.directions]
        objectives = [{"metric": metric, "goal": goal} for metric, goal in zip(metrics, goals, strict=True)]
        job, notes = job_of_space(
            legal_job_name(study.study_name, "study"),
            space,
            source,
            objective=objectives,
            limits=self._limits(),
            constraints=[{"metric": metric, "max": 0} for metric in self._constraints().values()],
        )
        self._note_rest()
        job, own = with_first(job, self._enqueued(), self._names, "enqueued trials")
        self._notes += own
        return Imported(job, (*self._notes, *notes), tuple(self._rows(metrics)))

    def _union(self) -> dict[str, BaseDistribution]:
        """Return the distributions of all trials by name; for one that changed, a distribution that covers all."""
        seen: dict[str, list[BaseDistribution]] = {}
        for trial in self._trials:
            for name, distribution in trial.distributions.items():
                known = seen.setdefault(name, [])
                if distribution not in known:
                    known.append(distribution)
        return {name: self._covering(name, known) for name, known in seen.items()}

    def _covering(self, name: str, known: Sequence[BaseDistribution]) -> BaseDistribution:
        if len(known) == 1:
            return known[0]
        latest = known[-1]
        if isinstance(latest, CategoricalDistribution):
            choices = list(dict.fromkeys(choice for each in known for choice in getattr(each, "choices", ())))
            self._note(name, "its choices changed from trial to trial: all of them are here")
            return CategoricalDistribution(choices)
        alike: list[Any] = [each for each in known if type(each) is type(latest)]
        low, high = min(each.low for each in alike), max(each.high for each in alike)
        log = all(each.log for each in alike)
        steps = {each.step for each in alike}
        step = steps.pop() if len(steps) == 1 and len({each.low for each in alike}) == 1 else None
        self._note(name, f"its range changed from trial to trial: {low} to {high} covers all of them")
        if isinstance(latest, IntDistribution):
            return IntDistribution(low, high, log=log, step=1 if log or step is None else step)
        return FloatDistribution(low, high, log=log, step=None if log else step)

    def _metrics(self) -> list[str]:
        """Return the names of the objectives, different from those of the parameters."""
        given = self._study.metric_names
        if given is None:
            count = len(self._study.directions)
            given = ["value"] if count == 1 else [f"value_{index}" for index in range(count)]
            message = f"its objective has no name: {', '.join(given)} stands in its place (study.set_metric_names)"
            self._note("", message)
        return [f"{name}_of_the_trial" if name in self._names.values() else name for name in given]

    def _constraints(self) -> dict[str, str]:
        """Return the names of the metrics of constraints by Optuna's own, of which those of `constraints_func` are indices."""
        names = dict.fromkeys(name for trial in self._completed for name in _constraints_of(trial))
        taken = {*self._names.values(), *(self._study.metric_names or ("value",))}
        named = {name: f"constraint_{name}" if name.isdecimal() else name for name in names}
        return {name: f"{ours}_bound" if ours in taken else ours for name, ours in named.items()}

    def _limits(self) -> dict[str, int]:
        count = len(self._trials)
        self._note("", f"limits.trials is {count}, as many as the study has")
        return {"trials": count}

    def _note_rest(self) -> None:
        if any(trial.state is TrialState.PRUNED for trial in self._trials):
            self._note("", "trials were pruned, by a pruner that no storage tells: say it in stopping")
        if constraints := self._constraints():
            message = f"its constraints are bounds of 0 on {', '.join(constraints.values())}: report these metrics"
            self._note("", message)
        left = len(self._trials) - len(self._completed) - len(self._enqueued())
        if left:
            self._note("", f"{left} trials that did not complete are left out")

    def _enqueued(self) -> list[dict[str, Scalar]]:
        """Return the parameters of the trials that `Study.enqueue_trial` added and none has run."""
        waiting = [trial for trial in self._trials if trial.state is TrialState.WAITING]
        fixed = [trial.system_attrs.get("fixed_params", {}) for trial in waiting]
        return [{name: plain(name, value) for name, value in given.items()} for given in fixed if given]

    # Conditions

    def _with_conditions(self, parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
        """Return the parameters, with conditions for those that some trials lack."""
        found = dict(parameters)
        for name in parameters:
            lacking = sum(name not in trial.params for trial in self._completed)
            if not lacking:
                continue
            conditions = list(self._conditions(name, found))
            if not conditions:
                message = (
                    f"{lacking} of {len(self._completed)} completed trials lack it, which no other parameter's value "
                    "explains: here it is always there"
                )
                self._note(name, message)
                continue
            parent, values = conditions[0]
            shown = " or ".join(map(repr, values))
            others = "".join(f"; {other} would explain it as well" for other, _ in conditions[1:])
            self._note(
                name, f"is there in exactly the trials in which {parent} is {shown}, hence its condition{others}"
            )
            found[name] = found[name].model_copy(update={"when": {self._names[parent]: values}})
        return found

    def _conditions(self, name: str, parameters: Mapping[str, Parameter]) -> Iterator[tuple[str, tuple[Scalar, ...]]]:
        """Yield the parents whose values determine in which trials a parameter exists, with these values, likely first.

        Categorical parents come first, then those that were suggested before the parameter, as by a program that
        branches on their value.
        """
        order = list(parameters)
        parents = [other for other in order if other != name and _is_listed(parameters[other])]
        parents.sort(
            key=lambda other: (not isinstance(parameters[other], Categorical), order.index(other) > order.index(name))
        )
        for parent in parents:
            if self._depends_on(parent, name, parameters):
                continue
            with_it = self._values(parent, [trial for trial in self._trials if name in trial.params])
            lacking = [trial for trial in self._completed if name not in trial.params and parent in trial.params]
            without = self._values(parent, lacking)
            if with_it and without and not any(same_scalar(one, other) for one in with_it for other in without):
                axis = axis_of(parameters[parent])
                yield parent, tuple(sorted(with_it, key=axis.position))

    def _values(self, parent: str, trials: Sequence[FrozenTrial]) -> list[Scalar] | None:
        """Return the values of a parameter in trials; None if one of them lacks it."""
        values: list[Scalar] = []
        for trial in trials:
            if parent not in trial.params:
                return None
            value = plain(parent, trial.params[parent])
            if not any(same_scalar(value, known) for known in values):
                values.append(value)
        return values

    def _depends_on(self, name: str, other: str, parameters: Mapping[str, Parameter]) -> bool:
        """Return whether a parameter depends on another by its conditions, directly or indirectly."""
        theirs = {ours: theirs for theirs, ours in self._names.items()}
        parents = [theirs[parent] for parent in parameters[name].when or {}]
        return any(parent == other or self._depends_on(parent, other, parameters) for parent in parents)

    # The table

    def _rows(self, metrics: Sequence[str]) -> Iterator[Mapping[str, Scalar]]:
        constraints = self._constraints()
        for trial in self._completed:
            values = trial.values or []
            if any(not math.isfinite(value) for value in values):
                continue
            own = {ours: plain(name, trial.params.get(name)) for name, ours in self._names.items()}
            bounded = _constraints_of(trial)
            beyond = {ours: bounded[name] for name, ours in constraints.items() if name in bounded}
            yield {**own, **beyond, **dict(zip(metrics, values, strict=True))}


def _constraints_of(trial: FrozenTrial) -> dict[str, float]:
    """Return the constraints of a trial as Optuna keeps them: a list, since version 5 also a value under each name."""
    attributes = trial.system_attrs
    listed = attributes.get("constraints") or ()
    named = {key.partition(":")[2]: value for key, value in attributes.items() if key.startswith("constraints:")}
    return {**{str(index): value for index, value in enumerate(listed)}, **named}


def _is_listed(parameter: Parameter) -> bool:
    """Return whether a parameter has few enough values to be listed in a condition."""
    if isinstance(parameter, Int):
        return (parameter.high - parameter.low) // parameter.step < _FEW
    return isinstance(parameter, Categorical)
