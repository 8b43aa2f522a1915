"""The peers, each with its defaults, over flat spaces as plain data; a peer is imported where it is used alone."""

import logging
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

Entry = dict[str, Any]
Values = dict[str, Any]

warnings.filterwarnings("ignore")


class Engine:
    """A peer that is asked for trials and told their losses; `takes_failures` if None is a loss for it."""

    takes_failures = False

    def ask(self) -> tuple[Any, Values]:
        raise NotImplementedError

    def tell(self, token: Any, loss: float | None) -> None:
        raise NotImplementedError


class Cloudtune(Engine):
    takes_failures = True

    def __init__(self, strategy: str, space: list[Entry], seed: int, budget: int, parallel: int) -> None:
        import cloudtune.search.bayesian_model  # noqa: F401  # so that no suggestion waits for it
        from cloudtune.search import Search

        entries = {}
        for each in space:
            if each["type"] in ("float", "int"):
                scale = {"scale": "log"} if each["log"] else {}
                entries[each["name"]] = {"type": each["type"], "low": each["low"], "high": each["high"], **scale}
            else:
                entries[each["name"]] = {"type": each["type"], "values": each["values"]}
        goal = {"metric": "loss", "goal": "minimize"}
        self._search = Search(entries, goal, strategy, seed=seed, trials=budget)
        self._last: Values = {}

    def ask(self) -> tuple[Any, Values]:
        """Return the last trial again, which nobody is told of, where a finite space holds no other."""
        trial = self._search.ask()
        if trial is None:
            return None, self._last
        self._last = dict(trial.parameters)
        return trial.number, self._last

    def tell(self, token: Any, loss: float | None) -> None:
        if token is None:
            return
        if loss is None:
            self._search.tell(token, state="failed")
        else:
            self._search.tell(token, loss)


class Random(Engine):
    def __init__(self, space: list[Entry], seed: int, budget: int, parallel: int) -> None:
        self._space, self._source = space, random.Random(seed)

    def ask(self) -> tuple[Any, Values]:
        import math

        values = {}
        for each in self._space:
            if each["type"] == "float" and each["log"]:
                ends = math.log(each["low"]), math.log(each["high"])
                values[each["name"]] = min(max(math.exp(self._source.uniform(*ends)), each["low"]), each["high"])
            elif each["type"] == "float":
                values[each["name"]] = self._source.uniform(each["low"], each["high"])
            elif each["type"] == "int" and each["log"]:
                ends = math.log(each["low"] - 0.499), math.log(each["high"] + 0.499)
                values[each["name"]] = round(math.exp(self._source.uniform(*ends)))
            elif each["type"] == "int":
                values[each["name"]] = self._source.randint(each["low"], each["high"])
            else:
                values[each["name"]] = self._source.choice(each["values"])
        return None, values

    def tell(self, token: Any, loss: float | None) -> None:
        return


