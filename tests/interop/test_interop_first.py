"""Points to try first, beside spaces of HyperOpt and Ray Tune."""

from pathlib import Path

import pytest

from cloudtune.interop.formats import load_format

HYPEROPT = """
from hyperopt import hp
trees = {"type": "tree", "depth": hp.quniform("depth", 1, 8, 1)}
space = {"lr": hp.loguniform("rate", -5, 0), "my model": hp.choice("which", [trees, {"type": "net"}])}
points_to_evaluate = [{"rate": 0.1, "which": 0, "depth": 3}, {"which": 1}, {"rate": 7.0}]
"""
RAY = """
from ray import tune
space = {"net": {"lr": tune.loguniform(1e-4, 1)}, "act": tune.choice(["relu", "tanh"])}
points_to_evaluate = [{"net": {"lr": 0.01}, "act": "tanh"}, {"act": "relu"}, {"net": {"lr": 2.0}}]
"""


@pytest.mark.parametrize(
    ("origin", "text", "first", "left_out"),
    [
        (
            "hyperopt",
            HYPEROPT,
            ({"lr": 0.1, "my_model": "tree", "my_model.depth": 3}, {"my_model": "net"}),
            "{'lr': 7.0}",
        ),
        ("ray-tune", RAY, ({"net.lr": 0.01, "act": "tanh"}, {"act": "relu"}), "{'net.lr': 2.0}"),
    ],
)
def test_points_to_evaluate_become_first_trials(
    origin: str, text: str, first: object, left_out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    module = f"points_of_{origin.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(text)
    imported = load_format(origin).read(f"{module}:space")
    assert imported.job.first == first
    notes = [str(note) for note in imported.notes]
    assert "points_to_evaluate: they are its 2 first trials (first)" in notes
    assert any(note.startswith(f"points_to_evaluate: {left_out} is left out: ") for note in notes), notes
