"""A space as arrays: trials as rows of positions, and rows as the features that a kernel compares."""

import math
from collections.abc import Sequence

import numpy as np

from cloudtune.search.arrays import Array, Indices, Mask
from cloudtune.space.parameters import same_scalar
from cloudtune.space.space import Space, Values

MAX_LEVELS = 256
"""Values of a finite axis up to which its levels are searched one by one; a longer one is searched like a continuum."""

_ABSENCE = math.sqrt(0.75)
"""The coordinate of an absent ordered dimension beside the middle of its axis: at a distance of 1 from both ends."""


class Encoding:
    """Translates many trials at once between values, rows and features.

    A trial is a row of positions from 0 to 1, one per dimension of the space, NaN where the dimension does not exist.
    Its *features* are such that the kernel's distance is Euclidean, without which the kernel would not be positive
    definite: an ordered dimension is its position (and, where it can be absent, one more axis for that), a categorical
    one a corner of a simplex with edges of length 1, of which absence is one more corner.

    Args:
        space: to be translated.

    Attributes:
        size: the number d of dimensions.
        searched: the indices of the dimensions with more than one value.
        owner: the dimension that each feature belongs to; dimensions of a single value have none.
        levels: by dimension, the positions of its values, if they are at most `MAX_LEVELS`; else None.
        ordered: by dimension, whether near positions mean near values.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        axes = [dimension.axis for dimension in space.dimensions]
        self.size = len(axes)
        self.ordered: Mask = np.array([axis.ordered for axis in axes])
        self.levels: list[Array | None] = [
            np.array([axis.position(value) for value in axis.grid(1)])
            if axis.size is not None and axis.size <= MAX_LEVELS
            else None
            for axis in axes
        ]
        self.searched = [index for index, axis in enumerate(axes) if axis.size != 1]
        self._edges = [None if each is None else (each[1:] + each[:-1]) / 2 for each in self.levels]
        self._conditions = [self._conditions_of(index) for index in range(self.size)]
        self.owner = np.array([index for index in self.searched for _ in range(self._width(index))], dtype=int)

    def _conditions_of(self, index: int) -> list[list[tuple[int, Mask]]]:
        """Return for each parent of a dimension the parent's dimensions, with a mask of their levels that allow the child."""
        conditions = []
        for parent, alloweds in (self.space.dimensions[index].parameter.when or {}).items():
            ways = []
            for other, dimension in enumerate(self.space.dimensions):
                levels = self.levels[other]
                if dimension.name == parent and levels is not None:
                    values = dimension.axis.grid(1)
                    allow = [any(same_scalar(value, allowed) for allowed in alloweds) for value in values]
                    ways.append((other, np.array(allow)))
            conditions.append(ways)
        return conditions

    def _width(self, index: int) -> int:
        """Return the number of features of a dimension."""
        absent = bool(self._conditions[index])
        levels = self.levels[index]
        if self.ordered[index] or levels is None:
            return 1 + absent
        corners = len(levels) + absent
        return 1 if corners == 2 else corners

    def columns(self, index: int) -> Indices:
        """Return the indices of a dimension's features."""
        return np.flatnonzero(self.owner == index)

    def has_level(self, features: Array, index: int, position: float) -> Mask:
        """Return whether each of m × f points has the level at a position of a dimension without an order."""
        columns = self.columns(index)
        if not len(columns):
            return np.ones(len(features), dtype=bool)
        level = int(self.indices(index, np.array([position]))[0])
        if len(columns) == 1:
            return np.asarray(features[:, columns[0]] == level)
        return np.asarray(features[:, columns[level]] > 0)

    # Trials and rows

    def rows(self, trials: Sequence[Values]) -> Array:
        """Return trials as n × d positions, NaN where a dimension does not exist.

        A dimension that should exist but has no value in the trial (of an earlier run without it)
        counts as absent.
        """
        points = [
            [
                dimension.axis.position(values[dimension.name])
                if dimension.active(values) and dimension.name in values
                else math.nan
                for dimension in self.space.dimensions
            ]
            for values in trials
        ]
        return np.array(points, dtype=float).reshape(len(trials), self.size)

    def values(self, row: Array) -> Values:
        """Return the trial nearest to a row of d positions."""
        return self.space.at(np.where(np.isnan(row), 0.5, row).tolist())

    def indices(self, index: int, column: Array) -> Indices:
        """Return the index of the level nearest to each of n positions, for a dimension with levels."""
        edges = self._edges[index]
        assert edges is not None
        return np.searchsorted(edges, column, side="right")

    def snap(self, raw: Array) -> Array:
        """Return the rows of the trials nearest to n × d positions: on the levels, NaN where a dimension does not exist.

        Positions on axes of more than `MAX_LEVELS` values are left as they are.
        """
        points = np.where(np.isnan(raw), 0.5, raw)
        exists = np.ones(points.shape, dtype=bool)
        level: dict[int, Indices] = {}
        for index, levels in enumerate(self.levels):
            if levels is not None:
                level[index] = self.indices(index, points[:, index])
                points[:, index] = levels[level[index]]
            for ways in self._conditions[index]:
                allowed = np.zeros(len(points), dtype=bool)
                for parent, allow in ways:
                    allowed |= exists[:, parent] & allow[level[parent]]
                exists[:, index] &= allowed
        points[~exists] = math.nan
        return points

    # Features

    def features(self, points: Array) -> Array:
        """Return the n × f features of n × d rows."""
        columns: list[Array] = []
        for index in self.searched:
            column = points[:, index]
            absent = np.isnan(column)
            if self.ordered[index] or self.levels[index] is None:
                columns.append(np.where(absent, 0.5, column))
                if self._conditions[index]:
                    columns.append(_ABSENCE * absent)
            else:
                columns += self._corners(index, column, absent)
        return np.stack(columns, axis=1) if columns else np.zeros((len(points), 0))

    def _corners(self, index: int, column: Array, absent: Mask) -> list[Array]:
        levels = self.levels[index]
        assert levels is not None
        corner = np.where(absent, len(levels), self.indices(index, np.where(absent, 0.5, column)))
        count = len(levels) + bool(self._conditions[index])
        if count == 2:
            return [corner.astype(float)]
        return [math.sqrt(0.5) * (corner == each) for each in range(count)]
