"""A Gaussian process on features, with hyperparameters at their most probable values.

The kernel is Matérn-5/2 with one length scale a dimension (ARD). Its hyperparameters are at the maximum of their
posterior (MAP), found by L-BFGS with the analytic gradient (Rasmussen & Williams 2006, eq. 5.9; Snoek et al. 2012,
arXiv 1206.2944). The prior of the length scales grows with the number of dimensions, so that a space of many
dimensions is not one of noise (Hvarfner et al. 2024, arXiv 2402.02229).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack, solve_triangular

from cloudtune.search.arrays import Array, Indices
from cloudtune.search.descent import descend

_SQRT5 = math.sqrt(5.0)
_LEAST_VARIANCE = 1e-12
_JITTERS = (1e-8, 1e-6, 1e-4)
"""Added to the diagonal, as shares of the amplitude: the first always, the others where rounding makes it necessary."""

_AMPLITUDE = (0.0, 0.7)
"""Mean and standard deviation of the logarithm, in a prior for targets of variance 1."""

_NOISE_SPREAD = 1.0
"""Standard deviation of the logarithm of the noise. A wider prior of it lets a model explain everything as noise early on, after
which the search visits nothing but the corners."""

QUIET = 1e-4
"""The median of the noise's prior, for targets of variance 1, where hardly any is expected."""

_WEIGHT_BOUNDS, _AMPLITUDE_BOUNDS, _NOISE_BOUNDS = (-12.0, 9.0), (-3.0, 4.0), (math.log(1e-6), 0.0)
"""Of the logarithms."""

_STEPS = 40
"""Most steps in fitting them from each start."""


@dataclass(frozen=True, slots=True)
class Prior:
    """A prior of length scales and noise: normally distributed logarithms.

    Attributes:
        centre: the mean of log(length scale / √d), on axes of length 1.
        spread: the standard deviation.
        noise: the median of the variance of the noise.
    """

    centre: float
    spread: float
    noise: float = QUIET


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """The hyperparameters of a Gaussian process.

    Attributes:
        weights: 1 / length scale² of each dimension.
        amplitude: the variance of the function.
        noise: the variance of the observations around it.
    """

    weights: Array
    amplitude: float
    noise: float


@dataclass(frozen=True, slots=True)
class Data:
    """The observations that a Gaussian process is conditioned on.

    Attributes:
        features: n × f.
        owner: the dimension of each of the f features, from 0 to d - 1.
        targets: n numbers of mean near 0 and variance near 1.
        doubt: n variances that are added to the noise: the larger, the less an observation says.
    """

    features: Array
    owner: Indices
    targets: Array
    doubt: Array


def squared_distances(left: Array, right: Array) -> Array:
    """Return the n × m squared Euclidean distances of n × f and m × f points."""
    own = (left * left).sum(axis=1)
    others = own if right is left else (right * right).sum(axis=1)
    squares = own[:, None] + others[None, :] - 2.0 * (left @ right.T)
    nonnegative: Array = np.maximum(squares, 0.0, out=squares)
    return nonnegative


def matern(squares: Array) -> Array:
    """Return the Matérn-5/2 correlation of squared scaled distances, elementwise."""
    root = _SQRT5 * np.sqrt(squares)
    decay = np.exp(-root)
    root += 1.0
    root += (5.0 / 3.0) * squares
    root *= decay
    return root


def matern_with_slope(squares: Array) -> tuple[Array, Array]:
    """Return the Matérn-5/2 correlation of squared scaled distances, and its derivative by them, elementwise."""
    root = _SQRT5 * np.sqrt(squares)
    decay = np.exp(-root)
    slope = (1.0 + root) * decay
    return slope + squares * (5.0 / 3.0) * decay, (-5.0 / 6.0) * slope


def _cholesky(covariance: Array, amplitude: float, doubt: Array) -> Array:
    """Return the lower Cholesky factor of an n × n covariance, with the least jitter that makes it positive definite.

    Raises:
        np.linalg.LinAlgError: no jitter does.
    """
    for jitter in _JITTERS:
        disturbed = covariance.copy()
        disturbed.flat[:: len(disturbed) + 1] += doubt + jitter * amplitude
        factor, failure = lapack.dpotrf(disturbed, lower=1, clean=1)
        if not failure:
            lower: Array = factor
            return lower
    raise np.linalg.LinAlgError("the covariance of the observations is not positive")


# Hyperparameters


