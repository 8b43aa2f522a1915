"""Multi-fidelity search on real learning curves: networks that are trained here, epoch by epoch.

Each method has the same number of epochs for all of its trials together. Compared is the loss of the best trial that came to
its end, after shares of that budget::

    python benchmarks/search/curves.py --seeds 10 -o curves.json

A first look (2026-11-27; digits, cancer, clusters, noisy; 3 seeds; 4 workers): pairs of searches won and lost, of 12, after as many
epochs as 8, 16 and 32 whole trials have; too few for a last word. Of what is kept, where a strategy learns of each trial once, at its
first rung, if trials pause:

==========================================================================  =======  =======  ======
..                                                                          8        16       32
==========================================================================  =======  =======  ======
Bayesian, trials pause (``resume: checkpoint``), against Bayesian, stopped  6 to 3   5 to 6   4 to 7
Bayesian, trials pause, against random, stopped                             10 to 2  11 to 1  8 to 4
Bayesian, stopped, against random, stopped                                  10 to 2  9 to 3   7 to 5
==========================================================================  =======  =======  ======

So pauses were of use to short searches alone.

Left out was one Gaussian process over parameters and the logarithm of the step (as MOBSTER, arXiv 2003.10865), that learns by the
reports at each rung, and improves at the highest rung with more points than dimensions. After 24 whole trials it had won 3 and lost 9
against what is kept where trials pause, and won 5 and lost 9 against the trials' last losses, no better than the median of the
completed, where they are stopped; at 1.4 times the time a suggestion.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_classification
from sklearn.preprocessing import StandardScaler

from cloudtune.search import Search

EPOCHS = 27
"""Epochs of a whole trial: rungs at 1, 3, 9."""

BUDGETS = (8, 16, 32)
"""Whole trials whose epochs a method may use, at which its best is noted."""

WORKERS = 4

SPACE = {
    "rate": {"type": "float", "low": 1e-4, "high": 1.0, "scale": "log"},
    "batch": {"type": "int", "low": 16, "high": 256, "scale": "log"},
    "width": {"type": "int", "low": 8, "high": 128, "scale": "log"},
    "momentum": {"type": "float", "low": 0.0, "high": 0.99},
    "decay": {"type": "float", "low": 1e-6, "high": 1e-1, "scale": "log"},
    "dropout": {"type": "float", "low": 0.0, "high": 0.7},
    "schedule": {"type": "categorical", "values": ["constant", "cosine"]},
}

METHODS: dict[str, dict[str, Any]] = {
    "random": {"strategy": "random"},
    "bayesian": {"strategy": "bayesian"},
    "asha": {"strategy": {"type": "hyperband", "max_resource": EPOCHS}},
    "asha bayesian": {"strategy": {"type": "hyperband", "max_resource": EPOCHS, "searcher": "bayesian"}},
    "asha resumed": {"strategy": {"type": "hyperband", "max_resource": EPOCHS, "resume": "checkpoint"}},
    "asha bayesian resumed": {
        "strategy": {"type": "hyperband", "max_resource": EPOCHS, "searcher": "bayesian", "resume": "checkpoint"}
    },
}


@dataclass(frozen=True)
class Data:
    """A task: what is trained on, and what is looked at."""

    name: str
    inputs: np.ndarray
    labels: np.ndarray
    held_inputs: np.ndarray
    held_labels: np.ndarray


def tasks() -> Iterator[Data]:
    """Yield the tasks."""
    made = {
        "digits": load_digits(return_X_y=True),
        "cancer": load_breast_cancer(return_X_y=True),
        "wine": load_wine(return_X_y=True),
        "clusters": make_classification(1500, 20, n_informative=8, n_classes=4, n_clusters_per_class=3, random_state=1),
        "noisy": make_classification(1500, 40, n_informative=6, n_classes=2, flip_y=0.2, random_state=2),
        "wide": make_classification(800, 60, n_informative=20, n_classes=6, n_clusters_per_class=2, random_state=3),
    }
    for name, (inputs, labels) in made.items():
        order = np.random.default_rng(0).permutation(len(labels))
        cut = min(2 * len(labels) // 3, 400)
        scaled = StandardScaler().fit(inputs[order[:cut]]).transform(inputs).astype(np.float32)
        yield Data(name, scaled[order[:cut]], labels[order[:cut]], scaled[order[cut:]], labels[order[cut:]])


def curve(data: Data, values: Mapping[str, Any], seed: int) -> Iterator[float]:
    """Train a network of one hidden layer; yield the log loss on what was held back, after each epoch."""
    source = np.random.default_rng(seed)
    size, classes = data.inputs.shape[1], int(data.labels.max()) + 1
    weights = [
        source.standard_normal((size, values["width"])).astype(np.float32) * np.sqrt(2 / size),
        np.zeros(values["width"], np.float32),
        source.standard_normal((values["width"], classes)).astype(np.float32) / np.sqrt(values["width"]),
        np.zeros(classes, np.float32),
    ]
    speeds = [np.zeros_like(each) for each in weights]
    count, batch = len(data.labels), values["batch"]
    for epoch in range(EPOCHS):
        rate = values["rate"] * (0.5 * (1 + np.cos(np.pi * epoch / EPOCHS)) if values["schedule"] == "cosine" else 1.0)
        order = source.permutation(count)
        for begin in range(0, count, batch):
            chosen = order[begin : begin + batch]
            _step(weights, speeds, data.inputs[chosen], data.labels[chosen], values, rate, source)
        yield _loss(weights, data)


def _step(
    weights: list[np.ndarray],
    speeds: list[np.ndarray],
    inputs: np.ndarray,
    labels: np.ndarray,
    values: Mapping[str, Any],
    rate: float,
    source: np.random.Generator,
) -> None:
    first, bias, second, last = weights
    hidden = np.maximum(inputs @ first + bias, 0)
    kept = (source.random(hidden.shape, dtype=np.float32) >= values["dropout"]) / np.float32(1 - values["dropout"])
    dropped = hidden * kept
    errors = _softmax(dropped @ second + last)
    errors[np.arange(len(labels)), labels] -= 1
    errors /= len(labels)
    back = (errors @ second.T) * kept * (hidden > 0)
    slopes = [inputs.T @ back, back.sum(0), dropped.T @ errors, errors.sum(0)]
    for index, slope in enumerate(slopes):
        pull = np.clip(slope, -10, 10) + values["decay"] * weights[index]
        speeds[index] = values["momentum"] * speeds[index] - rate * pull
        weights[index] = weights[index] + speeds[index]


def _softmax(scores: np.ndarray) -> np.ndarray:
    scores = np.nan_to_num(scores, nan=0.0, posinf=1e4, neginf=-1e4)
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def _loss(weights: list[np.ndarray], data: Data) -> float:
    first, bias, second, last = weights
    with np.errstate(all="ignore"):
        odds = _softmax(np.maximum(data.held_inputs @ first + bias, 0) @ second + last)
    return float(-np.log(np.maximum(odds[np.arange(len(data.held_labels)), data.held_labels], 1e-7)).mean())


class Game:
    """One search, with all workers training at the same pace."""

    def __init__(self, data: Data, method: Mapping[str, Any], seed: int) -> None:
        self.search = Search(SPACE, {"metric": "loss", "goal": "minimize"}, seed=seed, trials=2000, **method)
        self.data, self.seed = data, seed
        self.curves: dict[int, Iterator[float]] = {}
        self.steps: dict[int, int] = {}
        self.running: list[int] = []
        self.best, self.seconds = float("inf"), 0.0

    def play(self) -> dict[str, Any]:
        """Return the best at each budget, the number of trials, and the seconds that a suggestion takes."""
        used = 0
        found: list[float] = []
        while len(found) < len(BUDGETS):
            self.start()
            for number in list(self.running):
                self.train(number)
                used += 1
                if len(found) < len(BUDGETS) and used == BUDGETS[len(found)] * EPOCHS:
                    found.append(self.best)
        return {"best": found, "trials": len(self.curves), "seconds": self.seconds / len(self.curves)}

    def start(self) -> None:
        """Give each idle worker a trial."""
        while len(self.running) < WORKERS:
            began = time.process_time()
            trial = self.search.ask()
            self.seconds += time.process_time() - began
            assert trial is not None
            if not trial.resumed:
                self.curves[trial.number] = curve(self.data, trial.parameters, 1000 * self.seed + trial.number)
            self.running.append(trial.number)

    def train(self, number: int) -> None:
        """Train a network for one epoch, and tell the search."""
        loss = next(self.curves[number])
        step = self.steps[number] = self.steps.get(number, 0) + 1
        over = self.search.report(number, step, {"loss": loss})
        if step == EPOCHS:
            self.search.tell(number)
            self.best = min(self.best, loss)
        elif over:
            self.search.tell(number, state="paused" if self.search.pauses else "pruned")
        if over or step == EPOCHS:
            self.running.remove(number)


def main() -> None:
    """Run what is asked for, and write down each search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--tasks", default="")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    rows = []
    chosen: Callable[[Data], bool] = lambda data: not given.tasks or data.name in given.tasks.split(",")  # noqa: E731
    for data in filter(chosen, tasks()):
        for name in given.methods.split(","):
            for seed in range(given.seeds):
                row = {"task": data.name, "method": name, "seed": seed, **Game(data, METHODS[name], seed).play()}
                rows.append(row)
                print(json.dumps(row), file=sys.stderr, flush=True)
    if given.output is not None:
        given.output.write_text(json.dumps(rows))
    print(table(rows))
    print(pairs(rows))


