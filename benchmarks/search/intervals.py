"""How often the intervals of the report's model hold the truth, over functions whose truth is known.

    python benchmarks/search/intervals.py [--trials 50] [--seeds 1] [--strategy random]

31 functions of 2 to 6 dimensions, smooth ones and ones with edges, each without noise, with a standard deviation of 0.3 of the function's
own spread, and with one as large. A 90 % interval should hold 9 of 10 truths: at the setting that is expected to be the best, at the
best trial, and at settings drawn at random.
"""

import argparse
import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from cloudtune.search import Search
from cloudtune.search.insight import Expected, Insight
from cloudtune.space.parameters import Float
from cloudtune.space.space import Space

Array = Any
NOISES = (0.0, 0.3, 1.0)
_DRAWN = 10
_WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])


def _hartmann(steep: Any, centres: Any) -> Callable[[Array], float]:
    powers, places = np.array(steep), 1e-4 * np.array(centres)
    return lambda x: -float((_WEIGHTS * np.exp(-(powers * (x - places) ** 2).sum(axis=1))).sum())


def _branin(x: Array) -> float:
    a, b = 15 * x[0] - 5, 15 * x[1]
    bowl = (b - 5.1 / (4 * math.pi**2) * a * a + 5 / math.pi * a - 6) ** 2
    return (bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) - 44.8) / 51.9


def _camel(x: Array) -> float:
    a, b = 4 * x[0] - 2, 2 * x[1] - 1
    return (4 - 2.1 * a * a + a**4 / 3) * a * a + a * b + (-4 + 4 * b * b) * b * b


def _goldstein(x: Array) -> float:
    a, b = 4 * x[0] - 2, 4 * x[1] - 2
    one = 1 + (a + b + 1) ** 2 * (19 - 14 * a + 3 * a * a - 14 * b + 6 * a * b + 3 * b * b)
    two = 30 + (2 * a - 3 * b) ** 2 * (18 - 32 * a + 12 * a * a + 48 * b - 36 * a * b + 27 * b * b)
    return math.log(one * two)


def _levy(x: Array) -> float:
    w = 1 + (20 * x - 11) / 4
    middle = ((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(math.pi * w[:-1] + 1) ** 2)).sum()
    return math.sin(math.pi * w[0]) ** 2 + middle + (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2)


def _ackley(x: Array) -> float:
    z = 4 * (x - 0.37)
    return 22.7 - 20 * math.exp(-0.2 * math.sqrt((z * z).mean())) - math.exp(np.cos(2 * math.pi * z).mean())


