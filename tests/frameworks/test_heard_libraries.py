"""Programs that log by the real wandb, MLflow, TensorBoard of PyTorch and tensorboardX are heard, offline."""

import json
from pathlib import Path

import pytest

from cloudtune.cli.app import run_app

START = """
import sys
x = float(sys.argv[sys.argv.index("--x") + 1])
"""
PROGRAMS = {
    "wandb": ("wandb", START + """
import wandb
with wandb.init(project="demo") as run:
    for epoch in range(3):
        run.log({"lr": 0.1})
        wandb.log({"val/loss": x + 2 - epoch})
"""),
    "wandb-disabled": ("wandb", START + """
import wandb
wandb.init(mode="disabled")
for epoch in range(3):
    wandb.log({"val/loss": x + 2 - epoch, "lr": 0.1})
"""),
    "wandb-summary": ("wandb", START + """
import wandb
wandb.init()
wandb.log({"lr": 0.1})
wandb.run.summary["val/loss"] = x
"""),
    "mlflow": ("mlflow", START + """
import os
os.environ["MLFLOW_TRACKING_URI"] = "file:" + os.environ["CLOUDTUNE_OUTPUT_DIR"] + "/mlruns"
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
import mlflow
with mlflow.start_run():
    mlflow.log_metric("lr", 0.1)
    for epoch in range(2):
        mlflow.log_metric("val/loss", x + 2 - epoch, step=epoch)
    mlflow.log_metrics({"val/loss": x}, step=2)
"""),
    "torch": ("tensorboard", START + """
from torch.utils.tensorboard import SummaryWriter
import os
writer = SummaryWriter(os.environ["CLOUDTUNE_OUTPUT_DIR"])
for epoch in range(3):
    writer.add_scalar("lr", 0.1, epoch)
    writer.add_scalar("val/loss", x + 2 - epoch, epoch, new_style=epoch == 2)
"""),
    "tensorboardX": ("tensorboard", START + """
from tensorboardX import SummaryWriter
import os
writer = SummaryWriter(os.environ["CLOUDTUNE_OUTPUT_DIR"])
for epoch in range(3):
    writer.add_scalar("lr", 0.1, epoch)
    writer.add_scalar("val/loss", x + 2 - epoch, epoch)
"""),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_heard(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, code = PROGRAMS[name]
    pytest.importorskip(name.partition("-")[0])
    (tmp_path / "train.py").write_text(code)
    space = {"x": {"type": "float", "low": 0, "high": 1}}
    objective = {"metric": "val/loss", "goal": "minimize", "source": source}
    job = {"name": "heard", "trial": {"command": "python train.py"}, "objective": objective, "space": space}
    (tmp_path / "job.yaml").write_text(json.dumps({**job, "limits": {"trials": 1}}))
    monkeypatch.chdir(tmp_path)
    assert run_app(["run", "job.yaml", "--json", "--quiet"]) == 0
    best = json.loads(capsys.readouterr().out)["best"]
    assert best["metrics"]["val/loss"] == pytest.approx(best["parameters"]["x"], abs=1e-6)
    assert best["metrics"]["lr"] == pytest.approx(0.1)
