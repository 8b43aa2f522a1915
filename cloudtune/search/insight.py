"""What a Gaussian process makes of the finished trials of a run: where it expects the best, and the effect of each parameter.

The process is the one of the Bayesian search, of whatever strategy the trials are. Its cost is bounded: of many trials it takes
an even selection in the order in which they were suggested, never by their values: those of the best of many noisy trials are too
good, and so would be what it expects. It predicts some thousands of points.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import ThreadpoolController

from cloudtune.search.arrays import Array
from cloudtune.search.encoding import Encoding
from cloudtune.search.strategy import Observation
from cloudtune.space.space import Space, Values
from cloudtune.store.records import TrialState

LEAST = 10
"""Fewest trials of which there is an insight."""

_MOST = 400
"""Most trials that the process takes."""

_CANDIDATES = 3000
"""Random settings among which the best is looked for, beside the trials and what is near the best of them."""

_NEAR = 400
_STEPS = (0.02, 0.1)
"""Settings near the best trials, and how far from them, in positions on the axes."""

_LEAST_VARIANCE = 1e-9

_GRID = 21
_BACKGROUND = 60
"""Values of a parameter, and settings of all others, over which its effect is averaged."""

_SEED = 0
"""Of random settings: a run's report does not change."""

_ALIKE = 10
"""Trials by whose surprises the deviation of a prediction is corrected."""

_WIDTH = 1.812
"""Deviations on either side of the mean that hold 90 % of Student's distribution of `_ALIKE` degrees of freedom."""

_ROUGH = 0.4
"""Share of what trials are off, when they are left out, that every deviation has: without repetitions, what is rough and what is
noise look alike, so that neither the value of a trial nor the mean around it is sure."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A loss as the process expects it.

    Attributes:
        parameters: of the setting.
        loss: the median.
        low: the end of its 90 % interval on the better side.
        high: the other end.
    """

    parameters: Values
    loss: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Effect:
    """The partial dependence of the loss on one dimension (Friedman 2001), where the dimension exists.

    Attributes:
        dimension: its index in the space.
        positions: on its axis, from 0 to 1.
        losses: the median of what is expected, over the settings of the other parameters.
        low, high: the ends of its 90 % interval, as of a setting of its own: those of single settings on average.
    """

    dimension: int
    positions: list[float]
    losses: list[float]
    low: list[float]
    high: list[float]


