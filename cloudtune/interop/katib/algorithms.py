"""Conversion of Katib's algorithms and early stopping to strategies and stopping rules, and back.

The settings are those of its services: pkg/suggestion/v1beta1/{hyperopt,optuna,skopt,hyperband,pbt}/service.py,
pkg/suggestion/v1beta1/goptuna/service.go and pkg/earlystopping/v1beta1/medianstop/service.py of kubeflow/katib.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cloudtune.interop.katib.model import Algorithm, number_of
from cloudtune.planning.plan import Support
from cloudtune.space.parameters import Categorical, Ordinal, Parameter
from cloudtune.spec.stopping import Median
from cloudtune.spec.strategies import (
    Bayesian,
    Evolutionary,
    Grid,
    Hyperband,
    HyperoptTpe,
    OptunaSampler,
    Population,
    Random,
    Sobol,
)

SEEDS = 2**31
RESOURCE = "resource_name"
"""The setting of Hyperband that names the parameter with a trial's budget."""

SettingNote = tuple[str, str]
"""A setting's name, and a note about it."""


@dataclass
class Strategy:
    """The strategy for an algorithm of Katib.

    Attributes:
        data: the strategy as plain data of the spec.
        settings: the names of the settings that it covers.
        note: a note about the algorithm as a whole; "" for none.
    """

    data: dict[str, Any]
    settings: set[str] = field(default_factory=set)
    note: str = ""

    def take(self, given: Mapping[str, str], name: str, target: str, read: Callable[[str], Any]) -> None:
        """Set a field of the strategy from a setting, if the setting is given and valid."""
        value = read(given[name]) if name in given else None
        if value is not None:
            self.data[target] = value
            self.settings.add(name)


def _seed(text: str) -> int | None:
    number = number_of(text)
    return number if isinstance(number, int) and 0 <= number < SEEDS else None


def _count(text: str) -> int | None:
    number = number_of(text)
    return number if isinstance(number, int) and number > 0 else None


def _share(text: str) -> float | None:
    number = number_of(text)
    return float(number) if number is not None and 0 < number < 1 else None


def strategy_of(algorithm: Algorithm) -> Strategy:
    """Return the strategy for an algorithm; Bayesian search for an unknown one.

    Raises:
        ValueError: a setting is missing or not valid; the message names it.
    """
    given = algorithm.settings
    found = _KNOWN.get(algorithm.algorithm_name, _foreign)(algorithm)
    if found.data["type"] != "grid":
        found.take(given, "random_state", "seed", _seed)
    return found


def _foreign(algorithm: Algorithm) -> Strategy:
    name = algorithm.algorithm_name
    return Strategy({"type": "bayesian"}, note=f"Katib's {name} has no counterpart: elsewhere the search is Bayesian")


def _bayesian(algorithm: Algorithm) -> Strategy:
    found = Strategy({"type": "bayesian"})
    found.take(algorithm.settings, "n_initial_points", "startup", _count)
    return found


def _tpe(algorithm: Algorithm) -> Strategy:
    found = Strategy({"type": "hyperopt"})
    found.take(algorithm.settings, "gamma", "gamma", _share)
    found.take(algorithm.settings, "n_EI_candidates", "candidates", _count)
    return found


def _multivariate_tpe(algorithm: Algorithm) -> Strategy:
    options = Strategy({"multivariate": True, "constant_liar": True})
    options.take(algorithm.settings, "n_startup_trials", "n_startup_trials", _count)
    options.take(algorithm.settings, "n_ei_candidates", "n_ei_candidates", _count)
    data = {"type": "optuna", "sampler": "TPESampler", "options": options.data}
    return Strategy(data, options.settings)


def _hyperband(algorithm: Algorithm) -> Strategy:
    given = algorithm.settings
    budget = number_of(given.get("r_l", ""))
    if budget is None or budget < 1 or RESOURCE not in given:
        raise ValueError(f"hyperband needs the settings r_l, a number of 1 or more, and {RESOURCE}")
    given_eta = int(number_of(given.get("eta", "")) or 0)
    eta = given_eta if given_eta >= 2 else 3  # "if eta <= 0: eta = 3"
    brackets = int(math.log(budget) / math.log(eta))
    data = {"type": "hyperband", "max_resource": int(budget), "eta": eta}
    lowest = max(1, int(budget / eta**brackets))
    note = (
        f"Katib gives each trial its budget in the parameter {given[RESOURCE]!r} and starts the best anew with more; "
        "here it is the full budget, and trials that do badly are stopped by what they report at each step"
    )
    return Strategy({**data, **({"min_resource": lowest} if lowest > 1 else {})}, {"r_l", "eta", RESOURCE}, note)


def _pbt(algorithm: Algorithm) -> Strategy:
    note = (
        "in Katib each trial is one generation, and its program ends after it; here it trains on: let it report after each "
        "generation (step=1, 2, …), begin with what is in trial.checkpoint_dir(), and end after max_resource steps"
    )
    found = Strategy({"type": "population", "interval": 1, "resample": 0.0}, note=note)
    found.take(algorithm.settings, "n_population", "members", _count)
    found.take(algorithm.settings, "truncation_threshold", "quantile", _half)
    found.take(algorithm.settings, "resample_probability", "resample", _share)
    if found.data.get("members", 0) < 2:
        raise ValueError("pbt needs the setting n_population, a number of 5 or more")
    return found


