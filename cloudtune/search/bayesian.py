"""Bayesian optimisation: a Gaussian process that learns from the finished trials where the next one pays most.

numpy and scipy are loaded with the first model, so that the trials of the start are launched without them.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cloudtune.search.base import Observation, Strategy
from cloudtune.search.draws import RandomSearch
from cloudtune.space import Space, Values
from cloudtune.states import TrialState

if TYPE_CHECKING:
    from cloudtune.search.gp import Array, Hyperparameters

MAX_POINTS = 400
"""Observations that the model takes; of more, the best and the latest."""

_MAX_FIT_POINTS = 200
_MIN_OBSERVED = 3


class BayesianSearch(Strategy):
    """Quasi-random trials first; then the trial of the highest expected improvement under a Gaussian process.

    Trials that are still running count as if they had ended as the model expects. Failed trials count as bad as
    the worst, pruned ones as what they last reported. Several objectives are joined to one by random weights, anew
    for every suggestion (ParEGO, Knowles 2006, doi 10.1109/TEVC.2005.851274).

    Args:
        space: what to search.
        startup: quasi-random trials before the model decides; None for two a dimension, from 5 to 20, and at most
            a third of the budget.
    """

    def __init__(self, space: Space, *, startup: int | None = None, **about: Any) -> None:  # see Strategy
        super().__init__(space, **about)
        searched = sum(dimension.axis.size != 1 for dimension in space.dimensions)
        default = min(max(5, 2 * searched), 20)
        self.startup = startup or (default if self.budget is None else max(3, min(default, self.budget // 3)))
        self._rest = RandomSearch(space, seed=self.seed)
        self._keys: set[tuple[object, ...]] = set()
        self._finite = space.size is not None and space.size <= 10**9
        self._fits: dict[int, Hyperparameters] = {}

    def restore(self, number: int, parameters: Values) -> None:
        super().restore(number, parameters)
        self._rest.restore(number, parameters)
        self._keys.add(self.space.key(parameters))

    def observe(self, observation: Observation) -> None:
        super().observe(observation)
        self._rest.observe(observation)

    def _propose(self, number: int) -> Values | None:
        good = sum(each.losses is not None for each in self.observed.values())
        values = self._start(number) if number < self.startup or good < _MIN_OBSERVED else self._by_model(number)
        if values is None or self._taken(values):
            values = self._rest.suggest(number)  # a finite space that is nearly used up
        if values is not None:
            self._keys.add(self.space.key(values))
            self._rest.restore(number, values)
        return values

    def _taken(self, values: Values) -> bool:
        return self._finite and self.space.key(values) in self._keys

    def _start(self, number: int) -> Values:
        """The n-th point of a shifted additive recurrence of the generalised golden ratio, in plain Python.

        It fills the cube evenly for every length (Roberts 2018, "The Unreasonable Effectiveness of Quasirandom
        Sequences").
        """
        size = len(self.space.dimensions)
        ratio = 2.0
        for _ in range(60):
            ratio = (1.0 + ratio) ** (1.0 / (size + 1))
        shift = self.generator(0, "shift")
        return self.space.at((shift.random() + (number + 1) * ratio ** -(index + 1)) % 1.0 for index in range(size))

    # The model

    def _by_model(self, number: int) -> Values | None:
        import numpy as np  # noqa: PLC0415  # loaded with the first model

        from cloudtune.search.acquisition import log_expected_improvement, maximise  # noqa: PLC0415
        from cloudtune.search.gp import Posterior  # noqa: PLC0415

        known = self._known()
        targets = self._targets(known, number)
        points = self._encode([each.parameters for each in known])
        chosen = self._chosen(targets)
        hyper = self._hyperparameters(points, targets)
        points, targets = points[chosen], targets[chosen]
        categorical = self._categorical()
        pending = list(self.pending.values())
        posterior = Posterior(points, targets, categorical, hyper)
        if pending:
            waiting = self._encode(pending)
            expected = posterior.mean(waiting)
            posterior = Posterior(np.vstack([points, waiting]), np.append(targets, expected), categorical, hyper)
        best = float(np.min(posterior.mean(points)))
        ranked = np.argsort(targets, kind="stable")[:5]
        return maximise(
            self.space,
            lambda candidates: log_expected_improvement(*posterior.predict(candidates), best),
            self._encode,
            [np.nan_to_num(points[index], nan=0.5).tolist() for index in ranked],
            self._taken,
            self.generator(number),
        )

    def _known(self) -> list[Observation]:
        """The observations that say something, in the order in which they came."""
        return [each for each in self.observed.values() if each.losses is not None or each.state is TrialState.FAILED]

    def _targets(self, known: Sequence[Observation], number: int) -> "Array":
        import numpy as np  # noqa: PLC0415

        from cloudtune.search.warp import warp  # noqa: PLC0415

        rows = [each.losses if each.losses is not None else (math.nan,) * self.objectives for each in known]
        table = np.array(rows, dtype=float)
        table = np.where(np.isnan(table), np.nanmax(table, axis=0), table)
        columns = [warp(column) for column in table.T]
        if len(columns) == 1:
            return columns[0]
        source = self.generator(number, "weights")
        weights = np.array([-math.log(1.0 - source.random()) for _ in columns])
        weighted = np.stack([column - column.min() for column in columns]) * (weights / weights.sum())[:, None]
        return warp(weighted.max(axis=0) + 0.05 * weighted.sum(axis=0))

    def _chosen(self, targets: "Array") -> "list[int]":
        """Which observations the model takes: all, or of many the best half and the latest."""
        count = len(targets)
        if count <= MAX_POINTS:
            return list(range(count))
        best = sorted(range(count), key=lambda index: (targets[index], index))[: MAX_POINTS // 2]
        latest = [index for index in range(count - 1, -1, -1) if index not in set(best)]
        return sorted([*best, *latest[: MAX_POINTS - len(best)]])

    def _hyperparameters(self, points: "Array", targets: "Array") -> "Hyperparameters":
        """Those of the observations up to a fixed count that grows by a tenth: fitted seldom, and the same on a resume."""
        from cloudtune.search.gp import differences, fit  # noqa: PLC0415

        count = _refit_point(len(targets))
        if self.objectives > 1 or count not in self._fits:
            chosen = self._chosen(targets[:count])[-_MAX_FIT_POINTS:]
            subset = points[chosen]
            self._fits[count] = fit(differences(subset, subset, self._categorical()), targets[chosen])
        return self._fits[count]

    def _categorical(self) -> Any:  # numpy is loaded late
        import numpy as np  # noqa: PLC0415

        return np.array([not dimension.axis.ordered for dimension in self.space.dimensions])

    def _encode(self, trials: Sequence[Values]) -> "Array":
        import numpy as np  # noqa: PLC0415

        rows = [[math.nan if x is None else x for x in self.space.positions(values)] for values in trials]
        return np.array(rows, dtype=float).reshape(len(trials), len(self.space.dimensions))


def _refit_point(count: int) -> int:
    """The largest number up to `count` of a fixed sequence that grows by one and later by a tenth."""
    point = _MIN_OBSERVED
    while (following := point + max(1, point // 10)) <= count:
        point = following
    return point
