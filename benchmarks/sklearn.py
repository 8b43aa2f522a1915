"""What TuneSearchCV costs beside scikit-learn's own GridSearchCV, on the example of a random forest: 36 candidates, 3 folds.

    python benchmarks/sklearn.py [--repeats 3] [--jobs 2] [--quick]

Both run in turns in one process, so that they see the same machine; the workers of both are there for the next fit.
Before that, each runs once in a process of its own, as a script would have it. It ends with 1 if the results differ.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path[:] = [
    path for path in sys.path if Path(path or ".").resolve() != HERE
]  # this file is called as the package is

from sklearn.datasets import load_breast_cancer  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402

from cloudtune.sklearn import TuneSearchCV  # noqa: E402

GRID = {"n_estimators": [100, 200, 300], "max_depth": [None, 10, 20, 30], "min_samples_split": [2, 5, 10]}
QUICK = {**GRID, "n_estimators": [10, 20, 30]}
SEARCHES = {"GridSearchCV": GridSearchCV, "TuneSearchCV": TuneSearchCV}


def fit(name: str, grid: dict[str, list[Any]], jobs: int) -> tuple[float, Any]:
    """Seconds that a search takes, and the search."""
    data, target = load_breast_cancer(return_X_y=True)
    search = SEARCHES[name](RandomForestClassifier(random_state=42), grid, cv=3, n_jobs=jobs)
    start = time.perf_counter()
    search.fit(data, target)
    return time.perf_counter() - start, search


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """The keys of two results that do not hold the same, times left out."""
    if list(ours) != list(theirs):
        return [f"keys: {list(ours)} instead of {list(theirs)}"]
    return [key for key in ours if not same(ours[key], theirs[key], values="time" not in key)]


def same(ours: Any, theirs: Any, *, values: bool) -> bool:
    if type(ours) is not type(theirs) or isinstance(ours, list):
        return bool(ours == theirs)
    return ours.dtype == theirs.dtype and (not values or bool(np.ma.allequal(ours, theirs)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a tenth of the trees")
    parser.add_argument("--once", choices=SEARCHES, help="print the seconds of one fit and nothing else")
    options = parser.parse_args()
    grid = QUICK if options.quick else GRID
    if options.once:
        print(fit(options.once, grid, options.jobs)[0])
        return 0
    print(f"{'':<32}" + "".join(f"{name:>16}" for name in SEARCHES) + f"{'ratio':>8}")
    again = [sys.executable, __file__, "--jobs", str(options.jobs), *(["--quick"] if options.quick else []), "--once"]
    alone = [
        float(subprocess.run([*again, name], capture_output=True, text=True, check=True).stdout) for name in SEARCHES
    ]
    row("in processes of their own", alone)
    took: dict[str, list[float]] = {name: [] for name in SEARCHES}
    found: dict[str, Any] = {}
    for turn in range(options.repeats):
        for name in list(SEARCHES)[:: -1 if turn % 2 else 1]:
            seconds, found[name] = fit(name, grid, options.jobs)
            took[name].append(seconds)
        row(f"turn {turn + 1}", [took[name][-1] for name in SEARCHES])
    row("median", [statistics.median(took[name]) for name in SEARCHES])
    theirs, ours = (found[name].cv_results_ for name in SEARCHES)
    different = differences(ours, theirs)
    print(f"cv_results_ are identical in {len(theirs)} keys" if not different else f"cv_results_ differ in {different}")
    return int(bool(different))


def row(what: str, seconds: list[float]) -> None:
    print(
        f"{what:<32}" + "".join(f"{each:>14.2f} s" for each in seconds) + f"{seconds[1] / seconds[0]:>8.3f}", flush=True
    )


if __name__ == "__main__":
    sys.exit(main())