def fit(data: Data, dimensions: int, prior: Prior, starts: Sequence[Hyperparameters] = ()) -> Hyperparameters:
    """Return the most probable hyperparameters.

    Args:
        data: the observations.
        dimensions: the number d of length scales.
        prior: of the length scales.
        starts: where to start; none for the middle of the prior, once with little noise and once with much.
    """
    loss = _Loss(data, dimensions, prior)
    firsts = [_packed(start) for start in starts] or [loss.likely(1e-3), loss.likely(0.1)]
    bounds = [_WEIGHT_BOUNDS] * dimensions + [_AMPLITUDE_BOUNDS, _NOISE_BOUNDS]
    found = [descend(loss, first, bounds, _STEPS) for first in firsts]
    return _unpacked(min(found, key=lambda each: each[1])[0])


def _packed(hyper: Hyperparameters) -> Array:
    logarithms: Array = np.log(np.append(hyper.weights, [hyper.amplitude, hyper.noise]))
    return logarithms


def _unpacked(packed: Array) -> Hyperparameters:
    return Hyperparameters(np.exp(packed[:-2]), math.exp(packed[-2]), math.exp(packed[-1]))


class _Loss:
    """Computes the negative logarithm of the hyperparameters' posterior and its gradient, by their logarithms."""

    def __init__(self, data: Data, dimensions: int, prior: Prior) -> None:
        self._data = data
        self._dimensions = dimensions
        self._squares = data.features * data.features
        middle = -2.0 * (prior.centre + 0.5 * math.log(max(len(np.unique(data.owner)), 1)))
        self._mean = np.append(np.full(dimensions, middle), [_AMPLITUDE[0], math.log(prior.noise)])
        self._std = np.append(np.full(dimensions, 2.0 * prior.spread), [_AMPLITUDE[1], _NOISE_SPREAD])

    def likely(self, noise: float) -> Array:
        """Return the middle of the prior, with a given noise."""
        return np.append(self._mean[:-1], min(math.log(noise), _NOISE_BOUNDS[1]))

    def __call__(self, packed: Array) -> tuple[float, Array]:
        value, gradient = self._of_likelihood(_unpacked(packed))
        offset = (packed - self._mean) / self._std
        return value + 0.5 * float(offset @ offset), gradient + offset / self._std

    def _of_likelihood(self, hyper: Hyperparameters) -> tuple[float, Array]:
        data = self._data
        scaled = data.features * np.sqrt(hyper.weights)[data.owner]
        correlation, slope = matern_with_slope(squared_distances(scaled, scaled))
        factor = _cholesky(hyper.amplitude * correlation, hyper.amplitude, data.doubt + hyper.noise)
        solved = lapack.dpotrs(factor, data.targets, lower=1)[0]
        value = 0.5 * float(data.targets @ solved) + float(np.log(np.diag(factor)).sum())
        # d value / d K = (K⁻¹ - α αᵀ) / 2
        inverse = lapack.dpotri(factor, lower=1)[0]
        whole = inverse + inverse.T  # above the diagonal of a lower factor, and so of its inverse, is nothing
        whole.flat[:: len(whole) + 1] *= 0.5
        sensitivity = 0.5 * (whole - np.outer(solved, solved))
        slope *= sensitivity
        # Σ H_ij (f_i - f_j)² = 2 (Σ h_i f_i² - fᵀ H f), without a matrix a dimension
        features = data.features
        by_feature = 2.0 * (slope.sum(axis=1) @ self._squares - (features * (slope @ features)).sum(axis=0))
        by_weight = np.bincount(data.owner, by_feature, minlength=self._dimensions)
        by_amplitude = hyper.amplitude * float((sensitivity * correlation).sum())
        by_noise = hyper.noise * float(np.trace(sensitivity))
        return value, np.append(hyper.amplitude * hyper.weights * by_weight, [by_amplitude, by_noise])


# Predictions