class Optuna(Engine):
    takes_failures = True

    def __init__(self, sampler: str, space: list[Entry], seed: int, budget: int, parallel: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        more = {"constant_liar": True} if sampler == "TPESampler" and parallel > 1 else {}  # as its documents advise
        self._optuna, self._space = optuna, space
        self._study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=seed, **more))

    def ask(self) -> tuple[Any, Values]:
        trial = self._study.ask()
        values = {}
        for each in self._space:
            name = each["name"]
            if each["type"] in ("float", "int"):
                suggest = trial.suggest_float if each["type"] == "float" else trial.suggest_int
                values[name] = suggest(name, each["low"], each["high"], log=each["log"])
            elif each["type"] == "ordinal":
                values[name] = each["values"][trial.suggest_int(name, 0, len(each["values"]) - 1)]
            else:
                values[name] = trial.suggest_categorical(name, each["values"])
        return trial, values

    def tell(self, token: Any, loss: float | None) -> None:
        if loss is None:
            self._study.tell(token, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(token, loss)


def _as_index(each: Entry) -> tuple[int, int]:
    return 0, len(each["values"]) - 1


class Hebo(Engine):
    """HEBO; in parallel it is asked one by one, and knows what is told: its own batches come all at once."""

    def __init__(self, space: list[Entry], seed: int, budget: int, parallel: int) -> None:
        from hebo.design_space.design_space import DesignSpace
        from hebo.optimizers.hebo import HEBO

        kinds = {("float", False): "num", ("float", True): "pow", ("int", False): "int", ("int", True): "pow_int"}
        made = []
        for each in space:
            if each["type"] in ("float", "int"):
                kind = kinds[each["type"], each["log"]]
                made.append({"name": each["name"], "type": kind, "lb": each["low"], "ub": each["high"], "base": 10})
            elif each["type"] == "ordinal":
                made.append({"name": each["name"], "type": "int", "lb": 0, "ub": _as_index(each)[1]})
            else:
                made.append({"name": each["name"], "type": "cat", "categories": list(range(len(each["values"])))})
        self._space, self._parallel, self._batch = space, parallel, []
        self._hebo = HEBO(DesignSpace().parse(made), scramble_seed=seed)

    def ask(self) -> tuple[Any, Values]:
        if not self._batch:
            frame = self._hebo.suggest(n_suggestions=min(self._parallel, 8))
            self._batch = [frame.iloc[[at]] for at in range(len(frame))]
        row = self._batch.pop(0)
        values = {}
        for each in self._space:
            value = row[each["name"]].iloc[0]
            if each["type"] in ("ordinal", "categorical"):
                values[each["name"]] = each["values"][int(value)]
            else:
                values[each["name"]] = float(value) if each["type"] == "float" else round(float(value))
        return row, values

    def tell(self, token: Any, loss: float | None) -> None:
        import numpy as np

        self._hebo.observe(token, np.array([[loss]]))


class Vizier(Engine):
    """Google's Vizier with its default Gaussian process bandit."""

    takes_failures = True

    def __init__(self, space: list[Entry], seed: int, budget: int, parallel: int) -> None:
        import jax
        from vizier import algorithms, pyvizier
        from vizier._src.algorithms.designers import gp_ucb_pe
        from vizier.pyvizier.converters import padding

        jax.config.update("jax_enable_x64", True)  # as Vizier's service does; with less its predictions become NaN
        problem = pyvizier.ProblemStatement()
        root = problem.search_space.root
        for each in space:
            scale = pyvizier.ScaleType.LOG if each.get("log") else pyvizier.ScaleType.LINEAR
            if each["type"] == "float":
                root.add_float_param(each["name"], each["low"], each["high"], scale_type=scale)
            elif each["type"] == "int":
                root.add_int_param(each["name"], each["low"], each["high"])
            elif each["type"] == "ordinal":
                root.add_int_param(each["name"], *_as_index(each))
            else:
                root.add_categorical_param(each["name"], [str(at) for at in range(len(each["values"]))])
        goal = pyvizier.ObjectiveMetricGoal.MINIMIZE
        problem.metric_information.append(pyvizier.MetricInformation("loss", goal=goal))
        self._vizier, self._algorithms, self._space, self._count = pyvizier, algorithms, space, 0
        # By tens, else XLA compiles anew for each trial.
        tens = padding.PaddingSchedule(num_trials=padding.PaddingType.MULTIPLES_OF_10)
        self._designer = gp_ucb_pe.VizierGPUCBPEBandit(problem, rng=jax.random.PRNGKey(seed), padding_schedule=tens)
        self._running: dict[int, Any] = {}

    def ask(self) -> tuple[Any, Values]:
        (suggestion,) = self._designer.suggest(1)
        self._count += 1
        trial = self._running[self._count] = suggestion.to_trial(self._count)
        values = {}
        for each in self._space:
            value = trial.parameters.get_value(each["name"])
            listed = each["type"] in ("ordinal", "categorical")
            own = int if each["type"] == "int" else float
            values[each["name"]] = each["values"][int(value)] if listed else own(value)
        return trial, values

    def tell(self, token: Any, loss: float | None) -> None:
        if loss is None:
            token.complete(self._vizier.Measurement(), infeasibility_reason="it failed")
        else:
            token.complete(self._vizier.Measurement({"loss": loss}))
        del self._running[token.id]
        running = self._algorithms.ActiveTrials(list(self._running.values()))
        self._designer.update(self._algorithms.CompletedTrials([token]), running)


class Smac(Engine):
    def __init__(self, space: list[Entry], seed: int, budget: int, parallel: int) -> None:
        import tempfile

        import ConfigSpace as cs  # noqa: N813
        import smac

        logging.disable(logging.WARNING)
        whole = cs.ConfigurationSpace(seed=seed)
        for each in space:
            if each["type"] == "float":
                whole.add(cs.UniformFloatHyperparameter(each["name"], each["low"], each["high"], log=each["log"]))
            elif each["type"] == "int":
                whole.add(cs.UniformIntegerHyperparameter(each["name"], each["low"], each["high"], log=each["log"]))
            elif each["type"] == "ordinal":
                whole.add(cs.UniformIntegerHyperparameter(each["name"], *_as_index(each)))
            else:
                whole.add(cs.CategoricalHyperparameter(each["name"], list(range(len(each["values"])))))
        self._space, self._folder = space, tempfile.TemporaryDirectory()
        scenario = smac.Scenario(
            whole, n_trials=budget, deterministic=True, seed=seed, output_directory=self._folder.name
        )
        facade = smac.HyperparameterOptimizationFacade if len(space) <= 20 else smac.BlackBoxFacade
        self._facade = facade(scenario, lambda config, seed=0: 0.0, logging_level=False, overwrite=True)

    def ask(self) -> tuple[Any, Values]:
        info = self._facade.ask()
        values = {}
        for each in self._space:
            value = info.config[each["name"]]
            listed = each["type"] in ("ordinal", "categorical")
            own = int if each["type"] == "int" else float
            values[each["name"]] = each["values"][int(value)] if listed else own(value)
        return info, values

    def tell(self, token: Any, loss: float | None) -> None:
        from smac.runhistory.dataclasses import TrialValue

        self._facade.tell(token, TrialValue(cost=loss), save=False)


class Ax(Engine):
    """Ax with the generation strategy that it chooses, BoTorch's log noisy expected improvement after a quasi-random start."""

    takes_failures = True

    def __init__(self, space: list[Entry], seed: int, budget: int, parallel: int) -> None:
        from ax.api.client import Client
        from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

        logging.disable(logging.WARNING)
        made: list[Any] = []
        for each in space:
            if each["type"] in ("float", "int"):
                scaling = "log" if each["log"] else "linear"
                made.append(
                    RangeParameterConfig(
                        name=each["name"],
                        parameter_type=each["type"],
                        bounds=(each["low"], each["high"]),
                        scaling=scaling,
                    )
                )
            else:
                ordered = each["type"] == "ordinal"
                made.append(
                    ChoiceParameterConfig(
                        name=each["name"],
                        parameter_type="int",
                        values=list(range(len(each["values"]))),
                        is_ordered=ordered,
                    )
                )
        self._space, self._client = space, Client(random_seed=seed)
        self._client.configure_experiment(parameters=made)
        self._client.configure_optimization(objective="-loss")

    def ask(self) -> tuple[Any, Values]:
        ((index, found),) = self._client.get_next_trials(max_trials=1).items()
        listed = {each["name"]: each["values"] for each in self._space if "values" in each}
        return index, {name: listed[name][value] if name in listed else value for name, value in found.items()}

    def tell(self, token: Any, loss: float | None) -> None:
        if loss is None:
            self._client.mark_trial_failed(token)
        else:
            self._client.complete_trial(token, raw_data={"loss": loss})


class HyperOpt(Engine):
    def __init__(self, space: list[Entry], seed: int, budget: int, parallel: int) -> None:
        import hyperopt
        import numpy as np
        from hyperopt import hp
        from hyperopt.pyll import scope

        logging.getLogger("hyperopt").setLevel(logging.ERROR)
        nodes = {}
        for each in space:
            name = each["name"]
            if each["type"] == "float" and each["log"]:
                nodes[name] = hp.loguniform(name, np.log(each["low"]), np.log(each["high"]))
            elif each["type"] == "float":
                nodes[name] = hp.uniform(name, each["low"], each["high"])
            elif each["type"] == "int" and each["log"]:
                ends = np.log(each["low"] - 0.499), np.log(each["high"] + 0.499)
                nodes[name] = scope.int(hp.qloguniform(name, *ends, 1))
            elif each["type"] == "int":
                nodes[name] = hp.uniformint(name, each["low"], each["high"])
            elif each["type"] == "ordinal":
                nodes[name] = hp.uniformint(name, *_as_index(each))
            else:
                nodes[name] = hp.choice(name, list(range(len(each["values"]))))
        self._hyperopt, self._space, self._source = hyperopt, space, np.random.default_rng(seed)
        self._trials, self._domain = hyperopt.Trials(), hyperopt.Domain(lambda values: 0.0, nodes)

    def ask(self) -> tuple[Any, Values]:
        hyperopt = self._hyperopt
        ids = self._trials.new_trial_ids(1)
        (document,) = hyperopt.tpe.suggest(ids, self._domain, self._trials, int(self._source.integers(2**31 - 1)))
        document["state"] = hyperopt.JOB_STATE_RUNNING
        self._trials.insert_trial_docs([document])
        self._trials.refresh()
        chosen = {key: values[0] for key, values in document["misc"]["vals"].items() if values}
        found = hyperopt.space_eval(self._domain.expr, chosen)
        values = {}
        for each in self._space:
            value = found[each["name"]]
            if "values" in each:
                values[each["name"]] = each["values"][int(value)]
            else:
                own = int if each["type"] == "int" else float
                values[each["name"]] = own(min(max(value, each["low"]), each["high"]))
        return ids[0], values

    def tell(self, token: Any, loss: float | None) -> None:
        for document in self._trials._dynamic_trials:
            if document["tid"] == token:
                document["state"] = self._hyperopt.JOB_STATE_DONE
                document["result"] = {"status": "ok", "loss": loss}
        self._trials.refresh()


class Nevergrad(Engine):
    """Nevergrad's NGOpt, which chooses an algorithm by the space, the budget and the workers."""

    def __init__(self, space: list[Entry], seed: int, budget: int, parallel: int) -> None:
        import nevergrad as ng
        import numpy as np

        made = {}
        for each in space:
            if each["type"] in ("float", "int"):
                low, high = each["low"], each["high"]
                kind = ng.p.Log(lower=low, upper=high) if each["log"] else ng.p.Scalar(lower=low, upper=high)
                made[each["name"]] = kind.set_integer_casting() if each["type"] == "int" else kind
            elif each["type"] == "ordinal":
                made[each["name"]] = ng.p.TransitionChoice(list(range(len(each["values"]))))
            else:
                made[each["name"]] = ng.p.Choice(list(range(len(each["values"]))))
        whole = ng.p.Dict(**made)
        whole.random_state = np.random.RandomState(seed)
        self._space = space
        self._optimizer = ng.optimizers.NGOpt(parametrization=whole, budget=budget, num_workers=parallel)

    def ask(self) -> tuple[Any, Values]:
        candidate = self._optimizer.ask()
        values = {}
        for each in self._space:
            value = candidate.value[each["name"]]
            own = int if each["type"] == "int" else float
            values[each["name"]] = each["values"][int(value)] if "values" in each else own(value)
        return candidate, values

    def tell(self, token: Any, loss: float | None) -> None:
        self._optimizer.tell(token, loss)


@dataclass(frozen=True)
class Peer:
    """A peer.

    Attributes:
        make: from a space, a seed, a budget and how many trials are in flight.
        packages: to install in its environment, the first of which is the peer itself; () for that of cloudtune.
        environment: its name; peers of one package share it.
        alone: what is installed afterwards without its own requirements.
        planned: whether it plans by the budget, so that the first 30 trials of 60 are not those of a run of 30.
    """

    make: Callable[..., Engine]
    packages: tuple[str, ...] = ()
    environment: str = ""
    alone: tuple[str, ...] = ()
    planned: bool = False

    def versions(self) -> dict[str, str]:
        """The versions of its packages, by name."""
        found = {}
        for package in (*self.alone, *self.packages) or ("cloudtune",):
            name = package.partition("=")[0].partition(">")[0].partition("<")[0].partition("[")[0]
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
        return found


def _optuna(sampler: str) -> Peer:
    return Peer(lambda *about: Optuna(sampler, *about), ("optuna", "cmaes", "scipy", "torch"), "optuna")


PEERS: dict[str, Peer] = {
    "cloudtune": Peer(lambda *about: Cloudtune("bayesian", *about), planned=True),
    "cloudtune auto": Peer(lambda *about: Cloudtune("auto", *about), planned=True),
    "random": Peer(lambda *about: Random(*about)),
    "Optuna TPE": _optuna("TPESampler"),
    "Optuna GP": _optuna("GPSampler"),
    "Optuna CMA-ES": _optuna("CmaEsSampler"),
    "Optuna NSGA-II": _optuna("NSGAIISampler"),
    "HEBO": Peer(
        lambda *about: Hebo(*about),
        ("torch", "gpytorch", "pymoo", "numpy", "pandas", "scikit-learn", "catboost", "disjoint-set"),
        "hebo",
        alone=("HEBO",),
    ),
    "Vizier": Peer(lambda *about: Vizier(*about), ("google-vizier[jax]", "jax<0.5", "jaxlib<0.5"), "vizier"),
    "SMAC3": Peer(lambda *about: Smac(*about), ("smac",), "smac", planned=True),
    "Ax": Peer(lambda *about: Ax(*about), ("ax-platform", "botorch", "torch"), "ax"),
    "HyperOpt TPE": Peer(lambda *about: HyperOpt(*about), ("hyperopt", "setuptools<81"), "hyperopt"),
    "Nevergrad": Peer(lambda *about: Nevergrad(*about), ("nevergrad",), "nevergrad", planned=True),
}
