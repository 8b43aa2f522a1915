"""From the trials of a run to what scikit-learn's searches make their results of."""

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.errors import CloudtuneError
from cloudtune.sklearn.evaluating import FAILED, TIMES, Decoding, left_text
from cloudtune.store.records import Trial, TrialState

if TYPE_CHECKING:
    from cloudtune.run import Run

Metrics = Mapping[str, float]
Scores = float | dict[str, float]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate that was evaluated, to its end or not.

    Attributes:
        parameters: of the estimator.
        folds: what scikit-learn's function for one fold would have given for each of them.
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
    """The candidates of a run by number, but for those that its end cut off.

    Args:
        run: that has ended.
        decoding: gives a trial's parameters.
        splits: how many folds there are.
        names: of the scorers; none for a single one without a name; None where only the scores tell, because a
            function of the user's gives them.
        error_score: of the folds of a candidate that broke down.
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
    """The names that a scoring function has given; none where it gave a bare number."""
    fold = next((metrics for metrics in found.values() if FAILED not in metrics), {})
    names = [name.removeprefix("test_") for name in fold if name.startswith("test_")]
    return [] if names == ["score"] else names


@dataclass(frozen=True, slots=True)
class _Shape:
    """How scores are given: by name, or as a bare number where there are no names."""

    names: Sequence[str]
    error_score: float
    train: bool

    def fold(self, metrics: Metrics, error: str | None, otherwise: float) -> dict[str, Any]:
        """What is known of a fold, with a score for those that are not."""
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
    told = [found.get((trial.number, split + 1)) for split in range(splits)]
    pruned = trial.state is TrialState.PRUNED
    broken = trial.state is TrialState.FAILED and None in told
    failed = broken or any(metrics is not None and FAILED in metrics for metrics in told)
    texts = _texts(run, trial, splits) if failed else [None] * splits
    folds = []
    for metrics, text in zip(told, texts, strict=True):
        if metrics is None:
            error = (text or trial.reason) if broken else None
            folds.append(shape.fold({}, error, shape.error_score if broken else math.nan))
        else:
            folds.append(shape.fold(metrics, (text or trial.reason) if FAILED in metrics else None, shape.error_score))
    return Candidate(decoding(trial.parameters), folds, pruned)


def _texts(run: "Run", trial: Trial, splits: int) -> list[str | None]:
    """Why the fits of a trial's folds failed, as they left it."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            run.fetch(trial.number, folder)
        except (CloudtuneError, OSError):  # it left nothing, or is out of reach: the trial's own reason has to do
            return [None] * splits
        return [left_text(Path(folder), split) for split in range(splits)]
