"""A program that logs by another library is heard on every provider, through the trial helper."""

import json
from pathlib import Path

import pytest

from cloudtune.cli.app import run_app

WANDB = """
class Run:
    def log(self, data, step=None, commit=None):
        self.last = data
"""
SCRIPT = """
import argparse
import wandb.sdk.wandb_run

parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
x = parser.parse_args().x
run = wandb.sdk.wandb_run.Run()
for epoch in range(3):
    run.log({"lr": 0.5})
    print(f"a bar without an end {epoch}", end="")
    run.log({"val/loss": x + 2 - epoch}, step=10 * epoch)
print("val/loss=99")  # for people: not the one that counts
"""
JOB = """
name: heard
trial: {source: src, command: python train.py}
objective: {metric: val/loss, goal: minimize, source: wandb}
space: {x: {type: float, low: 0, high: 1}}
limits: {trials: 2, parallel: 2}
mode: MODE
"""
CELLS = [("local", "auto"), *((place, mode) for place in ("aws", "gcp", "azure") for mode in ("managed", "driven"))]


@pytest.mark.parametrize(
    ("place", "mode"), [pytest.param(*cell, marks=[] if cell[0] == "local" else pytest.mark.complete) for cell in CELLS]
)
def test_what_is_logged_elsewhere_is_the_objective(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str, mode: str
) -> None:
    for name, text in {"train.py": SCRIPT, "wandb/sdk/wandb_run.py": WANDB}.items():
        (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / name).write_text(text)
    (tmp_path / "job.yaml").write_text(JOB.replace("MODE", mode))
    monkeypatch.chdir(tmp_path)
    emulated = [] if place == "local" else ["--emulate"]
    assert run_app(["run", "job.yaml", "--on", place, *emulated, "--json", "--quiet"]) == 0
    best = json.loads(capsys.readouterr().out)["best"]
    assert best["metrics"]["val/loss"] == pytest.approx(best["parameters"]["x"], abs=1e-6)
