"""Beliefs of the user about where good values lie, as a density over the space that fades as trials end.

The expected improvement is multiplied by the density to a power that shrinks with the number of observations, so that
a belief which is wrong delays the search and does not mislead it for long (πBO: Hvarfner et al. 2022, arXiv 2204.11051).
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from statistics import NormalDist
from typing import TYPE_CHECKING

from cloudtune.space.space import Dimension, Space
from cloudtune.spec.beliefs import Belief, has

if TYPE_CHECKING:
    from cloudtune.search.arrays import Array
    from cloudtune.search.encoding import Encoding

_SHARE = 0.5
"""Of an axis without an order: the share of draws that are the value that is believed in, beside those of all values."""


class Beliefs:
    """The beliefs about a space.

    Args:
        space: what is searched.
        prior: by the parameter's name.
    """

    def __init__(self, space: Space, prior: Mapping[str, Belief]) -> None:
        self._dimensions = space.dimensions
        self._prior = prior
        self.normal = dict(self._normals())
        self.listed = {
            index: (dimension.axis.position(prior[dimension.name].around), math.log(1 + (dimension.axis.size or 1)))
            for index, dimension in enumerate(space.dimensions)
            if self._holds(dimension) and not dimension.axis.ordered
        }

    def _holds(self, dimension: Dimension) -> bool:
        return dimension.name in self._prior and has(dimension.axis, self._prior[dimension.name].around)

    def _normals(self) -> Iterator[tuple[int, NormalDist]]:
        for index, dimension in enumerate(self._dimensions):
            if self._holds(dimension) and dimension.axis.ordered:
                belief = self._prior[dimension.name]
                yield index, NormalDist(dimension.axis.position(belief.around), belief.width(dimension.axis))

    def drawn(self, point: Iterable[float], *, centre: bool) -> list[float]:
        """Return a point of the unit cube, moved so that uniform points have the density of the beliefs.

        Args:
            point: one position a dimension.
            centre: whether to return the values that are believed in themselves.
        """
        moved = list(point)
        for index, normal in self.normal.items():
            low, high = normal.cdf(0.0), normal.cdf(1.0)
            share = min(max(low + moved[index] * (high - low), 1e-12), 1 - 1e-12)
            moved[index] = normal.mean if centre else min(max(normal.inv_cdf(share), 0.0), 1.0)
        for index, (position, _) in self.listed.items():
            rest = (moved[index] - _SHARE) / (1 - _SHARE)
            moved[index] = position if centre or rest < 0 else rest
        return moved


class LogBeliefs:
    """Computes the logarithm of the beliefs' density, times a strength, and its derivatives by the features.

    Args:
        beliefs: about the space.
        encoding: of the space.
        strength: the power of the density.
    """

    def __init__(self, beliefs: Beliefs, encoding: "Encoding", strength: float) -> None:
        self._beliefs, self._encoding, self._strength = beliefs, encoding, strength

    def __call__(self, features: "Array") -> "Array":
        """Return m numbers at m × f points."""
        return self.slopes(features)[0]

    def slopes(self, features: "Array") -> "tuple[Array, Array]":
        """Return m numbers at m × f points, and their m × f derivatives by the features."""
        import numpy as np  # noqa: PLC0415  # the first trials need none of it

        total, slope = np.zeros(len(features)), np.zeros_like(features)
        for index, normal in self._beliefs.normal.items():
            columns = self._encoding.columns(index)
            if len(columns):
                exists = 1.0 if len(columns) == 1 else features[:, columns[1]] == 0
                away = (features[:, columns[0]] - normal.mean) / normal.stdev
                total -= 0.5 * exists * away * away
                slope[:, columns[0]] -= exists * away / normal.stdev
        for index, (position, odds) in self._beliefs.listed.items():
            total += odds * self._encoding.has_level(features, index, position)
        return self._strength * total, self._strength * slope
