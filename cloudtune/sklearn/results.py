"""Conversion of the trials of a run to the results of scikit-learn's searches."""

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.errors import CloudtuneError
from cloudtune.sklearn.evaluating import FAILED, TIMES, Decoding, stored_traceback
from cloudtune.store.records import Trial, TrialState

if TYPE_CHECKING:
    from cloudtune.run import Run

Metrics = Mapping[str, float]
Scores = float | dict[str, float]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate that was evaluated, at least in part.

    Attributes:
        parameters: the estimator's parameters.
        folds: for each fold a result as of scikit-learn's ``_fit_and_score``.
        pruned: whether a stopping rule ended it.
    """

    parameters: dict[str, Any]
    folds: list[dict[str, Any]]
    pruned: bool


def candidates(
    run: "Run",
    decoding: Decoding,
    *,
    splits: int,
    names: Sequence[str] | None,
    error_score: float,
    train: bool,
) -> list[Candidate]:
    """Return the candidates of a run by number, without those cancelled by the run's end.

    Args:
        run: a run that has ended.
        decoding: converts a trial's values to the estimator's parameters.
        splits: the number of folds.
        names: the names of the scorers; [] for a single one without a name; None if they are known from the scores
            only, which a scoring function gives.
        error_score: the score of the missing folds of a failed candidate.
        train: whether there are scores of the training samples.
    """
    trials = [trial for trial in run.trials() if trial.state.ended and trial.state is not TrialState.CANCELLED]
    attempts = {trial.number: trial.attempt for trial in trials}
    found: dict[tuple[int, int], dict[str, float]] = {}
    for report in run.reports():
        if report.attempt == attempts.get(report.number):
            found.setdefault((report.number, report.step), {}).update(report.metrics)
    shape = _Shape(_names(found) if names is None else names, error_score, train)
    return [_candidate(run, trial, found, decoding, splits, shape) for trial in trials]


def _names(found: Mapping[tuple[int, int], Metrics]) -> list[str]:
    """Return the names that a scoring function has given; [] if it returned a single number."""
    fold = next((metrics for metrics in found.values() if FAILED not in metrics), {})
    names = [name.removeprefix("test_") for name in fold if name.startswith("test_")]
    return [] if names == ["score"] else names


@dataclass(frozen=True, slots=True)
class _Shape:
    """The format of scores: by name, or as a single number if there are no names."""

    names: Sequence[str]
    error_score: float
    train: bool

    def fold(self, metrics: Metrics, error: str | None, otherwise: float) -> dict[str, Any]:
        """Return the result of a fold, with `otherwise` for missing scores."""
        fold: dict[str, Any] = {name: metrics.get(name, math.nan) for name in TIMES}
        fold["fit_error"] = error
        for kind in ("test", "train") if self.train else ("test",):
            fold[f"{kind}_scores"] = self._scores(kind, metrics, otherwise)
        return fold

    def _scores(self, kind: str, metrics: Metrics, otherwise: float) -> Scores:
        if not self.names:
            return metrics.get(f"{kind}_score", otherwise)
        return {name: metrics.get(f"{kind}_{name}", otherwise) for name in self.names}


def _candidate(
    run: "Run",
    trial: Trial,
    found: Mapping[tuple[int, int], Metrics],
    decoding: Decoding,
    splits: int,
    shape: _Shape,
) -> Candidate:
    reported = [found.get((trial.number, split + 1)) for split in range(splits)]
    pruned = trial.state is TrialState.PRUNED
    broken = trial.state is TrialState.FAILED and None in reported
    failed = broken or any(metrics is not None and FAILED in metrics for metrics in reported)
    texts = _texts(run, trial, splits) if failed else [None] * splits
    folds = []
    for metrics, text in zip(reported, texts, strict=True):
        if metrics is None:
            error = (text or trial.reason) if broken else None
            folds.append(shape.fold({}, error, shape.error_score if broken else math.nan))
        else:
            folds.append(shape.fold(metrics, (text or trial.reason) if FAILED in metrics else None, shape.error_score))
    return Candidate(decoding(trial.parameters), folds, pruned)


def _texts(run: "Run", trial: Trial, splits: int) -> list[str | None]:
    """Return the stored tracebacks of a trial's folds; None for folds without one."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            run.fetch(trial.number, folder)
        except (CloudtuneError, OSError):  # nothing stored, or not reachable: the trial's reason is used
            return [None] * splits
        return [stored_traceback(Path(folder), split) for split in range(splits)]
