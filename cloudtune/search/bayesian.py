"""Bayesian optimisation: Gaussian processes learn from the finished trials where the next one pays most.

numpy and scipy are loaded with the first model, so that the trials of the start are launched without them.
"""

from typing import TYPE_CHECKING, Any

from cloudtune.search.base import Observation
from cloudtune.search.fresh import FreshStrategy
from cloudtune.space.space import Space, Values

if TYPE_CHECKING:
    from cloudtune.search.model import Model


class BayesianSearch(FreshStrategy):
    """Quasi-random trials first; then the trial that is expected to improve most on the best.

    The design follows Google's Vizier (Song et al. 2024, arXiv 2408.11527) and SageMaker's tuner (Perrone et al.
    2021, arXiv 2012.08489); what it takes from others is said where it is. Trials that are still running count as if
    they had ended as expected. With several objectives the hypervolume of their front is what is to be improved.

    Args:
        space: what to search.
        startup: quasi-random trials before the model decides; None for two a dimension, from 5 to 20, and at most
            a third of the budget. Trials of earlier runs count. Where other experiments give hints, their best
            trials come first instead, until three have ended.
        about: see `Strategy`.
    """

    def __init__(self, space: Space, *, startup: int | None = None, **about: Any) -> None:  # see Strategy
        super().__init__(space, **about)
        searched = sum(dimension.axis.size != 1 for dimension in space.dimensions)
        default = min(max(5, 2 * searched), 20)
        self.startup = startup or (default if self.budget is None else max(3, min(default, self.budget // 3)))
        self._model: Model | None = None
        self._unheard: list[Observation] = []
        self._hints: list[Observation] = []
        self._earlier = 0

    def observe(self, observation: Observation) -> None:
        super().observe(observation)
        self._unheard.append(observation)
        self._earlier += observation.number < 0 and observation.losses is not None

    def hint(self, observation: Observation) -> None:
        self._hints.append(observation)

    def _idea(self, number: int) -> Values | None:
        if not self._hints and number + self._earlier < self.startup:
            return self._start(number)
        from cloudtune.search.model import Model  # noqa: PLC0415  # loads numpy and scipy

        if self._model is None:
            self._model = Model(self.space, self.objectives, self._hints)
        self._model.learn(self._unheard)
        self._unheard = []
        if self._model.ready:
            return self._model.best_trial(list(self.pending.values()), self.generator(number).getrandbits(64))
        hinted = self._model.hinted
        return hinted[number] if number < min(len(hinted), self.startup) else self._start(number)

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
