"""Maximise an acquisition function over a space of numbers, levels and conditions."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cloudtune.search.arrays import Array, Indices, Mask
from cloudtune.search.descent import descend
from cloudtune.search.encoding import Encoding

if TYPE_CHECKING:
    from cloudtune.search.feasible import Feasible

LOOKS = 256
"""Random candidates that are evaluated first, and as many again near the best known trials."""

_STARTS = 4
_ROUNDS = 2
_STEPS = 3
_ITERATIONS = 20
_APART = 0.005
"""How far a suggestion keeps from each trial in flight: the root mean square over the dimensions, of axes of length 1."""

_FEW_LEVELS = 12
"""Levels of an ordered axis up to which each is tried; of a longer axis only the neighbours are, after a climb."""


class Worth(Protocol):
    """An acquisition function of features (see `Encoding`)."""

    def __call__(self, features: Array) -> Array:
        """Return m numbers at m × f points."""

    def slopes(self, features: Array) -> tuple[Array, Array]:
        """Return m numbers at m × f points, and their m × f derivatives."""


class AcquisitionOptimizer:
    """Evaluates random candidates, then improves the best of them by steps on the levels and climbs on the continua.

    Vizier and SMAC search likewise: an acquisition function has many local maxima, most of them near
    good trials, and no gradient on a level (Hutter et al. 2011, doi 10.1007/978-3-642-25566-3_40, section 4.3).

    Args:
        encoding: of the space.
        worth: the acquisition function.
        source: of randomness.
        looks: random candidates that are evaluated first, and as many again near the best known trials.
        feasible: tells which rows meet the requirements of the space; None where it has none. Candidates and the
            points of every step are such rows alone; a climb that leaves them ends where it does.
    """

    def __init__(
        self,
        encoding: Encoding,
        worth: Worth,
        source: np.random.Generator,
        looks: int = LOOKS,
        *,
        feasible: "Feasible | None" = None,
    ) -> None:
        self._encoding, self._worth, self._source, self._looks = encoding, worth, source, looks
        self._feasible = feasible
        searched = np.isin(np.arange(encoding.size), encoding.searched)
        few = np.array([levels is not None and len(levels) <= _FEW_LEVELS for levels in encoding.levels])
        self._climbed = np.flatnonzero(encoding.ordered & searched & ~few)
        self._column = np.array([np.flatnonzero(encoding.owner == index)[0] for index in self._climbed], dtype=int)

    def best(self, anchors: Array, taken: Collection[bytes], waiting: Array) -> Array | None:
        """Return the row of the highest value among all that were evaluated.

        Args:
            anchors: n × d rows of the best known trials, near which to look.
            taken: keys (see `keys`) of rows that must not be suggested.
            waiting: q × f features of the trials in flight. Where the model is certain of the optimum, all of a batch
                would lie there, and say the same.

        Returns:
            The row, of d positions; None if every row that was evaluated is taken, or nearly a trial in flight.
        """
        raw = self._candidates(anchors)
        rows, worths = self._look(raw)
        order = np.argsort(-worths, kind="stable")
        starts = self._different(rows, order)
        climbed, climbed_worths = raw[starts], worths[starts]
        for _ in range(_ROUNDS):
            climbed, climbed_worths = self._step(climbed, climbed_worths)
            climbed, climbed_worths = self._climb(climbed, climbed_worths)
        ends = self._encoding.snap(climbed)
        rows, worths = np.vstack([ends, rows]), np.append(climbed_worths, worths)
        for index in np.argsort(-worths, kind="stable"):
            row = rows[index : index + 1]
            if keys(row)[0] not in taken and not self._repeats(row, waiting) and self._allows(row[0]):
                found: Array = row[0]
                return found
        return None

    def _repeats(self, row: Array, waiting: Array) -> bool:
        """Return whether a row is nearly one of the trials in flight."""
        squares = np.square(waiting - self._encoding.features(row)).sum(axis=1)
        return bool(squares.min(initial=np.inf) < _APART**2 * len(self._encoding.searched))

    def _allows(self, row: Array) -> bool:
        return self._feasible is None or self._feasible.exactly(row)

    def _candidates(self, anchors: Array) -> Array:
        """Return the points that are evaluated first: some anywhere, some near the anchors."""
        if self._feasible is None:
            return np.vstack([self._source.random((self._looks, self._encoding.size)), self._near(anchors)])
        near = self._near(anchors)
        filled = np.where(np.isnan(anchors), 0.5, anchors)[np.arange(len(near)) % len(anchors)]
        near = self._feasible.back(filled, near)  # what leaves the region ends at its edge
        near = near[self._feasible(self._encoding.snap(near))]
        return np.vstack([self._feasible.sample(self._source, self._looks), near])

    def _look(self, raw: Array) -> tuple[Array, Array]:
        rows = self._encoding.snap(raw)
        return rows, self._worth(self._encoding.features(rows))

    def _different(self, rows: Array, order: Indices) -> list[int]:
        """Return the first few indices of an order whose rows are different."""
        chosen: dict[bytes, int] = {}
        first = order[: 8 * _STARTS]
        for index, identity in zip(first, keys(rows[first]), strict=True):
            chosen.setdefault(identity, int(index))
        return list(chosen.values())[:_STARTS]

    def _near(self, anchors: Array) -> Array:
        """Return neighbours of the anchors: some coordinates moved by a little or more, levels drawn again."""
        source, size = self._source, self._encoding.size
        filled = np.where(np.isnan(anchors), source.random(anchors.shape), anchors)
        raw: Array = filled[np.arange(self._looks) % len(filled)]
        share = source.choice([1.0 / size, 0.3, 1.0], self._looks)[:, None]
        moved = source.random(raw.shape) < np.maximum(share, 1.0 / size)
        width = 10.0 ** source.uniform(-2.5, -0.5, self._looks)[:, None]
        steps = np.abs(raw + width * source.standard_normal(raw.shape))
        steps = np.minimum(steps, 1.0 - np.abs(1.0 - steps) % 1.0)  # mirror into the cube what leaves it
        anew = source.random(raw.shape) < np.where(self._encoding.ordered, 0.1, 0.5)
        steps = np.where(anew, source.random(raw.shape), np.clip(steps, 0.0, 1.0))
        return np.where(moved, steps, raw)

    # Levels

    def _step(self, raw: Array, worths: Array) -> tuple[Array, Array]:
        """Move each point to the best of its neighbours on the levels while that is better."""
        for _ in range(_STEPS):
            neighbours, origin = self._neighbours(raw)
            if self._feasible is not None and len(neighbours):
                inside = self._feasible(self._encoding.snap(neighbours))
                neighbours, origin = neighbours[inside], origin[inside]
            if not len(neighbours):
                break
            found = self._look(neighbours)[1]
            better = False
            for index in range(len(raw)):
                own = np.flatnonzero(origin == index)
                if len(own) and found[best := own[np.argmax(found[own])]] > worths[index] + 1e-9:
                    raw[index], worths[index], better = neighbours[best], found[best], True
            if not better:
                break
        return raw, worths

    def _neighbours(self, raw: Array) -> tuple[Array, Indices]:
        """Return the points that differ from one of m points by one level, and the index of that point for each."""
        rows = self._encoding.snap(raw)
        found: list[Array] = []
        origin: list[int] = []
        for dimension in self._encoding.searched:
            levels = self._encoding.levels[dimension]
            if levels is None:
                continue
            every = not self._encoding.ordered[dimension] or len(levels) <= _FEW_LEVELS
            for index in np.flatnonzero(~np.isnan(rows[:, dimension])):
                here = int(self._encoding.indices(dimension, rows[index : index + 1, dimension])[0])
                others = range(len(levels)) if every else (here - 1, here + 1)
                for other in others:
                    if other != here and 0 <= other < len(levels):
                        neighbour = raw[index].copy()
                        neighbour[dimension] = levels[other]
                        found.append(neighbour)
                        origin.append(int(index))
        return np.array(found).reshape(len(found), raw.shape[1]), np.array(origin, dtype=int)

    # Continua

    def _climb(self, raw: Array, worths: Array) -> tuple[Array, Array]:
        """Move all points uphill on their continua, by L-BFGS on the sum of their values."""
        rows = self._encoding.snap(raw)
        free: Mask = ~np.isnan(rows[:, self._climbed])
        if not free.any():
            return raw, worths
        features = self._encoding.features(rows)
        shape = free.shape

        def descent(flat: Array) -> tuple[float, Array]:
            features[:, self._column] = np.where(free, flat.reshape(shape), features[:, self._column])
            worth, slope = self._worth.slopes(features)
            return -float(worth.sum()), -np.where(free, slope[:, self._column], 0.0).ravel()

        start = np.where(free, rows[:, self._climbed], 0.5).ravel()
        found, _ = descend(descent, start, [(0.0, 1.0)] * start.size, _ITERATIONS)
        ends = raw.copy()
        ends[:, self._climbed] = np.where(free, found.reshape(shape), raw[:, self._climbed])
        if self._feasible is not None:
            ends = self._feasible.back(raw, ends)
        reached = self._look(ends)[1]
        better = reached > worths
        return np.where(better[:, None], ends, raw), np.where(better, reached, worths)


def keys(rows: Array) -> list[bytes]:
    """Return hashable identities of n × d rows."""
    return [row.tobytes() for row in np.round(np.where(np.isnan(rows), -1.0, rows), 9)]
