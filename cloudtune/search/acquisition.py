"""Acquisition functions: the logarithm of the improvement that is expected of a trial, with its derivatives.

The functions to be minimised are described by Gaussian processes.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from scipy.special import erfcx, log_ndtr, ndtr

from cloudtune.search.acquisition_optimizer import Worth
from cloudtune.search.arrays import Array


class Belief(Protocol):
    """A prediction of a function at every point: normal distributions."""

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Return the expected values and the standard deviations (m each) at m × f points."""

    def slopes(self, features: Array) -> tuple[Array, Array, Array, Array]:
        """Return the expected values and the standard deviations (m each), and their m × f derivatives by the features."""


_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)
_LEAST = 1e-300


def log_improvement(z: Array) -> Array:
    """Return log(φ(z) + z Φ(z)), also where that underflows (Ament et al. 2023, arXiv 2310.20708, eq. 9)."""
    close = z > -1.0
    if close.all():
        return _log_improvement_near(z)
    far = _log_improvement_far(np.minimum(z, -1.0))
    if not close.any():
        return far
    logarithm: Array = np.where(close, _log_improvement_near(np.maximum(z, -1.0)), far)
    return logarithm


def _log_improvement_near(z: Array) -> Array:
    logarithm: Array = np.log(np.exp(-0.5 * z * z - _LOG_SQRT_2PI) + z * np.exp(log_ndtr(z)))
    return logarithm


def _log_improvement_far(z: Array) -> Array:
    ratio = 1.0 + z * math.sqrt(math.pi / 2) * erfcx(-z / math.sqrt(2.0))
    logarithm: Array = -0.5 * z * z - _LOG_SQRT_2PI + np.log(np.maximum(ratio, _LEAST))
    return logarithm


class LogExpectedImprovement:
    """Computes log E[max(best - f, 0)] of a Gaussian process f.

    Args:
        posterior: the process given its data.
        best: the value to improve on.
    """

    def __init__(self, posterior: Belief, best: float) -> None:
        self._posterior, self._best = posterior, best

    def __call__(self, features: Array) -> Array:
        """Return m numbers at m × f points."""
        mean, deviation = self._posterior.predict(features)
        return log_improvement((self._best - mean) / deviation) + np.log(deviation)

    def slopes(self, features: Array) -> tuple[Array, Array]:
        """Return m numbers at m × f points, and their m × f derivatives by the features."""
        mean, deviation, by_mean, by_deviation = self._posterior.slopes(features)
        z = (self._best - mean) / deviation
        logarithm = log_improvement(z)
        steepness = np.exp(log_ndtr(z) - logarithm)[:, None]  # d log_improvement / dz
        relative = by_deviation / deviation[:, None]
        slope = relative - steepness * (by_mean / deviation[:, None] + z[:, None] * relative)
        return logarithm + np.log(deviation), slope


class LogExpectedVolume:
    """Computes the logarithm of the hypervolume that a trial is expected to add to a Pareto front of losses.

    Exact for independent processes: the space that the front does not dominate is cut into boxes, over which the
    expectation is a product of one-dimensional ones (Emmerich et al. 2011, doi 10.1109/CEC.2011.5949880; Daulton et
    al. 2020, arXiv 2006.05078).

    Args:
        posteriors: the processes of the m objectives.
        lower: k × m lower corners of the free boxes (see `cloudtune.search.pareto.boxes`).
        upper: k × m upper corners.
    """

    def __init__(self, posteriors: Sequence[Belief], lower: Array, upper: Array) -> None:
        self._posteriors, self._lower, self._upper = posteriors, lower, upper

    def __call__(self, features: Array) -> Array:
        """Return p numbers at p × f points."""
        volume = np.ones((len(features), len(self._lower)))
        for index, posterior in enumerate(self._posteriors):
            volume *= self._side(index, *posterior.predict(features))
        logarithm: Array = np.log(np.maximum(volume.sum(axis=1), _LEAST))
        return logarithm

    def _side(self, index: int, mean: Array, deviation: Array) -> Array:
        """Return, p × k, how much of a box's side is expected to lie above one objective."""
        mean, deviation = mean[:, None], deviation[:, None]
        above = np.exp(log_improvement((self._upper[:, index] - mean) / deviation))
        below = np.exp(log_improvement(np.maximum((self._lower[:, index] - mean) / deviation, -1e6)))
        side: Array = deviation * np.maximum(above - below, 0.0)
        return side

    def slopes(self, features: Array) -> tuple[Array, Array]:
        """Return p numbers at p × f points, and their p × f derivatives by the features."""
        predictions = [posterior.slopes(features) for posterior in self._posteriors]
        sides = [self._side(index, *prediction[:2]) for index, prediction in enumerate(predictions)]
        total = np.maximum(np.prod(sides, axis=0).sum(axis=1), _LEAST)
        slope = np.zeros_like(features)
        for index, (mean, deviation, by_mean, by_deviation) in enumerate(predictions):
            others = np.prod([side for other, side in enumerate(sides) if other != index], axis=0)
            high = (self._upper[:, index] - mean[:, None]) / deviation[:, None]
            low = np.maximum((self._lower[:, index] - mean[:, None]) / deviation[:, None], -1e6)
            of_mean = (others * (ndtr(low) - ndtr(high))).sum(axis=1)
            of_deviation = (others * (_density(high) - _density(low))).sum(axis=1)
            slope += of_mean[:, None] * by_mean + of_deviation[:, None] * by_deviation
        return np.log(total), slope / total[:, None]


def _density(z: Array) -> Array:
    density: Array = np.exp(-0.5 * z * z - _LOG_SQRT_2PI)
    return density


class LogMixture:
    """Computes the logarithm of the weighted mean of what several models say a trial is worth.

    Args:
        parts: the logarithm of what each model says.
        weights: one per model, of sum 1.
    """

    def __init__(self, parts: Sequence[Worth], weights: Array) -> None:
        self._parts, self._logarithms = parts, np.log(np.maximum(weights, _LEAST))[:, None]

    def __call__(self, features: Array) -> Array:
        """Return m numbers at m × f points."""
        each = self._logarithms + np.stack([part(features) for part in self._parts])
        mixture: Array = np.logaddexp.reduce(each, axis=0)
        return mixture

    def slopes(self, features: Array) -> tuple[Array, Array]:
        """Return m numbers at m × f points, and their m × f derivatives by the features."""
        worths, slopes = zip(*(part.slopes(features) for part in self._parts), strict=True)
        each = self._logarithms + np.stack(worths)
        total = np.logaddexp.reduce(each, axis=0)
        return total, np.einsum("km,kmf->mf", np.exp(each - total), np.stack(slopes))