def _half(text: str) -> float | None:
    share = _share(text)
    return share if share is not None and share <= 0.5 else None


_KNOWN: Mapping[str, Callable[[Algorithm], Strategy]] = {
    "random": lambda _: Strategy({"type": "random"}),
    "grid": lambda _: Strategy({"type": "grid"}),
    "sobol": lambda _: Strategy({"type": "sobol"}),
    "cmaes": lambda _: Strategy({"type": "evolutionary"}),
    "bayesianoptimization": _bayesian,
    "tpe": _tpe,
    "multivariate-tpe": _multivariate_tpe,
    "hyperband": _hyperband,
    "pbt": _pbt,
}


# From strategies to algorithms


@dataclass
class Written:
    """The algorithm of Katib for a strategy.

    Attributes:
        name: the algorithm's name.
        settings: its settings by name, as texts.
        losses: fields of the strategy that are not carried exactly: path below it, support, message.
    """

    name: str
    settings: dict[str, str] = field(default_factory=dict)
    losses: list[tuple[str, Support, str]] = field(default_factory=list)

    def put(self, name: str, value: object) -> None:
        """Add a setting, unless its value is None."""
        if value is not None:
            self.settings[name] = str(value)

    def lose(self, key: str, message: str, support: Support = Support.APPROXIMATE) -> None:
        """Note a field that is not carried exactly."""
        self.losses.append((key, support, message))

    def to_data(self) -> dict[str, Any]:
        """Return the ``algorithm`` of an experiment."""
        settings = [{"name": name, "value": value} for name, value in self.settings.items()]
        return {"algorithmName": self.name, **({"algorithmSettings": settings} if settings else {})}


NO_PRIOR = "Katib's algorithms take no beliefs: left out"


def algorithm_of(strategy: Any, space: Mapping[str, Parameter], resource: str | None) -> Written:
    """Return the algorithm for a strategy.

    Args:
        strategy: the job's strategy.
        space: the parameters by name.
        resource: the parameter with the budget of Hyperband's trials, if native settings name one.
    """
    match strategy:
        case Random():
            found = Written("random")
        case Grid():
            return Written("grid")
        case Sobol():
            found = Written("sobol")
            if strategy.seed is not None:
                found.lose("seed", "Katib's Sobol sequence has no seed")
            return found
        case Bayesian():
            found = _from_bayesian(strategy)
        case HyperoptTpe():
            found = _from_hyperopt(strategy)
        case Evolutionary():
            found = _from_evolutionary(strategy, space)
        case Hyperband() | Population():
            return _from_rungs(strategy, space, resource)
        case _:
            found = _from_optuna(strategy, space)
    found.put("random_state", strategy.seed)
    return found


def _from_bayesian(strategy: Bayesian) -> Written:
    found = Written("bayesianoptimization")
    found.put("n_initial_points", strategy.startup)
    if strategy.prior is not None:
        found.lose("prior", NO_PRIOR)
    if strategy.cost_aware:
        found.lose("cost_aware", "Katib's algorithms do not go by what trials cost: left out")
    return found


def _from_hyperopt(strategy: HyperoptTpe) -> Written:
    found = Written("tpe")
    fields = HyperoptTpe.model_fields
    if strategy.gamma != fields["gamma"].default:
        found.put("gamma", strategy.gamma)
    if strategy.candidates != fields["candidates"].default:
        found.put("n_EI_candidates", strategy.candidates)
    if strategy.startup != fields["startup"].default:
        found.lose("startup", f"Katib's tpe begins with {fields['startup'].default} random trials")
    return found


def _from_evolutionary(strategy: Evolutionary, space: Mapping[str, Parameter]) -> Written:
    found = _cmaes(space)
    if strategy.population is not None:
        found.lose("population", "Katib's cmaes chooses its population itself")
    return found


def _cmaes(space: Mapping[str, Parameter]) -> Written:
    found = Written("cmaes")
    numbers = [name for name, each in space.items() if not isinstance(each, Categorical | Ordinal)]
    if len(numbers) < 2:
        found.lose("type", "Katib's cmaes needs two numbers at least; use random or bayesian", Support.UNSUPPORTED)
    elif len(numbers) < len(space):
        found.lose("type", "Katib's cmaes draws listed values at random")
    return found


def _from_rungs(strategy: Hyperband | Population, space: Mapping[str, Parameter], resource: str | None) -> Written:
    if isinstance(strategy, Population):
        return _from_population(strategy)
    return _from_hyperband(strategy, space, resource)


