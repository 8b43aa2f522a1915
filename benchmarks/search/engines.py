"""cloudtune and its peers behind one ask and tell, over the same spaces.

Numbers with an order travel as each peer's own kind of ordered number (an index for listed levels), conditions as each
peer's own conditions where it has them.
"""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from cloudtune.search import Observation, Strategy
from cloudtune.search.bayesian import BayesianSearch
from cloudtune.search.evolutionary import evolutionary
from cloudtune.search.random_search import RandomSearch
from cloudtune.space.parameters import Categorical, Float, Int, Ordinal, Parameter, Scalar
from cloudtune.space.space import Dimension, Space
from cloudtune.store.records import TrialState

Values = Mapping[str, Scalar]


class Engine(Protocol):
    """A peer that is asked for trials and told their losses."""

    def ask(self) -> tuple[Any, Values]:
        """A token that the engine knows the trial by, and its values."""

    def tell(self, token: Any, loss: float) -> None:
        """How that trial ended."""


class Ours:
    """A strategy of cloudtune."""

    def __init__(self, kind: Callable[..., Strategy], space: Space, seed: int, budget: int, _parallel: int) -> None:
        self._strategy = kind(space, seed=seed, budget=budget)
        self._count = 0

    def ask(self) -> tuple[Any, Values]:
        values = self._strategy.suggest(self._count)
        assert values is not None
        self._count += 1
        return (self._count - 1, values), values

    def tell(self, token: Any, loss: float) -> None:
        number, values = token
        self._strategy.observe(Observation(number, values, TrialState.COMPLETED, (loss,)))


class Optuna:
    """A sampler of Optuna with its defaults, asked define-by-run, which knows conditions."""

    def __init__(self, sampler: str, space: Space, seed: int, _budget: int, _parallel: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self._space = space
        self._study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=seed))

    def ask(self) -> tuple[Any, Values]:
        trial = self._study.ask()
        values: dict[str, Scalar] = {}
        for dimension in self._space.dimensions:
            if dimension.active(values):
                values[dimension.name] = self._suggest(trial, dimension.key, dimension.parameter)
        return trial, values

    @staticmethod
    def _suggest(trial: Any, key: str, parameter: Parameter) -> Scalar:
        match parameter:
            case Float():
                return trial.suggest_float(key, parameter.low, parameter.high, log=parameter.scale == "log")
            case Int():
                return trial.suggest_int(key, parameter.low, parameter.high, log=parameter.scale == "log")
            case Categorical():
                return trial.suggest_categorical(key, parameter.values)
            case Ordinal():
                return parameter.values[trial.suggest_int(key, 0, len(parameter.values) - 1)]
        raise TypeError(parameter)

    def tell(self, token: Any, loss: float) -> None:
        self._study.tell(token, loss)


