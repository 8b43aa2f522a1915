"""Turn losses of any distribution into targets that suit a Gaussian process."""

import math

import numpy as np
from scipy.special import ndtri

from cloudtune.search.arrays import Array


def warp(losses: Array, kept: float = -math.inf) -> Array:
    """Return losses with their worse half compressed, shifted and scaled to mean 0 and variance 1.

    The half-rank warping of Google Vizier (Song et al. 2024, arXiv 2408.11527, section 4.1): what is better than
    the median keeps its distances, what is worse keeps only its rank, as if it were normally distributed with the
    spread of the better half. So a diverged trial with a loss of 1e300 does not hide the differences that matter.

    Args:
        losses: n finite numbers, lower is better.
        kept: a loss up to which distances are kept as well, where it is worse than the median: that of feasible trials,
            between which a search has to tell, however many better ones violate constraints.
    """
    if not len(losses):
        return losses
    scale = max(float(np.abs(losses).max()), 1e-300)
    values = losses / scale
    median = float(np.median(values))
    middle = max(median, kept / scale)
    better, worse = values <= middle, values > middle
    spread = float(np.sqrt(np.mean(np.square(values[better] - middle)))) or 1.0
    ranks = np.searchsorted(np.sort(values), values, side="left")
    warped = values.copy()
    beyond = ndtri((ranks[worse] + 0.5) / len(values))
    warped[worse] = middle + spread * (beyond - (ndtri(better.mean()) if middle > median and worse.any() else 0.0))
    centred = warped - warped.mean()
    deviation = float(centred.std())
    return centred / deviation if deviation > 1e-12 * spread else np.zeros_like(centred)
