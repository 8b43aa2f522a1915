"""The model of a Bayesian search: surrogates of the objectives, and the most promising trial by them."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import ThreadpoolController

from cloudtune.search.acquisition import LogExpectedImprovement, LogExpectedVolume, LogMixture
from cloudtune.search.acquisition_optimizer import LOOKS, AcquisitionOptimizer, Worth, keys
from cloudtune.search.arrays import Array, Indices
from cloudtune.search.beliefs import Beliefs, LogBeliefs
from cloudtune.search.constrained import Bound, LogProduct
from cloudtune.search.dataset import Dataset
from cloudtune.search.encoding import Encoding
from cloudtune.search.pareto import boxes, crowding, front
from cloudtune.search.scalarized import LogExpectedScalar
from cloudtune.search.strategy import Observation
from cloudtune.search.surrogate import LEAST, Surrogate
from cloudtune.search.transfer import Hints
from cloudtune.space.space import Space, Values

if TYPE_CHECKING:
    from cloudtune.search.feasible import Feasible
    from cloudtune.search.frugal import Costs

_ANCHORS = 5
"""Best trials near which candidates are drawn."""

_COMPARISONS = 40_000
"""Pairs of a candidate and an observation, roughly, beyond which fewer candidates are evaluated."""

_EVEN = math.log(0.5)
"""The logarithm of the likelihood above which a pending trial counts as feasible before there is a feasible one."""

_FRONT = 128
"""Members of a front of two objectives that count."""

_VOLUME = 2
"""Objectives up to which the hypervolume is improved; of more, another weighing with each suggestion."""


class BayesianModel:
    """Holds a surrogate of each objective, and finds the trial that is expected to improve them most.

    Args:
        space: what to search.
        objectives: the number of losses of an observation.
        hints: trials of related experiments.
        constraints: the number of violations of a completed trial's observation.
        beliefs: of the user about where good trials lie; None for none.
        fading: the number of observations at which the beliefs' density counts once; it fades as others come.
        means: what all trials may cost, and their number, each None where it is not limited; None where cheap trials are no
            better than others.

    Attributes:
        hinted: the trials that the hints recommend, the best first.
    """

    def __init__(
        self,
        space: Space,
        objectives: int,
        hints: Sequence[Observation] = (),
        constraints: int = 0,
        *,
        beliefs: Beliefs | None = None,
        fading: float = 0.0,
        means: tuple[float | None, int | None] | None = None,
    ) -> None:
        self._encoding = Encoding(space)
        self._feasible = _feasible(self._encoding) if space.requirements else None
        # The matrices are small, and the cores belong to the trials: more threads would wait for each other.
        self._blas = ThreadpoolController().select(user_api="blas")
        self._dataset = Dataset(self._encoding, objectives, constrained=constraints > 0)
        known = Hints(self._encoding, objectives)
        for hint in hints:
            known.add(hint)
        self.hinted = known.ranked()
        self._surrogates = [
            Surrogate(self._encoding, self._dataset, index, known.trend(index)) for index in range(objectives)
        ]

        self._bounds = [Bound(self._encoding, index) for index in range(constraints)]
        self._beliefs, self._fading = beliefs, fading
        self._costs = None if means is None else _costs(self._encoding, means)

    def learn(self, observations: Sequence[Observation]) -> None:
        """Learn how trials ended."""
        self._dataset.add(observations)
        for bound in self._bounds:
            bound.add(observations)
        if self._costs is not None:
            self._costs.add(observations)

    @property
    def ready(self) -> bool:
        """Whether there are enough observations for a suggestion."""
        return self._dataset.usable >= LEAST

    def best_trial(self, pending: Sequence[Values], seed: int) -> Values | None:
        """Return the most promising trial that is neither observed nor pending; None if every candidate is.

        Args:
            pending: the parameters of trials that have not ended.
            seed: of the random candidates.
        """
        with self._blas.limit(limits=1):
            return self._best_trial(self._encoding.rows(pending), seed)

    def _best_trial(self, waiting: Array, seed: int) -> Values | None:
        targets = np.column_stack([surrogate.targets(len(self._dataset)) for surrogate in self._surrogates])
        ahead = self._encoding.features(waiting)
        source = np.random.default_rng(seed)
        weights = source.dirichlet(np.ones(len(self._surrogates))) if len(self._surrogates) > _VOLUME else np.ones(1)
        worth = self._worth(targets, ahead, weights)
        if self._beliefs is not None:
            strength = self._fading / max(len(targets), 1)
            worth = LogProduct([worth, LogBeliefs(self._beliefs, self._encoding, strength)])
        thrift = None if self._costs is None else self._costs.thrift()
        if thrift is not None:
            worth = LogProduct([worth, thrift])
        taken = self._dataset.keys.union(keys(waiting))
        looks = min(max(_COMPARISONS // len(targets), 64), LOOKS)
        optimizer = AcquisitionOptimizer(self._encoding, worth, source, looks, feasible=self._feasible)
        anchors = _anchors(targets, self._dataset.violation if self._bounds else np.zeros(len(targets)))
        row = optimizer.best(self._dataset.rows[anchors], taken, ahead)
        return None if row is None else self._encoding.values(row)

    def _worth(self, targets: Array, waiting: Array, weights: Array) -> Worth:
        likely = [each for bound in self._bounds if (each := bound.feasibility(waiting)) is not None]
        if not likely:
            return self._improvement(targets, waiting, np.arange(len(targets)), weights)
        feasible = np.flatnonzero(self._dataset.violation <= 0)
        if len(feasible):
            return LogProduct([self._improvement(targets, waiting, feasible, weights), *likely])
        hopeful = waiting[LogProduct(likely)(waiting) > _EVEN]
        if len(hopeful) and len(self._surrogates) == 1:  # else trials at once would all go to the same place
            return LogProduct([self._improvement_on(hopeful, waiting), *likely])
        return LogProduct(likely)

    def _improvement(self, targets: Array, waiting: Array, rivals: Indices, weights: Array) -> Worth:
        """Return what a trial is expected to improve, beyond those of the observations that it competes with.

        Args:
            targets: of all observations.
            waiting: features of the pending trials.
            rivals: indices of the observations.
            weights: of the objectives, where they are weighed.
        """
        if len(self._surrogates) == 1:
            return self._improvement_on(self._dataset.features[rivals] if self._bounds else None, waiting)
        posteriors = []
        for surrogate in self._surrogates:
            models, shares = surrogate.models()
            posteriors.append(models[int(np.argmax(shares))].with_pending(waiting))
        if len(self._surrogates) > _VOLUME:
            return LogExpectedScalar(posteriors, targets[rivals], weights)
        return LogExpectedVolume(posteriors, *_free_boxes(targets, rivals))

    def _improvement_on(self, rivals: Array | None, waiting: Array) -> Worth:
        """Return what a trial is expected to improve on the best expected loss at the rivals; None for all observations."""
        posteriors, weights = self._surrogates[0].models()
        parts = []
        for each in posteriors:
            best = each.best if rivals is None else float(each.mean(rivals).min())
            parts.append(LogExpectedImprovement(each.with_pending(waiting), best))
        return parts[0] if len(parts) == 1 else LogMixture(parts, weights)


def _feasible(encoding: Encoding) -> "Feasible":
    from cloudtune.search.feasible import Feasible  # noqa: PLC0415  # few spaces have requirements

    return Feasible(encoding)


def _costs(encoding: Encoding, means: tuple[float | None, int | None]) -> "Costs":
    from cloudtune.search.frugal import Costs, Means  # noqa: PLC0415  # few searches go by costs

    return Costs(encoding, Means(*means))


def _anchors(targets: Array, violation: Array) -> Indices:
    """Return the indices of the best few observations: for several objectives, the least crowded of the front.

    Those that violate constraints are behind those that do not, and among them the less is the better.
    """
    if targets.shape[1] == 1:
        return np.lexsort((targets[:, 0], violation))[:_ANCHORS]
    feasible = np.flatnonzero(violation <= 0)
    if not len(feasible):
        return np.argsort(violation, kind="stable")[: 2 * _ANCHORS]
    members = feasible[front(targets[feasible])]
    return members[np.argsort(-crowding(targets[members]), kind="stable")[: 2 * _ANCHORS]]


def _free_boxes(targets: Array, rivals: Indices) -> tuple[Array, Array]:
    """Return the boxes that the front of some observations does not dominate, up to a little beyond the worst losses.

    The worst are those of the front, and of the one of all observations: else hardly anything counted beside the first
    feasible trials.
    """
    members, whole = targets[rivals][front(targets[rivals])], targets[front(targets)]
    known = np.vstack([members, whole]) if len(rivals) < len(targets) else members
    worst, ideal = known.max(axis=0), known.min(axis=0)
    reference = worst + 0.1 * np.maximum(worst - ideal, 0.1)
    lonely = np.argsort(-crowding(members), kind="stable")[:_FRONT]
    return boxes(members[lonely], reference)
