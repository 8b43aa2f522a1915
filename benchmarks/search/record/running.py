"""Run peers on tasks, each in a process of its own environment, and keep what came out, a line of JSON a run.

A run that was killed is begun again, and nothing else: a line is written when its run has ended. Runs of one task and seed come
one after the other, so that a record of few minutes has whole comparisons.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from catalogue import ALL, says
from fidelity_peers import EPOCHS, GO
from groups import GROUPS, VARIANTS, Task, Varied, half

WORKER = Path(__file__).parent / "worker.py"


@dataclass(frozen=True)
class Case:
    """One peer on one task."""

    group: str
    task: str
    variant: str
    parallel: int
    seed: int
    peer: str


def machine() -> dict[str, Any]:
    """Return what the seconds of a run depend on."""
    model = platform.processor()
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return {"system": platform.system(), "machine": platform.machine(), "processor": model, "cores": os.cpu_count()}


def python_of(peer: str, environments: Path) -> str:
    """Return the interpreter of a peer's environment; this one's for cloudtune and random."""
    name = ALL[peer].environment
    return str(environments / name / "bin" / "python") if name else sys.executable


class Worker:
    """A peer in a process of its own."""

    def __init__(self, peer: str, environments: Path, log: Path) -> None:
        self._log = log.open("a")
        self._process = subprocess.Popen(
            [python_of(peer, environments), str(WORKER), peer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.seconds = 0.0

    def request(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer ended with {self._process.wait()}; {self._log.name} has what it said")
        answer: dict[str, Any] = json.loads(line)
        self.seconds += answer["seconds"]
        return answer

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        self._log.close()


def run(case: Case, environments: Path, log: Path, budget: int | None = None) -> dict[str, Any]:
    """Return the line of one run.

    So many trials are in flight as the case says, and the oldest ends first, or all of them (see `Variant`). ``reached`` is the true
    loss of the trial that looked best, after each evaluation; null before the first that did not fail. ``drawn``, of random
    trials alone, is that of each: what a score is measured by.
    """
    group = GROUPS[case.group]
    task = group.make(case.task)
    count = budget or group.budget
    worker = Worker(case.peer, environments, log)
    try:
        new = {"space": task.space, "seed": case.seed, "budget": count, "parallel": case.parallel}
        versions = worker.request(do="new", **new)["versions"]
        worker.seconds = 0.0
        losses = _followed(case, task, count, worker) if group.follows else _asked(case, task, count, worker)
        found = list(losses)
    finally:
        worker.close()
    best: tuple[float, float] | None = None
    reached: list[float | None] = []
    for observed, truth in found:
        if observed is not None and truth is not None:
            best = min(best, (observed, truth)) if best is not None else (observed, truth)
        reached.append(None if best is None else best[1])
    about = {"half": half(case.task), "budget": count, "versions": versions, "machine": machine(), "ended": time.time()}
    line = {**asdict(case), **about, "seconds": worker.seconds / count, "reached": reached}
    return {**line, "drawn": [truth for _, truth in found]} if case.peer == "random" else line


Seen = tuple[float | None, float | None]
"""What a run sees of a trial, and what that is truly worth; None where it failed."""


def _asked(case: Case, task: Task, count: int, worker: Worker) -> Iterator[Seen]:
    """Yield what each trial came to."""
    variant = VARIANTS[case.variant]
    varied = Varied(task, variant, case.task, case.seed)
    flying: list[tuple[int, float | None]] = []
    for _ in range(count):
        ended = 0 if len(flying) < case.parallel else len(flying) if variant.rounds else 1
        for token, loss in flying[:ended]:
            worker.request(do="tell", token=token, loss=loss)
        del flying[:ended]
        asked = worker.request(do="ask")
        truth = varied.truth(asked["values"])
        observed = varied.observed(truth)
        flying.append((asked["token"], observed))
        yield observed, truth


def _followed(case: Case, task: Task, count: int, worker: Worker) -> Iterator[Seen]:
    """Yield the best loss of trials that came to their end, each time as many epochs as a whole trial has were used.

    All that are in flight are trained at the same pace.
    """
    assert task.curve is not None
    curves: dict[int, Iterator[float]] = {}
    epochs: dict[int, int] = {}
    running: list[int] = []
    best, used = None, 0
    while True:
        while len(running) < case.parallel:
            asked = worker.request(do="ask")
            number = asked["token"]
            if number not in curves:
                curves[number], epochs[number] = task.curve(asked["values"], 1000 * case.seed + number), 0
            running.append(number)
        for number in list(running):
            loss, epochs[number], used = next(curves[number]), epochs[number] + 1, used + 1
            verdict = worker.request(do="report", token=number, epoch=epochs[number], loss=loss)["verdict"]
            if epochs[number] == EPOCHS:
                best = loss if best is None else min(best, loss)
            if verdict != GO:
                running.remove(number)
            if used % EPOCHS == 0:
                yield best, best
                if used == count * EPOCHS:
                    return


def kept(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a record; a line that a kill has cut off counts for nothing."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def key(line: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a run is the same by."""
    return tuple(line[name] for name in ("group", "task", "variant", "parallel", "seed", "peer"))


def run_all(cases: list[Case], path: Path, environments: Path, until: float, budget: int | None) -> Iterator[str]:
    """Run what the record lacks, until a moment (monotonic); yield a sentence for each run.

    A run of more evaluations is not run again with fewer, but for peers that plan by the budget. A peer that breaks is left
    out of this task, and its line says why.
    """
    known = {key(line) for line in kept(path) if "error" in line or says(line, budget or GROUPS[line["group"]].budget)}
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.read_text().endswith("\n"):
        with path.open("a") as file:
            file.write("\n")
    for case in cases:
        if key(asdict(case)) in known:
            continue
        if time.monotonic() > until:
            yield "out of time"
            return
        try:
            line = run(case, environments, path.with_suffix(".log"), budget)
        except (RuntimeError, OSError, ValueError) as error:
            line = {**asdict(case), "half": half(case.task), "error": str(error), "machine": machine()}
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        yield f"{case.peer} on {case.task} ({case.variant}, {case.parallel} in flight, seed {case.seed}): {_said(line)}"


def _said(line: dict[str, Any]) -> str:
    if "error" in line:
        return str(line["error"])
    end = line["reached"][-1]
    return f"{'only failures' if end is None else f'{end:.6g}'}, {1000 * line['seconds']:.1f} ms a suggestion"
