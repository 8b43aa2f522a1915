"""One candidate of a search, fold by fold: what a trial of `TuneSearchCV` runs, here and anywhere.

A copy of this file travels with the trials of a service. There it is the program: it evaluates the candidate of its
trial by what ``evaluation.pkl`` beside it says. It needs scikit-learn and the trial helper, no other file of cloudtune, and Python 3.9 or newer.
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
from sklearn.model_selection._validation import _fit_and_score  # what scikit-learn's own searches call

import cloudtune.trial as trial

PICKLE = "evaluation.pkl"

SPLIT = "the split"
"""Asks for one fold alone; no parameter has this name, for those have no spaces."""

FOLDER = "the folder"
"""Where a fold that was asked for alone leaves what went wrong."""

NUMBER = "the number"
"""Which candidate, from 0, a fold that was asked for alone is of."""

FAILED = "fit_failed"
"""A metric: 1 for a fold whose fit failed."""

TIMES = ("fit_time", "score_time")
"""Metrics: seconds that a fold took."""

Metrics = dict[str, float]


# From a trial's values to the estimator's parameters


class Listed:
    """One of the objects of a list, which travels by a key: itself where the spec can say it, else a text.

    Args:
        keys: what travels, each once.
        objects: what the keys stand for.
    """

    def __init__(self, keys: Sequence[Any], objects: Sequence[Any]) -> None:
        self._objects = {(isinstance(key, bool), key): each for key, each in zip(keys, objects)}  # noqa: B905  # strict is of Python 3.10

    def __call__(self, key: Any) -> Any:
        return self._objects[isinstance(key, bool), key]

    def key(self, value: Any) -> Any:
        """What travels for a value of the list; the value itself where it is none, for somebody else to refuse."""
        return next((key for (_, key), each in self._objects.items() if each is value or _equal(each, value)), value)


def _equal(left: Any, right: Any) -> bool:
    return type(left) is type(right) and isinstance(left, (bool, int, float, str)) and left == right


class Quantile:
    """A draw of a distribution, which travels as its probability: the inverse of the cumulative distribution.

    Args:
        distribution: a frozen one of scipy.stats, with ``ppf`` (or ``icdf``).
        whole: whether it is one of whole numbers.
    """

    def __init__(self, distribution: Any, *, whole: bool) -> None:
        self._distribution, self._whole = distribution, whole

    def __call__(self, probability: float) -> float:
        inverse = getattr(self._distribution, "ppf", None) or self._distribution.icdf
        value = float(inverse(probability))
        return int(value) if self._whole else value


class Draw:
    """A draw of something that has nothing but ``rvs``, which travels as the seed of the draw."""

    def __init__(self, distribution: Any) -> None:
        self._distribution = distribution

    def __call__(self, seed: int) -> Any:
        return self._distribution.rvs(random_state=seed)


@dataclass
class Decoding:
    """The estimator's parameters of a trial's values.

    Attributes:
        decoders: by name and branch, for what does not travel as it is.
        selector: the parameter that says which of several grids a trial is of; None for a single one.
    """

    decoders: dict[tuple[str, Any], Any] = field(default_factory=dict)
    selector: str | None = None

    def __call__(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters, in the order of their names as scikit-learn's own grids have them."""
        branch = None if self.selector is None else values[self.selector]
        found = {}
        for name in sorted(values.keys() - {self.selector}):
            decoder = self.decoders.get((name, branch))
            found[name] = values[name] if decoder is None else decoder(values[name])
        return found


# Folds


