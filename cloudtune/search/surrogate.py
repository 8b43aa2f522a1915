"""The surrogate of one objective: Gaussian processes under two priors, weighted by how well each predicts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cloudtune.search.arrays import Array, Indices
from cloudtune.search.dataset import Dataset
from cloudtune.search.encoding import Encoding
from cloudtune.search.gp import Data, Hyperparameters, Posterior, Prior, fit
from cloudtune.search.transfer import Trend, Trended
from cloudtune.search.warping import warp

PRIORS = (Prior(-1.0, 0.4), Prior(1.0, 1.7))
"""The first expects all dimensions to matter alike, the second few of them."""

NOISY_PRIORS = (*PRIORS, Prior(-1.0, 0.4, 0.05), Prior(1.0, 1.7, 0.05))
"""Those that also expect noise. A search with them was no better, also of noisy trials, but what they predict is."""

MAX_POINTS = 600
"""Observations that a model takes when they are chosen; of more, the best half and the latest. Up to `_MAX_STEP` join them."""

LEAST = 3
"""Usable observations below which there is no model."""

_MAX_FIT_POINTS = 200
"""Of these, how many hyperparameters are fitted to."""

_MAX_STEP = 50
"""Most observations that join the chosen ones before they are chosen anew."""

_REMEMBERED = 4
"""Counts of observations whose targets are kept: a suggestion asks for the same ones several times."""

_IGNORED = 0.02
"""Weight below which a model is left out."""


@dataclass(frozen=True, slots=True)
class _Fitted:
    """What was fitted to the first observations.

    Attributes:
        chosen: the indices of the observations that the models take.
        models: the hyperparameters, the factor of the covariance and the weight of each model that counts.
    """

    chosen: Indices
    models: Sequence[tuple[Hyperparameters, Array, float]]


class Surrogate:
    """Gaussian processes under different priors, weighted by how well each predicts what it has not seen.

    Each observation is predicted from all others (leave-one-out), under hyperparameters that were fitted before the
    latest of them came; the weights are proportional to the densities of these predictions, as in pseudo-Bayes model
    averaging (Yao et al. 2018, doi 10.1214/17-BA1091, section 3.4). So a space where all depends on one parameter and
    one where all parameters matter are both learnt quickly, and a model that fits everything but predicts nothing has
    no weight.

    Hyperparameters are fitted to the first observations up to a count that grows by a tenth at a time (`fit_point`):
    they are fitted seldom, and are the same after a resume. Each fit starts where the one before it ended, but for those
    at which the count doubles: they start from the prior, so that a resume has at most some eight fits of each model to
    repeat, of however many observations. Which observations the models take is chosen more often, at counts that grow by
    at most `_MAX_STEP` (`choice_point`).

    Args:
        encoding: of the space.
        dataset: the observations.
        objective: the index of the loss.
        others: the process of related experiments; None for none.
        priors: one for each model; None for `PRIORS`.
    """

    def __init__(
        self,
        encoding: Encoding,
        dataset: Dataset,
        objective: int,
        others: Posterior | None = None,
        priors: Sequence[Prior] | None = None,
    ) -> None:
        self._priors = PRIORS if priors is None else priors
        self._encoding, self._dataset, self._objective, self._others = encoding, dataset, objective, others
        self._known: dict[tuple[int, Prior], Hyperparameters] = {}
        self._fitted: tuple[int, _Fitted] | None = None
        self._warped: dict[int, Array] = {}

    def models(self) -> tuple[list[Posterior | Trended], Array]:
        """Return the processes given all observations, and their weights, of sum 1."""
        count = len(self._dataset)
        point = choice_point(count)
        if self._fitted is None or self._fitted[0] != point:
            self._fitted = point, self._fit(point)
        fitted = self._fitted[1]
        trend, data = self._data(self.targets(count), np.append(fitted.chosen, np.arange(point, count)))
        posteriors: list[Posterior | Trended] = []
        for hyper, factor, _ in fitted.models:
            rest = Posterior(data, hyper, factor)
            posteriors.append(rest if trend is None else Trended(rest, trend, data.features))
        return posteriors, np.array([weight for _, _, weight in fitted.models])

    def targets(self, count: int) -> Array:
        """Return the losses of the first `count` observations, warped, of mean 0 and variance 1."""
        if count not in self._warped:
            kept = self._dataset.kept(count, self._objective)
            while len(self._warped) >= _REMEMBERED:
                del self._warped[next(iter(self._warped))]
            self._warped[count] = warp(self._dataset.losses(count)[:, self._objective], kept)
        return self._warped[count]

    def worth(self, targets: Array) -> Array:
        """Return numbers of which the lowest are the observations that a model of many must not miss: the targets."""
        return targets

    def _data(self, targets: Array, chosen: Indices) -> tuple[Trend | None, Data]:
        """Return the trend of related experiments at the chosen observations, and the data with it subtracted."""
        features, kept = self._dataset.features[chosen], targets[chosen]
        trend = None if self._others is None else Trend.of(self._others, features, kept)
        rest = kept if trend is None else kept - trend(features)
        return trend, Data(features, self._encoding.owner, rest, self._dataset.doubt[chosen])

    def _fit(self, count: int) -> _Fitted:
        targets = self.targets(count)
        chosen = _chosen(self.worth(targets), MAX_POINTS)
        _, data = self._data(targets, chosen)
        earlier = max(fit_point(count - 1), LEAST)
        evidence = np.array(
            [Posterior(data, self._hyperparameters(earlier, prior)).leave_one_out() for prior in self._priors]
        )
        weights = np.exp(evidence - evidence.max())
        weights[weights < _IGNORED * weights.sum()] = 0.0
        weights /= weights.sum()
        models = []
        for prior, weight in zip(self._priors, weights, strict=True):
            if weight > 0:
                hyper = self._hyperparameters(fit_point(count), prior)
                models.append((hyper, Posterior(data, hyper).factor, float(weight)))
        return _Fitted(chosen, models)

    def _hyperparameters(self, count: int, prior: Prior) -> Hyperparameters:
        known = self._known.get((count, prior))
        if known is None:
            before = fit_point(count - 1)
            anew = before < LEAST or before.bit_length() < count.bit_length()
            starts = [] if anew else [self._hyperparameters(before, prior)]
            targets = self.targets(count)
            _, data = self._data(targets, _chosen(self.worth(targets), _MAX_FIT_POINTS))
            known = fit(data, self._encoding.size, prior, starts)
            self._known[count, prior] = known
        return known


def _chosen(targets: Array, most: int) -> Indices:
    """Return the indices of the observations that a model takes: all, or of many the best half and the latest."""
    count = len(targets)
    if count <= most:
        return np.arange(count)
    best = np.argsort(targets, kind="stable")[: most // 2]
    others = np.setdiff1d(np.arange(count), best)
    return np.sort(np.append(best, others[len(others) - (most - len(best)) :]))


def fit_point(count: int) -> int:
    """Return the largest number up to `count` of a fixed sequence that grows by one and later by a tenth."""
    return _last(count, max(count, 1))


def choice_point(count: int) -> int:
    """Return the largest number up to `count` of a fixed sequence that grows by one and later by a tenth, at most by 50."""
    return _last(count, _MAX_STEP)


def _last(count: int, most: int) -> int:
    """Return the largest number up to `count` of the sequence whose steps are a tenth, at least 1 and at most `most`."""
    point = 1
    while (following := point + min(max(1, point // 10), most)) <= count:
        point = following
    return point
