"""A plan calls nothing exact that native settings replace, nor what it can see to be missing."""

from pathlib import Path
from typing import Any

import pytest

from cloudtune import api
from cloudtune.planning.plan import Plan, Support
from cloudtune.spec.job import TuningJob

JOB: dict[str, Any] = {
    "name": "a",
    "trial": {"command": "true", "image": {"sagemaker": "1.dkr.ecr.us-east-1.amazonaws.com/x:1", "vertex": "gcr.io/p/x", "azureml": "azureml:e@latest"}},
    "identity": {"sagemaker": "arn:aws:iam::123456789012:role/r"},
    "objective": {"metric": "loss", "goal": "minimize"},
    "space": {"lr": {"type": "float", "low": 0.1, "high": 1}},
    "strategy": {"type": "random"},
    "limits": {"trials": 4, "parallel": 2, "trial_time": "10m", "time": "2h"},
}  # fmt: skip


def plan_of(tmp_path: Path, on: str, **fields: Any) -> Plan:
    return api.plan(TuningJob.from_data({**JOB, **fields}), on, project=tmp_path, base=tmp_path)


def said(plan: Plan, path: str) -> list[tuple[Support, str]]:
    return [(note.support, note.message) for note in plan.notes if note.path == path]


TUNER = "HyperParameterTuningJobConfig"


@pytest.mark.parametrize(
    ("on", "native", "field", "where"),
    [
        ("sagemaker", {TUNER: {"ResourceLimits": {"MaxNumberOfTrainingJobs": 400}}}, "trials", f"{TUNER}.ResourceLimits.MaxNumberOfTrainingJobs says 400"),
        ("sagemaker", {TUNER: {"ResourceLimits": {"MaxParallelTrainingJobs": 4}}}, "parallel", f"{TUNER}.ResourceLimits.MaxParallelTrainingJobs says 4"),
        ("sagemaker", {"TrainingJobDefinition": {"StoppingCondition": {"MaxRuntimeInSeconds": 86400}}}, "trial_time", "MaxRuntimeInSeconds says 86400"),
        ("vertex", {"maxTrialCount": 400}, "trials", "vertex.maxTrialCount says 400"),
        ("vertex", {"trialJobSpec": {"scheduling": {"timeout": "86400s"}}}, "trial_time", "scheduling.timeout says '86400s'"),
        ("azureml", {"limits": {"max_total_trials": 400}}, "trials", "azureml.limits.max_total_trials says 400"),
        ("azureml", {"limits": {"timeout": 864000}}, "time", "azureml.limits.timeout says 864000"),
    ],
)  # fmt: skip
def test_a_limit_that_native_settings_replace_is_refused(
    tmp_path: Path, on: str, native: dict[str, Any], field: str, where: str
) -> None:
    ((support, message),) = said(plan_of(tmp_path, on, native={on: native}), f"limits.{field}")
    assert support is Support.UNSUPPORTED
    assert where in message
    assert "say it here" in message


@pytest.mark.parametrize(
    ("on", "native"),
    [
        ("sagemaker", {"TrainingJobDefinition": {"EnableManagedSpotTraining": False}}),
        ("vertex", {"trialJobSpec": {"scheduling": {"strategy": "STANDARD"}}}),
        ("azureml", {"queue_settings": {"job_tier": "Standard"}}),
    ],
)
def test_native_settings_cannot_make_spot_machines_dear(tmp_path: Path, on: str, native: dict[str, Any]) -> None:
    plan = plan_of(tmp_path, on, native={on: native}, compute={"spot": True})
    assert any(support is Support.UNSUPPORTED and "says" in message for support, message in said(plan, "compute.spot"))


def test_other_fields_that_native_settings_replace_are_noted(tmp_path: Path) -> None:
    native = {
        "TrainingJobDefinition": {"AlgorithmSpecification": {"TrainingImage": "2.dkr.ecr.us-east-1.amazonaws.com/y:1"}}
    }
    plan = plan_of(tmp_path, "sagemaker", native={"sagemaker": native})
    assert any(
        support is Support.APPROXIMATE and "TrainingImage says '2.dkr" in message
        for support, message in said(plan, "trial.image.sagemaker")
    )
    assert plan.support("trial.image.sagemaker") is Support.APPROXIMATE


def test_what_means_the_same_or_adds_something_replaces_nothing(tmp_path: Path) -> None:
    native = {
        TUNER: {"ResourceLimits": {"MaxNumberOfTrainingJobs": 4}},
        "TrainingJobDefinition": {"Environment": {"A": "b"}},
    }
    bare, plan = plan_of(tmp_path, "sagemaker"), plan_of(tmp_path, "sagemaker", native={"sagemaker": native})
    assert plan.notes == bare.notes


def test_a_limit_that_native_settings_take_out_is_no_longer_exact(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "azureml", native={"azureml": {"limits": {"trial_timeout": None}}})
    ((support, message),) = said(plan, "limits.trial_time")
    assert (support, "takes it out of the request" in message) == (Support.APPROXIMATE, True)


@pytest.mark.parametrize("on", ["local", "sagemaker", "azureml", "kubernetes", "slurm"])
def test_a_region_for_a_provider_that_does_not_exist_is_refused(tmp_path: Path, on: str) -> None:
    ((support, message),) = said(plan_of(tmp_path, on, region={"awz": "us-east-1"}), "region.awz")
    assert (support, "did you mean 'aws'?" in message) == (Support.UNSUPPORTED, True)


@pytest.mark.parametrize("on", ["local", "kubernetes", "slurm"])
@pytest.mark.parametrize("region", ["nowhere-1", {"kubernetes": "nowhere-1"}])
def test_a_region_where_there_is_none_to_choose_is_noted(tmp_path: Path, on: str, region: Any) -> None:
    plan = plan_of(tmp_path, on, region=region)
    path = "region" if isinstance(region, str) else "region.kubernetes"
    assert said(plan, path) == [(Support.APPROXIMATE, "of no effect: there is no region to choose here")]


@pytest.mark.parametrize("on", ["local", "sagemaker", "vertex"])
@pytest.mark.parametrize(
    ("warm", "path", "words"),
    [
        ({"runs": ["nope"]}, "warm_start.runs", "runs in"),
        ({"table": "nope.csv"}, "warm_start.table", "there is no file 'nope.csv'"),
        ({"table": "bad.csv"}, "warm_start.table", "has no 'loss'"),
    ],
)
def test_what_a_job_learns_from_is_looked_for(
    tmp_path: Path, on: str, warm: dict[str, Any], path: str, words: str
) -> None:
    (tmp_path / "bad.csv").write_text("lr,accuracy\n0.5,3\n")
    support, message = said(plan_of(tmp_path, on, warm_start=warm), path)[-1]
    assert support is Support.UNSUPPORTED
    assert words in message
