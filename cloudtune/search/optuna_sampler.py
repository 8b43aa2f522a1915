"""Optuna's samplers as strategies (optuna.samplers)."""

import copy
import importlib.util
import inspect
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Unpack

from pydantic import JsonValue

from cloudtune.plugins.extras import install
from cloudtune.search.penalty import Penalty
from cloudtune.search.strategy import Observation, Strategy, StrategyContext, UnsuitableStrategy
from cloudtune.space.parameters import Scalar
from cloudtune.space.space import Dimension, Space, Values
from cloudtune.spec.strategies import OptunaSampler
from cloudtune.store.records import TrialState

try:
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

    from cloudtune.interop.optuna import carriers, optuna_distributions
except ImportError:  # OptunaSearch says what to install
    optuna = None  # type: ignore[assignment]

_READING = ("GPSampler", "RandomSampler", "TPESampler")
"""Samplers that read only the parameters, state and values of a trial."""

_NOTING = ("CmaEsSampler", "NSGAIISampler", "NSGAIIISampler")
"""Samplers that also read what they stored with a trial when they suggested it: generations, a covariance."""

_CONSTRAINED = ("GPSampler", "NSGAIISampler", "NSGAIIISampler", "TPESampler")
"""Samplers that take a function of constraints."""

_VIOLATIONS = "cloudtune.violations"
"""The user attribute of a trial that has its violations, where the sampler itself writes them down."""

_CONSTRAINTS = "constraints"
"""Optuna's system attribute of a trial that has its violations."""

_NEEDS = {"CmaEsSampler": "cmaes", "GPSampler": "torch"}
"""Packages that Optuna imports for some samplers and does not depend on."""

_JSON_TYPES = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,), "None": (type(None),)}


