"""Bayesian optimisation: Gaussian processes predict from the ended trials which trial improves most.

numpy and scipy are imported with the first model, so that the first trials are launched without them.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Unpack

from cloudtune.search.beliefs import Beliefs
from cloudtune.search.sequence import TrialSequence
from cloudtune.search.strategy import Observation, StrategyContext
from cloudtune.search.unique import UniqueStrategy
from cloudtune.space.region import region_of
from cloudtune.space.space import Space, Values
from cloudtune.spec.beliefs import Belief
from cloudtune.spec.strategies import Bayesian

if TYPE_CHECKING:
    from cloudtune.search.bayesian_model import BayesianModel

_FADING = 10
"""The beliefs' density counts once when one in so many trials has ended (the β of πBO), and less from then on."""

_USUAL_BUDGET = 100

_START, _START_OF_SEVERAL = 1 / 3 + 1e-9, 2 / 3 + 1e-9
"""The greatest share of the budget that the quasi-random start takes: of several objectives a model of few trials visits extremes."""


class BayesianSearch(UniqueStrategy):
    """Suggests quasi-random trials first; then the trial with the highest expected improvement on the best.

    The design follows Google's Vizier (Song et al. 2024, arXiv 2408.11527) and SageMaker's tuner (Perrone et al.
    2021, arXiv 2012.08489); other sources are named where they are used. Pending trials count as if they had
    ended as expected. With two objectives the hypervolume of their Pareto front is improved, of more another
    weighing of them with each suggestion (see `cloudtune.search.scalarized`). With constraints the
    improvement counts as much as the trial is likely to keep them (see `cloudtune.search.constrained`), and before the
    first feasible trial that likelihood alone.

    Args:
        space: what to search.
        startup: quasi-random trials before the model decides; None for one per dimension and one more, from 5 to 20, and at
            most a third of the budget; with constraints two per dimension, and so of several objectives, of these at most two
            thirds of the budget. Trials of earlier runs count. Where related experiments give hints, their best trials come
            first instead, until three have ended.
        prior: where good values are expected, by parameter: the first trial has these values, and the others of the
            start, and of the model, lie the nearer to them the fewer trials have ended (see `cloudtune.search.beliefs`).
        cost_aware: whether cheap trials come first where the budget does not suffice for all (see `cloudtune.search.frugal`).
        context: see `Strategy`.
    """

    spec = Bayesian

    def __init__(
        self,
        space: Space,
        *,
        startup: int | None = None,
        prior: Mapping[str, Belief] | None = None,
        cost_aware: bool = False,
        **context: Unpack[StrategyContext],
    ) -> None:
        super().__init__(space, **context)
        searched = sum(dimension.axis.size != 1 for dimension in space.dimensions)
        wanted = searched + 1 if self.objectives == 1 and not self.constraints else 2 * searched
        default = min(max(5, wanted), 20)
        share = _START if self.objectives == 1 else _START_OF_SEVERAL
        self.startup = startup or (default if self.budget is None else max(3, min(default, int(self.budget * share))))
        self._cost_aware = cost_aware
        self._beliefs = Beliefs(space, prior) if prior else None
        self._model: BayesianModel | None = None
        self._new: list[Observation] = []
        self._hints: list[Observation] = []
        self._earlier = 0
        self._starts = TrialSequence(space, self._point, self.generator)

    def observe(self, observation: Observation) -> None:
        super().observe(observation)
        self._new.append(observation)
        self._earlier += observation.number < 0 and observation.losses is not None

    def hint(self, observation: Observation) -> None:
        self._hints.append(observation)

    def _choose(self, number: int) -> Values | None:
        if not self._hints and number + self._earlier < self.startup:
            return self._start(number)
        from cloudtune.search.bayesian_model import BayesianModel  # noqa: PLC0415  # loads numpy and scipy

        if self._model is None:
            fading = (self.budget or _USUAL_BUDGET) / _FADING
            self._model = BayesianModel(
                self.space,
                self.objectives,
                self._hints,
                self.constraints,
                beliefs=self._beliefs,
                fading=fading,
                means=(self.cost_budget, self.budget) if self._cost_aware else None,
            )
        self._model.learn(self._new)
        self._new = []
        if self._model.ready:
            return self._model.best_trial(list(self.pending.values()), self.generator(number).getrandbits(64))
        hinted = self._model.hinted
        return hinted[number] if number < min(len(hinted), self.startup) else self._start(number)

    def _start(self, number: int) -> Values:
        """Return the n-th trial of the sequence that meets the requirements of the space; with beliefs, the n-th moved there."""
        if self._beliefs is None or not self.space.requirements:
            return self._starts.at(number)
        believed = self.space.at(self._point(number))
        if self.space.allows(believed):
            return believed
        return region_of(self.space).towards(believed, self.generator(number, "start"))

    def _point(self, index: int) -> list[float]:
        """Return the n-th point of a shifted additive recurrence of the generalised golden ratio.

        It fills the cube evenly at every length (Roberts 2018, "The Unreasonable Effectiveness of Quasirandom
        Sequences").
        """
        size = len(self.space.dimensions)
        ratio = 2.0
        for _ in range(60):
            ratio = (1.0 + ratio) ** (1.0 / (size + 1))
        shift = self.generator(0, "shift")
        point = [(shift.random() + (index + 1) * ratio ** -(axis + 1)) % 1.0 for axis in range(size)]
        return point if self._beliefs is None else self._beliefs.drawn(point, centre=index == 0)
