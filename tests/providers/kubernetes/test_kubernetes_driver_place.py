"""Where the driver of a run on a cluster may be: on a machine with a kubeconfig, and in no job of another service, nor of the cluster."""

from pathlib import Path

import pytest

from cloudtune import api
from cloudtune.errors import ConfigError
from cloudtune.spec.job import TuningJob

CONFIG = """
[profiles.team]
provider = "kubernetes"
image = "registry.example.com/training:1"

[profiles.aws]
provider = "sagemaker"
region = "us-west-2"
role = "arn:aws:iam::123456789012:role/tuning"
image = "123456789012.dkr.ecr.us-west-2.amazonaws.com/driver:1"
"""
NOT_FROM_ELSEWHERE = r"a kubeconfig of this machine, which does not travel; leave --driver away"


@pytest.mark.parametrize(
    ("on", "driver", "said"),
    [
        ("team", "aws", NOT_FROM_ELSEWHERE),
        ("team", "team", NOT_FROM_ELSEWHERE),
        ("team,aws", "aws", NOT_FROM_ELSEWHERE),
        ("aws", "team", r"cannot run on team, whose provider kubernetes has no tuner .* leave --driver away"),
    ],
)
def test_a_driver_elsewhere_is_refused_before_anything_is_made(tmp_path: Path, on: str, driver: str, said: str) -> None:
    (tmp_path / "cloudtune.toml").write_text(CONFIG)
    job = TuningJob.from_data({
        "name": "line",
        "trial": {"command": "python train.py"},
        "objective": {"metric": "score", "goal": "maximize"},
        "space": {"x": {"type": "float", "low": 0, "high": 1}},
        "limits": {"trials": 2},
    })  # fmt: skip
    with pytest.raises(ConfigError, match=said):
        api.prepare(job, on, project=tmp_path, base=tmp_path, driver=driver)
    assert api.runs(project=tmp_path) == []