class _Process:
    """The Gaussian processes of one quantity, as the mixture of a surrogate.

    Args:
        encoding: of the space.
        trials: the parameters of each.
        values: a finite one for each, lower is better.
    """

    def __init__(self, encoding: Encoding, trials: Sequence[Values], values: Array) -> None:
        self._encoding = encoding
        # They load scipy, which a report of a few trials does without.
        from cloudtune.search.dataset import Dataset  # noqa: PLC0415
        from cloudtune.search.gp import Posterior  # noqa: PLC0415
        from cloudtune.search.surrogate import NOISY_PRIORS, Surrogate  # noqa: PLC0415
        from cloudtune.search.warping import warp  # noqa: PLC0415

        self._dataset = Dataset(encoding, 1)
        self._dataset.add(
            [
                Observation(at, each, TrialState.COMPLETED, (float(value),))
                for at, (each, value) in enumerate(zip(trials, values, strict=True))
            ]
        )
        models, self._weights = Surrogate(encoding, self._dataset, 0, priors=NOISY_PRIORS).models()
        self._models = [each for each in models if isinstance(each, Posterior)]  # all: there are no related experiments
        self._noise = float(np.dot(self._weights, [each.noise for each in self._models]))
        left, around = self._mixture([each.left_out() for each in self._models])
        by_mean = np.argsort(left, kind="stable")
        surprise = np.square(self._models[0].targets - left)
        self._left = left[by_mean]
        self._summed = np.cumsum(
            np.vstack([np.zeros(2), np.column_stack([surprise, np.square(around)])[by_mean]]), axis=0
        )
        order = np.argsort(values, kind="stable")
        self._targets, self._values = warp(values)[order], values[order]

    @property
    def rows(self) -> Array:
        """The trials as n × d positions."""
        return self._dataset.rows

    def predict(self, rows: Array) -> tuple[Array, Array]:
        """Return the means and the deviations of warped values, without noise, at m × d positions.

        The process is surer of itself than it may be, most of all about the best, where a function often has an edge. So the
        deviations are corrected by what it says of each trial from all others: where those of about the same expected value
        are further from it than its deviation and the noise explain, the rest is laid to the function.
        """
        features = self._encoding.features(rows)
        mean, deviation = self._mixture([each.predict(features) for each in self._models])
        variance = np.square(deviation)
        seen, said = self._off(mean)
        function = np.maximum(said - self._noise, _LEAST_VARIANCE)
        more = np.maximum(seen - said, 0.0) * np.minimum(1.0, variance / function)  # nowhere more than was seen
        return mean, np.sqrt(variance + more + _ROUGH * seen)

    def _mixture(self, parts: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
        """Return the means and the standard deviations of the weighted models, from those of each."""
        means, deviations = np.array([each[0] for each in parts]), np.array([each[1] for each in parts])
        mean = self._weights @ means
        return mean, np.sqrt(self._weights @ (np.square(deviations) + np.square(means - mean)))

    def _off(self, mean: Array) -> tuple[Array, Array]:
        """Return by how much trials of about m expected values are off when they are left out, and what was said of it: variances."""
        count = len(self._left)
        size = min(_ALIKE, count)
        first = np.clip(np.searchsorted(self._left, mean) - size // 2, 0, count - size)
        seen, said = ((self._summed[first + size] - self._summed[first]) / size).T
        return seen, said

    def unwarped(self, warped: Array) -> Array:
        """Return values for warped ones; beyond the best they go on as in the better half, where the warping is linear."""
        targets, values = self._targets, self._values
        middle = (len(values) + 1) // 2
        width = targets[middle - 1] - targets[0]
        slope = (values[middle - 1] - values[0]) / width if width > 0 else 0.0
        beyond = values[0] + slope * (warped - targets[0])
        return np.asarray(np.where(warped < targets[0], beyond, np.interp(warped, targets, values)))


class Insight:
    """What a Gaussian process makes of trials.

    Args:
        space: of the trials.
        trials: parameters and finite loss (lower is better) of each, in the order in which they were suggested. Those that are
            not of the space are left out.
        violations: by how much each trial violates the constraints, above 0 if it does and below if not; None without any.
            The best is then looked for where none is expected.

    Attributes:
        count: how many trials the process takes.
    """

    def __init__(
        self, space: Space, trials: Sequence[tuple[Values, float]], violations: Sequence[float] | None = None
    ) -> None:
        self._space, self._encoding = space, Encoding(space)
        beyond = [0.0] * len(trials) if violations is None else violations
        pairs = zip(trials, beyond, strict=True)
        kept = _selection([(values, loss, far) for (values, loss), far in pairs if space.contains(values)])
        self.count = len(kept)
        if self.ready:
            self._blas = _all_blas()
            with self._blas.limit(limits=1):
                settings = [values for values, _, _ in kept]
                self._process = _Process(self._encoding, settings, np.array([loss for _, loss, _ in kept]))
                known = [(values, far) for values, _, far in kept if math.isfinite(far)]
                bounded = violations is not None and len({far for _, far in known}) > 1
                far = np.array([far for _, far in known])
                self._bound = _Process(self._encoding, [values for values, _ in known], far) if bounded else None

    @property
    def ready(self) -> bool:
        """Whether there are enough trials, and something varies."""
        return self.count >= LEAST and bool(self._encoding.searched)

    def expected(self, values: Values) -> Expected:
        """Return the loss that is expected of a setting of the space."""
        row = self._encoding.rows([values])
        with self._blas.limit(limits=1):
            (mean,), (deviation,) = self._process.predict(row)
        ends = self._process.unwarped(np.array([mean - _WIDTH * deviation, mean, mean + _WIDTH * deviation]))
        return Expected(self._encoding.values(row[0]), float(ends[1]), float(ends[0]), float(ends[2]))

    def best(self) -> Expected | None:
        """Return the setting that is surest to be good: the worse end of its interval is the lowest.

        It is looked for among the trials, random settings, and those near the best trials: the lowest mean of so many would be
        that of a setting of which little is known. With constraints, among those of which no violation is expected; None without such a setting.
        """
        rows, source = self._process.rows, np.random.default_rng(_SEED)
        with self._blas.limit(limits=1):
            best = rows[np.argsort(self._process.predict(rows)[0], kind="stable")[:5]]
            steps = source.choice(_STEPS, (_NEAR, 1)) * source.standard_normal((_NEAR, rows.shape[1]))
            near = np.clip(np.repeat(best, -(-_NEAR // len(best)), axis=0)[:_NEAR] + steps, 0.0, 1.0)
            drawn = source.random((_CANDIDATES, rows.shape[1]))
            found = np.vstack([rows, self._encoding.snap(np.vstack([near, drawn]))])
            mean, deviation = self._process.predict(found)
            kept = np.ones(len(found), dtype=bool)
            if self._bound is not None:
                kept = self._bound.unwarped(self._bound.predict(found)[0]) <= 0
        order = (index for index in np.argsort(mean + _WIDTH * deviation, kind="stable") if kept[index])
        chosen = (values for index in order if self._space.contains(values := self._encoding.values(found[index])))
        first = next(chosen, None)
        return None if first is None else self.expected(first)

    def effect(self, dimension: int) -> Effect | None:
        """Return the effect of a dimension; None where no trial has it.

        Args:
            dimension: its index in the space.
        """
        rows, source = self._process.rows, np.random.default_rng(_SEED)
        there = rows[~np.isnan(rows[:, dimension])]
        if not len(there):
            return None
        some = there[source.permutation(len(there))[:_BACKGROUND]]
        levels = self._encoding.levels[dimension]
        grid = np.linspace(0.0, 1.0, _GRID) if levels is None or len(levels) > 2 * _GRID else levels
        points = np.repeat(some, len(grid), axis=0)
        points[:, dimension] = np.tile(grid, len(some))
        with self._blas.limit(limits=1):
            mean, deviation = self._process.predict(points)
        middle = mean.reshape(len(some), -1).mean(axis=0)
        around = _WIDTH * deviation.reshape(len(some), -1).mean(axis=0)
        ends = (middle - around, middle, middle + around)
        low, median, high = (self._process.unwarped(each).tolist() for each in ends)
        return Effect(dimension, grid.tolist(), median, low, high)


def _all_blas() -> ThreadpoolController:
    """Return what bounds the threads of linear algebra: numpy's, and scipy's, which brings a library of its own."""
    import scipy.linalg  # noqa: F401, PLC0415  # only a library that is loaded is bounded

    return ThreadpoolController().select(user_api="blas")


def _selection(trials: Sequence[tuple[Values, float, float]]) -> list[tuple[Values, float, float]]:
    count = len(trials)
    return list(trials) if count <= _MOST else [trials[index * count // _MOST] for index in range(_MOST)]
