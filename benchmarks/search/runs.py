"""Running engines on tasks, many at once, and keeping what came out."""

import json
import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

BUDGET = 60
"""Evaluations of one run."""

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Case:
    """One engine on one task with one seed."""

    task: str
    engine: str
    seed: int
    parallel: int


@dataclass(frozen=True)
class Outcome:
    """What a case came to.

    Attributes:
        reached: the true loss of the trial that looked best, after each evaluation.
        seconds: spent in the engine, the evaluations not counted.
    """

    case: Case
    reached: tuple[float, ...]
    seconds: float


def run(case: Case) -> Outcome:
    """Runs an engine with a fixed number of trials in flight; the oldest ends first."""
    from engines import ENGINES  # after the threads are limited
    from tasks import task

    from cloudtune.space.space import Space

    what = task(case.task)
    spent, best, reached, flying = 0.0, (float("inf"), float("inf")), [], []
    since = time.perf_counter()
    engine = ENGINES[case.engine](Space(what.entries), case.seed, BUDGET, case.parallel)
    spent += time.perf_counter() - since
    for _ in range(BUDGET):
        since = time.perf_counter()
        if len(flying) == case.parallel:
            engine.tell(*flying.pop(0))
        token, values = engine.ask()
        spent += time.perf_counter() - since
        observed = what.observe(values, case.seed)
        best = min(best, (observed, what.truth(values)) if what.noise else (observed, observed))
        reached.append(best[1])
        flying.append((token, observed))
    return Outcome(case, tuple(reached), spent)


def run_all(cases: Iterable[Case], keep: Path, workers: int) -> Iterator[Outcome]:
    """The outcomes of all cases: those that are kept already, then the others as they end, which are kept too."""
    known = {outcome.case: outcome for outcome in kept(keep)}
    wanted = list(dict.fromkeys(cases))
    yield from (known[case] for case in wanted if case in known)
    missing = [case for case in wanted if case not in known]
    for name in ONE_THREAD:
        os.environ[name] = "1"
    with multiprocessing.get_context("spawn").Pool(workers) as pool, keep.open("a") as file:
        for outcome in pool.imap_unordered(run, missing):
            file.write(json.dumps(asdict(outcome)) + "\n")
            file.flush()
            yield outcome


def kept(path: Path) -> Iterator[Outcome]:
    """What earlier runs kept in a file."""
    if path.exists():
        for line in path.read_text().splitlines():
            data = json.loads(line)
            yield Outcome(Case(**data["case"]), tuple(data["reached"]), data["seconds"])
