"""A Gaussian process over mixed and conditional spaces.

The kernel is Matérn-5/2 with one length scale a dimension (ARD). Two trials differ in an ordered dimension by the
distance of their positions, in a categorical one by 0 or 1, and by up to 1 also where a conditional dimension exists
in only one of them. Hyperparameters are at the maximum of the posterior (MAP), found by L-BFGS with the analytic
gradient; the prior of the length scales grows with the number of dimensions (Hvarfner et al. 2024, arXiv 2402.02229).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

Array = NDArray[np.float64]

_JITTER = 1e-8
_CENTRE, _ABSENCE = 0.5, 0.75
"""Where an absent dimension stands: beside the middle of its axis, at a squared distance of 1 from both ends. So the
squared differences are those of points in a Euclidean space, without which the kernel would not be positive."""
_MAX_ITERATIONS = 40
_SQRT5 = math.sqrt(5.0)


def differences(left: Array, right: Array, categorical: NDArray[np.bool_]) -> Array:
    """Squared differences a dimension.

    Args:
        left: n points of d positions; NaN where a dimension does not exist.
        right: m points of d positions.
        categorical: which of the d dimensions have no order.

    Returns:
        d × n × m numbers from 0 to 1.
    """
    absent_one, absent_other = np.isnan(left.T)[:, :, None], np.isnan(right.T)[:, None, :]
    one, other = (
        np.nan_to_num(left.T, nan=_CENTRE)[:, :, None],
        np.nan_to_num(right.T, nan=_CENTRE)[:, None, :],
    )
    squares = np.square(one - other)
    squares[categorical] = (one[categorical] != other[categorical]).astype(float)
    apart: Array = np.minimum(squares + _ABSENCE * (absent_one ^ absent_other), 1.0)
    return apart


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """What a Gaussian process needs besides its data.

    Attributes:
        weights: 1 / length scale² of each dimension.
        noise: the variance of the observations, the signal's being 1.
    """

    weights: Array
    noise: float


def fit(squares: Array, targets: Array) -> Hyperparameters:
    """The most probable hyperparameters.

    Args:
        squares: d × n × n squared differences of the observed points.
        targets: n observations of mean about 0 and variance about 1.
    """
    dimensions = len(squares)
    centre = math.sqrt(2.0) + 0.5 * math.log(max(dimensions, 1))
    start = np.concatenate([np.full(dimensions, -2.0 * (centre - 2.0)), [math.log(1e-3)]])
    bounds = [(-12.0, 9.0)] * dimensions + [(math.log(1e-6), math.log(1.0))]
    prior_mean = np.concatenate([np.full(dimensions, -2.0 * centre), [math.log(1e-3)]])
    prior_std = np.concatenate([np.full(dimensions, 2.0 * math.sqrt(3.0)), [2.0]])

    def loss(parameters: Array) -> tuple[float, Array]:
        value, gradient = _negative_log_likelihood(parameters, squares, targets)
        offset = (parameters - prior_mean) / prior_std
        return value + 0.5 * float(offset @ offset), gradient + offset / prior_std

    found: Any = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _MAX_ITERATIONS})
    return Hyperparameters(np.exp(found.x[:-1]), math.exp(found.x[-1]))


def _negative_log_likelihood(parameters: Array, squares: Array, targets: Array) -> tuple[float, Array]:
    weights, noise = np.exp(parameters[:-1]), math.exp(parameters[-1])
    distance = np.tensordot(weights, squares, 1)
    kernel, slope = _matern(distance)
    kernel[np.diag_indices_from(kernel)] += noise + _JITTER
    factor = cho_factor(kernel, lower=True, check_finite=False)
    solved = cho_solve(factor, targets, check_finite=False)
    value = 0.5 * float(targets @ solved) + float(np.log(np.diag(factor[0])).sum())
    # d value / d K = (K⁻¹ - α αᵀ) / 2
    sensitivity = 0.5 * (cho_solve(factor, np.eye(len(targets)), check_finite=False) - np.outer(solved, solved))
    by_weight = weights * np.tensordot(squares, sensitivity * slope, 2)
    by_noise = noise * float(np.trace(sensitivity))
    return value, np.append(by_weight, by_noise)


def _matern(distance: Array) -> tuple[Array, Array]:
    """The kernel of squared scaled distances, and its derivative by them."""
    root = _SQRT5 * np.sqrt(distance)
    decay = np.exp(-root)
    return (1.0 + root + root * root / 3.0) * decay, -(5.0 / 6.0) * (1.0 + root) * decay


class Posterior:
    """A Gaussian process given its data.

    Args:
        points: n × d positions.
        targets: n observations of mean about 0 and variance about 1.
        categorical: which dimensions have no order.
        hyperparameters: see `fit`.
    """

    def __init__(
        self, points: Array, targets: Array, categorical: NDArray[np.bool_], hyperparameters: Hyperparameters
    ) -> None:
        self._points, self._categorical, self._hyper = points, categorical, hyperparameters
        kernel = self._kernel(points)
        kernel[np.diag_indices_from(kernel)] += hyperparameters.noise + _JITTER
        self._factor = cho_factor(kernel, lower=True, check_finite=False)
        self._solved = cho_solve(self._factor, targets, check_finite=False)

    def _kernel(self, points: Array) -> Array:
        return _matern(np.tensordot(self._hyper.weights, differences(points, self._points, self._categorical), 1))[0]

    def mean(self, points: Array) -> Array:
        """The expected value at m points."""
        return self._kernel(points) @ self._solved

    def predict(self, points: Array) -> tuple[Array, Array]:
        """The expected value and the standard deviation, without the noise, at m points."""
        kernel = self._kernel(points)
        half = solve_triangular(self._factor[0], kernel.T, lower=True, check_finite=False)
        variance = np.maximum(1.0 - np.square(half).sum(axis=0), 1e-12)
        return kernel @ self._solved, np.sqrt(variance)
