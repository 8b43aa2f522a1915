"""A job that says ``confirm`` is driven on every provider, with the reason, and its repetitions are in what it may cost."""

from typing import Any

import pytest

from cloudtune.planning.plan import Support
from cloudtune.planning.summary import summary
from cloudtune.provider.interface import load_provider
from cloudtune.spec.job import TuningJob

IMAGES = {
    "sagemaker": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/train:1",
    "vertex": "eu-docker.pkg.dev/p/r/train:1",
    "azureml": "train.azurecr.io/train:1",
}


def job_of(**fields: Any) -> TuningJob:
    return TuningJob.from_data(
        {
            "name": "j",
            "trial": {"command": "python train.py", "image": IMAGES},
            "objective": {"metric": "loss", "goal": "minimize"},
            "space": {"x": {"type": "float", "low": 0, "high": 1}},
            "strategy": {"type": "random"},
            "limits": {"trials": 20, "trial_time": "1h"},
            **fields,
        }
    )


@pytest.mark.parametrize("on", ["sagemaker", "vertex", "azureml"])
def test_a_service_with_a_tuner_is_driven_for_it_and_says_why(on: str) -> None:
    provider = load_provider(on)({})
    assert provider.plan(job_of()).mode == "managed"
    plan = provider.plan(job_of(confirm=3))
    assert plan.mode == "driven"
    (note,) = [note for note in plan.notes if note.path == "confirm"]
    assert note.support is Support.DRIVEN
    assert "runs no trial again with another seed" in note.message
    managed = provider.plan(job_of(confirm=3, mode="managed"))
    (note,) = [note for note in managed.notes if note.path == "confirm"]
    assert note.support is Support.UNSUPPORTED
    assert "take mode: managed away" in note.message


@pytest.mark.parametrize("on", ["local", "ray"])
def test_elsewhere_it_is_carried_as_it_is(on: str) -> None:
    plan = load_provider(on)({}).plan(job_of(confirm={"repeats": 2, "top": 2}))
    assert not [note for note in plan.notes if note.path.startswith("confirm")]
    assert plan.support("confirm.repeats") is Support.EXACT


def test_repetitions_are_in_the_machine_hours() -> None:
    provider = load_provider("local")({})
    job = job_of(confirm=3)
    assert summary(job, provider.plan(job)).trials == 20  # limits.trials counts them
    grid = job_of(
        confirm=3,
        strategy={"type": "grid"},
        space={"x": {"type": "categorical", "values": [1, 2, 3, 4]}},
        limits={"trial_time": "1h"},
    )
    found = summary(grid, provider.plan(grid))
    assert (found.trials, found.machine_hours) == (13, 13.0)
