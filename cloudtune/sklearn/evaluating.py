"""Evaluation of one candidate fold by fold: what a trial of `TuneSearchCV` runs, locally and on services.

A copy of this file travels with the trials of a service, where it is the program: it evaluates the candidate of its
trial with ``evaluation.pkl`` beside it. It needs scikit-learn, the trial helper, and Python 3.9 or newer, but no other
file of cloudtune.
"""

from __future__ import annotations

import pickle
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection._validation import _fit_and_score  # as scikit-learn's own searches use it

import cloudtune.trial as trial

PICKLE = "evaluation.pkl"

SPLIT = "the split"
"""The key of a request for a single fold; no parameter has this name, since parameters' names have no spaces."""

FOLDER = "the folder"
"""The key of the folder in which a single fold stores its errors."""

NUMBER = "the number"
"""The key of the candidate, from 0, of a single fold."""

FAILED = "fit_failed"
"""A metric: 1 for a fold whose fit failed."""

TIMES = ("fit_time", "score_time")
"""Metrics: seconds that a fold took."""

Metrics = dict[str, float]


# Conversion of a trial's values to the estimator's parameters


class Listed:
    """A decoder for a list of objects, whose values in the spec are keys: scalars themselves, texts for other objects.

    Args:
        keys: the values in the spec, without duplicates.
        objects: the objects of the keys.
    """

    def __init__(self, keys: Sequence[Any], objects: Sequence[Any]) -> None:
        self._objects = {(isinstance(key, bool), key): each for key, each in zip(keys, objects)}  # noqa: B905  # strict needs Python 3.10

    def __call__(self, key: Any) -> Any:
        return self._objects[isinstance(key, bool), key]

    def key(self, value: Any) -> Any:
        """Return the key of a value of the list; the value itself if it is not in the list, for the spec to refuse."""
        return next((key for (_, key), each in self._objects.items() if each is value or _equal(each, value)), value)


def _equal(left: Any, right: Any) -> bool:
    return type(left) is type(right) and isinstance(left, (bool, int, float, str)) and left == right


class Quantile:
    """A decoder for a distribution, whose values in the spec are probabilities, by its quantile function.

    Args:
        distribution: a frozen distribution of scipy.stats, with ``ppf`` (or ``icdf``).
        whole: whether it is a distribution of integers.
    """

    def __init__(self, distribution: Any, *, whole: bool) -> None:
        self._distribution, self._whole = distribution, whole

    def __call__(self, probability: float) -> float:
        inverse = getattr(self._distribution, "ppf", None) or self._distribution.icdf
        value = float(inverse(probability))
        return int(value) if self._whole else value


class Draw:
    """A decoder for a distribution that has only ``rvs``, whose values in the spec are seeds of a draw."""

    def __init__(self, distribution: Any) -> None:
        self._distribution = distribution

    def __call__(self, seed: int) -> Any:
        return self._distribution.rvs(random_state=seed)


