"""Constraints in jobs: what is wrong with them, what they mean, and what each provider does with them."""

from typing import Any

import pytest

from cloudtune.errors import SpecError
from cloudtune.interop.formats import load_format
from cloudtune.planning.plan import Support
from cloudtune.provider.interface import load_provider
from cloudtune.spec.job import TuningJob
from cloudtune.spec.metric_patterns import metric_patterns

YAML = """\
name: bounded
trial: {command: python train.py}
objective: {metric: score, goal: maximize}
space: {x: {type: float, low: 0, high: 1}}
limits: {trials: 3}
"""
LINE = YAML.count("\n") + 1
FAST = {"metric": "latency", "max": 50}


def job_of(**fields: Any) -> TuningJob:
    data = {
        "name": "bounded",
        "trial": {"command": "python train.py", "image": "own/image:1"},
        "objective": {"metric": "score", "goal": "maximize"},
        "space": {"x": {"type": "float", "low": 0, "high": 1}},
        "limits": {"trials": 3},
        **fields,
    }
    return TuningJob.from_data(data)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("{metric: m}", "constraints: says no bound; give max, min or both"),
        ("{metric: m, min: 8GB, max: 1GB}", "constraints: allows nothing: min 8GB is above max 1GB"),
        ("{metric: m, max: 8 apples}", "constraints.max: '8 apples' is no bound; write a number"),
        ("{metric: m, max: '50'}", "constraints.max: expected a number, not the text '50'; take the quotes away"),
        ("{metric: m, max: .nan}", "constraints.max: is no finite number"),
        (
            "[{metric: m, max: 1}, {metric: m, min: 0}]",
            "constraints[1].metric: the metric 'm' has a constraint already",
        ),
        (
            "{metric: score, min: 0, regex: '(.)'}",
            "constraints.regex: the metric 'score' stands under objective already",
        ),
        ("{metric: m, maximum: 3}", "constraints.maximum: unknown key 'maximum' (did you mean 'max'?)"),
    ],
)
def test_a_mistake_is_told_with_its_line(said: str, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        TuningJob.from_yaml(f"{YAML}constraints: {said}\n")
    assert f"line {LINE}" in str(caught.value)
    assert problem in str(caught.value)


def test_bounds_are_written_back_as_they_were() -> None:
    said = "constraints: [{metric: memory, max: 8GB}, {metric: latency, max: 50ms, min: 0}, {metric: recall, min: 0.9}]"
    job = TuningJob.from_yaml(f"{YAML}{said}\n")
    assert TuningJob.from_yaml(job.to_yaml()) == job
    assert [str(each) for each in job.constraints] == [
        "memory <= 8GB",
        "latency <= 50ms and latency >= 0",
        "recall >= 0.9",
    ]


def test_metrics_of_constraints_are_found_as_objectives_are_each_once() -> None:
    constraints = [
        FAST,
        {"metric": "size", "max": 9, "regex": r"took (\d+)"},
        {"metric": "score", "min": 0},
        {"metric": "f1", "min": 0},
    ]
    job = job_of(constraints=constraints, metrics={"f1": r"F1 (\S+)"})
    assert metric_patterns(job.measured, job.metrics) == {
        "score": None, "latency": None, "size": r"took (\d+)", "f1": r"F1 (\S+)"
    }  # fmt: skip


@pytest.mark.parametrize("on", ["sagemaker", "azureml"])
def test_a_service_without_constraints_is_driven_or_refuses(on: str) -> None:
    provider = load_provider(on)({})
    driven = provider.plan(job_of(constraints=FAST))
    assert driven.mode == "driven"
    assert any(note.path == "constraints" and "knows no constraints" in note.message for note in driven.notes)
    managed = provider.plan(job_of(constraints=FAST, mode="managed"))
    refused = [
        note.message for note in managed.notes if (note.path, note.support) == ("constraints", Support.UNSUPPORTED)
    ]
    assert len(refused) == 1
    assert refused[0].endswith("knows no constraints; take mode: managed away")


def test_a_plan_says_what_a_bound_with_a_unit_is_compared_with() -> None:
    plan = load_provider("local")({}).plan(job_of(constraints={"metric": "memory", "max": "8GiB"}))
    notes = [(note.path, note.message) for note in plan.notes if note.support is Support.ENCODED]
    assert ("constraints[0].max", "8GiB is compared with memory in bytes, as 8589934592") in notes


def test_a_plan_says_which_strategies_know_no_constraints() -> None:
    def notes(strategy: dict[str, Any]) -> list[str]:
        plan = load_provider("local")({}).plan(job_of(strategy=strategy, constraints=FAST))
        return [note.message for note in plan.notes if note.path == "strategy"]

    assert notes({"type": "bayesian"}) == []
    assert notes({"type": "hyperopt"})[0].startswith("HyperOpt knows no constraints")
    assert notes({"type": "optuna", "sampler": "CmaEsSampler"})[0].startswith("CmaEsSampler knows no constraints")


def test_the_cost_of_a_trial_may_be_a_constraint() -> None:
    assert job_of(constraints={"metric": "cost", "max": 2}).cost_place == "constraints[0]"
    assert job_of(constraints={"metric": "cost", "max": 2, "regex": r"cost (\S+)"}).cost_place is None


def test_katib_records_their_metrics_and_is_told_to_know_no_bounds() -> None:
    job = job_of(constraints=[FAST, {"metric": "size", "max": 9, "regex": r"size took (\d+)"}])
    exported = load_format("katib").write(job)
    experiment: Any = exported.data
    assert experiment["spec"]["objective"]["additionalMetricNames"] == ["latency", "size"]
    assert "(latency)" in str(experiment["spec"]["metricsCollectorSpec"])
    assert any("Katib knows no constraints" in str(note) for note in exported.notes)
