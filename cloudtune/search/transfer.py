"""Transfer from related experiments: look first where they found good trials, until the search's own trials say more."""

from dataclasses import dataclass

import numpy as np

from cloudtune.search.arrays import Array, Indices
from cloudtune.search.dataset import Dataset
from cloudtune.search.encoding import Encoding
from cloudtune.search.gp import Data, Posterior, Prior, fit
from cloudtune.search.strategy import Observation
from cloudtune.search.warping import warp
from cloudtune.space.space import Values

_PRIOR = Prior(-1.0, 0.4)
_MOST = 300
"""Trials of related experiments that are learnt from; of more, the best half and an even selection of the others."""

_LEAST = 3
_FLAT, _STEEP = 0.5, 3.0
"""The weights, in own trials, of the prior expectations: the level is the own mean, and the share is 1."""


class Hints:
    """Trials of related experiments, whose losses can be compared only among those of one experiment.

    Args:
        encoding: of the space.
        objectives: the number of losses of an observation.
    """

    def __init__(self, encoding: Encoding, objectives: int) -> None:
        self._encoding, self._objectives = encoding, objectives
        self._datasets: dict[str, Dataset] = {}
        self._trials: list[Observation] = []

    def add(self, observation: Observation) -> None:
        """Add a trial of a related experiment."""
        dataset = self._datasets.setdefault(observation.origin, Dataset(self._encoding, self._objectives))
        dataset.add([observation])
        self._trials.append(observation)

    def ranked(self) -> list[Values]:
        """Return the trials that the space has, each once, ordered by how much they stood out in their own experiment.

        Those that violated a constraint are behind all others.
        """
        scores: list[tuple[bool, float, Values]] = []
        for origin in self._datasets:
            trials = [each for each in self._trials if each.origin == origin and each.losses is not None]
            losses = np.array([each.losses for each in trials]).reshape(len(trials), self._objectives)
            total = np.sum([warp(column) for column in losses.T], axis=0)
            scores += [
                (not each.feasible, float(score), each.parameters) for score, each in zip(total, trials, strict=True)
            ]
        space = self._encoding.space
        scores.sort(key=lambda each: each[:2])
        possible: dict[tuple[object, ...], Values] = {}
        for _, _, values in scores:
            if space.contains(values):
                possible.setdefault(space.key(values), values)
        return list(possible.values())

    def trend(self, objective: int) -> Posterior | None:
        """Return a process of an objective in the related experiments, each warped to mean 0 and variance 1.

        None if no experiment has `_LEAST` usable trials.
        """
        useful = [dataset for dataset in self._datasets.values() if dataset.usable >= _LEAST]
        if not useful:
            return None
        targets = np.concatenate([warp(dataset.losses(len(dataset))[:, objective]) for dataset in useful])
        features = np.vstack([dataset.features for dataset in useful])
        doubt = np.concatenate([dataset.doubt for dataset in useful])
        chosen = _spread(targets)
        data = Data(features[chosen], self._encoding.owner, targets[chosen], doubt[chosen])
        return Posterior(data, fit(data, self._encoding.size, _PRIOR))


def _spread(targets: Array) -> Indices:
    if len(targets) <= _MOST:
        return np.arange(len(targets))
    order = np.argsort(targets, kind="stable")
    rest = order[_MOST // 2 :]
    return np.sort(np.append(order[: _MOST // 2], rest[:: -(-len(rest) // (_MOST // 2))]))


@dataclass(frozen=True, slots=True)
class Trend:
    """The expectation from related experiments: a level, and a share of their own deviations.

    A Gaussian process then describes what is different here (as the stacked residual processes of Vizier: Golovin et
    al. 2017, doi 10.1145/3097983.3098043, section 3.3).

    Attributes:
        others: their process.
        level: the mean in this search.
        share: of their deviations, at least 0.
    """

    others: Posterior
    level: float
    share: float

    @classmethod
    def of(cls, others: Posterior, features: Array, targets: Array) -> "Trend":
        """Return the trend that fits n own observations best, by ridge regression towards the prior expectations.

        Args:
            others: the process of the related experiments.
            features: n × f.
            targets: n numbers.
        """
        said = others.mean(features)
        design = np.column_stack([np.ones_like(said), said])
        pull = np.diag([_FLAT, _STEEP])
        level, share = np.linalg.solve(design.T @ design + pull, design.T @ targets + pull @ [0.0, 1.0])
        return cls(others, float(level), max(float(share), 0.0))

    def __call__(self, features: Array) -> Array:
        """Return m numbers at m × f points."""
        return self.level + self.share * self.others.mean(features)


class Trended:
    """A Gaussian process around a trend.

    Args:
        rest: the process of the own targets with the trend subtracted.
        trend: the expectation without own observations.
        features: of the own observations, n × f.
    """

    def __init__(self, rest: Posterior, trend: Trend, features: Array) -> None:
        self._rest, self._trend, self._features = rest, trend, features

    @property
    def best(self) -> float:
        """The lowest expected value at the observations."""
        return float(self.mean(self._features).min())

    def mean(self, features: Array) -> Array:
        """Return the m expected values at m × f points."""
        return self._rest.mean(features) + self._trend(features)

    def with_pending(self, features: Array) -> "Trended":
        """Return the process after q more observations of the expected values; see `Posterior.with_pending`."""
        return Trended(self._rest.with_pending(features), self._trend, self._features)

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Return the m expected values and m standard deviations, without the noise, at m × f points."""
        mean, deviation = self._rest.predict(features)
        return mean + self._trend(features), deviation

    def slopes(self, features: Array) -> tuple[Array, Array, Array, Array]:
        """Return the m expected values and m standard deviations at m × f points, and their m × f derivatives."""
        mean, deviation, by_mean, by_deviation = self._rest.slopes(features)
        said, _, by_said, _ = self._trend.others.slopes(features)
        trend = self._trend
        return mean + trend.level + trend.share * said, deviation, by_mean + trend.share * by_said, by_deviation
