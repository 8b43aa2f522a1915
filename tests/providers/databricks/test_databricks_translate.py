"""What a job becomes on Databricks: the request of each trial's run, and what the plan says of the rest. No SDK but where native settings are checked."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from cloudtune.planning.plan import Plan, Support
from cloudtune.provider.preparing import planned
from cloudtune.spec.job import TuningJob
from cloudtune_databricks import schema
from cloudtune_databricks.provider import DatabricksProvider
from cloudtune_databricks.request import with_values

VOLUME = "/Volumes/main/default/tuning"
OWN = {"instance": "m5.xlarge", "spark_version": "16.4.x-scala2.12"}


def plan_of(settings: dict[str, Any] | None = None, **fields: Any) -> Plan:
    trial = {"source": "src", "command": "python train.py", **fields.pop("trial", {})}
    data = {
        "name": "tune",
        "trial": {name: value for name, value in trial.items() if value is not None},
        "objective": {"metric": "loss", "goal": "minimize"},
        "space": {"x": {"type": "float", "low": 0, "high": 1}},
        "limits": {"trials": 4, **fields.pop("limits", {})},
        **fields,
    }
    return planned(DatabricksProvider({"volume": VOLUME, **(settings or {})}), TuningJob.from_data(data))[1]


def task_of(plan: Plan) -> dict[str, Any]:
    (task,) = plan.request["tasks"]  # type: ignore[misc]
    return dict(task)  # type: ignore[arg-type]


def refusals(plan: Plan) -> list[str]:
    return [f"{note.path}: {note.message}" for note in plan.notes if note.support is Support.UNSUPPORTED]


def test_by_default_trials_run_on_serverless_compute() -> None:
    plan = plan_of({"dependencies": ["xgboost"], "environment_version": "3"})
    assert plan.mode == "driven"
    assert task_of(plan)["environment_key"] == "trial"
    assert plan.request["environments"] == [
        {"environment_key": "trial", "spec": {"environment_version": "3", "dependencies": ["xgboost"]}}
    ]
    assert plan.request["queue"] == {"enabled": True}
    assert plan.machines is not None
    assert plan.machines.kind == "serverless"
    assert "timeout_seconds" not in plan.request


def test_a_node_type_makes_a_cluster_of_the_trials_own_that_sees_volumes() -> None:
    cluster = task_of(plan_of(OWN, tags={"team": "a"}))["new_cluster"]
    assert (cluster["node_type_id"], cluster["num_workers"]) == ("m5.xlarge", 0)
    assert cluster["data_security_mode"] == "SINGLE_USER"
    assert cluster["spark_conf"]["spark.databricks.cluster.profile"] == "singleNode"
    assert cluster["custom_tags"] == {"ResourceClass": "SingleNode", "team": "a"}
    several = task_of(plan_of(OWN, compute={"count": 3}))["new_cluster"]
    assert several["num_workers"] == 2
    assert "spark_conf" not in several


@pytest.mark.parametrize(
    ("node", "attributes", "word"),
    [
        ("m5.xlarge", "aws_attributes", "SPOT_WITH_FALLBACK"),
        ("Standard_DS3_v2", "azure_attributes", "SPOT_WITH_FALLBACK_AZURE"),
        ("n2-highmem-4", "gcp_attributes", "PREEMPTIBLE_WITH_FALLBACK_GCP"),
    ],
)
def test_spot_nodes_are_those_of_the_node_types_cloud(node: str, attributes: str, word: str) -> None:
    plan = plan_of(OWN, compute={"instance": node, "spot": True})
    assert task_of(plan)["new_cluster"][attributes] == {"availability": word, "first_on_demand": 0}
    assert plan.support("compute.spot") is Support.ENCODED


def test_what_no_cluster_of_ones_own_can_have_is_noted() -> None:
    plan = plan_of(
        {"cluster": "0101-1-x"}, compute={"spot": True, "count": 2}, tags={"a": "b"}, trial={"image": "r/i:1"}
    )
    assert task_of(plan)["existing_cluster_id"] == "0101-1-x"
    for path in ("compute.spot", "compute.count", "tags.a", "trial.image"):
        assert plan.support(path) is Support.APPROXIMATE, path
    assert "environments" not in plan.request


def test_what_is_missing_is_said_with_what_to_write() -> None:
    assert any("write volume =" in each for each in refusals(plan_of({"volume": ""})))
    assert any("spark_version =" in each for each in refusals(plan_of({"instance": "m5.xlarge"})))
    assert any(
        "which cloud's?" in each for each in refusals(plan_of({**OWN, "instance": "mine"}, compute={"spot": True}))
    )
    assert not refusals(plan_of({"volume": ""}, output={"databricks": VOLUME}))


@pytest.mark.parametrize("place", [f"{VOLUME}/in", f"dbfs:{VOLUME}/in", f"dbfs://{VOLUME}/in"])
def test_places_on_volumes_are_read_where_they_are_in_every_spelling(place: str) -> None:
    plan = plan_of(data={"train": {"databricks": place}})
    assert f"--data=CLOUDTUNE_DATA_TRAIN=dbfs://{VOLUME}/in" in task_of(plan)["spark_python_task"]["parameters"]
    assert plan.support("data.train.databricks") is Support.EXACT


def test_places_elsewhere_are_refused_and_files_of_this_machine_travel() -> None:
    assert any("data.train" in each for each in refusals(plan_of(data={"train": "s3://bucket/in"})))
    plan = plan_of(data={"train": "in"})
    assert (
        f"--data=CLOUDTUNE_DATA_TRAIN=dbfs://{VOLUME}/data/${{data:train}}"
        in task_of(plan)["spark_python_task"]["parameters"]
    )


def test_the_services_limit_leaves_room_for_the_start_of_a_cluster() -> None:
    assert plan_of(limits={"trial_time": "10m"}).request["timeout_seconds"] == 600 + 3600


@pytest.mark.parametrize(
    ("who", "member"), [("me@example.com", "user_name"), ("6af3c5d2-1f7e", "service_principal_name")]
)
def test_an_identity_is_a_user_or_a_service_principal(who: str, member: str) -> None:
    plan = plan_of(identity=who)
    assert plan.request["run_as"] == {member: who}
    assert plan.support("identity") is Support.UNCHECKED, "it may not read your home"
    assert plan_of({"folder": "/Workspace/Shared/cloudtune"}, identity=who).support("identity") is Support.EXACT


def test_no_value_of_the_environment_is_in_the_request() -> None:
    plan = plan_of(trial={"environment": {"TOKEN": "s3cr3t"}})
    assert "s3cr3t" not in str(plan.to_data())
    assert (
        f"--environment=dbfs://{VOLUME}/${{run}}/environment.json" in task_of(plan)["spark_python_task"]["parameters"]
    )


# Native settings


def test_members_of_a_task_and_of_the_request_are_merged_where_they_belong() -> None:
    pytest.importorskip("databricks.sdk")
    own = {
        "libraries": [{"pypi": {"package": "xgboost"}}],
        "usage_policy_id": "p",
        "new_cluster": {"policy_id": "q", "num_workers": 4},
    }
    plan = plan_of({**OWN, "submit": {"health": {"rules": []}}}, databricks=own)
    task = task_of(plan)
    assert task["libraries"] == [{"pypi": {"package": "xgboost"}}]
    assert (task["new_cluster"]["policy_id"], task["new_cluster"]["num_workers"]) == ("q", 4)
    assert "spark_conf" not in task["new_cluster"]
    assert plan.request["usage_policy_id"] == "p"
    assert plan.request["health"] == {"rules": []}
    assert not refusals(plan)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"new_cluster": {"num_wokers": 1}}, "databricks.new_cluster.num_wokers: Databricks refuses tasks[0].new_cluster.num_wokers: is no field of a ClusterSpec; did you mean 'num_workers'?"),
        ({"new_cluster": {"num_workers": "2"}}, "must be a whole number, not '2'"),
        ({"new_cluster": {"aws_attributes": {"availability": "SPOTTY"}}}, "is none of ON_DEMAND, SPOT, SPOT_WITH_FALLBACK"),
        ({"libraries": {"pypi": {}}}, "must be a list"),
        ({"usage_policy": "p"}, "is no field of a request"),
        ({"python_wheel_task": {"entry_point": "main"}}, "is needed in a PythonWheelTask"),
    ],
)  # fmt: skip
def test_what_the_sdk_does_not_know_is_refused_where_it_is_written(own: dict[str, Any], words: str) -> None:
    pytest.importorskip("databricks.sdk")
    assert any(words in each for each in refusals(plan_of(OWN, databricks=own))), refusals(plan_of(OWN, databricks=own))


def test_without_the_sdk_native_settings_are_passed_on_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    schema._of_submit.cache_clear()
    monkeypatch.setitem(sys.modules, "databricks.sdk.service.jobs", None)
    plan = plan_of(OWN, databricks={"new_cluster": {"num_wokers": 1}})
    assert plan.support("databricks.new_cluster") is Support.UNCHECKED
    assert any("databricks-sdk is not installed" in note.message for note in plan.notes)


def test_a_task_of_ones_own_takes_the_place_of_the_helpers() -> None:
    pytest.importorskip("databricks.sdk")
    wheel = {"package_name": "train", "entry_point": "main"}
    plan = plan_of(
        {"volume": ""}, trial={"command": None, "source": None, "image": "any"}, databricks={"python_wheel_task": wheel}
    )
    assert "spark_python_task" not in task_of(plan)
    assert not refusals(plan)


def test_each_kind_of_task_gets_the_parameters_in_its_own_way() -> None:
    values = {"x": 0.5, "kind": "a b"}
    assert with_values({"python_wheel_task": {"parameters": ["--fast"]}}, values) == {
        "python_wheel_task": {"parameters": ["--fast", "--x=0.5", "--kind=a b"]}
    }
    assert with_values({"python_wheel_task": {"named_parameters": {"fast": "1"}}}, values) == {
        "python_wheel_task": {"named_parameters": {"fast": "1", "x": "0.5", "kind": "a b"}}
    }
    assert with_values({"notebook_task": {"notebook_path": "/n"}}, values) == {
        "notebook_task": {"notebook_path": "/n", "base_parameters": {"x": "0.5", "kind": "a b"}}
    }
    assert with_values({"run_job_task": {"job_id": 1}}, values) == {"run_job_task": {"job_id": 1}}
