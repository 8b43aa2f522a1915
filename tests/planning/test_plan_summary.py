"""A plan begins with what it comes to."""

from datetime import timedelta
from typing import Any

import pytest

from cloudtune.planning.plan import Machines, Plan, leaves
from cloudtune.planning.summary import summary
from cloudtune.plugins.entry_points import providers
from cloudtune.provider.interface import load_provider
from cloudtune.spec.job import TuningJob


def job_of(**fields: Any) -> TuningJob:
    image = {
        "sagemaker": "123456789012.dkr.ecr.us-east-1.amazonaws.com/t:1",
        "vertex": "europe-docker.pkg.dev/p/r/t:1",
        "azureml": "azureml:own@latest",
    }
    data = {
        "name": "summary",
        "trial": {"command": "python train.py", "image": image},
        "objective": {"metric": "score", "goal": "maximize"},
        "space": {"x": {"type": "float", "low": 0, "high": 1}},
        "limits": {"trials": 6, "parallel": 3},
        **fields,
    }
    return TuningJob.from_data(data)


@pytest.mark.parametrize(
    ("fields", "longest", "hours", "says"),
    [
        ({}, None, None, "give limits.trial_time or limits.time"),
        ({}, timedelta(hours=2), 6 * 4 * 2, "without limits.trial_time"),
        ({"limits": {"trials": 6, "trial_time": "30m"}}, timedelta(days=7), 6 * 4 * 0.5, "6 trials × 4 × 30m each"),
        ({"limits": {"trials": 6, "trial_time": "30m"}, "retries": 2}, None, 6 * 3 * 4 * 0.5, "3 attempts"),
        ({"limits": {"trials": 6, "parallel": 3, "time": "1h", "trial_time": "5h"}}, None, 3 * 4, "3 at once"),
    ],
)
def test_machine_hours_are_bounded_and_the_bound_says_from_what(
    fields: Any, longest: timedelta | None, hours: float | None, says: str
) -> None:
    found = summary(job_of(**fields), Plan("toy", "driven", {}, machines=Machines("big", 4, longest)))
    assert found.machine_hours == (None if hours is None else pytest.approx(hours))
    assert says in found.assumption
    assert "each on 4 big" in str(found)


@pytest.mark.parametrize(
    ("on", "machine", "hours"),
    [("sagemaker", "ml.m5.large", 6 * 2 * 24), ("vertex", "n1-standard-4", 6 * 2 * 7 * 24), ("azureml", "machine of serverless compute", None)],
)  # fmt: skip
def test_a_service_says_what_a_trial_runs_on_and_how_long_it_may(on: str, machine: str, hours: float | None) -> None:
    job = job_of(compute={"count": 2}, mode="managed")
    plan = load_provider(on)({}).plan(job)
    found = summary(job, plan)
    assert (found.machine, found.machines, found.machine_hours) == (machine, 2, hours)
    assert Plan.from_data(plan.to_data()) == plan


def test_a_machine_of_native_settings_is_the_one_that_counts() -> None:
    native = {"TrainingJobDefinition": {"ResourceConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 5}}}
    job = job_of(sagemaker=native)
    found = summary(job, load_provider("sagemaker")({}).plan(job))
    assert (found.machine, found.machines) == ("ml.c5.xlarge", 5)


@pytest.mark.parametrize("on", [name for name in providers() if name != "mixed"])
def test_every_leaf_is_counted_once(on: str) -> None:
    job = job_of()
    assert sum(summary(job, load_provider(on)({}).plan(job)).support.values()) == len(list(leaves(job)))


def test_what_a_provider_needs_and_the_job_does_not_give_is_counted_as_missing() -> None:
    job = job_of(trial={"command": "python train.py"})
    made = summary(job, load_provider("sagemaker")({}).plan(job))
    assert made.missing == 2  # a role and an image
    assert ", 2 missing;" in str(made)
