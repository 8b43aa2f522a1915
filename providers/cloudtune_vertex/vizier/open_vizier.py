"""The open google-vizier as a strategy: its algorithms (designers) suggest trials on this machine."""

import importlib
import math
from collections.abc import Callable, Mapping
from typing import Any, Unpack

from cloudtune.plugins.extras import install
from cloudtune.search import Observation, Strategy, StrategyContext, UnsuitableStrategy
from cloudtune.search.penalty import Penalty
from cloudtune.space.codecs import text_of
from cloudtune.space.parameters import Constant, Float, Int, Scalar
from cloudtune.space.space import Space, Values
from cloudtune.space.space_codec import EncodedDimension
from cloudtune.store.records import TrialState
from cloudtune_vertex.vizier.codecs import flat
from cloudtune_vertex.vizier.spec import VizierSpec

Maker = Callable[[Any, int], Any]
"""From a ProblemStatement and a seed to a designer."""


class OpenVizierSearch(Strategy):
    """Suggests what an algorithm of google-vizier does for the same trials.

    Each suggestion is made by a new designer, which is told all ended trials in their order, and the pending ones, and whose
    seed depends on the search's and the trial's number: a resume makes no difference. Conditions are flattened, since its
    algorithms take none. A failed trial is infeasible to it; one that violates constraints is worse than all feasible ones.

    Args:
        space: what to search.
        algorithm: ``gp`` or ``default`` (the Gaussian process bandit), ``random`` or ``nsga2``.

    Raises:
        UnsuitableStrategy: google-vizier is not installed, or the algorithm does not take the space or the objectives.
    """

    spec = VizierSpec
    in_background = True

    def __init__(self, space: Space, *, algorithm: str = "default", **context: Unpack[StrategyContext]) -> None:
        super().__init__(space, **context)
        self._algorithm = "gp" if algorithm == "default" else algorithm
        self._maker = _maker(self._algorithm)
        self._vizier: Any = importlib.import_module("vizier.pyvizier")
        self._told: Any = importlib.import_module("vizier.algorithms")
        if self.constraints and self.objectives > 1:
            raise UnsuitableStrategy("google-vizier takes no constraints beside several objectives; keep one of them")
        self._codec = flat(space)
        self._varying = [each for each in self._codec.encoded_dimensions if not isinstance(each.parameter, Constant)]
        if not self._varying:
            raise UnsuitableStrategy("nothing varies in the space, and google-vizier takes no empty one")
        self._fixed = {
            each.sent_as: text_of(each.parameter.value)
            for each in self._codec.encoded_dimensions
            if isinstance(each.parameter, Constant)
        }
        self._problem = self._statement()
        self._penalty = Penalty()
        self._completed: list[Any] = []

    def _statement(self) -> Any:
        problem = self._vizier.ProblemStatement()
        for each in self._varying:
            _declare(self._vizier, problem.search_space.root, each)
        for index in range(self.objectives):
            goal = self._vizier.ObjectiveMetricGoal.MINIMIZE
            problem.metric_information.append(self._vizier.MetricInformation(f"loss{index}", goal=goal))
        return problem

    def observe(self, observation: Observation) -> None:
        super().observe(observation)
        if observation.state is TrialState.CANCELLED:
            return
        losses = None if observation.state is TrialState.FAILED else observation.losses
        if losses is not None and self.constraints:
            losses = (self._penalty.of(observation),)
        trial = self._trial(len(self._completed) + 1, observation.parameters)
        if losses is None or not all(map(math.isfinite, losses)):
            trial.complete(self._vizier.Measurement(), infeasibility_reason=str(observation.state.value))
        else:
            told = {f"loss{index}": loss for index, loss in enumerate(losses)}
            trial.complete(self._vizier.Measurement(metrics=told))
        self._completed.append(trial)

    def _trial(self, number: int, values: Mapping[str, Scalar]) -> Any:
        sent = self._codec.encode(values)
        parameters = {each.sent_as: _as_told(each, sent[each.sent_as]) for each in self._varying}
        return self._vizier.Trial(id=number, parameters=parameters)

    def _propose(self, number: int) -> Values | None:
        designer = self._maker(self._problem, self.generator(number).getrandbits(31))
        count = len(self._completed)
        pending = [self._trial(count + at, values) for at, values in enumerate(self.pending.values(), 1)]
        designer.update(self._told.CompletedTrials(list(self._completed)), self._told.ActiveTrials(pending))
        (suggestion,) = designer.suggest(1)
        told = {each.sent_as: suggestion.parameters.get_value(each.sent_as) for each in self._varying}
        return self._codec.decode({**self._fixed, **told})


def _declare(vizier: Any, root: Any, encoded: EncodedDimension) -> None:
    """Add a dimension to a search space."""
    match encoded.parameter:
        case Float(low=low, high=high, scale=scale):
            root.add_float_param(encoded.sent_as, float(low), float(high), scale_type=_scale(vizier, scale))
        case Int(low=low, high=high, scale=scale):
            root.add_int_param(encoded.sent_as, low, high, scale_type=_scale(vizier, scale))
        case parameter:
            root.add_categorical_param(encoded.sent_as, [text_of(value) for value in parameter.values])  # type: ignore[union-attr]


def _scale(vizier: Any, scale: str) -> Any:
    return vizier.ScaleType.LOG if scale == "log" else vizier.ScaleType.LINEAR


def _as_told(encoded: EncodedDimension, value: Scalar) -> Scalar:
    return value if isinstance(encoded.parameter, Int | Float) else text_of(value)


def _maker(algorithm: str) -> Maker:
    """Return what makes the designers of an algorithm.

    Raises:
        UnsuitableStrategy: google-vizier, or a package that the algorithm needs, is not installed.
    """
    try:
        return _MAKERS[algorithm]()
    except ImportError as error:
        hint = f"the vizier strategy with local: true needs google-vizier: {install('vizier-local')}"
        raise UnsuitableStrategy(f"{hint} ({error})") from error


def _gp() -> Maker:
    import jax  # noqa: PLC0415
    from vizier._src.algorithms.designers import gp_ucb_pe  # noqa: PLC0415
    from vizier.pyvizier.converters import padding  # noqa: PLC0415

    jax.config.update("jax_enable_x64", True)  # as Vizier's own service does; with less its predictions become NaN
    tens = padding.PaddingSchedule(num_trials=padding.PaddingType.MULTIPLES_OF_10)  # else XLA compiles for each trial

    def make(problem: Any, seed: int) -> Any:
        return gp_ucb_pe.VizierGPUCBPEBandit(problem, rng=jax.random.PRNGKey(seed), padding_schedule=tens)

    return make


def _random() -> Maker:
    from vizier._src.algorithms.designers import random  # noqa: PLC0415

    return lambda problem, seed: random.RandomDesigner(problem.search_space, seed=seed)


def _nsga2() -> Maker:
    from vizier._src.algorithms.evolution import nsga2  # noqa: PLC0415

    return lambda problem, seed: nsga2.NSGA2Designer(problem, seed=seed)


_MAKERS: Mapping[str, Callable[[], Maker]] = {
    "gp": _gp,
    "random": _random,
    "nsga2": _nsga2,
}
