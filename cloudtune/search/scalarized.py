"""Three objectives and more: the improvement of one weighing of them, another for each suggestion.

The hypervolume rewards trials that are extreme in one objective and bad in the others, of which there are the more the more
objectives there are, and takes exponential time. So each suggestion draws weights, and improves the greatest weighted loss (an augmented
Chebyshev scalarisation as in ParEGO: Knowles 2006, doi 10.1109/TEVC.2005.851274), by the process of each objective, as in
qNParEGO (Daulton et al. 2020, arXiv 2006.05078, section 5): over many suggestions the whole front is approached.
"""

from collections.abc import Sequence

import numpy as np

from cloudtune.search.acquisition import Belief
from cloudtune.search.arrays import Array
from cloudtune.search.pareto import front

_DRAWS = 64
"""Values of the objectives that are drawn at each point; half of them mirror the others."""

_SUM = 0.05
"""Share of the sum beside the greatest, without which a trial that is worse in the other objectives would be as good."""

_SOFTNESS = 0.02
"""Width, in ranges of an objective, over which an improvement begins: it has a gradient everywhere (Ament et al. 2023, arXiv 2310.20708)."""

_LEAST = 1e-300
_NARROW = 0.1
"""The least range of an objective, in standard deviations of its losses."""


class LogExpectedScalar:
    """Computes the logarithm of the improvement that is expected of a weighing of several objectives.

    Args:
        posteriors: the processes of the m objectives.
        rivals: n × m losses to improve on, n at least 1.
        weights: m, of sum 1.
    """

    def __init__(self, posteriors: Sequence[Belief], rivals: Array, weights: Array) -> None:
        self._posteriors = posteriors
        known = rivals[front(rivals)]
        self._ideal = known.min(axis=0)
        self._weights = weights / np.maximum(known.max(axis=0) - self._ideal, _NARROW)
        self._best = float(self._scalars(self._weights * (known - self._ideal)).min())
        half = np.random.default_rng(0).standard_normal((_DRAWS // 2, len(posteriors)))
        self._draws = np.vstack([half, -half])

    @staticmethod
    def _scalars(weighed: Array) -> Array:
        """Return the scalarisation of weighed losses, whose last axis are the objectives."""
        scalars: Array = weighed.max(axis=-1) + _SUM * weighed.sum(axis=-1)
        return scalars

    def _weighed(self, means: Array, deviations: Array) -> Array:
        """Return, p × s × m, the draws of the weighed losses at p points, by p × m means and deviations."""
        drawn = means[:, None, :] + deviations[:, None, :] * self._draws - self._ideal
        weighed: Array = self._weights * drawn
        return weighed

    def __call__(self, features: Array) -> Array:
        """Return p numbers at p × f points."""
        means, deviations = np.array([each.predict(features) for each in self._posteriors]).transpose(1, 2, 0)
        gain = (self._best - self._scalars(self._weighed(means, deviations))) / _SOFTNESS
        logarithm: Array = np.log(np.maximum(np.logaddexp(0.0, gain).mean(axis=1), _LEAST))
        return logarithm

    def slopes(self, features: Array) -> tuple[Array, Array]:
        """Return p numbers at p × f points, and their p × f derivatives by the features."""
        predictions = [each.slopes(features) for each in self._posteriors]
        means, deviations = (np.stack([each[at] for each in predictions], axis=1) for at in (0, 1))
        weighed = self._weighed(means, deviations)
        gain = (self._best - self._scalars(weighed)) / _SOFTNESS
        total = np.maximum(np.logaddexp(0.0, gain).mean(axis=1), _LEAST)
        falling = np.exp(-np.logaddexp(0.0, -gain)) / _SOFTNESS  # of the softened improvement, by the scalar
        greatest = weighed == weighed.max(axis=2, keepdims=True)
        by_loss = -falling[:, :, None] * (greatest + _SUM) * self._weights / total[:, None, None]
        of_mean, of_deviation = by_loss.mean(axis=1), (by_loss * self._draws).mean(axis=1)
        slope = np.zeros_like(features)
        for index, (_, _, by_mean, by_deviation) in enumerate(predictions):
            slope += of_mean[:, index : index + 1] * by_mean + of_deviation[:, index : index + 1] * by_deviation
        return np.log(total), slope
