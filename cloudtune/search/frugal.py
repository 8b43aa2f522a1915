"""Trials that are expected to be cheap first, the less the more of the budget is spent.

What a trial is worth is divided by what it is expected to cost, to a power that falls from 1 to 0 as the budget is spent (the
cooling of CArBO: Lee et al. 2020, arXiv 2003.10870, section 4). Where the budget suffices for all trials at their mean cost,
cheap ones gain nothing, and the power is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cloudtune.search.acquisition import Belief
from cloudtune.search.acquisition_optimizer import Worth
from cloudtune.search.arrays import Array
from cloudtune.search.dataset import Dataset
from cloudtune.search.encoding import Encoding
from cloudtune.search.strategy import Observation
from cloudtune.search.surrogate import LEAST, Surrogate
from cloudtune.store.records import TrialState

_LEAST_SHARE = 1e-4
"""The least cost that counts, as a share of the greatest: that of a trial which was measured as free."""

_SURE = 1.5
"""The cost of all trials, as a multiple of the budget, from which it is certain that the budget ends the search."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a search may spend.

    Attributes:
        cost: of all trials together, in the unit of `Observation.cost`; None where that is not limited.
        trials: their number; None where that is not limited.
    """

    cost: float | None
    trials: int | None

    def strength(self, spent: float, ended: int, mean: float) -> float:
        """Return the power of the expected cost, from 0 to 1.

        Args:
            spent: the cost of all trials that have ended.
            ended: their number.
            mean: the mean cost of a trial.
        """
        if self.cost is None:
            return 1.0 if self.trials is None else max(1.0 - ended / self.trials, 0.0)
        left = max(1.0 - spent / self.cost, 0.0)
        if self.trials is None or not left:
            return left
        needed = max(self.trials - ended, 0) * mean / (self.cost - spent)
        return left * min(max((needed - 1.0) / (_SURE - 1.0), 0.0), 1.0)


class _LogCost(Surrogate):
    """The surrogate of the logarithm of the cost, see `Costs`."""

    def targets(self, count: int) -> Array:
        return self.scaled(count)[0]

    def scaled(self, count: int) -> tuple[Array, float]:
        """Return the targets of the first `count` observations, of variance 1, and the logarithm that the unit stands for."""
        costs = self._dataset.losses(count)[:, 0]
        floor = max(float(costs.max(initial=0.0)) * _LEAST_SHARE, 1e-300)
        logarithms = np.log(np.maximum(costs, floor))
        deviation = float(logarithms.std())
        if deviation < 1e-9:
            return np.zeros(count), 0.0
        return (logarithms - logarithms.mean()) / deviation, deviation


class Costs:
    """What trials have cost, and a surrogate of that: a Gaussian process of the logarithm.

    Args:
        encoding: of the space.
        means: what may be spent.
    """

    def __init__(self, encoding: Encoding, means: Means) -> None:
        self._means = means
        self._dataset = Dataset(encoding, 1)
        self._surrogate = _LogCost(encoding, self._dataset, 0)
        self._spent, self._ended, self._priced = 0.0, 0, 0

    def add(self, observations: Sequence[Observation]) -> None:
        """Learn what trials cost: all of them for the budget, those that came to their end for the surrogate."""
        told = [(each, each.cost) for each in observations if each.cost is not None]
        self._ended += sum(each.number >= 0 for each in observations)
        self._priced += len(told)
        self._spent += sum(cost for _, cost in told)
        ended = [(each, cost) for each, cost in told if each.state is TrialState.COMPLETED]
        self._dataset.add([replace(each, losses=(cost,), violations=()) for each, cost in ended])

    def thrift(self) -> "Thrift | None":
        """Return what divides the worth of a trial by its expected cost; None where that makes no difference, or is not known."""
        count = len(self._dataset)
        if count < LEAST:
            return None
        strength = self._means.strength(self._spent, self._ended, self._spent / self._priced)
        unit = self._surrogate.scaled(count)[1]
        if not strength or not unit:
            return None
        posteriors, weights = self._surrogate.models()
        return Thrift(posteriors, weights, -strength * unit)


class Thrift(Worth):
    """Computes the weighted mean of what several processes expect, times a factor, and its derivatives by the features.

    Args:
        posteriors: the processes.
        weights: one each, of sum 1.
        factor: such as the negative power of the cost.
    """

    def __init__(self, posteriors: Sequence[Belief], weights: Array, factor: float) -> None:
        self._parts = list(zip(posteriors, (weights * factor).tolist(), strict=True))

    def __call__(self, features: Array) -> Array:
        """Return m numbers at m × f points."""
        return np.asarray(
            sum((each.predict(features)[0] * factor for each, factor in self._parts), np.zeros(len(features)))
        )

    def slopes(self, features: Array) -> tuple[Array, Array]:
        """Return m numbers at m × f points, and their m × f derivatives by the features."""
        total, slope = np.zeros(len(features)), np.zeros_like(features)
        for each, factor in self._parts:
            mean, _, by_mean, _ = each.slopes(features)
            total += factor * mean
            slope += factor * by_mean
        return total, slope
