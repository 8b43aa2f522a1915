"""What plans for Vertex AI and Azure ML say of values that only the service knows for sure, and of settings it does not heed."""

from typing import Any

import pytest

from cloudtune.planning.plan import Plan, Support
from cloudtune.provider.interface import load_provider
from cloudtune.spec.job import TuningJob
from cloudtune_vertex.machines import machines
from cloudtune_vertex.schema_update import written
from cloudtune_vertex.values import regions

EXACT, UNCHECKED, APPROXIMATE, REFUSED = (
    Support.EXACT,
    Support.UNCHECKED,
    Support.APPROXIMATE,
    Support.UNSUPPORTED,
)


def plan_of(on: str, settings: dict[str, Any] | None = None, **fields: Any) -> Plan:
    image = {"vertex": "europe-docker.pkg.dev/p/r/own:1", "azureml": "azureml:own@latest"}
    data = {
        "name": "values",
        "trial": {"image": image, "command": "python train.py", **fields.pop("trial", {})},
        "objective": {"metric": "loss", "goal": "minimize"},
        "space": {"x": {"type": "float", "low": 0.5, "high": 1.5}},
        "limits": {"trials": 20},
        **fields,
    }
    return load_provider(on)(settings or {}).plan(TuningJob.from_data(data))


def said(plan: Plan, path: str) -> str:
    return "; ".join(note.message for note in plan.notes if note.path == path)


@pytest.mark.parametrize("mode", ["managed", "driven"])
@pytest.mark.parametrize(
    ("on", "instance", "support", "says"),
    [
        ("vertex", "n1-standard-8", EXACT, ""),
        ("vertex", "n77-standard-8", UNCHECKED, "not among the"),
        ("vertex", "n1-standrd-8", REFUSED, "did you mean 'n1-standard-8'?"),
        ("vertex", "no such machine", REFUSED, "no machine type 'no such machine'"),
        ("azureml", "Standard_DS3_v2", UNCHECKED, "only the workspace's region knows"),
        ("azureml", "Standrd_DS3_v2", REFUSED, "did you mean 'Standard_DS3_v2'?"),
        ("azureml", "no such machine", REFUSED, "no machine size 'no such machine'"),
        ("azureml", "azureml:gpu-cluster", UNCHECKED, "only the workspace knows"),
        ("azureml", "azureml:no such cluster", REFUSED, "is no compute"),
    ],
)
def test_a_machine_is_known_or_new_or_refused(on: str, instance: str, support: Support, says: str, mode: str) -> None:
    plan = plan_of(on, compute={"instance": instance}, mode=mode)
    assert plan.support("compute.instance") is support
    assert says in said(plan, "compute.instance")


def test_a_machine_of_the_profile_or_of_native_settings_is_judged_as_well() -> None:
    assert "did you mean" in said(plan_of("vertex", {"machine": "n1-standrd-4"}), "compute.instance")
    native = {"trialJobSpec": {"workerPoolSpecs": [{"machineSpec": {"machineType": "n1-standrd-4"}}]}}
    assert plan_of("vertex", vertex=native).support("vertex.trialJobSpec.workerPoolSpecs") is REFUSED
    native = {"resources": {"instance_type": "Standrd_DS3_v2"}}
    assert plan_of("azureml", azureml=native).support("azureml.resources.instance_type") is REFUSED


def test_every_known_machine_disk_and_region_has_the_form_of_one() -> None:
    for known in (machines().types, machines().disk_types, regions()):
        assert known.values
        assert all(known.form.fullmatch(value) for value in known.values)


def test_every_accelerator_of_a_machine_is_one_of_the_sdk() -> None:
    known = {each.split(" ")[1] for each in written().enums["AcceleratorType"]}
    assert {kind for kind, _ in machines().with_gpus.values()} | machines().attachable.keys() <= known


@pytest.mark.parametrize(
    ("instance", "accelerators", "support", "says"),
    [
        ("n1-standard-8", "NVIDIA_TESLA_T4:2", EXACT, ""),
        ("n1-standard-8", "NVIDIA_TESLA_T4:3", REFUSED, "takes 1, 2, 4 NVIDIA_TESLA_T4, not 3"),
        ("e2-standard-4", "NVIDIA_TESLA_T4", REFUSED, "goes with n1-"),
        (None, "NVIDIA_L4", REFUSED, "comes with g2-standard-"),
        ("g2-standard-24", "NVIDIA_L4:2", EXACT, ""),
        ("a2-highgpu-2g", "NVIDIA_TESLA_A100:4", REFUSED, "has 2 NVIDIA_TESLA_A100"),
        ("a3-highgpu-8g", "NVIDIA_H200_141GB:8", REFUSED, "has 8 NVIDIA_H100_80GB"),
        ("n77-standard-8", "NVIDIA_TESLA_T4:2", EXACT, ""),  # nobody knows what a new machine takes
        ("n1-standard-8", "NVIDIA_TESLA_K80", UNCHECKED, "out of service"),
    ],
)
def test_accelerators_fit_their_machine_on_vertex(
    instance: str | None, accelerators: str, support: Support, says: str
) -> None:
    compute = {"accelerators": accelerators, **({} if instance is None else {"instance": instance})}
    plan = plan_of("vertex", compute=compute)
    assert plan.support("compute.accelerators.type") is support
    assert says in " ".join(note.message for note in plan.notes if note.path.startswith("compute.accelerators"))


