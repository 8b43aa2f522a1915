"""What a trial costs as a run grows: time, memory, store and looks at 1,000, 10,000 and 100,000 trials, and the search at thousands.

    python benchmarks/scale.py [--trials 1000 10000] [--search 1000 3000] [--dimensions 20]

Each size runs in a process of its own, of no-op function trials chosen at random, two at once. Beside every figure stands its
ratio to that of the smallest size: what does not grow with the run is at 1.0. Times are those of processors, of the driver and of
its workers, so that other work on the machine disturbs them little; the looks are whole commands, from process start to end.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SIZES = (1_000, 10_000, 100_000)
SEARCHED = (1_000, 3_000)
LOOKS = {
    "ls": ("ls",), "show": ("show", "it"), "best": ("best", "it"), "trials --limit": ("trials", "it", "--limit", "100"),
    "trials (all)": ("trials", "it"),
    "trials --json": ("trials", "it", "--json"),
}  # fmt: skip
_LAST = 50
"""Suggestions that are timed at each count of trials."""


def nothing(x: float, y: float) -> float:
    return x * y


def cpu() -> float:
    """Return the seconds of processors that this process and those that it waited for have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def peak() -> float:
    """Return the peak memory of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines() if sys.platform == "linux" else []
    known = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")]
    return known[0] if known else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def run(trials: int, project: Path) -> dict[str, float]:
    """Drive a run of so many trials in this process, and return its figures."""
    from cloudtune import Float, tune

    space = {"x": Float(low=0, high=1), "y": Float(low=0, high=1)}
    since, began = time.perf_counter(), cpu()
    tune(nothing, space, maximize="s", trials=trials, parallel=2, strategy="random", project=project, run_id="it", quiet=True)  # fmt: skip
    took, used = time.perf_counter() - since, cpu() - began
    size = sum(path.stat().st_size for path in project.rglob("*") if path.is_file())
    return {
        "us of CPU a trial": 1e6 * used / trials, "us a trial, by the clock": 1e6 * took / trials,
        "peak memory, MB": peak(), "bytes of the store a trial": size / trials,
    }  # fmt: skip


def looks(project: Path) -> dict[str, float]:
    """Return the milliseconds of CPU that each look takes, and those of a resume that finds nothing to do."""
    found = {}
    for name, words in LOOKS.items():
        began = cpu()
        subprocess.run([sys.executable, "-m", "cloudtune", *words], cwd=project, stdout=subprocess.DEVNULL, check=True)
        found[f"{name}, ms of CPU"] = 1e3 * (cpu() - began)
    return found


def in_a_process(trials: int, project: Path) -> dict[str, float]:
    words = [sys.executable, __file__, "--one", str(trials), "--project", str(project)]
    said = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    figures: dict[str, float] = json.loads(said.splitlines()[-1])
    return figures


def search(counts: list[int], dimensions: int) -> dict[int, dict[str, float]]:
    """Return, for each count of trials, what a Bayesian suggestion costs after a run up to there, and after a resume there."""
    from cloudtune.search.bayesian import BayesianSearch
    from cloudtune.search.strategy import Observation
    from cloudtune.space.parameters import Float
    from cloudtune.space.space import Space, Values
    from cloudtune.store.records import TrialState

    space, source = Space({f"x{index}": Float(low=0, high=1) for index in range(dimensions)}), random.Random(0)

    def observed(number: int, values: Values) -> Observation:
        positions = (position or 0.0 for position in space.positions(values))
        loss = sum((each - 0.3) ** 2 * (1 + index / 5) for index, each in enumerate(positions)) + source.gauss(0, 0.05)
        return Observation(number, values, TrialState.COMPLETED, (loss,))

    going, history, found, took = BayesianSearch(space, seed=0), [], {}, []
    for number in range(max(counts)):
        began = time.process_time()
        values = going.suggest(number)
        took.append(time.process_time() - began)
        assert values is not None
        history.append(observed(number, values))
        going.observe(history[-1])
        if number + 1 in counts:
            resumed = BayesianSearch(space, seed=0)
            for observation in history:
                resumed.observe(observation)
            began = time.process_time()
            resumed.suggest(number + 1)
            again = time.process_time() - began
            last = took[-_LAST:]
            found[number + 1] = {
                "ms of CPU a suggestion, fits included": 1e3 * sum(last) / len(last),
                "most, ms of CPU": 1e3 * max(last),
                "first suggestion of a resume, ms of CPU": 1e3 * again,
            }
    return found


def show(title: str, sizes: dict[int, dict[str, float]]) -> None:
    """Print figures by size, each with its ratio to that of the smallest size."""
    first = sizes[min(sizes)]
    print(f"\n{title:<44}" + "".join(f"{size:>22,}" for size in sizes))
    for name, base in first.items():
        cells = (f"{figures[name]:>12,.1f} ({figures[name] / base:.2f} x)" for figures in sizes.values())
        print(f"{name:<44}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", nargs="*", type=int, default=list(SIZES))
    parser.add_argument("--search", nargs="*", type=int, default=list(SEARCHED))
    parser.add_argument("--dimensions", type=int, default=20)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--project", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(run(asked.one, asked.project)))
        return
    sizes: dict[int, dict[str, Any]] = {}
    for trials in sorted(asked.trials):
        with tempfile.TemporaryDirectory() as folder:
            sizes[trials] = in_a_process(trials, Path(folder)) | looks(Path(folder))
    if sizes:
        show(f"the driver, {os.cpu_count()} cores, trials:", sizes)
    if asked.search:
        show(f"the search, {asked.dimensions} dimensions, trials:", search(sorted(asked.search), asked.dimensions))


if __name__ == "__main__":
    main()
