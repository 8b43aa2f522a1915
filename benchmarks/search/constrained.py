"""How good the best feasible trial is on standard problems with constraints, beside Optuna's samplers.

    python benchmarks/search/constrained.py [--seeds 10] [--trials 40] [--engines random,bayesian,TPESampler,GPSampler]

GPSampler needs torch. Every engine gets the same values and the same violations, one trial at a time.
"""

import argparse
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import rankdata, wilcoxon

from cloudtune.results.constraints import total_violation, violations
from cloudtune.search import Search
from cloudtune.spec.constraint import Constraint

Metrics = dict[str, float]
LOSS = {"metric": "loss", "goal": "minimize"}


@dataclass(frozen=True)
class Problem:
    """A loss to minimise under bounds on the metrics c0, c1, …; the optimum is the least feasible loss."""

    name: str
    space: Mapping[str, Any]
    bounds: Sequence[Mapping[str, float]]
    measure: Callable[..., tuple[float, Sequence[float]]]
    optimum: float

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        return tuple(Constraint.model_validate({"metric": f"c{i}", **each}) for i, each in enumerate(self.bounds))

    def run(self, values: Mapping[str, float]) -> Metrics:
        loss, measured = self.measure(**values)
        return {"loss": loss, **{f"c{index}": value for index, value in enumerate(measured)}}


def _floats(**ranges: tuple[float, float]) -> dict[str, Any]:
    return {name: {"type": "float", "low": low, "high": high} for name, (low, high) in ranges.items()}


def _townsend(x: float, y: float) -> tuple[float, list[float]]:
    t = math.atan2(x, y)
    edge = 2 * math.cos(t) - math.cos(2 * t) / 2 - math.cos(3 * t) / 4 - math.cos(4 * t) / 8
    loss = -(math.cos((x - 0.1) * y) ** 2) - x * math.sin(3 * x + y)
    return loss, [x * x + y * y - edge**2 - (2 * math.sin(t)) ** 2]


def _g04(a: float, b: float, c: float, d: float, e: float) -> tuple[float, list[float]]:
    loss = 5.3578547 * c * c + 0.8356891 * a * e + 37.293239 * a - 40792.141
    one = 85.334407 + 0.0056858 * b * e + 0.0006262 * a * d - 0.0022053 * c * e
    two = 80.51249 + 0.0071317 * b * e + 0.0029955 * a * b + 0.0021813 * c * c
    return loss, [one, two, 9.300961 + 0.0047026 * c * e + 0.0012547 * a * c + 0.0019085 * c * d]


def _welded_beam(h: float, l: float, t: float, b: float) -> tuple[float, list[float]]:  # noqa: E741  # as in the literature
    load, length, young, shear = 6000.0, 14.0, 30e6, 12e6
    bend = load * (length + l / 2)
    radius = math.sqrt(l * l / 4 + ((h + t) / 2) ** 2)
    inertia = 2 * math.sqrt(2) * h * l * (l * l / 12 + ((h + t) / 2) ** 2)
    first, second = load / (math.sqrt(2) * h * l), bend * radius / inertia
    tau = math.sqrt(first**2 + first * second * l / radius + second**2)
    buckling = (
        4.013
        * young
        * math.sqrt(t * t * b**6 / 36)
        / length**2
        * (1 - t / (2 * length) * math.sqrt(young / (4 * shear)))
    )
    loss = 1.10471 * h * h * l + 0.04811 * t * b * (14 + l)
    deflection = 4 * load * length**3 / (young * t**3 * b)
    return loss, [tau, 6 * load * length / (b * t * t), h - b, deflection, buckling]


def _pressure_vessel(shell: float, head: float, radius: float, length: float) -> tuple[float, list[float]]:
    loss = (
        0.6224 * shell * radius * length
        + 1.7781 * head * radius**2
        + 3.1661 * shell**2 * length
        + 19.84 * shell**2 * radius
    )
    volume = math.pi * radius**2 * length + 4 / 3 * math.pi * radius**3
    return loss, [0.0193 * radius - shell, 0.00954 * radius - head, volume]


_SQUARE = _floats(x=(0, 6), y=(0, 6))
_PLATES = {name: {"type": "float", "low": 0.0625, "high": 6.1875, "step": 0.0625} for name in ("shell", "head")}
PROBLEMS = [
    Problem("Gardner 1", _SQUARE, [{"max": -0.5}], lambda x, y: (math.cos(2 * x) * math.cos(y) + math.sin(x), [math.cos(x + y)]), -1.8887),
    Problem("Gardner 2", _SQUARE, [{"max": -0.95}], lambda x, y: (math.sin(x) + y, [math.sin(x) * math.sin(y)]), 0.2532),
    Problem("Townsend", _floats(x=(-2.25, 2.25), y=(-2.5, 1.75)), [{"max": 0}], _townsend, -2.02399),
    Problem(
        "G04", _floats(a=(78, 102), b=(33, 45), c=(27, 45), d=(27, 45), e=(27, 45)),
        [{"min": 0, "max": 92}, {"min": 90, "max": 110}, {"min": 20, "max": 25}], _g04, -30665.539,
    ),
    Problem(
        "welded beam", _floats(h=(0.125, 5), l=(0.1, 10), t=(0.1, 10), b=(0.1, 5)),
        [{"max": 13600}, {"max": 30000}, {"max": 0}, {"max": 0.25}, {"min": 6000}], _welded_beam, 1.7249,
    ),
    Problem(
        "pressure vessel", {**_PLATES, **_floats(radius=(10, 200), length=(10, 200))},
        [{"max": 0}, {"max": 0}, {"min": 1296000}], _pressure_vessel, 6059.714,
    ),
]  # fmt: skip
"""Gardner et al. 2014; Townsend 2014 (chebfun.org); G04 of Koziel & Michalewicz 1999; the two designs of Coello 2000."""