class Posterior:
    """A Gaussian process given its data.

    Args:
        data: n observations.
        hyper: the hyperparameters.
        factor: the lower Cholesky factor of the covariance of the first observations, to which the rows of the
            others are added in quadratic time; None to compute all of it in cubic time.

    Attributes:
        factor: the lower Cholesky factor of the covariance of all observations.
    """

    def __init__(self, data: Data, hyper: Hyperparameters, factor: Array | None = None) -> None:
        self._data, self._hyper = data, hyper
        self._scale = np.sqrt(hyper.weights)[data.owner]
        self._scaled = data.features * self._scale
        self.factor = self._whole() if factor is None else self._extended(factor)
        self._solved: Array = lapack.dpotrs(self.factor, data.targets, lower=1)[0]

    def _whole(self) -> Array:
        own = matern(squared_distances(self._scaled, self._scaled))
        return _cholesky(self._hyper.amplitude * own, self._hyper.amplitude, self._data.doubt + self._hyper.noise)

    def _extended(self, factor: Array) -> Array:
        known, amplitude = len(factor), self._hyper.amplitude
        new = self._scaled[known:]
        if not len(new):
            return factor
        cross = amplitude * matern(squared_distances(new, self._scaled[:known]))
        below = solve_triangular(factor, cross.T, lower=True, check_finite=False).T
        own = amplitude * matern(squared_distances(new, new)) - below @ below.T
        whole = np.zeros((len(self._scaled), len(self._scaled)), order="F")
        whole[:known, :known], whole[known:, :known] = factor, below
        whole[known:, known:] = _cholesky(own, amplitude, self._data.doubt[known:] + self._hyper.noise)
        return whole

    def with_pending(self, features: Array) -> "Posterior":
        """Return the process after q more observations of the expected values: less variance there, the same mean.

        Args:
            features: q × f.
        """
        data = self._data
        more = Data(
            np.vstack([data.features, features]),
            data.owner,
            np.append(data.targets, self.mean(features)),
            np.append(data.doubt, np.zeros(len(features))),
        )
        return Posterior(more, self._hyper, self.factor)

    def leave_one_out(self) -> float:
        """Return the summed log density of each target given all others (Rasmussen & Williams 2006, eq. 5.10-5.12).

        Of two models of the same data, the one that predicts better has more of it, also where the other fits the data
        better.
        """
        precision = self._precision()
        return 0.5 * float(np.log(precision).sum() - (self._solved * self._solved / precision).sum())

    def left_out(self) -> tuple[Array, Array]:
        """Return the n expected values and n standard deviations, with the noise, of each target given all others."""
        precision = self._precision()
        return self._data.targets - self._solved / precision, 1.0 / np.sqrt(precision)

    def _precision(self) -> Array:
        """Return the diagonal of the inverse of the covariance of all observations."""
        inverse: Array = lapack.dpotri(self.factor, lower=1)[0]
        return np.diag(inverse)

    @property
    def targets(self) -> Array:
        """The n targets that it is given."""
        return self._data.targets

    @property
    def noise(self) -> float:
        """The variance of the observations around the function."""
        return self._hyper.noise

    @property
    def best(self) -> float:
        """The lowest expected value at the observations."""
        return float(self.mean(self._data.features).min())

    def _covariance(self, features: Array) -> Array:
        """Return the m × n covariance of m × f points with the observations."""
        covariance = matern(squared_distances(features * self._scale, self._scaled))
        covariance *= self._hyper.amplitude
        return covariance

    def mean(self, features: Array) -> Array:
        """Return the m expected values at m × f points."""
        return self._covariance(features) @ self._solved

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Return the m expected values and m standard deviations, without the noise, at m × f points."""
        covariance = self._covariance(features)
        half = solve_triangular(self.factor, covariance.T, lower=True, check_finite=False)
        variance = self._hyper.amplitude - np.einsum("ij,ij->j", half, half)
        return covariance @ self._solved, np.sqrt(np.maximum(variance, _LEAST_VARIANCE))

    def slopes(self, features: Array) -> tuple[Array, Array, Array, Array]:
        """Return the m expected values and m standard deviations at m × f points, and their m × f derivatives."""
        correlation, slope = matern_with_slope(squared_distances(features * self._scale, self._scaled))
        covariance, slope = self._hyper.amplitude * correlation, self._hyper.amplitude * slope
        weighed: Array = lapack.dpotrs(self.factor, covariance.T, lower=1)[0].T
        variance = np.maximum(self._hyper.amplitude - (covariance * weighed).sum(axis=1), _LEAST_VARIANCE)
        deviation = np.sqrt(variance)
        by_mean = self._pulled(features, slope * self._solved)
        by_variance = -2.0 * self._pulled(features, slope * weighed)
        return covariance @ self._solved, deviation, by_mean, by_variance / (2.0 * deviation[:, None])

    def _pulled(self, features: Array, pull: Array) -> Array:
        """Return Σ_i pull_i ∂ squared distance_i / ∂ feature, m × f, of m points with the n observations."""
        scaled = features * self._scale
        pulled: Array = 2.0 * (scaled * pull.sum(axis=1)[:, None] - pull @ self._scaled) * self._scale
        return pulled
