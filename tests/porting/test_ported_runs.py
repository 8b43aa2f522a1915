"""Runs of a job that is written in the words of another service than that which it runs on."""

from pathlib import Path

import pytest

from cloudtune import api
from cloudtune.cli.app import run_app
from cloudtune.planning.plan import Support

TOML = """
[profiles.gcp]
provider = "vertex"
project = "p"
image = "gcr.io/p/train:1"

[profiles.aws]
provider = "sagemaker"
region = "us-west-2"
identity = "arn:aws:iam::123456789012:role/tuning"
image = "123456789012.dkr.ecr.us-west-2.amazonaws.com/driver:1"

[places]
"s3://corp/train" = {gcp = "gs://corp-train", local = "./data"}
"""
JOB = """
name: moves
trial: {source: ., command: python train.py}
objective: {metric: score, goal: maximize}
space:
  x: {type: float, low: 0, high: 1}
limits: {trials: 2, parallel: 2}
data: {train: s3://corp/train/part}
identity: arn:aws:iam::123456789012:role/train
compute: {instance: ml.m5.xlarge}
"""
SCRIPT = """
import argparse, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
number = float(pathlib.Path(os.environ["CLOUDTUNE_DATA_TRAIN"], "number.txt").read_text())
print(f"score={number + parser.parse_args().x}")
"""


@pytest.mark.parametrize(
    ("on", "driver"),
    [
        ("gcp", ()),
        pytest.param("gcp,local", (), marks=pytest.mark.complete),
        pytest.param("gcp", ("--driver", "aws"), marks=pytest.mark.complete),
    ],
)
def test_a_job_reads_the_data_where_it_lies_on_the_service_that_it_runs_on(
    on: str, driver: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cloudtune.toml").write_text(TOML)
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "data" / "part").mkdir(parents=True)
    (tmp_path / "data" / "part" / "number.txt").write_text("2.5")
    monkeypatch.chdir(tmp_path)
    assert run_app(["run", "job.yaml", "--on", on, *driver, "--emulate", "--quiet", "--yes"]) == 0
    run = api.attach(project=tmp_path)
    assert run.best is not None
    assert 2.5 <= run.best.metrics["score"] <= 3.5
    assert run.written.data == {"train": "s3://corp/train/part"}
    assert run.plan.support("data.train") in (Support.ENCODED, Support.APPROXIMATE)  # a folder here that stands for it