def _from_hyperband(strategy: Hyperband, space: Mapping[str, Parameter], resource: str | None) -> Written:
    found = Written("hyperband", {"r_l": str(strategy.max_resource), "eta": str(strategy.eta)})
    if resource is None or resource not in space:
        message = (
            "Katib's hyperband gives trials their budget in a parameter: add a constant of max_resource to the space "
            "for it, and name it in native: {katib: {spec: {algorithm: {algorithmSettings: "
            f"[{{name: {RESOURCE}, value: NAME}}]}}}}}}}}"
        )
        found.lose("type", message, Support.UNSUPPORTED)
    else:
        found.lose("type", "Katib starts promising trials anew with a larger budget, instead of stopping the others")
    for key in ("seed", "searcher"):
        if key in strategy.model_fields_set and getattr(strategy, key) is not None:
            found.lose(key, "Katib's hyperband draws at random, without a seed")
    if strategy.resume is not None:
        found.lose("resume", "Katib's trials have no checkpoints to go on from: promising ones begin anew")
    return found


def _from_population(strategy: Population) -> Written:
    found = Written("pbt", {"n_population": str(strategy.members), "truncation_threshold": str(strategy.quantile)})
    if strategy.resample:
        found.put("resample_probability", strategy.resample)
    if strategy.members < 5:
        found.lose("members", "Katib's populations have 5 members at least", Support.UNSUPPORTED)
    found.lose(
        "type",
        "in Katib each trial is one generation, whose program ends after it; the experiment needs the setting "
        "suggestion_trial_dir and a volume for checkpoints (native: {katib: …})",
    )
    for key in ("interval", "max_resource", "seed"):
        if getattr(strategy, key) is not None:
            found.lose(key, "a trial of Katib trains for one generation, as its program says, and draws have no seed")
    return found


_SAMPLERS = {
    "TPESampler": "tpe",
    "CmaEsSampler": "cmaes",
    "RandomSampler": "random",
    "GPSampler": "bayesianoptimization",
    "QMCSampler": "sobol",
}
"""The algorithms for Optuna's samplers."""


def _from_optuna(strategy: OptunaSampler, space: Mapping[str, Parameter]) -> Written:
    name = _SAMPLERS.get(strategy.sampler)
    options = dict(strategy.options)
    if name is None:
        found = Written("random")
        message = f"Katib has no counterpart of {strategy.sampler}; it has those of {', '.join(_SAMPLERS)}"
        found.lose("sampler", message, Support.UNSUPPORTED)
        return found
    if name == "tpe" and options.pop("multivariate", False):
        found = Written("multivariate-tpe")
        options.pop("constant_liar", None)  # always on in Katib
        for each in ("n_startup_trials", "n_ei_candidates"):
            found.put(each, options.pop(each, None))
    else:
        found = _cmaes(space) if name == "cmaes" else Written(name)
        if name in ("tpe", "bayesianoptimization", "sobol"):
            found.lose("sampler", f"as Katib's {name}, which is not Optuna's")
    for each in options:
        found.lose(f"options.{each}", f"Katib's {found.name} has no such setting")
    return found


# Early stopping

MIN_TRIALS, START_STEP = 3, 4
"""Katib's defaults: the least succeeded trials, and the report at which a trial is judged."""


def stopping_of(stopping: Algorithm) -> tuple[dict[str, Any], list[SettingNote]]:
    """Return the stopping rule for Katib's early stopping, and notes about it.

    Raises:
        ValueError: a setting is not a positive integer; the message names it.
    """
    if stopping.algorithm_name != "medianstop":
        return {"type": "median"}, [
            ("", f"{stopping.algorithm_name!r} has no counterpart: elsewhere the median decides")
        ]
    given = {"min_trials_required": MIN_TRIALS, "start_step": START_STEP}
    for name, text in stopping.settings.items():
        number = _count(text)
        if name not in given or number is None:
            raise ValueError(f"medianstop takes min_trials_required and start_step, from 1, not {name}: {text!r}")
        given[name] = number
    notes = [("", "Katib judges a trial once, at the report start_step; here it is judged at this and every later one")]
    if given["min_trials_required"] != MIN_TRIALS:
        notes.append(("min_trials_required", f"here {MIN_TRIALS} other trials must have come as far"))
    grace = given["start_step"] - 1
    return {"type": "median", **({"grace": grace} if grace else {})}, notes


def early_stopping_of(rule: Any) -> tuple[dict[str, Any] | None, list[tuple[str, Support, str]]]:
    """Return Katib's early stopping for a stopping rule (None for none), and notes on what is not carried exactly."""
    if rule.type == "auto":
        return {"algorithmName": "medianstop"}, []
    if not isinstance(rule, Median):
        message = f"Katib stops by the median alone, not by {rule.type}; use median, or take stopping away"
        return None, [("", Support.UNSUPPORTED, message)]
    given = {"min_trials_required": MIN_TRIALS, "start_step": rule.grace + 1}
    settings = [{"name": name, "value": str(value)} for name, value in given.items()]
    losses = [("", Support.APPROXIMATE, f"a trial is judged once there, at its report {rule.grace + 1}")]
    return {"algorithmName": "medianstop", "algorithmSettings": settings}, losses
