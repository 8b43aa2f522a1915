"""What a Bayesian search knows, and which trial it finds most promising."""

from collections.abc import Sequence

import numpy as np
from threadpoolctl import ThreadpoolController

from cloudtune.search.acquisition import LogExpectedImprovement, LogExpectedVolume, LogMixture
from cloudtune.search.arrays import Array, Indices
from cloudtune.search.base import Observation
from cloudtune.search.encoding import Encoding
from cloudtune.search.maximise import LOOKS, Maximiser, Worth, keys
from cloudtune.search.pareto import boxes, crowding, front
from cloudtune.search.records import Records
from cloudtune.search.surrogate import LEAST, Surrogate
from cloudtune.search.transfer import Hints
from cloudtune.space.space import Space, Values

_ANCHORS = 5
"""Best trials that are looked near."""

_COMPARISONS = 40_000
"""Of candidates with observations, about, beyond which fewer candidates are looked at."""

_FRONT = {1: 1, 2: 128, 3: 24, 4: 10}
"""By objectives, the members of a front that are told apart: the number of its boxes grows with the power of them."""


class Model:
    """Surrogates of the objectives, and the search for the trial that is expected to improve them most.

    Args:
        space: what to search.
        objectives: how many losses an observation has.
        hints: trials of other experiments.

    Attributes:
        hinted: the trials that the hints recommend, the best first.
    """

    def __init__(self, space: Space, objectives: int, hints: Sequence[Observation] = ()) -> None:
        self._encoding = Encoding(space)
        # The matrices are small and the cores are the trials': more threads would wait for each other.
        self._blas = ThreadpoolController().select(user_api="blas")
        self._records = Records(self._encoding, objectives)
        known = Hints(self._encoding, objectives)
        for hint in hints:
            known.add(hint)
        self.hinted = known.ranked()
        self._surrogates = [
            Surrogate(self._encoding, self._records, index, known.trend(index)) for index in range(objectives)
        ]

    def learn(self, observations: Sequence[Observation]) -> None:
        """Takes note of how trials ended."""
        self._records.add(observations)

    @property
    def ready(self) -> bool:
        """Whether enough is known to suggest anything."""
        return self._records.usable >= LEAST

    def best_trial(self, pending: Sequence[Values], seed: int) -> Values | None:
        """The most promising trial that is neither observed nor pending; None if all that were looked at are.

        Args:
            pending: trials whose end is not known.
            seed: of what is random in the search.
        """
        with self._blas.limit(limits=1):
            return self._best_trial(self._encoding.rows(pending), seed)

    def _best_trial(self, waiting: Array, seed: int) -> Values | None:
        targets = np.column_stack([surrogate.targets(len(self._records)) for surrogate in self._surrogates])
        worth = self._worth(targets, self._encoding.features(waiting))
        taken = self._records.keys.union(keys(waiting))
        looks = min(max(_COMPARISONS // len(targets), 64), LOOKS)
        maximiser = Maximiser(self._encoding, worth, np.random.default_rng(seed), looks)
        row = maximiser.best(self._records.rows[_anchors(targets)], taken)
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
    """The best few observations: of several objectives, the loneliest of the front."""
    if targets.shape[1] == 1:
        return np.argsort(targets[:, 0], kind="stable")[:_ANCHORS]
    members = front(targets)
    return members[np.argsort(-crowding(targets[members]), kind="stable")[: 2 * _ANCHORS]]


def _free_boxes(targets: Array) -> tuple[Array, Array]:
    """What the front leaves free, up to a little beyond the worst of it."""
    members = targets[front(targets)]
    worst, ideal = members.max(axis=0), members.min(axis=0)
    reference = worst + 0.1 * np.maximum(worst - ideal, 0.1)
    most = _FRONT.get(targets.shape[1], 6)
    lonely = np.argsort(-crowding(members), kind="stable")[:most]
    return boxes(members[lonely], reference)