class OptunaSearch(Strategy):
    """Suggests what a sampler of Optuna does for the same trials; `optuna_distributions` maps the space.

    Parameters are suggested one after the other, without those that a condition excludes. Optuna gets the ended trials
    in the order in which they ended, then the pending ones; all losses are minimised. A pruned trial has its loss
    as an intermediate value (with several objectives Optuna has no place for it); cancelled trials count as failed.

    Violations of constraints go to TPESampler, GPSampler, NSGAIISampler and NSGAIIISampler, of which Optuna says that they
    use them; where a trial told no value, as the most that any was violated by, and as 1 at least. To CmaEsSampler a
    trial that violates constraints is worse than the feasible ones before it, by how much it violates them.

    Every suggestion is made by a new sampler, whose seed depends on the search's and on the trial's number. To
    TPESampler, GPSampler and RandomSampler a resume therefore makes no difference. CmaEsSampler, NSGAIISampler and
    NSGAIIISampler store with a trial which generation it belongs to when they suggest it, and Optuna keeps that in
    its storage. Here it is worked out again: each trial, when it has ended, is suggested once more with its values
    fixed, after all trials that ended before it. So a resume makes no difference to them either, and generations are
    filled in the order in which trials end. With parallel trials, some members of a generation were therefore
    suggested from the generation before, where Optuna itself would skip them. Trials of earlier runs are the first
    generations of the genetic samplers; CmaEsSampler does not learn from them, as its distribution did not draw them.

    CmaEsSampler searches the numbers that every trial has. Categorical parameters and those with a condition are
    drawn at random, as Optuna would draw them.

    Args:
        space: what to search.
        sampler: the name of a class in optuna.samplers.
        options: its arguments as JSON has them, without ``seed``.

    Raises:
        UnsuitableStrategy: the sampler does not exist, does not take these options, cannot search the space, cannot
            be rebuilt from a history, or needs a package that is not installed.
    """

    spec = OptunaSampler

    def __init__(
        self,
        space: Space,
        *,
        sampler: str = "TPESampler",
        options: Mapping[str, JsonValue] | None = None,
        **context: Unpack[StrategyContext],
    ) -> None:
        super().__init__(space, **context)
        if optuna is None:
            raise UnsuitableStrategy(f"the optuna strategy needs the extra: {install('optuna')}")
        self._name = sampler
        self._cma_es = sampler == "CmaEsSampler"
        self._options = dict(options or {})
        self._class = _sampler_class(sampler)
        _check_options(self._class, self._options)
        self._penalty = Penalty()
        self._most_violated = 1.0
        self._carriers = carriers(space)
        self._distributions = optuna_distributions(space)
        if self._cma_es:
            self._check_numbers()
        with _quiet():
            self._told = optuna.create_study(directions=["minimize"] * self.objectives, sampler=self._sampler(0))

    def _check_numbers(self) -> None:
        if self.objectives > 1:
            raise UnsuitableStrategy("CmaEsSampler searches for one objective; use NSGAIISampler or TPESampler")
        known = [self._distributions[each.key] for each in self.space.dimensions if self._asked(each)]
        if all(isinstance(each, CategoricalDistribution) or each.single() for each in known):
            raise UnsuitableStrategy(
                "CmaEsSampler searches numbers that every trial has, and this space has none; use TPESampler"
            )

    def _sampler(self, number: int) -> "optuna.samplers.BaseSampler":
        """Return the sampler for the trial with this number."""
        known = self.constraints > 0 and self._name in _CONSTRAINED
        options = {**self._options, **({"constraints_func": _violations_of} if known else {})}
        try:
            return self._class(  # type: ignore[call-arg]  # each of these samplers takes a seed
                seed=self.generator(number).getrandbits(31), **options
            )
        except (TypeError, ValueError) as error:
            raise UnsuitableStrategy(f"{self._name} does not take these options: {error}") from None

    def _asked(self, dimension: Dimension) -> bool:
        """Return whether the sampler suggests a dimension.

        CmaEsSampler does not suggest those with a condition: its search ends for good when a dimension that all
        trials of its first generation happened to have is missing from a later one.
        """
        return not self._cma_es or not dimension.parameter.when

    # History

    def observe(self, observation: Observation) -> None:
        super().observe(observation)
        with _quiet():
            if self._name in _NOTING and not (self._cma_es and observation.number < 0):
                self._replay(observation)
            else:
                state, values, intermediate = self._result(observation)
                trial = self._trial(
                    observation.parameters,
                    state,
                    values=values,
                    intermediate_values=intermediate,
                    system_attrs=self._violated(observation, _CONSTRAINTS),
                )
                self._told.add_trial(trial)

    def _known(self, values: Values) -> dict[str, Scalar]:
        """Return a trial's values as Optuna has them, by the dimension's key."""
        return {
            each.key: self._carriers[each.key].encode(values[each.name])
            for each in self.space.active(values)
            if self._asked(each)
        }

    def _trial(self, parameters: Values, state: "optuna.trial.TrialState", **result: Any) -> "optuna.trial.FrozenTrial":
        """Return a trial as Optuna writes it; `result` goes to `optuna.trial.create_trial`."""
        known = self._known(parameters)
        distributions = {key: self._distributions[key] for key in known}
        return optuna.trial.create_trial(state=state, params=known, distributions=distributions, **result)

    def _result(
        self, observation: Observation
    ) -> tuple["optuna.trial.TrialState", list[float] | None, dict[int, float]]:
        """Return in Optuna's terms how a trial ended: its state, its values, and its intermediate values by step."""
        losses = observation.losses
        if self._cma_es and losses is not None:
            worth = self._penalty.of(observation)
            losses = (worth,) if math.isfinite(worth) else None
        if observation.state is TrialState.COMPLETED and losses is not None:
            return optuna.trial.TrialState.COMPLETE, list(losses), {}
        if observation.state is TrialState.PRUNED:
            reported = {0: losses[0]} if losses is not None and self.objectives == 1 else {}
            return optuna.trial.TrialState.PRUNED, None, reported
        return optuna.trial.TrialState.FAIL, None, {}

    def _violated(self, observation: Observation, key: str) -> dict[str, list[float]]:
        """Return a trial's violations as an attribute of Optuna's, all finite; nothing where there are none."""
        if not observation.violations or self._cma_es:
            return {}
        finite = [each for each in observation.violations if math.isfinite(each)]
        self._most_violated = max(self._most_violated, *finite, 0.0)
        return {key: [min(each, self._most_violated) for each in observation.violations]}

    def _replay(self, observation: Observation) -> None:
        """Have the sampler store what it would have stored on suggesting this trial next."""
        known = self._known(observation.parameters)
        state, values, intermediate = self._result(observation)
        self._told.sampler = self._sampler(observation.number)
        self._told.enqueue_trial(known)
        trial = self._told.ask({key: self._distributions[key] for key in known})
        _ = trial.relative_params  # Optuna 5 does not call the sampler where all values are fixed
        for key, violations in self._violated(observation, _VIOLATIONS).items():
            trial.set_user_attr(key, violations)
        for step, value in intermediate.items():
            trial.report(value, step)
        self._told.tell(trial, values, state=state)

    # Suggestions

    def _preferred(self, number: int) -> Values:
        return self._propose(number)

    def _propose(self, number: int) -> Values:
        with _quiet():
            study = copy.deepcopy(self._told)  # the next suggestion must not see what is stored with this one
            for waiting in self.pending.values():
                study.add_trial(self._trial(waiting, optuna.trial.TrialState.RUNNING))
            study.sampler = self._sampler(number)
            trial = study.ask()
            values: Values = {}
            for dimension in self.space.dimensions:
                if dimension.active(values):
                    values[dimension.name] = self._value(trial, dimension, number)
        return values

    def _value(self, trial: "optuna.trial.Trial", dimension: Dimension, number: int) -> Scalar:
        if not self._asked(dimension):
            return dimension.axis.at(self.generator(number, dimension.key).random())
        raw = _suggested(trial, dimension.key, self._distributions[dimension.key])
        return self._carriers[dimension.key].decode(raw)


