"""Learning from other experiments: what they found good is where to look first, until the own trials know better."""

from dataclasses import dataclass

import numpy as np

from cloudtune.search.arrays import Array, Indices
from cloudtune.search.base import Observation
from cloudtune.search.encoding import Encoding
from cloudtune.search.gp import Data, Posterior, Prior, fit
from cloudtune.search.records import Records
from cloudtune.search.warp import warp
from cloudtune.space.space import Values

_PRIOR = Prior(-1.0, 0.4)
_MOST = 300
"""Trials of other experiments that are learnt from; of more, the best half and every so many of the others."""

_LEAST = 3
_FLAT, _STEEP = 0.5, 3.0
"""How many own trials the expectations weigh as much as: that the level is the own mean, and the slope that of the others."""


class Hints:
    """Trials of other experiments, whose losses can be compared only among those of one experiment.

    Args:
        encoding: of the space.
        objectives: losses of an observation.
    """

    def __init__(self, encoding: Encoding, objectives: int) -> None:
        self._encoding, self._objectives = encoding, objectives
        self._records: dict[str, Records] = {}
        self._trials: list[Observation] = []

    def add(self, observation: Observation) -> None:
        """Takes note of a trial of another experiment."""
        records = self._records.setdefault(observation.origin, Records(self._encoding, self._objectives))
        records.add([observation])
        self._trials.append(observation)

    def ranked(self) -> list[Values]:
        """The trials that are possible here, those that stood out most among their own experiment's first, each once."""
        scores: list[tuple[float, Values]] = []
        for origin in self._records:
            trials = [each for each in self._trials if each.origin == origin and each.losses is not None]
            losses = np.array([each.losses for each in trials]).reshape(len(trials), self._objectives)
            total = np.sum([warp(column) for column in losses.T], axis=0)
            scores += [(float(score), each.parameters) for score, each in zip(total, trials, strict=True)]
        space = self._encoding.space
        scores.sort(key=lambda each: each[0])
        possible: dict[tuple[object, ...], Values] = {}
        for _, values in scores:
            if space.contains(values):
                possible.setdefault(space.key(values), values)
        return list(possible.values())

    def trend(self, objective: int) -> Posterior | None:
        """What the other experiments say of an objective, each of mean 0 and variance 1; None if it is too little."""
        useful = [records for records in self._records.values() if records.usable >= _LEAST]
        if not useful:
            return None
        targets = np.concatenate([warp(records.losses(len(records))[:, objective]) for records in useful])
        features = np.vstack([records.features for records in useful])
        doubt = np.concatenate([records.doubt for records in useful])
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
    """What other experiments lead one to expect: a level, and a share of their own ups and downs.

    A Gaussian process then describes what is different here (as the stacked residual processes of Vizier: Golovin et
    al. 2017, doi 10.1145/3097983.3098043, section 3.3).

    Attributes:
        others: what they say.
        level: the mean here.
        share: of their deviations, not negative.
    """

    others: Posterior
    level: float
    share: float

    @classmethod
    def of(cls, others: Posterior, features: Array, targets: Array) -> "Trend":
        """The trend that fits n own observations best, and what is expected of it (ridge regression)."""
        said = others.mean(features)
        design = np.column_stack([np.ones_like(said), said])
        pull = np.diag([_FLAT, _STEEP])
        level, share = np.linalg.solve(design.T @ design + pull, design.T @ targets + pull @ [0.0, 1.0])
        return cls(others, float(level), max(float(share), 0.0))

    def __call__(self, features: Array) -> Array:
        """At m points, m numbers."""
        return self.level + self.share * self.others.mean(features)


class Trended:
    """A Gaussian process around a trend.

    Args:
        rest: of what the trend leaves over.
        trend: what is expected without own observations.
        features: the own observations'.
    """

    def __init__(self, rest: Posterior, trend: Trend, features: Array) -> None:
        self._rest, self._trend, self._features = rest, trend, features

    @property
    def best(self) -> float:
        """The least expected value at the observations."""
        return float(self.mean(self._features).min())

    def mean(self, features: Array) -> Array:
        """The expected value at m points."""
        return self._rest.mean(features) + self._trend(features)

    def with_pending(self, features: Array) -> "Trended":
        """See `Posterior.with_pending`."""
        return Trended(self._rest.with_pending(features), self._trend, self._features)

    def predict(self, features: Array) -> tuple[Array, Array]:
        """The expected value and the standard deviation, without the noise, at m points."""
        mean, deviation = self._rest.predict(features)
        return mean + self._trend(features), deviation

    def slopes(self, features: Array) -> tuple[Array, Array, Array, Array]:
        """See `Posterior.slopes`."""
        mean, deviation, by_mean, by_deviation = self._rest.slopes(features)
        said, _, by_said, _ = self._trend.others.slopes(features)
        trend = self._trend
        return mean + trend.level + trend.share * said, deviation, by_mean + trend.share * by_said, by_deviation
