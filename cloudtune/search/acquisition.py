"""Where to look next: the expected improvement, and the search for its maximum in a mixed space."""

import random
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import erfcx, log_ndtr

from cloudtune.search.gp import Array
from cloudtune.space import Space, Values

_LOG_SQRT_2PI = 0.5 * np.log(2 * np.pi)

CANDIDATES = 384
"""Random points that are looked at first."""

_STARTS = 4
_ROUNDS = 6
_NEIGHBOURS = 16


def log_expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """log E[max(best - f, 0)] of normal f, also where that underflows (Ament et al. 2023, arXiv 2310.20708, eq. 9)."""
    z = (best - mean) / deviation
    safe = np.maximum(z, -1.0)
    near = np.log(np.exp(-0.5 * safe * safe - _LOG_SQRT_2PI) + safe * np.exp(log_ndtr(safe)))
    far_z = np.minimum(z, -1.0)
    ratio = 1.0 + far_z * np.sqrt(np.pi / 2) * erfcx(-far_z / np.sqrt(2.0))
    far = -0.5 * far_z * far_z - _LOG_SQRT_2PI + np.log(np.maximum(ratio, 1e-300))
    logarithm: Array = np.where(z > -1.0, near, far) + np.log(deviation)
    return logarithm


def maximise(
    space: Space,
    score: Callable[[Array], Array],
    encode: Callable[[Sequence[Values]], Array],
    good: Sequence[Sequence[float]],
    taken: Callable[[Values], bool],
    source: random.Random,
) -> Values | None:
    """The trial of the highest score that is found by random points and by steps from the best of them.

    Args:
        space: what to search.
        score: of n × d positions.
        encode: from trials to positions.
        good: positions to start from besides random ones: the best trials so far.
        taken: whether a trial must not be suggested.
        source: of randomness.

    Returns:
        None if every trial that was looked at is taken.
    """
    pool = [[source.random() for _ in space.dimensions] for _ in range(CANDIDATES)]
    pool += [_step(list(point), source, width) for point in good for width in (0.2, 0.05, 0.01) for _ in range(6)]
    trials, points, scores = _look(space, score, encode, pool, taken)
    if not trials:
        return None
    starts = [points[index] for index in np.argsort(-scores, kind="stable")[:_STARTS]]
    width = 0.1
    for _ in range(_ROUNDS):
        steps = [_step(list(point), source, width) for point in starts for _ in range(_NEIGHBOURS)]
        more, more_points, more_scores = _look(space, score, encode, steps, taken)
        trials, points, scores = (
            [*trials, *more],
            [*points, *more_points],
            np.concatenate([scores, more_scores]),
        )
        starts = [points[index] for index in np.argsort(-scores, kind="stable")[:_STARTS]]
        width *= 0.6
    return trials[int(np.argmax(scores))]


def _look(
    space: Space,
    score: Callable[[Array], Array],
    encode: Callable[[Sequence[Values]], Array],
    pool: Sequence[Sequence[float]],
    taken: Callable[[Values], bool],
) -> tuple[list[Values], list[Sequence[float]], Array]:
    """The free trials at some positions, the positions, and their scores."""
    found = [(values, point) for point in pool if not taken(values := space.at(point))]
    if not found:
        return [], [], np.empty(0)
    trials = [values for values, _ in found]
    return trials, [point for _, point in found], score(encode(trials))


def _step(point: list[float], source: random.Random, width: float) -> list[float]:
    """A neighbour: one or more coordinates moved a little, or drawn anew where a little changes nothing."""
    count = max(1, round(len(point) * source.choice((0.0, 0.3, 1.0))))
    for index in source.sample(range(len(point)), count):
        moved = source.random() if source.random() < 0.15 else point[index] + source.gauss(0.0, width)
        point[index] = min(max(moved, 0.0), 1.0)
    return point