def _violations_of(trial: "optuna.trial.FrozenTrial") -> list[float]:
    violations: list[float] = trial.user_attrs.get(_VIOLATIONS, [])
    return violations


def _suggested(trial: "optuna.trial.Trial", key: str, distribution: "BaseDistribution") -> Scalar:
    match distribution:
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(key, low, high, step=step, log=log)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(key, low, high, step=step, log=log)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(key, choices)
        case _:
            raise TypeError(f"no suggestion from {distribution!r}")


def _sampler_class(name: str) -> "type[optuna.samplers.BaseSampler]":
    if name not in (*_READING, *_NOTING):
        raise UnsuitableStrategy(
            f"there is no sampler {name!r}; use one of {', '.join(sorted([*_READING, *_NOTING]))} "
            "(for grids and quasi-random points there are the strategies grid and sobol)"
        )
    package = _NEEDS.get(name)
    if package is not None and importlib.util.find_spec(package) is None:
        raise UnsuitableStrategy(f"{name} needs {package}: pip install {package}")
    found: type[optuna.samplers.BaseSampler] = getattr(optuna.samplers, name)
    return found


def _check_options(sampler: "type[optuna.samplers.BaseSampler]", options: Mapping[str, JsonValue]) -> None:
    """Raise for options that the sampler does not have, or that are of another type than its signature says."""
    types = {name: str(about.annotation) for name, about in inspect.signature(sampler).parameters.items()}
    allowed = {name: kinds for name, kinds in types.items() if _json_types(kinds) and name != "seed"}
    for name, value in options.items():
        if name not in allowed:
            raise UnsuitableStrategy(
                f"{sampler.__name__} takes no option {name!r} here; it takes {', '.join(sorted(allowed))}"
                + (" (the seed stands beside the sampler)" if name == "seed" else "")
            )
        kinds = _json_types(allowed[name])
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise UnsuitableStrategy(f"{sampler.__name__}'s option {name!r} is {allowed[name]}, not {value!r}")
    if options.get("with_margin"):
        raise UnsuitableStrategy("CmaEsSampler's with_margin needs points that no history has; leave it out")


def _json_types(annotation: str) -> tuple[type, ...]:
    """Return the types of an annotation such as ``int | None`` that JSON has; none where only None is left."""
    found = [kind for name in annotation.split(" | ") for kind in _JSON_TYPES.get(name, ())]
    return tuple(found) if found != [type(None)] else ()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from logging each study, and from warning that an argument of a sampler may go or change."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(verbosity, optuna.logging.ERROR))
    try:
        with warnings.catch_warnings():
            for category in (optuna.exceptions.ExperimentalWarning, FutureWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
