"""Tuning jobs of SageMaker's emulator: what they search, when they end, and what they take from earlier ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from late import LATE
from sagemaker_emulation import ECHO, Used, definition, eventually, refused, tuning

from cloudtune.search import strategy_for
from cloudtune.spec.job import TuningJob

if LATE:
    pytest.importorskip("moto")

    from cloudtune_sagemaker.emulator import SageMakerEmulator


# The search is cloudtune's


def test_random_values_are_those_of_the_local_random_strategy(shared: Used) -> None:
    ranges = {
        "ContinuousParameterRanges": [
            {"Name": "x", "MinValue": "0.001", "MaxValue": "1000", "ScalingType": "Logarithmic"},
            {"Name": "close", "MinValue": "0.5", "MaxValue": "0.999", "ScalingType": "ReverseLogarithmic"},
        ],
        "IntegerParameterRanges": [{"Name": "depth", "MinValue": "2", "MaxValue": "9"}],
        "CategoricalParameterRanges": [{"Name": "kernel", "Values": ["rbf", "poly"]}],
    }
    shared.tune("seeded", 5, changes={"ParameterRanges": ranges, "RandomSeed": 11})
    job = TuningJob.from_data(
        {
            "name": "local",
            "trial": {"command": "true"},
            "objective": {"metric": "loss", "goal": "minimize"},
            "space": {
                "kernel": {"type": "categorical", "values": ["rbf", "poly"]},
                "depth": {"type": "int", "low": 2, "high": 9},
                "close": {"type": "float", "low": 0.5, "high": 0.999, "scale": "reverse_log"},
                "x": {"type": "float", "low": 0.001, "high": 1000, "scale": "log"},
            },
            "strategy": {"type": "random"},
            "limits": {"trials": 9},
        }
    )
    strategy = strategy_for(job, job.search_space(), 11)
    expected = [strategy.suggest(number) for number in range(5)]
    found = [row["TunedHyperParameters"] for row in shared.trials("seeded")]
    assert [{name: str(value) for name, value in (values or {}).items()} for values in expected] == found


def test_auto_scaling_is_logarithmic_for_a_wide_range_above_zero() -> None:
    from cloudtune_sagemaker.emulator.ranges import ranges_of

    declared = [
        {"Name": "wide", "MinValue": "0.01", "MaxValue": "1"},
        {"Name": "narrow", "MinValue": "0.1", "MaxValue": "1", "ScalingType": "Auto"},
        {"Name": "zero", "MinValue": "0", "MaxValue": "1000"},
    ]
    found = {each.name: each.parameter.scale for each in ranges_of({"ContinuousParameterRanges": declared})}  # type: ignore[union-attr]
    assert found == {"wide": "log", "narrow": "linear", "zero": "linear"}


@pytest.mark.parametrize("strategy", ["Bayesian", "Hyperband"])
def test_a_strategy_completes(shared: Used, strategy: str) -> None:
    changes = {"Strategy": strategy}
    if strategy == "Hyperband":
        changes["StrategyConfig"] = {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}}  # type: ignore[assignment]
    job = shared.tune(strategy.lower(), 5, changes=changes)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["ObjectiveStatusCounters"]["Succeeded"] == 5


def test_a_grid_tries_every_combination_once(shared: Used) -> None:
    values = {
        "CategoricalParameterRanges": [{"Name": "x", "Values": ["1", "2"]}, {"Name": "y", "Values": ["a", "b", "c"]}]
    }
    job = shared.tune("grid", None, changes={"Strategy": "Grid", "ParameterRanges": values})
    found = [tuple(row["TunedHyperParameters"].values()) for row in shared.trials("grid")]
    assert sorted(found) == [(x, y) for x in "12" for y in "abc"]
    assert job["HyperParameterTuningJobStatus"] == "Completed"


def test_early_stopping_stops_a_training_job_that_does_badly(emulate: Callable[..., Used]) -> None:
    steps = 'n=0; while [ $n -lt 400 ]; do n=$((n+1)); echo "score=$SM_HP_X;"; '
    wait = "case $SM_HP_X in -*) sleep 0.02;; *) [ $n -gt 20 ] && exit 0;; esac; done"
    used = emulate(steps + wait)
    ranges = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["1", "2", "3", "4", "-5"]}]}
    job = used.tune(
        "early", None, parallel=1,
        changes={"Strategy": "Grid", "ParameterRanges": ranges, "TrainingJobEarlyStoppingType": "Auto"},
    )  # fmt: skip
    (stopped,) = [row for row in used.trials("early") if row["TrainingJobStatus"] == "Stopped"]
    assert stopped["TunedHyperParameters"] == {"x": "-5"}
    assert stopped["ObjectiveStatus"] == "Succeeded"
    assert job["TrainingJobStatusCounters"]["Stopped"] == 1
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"x": "4"}


def test_definitions_are_a_choice_with_ranges_of_their_own(shared: Used) -> None:
    def one(name: str, low: str, high: str) -> dict[str, Any]:
        extra = [{"Name": name, "MinValue": "1", "MaxValue": "9"}]
        return definition(
            shared.emulator,
            DefinitionName=name,
            TuningObjective={"Type": "Minimize", "MetricName": "score"},
            HyperParameterRanges={
                "ContinuousParameterRanges": [{"Name": "x", "MinValue": low, "MaxValue": high}],
                "IntegerParameterRanges": extra,
            },
        )

    request = tuning(shared.emulator, "definitions", 12)
    del request["TrainingJobDefinition"]
    for member in ("HyperParameterTuningJobObjective", "ParameterRanges"):
        del request["HyperParameterTuningJobConfig"][member]
    request["TrainingJobDefinitions"] = [one("small", "0", "1"), one("large", "10", "20")]
    shared.sagemaker.create_hyper_parameter_tuning_job(**request)
    assert shared.emulator.wait("definitions", 60) == "Completed"
    rows = shared.trials("definitions")
    assert {row["TrainingJobDefinitionName"] for row in rows} == {"small", "large"}
    for row in rows:
        assert set(row["TunedHyperParameters"]) == {"x", row["TrainingJobDefinitionName"]}
        assert (float(row["TunedHyperParameters"]["x"]) >= 10) == (row["TrainingJobDefinitionName"] == "large")
    assert shared.describe("definitions")["BestTrainingJob"]["TrainingJobDefinitionName"] == "small"


def test_autotune_searches_around_the_hints(shared: Used) -> None:
    hints = [
        {"Name": "x", "ValueHint": "0.5"},
        {"Name": "epochs", "ValueHint": "4"},
        {"Name": "kind", "ValueHint": "adam"},
    ]
    shared.tune("autotune", 6, changes={"ParameterRanges": {"AutoParameters": hints}}, Autotune={"Mode": "Enabled"})
    for tuned in (row["TunedHyperParameters"] for row in shared.trials("autotune")):
        assert 0.05 <= float(tuned["x"]) <= 5
        assert 1 <= int(tuned["epochs"]) <= 40
        assert tuned["kind"] == "adam"


def test_names_that_cloudtune_does_not_take_arrive_as_they_are(emulate: Callable[..., Used]) -> None:
    used = emulate('echo "score=1;"')
    odd = ["--lr", "two words", "{x}", "a=b"]
    ranges = {"IntegerParameterRanges": [{"Name": name, "MinValue": "1", "MaxValue": "5"} for name in odd]}
    used.tune("odd", 2, changes={"ParameterRanges": ranges})
    assert all(set(row["TunedHyperParameters"]) == set(odd) for row in used.trials("odd"))


def test_a_trial_has_the_first_machines_and_checkpoints_of_its_own(shared: Used) -> None:
    flexible = {
        "AllocationStrategy": "Prioritized",
        "InstanceConfigs": [
            {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 3},
            {"InstanceType": "ml.m4.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 3},
        ],
        "VolumeKmsKeyId": "key",
    }
    declared = definition(
        shared.emulator,
        HyperParameterTuningResourceConfig=flexible,
        CheckpointConfig={"S3Uri": f"s3://{shared.emulator.bucket}/checkpoints/"},
    )
    del declared["ResourceConfig"]
    shared.tune("flexible", 1, TrainingJobDefinition=declared)
    (row,) = shared.trials("flexible")
    job = shared.training_job(row["TrainingJobName"])
    assert job["ResourceConfig"] == {
        "InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 3, "VolumeKmsKeyId": "key",
    }  # fmt: skip
    assert job["CheckpointConfig"]["S3Uri"] == f"s3://{shared.emulator.bucket}/checkpoints/{row['TrainingJobName']}"
    assert shared.describe("flexible")["TrainingJobDefinition"]["HyperParameterTuningResourceConfig"] == flexible


# When a tuning job ends


def test_a_target_ends_the_job(shared: Used) -> None:
    criteria = {"TargetObjectiveMetricValue": 0.0}
    job = shared.tune("target", 50, parallel=1, changes={"TuningJobCompletionCriteria": criteria})
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert len(shared.trials("target")) == 1


def test_no_better_objective_ends_the_job(shared: Used) -> None:
    ranges = {"CategoricalParameterRanges": [{"Name": "x", "Values": [str(9 - each) for each in range(9)]}]}
    criteria = {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}
    changes = {"Strategy": "Grid", "ParameterRanges": ranges, "TuningJobCompletionCriteria": criteria}
    job = shared.tune("still", None, parallel=1, changes=changes)
    assert len(shared.trials("still")) == 4
    assert job["TuningJobCompletionDetails"] == {"NumberOfTrainingJobsObjectiveNotImproving": 3}


def test_convergence_ends_the_job_and_is_told(shared: Used) -> None:
    ranges = {"CategoricalParameterRanges": [{"Name": "x", "Values": [str(29 - each) for each in range(30)]}]}
    criteria = {"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}}
    changes = {"Strategy": "Grid", "ParameterRanges": ranges, "TuningJobCompletionCriteria": criteria}
    job = shared.tune("converged", None, parallel=1, changes=changes)
    assert len(shared.trials("converged")) == 11
    assert job["TuningJobCompletionDetails"]["ConvergenceDetectedTime"] == job["HyperParameterTuningEndTime"]


def test_a_failed_trial_costs_one_trial(emulate: Callable[..., Used]) -> None:
    used = emulate('[ "$SM_HP_X" = 2 ] && { echo broken >&2; exit 3; }; echo "score=$SM_HP_X;"')
    ranges = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["1", "2", "3"]}]}
    job = used.tune("broken", None, changes={"Strategy": "Grid", "ParameterRanges": ranges})
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["NonRetryableError"] == 1
    (failed,) = used.trials("broken", StatusEquals="Failed")
    assert failed["ObjectiveStatus"] == "Failed"
    assert failed["FailureReason"].startswith("AlgorithmError: ")
    assert "exit code: 3" in failed["FailureReason"]


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("exit 1", "No training job succeeded after 5 attempts."),
        ("echo nothing", "No objective metrics found after running 5 training jobs."),
    ],
)
def test_five_trials_without_an_objective_fail_the_job(emulate: Callable[..., Used], program: str, reason: str) -> None:
    job = emulate(program).tune("hopeless", 20, parallel=1)
    assert job["HyperParameterTuningJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(reason)
    assert "BestTrainingJob" not in job
    assert job["TrainingJobStatusCounters"]["InProgress"] == 0


def test_the_last_value_counts_and_one_that_is_no_number_is_none(emulate: Callable[..., Used]) -> None:
    used = emulate('echo "score=9;"; echo "score=$SM_HP_X;"')
    ranges = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["1", "nan"]}]}
    job = used.tune("last", None, changes={"Strategy": "Grid", "ParameterRanges": ranges})
    rows = {row["TunedHyperParameters"]["x"]: row for row in used.trials("last")}
    assert rows["1"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 1
    assert rows["nan"]["ObjectiveStatus"] == "Failed"
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 1, "Pending": 0, "Failed": 1}


def test_stopping_a_tuning_job_stops_its_trials(emulate: Callable[..., Used]) -> None:
    used = emulate(f"{ECHO}; sleep 60")
    used.sagemaker.create_hyper_parameter_tuning_job(**tuning(used.emulator, "stopped", 10))
    eventually(lambda: len(used.trials("stopped", StatusEquals="InProgress")) == 2 and used.describe("stopped"))
    eventually(
        lambda: all(
            "FinalMetricDataList" in used.training_job(row["TrainingJobName"]) for row in used.trials("stopped")
        )
    )
    used.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped")
    assert used.describe("stopped")["HyperParameterTuningJobStatus"] in ("Stopping", "Stopped")
    assert used.emulator.wait("stopped", 30) == "Stopped"
    assert [row["TrainingJobStatus"] for row in used.trials("stopped")] == ["Stopped", "Stopped"]
    assert used.describe("stopped")["ObjectiveStatusCounters"]["Succeeded"] == 2
    code, message = refused(
        lambda: used.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped")
    )
    assert (code, "Stopped" in message) == ("ValidationException", True)


# Warm start


def warm(kind: str, *parents: str) -> dict[str, Any]:
    named = [{"HyperParameterTuningJobName": parent} for parent in parents]
    return {"WarmStartConfig": {"ParentHyperParameterTuningJobs": named, "WarmStartType": kind}}


def test_an_identical_warm_start_knows_the_best_of_all(shared: Used) -> None:
    shared.tune("parent", 6)
    wide = shared.describe("parent")["BestTrainingJob"]
    low = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "0.01"}]}
    child = shared.tune(
        "child",
        3,
        changes={"Strategy": "Bayesian", "ParameterRanges": low},
        **warm("IdenticalDataAndAlgorithm", "parent"),
    )
    assert child["BestTrainingJob"]["TrainingJobName"].startswith("child-")
    assert child["OverallBestTrainingJob"] == {**wide, "TuningJobName": "parent"}
    assert [row["TrainingJobName"][:6] for row in shared.trials("child")] == ["child-"] * 3


def test_a_warm_start_learns_from_its_parents() -> None:
    from cloudtune.store.records import TrialState

    with SageMakerEmulator(images={"*": ECHO}) as emulator:
        used = Used(emulator, ECHO)
        used.tune("parent", 3)
        used.tune("child", 1, **warm("TransferLearning", "parent"))
        known = emulator.jobs.tuning_job("child")._known_trials()
        assert [(each.parameters, each.metrics) for each in known] == [
            ({"x": float(row["TunedHyperParameters"]["x"])}, {"objective": float(row["TunedHyperParameters"]["x"])})
            for row in used.trials("parent")
        ]
        assert {each.state for each in known} == {TrialState.COMPLETED}
        assert "OverallBestTrainingJob" not in used.describe("child")


def test_a_parent_must_exist_be_over_and_be_alike(emulate: Callable[..., Used]) -> None:
    used = emulate("sleep 60")
    used.sagemaker.create_hyper_parameter_tuning_job(**tuning(used.emulator, "running", 1))

    def child(*parents: str, **members: Any) -> tuple[str, str]:
        request = {**tuning(used.emulator, "child", 1), **warm("IdenticalDataAndAlgorithm", *parents), **members}
        return refused(lambda: used.sagemaker.create_hyper_parameter_tuning_job(**request))

    assert "does not exist" in child("nobody")[1]
    assert "is in status InProgress" in child("running")[1]
    used.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="running")
    used.emulator.wait("running", 30)
    other = definition(used.emulator)
    other["AlgorithmSpecification"] = {**other["AlgorithmSpecification"], "TrainingImage": "another"}
    assert "needs the algorithm of the parent" in child("running", TrainingJobDefinition=other)[1]
