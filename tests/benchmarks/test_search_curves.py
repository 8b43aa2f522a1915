"""The comparison of searches on learning curves: who wins against whom, and that its searches come to their ends."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "search"


@pytest.fixture
def curves(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    pytest.importorskip("sklearn")
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("curves")
    sys.modules.pop("curves", None)


def test_pairs_count_what_each_method_won_and_lost(curves: Any) -> None:
    best = {"asha": [[3.0, 2.0, 1.0], [3.0, 3.0, 3.0]], "random": [[4.0, 2.0, 0.5], [4.0, 2.0, 2.0]]}
    rows = [
        {"task": "digits", "method": method, "seed": seed, "best": found}
        for method, each in best.items()
        for seed, found in enumerate(each)
    ]
    assert curves.pairs(rows) == "won and lost at 8, 16, 32\nasha against random: 2 to 0, 0 to 1, 0 to 2"


@pytest.mark.parametrize("method", ["asha", "asha resumed"])
def test_a_method_has_the_epochs_of_its_budget_whether_trials_pause_or_are_stopped(
    method: str, curves: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        curves, "curve", lambda data, values, seed: (values["rate"] + 1 / step for step in range(1, 99))
    )
    data = next(curves.tasks())
    game = curves.Game(data, curves.METHODS[method], 0)
    row = game.play()
    assert sum(game.steps.values()) == curves.BUDGETS[-1] * curves.EPOCHS
    assert row["trials"] == len(game.steps)
    assert row["best"] == sorted(row["best"], reverse=True)
