"""Constraints in a model-based search: how likely a trial keeps them, by a Gaussian process a bound."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import log_ndtr

from cloudtune.search.acquisition import Belief, LogMixture
from cloudtune.search.acquisition_optimizer import Worth
from cloudtune.search.arrays import Array
from cloudtune.search.dataset import Dataset
from cloudtune.search.encoding import Encoding
from cloudtune.search.strategy import Observation
from cloudtune.search.surrogate import LEAST, Surrogate

_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)

_MISSING = 1.0
"""The least violation that counts for a trial without a value: as if it were beyond its bound by all of it."""


class _Bound(Surrogate):
    """The surrogate of what one bound is violated by, whose targets keep the sign; see `Bound`."""

    def __init__(self, encoding: Encoding, dataset: Dataset) -> None:
        super().__init__(encoding, dataset, 0)
        self.violations = np.empty(0)

    def targets(self, count: int) -> Array:
        return self.scaled(count)[0]

    def worth(self, targets: Array) -> Array:
        nearness: Array = np.abs(targets - self.scaled(len(targets))[1])
        return nearness

    def scaled(self, count: int) -> tuple[Array, float]:
        """Return the targets of the first `count` observations, and the value that 0 becomes."""
        known = self.violations[:count]
        worst = np.max(known, where=np.isfinite(known), initial=_MISSING)
        finite = np.where(np.isfinite(known), known, worst)
        unit = float(np.median(np.abs(finite))) or 1.0
        bent = np.sign(finite) * np.log1p(np.abs(finite) / unit)
        mean, deviation = float(bent.mean()), float(bent.std())
        if deviation < 1e-12:
            return np.zeros(count), math.copysign(1.0, -mean)
        return (bent - mean) / deviation, -mean / deviation


class Bound:
    """What is known of one bound: how far completed trials were beyond it, and a surrogate of that.

    The violations keep their sign and lose their tails, as what matters is on which side of 0 a trial will lie (the
    bilog transformation of Eriksson & Poloczek 2021, arXiv 2002.08526, section 3), and are scaled to mean 0 and variance 1.

    Args:
        encoding: of the space.
        index: of the bound among the violations of an observation.
    """

    def __init__(self, encoding: Encoding, index: int) -> None:
        self._index = index
        self._dataset = Dataset(encoding, 1)
        self._surrogate = _Bound(encoding, self._dataset)

    def add(self, observations: Sequence[Observation]) -> None:
        """Append the observations that tell of this bound: those of completed trials."""
        told = [each for each in observations if each.violations]
        beyond = [each.violations[self._index] for each in told]
        self._dataset.add([replace(each, losses=(value,)) for each, value in zip(told, beyond, strict=True)])
        self._surrogate.violations = np.append(self._surrogate.violations, beyond)

    def feasibility(self, waiting: Array) -> Worth | None:
        """Return the logarithm of the probability that a trial keeps the bound; None where too little is known.

        Args:
            waiting: features of the pending trials.
        """
        count = len(self._dataset)
        if count < LEAST:
            return None
        limit = self._surrogate.scaled(count)[1]
        posteriors, weights = self._surrogate.models()
        parts = [LogFeasibility(each.with_pending(waiting), limit) for each in posteriors]
        return parts[0] if len(parts) == 1 else LogMixture(parts, weights)


class LogFeasibility:
    """Computes log P[f <= limit] of a Gaussian process f.

    Args:
        posterior: the process given its data.
        limit: the greatest value that is allowed.
    """

    def __init__(self, posterior: Belief, limit: float) -> None:
        self._posterior, self._limit = posterior, limit

    def __call__(self, features: Array) -> Array:
        """Return m numbers at m × f points."""
        mean, deviation = self._posterior.predict(features)
        logarithm: Array = log_ndtr((self._limit - mean) / deviation)
        return logarithm

    def slopes(self, features: Array) -> tuple[Array, Array]:
        """Return m numbers at m × f points, and their m × f derivatives by the features."""
        mean, deviation, by_mean, by_deviation = self._posterior.slopes(features)
        z = (self._limit - mean) / deviation
        logarithm: Array = log_ndtr(z)
        steepness = np.exp(-0.5 * z * z - _LOG_SQRT_2PI - logarithm) / deviation
        return logarithm, -steepness[:, None] * (by_mean + z[:, None] * by_deviation)


class LogProduct:
    """Computes the logarithm of a product of acquisition functions, each of which is a logarithm.

    Of expected improvement and probabilities of feasibility that is the constrained expected improvement of
    independent constraints (Gardner et al. 2014, "Bayesian Optimization with Inequality Constraints", eq. 6; Gelbart et
    al. 2014, arXiv 1403.5607).

    Args:
        parts: at least one.
    """

    def __init__(self, parts: Sequence[Worth]) -> None:
        self._parts = parts

    def __call__(self, features: Array) -> Array:
        """Return m numbers at m × f points."""
        total: Array = np.sum([part(features) for part in self._parts], axis=0)
        return total

    def slopes(self, features: Array) -> tuple[Array, Array]:
        """Return m numbers at m × f points, and their m × f derivatives by the features."""
        worths, slopes = zip(*(part.slopes(features) for part in self._parts), strict=True)
        return np.sum(worths, axis=0), np.sum(slopes, axis=0)
