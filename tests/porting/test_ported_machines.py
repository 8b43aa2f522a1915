"""What a job needs becomes a machine type of each service; a machine type of one service becomes its equivalent on another."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cloudtune import TuningJob, api
from cloudtune.errors import SpecError, UnsupportedError
from cloudtune.planning.plan import Plan, Support
from cloudtune.provider.interface import load_provider
from cloudtune.remote.resolving import provider_of, resolve

TOML = """
[profiles.aws]
provider = "sagemaker"
role = "arn:aws:iam::123456789012:role/train"
image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/train:1"

[profiles.gcp]
provider = "vertex"
image = "europe-docker.pkg.dev/corp/train/train:1"

[profiles.azure]
provider = "azureml"
environment = "azureml:train@latest"
"""
CLOUDS = ("aws", "gcp", "azure")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "cloudtune.toml").write_text(TOML)
    return tmp_path


def planned(
    project: Path, on: str, *, more: str = "", region: object = None, mode: str = "auto", **compute: Any
) -> Plan:
    if more:
        (project / "cloudtune.toml").write_text(TOML + more)
    job = TuningJob.from_data(
        {
            "name": "needs",
            "trial": {"command": "python train.py"},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {"x": {"type": "float", "low": 0, "high": 1}},
            "limits": {"trials": 2},
            "compute": compute,
            "region": region,
            "mode": mode,
        }
    )
    return api.plan(job, on, project=project)


def kind(plan: Plan) -> str:
    assert plan.machines is not None
    return plan.machines.kind


def note(plan: Plan, path: str) -> str:
    return next(each.message for each in plan.notes if each.path == path)


@pytest.mark.parametrize(
    ("on", "machine", "price", "following"),
    [
        ("aws", "ml.g4dn.xlarge (4 CPUs, 16 GiB, T4)", "0.7364 USD an hour (EC2 × 1.4", "ml.g4dn.2xlarge at 0.94 USD"),
        ("gcp", "n1-standard-4 (4 CPUs, 15 GiB, T4)", "0.621 USD an hour (Compute Engine + 15 %", "n1-standard-8 with T4 at 0.8395"),
        ("azure", "Standard_NC4as_T4_v3 (4 CPUs, 28 GiB, T4)", "0.526 USD an hour (Azure's", "Standard_NC8as_T4_v3 at 0.752"),
    ],
)  # fmt: skip
def test_one_job_that_needs_a_t4_is_planned_on_the_three_services(
    project: Path, on: str, machine: str, price: str, following: str
) -> None:
    plan = planned(project, on, accelerators="T4:1")
    plan.refuse(strict=False)
    reason = note(plan, "compute.accelerators.type")
    assert reason.startswith(f"{machine}, {price}")
    assert "days old" in reason
    assert "is the cheapest that is known to have T4 in " in reason
    assert f"; next come {following}" in reason
    assert kind(plan) == machine.partition(" ")[0]


def test_vertex_gets_the_accelerator_in_its_own_word(project: Path) -> None:
    for asked, spelled in (("T4:2", "NVIDIA_TESLA_T4"), ("A100", "NVIDIA_TESLA_A100"), ("nvidia-l4", "NVIDIA_L4")):
        request: Any = planned(project, "gcp", accelerators=asked).request
        machine = request["trialJobSpec"]["workerPoolSpecs"][0]["machineSpec"]
        assert machine["acceleratorType"] == spelled
        assert machine["acceleratorCount"] == (2 if asked.endswith("2") else 1)
    beside = planned(project, "gcp", instance="n1-standard-8", accelerators="T4").request
    assert "NVIDIA_TESLA_T4" in str(beside)


def test_processors_and_memory_are_met(project: Path) -> None:
    found = {on: kind(planned(project, on, cpus=8, memory="32GB")) for on in CLOUDS}
    assert found == {"aws": "ml.m5.2xlarge", "gcp": "e2-standard-8", "azure": "Standard_D8_v3"}
    plan = planned(project, "gcp", cpus=8, memory="32GB")
    assert note(plan, "compute.memory") == "e2-standard-8 has 8 CPUs, 32 GiB"
    assert {plan.support(path) for path in ("compute.cpus", "compute.memory")} == {Support.ENCODED}


def test_the_region_of_the_profile_and_the_users_prices_count(project: Path) -> None:
    more = 'region = "eu-west-1"\n[prices.aws]\n"ml.g4dn.2xlarge" = 0.1\n'
    (project / "cloudtune.toml").write_text(TOML.replace('provider = "sagemaker"', f'provider = "sagemaker"\n{more.partition("[")[0]}')
        + "[" + more.partition("[")[2])  # fmt: skip
    reason = note(planned(project, "aws", accelerators="T4"), "compute.accelerators.type")
    assert reason.startswith("ml.g4dn.2xlarge (8 CPUs, 32 GiB, T4), 0.1 USD an hour (your [prices]), is the cheapest")
    assert "in eu-west-1; next come ml.g4dn.xlarge at 0.821 USD an hour" in reason


def test_spot_capacity_is_compared_by_its_own_price_where_that_is_known(project: Path) -> None:
    plan = planned(project, "gcp", accelerators="T4", spot=True)
    assert "0.288 USD an hour (spot)" in note(plan, "compute.accelerators.type")
    unknown = note(planned(project, "aws", accelerators="T4", spot=True), "compute.accelerators.type")
    assert unknown.startswith("ml.g4dn.xlarge")
    assert "0.7364 USD an hour on demand, its spot price not known" in unknown


def test_a_price_that_is_not_known_is_said(project: Path) -> None:
    reason = note(planned(project, "gcp", accelerators="TPU-v5e"), "compute.accelerators.type")
    assert "ct5lp-hightpu-1t (24 CPUs, 48 GiB, TPU-v5e), a price that is not known, is the smallest" in reason
    assert "no price is known in us-central1" in reason


def test_a_larger_one_of_the_same_chip_does(project: Path) -> None:
    assert kind(planned(project, "azure", accelerators="A100:1")) == "Standard_NC24ads_A100_v4"


def test_the_profiles_own_machine_is_taken_if_it_has_what_is_needed(project: Path) -> None:
    more = '[profiles.own]\nprovider = "vertex"\nimage = "docker.pkg.dev/c/t/t:1"\ninstance = "n1-standard-16"\n'
    plan = planned(project, "own", more=more, cpus=8)
    assert kind(plan) == "n1-standard-16"
    assert "is the profile's own, which has 8 CPUs" in note(plan, "compute.cpus")
    assert kind(planned(project, "own", more=more, cpus=32)) == "e2-highcpu-32"


def test_a_cluster_that_the_profile_keeps_decides_by_itself(project: Path) -> None:
    more = '[profiles.kept]\nprovider = "azureml"\nenvironment = "azureml:t@latest"\ncompute = "gpus"\n'
    plan = planned(project, "kept", more=more, accelerators="T4")
    assert plan.request["compute"] == "azureml:gpus"
    assert plan.support("compute.accelerators.type") is Support.APPROXIMATE


@pytest.mark.parametrize(
    ("on", "compute", "message"),
    [
        ("aws", {"accelerators": "A10O"}, "no accelerator 'A10O'; did you mean 'A10'"),
        ("aws", {"accelerators": "T4:8"}, "no machine of SageMaker that is known has 8 × T4: it has T4 up to 4 a machine"),
        ("gcp", {"accelerators": "A10"}, "has A10: its accelerators are P100, V100, T4, A100, A100-80GB, L4"),
        ("azure", {"cpus": 9999}, "known has 9999 CPUs; name another one as compute.instance"),
    ],
)  # fmt: skip
def test_what_no_machine_has_is_refused(project: Path, on: str, compute: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedError, match=re.escape(message)):
        planned(project, on, **compute).refuse()


@pytest.mark.parametrize(
    ("written", "on", "machine", "sizes"),
    [
        ("ml.g4dn.xlarge", "gcp", "n1-standard-4", ("4 CPUs, 15 GiB, T4", "4 CPUs, 16 GiB, T4")),
        ("ml.g5.xlarge", "gcp", "g2-standard-4", ("4 CPUs, 16 GiB, L4", "4 CPUs, 16 GiB, A10G")),
        ("ml.p3.2xlarge", "azure", "Standard_NC6s_v3", ("6 CPUs, 112 GiB, V100", "8 CPUs, 61 GiB, V100")),
        ("Standard_NC24ads_A100_v4", "gcp", "a2-ultragpu-1g", ("12 CPUs, 170 GiB, A100-80GB", "24 CPUs, 220 GiB, A100-80GB")),
        ("Standard_D4s_v3", "aws", "ml.m5.xlarge", ("4 CPUs, 16 GiB", "4 CPUs, 16 GiB")),
        ("n1-highmem-8", "azure", "Standard_D13_v2", ("8 CPUs, 56 GiB", "8 CPUs, 52 GiB")),
    ],
)  # fmt: skip
def test_a_type_of_another_service_becomes_its_equivalent_and_both_sizes_are_said(
    project: Path, written: str, on: str, machine: str, sizes: tuple[str, str]
) -> None:
    plan = planned(project, on, instance=written)
    assert kind(plan) == machine
    said = next(
        each.message for each in plan.notes if each.support is Support.APPROXIMATE and each.path == "compute.instance"
    )
    assert plan.support("compute.instance") is Support.APPROXIMATE
    assert said.startswith(f"{machine} ({sizes[0]}), ")
    assert said.endswith(f"takes the place of {written} ({sizes[1]}), another service's")


def test_accelerators_beside_another_services_type_belong_to_it(project: Path) -> None:
    plan = planned(project, "aws", instance="n1-standard-8", accelerators="NVIDIA_TESLA_V100:1")
    assert kind(plan) == "ml.p3.2xlarge"
    assert "n1-standard-8 (8 CPUs, 30 GiB, V100)" in note(plan, "compute.instance")


def test_the_profiles_own_machine_takes_the_place_of_another_services(project: Path) -> None:
    more = '[profiles.own]\nprovider = "vertex"\nimage = "docker.pkg.dev/c/t/t:1"\ninstance = "n1-standard-16"\n'
    plan = planned(project, "own", more=more, instance="ml.m5.large")
    assert kind(plan) == "n1-standard-16"
    assert "the profile's own: ml.m5.large is another service's" in note(plan, "compute.instance")


def test_what_is_not_known_of_another_services_type_is_met_by_what_the_job_needs(project: Path) -> None:
    plan = planned(project, "gcp", instance="ml.x99.xlarge", cpus=4)
    assert kind(plan) == "e2-highcpu-4"
    assert "ml.x99.xlarge is another service's" in note(plan, "compute.instance")


def test_ported_twice_is_ported_once(project: Path) -> None:
    provider, _, _ = resolve("gcp", project)
    job = TuningJob.from_data(
        {
            "name": "twice",
            "trial": {"command": "python train.py"},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {"x": {"type": "float", "low": 0, "high": 1}},
            "limits": {"trials": 2},
            "compute": {"accelerators": "T4:1", "cpus": 4},
        }
    )
    once = provider.adapt(job).job
    assert provider.adapt(once).job == once
    assert provider.adapt(once).notes == ()


# Lists of alternatives


def test_sagemakers_tuner_chooses_among_several_types(project: Path) -> None:
    plan = planned(project, "aws", instance=["ml.g5.xlarge", "ml.g4dn.xlarge"], count=2)
    plan.refuse()
    definition: Any = plan.request["TrainingJobDefinition"]
    assert "ResourceConfig" not in definition
    assert definition["HyperParameterTuningResourceConfig"] == {
        "AllocationStrategy": "Prioritized",
        "InstanceConfigs": [
            {"InstanceType": "ml.g5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 30},
            {"InstanceType": "ml.g4dn.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 30},
        ],
    }
    assert plan.machines is not None
    assert (plan.machines.kind, plan.machines.others) == ("ml.g5.xlarge", ("ml.g4dn.xlarge",))
    assert [rate.machine for rate in plan.rates] == ["ml.g5.xlarge", "ml.g4dn.xlarge"]
    assert Plan.from_data(plan.to_data()) == plan


def test_a_list_comes_back_from_sagemakers_own_request(project: Path) -> None:
    request: Any = planned(project, "aws", instance=["ml.g5.xlarge", "ml.g4dn.xlarge"]).request
    job = load_provider("sagemaker").from_native(dict(request))
    assert job.compute.instance == ("ml.g5.xlarge", "ml.g4dn.xlarge")
    assert "InstanceConfigs" not in str(job.native)
    again: Any = api.plan(job, "aws", project=project).request
    assert again["TrainingJobDefinition"] == request["TrainingJobDefinition"]


@pytest.mark.parametrize(
    ("on", "types"), [("gcp", ["n1-standard-8", "e2-standard-8"]), ("azure", ["Standard_D8s_v5", "Standard_D8s_v3"])]
)
def test_where_the_tuner_takes_one_type_the_plan_says_so(project: Path, on: str, types: list[str]) -> None:
    plan = planned(project, on, instance=types)
    assert plan.support("compute.instance") is Support.APPROXIMATE
    assert plan.machines is not None
    assert (plan.machines.kind, plan.machines.others) == (types[0], ())
    assert any("mode: driven tries the next" in each.message for each in plan.notes if each.path == "compute.instance")


def test_a_list_for_one_provider_and_a_type_for_another(project: Path) -> None:
    both = {"aws": ["ml.g5.xlarge", "ml.g6.xlarge"], "gcp": "g2-standard-4"}
    assert kind(planned(project, "aws", instance=both)) == "ml.g5.xlarge"
    assert kind(planned(project, "gcp", instance=both)) == "g2-standard-4"


def test_another_services_list_becomes_a_list_of_equivalents(project: Path) -> None:
    plan = planned(project, "gcp", instance=["ml.m5.xlarge", "ml.m5.4xlarge"], mode="driven")
    assert plan.machines is not None
    assert (plan.machines.kind, plan.machines.others) == ("e2-standard-4", ("e2-standard-16",))
    messages = [each.message for each in plan.notes if each.path == "compute.instance"]
    assert any(
        "takes the place of ml.m5.xlarge" in each and "takes the place of ml.m5.4xlarge" in each for each in messages
    )


def test_other_services_types_in_a_list_are_left_out_and_said(project: Path) -> None:
    plan = planned(project, "aws", instance=["n1-standard-8", "ml.m5.xlarge"])
    assert kind(plan) == "ml.m5.xlarge"
    assert "n1-standard-8: another service's, of no effect here" in note(plan, "compute.instance")


def test_an_empty_list_is_refused(project: Path) -> None:
    with pytest.raises(SpecError, match="compute"):
        planned(project, "aws", instance=[])


# The region


def test_the_jobs_region_takes_the_place_of_the_profiles(project: Path) -> None:
    plan = planned(project, "aws", region="eu-central-1", accelerators="T4")
    assert plan.support("region") is Support.ENCODED
    assert "0.9205 USD an hour" in note(plan, "compute.accelerators.type")
    assert "in eu-central-1" in note(plan, "compute.accelerators.type")
    assert plan.rates[0].per_hour == Decimal("0.9205")


def test_a_region_a_provider_and_one_of_another_service(project: Path) -> None:
    both = {"aws": "eu-west-1", "gcp": "europe-west4"}
    assert "in europe-west4" in note(planned(project, "gcp", region=both, cpus=4), "compute.cpus")
    assert note(planned(project, "gcp", region=both), "region.sagemaker") == "said for sagemaker: of no effect here"
    foreign = planned(project, "gcp", region="eu-west-1", cpus=4)
    assert "eu-west-1 is another service's region" in note(foreign, "region")
    assert "in us-central1" in note(foreign, "compute.cpus")


def test_where_the_region_is_fixed_or_there_is_none_the_plan_says_so(project: Path) -> None:
    fixed = planned(project, "azure", region="westeurope", accelerators="T4")
    assert "trials run where the workspace stands; the prices are those of westeurope" in note(fixed, "region")
    assert "0.658 USD" in note(fixed, "compute.accelerators.type")
    assert "no region to choose" in note(planned(project, "local", region="eu-west-1"), "region")


def test_a_run_keeps_the_region_of_its_job(project: Path) -> None:
    job = TuningJob.from_data(
        {
            "name": "there",
            "trial": {"command": "python train.py"},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {"x": {"type": "float", "low": 0, "high": 1}},
            "limits": {"trials": 2},
            "region": "europe-west4",
        }
    )
    run = api.prepare(job, "gcp", project=project, base=project)
    again = provider_of(run.record, project)
    assert again.settings["location"] == "europe-west4"
    assert run._provider.settings["location"] == "europe-west4"


# Types that do not exist


def test_a_type_that_neither_the_sdk_nor_the_catalogue_has_is_refused_with_the_nearest(project: Path) -> None:
    with pytest.raises(
        UnsupportedError, match=r"has no machine type 'ml.g5.3xlarge'; did you mean 'ml.g5.*if it is new, a newer boto3"
    ):
        planned(project, "aws", instance=["ml.g5.xlarge", "ml.g5.3xlarge"]).refuse()


def test_a_type_that_the_sdk_alone_knows_passes(project: Path) -> None:
    plan = planned(project, "aws", instance="ml.trn2.48xlarge")
    plan.refuse()
    assert plan.support("compute.instance") is Support.EXACT
    assert plan.rates == ()