class HyperOpt:
    """HyperOpt's TPE with its defaults; conditions as nested choices."""

    def __init__(self, space: Space, seed: int, _budget: int, _parallel: int) -> None:
        import hyperopt
        import numpy as np

        logging.getLogger("hyperopt").setLevel(logging.ERROR)
        self._hyperopt, self._space = hyperopt, space
        self._trials = hyperopt.Trials()
        tops = [dimension for dimension in space.dimensions if not dimension.parameter.when]
        tree = {dimension.name: self._node(dimension, "") for dimension in tops}
        self._domain = hyperopt.Domain(lambda values: 0.0, tree)
        self._source = np.random.default_rng(seed)

    def _node(self, dimension: Dimension, branch: str) -> Any:
        import numpy as np
        from hyperopt import hp
        from hyperopt.pyll import scope

        label, parameter = f"{branch}{dimension.key}", dimension.parameter
        match parameter:
            case Categorical():
                return hp.choice(label, [self._branch(dimension, value) for value in parameter.values])
            case Ordinal():
                return hp.uniformint(label, 0, len(parameter.values) - 1)
            case Float() if parameter.scale == "log":
                return hp.loguniform(label, np.log(parameter.low), np.log(parameter.high))
            case Float():
                return hp.uniform(label, parameter.low, parameter.high)
            case Int() if parameter.scale == "log":
                edges = np.log(parameter.low - 0.499), np.log(parameter.high + 0.499)
                return scope.int(hp.qloguniform(label, *edges, 1))
            case Int():
                return hp.uniformint(label, parameter.low, parameter.high)
        raise TypeError(parameter)

    def _branch(self, parent: Dimension, value: Scalar) -> Any:
        below = {
            dimension.name: self._node(dimension, f"{parent.key}={value}/")
            for dimension in self._space.dimensions
            if value in (dimension.parameter.when or {}).get(parent.name, ())
        }
        return {"=": value, **below}

    def ask(self) -> tuple[Any, Values]:
        hyperopt = self._hyperopt
        ids = self._trials.new_trial_ids(1)
        (document,) = hyperopt.tpe.suggest(ids, self._domain, self._trials, int(self._source.integers(2**31 - 1)))
        document["state"] = hyperopt.JOB_STATE_RUNNING
        self._trials.insert_trial_docs([document])
        self._trials.refresh()
        chosen = {key: values[0] for key, values in document["misc"]["vals"].items() if values}
        return ids[0], self._flat(hyperopt.space_eval(self._domain.expr, chosen))

    def _flat(self, tree: Any) -> Values:
        found: dict[str, Any] = {}
        for name, value in tree.items():
            if isinstance(value, dict):
                found[name] = value["="]
                found |= self._flat({key: inner for key, inner in value.items() if key != "="})
            else:
                found[name] = value
        parameters = {dimension.name: dimension.parameter for dimension in self._space.dimensions}
        for name, value in found.items():
            parameter = parameters[name]
            if isinstance(parameter, Ordinal) and not isinstance(tree.get(name), dict):
                found[name] = parameter.values[int(value)]
            elif isinstance(parameter, Int):
                found[name] = min(max(int(value), parameter.low), parameter.high)
            elif isinstance(parameter, Float):
                found[name] = float(value)
        return found

    def tell(self, token: Any, loss: float) -> None:
        for document in self._trials._dynamic_trials:
            if document["tid"] == token:
                document["state"] = self._hyperopt.JOB_STATE_DONE
                document["result"] = {"status": "ok", "loss": loss}
        self._trials.refresh()


class ScikitOptimize:
    """scikit-optimize's GP with its defaults; it knows no conditions, so every parameter always exists.

    In parallel it is asked for batches, its own way (constant liar).
    """

    def __init__(self, space: Space, seed: int, _budget: int, parallel: int) -> None:
        import numpy as np

        for old, new in (("int", int), ("float", float), ("bool", bool)):
            if old not in np.__dict__:
                setattr(np, old, new)
        from skopt import Optimizer

        self._space, self._parallel = space, parallel
        self._optimizer = Optimizer([self._kind(each.parameter) for each in space.dimensions], random_state=seed)
        self._batch: list[Any] = []
        self._ended: list[tuple[Any, float]] = []

    @staticmethod
    def _kind(parameter: Parameter) -> Any:
        from skopt.space import Categorical as Choice
        from skopt.space import Integer, Real

        match parameter:
            case Float():
                return Real(
                    parameter.low, parameter.high, prior="log-uniform" if parameter.scale == "log" else "uniform"
                )
            case Int():
                return Integer(
                    parameter.low, parameter.high, prior="log-uniform" if parameter.scale == "log" else "uniform"
                )
            case Ordinal():
                return Integer(0, len(parameter.values) - 1)
            case Categorical():
                return Choice([str(value) for value in parameter.values])
        raise TypeError(parameter)

    def ask(self) -> tuple[Any, Values]:
        if not self._batch:
            if self._ended:
                points, losses = zip(*self._ended, strict=True)
                self._optimizer.tell(list(points), list(losses))
                self._ended = []
            one = self._parallel == 1
            self._batch = [self._optimizer.ask()] if one else self._optimizer.ask(n_points=self._parallel)
        point = self._batch.pop(0)
        values: dict[str, Scalar] = {}
        for dimension, value in zip(self._space.dimensions, point, strict=True):
            if dimension.active(values):
                values[dimension.name] = self._back(dimension.parameter, value)
        return point, values

    @staticmethod
    def _back(parameter: Parameter, value: Any) -> Scalar:
        match parameter:
            case Ordinal():
                return parameter.values[int(value)]
            case Categorical():
                return next(known for known in parameter.values if str(known) == value)
            case Int():
                return int(value)
        return float(value)

    def tell(self, token: Any, loss: float) -> None:
        self._ended.append((token, loss))