@pytest.mark.parametrize(
    ("location", "support"),
    [("europe-west4", None), ("europe-west77", UNCHECKED), ("us-central1-a", REFUSED)],
)
def test_the_location_of_the_profile_is_judged_on_vertex(location: str, support: Support | None) -> None:
    notes = [note for note in plan_of("vertex", {"location": location}).notes if note.path == "location"]
    assert [note.support for note in notes] == ([support] if support else [])


@pytest.mark.parametrize(
    ("on", "fields", "path", "support"),
    [
        ("vertex", {"trial": {"image": "two words"}}, "trial.image", REFUSED),
        ("vertex", {"identity": "me"}, "identity", REFUSED),
        ("vertex", {"identity": "me@p.iam.gserviceaccount.com"}, "identity", EXACT),
        ("vertex", {"output": "gs://Two Words/x"}, "output", REFUSED),
        ("vertex", {"data": {"train": "gs://_/x"}}, "data.train", REFUSED),
        ("vertex", {"stopping": {"type": "auto"}}, "stopping.type", UNCHECKED),
        ("vertex", {"vertex": {"state": "JOB_STATE_FAILED"}}, "vertex.state", APPROXIMATE),
        ("vertex", {"vertex": {"studySpec": {"studyStoppingConfig": {"minNumTrials": 3}}}}, "vertex.studySpec.studyStoppingConfig.minNumTrials", UNCHECKED),
        ("vertex", {"vertex": {"trialJobSpec": {"scheduling": {"maxWaitDuration": "60s"}}}}, "vertex.trialJobSpec.scheduling.maxWaitDuration", APPROXIMATE),
        ("vertex", {"vertex": {"trialJobSpec": {"scheduling": {"maxWaitDuration": "60s", "strategy": "FLEX_START"}}}}, "vertex.trialJobSpec.scheduling.maxWaitDuration", EXACT),
        ("vertex", {"vertex": {"trialJobSpec": {"scheduling": {"disableRetries": True, "restartJobOnWorkerRestart": True}}}}, "vertex.trialJobSpec.scheduling.restartJobOnWorkerRestart", APPROXIMATE),
        ("vertex", {"vertex": {"trialJobSpec": {"tensorboard": "board"}}}, "vertex.trialJobSpec.tensorboard", REFUSED),
        ("azureml", {"trial": {"image": "two words"}}, "trial.image", REFUSED),
        ("azureml", {"identity": "me"}, "identity", REFUSED),
        ("azureml", {"identity": "managed"}, "identity", EXACT),
        ("azureml", {"data": {"train": "azureml://datastore/x"}}, "data.train", REFUSED),
        ("azureml", {"data": {"train": "azureml://datastores/d/paths/p"}}, "data.train", EXACT),
        ("azureml", {"azureml": {"resources": {"locations": ["West Europe!"]}}}, "azureml.resources.locations", REFUSED),
        ("azureml", {"compute": {"instance": "azureml:c", "spot": True}}, "compute.spot", APPROXIMATE),
        ("azureml", {"strategy": {"type": "bayesian"}, "azureml": {"early_termination": {"type": "median_stopping"}}}, "azureml.early_termination.type", APPROXIMATE),
        ("azureml", {"azureml": {"early_termination": {"type": "median_stopping", "evaluation_interval": 1, "slack_factor": 0.2}}}, "azureml.early_termination.slack_factor", APPROXIMATE),
        ("azureml", {"azureml": {"sampling_algorithm": {"type": "grid", "seed": 3}}}, "azureml.sampling_algorithm.seed", APPROXIMATE),
    ],
)  # fmt: skip
def test_a_value_is_exact_only_where_something_checked_it(on: str, fields: Any, path: str, support: Support) -> None:
    plan = plan_of(on, mode="managed", **fields)
    assert plan.support(path) is support, plan.notes
