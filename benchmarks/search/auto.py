"""Whether ``strategy: auto`` is as good as the best fixed choice, in groups of conditions.

    python benchmarks/search/auto.py [--seeds 3] [--budgets 10 60 300] [--parallel 1 8]

Every strategy has the same tasks and seeds; a run's figure is its best loss, or, of several objectives, the hypervolume of its front.
The table has mean ranks (1 is best, ties share), and how often auto was better and worse than the best fixed choice of the group.
"""

import argparse
import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import numpy as np  # after the threads are limited
from fronts import PROBLEMS, volume
from scipy.stats import binomtest, rankdata

from cloudtune.search import Search
from cloudtune.spec.job import TuningJob

Values = Mapping[str, Any]
STRATEGIES = ("auto", "bayesian", "random", "sobol", "evolutionary")


@dataclass(frozen=True)
class Task:
    """Losses of the values of a space; one loss, or several."""

    group: str
    space: dict[str, Any]
    losses: Callable[[Values], list[float]]
    objectives: int = 1


def _cube(size: int, low: float = -5.0, high: float = 5.0) -> dict[str, Any]:
    return {f"x{index}": {"type": "float", "low": low, "high": high} for index in range(size)}


def _point(values: Values) -> Any:
    return np.array([each for each in values.values() if not isinstance(each, str)], dtype=float)


def _shifted(values: Values, optimum: float) -> Any:
    """Return the point of a cube, moved so that the optimum is where no search begins."""
    x = _point(values)
    return x - np.random.default_rng(len(x)).uniform(-3, 3, len(x)) + optimum


def _rosenbrock(values: Values) -> list[float]:
    x = 0.5 * _shifted(values, 2.0)
    return [float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())]


def _rastrigin(values: Values) -> list[float]:
    x = _shifted(values, 0.0)
    return [float((x * x - 3 * np.cos(2 * np.pi * x)).sum())]


def _ellipsoid(values: Values) -> list[float]:
    x = _shifted(values, 0.0)
    return [float((x * x * 10 ** np.linspace(0, 3, len(x))).sum())]


_MIXED = {
    "rate": {"type": "float", "low": 1e-5, "high": 1.0, "scale": "log"},
    "layers": {"type": "int", "low": 1, "high": 12},
    "size": {"type": "ordinal", "values": [16, 32, 64, 128, 256]},
    "kind": {"type": "categorical", "values": ["a", "b", "c", "d"]},
}


def _mixed(values: Values) -> list[float]:
    best = {"a": -2.0, "b": -3.0, "c": -1.0, "d": -4.0}[values["kind"]]
    away = (np.log10(values["rate"]) - best) ** 2 + 0.1 * (values["layers"] - 5) ** 2
    return [float(away + 0.3 * abs(np.log2(values["size"]) - 6) + (values["kind"] in "ac"))]


_FINITE = {
    "depth": {"type": "int", "low": 1, "high": 3},
    "size": {"type": "ordinal", "values": [16, 64, 256]},
}


def _finite(values: Values) -> list[float]:
    return [float(abs(values["depth"] - 3) + abs(np.log2(values["size"]) - 6))]


_CONDITIONAL = {
    "model": {"type": "categorical", "values": ["tree", "net"]},
    "depth": {"type": "int", "low": 1, "high": 20, "when": {"model": "tree"}},
    "share": {"type": "float", "low": 0.0, "high": 1.0, "when": {"model": "tree"}},
    "rate": {"type": "float", "low": 1e-5, "high": 1.0, "scale": "log", "when": {"model": "net"}},
    "decay": {"type": "float", "low": 1e-6, "high": 1e-1, "scale": "log", "when": {"model": "net"}},
}


def _conditional(values: Values) -> list[float]:
    if values["model"] == "tree":
        return [0.5 + 0.02 * (values["depth"] - 7) ** 2 + (values["share"] - 0.4) ** 2]
    return [float(0.3 * (np.log10(values["rate"]) + 2.5) ** 2 + 0.1 * (np.log10(values["decay"]) + 4) ** 2)]


def _front(name: str, count: int) -> Task:
    losses, _ = PROBLEMS[name]
    return Task(
        "several objectives", _cube(count + 4, 0.0, 1.0), lambda values: losses(_point(values) ** 1.7, count), count
    )


TASKS = {
    "Rosenbrock-4": Task("numbers", _cube(4), _rosenbrock),
    "Rastrigin-3": Task("numbers", _cube(3), _rastrigin),
    "ellipsoid-6": Task("numbers", _cube(6), _ellipsoid),
    "ellipsoid-20": Task("many dimensions", _cube(20), _ellipsoid),
    "mixed": Task("mixed", _MIXED, _mixed),
    "finite": Task("finite", _FINITE, _finite),
    "conditional": Task("conditional", _CONDITIONAL, _conditional),
    "DTLZ2-2": _front("DTLZ2", 2),
    "DTLZ2-3": _front("DTLZ2", 3),
    "DTLZ2-6": _front("DTLZ2", 6),
}


def run(task: Task, strategy: str, seed: int, budget: int, parallel: int) -> float:
    """Return what a run reaches, lower is better; the trial that was launched first ends first."""
    job = TuningJob.from_data(
        {
            "name": "auto",
            "trial": {"command": "true"},
            "objective": [{"metric": f"f{index}", "goal": "minimize"} for index in range(task.objectives)],
            "space": task.space,
            "strategy": {"type": strategy},
            "limits": {"trials": budget, "parallel": parallel},
        }
    )
    search, flying, found = Search.for_job(job, seed=seed), [], []
    while True:
        trial = search.ask() if len(flying) < parallel else None
        if trial is not None:
            flying.append(trial)
        elif flying:
            ended = flying.pop(0)
            found.append(task.losses(ended.parameters))
            search.tell(ended, {f"f{index}": loss for index, loss in enumerate(found[-1])})
        else:
            break
    return -volume(found, np.full(task.objectives, 1.5)) if task.objectives > 1 else min(found)[0]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--seeds", type=int, default=3)
    asked.add_argument("--budgets", type=int, nargs="*", default=[10, 60, 300])
    asked.add_argument("--parallel", type=int, nargs="*", default=[1, 8])
    asked.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    args = asked.parse_args()
    for budget in args.budgets:
        for parallel in args.parallel:
            groups: dict[str, list[list[float]]] = defaultdict(list)
            for name in args.tasks:
                for seed in range(args.seeds):
                    reached = [run(TASKS[name], each, seed, budget, parallel) for each in STRATEGIES]
                    groups[TASKS[name].group].append(reached)
            for group, rows in groups.items():
                report(f"{budget} trials, {parallel} in flight, {group}", np.array(rows))


def report(title: str, reached: Any) -> None:
    """Print the mean ranks of the strategies, the columns of what runs reached, and auto beside the best fixed one."""
    ranks = np.mean([rankdata(np.round(row, 12)) for row in reached], axis=0)
    best = 1 + int(np.argmin(ranks[1:]))
    apart = np.round(reached[:, best] - reached[:, 0], 12)
    better, worse = int((apart > 0).sum()), int((apart < 0).sum())
    p = binomtest(better, better + worse).pvalue if better + worse else 1.0
    told = ", ".join(f"{name} {rank:.2f}" for name, rank in zip(STRATEGIES, ranks, strict=True))
    verdict = "WORSE" if worse > better and p < 0.05 else "as good" if p >= 0.05 else "better"
    print(f"{title}: {told}; auto and {STRATEGIES[best]}: {better} better, {worse} worse: {verdict}", flush=True)


if __name__ == "__main__":
    main()
