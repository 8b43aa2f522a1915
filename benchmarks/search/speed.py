"""What a suggestion costs at a number of observations: ask and tell, refits included, on one core."""

import math
import random
import statistics
import time

from engines import ENGINES
from rich.console import Console
from rich.table import Table

from cloudtune.space.parameters import Categorical, Float, Int, Ordinal
from cloudtune.space.space import Space

SPACE = {
    **{f"float{index}": Float(low=0, high=1) for index in range(3)},
    **{f"log{index}": Float(low=1e-5, high=1, scale="log") for index in range(2)},
    "int": Int(low=1, high=100),
    "logint": Int(low=1, high=1000, scale="log"),
    "level": Ordinal(values=(8, 16, 32, 64)),
    "kind": Categorical(values=("a", "b", "c")),
    "flag": Categorical(values=(True, False)),
}
COUNTS = (50, 200, 1000, 2000)
PATIENCE = 120.0
"""Seconds after which an engine is not asked for more."""


def _loss(space: Space, values: dict, source: random.Random) -> float:
    positions = [0.5 if position is None else position for position in space.positions(values)]
    return sum((position - 0.3) ** 2 * (1 + index / 5) for index, position in enumerate(positions)) + source.gauss(
        0, 0.05
    )


def speed(engines: list[str]) -> None:
    """Prints milliseconds a suggestion: the mean of the run up to a count, and of the last twentieth before it."""
    table = Table("engine", *(f"to {count}" for count in COUNTS), *(f"at {count}" for count in COUNTS))
    space = Space(SPACE)
    for name in engines:
        engine, source, took = ENGINES[name](space, 0, COUNTS[-1], 1), random.Random(0), []
        while len(took) < COUNTS[-1] and sum(took) < PATIENCE:
            since = time.perf_counter()
            token, values = engine.ask()
            took.append(time.perf_counter() - since)
            loss = _loss(space, dict(values), source)
            since = time.perf_counter()
            engine.tell(token, loss)
            took[-1] += time.perf_counter() - since
        to = [statistics.fmean(took[:count]) if len(took) >= count else math.nan for count in COUNTS]
        at = [
            statistics.fmean(took[count - max(count // 20, 10) : count]) if len(took) >= count else math.nan
            for count in COUNTS
        ]
        table.add_row(name, *("–" if math.isnan(each) else f"{1000 * each:.1f}" for each in [*to, *at]))
    Console(width=200).print("milliseconds a suggestion, 10 mixed dimensions", table)
