"""What a plan for SageMaker says of values that only the service knows for sure, and of settings it does not heed."""

from typing import Any

import pytest

from cloudtune.planning.plan import Plan, Support
from cloudtune.spec.job import TuningJob
from cloudtune_sagemaker.provider import SageMakerProvider
from cloudtune_sagemaker.schema_update import REQUESTS, as_text, needed, of_sdk, written
from cloudtune_sagemaker.values import machines, regions

ROLE = "arn:aws:iam::123456789012:role/tuner"
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/own:latest"


def plan_of(settings: dict[str, Any] | None = None, **fields: Any) -> Plan:
    data = {
        "name": "values",
        "trial": {"image": IMAGE, "command": "python train.py", **fields.pop("trial", {})},
        "objective": {"metric": "loss", "goal": "minimize"},
        "space": {"x": {"type": "float", "low": 0.5, "high": 1.5}},
        "limits": {"trials": 20},
        **fields,
    }
    return SageMakerProvider({"role": ROLE, **(settings or {})}).plan(TuningJob.from_data(data))


def said(plan: Plan, path: str) -> str:
    return "; ".join(note.message for note in plan.notes if note.path == path)


@pytest.mark.parametrize("mode", ["managed", "driven"])
@pytest.mark.parametrize(
    ("instance", "support", "says"),
    [
        ("ml.m5.xlarge", Support.EXACT, ""),
        ("ml.m99.2xlarge", Support.UNCHECKED, "botocore"),
        ("ml.m5.xlrge", Support.UNSUPPORTED, "did you mean 'ml.m5.xlarge'?"),
        ("m5.xlarge", Support.UNSUPPORTED, "did you mean 'ml.m5.xlarge'?"),
        ("no such machine", Support.UNSUPPORTED, "no instance type 'no such machine'"),
    ],
)
def test_a_machine_is_known_or_new_or_refused(instance: str, support: Support, says: str, mode: str) -> None:
    plan = plan_of(compute={"instance": instance}, mode=mode)
    assert plan.support("compute.instance") is support
    assert says in said(plan, "compute.instance")
    assert instance in str(plan.request)


def test_a_machine_of_native_settings_or_of_the_profile_is_judged_as_well() -> None:
    native = plan_of(sagemaker={"TrainingJobDefinition": {"ResourceConfig": {"InstanceType": "ml.m5.xlrge"}}})
    assert any("did you mean 'ml.m5.xlarge'" in note.message for note in native.notes)
    assert "did you mean 'ml.m5.xlarge'" in said(plan_of({"instance": "ml.m5.xlrge"}), "compute.instance")


def test_every_known_machine_and_region_has_the_form_of_one() -> None:
    for known in (machines(), regions()):
        assert known.values
        assert all(known.form.fullmatch(value) for value in known.values)


def test_what_is_wrong_beside_a_new_machine_is_told_too() -> None:
    plan = plan_of(compute={"instance": "ml.m99.2xlarge"}, limits={"trials": 10_001}, strategy={"type": "random"})
    assert "10000" in said(plan, "limits.trials")


@pytest.mark.parametrize(
    ("region", "support"),
    [("eu-west-1", None), ("us-west-9", Support.UNCHECKED), ("us-esat-1", Support.UNSUPPORTED)],
)
def test_the_region_of_the_profile_is_judged(region: str, support: Support | None) -> None:
    notes = [note for note in plan_of({"region": region}).notes if note.path == "region"]
    assert [note.support for note in notes] == ([support] if support else [])


@pytest.mark.parametrize(
    ("fields", "path", "support"),
    [
        ({"trial": {"image": "two words"}}, "trial.image", Support.UNSUPPORTED),
        ({"trial": {"image": "python:3.12"}}, "trial.image", Support.UNCHECKED),
        ({"output": "s3://two words/x"}, "output", Support.UNSUPPORTED),
        ({"data": {"train": "s3://bucket/x"}}, "data.train", Support.EXACT),
        ({"data": {"train": "s3:///x"}}, "data.train", Support.UNSUPPORTED),
        ({"network": {"subnets": ["10.0.0.1"], "security_groups": ["sg-1"]}}, "network.subnets", Support.UNSUPPORTED),
        ({"network": {"subnets": ["subnet-1"], "security_groups": ["web"]}}, "network.security_groups", Support.UNSUPPORTED),
        ({"encryption": {"key": "my key"}}, "encryption.key", Support.UNSUPPORTED),
        ({"encryption": {"volume_key": "alias/disk"}}, "encryption.volume_key", Support.EXACT),
        ({"identity": "tuner"}, "identity", Support.UNSUPPORTED),
        ({"strategy": {"type": "bayesian", "seed": 1}}, "strategy.seed", Support.APPROXIMATE),
        ({"strategy": {"type": "random", "seed": 1}}, "strategy.seed", Support.EXACT),
        ({"compute": {"instance": "ml.g5.xlarge", "disk": "50GB"}}, "compute.disk", Support.APPROXIMATE),
        ({"compute": {"instance": "ml.g5.xlarge"}, "encryption": {"volume_key": "alias/k"}}, "encryption.volume_key", Support.UNSUPPORTED),
    ],
)  # fmt: skip
def test_a_value_is_exact_only_where_something_checked_it(fields: Any, path: str, support: Support) -> None:
    plan = plan_of(**fields)
    assert plan.support(path) is support, plan.notes


KEPT = "sagemaker.TrainingJobDefinition.ResourceConfig.KeepAlivePeriodInSeconds"


def test_a_warm_pool_is_kept_for_driven_trials_alone() -> None:
    native = {"TrainingJobDefinition": {"ResourceConfig": {"KeepAlivePeriodInSeconds": 600}}}
    managed = plan_of(sagemaker=native)
    assert managed.support(KEPT) is Support.APPROXIMATE
    assert "no machines warm" in said(managed, KEPT)
    assert plan_of(sagemaker=native, mode="driven").support(KEPT) is Support.EXACT
    assert "excludes managed spot" in str(plan_of(sagemaker=native, mode="driven", compute={"spot": True}).notes)


def test_settings_of_a_channel_that_count_in_pipe_mode_alone_are_noted() -> None:
    native = {"TrainingJobDefinition": {"InputDataConfig": [{"ChannelName": "train", "CompressionType": "Gzip"}]}}
    plan = plan_of(data={"train": "s3://bucket/x"}, sagemaker=native)
    assert any("Pipe input mode alone" in note.message for note in plan.notes)


def test_the_schema_is_that_of_the_sdk() -> None:
    if of_sdk().version == written().version:
        assert needed(written(), REQUESTS) == needed(of_sdk(), REQUESTS)
        assert as_text(of_sdk()) == as_text(written())
    for name, shape in written().shapes.items():  # a newer one may add to it
        assert shape.get("members", {}).keys() <= of_sdk().shapes[name].get("members", {}).keys()