@dataclass
class Decoding:
    """The conversion of a trial's values to the estimator's parameters.

    Attributes:
        decoders: decoders by name and grid, for parameters whose values in the spec differ from the estimator's.
        selector: the parameter that selects one of several grids; None for a single grid.
    """

    decoders: dict[tuple[str, Any], Any] = field(default_factory=dict)
    selector: str | None = None

    def __call__(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the estimator's parameters, sorted by name as those of scikit-learn's grids."""
        branch = None if self.selector is None else values[self.selector]
        found = {}
        for name in sorted(values.keys() - {self.selector}):
            decoder = self.decoders.get((name, branch))
            found[name] = values[name] if decoder is None else decoder(values[name])
        return found


# Folds


@dataclass
class Evaluation:
    """The cross-validation of candidates: called with a trial's values, it reports each fold as a step.

    Attributes:
        estimator: the unfitted estimator.
        X: the data, of shape (samples, features).
        y: the targets; None for none.
        splits: the indices of each fold's training and test samples.
        decoding: converts a trial's values to the estimator's parameters.
        objectives: the mean scores to maximize, such as ``mean_test_score``.
        options: further arguments of scikit-learn's ``_fit_and_score``.
        config: scikit-learn's settings.
        filters: the filters of warnings.
        recorded: the metrics that the service of the trials records; None for all.
        tasks: gives the arguments by which a fold calls scikit-learn's callbacks (`FoldTasks`); None without callbacks.
    """

    estimator: Any
    X: Any
    y: Any
    splits: list[tuple[Any, Any]]
    decoding: Decoding
    objectives: Sequence[str]
    options: Mapping[str, Any]
    config: Mapping[str, Any]
    filters: Sequence[Any] = ()
    recorded: Sequence[str] | None = None
    tasks: Any = None

    def __call__(self, **values: Any) -> Metrics | None:
        """Evaluate a candidate and report each fold; with `SPLIT` among the values, return the metrics of that fold."""
        if SPLIT in values:
            split, folder, number = values.pop(SPLIT), values.pop(FOLDER), values.pop(NUMBER)
            return self.fold(values, split, Path(folder), number)
        folds: list[Metrics] = []
        for split in range(len(self.splits)):
            folds.append(self.fold(values, split, Path(trial.output_dir())))
            self._check_recorded(folds[-1])
            trial.report(reported_metrics(self.objectives, folds), step=split + 1)
        return None

    def fold(self, values: Mapping[str, Any], split: int, folder: Path, number: int | None = None) -> Metrics:
        """Return the metrics of one fold: its scores and times; write the traceback of a failed fit to a file.

        Args:
            values: the trial's values.
            split: the fold, from 0.
            folder: the folder of that file.
            number: the candidate, from 0, for callbacks; None without callbacks.

        Raises:
            Exception: the exception of the fit, if the error score is "raise".
        """
        train, test = self.splits[split]
        callbacks = {} if self.tasks is None else self.tasks.of(number, split, len(self.splits))
        try:
            with config_context(**self.config), warnings.catch_warnings():
                warnings.filters = list(self.filters)
                result = _fit_and_score(
                    clone(self.estimator),
                    self.X,
                    self.y,
                    train=train,
                    test=test,
                    parameters=self.decoding(values),
                    split_progress=(split, len(self.splits)),
                    return_times=True,
                    **self.options,
                    **callbacks,
                )
        except Exception as error:
            _store_error(folder, split, traceback.format_exc(), error)
            raise
        if result["fit_error"] is not None:
            _store_error(folder, split, result["fit_error"])
        return _metrics(result)

    def _check_recorded(self, fold: Metrics) -> None:
        lost = [] if self.recorded is None else sorted(fold.keys() - set(self.recorded))
        if lost:
            names = ", ".join(lost)
            raise ValueError(
                f"a service does not record {names}, for only the scoring function knows their names; give scoring as a mapping from names to scorers"
            )


def _metrics(result: Mapping[str, Any]) -> Metrics:
    """Return scikit-learn's result of a fold as numbers by name."""
    metrics = {name: result[name] for name in TIMES}
    for kind in ("test", "train"):
        scores = result.get(f"{kind}_scores", {})
        named = scores if isinstance(scores, dict) else {"score": scores}
        metrics.update({f"{kind}_{name}": score for name, score in named.items()})
    if result["fit_error"] is not None:
        metrics[FAILED] = 1.0
    return {name: float(number) for name, number in metrics.items()}


def reported_metrics(objectives: Sequence[str], folds: Sequence[Metrics]) -> Metrics:
    """Return the metrics to report after a fold: those of the fold, and the objectives' means over all folds so far."""
    means = {name: sum(_score(fold, name) for fold in folds) / len(folds) for name in objectives}
    return {**folds[-1], **means}


def _score(fold: Metrics, objective: str) -> float:
    """Return the score of a fold whose mean is an objective; the first score if a scoring function gave other names."""
    name = objective[len("mean_") :]
    return fold[name] if name in fold else next(value for key, value in fold.items() if key.startswith("test_"))


# Errors of folds


def _store_error(folder: Path, split: int, text: str, error: Exception | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"split{split}.txt").write_text(text, "utf-8", "backslashreplace")
    if error is not None:
        try:
            data = pickle.dumps(error)
        except Exception:  # noqa: BLE001  # an exception may hold anything; the text has the traceback
            return
        (folder / f"split{split}.pkl").write_bytes(data)


def stored_traceback(folder: Path, split: int) -> str | None:
    """Return the stored traceback of a fold's failed fit; None if there is none."""
    try:
        return (folder / f"split{split}.txt").read_text("utf-8")
    except FileNotFoundError:
        return None


def stored_error(run: Path) -> Exception | None:
    """Return the stored exception of the first failed fold of a run on this machine.

    None if there is none, or if it cannot be unpickled.
    """
    path = next(iter(sorted(run.glob("trials/*/output/split*.pkl"))), None)
    if path is None:
        return None
    try:
        error = pickle.loads(path.read_bytes())  # noqa: S301  # written by a process of this search
    except Exception:  # noqa: BLE001  # whatever the class raises
        return None
    return error if isinstance(error, Exception) else None


# As a program


def main() -> None:
    """Evaluate the candidate of this process's trial."""
    try:
        import cloudpickle  # noqa: F401, PLC0415  # needed to unpickle by value
    except ImportError:
        from joblib.externals import (  # type: ignore[import-untyped]  # noqa: PLC0415  # comes with scikit-learn
            cloudpickle as vendored,
        )

        sys.modules["cloudpickle"] = vendored
        sys.modules["cloudpickle.cloudpickle"] = vendored.cloudpickle
    sys.modules["cloudtune.sklearn.evaluating"] = sys.modules["__main__"]  # the module's name in the pickle
    with Path(__file__).with_name(PICKLE).open("rb") as file:
        evaluation = pickle.load(file)  # noqa: S301  # it travelled with this file
    evaluation(**trial.params())


if __name__ == "__main__":
    main()
