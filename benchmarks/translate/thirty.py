"""The job of 30 parameters, and a clock."""

import statistics
import time
from collections.abc import Callable

from cloudtune import TuningJob
from cloudtune.space.parameters import Categorical, Float, Int, Parameter

ROUNDS = 200


def space() -> dict[str, Parameter]:
    """Ten parameters of each of three kinds."""
    kinds: list[Parameter] = [
        Float(low=1e-5, high=1, scale="log"),
        Int(low=1, high=100),
        Categorical(values=("a", "b", "c")),
    ]
    return {f"parameter_{index}": kinds[index % 3] for index in range(30)}


def job() -> TuningJob:
    """A job with this space."""
    return TuningJob.from_data(
        {
            "name": "thirty",
            "trial": {"command": "python train.py"},
            "objective": {"metric": "loss", "goal": "minimize"},
            "space": {name: parameter.model_dump(mode="json") for name, parameter in space().items()},
            "strategy": {"type": "bayesian"},
            "limits": {"trials": 100, "parallel": 4},
        }
    )


def median_ms(work: Callable[[], object]) -> float:
    """The median time of a piece of work, in milliseconds; the first time does not count."""
    work()
    took = []
    for _ in range(ROUNDS):
        since = time.perf_counter()
        work()
        took.append(time.perf_counter() - since)
    return 1000 * statistics.median(took)
