"""The tree of Parzen estimators of HyperOpt (Bergstra et al. 2011), by HyperOpt's own code (hyperopt.tpe)."""

import math
from typing import Any, Unpack

import numpy as np

from cloudtune.plugins.extras import install
from cloudtune.search.penalty import Penalty
from cloudtune.search.strategy import Observation, Strategy, StrategyContext, UnsuitableStrategy
from cloudtune.space.space import Space, Values
from cloudtune.spec.strategies import HyperoptTpe
from cloudtune.store.records import TrialState

try:
    import hyperopt

    from cloudtune.interop.to_hyperopt import carriers, hyperopt_space, values_from_hyperopt
except ImportError:  # HyperoptSearch says what to install
    hyperopt = None


class HyperoptSearch(Strategy):
    """Suggests what HyperOpt's ``tpe.suggest`` does for the same trials; `hyperopt_space` maps the space.

    A pruned trial counts with its last loss, and a failed one as the worst. A trial that violates constraints counts as
    worse than the feasible ones before it, by how much it violates them. Pending trials count as the worst, too, so that parallel trials keep apart. A cancelled trial does not count.

    Args:
        space: what to search.
        startup: random trials before the estimators decide, at least 1.
        candidates: draws among which the best expected improvement is taken, at least 1.
        gamma: the share of the trials that count as good, times the square root of their number; above 0.

    Raises:
        UnsuitableStrategy: there are several objectives, or HyperOpt is not installed.
    """

    spec = HyperoptTpe

    def __init__(
        self,
        space: Space,
        *,
        startup: int = 20,
        candidates: int = 24,
        gamma: float = 0.25,
        **context: Unpack[StrategyContext],
    ) -> None:
        super().__init__(space, **context)
        if hyperopt is None:
            raise UnsuitableStrategy(f"the hyperopt strategy needs the extra: {install('hyperopt')}")
        if self.objectives > 1:
            raise UnsuitableStrategy("hyperopt searches for one objective; use random, sobol, bayesian or optuna")
        self._settings = {"n_startup_jobs": startup, "n_EI_candidates": candidates, "gamma": gamma}
        self._carriers = carriers(space)
        self._domain = hyperopt.base.Domain(None, hyperopt_space(space))
        self._penalty = Penalty()
        self._documents: list[dict[str, Any]] = []

    def observe(self, observation: Observation) -> None:
        super().observe(observation)
        if observation.state is TrialState.CANCELLED:
            return
        loss = math.inf if observation.state is TrialState.FAILED else self._penalty.of(observation)
        known = math.isfinite(loss)
        result = {"status": hyperopt.STATUS_OK, "loss": loss} if known else {"status": hyperopt.STATUS_FAIL}
        document = self._document(len(self._documents), observation.parameters, result)
        self._documents.append(document | {"state": hyperopt.JOB_STATE_DONE})

    def _document(self, tid: int, values: Values, result: dict[str, object]) -> dict[str, Any]:
        """Return a trial as HyperOpt writes it.

        Args:
            tid: its index in the history, by which HyperOpt tells old trials from new ones.
            values: its parameters.
            result: its status and loss.
        """
        active = {dimension.key for dimension in self.space.active(values)}
        raw = {
            key: [carrier.encode(values[carrier.dimension.name])] if key in active else []
            for key, carrier in self._carriers.items()
        }
        misc = {"tid": tid, "cmd": self._domain.cmd, "idxs": {key: [tid] * len(raw[key]) for key in raw}, "vals": raw}
        (document,) = hyperopt.Trials().new_trial_docs([tid], [None], [result], [misc])
        return dict(document)

    def _preferred(self, number: int) -> Values:
        return self._propose(number)

    def _propose(self, number: int) -> Values:
        trials = hyperopt.Trials()
        documents = [*self._documents]
        for values in self.pending.values():
            waiting = self._document(len(documents), values, {"status": hyperopt.STATUS_RUNNING})
            documents.append(waiting | {"state": hyperopt.JOB_STATE_RUNNING})
        trials.insert_trial_docs(documents)
        trials.refresh()
        seed = self.generator(number).getrandbits(31)
        with np.errstate(divide="ignore", invalid="ignore"):  # it takes logarithms of densities that vanish
            (new,) = hyperopt.tpe.suggest([len(documents)], self._domain, trials, seed, verbose=False, **self._settings)
        return values_from_hyperopt(self.space, hyperopt.base.spec_from_misc(new["misc"]))