@dataclass
class Evaluation:
    """Cross-validates candidates: called with a trial's values, it reports each fold as a step.

    Attributes:
        estimator: unfitted.
        X: the data.
        y: the targets; None for none.
        splits: the positions of each fold's samples to train with and to test with.
        decoding: gives a trial's parameters.
        objectives: the means that are aimed at, such as ``mean_test_score``.
        options: further arguments of scikit-learn's function for one fold.
        config: scikit-learn's settings.
        filters: the filters of warnings.
        recorded: the metrics that the place of the trials records; None for all.
        tasks: gives the arguments by which a fold calls scikit-learn's callbacks (`FoldTasks`); None without any.
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
        """Evaluates a candidate, or, with `SPLIT` and `FOLDER` among the values, gives the metrics of one fold."""
        if SPLIT in values:
            split, folder, number = values.pop(SPLIT), values.pop(FOLDER), values.pop(NUMBER)
            return self.fold(values, split, Path(folder), number)
        folds: list[Metrics] = []
        for split in range(len(self.splits)):
            folds.append(self.fold(values, split, Path(trial.output_dir())))
            self._check_recorded(folds[-1])
            trial.report(told(self.objectives, folds), step=split + 1)
        return None

    def fold(self, values: Mapping[str, Any], split: int, folder: Path, number: int | None = None) -> Metrics:
        """Return the metrics of one fold: its scores and times; leave why a fit failed in a file.

        Args:
            values: of the trial.
            split: the fold, from 0.
            folder: of the file.
            number: of the candidate, from 0, for callbacks; None where there are none.

        Raises:
            Exception: whatever the fit raises, if the error score is "raise".
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
            _leave(folder, split, traceback.format_exc(), error)
            raise
        if result["fit_error"] is not None:
            _leave(folder, split, result["fit_error"])
        return _metrics(result)

    def _check_recorded(self, fold: Metrics) -> None:
        lost = [] if self.recorded is None else sorted(fold.keys() - set(self.recorded))
        if lost:
            names = ", ".join(lost)
            raise ValueError(
                f"a service does not record {names}, for only the scoring function knows their names; give scoring as a mapping from names to scorers"
            )


def _metrics(result: Mapping[str, Any]) -> Metrics:
    """What scikit-learn found of a fold, as numbers by name."""
    metrics = {name: result[name] for name in TIMES}
    for kind in ("test", "train"):
        scores = result.get(f"{kind}_scores", {})
        named = scores if isinstance(scores, dict) else {"score": scores}
        metrics.update({f"{kind}_{name}": score for name, score in named.items()})
    if result["fit_error"] is not None:
        metrics[FAILED] = 1.0
    return {name: float(number) for name, number in metrics.items()}


def told(objectives: Sequence[str], folds: Sequence[Metrics]) -> Metrics:
    """What is reported after a fold: its metrics, and the means so far of what is aimed at."""
    means = {name: sum(_score(fold, name) for fold in folds) / len(folds) for name in objectives}
    return {**folds[-1], **means}


def _score(fold: Metrics, objective: str) -> float:
    """The score of a fold that an objective is the mean of; the first, where a scorer of one's own names others."""
    name = objective[len("mean_") :]
    return fold[name] if name in fold else next(value for key, value in fold.items() if key.startswith("test_"))


# What went wrong


def _leave(folder: Path, split: int, text: str, error: Exception | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"split{split}.txt").write_text(text, "utf-8", "backslashreplace")
    if error is not None:
        try:
            data = pickle.dumps(error)
        except Exception:  # noqa: BLE001  # an exception may hold anything; the text says what it was
            return
        (folder / f"split{split}.pkl").write_bytes(data)


def left_text(folder: Path, split: int) -> str | None:
    """Why the fit of a fold failed; None where nothing was left."""
    try:
        return (folder / f"split{split}.txt").read_text("utf-8")
    except FileNotFoundError:
        return None


def left_error(run: Path) -> Exception | None:
    """The exception of the first fold that left one in the folder of a run on this machine, to which nobody else writes.

    None where no fold did, or its class refuses what it wrote itself.
    """
    path = next(iter(sorted(run.glob("trials/*/output/split*.pkl"))), None)
    if path is None:
        return None
    try:
        error = pickle.loads(path.read_bytes())  # noqa: S301  # a process of this very search wrote it
    except Exception:  # noqa: BLE001  # whatever the class raises
        return None
    return error if isinstance(error, Exception) else None


# As a program


def main() -> None:
    """Evaluates the candidate of the trial that this process is."""
    try:
        import cloudpickle  # noqa: F401, PLC0415  # loads what was pickled by value
    except ImportError:
        from joblib.externals import (  # type: ignore[import-untyped]  # noqa: PLC0415  # is wherever scikit-learn is
            cloudpickle as vendored,
        )

        sys.modules["cloudpickle"] = vendored
        sys.modules["cloudpickle.cloudpickle"] = vendored.cloudpickle
    sys.modules["cloudtune.sklearn.evaluating"] = sys.modules["__main__"]  # under which the pickle knows this file
    with Path(__file__).with_name(PICKLE).open("rb") as file:
        evaluation = pickle.load(file)  # noqa: S301  # it travelled with this file
    evaluation(**trial.params())


if __name__ == "__main__":
    main()
