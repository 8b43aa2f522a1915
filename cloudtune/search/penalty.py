"""One number for loss and violations, for searches that know no constraints."""

import math

from cloudtune.results.constraints import total_violation
from cloudtune.search.strategy import Observation


class Penalty:
    """Ranks feasible trials by their loss, and behind the worst of them those that violate constraints, by how much.

    So two trials compare as by the rules of Deb (2000, doi 10.1016/S0045-7825(99)00389-8), as long as no later feasible
    trial is worse than all before it. For one objective.
    """

    def __init__(self) -> None:
        self._worst = -math.inf

    def of(self, observation: Observation) -> float:
        """Return the number of an ended trial, lower is better; infinite where it has no losses, or not all violations."""
        if observation.losses is None:
            return math.inf
        violation = total_violation(observation.violations)
        if violation > 0:
            return violation + (self._worst if math.isfinite(self._worst) else 0.0)
        self._worst = max(self._worst, observation.losses[0])
        return observation.losses[0]