def pairs(rows: list[dict[str, Any]]) -> str:
    """Return how many searches each method won and lost against each other one, at each budget."""
    names = list(dict.fromkeys(row["method"] for row in rows))
    cells = {(row["task"], row["seed"], row["method"]): row["best"] for row in rows}
    places = sorted({(row["task"], row["seed"]) for row in rows})
    lines = ["won and lost at " + ", ".join(map(str, BUDGETS))]
    for one, other in itertools.combinations(names, 2):
        both = [(cells[*place, one], cells[*place, other]) for place in places]
        counts = [
            (sum(a[at] < b[at] for a, b in both), sum(a[at] > b[at] for a, b in both)) for at in range(len(BUDGETS))
        ]
        lines.append(f"{one} against {other}: " + ", ".join(f"{won} to {lost}" for won, lost in counts))
    return "\n".join(lines)


def table(rows: list[dict[str, Any]]) -> str:
    """Return mean ranks of the methods, over tasks and seeds, at each budget."""
    names = list(dict.fromkeys(row["method"] for row in rows))
    lines = [f"{'mean rank at (whole trials)':32}" + "".join(f"{budget:8}" for budget in BUDGETS) + "  trials  ms/ask"]
    cells = {(row["task"], row["seed"], row["method"]): row for row in rows}
    places = sorted({(row["task"], row["seed"]) for row in rows})
    for name in names:
        ranks = [
            [
                sum((cells[*place, other]["best"][at] < cells[*place, name]["best"][at]) + 0.5 * (other != name and cells[*place, other]["best"][at] == cells[*place, name]["best"][at]) for other in names) + 1
                for place in places
            ]
            for at in range(len(BUDGETS))
        ]  # fmt: skip
        own = [cells[*place, name] for place in places]
        mean = np.mean([row["trials"] for row in own])
        speed = 1000 * np.mean([row["seconds"] for row in own])
        lines.append(f"{name:32}" + "".join(f"{np.mean(each):8.2f}" for each in ranks) + f"{mean:8.0f}{speed:8.1f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