def searched(problem: Problem, strategy: Any, seed: int, trials: int) -> list[Metrics]:
    """Return what the trials of a strategy of ours measured."""
    search = Search(problem.space, LOSS, strategy, seed=seed, trials=trials, constraints=problem.constraints)
    found = []
    while (trial := search.ask()) is not None:
        found.append(problem.run(trial.parameters))  # type: ignore[arg-type]  # all are numbers
        search.tell(trial, found[-1])
    return found


def sampled(problem: Problem, sampler: str, seed: int, trials: int) -> list[Metrics]:
    """Return what the trials of one of Optuna's samplers measured, which has the constraints by its own function."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found: list[Metrics] = []

    def objective(trial: optuna.Trial) -> float:
        values = {
            name: trial.suggest_float(name, each["low"], each["high"], step=each.get("step"))
            for name, each in problem.space.items()
        }
        found.append(problem.run(values))
        trial.set_user_attr("violations", violations(problem.constraints, found[-1]))
        return found[-1]["loss"]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind = getattr(optuna.samplers, sampler)
        made = kind(seed=seed, constraints_func=lambda trial: trial.user_attrs["violations"])
        optuna.create_study(sampler=made).optimize(objective, n_trials=trials)
    return found


def best_feasible(problem: Problem, found: Sequence[Metrics]) -> float:
    """Return the least feasible loss; infinite for none."""
    kept = [each["loss"] for each in found if total_violation(violations(problem.constraints, each)) == 0]
    return min(kept, default=math.inf)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--seeds", type=int, default=10)
    asked.add_argument("--trials", type=int, default=40)
    asked.add_argument("--engines", default="random,bayesian,evolutionary,TPESampler,GPSampler")
    asked.add_argument("--problems", default=",".join(problem.name for problem in PROBLEMS))
    args = asked.parse_args()
    engines, console = args.engines.split(","), Console(width=160)
    table = Table(
        "problem",
        "optimum",
        *engines,
        title=f"Best feasible of {args.trials}: median of {args.seeds} seeds (seeds with one)",
    )
    spent, asked_for = dict.fromkeys(engines, 0.0), 0
    reached: list[np.ndarray] = []
    for problem in (each for each in PROBLEMS if each.name in args.problems.split(",")):
        asked_for += args.seeds * args.trials
        losses = np.empty((args.seeds, len(engines)))
        for column, engine in enumerate(engines):
            since = time.process_time()
            run = sampled if engine.endswith("Sampler") else searched
            losses[:, column] = [
                best_feasible(problem, run(problem, engine, seed, args.trials)) for seed in range(args.seeds)
            ]
            spent[engine] += time.process_time() - since
        cells = [f"{np.median(each):.5g} ({np.isfinite(each).sum()})" for each in losses.T]
        table.add_row(problem.name, f"{problem.optimum:.5g}", *cells)
        reached.append(losses)
        console.print(problem.name, *cells)
    ranks = np.mean([rankdata(row) for losses in reached for row in losses], axis=0)
    table.add_section()
    table.add_row("mean rank", "", *(f"{rank:.2f}" for rank in ranks))
    table.add_row("ms a suggestion", "", *(f"{1000 * spent[engine] / asked_for:.0f}" for engine in engines))
    console.print(table)
    if "bayesian" in engines:
        console.print(*_paired(reached, engines), sep="\n")


def _paired(reached: Sequence[np.ndarray], engines: Sequence[str]) -> list[str]:
    """Return what paired seeds say of our Bayesian search and each other engine; a run without a feasible trial loses."""
    ours, said = engines.index("bayesian"), []
    for column, engine in enumerate(engines):
        if column == ours:
            continue
        signs = np.concatenate(
            [np.sign(np.nan_to_num(losses[:, column] - losses[:, ours], nan=0.0)) for losses in reached]
        )
        test = wilcoxon(signs).pvalue if signs.any() else 1.0
        said.append(
            f"bayesian better than {engine} in {(signs > 0).sum()} of {len(signs)} runs, worse in {(signs < 0).sum()} (p = {test:.2g})"
        )
    return said


if __name__ == "__main__":
    main()
