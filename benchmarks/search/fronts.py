"""How much of the front of several objectives a search finds, beside Optuna's samplers.

    python benchmarks/search/fronts.py [--objectives 2 3 4 6] [--trials 60] [--seeds 5]

Problems are DTLZ2 and DTLZ7 (Deb et al. 2002, doi 10.1109/CEC.2002.1007032) of four dimensions more than objectives. The figure is
the hypervolume below a fixed reference, its mean over the seeds and the standard error of that, and the milliseconds a suggestion.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import numpy as np  # after the threads are limited
import optuna

from cloudtune.search import Search
from cloudtune.search.pareto import front, hypervolume

Losses = list[float]
_POINTS = 40_000
_EXACT = 3
"""Objectives up to which the volume is exact; of more it is a share of random points."""


def dtlz2(x: Any, count: int) -> Losses:
    radius, angles = 1 + float(((x[count - 1 :] - 0.5) ** 2).sum()), x[: count - 1] * np.pi / 2
    found = []
    for index in range(count):
        value = radius * np.prod(np.cos(angles[: count - 1 - index]))
        found.append(float(value * np.sin(angles[count - 1 - index]) if index else value))
    return found


def dtlz7(x: Any, count: int) -> Losses:
    g, plain = 1 + 9 * float(x[count - 1 :].mean()), x[: count - 1]
    h = count - float((plain / (1 + g) * (1 + np.sin(3 * np.pi * plain))).sum())
    return [*plain.tolist(), (1 + g) * h]


PROBLEMS: dict[str, tuple[Callable[[Any, int], Losses], Callable[[int], Any]]] = {
    "DTLZ2": (dtlz2, lambda count: np.full(count, 1.5)),
    "DTLZ7": (dtlz7, lambda count: np.array([1.1] * (count - 1) + [2 * count + 1.0])),
}


def ours(
    strategy: str, measure: Callable[[Any], Losses], size: int, count: int, seed: int, trials: int
) -> list[Losses]:
    space = {f"x{index}": {"type": "float", "low": 0, "high": 1} for index in range(size)}
    goals = [{"metric": f"f{index}", "goal": "minimize"} for index in range(count)]
    search, found = Search(space, goals, strategy, seed=seed, trials=trials), []
    while (trial := search.ask()) is not None:
        losses = measure(np.array([trial.parameters[name] for name in space], dtype=float))
        search.tell(trial, {f"f{index}": loss for index, loss in enumerate(losses)})
        found.append(losses)
    return found


def optunas(
    sampler: str, measure: Callable[[Any], Losses], size: int, count: int, seed: int, trials: int
) -> list[Losses]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["minimize"] * count, sampler=getattr(optuna.samplers, sampler)(seed=seed))
    found = []
    for _ in range(trials):
        trial = study.ask()
        losses = measure(np.array([trial.suggest_float(f"x{index}", 0, 1) for index in range(size)]))
        study.tell(trial, losses)
        found.append(losses)
    return found


ENGINES: dict[str, Callable[..., list[Losses]]] = {
    "bayesian": lambda *about: ours("bayesian", *about),
    "evolutionary": lambda *about: ours("evolutionary", *about),
    "random": lambda *about: ours("random", *about),
    "TPE": lambda *about: optunas("TPESampler", *about),
    "NSGA-II": lambda *about: optunas("NSGAIISampler", *about),
}


def volume(losses: list[Losses], reference: Any) -> float:
    """Return the hypervolume below the reference that some losses dominate."""
    known = np.array(losses)
    known = known[(known < reference).all(axis=1)]
    if not len(known):
        return 0.0
    known = known[front(known)]
    if known.shape[1] <= _EXACT:
        return hypervolume(known, reference)
    points = reference * np.random.default_rng(0).random((_POINTS, known.shape[1]))
    dominated = np.zeros(_POINTS, dtype=bool)
    for each in known:
        dominated |= (points >= each).all(axis=1)
    return float(dominated.mean() * np.prod(reference))


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--objectives", type=int, nargs="*", default=[2, 3, 4, 6])
    asked.add_argument("--engines", nargs="*", default=list(ENGINES), choices=list(ENGINES))
    asked.add_argument("--trials", type=int, default=60)
    asked.add_argument("--seeds", type=int, default=5)
    args = asked.parse_args()
    for problem, (losses, reference) in PROBLEMS.items():
        for count in args.objectives:
            size, cells = count + 4, []
            for engine in args.engines:
                since, found = time.process_time(), []
                for seed in range(args.seeds):
                    run = ENGINES[engine](lambda x: losses(x, count), size, count, seed, args.trials)  # noqa: B023
                    found.append(volume(run, reference(count)))
                error = np.std(found, ddof=1) / np.sqrt(len(found)) if len(found) > 1 else 0.0
                spent = 1000 * (time.process_time() - since) / args.seeds / args.trials
                cells.append(f"{engine} {np.mean(found):.3f} ± {error:.3f} ({spent:.0f} ms)")
            print(f"{problem}, {count} objectives: {', '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
