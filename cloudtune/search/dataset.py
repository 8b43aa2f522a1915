"""The observations of a model-based search as arrays."""

import math
from collections.abc import Sequence

import numpy as np

from cloudtune.results.constraints import total_violation
from cloudtune.search.acquisition_optimizer import keys
from cloudtune.search.arrays import Array, Mask
from cloudtune.search.encoding import Encoding
from cloudtune.search.strategy import Observation
from cloudtune.store.records import TrialState

_DOUBT_OF_FAILURE = 0.5
"""Variance that is added for a failed trial, whose machine may have been at fault."""


class Dataset:
    """Observations in the order in which they came, without those that have no losses and did not fail.

    Args:
        encoding: of the space.
        objectives: the number of losses of an observation.
        constrained: whether there are constraints, so that a trial without violations is not known to be feasible.

    Attributes:
        rows: n × d positions.
        features: n × f, see `Encoding`.
        doubt: n variances to be added to the noise, for targets of variance 1.
        usable: the number of observations with losses.
        violation: n sums of what completed trials violate, 0 for feasible ones; infinite for trials that did not
            complete, and for those without a value of a constraint.
        keys: identities of the rows; see `cloudtune.search.acquisition_optimizer.keys`.
    """

    def __init__(self, encoding: Encoding, objectives: int, *, constrained: bool = False) -> None:
        self._constrained = constrained
        self._encoding = encoding
        self.rows = np.empty((0, encoding.size))
        self.features = np.empty((0, len(encoding.owner)))
        self.doubt = np.empty(0)
        self.violation = np.empty(0)
        self.keys: set[bytes] = set()
        self._losses = np.empty((0, objectives))
        self._partial: Mask = np.empty(0, dtype=bool)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def usable(self) -> int:
        return int(np.isfinite(self._losses).all(axis=1).sum())

    def add(self, observations: Sequence[Observation]) -> None:
        """Append observations."""
        useful = [each for each in observations if each.losses is not None or each.state is TrialState.FAILED]
        if not useful:
            return
        rows = self._encoding.rows([each.parameters for each in useful])
        nothing = (math.nan,) * self._losses.shape[1]
        self.rows = np.vstack([self.rows, rows])
        self.keys.update(keys(rows))
        self.features = np.vstack([self.features, self._encoding.features(rows)])
        self._losses = np.vstack([self._losses, [each.losses or nothing for each in useful]])
        failed = [_DOUBT_OF_FAILURE * (each.state is TrialState.FAILED) for each in useful]
        self.doubt = np.append(self.doubt, failed)
        self._partial = np.append(self._partial, [each.state is not TrialState.COMPLETED for each in useful])
        self.violation = np.append(self.violation, [self._violated(each) for each in useful])

    def _violated(self, observation: Observation) -> float:
        known = observation.state is TrialState.COMPLETED and (bool(observation.violations) or not self._constrained)
        return total_violation(observation.violations) if known else math.inf

    def kept(self, count: int, objective: int) -> float:
        """Return the median loss of the feasible ones of the first `count` observations, if all are worse than the median.

        Else, and without constraints, -inf.
        """
        if not self._constrained:
            return -math.inf
        every = self.losses(count)[:, objective]
        losses = every[self.violation[:count] <= 0]
        return float(np.median(losses)) if len(losses) and losses.min() > np.median(every) else -math.inf

    def losses(self, count: int) -> Array:
        """Return the losses of the first `count` observations, count × m, all finite.

        A failed trial counts as bad as the worst that ended. A pruned one was worse than others at the same step:
        its last loss counts, but as no better than the median of those that came to their end, since losses of
        different steps do not compare.
        """
        losses, partial = self._losses[:count], self._partial[:count]
        known = np.where(np.isfinite(losses), losses, math.nan)
        if np.isnan(known).all(axis=0).any():
            return np.zeros_like(losses)
        raised = _raised(known, partial) if partial.any() else known
        return np.where(np.isnan(raised), np.nanmax(raised, axis=0), raised)


def _raised(losses: Array, partial: Mask) -> Array:
    """Return losses of which the partial ones are no better than the median of the others; NaN stands for unknown ones."""
    whole = losses[~partial]
    floor = np.nanmedian(losses if np.isnan(whole).all() else whole, axis=0)
    return np.where(partial[:, None] & ~np.isnan(losses), np.maximum(losses, floor), losses)
