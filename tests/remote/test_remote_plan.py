"""Plans of runs whose driver is a job on a service."""

from pathlib import Path

import pytest

from cloudtune import TuningJob
from cloudtune.provider.interface import Provider
from cloudtune.provider.preparing import planned
from cloudtune.remote.missing import MissingProvider
from cloudtune.remote.resolving import driven_elsewhere, resolve

CONFIG = """
[profiles.gcp]
provider = "vertex"
project = "project-1"
bucket = "bucket-1"
image = "gcr.io/p/train:1"

[profiles.aws]
provider = "sagemaker"
region = "us-west-2"
role = "arn:aws:iam::123456789012:role/tuning"
image = "123456789012.dkr.ecr.us-west-2.amazonaws.com/driver:1"
"""
JOB = {
    "name": "line",
    "trial": {"command": "python train.py"},
    "objective": {"metric": "loss", "goal": "minimize"},
    "space": {"x": {"type": "float", "low": 0, "high": 1}},
    "limits": {"trials": 2},
}


@pytest.fixture
def remote(tmp_path: Path) -> Provider:
    (tmp_path / "cloudtune.toml").write_text(CONFIG)
    provider, profile, folder = resolve("gcp", tmp_path)
    return driven_elsewhere(provider, profile, "aws", folder, None)


@pytest.mark.parametrize("strategy", [{}, {"strategy": {"type": "auto"}}, {"strategy": {"type": "random"}}], ids=str)
def test_a_job_is_planned_whatever_says_its_strategy(remote: Provider, strategy: dict[str, object]) -> None:
    job, plan = planned(remote, TuningJob.from_data(JOB | strategy))
    assert plan.mode == "driven"
    assert job.strategy is not None
    assert not [note for note in plan.notes if "own tuner" in note.message]


@pytest.mark.parametrize("missing", [True, False])
def test_what_takes_a_providers_place_has_all_that_a_provider_has(remote: Provider, missing: bool) -> None:
    stands_in: Provider = MissingProvider(ValueError("none")) if missing else remote  # type: ignore[arg-type]
    for name in Provider.__annotations__:
        assert hasattr(stands_in, name), name
