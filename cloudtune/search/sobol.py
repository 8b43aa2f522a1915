"""Sobol search: a scrambled low-discrepancy sequence (Owen 1998; scipy.stats.qmc.Sobol)."""

from typing import Unpack

from scipy.stats import qmc

from cloudtune.search.sequence import TrialSequence
from cloudtune.search.strategy import Strategy, StrategyContext, UnsuitableStrategy
from cloudtune.space.space import Space, Values
from cloudtune.spec.strategies import Sobol


class SobolSearch(Strategy):
    """Suggests as trial n the n-th point of the scrambled sequence of the seed that meets the requirements of the space.

    Raises:
        UnsuitableStrategy: the space has more dimensions than the sequence.
    """

    spec = Sobol
    needs_history = False

    def __init__(self, space: Space, **context: Unpack[StrategyContext]) -> None:
        super().__init__(space, **context)
        if len(space.dimensions) > qmc.Sobol.MAXDIM:
            raise UnsuitableStrategy(f"a Sobol sequence has at most {qmc.Sobol.MAXDIM} dimensions; use random")
        self._engine = qmc.Sobol(len(space.dimensions), scramble=True, seed=self.seed)
        self._trials = TrialSequence(space, self._point, self.generator)

    def _preferred(self, number: int) -> Values:
        return self._propose(number)

    def _propose(self, number: int) -> Values:
        return self._trials.at(number)

    def _point(self, index: int) -> list[float]:
        """Return a point of the sequence."""
        ahead = index - self._engine.num_generated
        if ahead < 0:
            self._engine.reset()
            ahead = index
        if ahead:
            self._engine.fast_forward(ahead)
        return [float(position) for position in self._engine.random(1)[0]]