def _rosenbrock(x: Array) -> float:
    z = 3 * x - 1
    return math.log1p((100 * (z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2).sum())


def _styblinski(x: Array) -> float:
    z = 10 * x - 5
    return 0.5 * (z**4 - 16 * z * z + 5 * z).sum()


def _rate(x: Array) -> float:
    u = 6 * x[0] - 6
    return 0.05 * (u + 2.7) ** 2 + 0.6 / (1 + math.exp(-8 * (u + 1.2))) + 0.05 * (x[1] - 0.5) ** 2 + 0.02 * x[2]


def _rastrigin(x: Array) -> float:
    z = 2.2 * (x - 0.4)
    return (z * z - 0.5 * np.cos(2 * math.pi * z)).sum()


def _griewank(x: Array) -> float:
    z = 12 * (x - 0.6)
    return (z * z).sum() / 40 - np.prod(np.cos(z / np.sqrt(np.arange(1, len(z) + 1))))


_TURNED = np.random.default_rng(5).standard_normal((3, 3))

FUNCTIONS: dict[str, tuple[Callable[[Array], float], int]] = {
    "branin": (_branin, 2), "camel": (_camel, 2), "goldstein": (_goldstein, 2), "levy": (_levy, 3), "ackley": (_ackley, 3),
    "rosenbrock": (_rosenbrock, 4), "styblinski": (_styblinski, 3), "rate": (_rate, 3), "rastrigin": (_rastrigin, 2),
    "griewank": (_griewank, 2),
    "hartmann 3": (_hartmann([[3, 10, 30], [0.1, 10, 35]] * 2, [[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]), 3),
    "hartmann 6": (_hartmann([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]],
        [[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991], [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]]), 6),
    "sphere 2": (lambda x: ((x - 0.3) ** 2).sum(), 2), "sphere 6": (lambda x: ((x - 0.3) ** 2).sum(), 6),
    "unequal": (lambda x: ((x - 0.4) ** 2 * np.array([3, 1, 0.5, 0.1])).sum(), 4),
    "ellipsoid": (lambda x: (10.0 ** (np.arange(4) * 2 / 3) * (x - 0.55) ** 2).sum(), 4),
    "turned": (lambda x: ((_TURNED @ (x - 0.45)) ** 2).sum(), 3), "waves": (lambda x: math.sin(5 * x[0]) + math.cos(4 * x[1]) + 0.5 * x[2], 3),
    "one matters": (lambda x: 2 * (x[0] - 0.25) ** 2 + 0.02 * x[1:].sum(), 6), "plane": (lambda x: x @ np.array([1, -0.7, 0.4, 0.1]), 4),
    "logarithm": (lambda x: math.log10(1e-3 + abs(x[0] - 0.3) + 0.3 * abs(x[1] - 0.6)), 2),
    "steps": (lambda x: math.floor(20 * ((x[0] - 0.5) ** 2 + (x[1] - 0.2) ** 2)) / 5 + 0.1 * x[2], 3),
    "ridge": (lambda x: abs(x[0] - x[1]) + 0.3 * x[2] ** 2, 3), "product": (lambda x: -np.prod(np.sin(math.pi * (x - 0.1))), 3),
    "overfit": (lambda x: math.exp(-3 * x[0]) + 0.36 * x[0] * (1 - x[1]) + 0.25 * x[1] ** 2, 2),
    "tanh": (lambda x: 0.1 * math.tanh(6 * x[0] - 3) ** 2 + 0.2 / (1 + math.exp(-2 * (6 * (x[1] - x[0]) - 1))) + 0.05 * (6 * x[1] - 2) ** 2 / 4, 2),
    "corner": (lambda x: 1 - math.exp(-3 * ((1 - x) ** 2).sum()), 3), "valley": (lambda x: 8 * (x[1] - 0.8 * x[0] ** 2 - 0.1) ** 2 + 0.3 * (x[0] - 0.7) ** 2, 2),
    "threshold": (lambda x: 1 / (1 + math.exp(12 * (x[0] - 0.5))) + 0.3 * (x[1] - 0.2) ** 2, 2),
    "interaction": (lambda x: x[0] * x[1] - 0.5 * x[1] * x[2] + 0.4 * (x[2] - 0.3) ** 2 + 0.2 * x[0], 3),
    "ripples": (lambda x: 0.4 * math.sin(14 * x[0]) + 3 * (x[0] - 0.6) ** 2 + 0.5 * (x[1] - 0.5) ** 2, 2),
}  # fmt: skip


def look(name: str, noise: float, trials: int, seed: int, strategy: str) -> dict[str, list[tuple[bool, float]]]:
    """Return, by kind of setting, whether each interval holds the truth, and its width in spreads of the function."""
    function, size = FUNCTIONS[name]
    source = np.random.default_rng([seed, *name.encode()])
    spread = float(np.std([function(point) for point in source.random((500, size))]))
    names = [f"x{index}" for index in range(size)]
    axes = {each: {"type": "float", "low": 0, "high": 1} for each in names}
    search = Search(axes, {"metric": "loss", "goal": "minimize"}, strategy, seed=seed, trials=trials)
    seen = []
    for _ in range(trials):
        trial = search.ask()
        assert trial is not None
        truth = function(np.array([trial.parameters[each] for each in names]))
        seen.append((dict(trial.parameters), float(truth + noise * spread * source.standard_normal())))
        search.tell(trial, seen[-1][1])
    insight = Insight(Space({each: Float(low=0, high=1) for each in names}), seen)

    def held(found: Expected) -> tuple[bool, float]:
        truth = function(np.array([found.parameters[each] for each in names]))
        inside = found.low <= truth <= found.high or abs(truth - found.loss) < 1e-9 * spread
        return inside, (found.high - found.low) / spread

    best = insight.best()
    assert best is not None
    drawn = [dict(zip(names, point.tolist(), strict=True)) for point in source.random((_DRAWN, size))]
    lowest = min(seen, key=lambda each: each[1])[0]
    return {
        "the expected best": [held(best)],
        "the best trial": [held(insight.expected(lowest))],
        "random settings": [held(insight.expected(each)) for each in drawn],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--strategy", default="random")
    asked = parser.parse_args()
    found: dict[tuple[str, str], list[tuple[bool, float]]] = defaultdict(list)
    for seed in range(asked.seeds):
        for name in FUNCTIONS:
            for noise in NOISES:
                for kind, each in look(name, noise, asked.trials, seed, asked.strategy).items():
                    found[kind, "all"] += each
                    found[kind, f"noise {noise}"] += each
    print(
        f"90 % intervals after {asked.trials} trials by {asked.strategy}, {len(FUNCTIONS)} functions, {asked.seeds} seeds"
    )
    for (kind, which), each in sorted(found.items()):
        share, width = np.mean([inside for inside, _ in each]), np.median([wide for _, wide in each])
        error = math.sqrt(share * (1 - share) / len(each))
        print(
            f"{kind:<20}{which:<12}{len(each):>6} hold {share:.0%} ± {error:.0%}, median width {width:.2f} spreads",
            flush=True,
        )


if __name__ == "__main__":
    main()
