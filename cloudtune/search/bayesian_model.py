"""The model of a Bayesian search: surrogates of the objectives, and the most promising trial by them."""

from collections.abc import Sequence

import numpy as np
from threadpoolctl import ThreadpoolController

from cloudtune.search.acquisition import LogExpectedImprovement, LogExpectedVolume, LogMixture
from cloudtune.search.acquisition_optimizer import LOOKS, AcquisitionOptimizer, Worth, keys
from cloudtune.search.arrays import Array, Indices
from cloudtune.search.dataset import Dataset
from cloudtune.search.encoding import Encoding
from cloudtune.search.pareto import boxes, crowding, front
from cloudtune.search.strategy import Observation
from cloudtune.search.surrogate import LEAST, Surrogate
from cloudtune.search.transfer import Hints
from cloudtune.space.space import Space, Values

_ANCHORS = 5
"""Best trials near which candidates are drawn."""

_COMPARISONS = 40_000
"""Pairs of a candidate and an observation, roughly, beyond which fewer candidates are evaluated."""

_FRONT = {1: 1, 2: 128, 3: 24, 4: 10}
"""By the number of objectives, the members of a front that count: the number of boxes grows exponentially."""


class BayesianModel:
    """Holds a surrogate of each objective, and finds the trial that is expected to improve them most.

    Args:
        space: what to search.
        objectives: the number of losses of an observation.
        hints: trials of related experiments.

    Attributes:
        hinted: the trials that the hints recommend, the best first.
    """

    def __init__(self, space: Space, objectives: int, hints: Sequence[Observation] = ()) -> None:
        self._encoding = Encoding(space)
        # The matrices are small, and the cores belong to the trials: more threads would wait for each other.
        self._blas = ThreadpoolController().select(user_api="blas")
        self._dataset = Dataset(self._encoding, objectives)
        known = Hints(self._encoding, objectives)
        for hint in hints:
            known.add(hint)
        self.hinted = known.ranked()
        self._surrogates = [
            Surrogate(self._encoding, self._dataset, index, known.trend(index)) for index in range(objectives)
        ]

    def learn(self, observations: Sequence[Observation]) -> None:
        """Learn how trials ended."""
        self._dataset.add(observations)

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
        worth = self._worth(targets, self._encoding.features(waiting))
        taken = self._dataset.keys.union(keys(waiting))
        looks = min(max(_COMPARISONS // len(targets), 64), LOOKS)
        optimizer = AcquisitionOptimizer(self._encoding, worth, np.random.default_rng(seed), looks)
        row = optimizer.best(self._dataset.rows[_anchors(targets)], taken)
        return None if row is None else self._encoding.values(row)

    def _worth(self, targets: Array, waiting: Array) -> Worth:
        if len(self._surrogates) == 1:
            posteriors, weights = self._surrogates[0].models()
            parts = [LogExpectedImprovement(each.with_pending(waiting), each.best) for each in posteriors]
            return parts[0] if len(parts) == 1 else LogMixture(parts, weights)
        lower, upper = _free_boxes(targets)
        posteriors = []
        for surrogate in self._surrogates:
            models, weights = surrogate.models()
            posteriors.append(models[int(np.argmax(weights))].with_pending(waiting))
        return LogExpectedVolume(posteriors, lower, upper)


def _anchors(targets: Array) -> Indices:
    """Return the indices of the best few observations: for several objectives, the least crowded of the front."""
    if targets.shape[1] == 1:
        return np.argsort(targets[:, 0], kind="stable")[:_ANCHORS]
    members = front(targets)
    return members[np.argsort(-crowding(targets[members]), kind="stable")[: 2 * _ANCHORS]]


def _free_boxes(targets: Array) -> tuple[Array, Array]:
    """Return the boxes that the front does not dominate, up to a little beyond its worst losses."""
    members = targets[front(targets)]
    worst, ideal = members.max(axis=0), members.min(axis=0)
    reference = worst + 0.1 * np.maximum(worst - ideal, 0.1)
    most = _FRONT.get(targets.shape[1], 6)
    lonely = np.argsort(-crowding(members), kind="stable")[:most]
    return boxes(members[lonely], reference)