class Smac:
    """SMAC3's facade for hyperparameters (random forests) with its defaults; conditions as ConfigSpace's."""

    def __init__(self, space: Space, seed: int, budget: int, _parallel: int) -> None:
        import smac
        from ConfigSpace import ConfigurationSpace

        logging.disable(logging.WARNING)
        self._smac, self._space = smac, space
        self._folder = tempfile.TemporaryDirectory()
        whole = ConfigurationSpace(seed=seed)
        made = {dimension.name: self._kind(dimension) for dimension in space.dimensions}
        whole.add(list(made.values()))
        whole.add(self._conditions(made))
        scenario = smac.Scenario(
            whole, n_trials=budget, deterministic=True, seed=seed, output_directory=self._folder.name
        )
        with contextlib.redirect_stdout(None):
            self._facade = smac.HyperparameterOptimizationFacade(
                scenario, lambda config, seed=0: 0.0, logging_level=False, overwrite=True
            )

    @staticmethod
    def _kind(dimension: Dimension) -> Any:
        import ConfigSpace as cs  # noqa: N813

        name, parameter = dimension.name, dimension.parameter
        match parameter:
            case Float():
                return cs.UniformFloatHyperparameter(name, parameter.low, parameter.high, log=parameter.scale == "log")
            case Int():
                return cs.UniformIntegerHyperparameter(
                    name, parameter.low, parameter.high, log=parameter.scale == "log"
                )
            case Ordinal():
                return cs.UniformIntegerHyperparameter(name, 0, len(parameter.values) - 1)
            case Categorical():
                return cs.CategoricalHyperparameter(name, list(range(len(parameter.values))))
        raise TypeError(parameter)

    def _conditions(self, made: Mapping[str, Any]) -> list[Any]:
        from ConfigSpace import InCondition

        parents = {dimension.name: dimension.parameter for dimension in self._space.dimensions}
        return [
            InCondition(made[each.name], made[parent], [parents[parent].values.index(one) for one in values])  # type: ignore[union-attr]
            for each in self._space.dimensions
            for parent, values in (each.parameter.when or {}).items()
        ]

    def ask(self) -> tuple[Any, Values]:
        info = self._facade.ask()
        values: dict[str, Scalar] = {}
        for dimension in self._space.dimensions:
            if dimension.name in info.config:
                value, parameter = info.config[dimension.name], dimension.parameter
                listed = isinstance(parameter, Ordinal | Categorical)
                values[dimension.name] = parameter.values[int(value)] if listed else value  # type: ignore[union-attr]
        return info, {name: value.item() if hasattr(value, "item") else value for name, value in values.items()}

    def tell(self, token: Any, loss: float) -> None:
        from smac.runhistory.dataclasses import TrialValue

        self._facade.tell(token, TrialValue(cost=loss), save=False)


Maker = Callable[[Space, int, int, int], Engine]
"""From a space, a seed, a budget, and how many trials run at once."""

ENGINES: dict[str, Maker] = {
    "cloudtune": lambda *about: Ours(BayesianSearch, *about),
    "cloudtune evolutionary": lambda *about: Ours(evolutionary, *about),
    "random": lambda *about: Ours(RandomSearch, *about),
    "Optuna TPE": lambda *about: Optuna("TPESampler", *about),
    "Optuna GP": lambda *about: Optuna("GPSampler", *about),
    "HyperOpt TPE": HyperOpt,
    "scikit-optimize": ScikitOptimize,
    "SMAC3": Smac,
}
OURS = "cloudtune"
