"""What a cluster is told of a job: the manifest of its trials' Jobs, and notes; without the client and without a cluster."""

import json
from datetime import timedelta
from typing import Any

import pytest

from cloudtune.errors import ConfigError, UnsupportedError
from cloudtune.planning.plan import Plan, Support
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Trial
from cloudtune_kubernetes.accelerators import devices
from cloudtune_kubernetes.names import legal_label, run_name, trial_name
from cloudtune_kubernetes.provider import KubernetesProvider
from cloudtune_kubernetes.schema import problems
from cloudtune_kubernetes.settings import KubernetesSettings
from cloudtune_kubernetes.translate import translate
from cloudtune_kubernetes.values import parameters_of


def job(**fields: Any) -> TuningJob:
    data = {
        "name": "j",
        "trial": {"source": "src", "command": "python train.py", "image": "own:1", **fields.pop("trial", {})},
        "objective": {"metric": "score", "goal": "maximize"},
        "space": {"x": {"type": "float", "low": 0, "high": 1}},
        "limits": {"trials": 1, **fields.pop("limits", {})},
        **fields,
    }
    return TuningJob.from_data(data)


def plan(settings: dict[str, Any] | None = None, **fields: Any) -> Plan:
    return translate(job(**fields), KubernetesSettings.of(settings or {}, "kubernetes"))


def manifest(settings: dict[str, Any] | None = None, **fields: Any) -> Any:
    return plan(settings, **fields).request


def pod(settings: dict[str, Any] | None = None, **fields: Any) -> Any:
    return manifest(settings, **fields)["spec"]["template"]["spec"]


def container(settings: dict[str, Any] | None = None, **fields: Any) -> Any:
    return pod(settings, **fields)["containers"][0]


def refused(path: str, settings: dict[str, Any] | None = None, **fields: Any) -> str:
    with pytest.raises(UnsupportedError) as error:
        plan(settings, **fields).refuse()
    assert [problem.path for problem in error.value.problems] == [path]
    return error.value.problems[0].message


def test_a_trial_is_a_job_of_one_pod_that_no_disruption_counts_against() -> None:
    made = manifest()
    assert (made["apiVersion"], made["kind"]) == ("batch/v1", "Job")
    assert made["spec"]["backoffLimit"] == 0
    assert made["spec"]["podFailurePolicy"]["rules"] == [
        {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    ]
    assert made["spec"]["ttlSecondsAfterFinished"] == 86400
    assert pod()["restartPolicy"] == "Never"
    assert "completions" not in made["spec"]
    assert plan().mode == "driven"


def test_resources_are_requested_and_limited_as_the_job_says() -> None:
    resources = container(compute={"cpus": 1.5, "memory": "2GB", "disk": "10GB", "accelerators": "amd:2"})["resources"]
    assert resources["requests"] == {"cpu": "1.5", "memory": "2000000000", "ephemeral-storage": "10000000000"}
    assert resources["limits"] == {**resources["requests"], "amd.com/gpu": "2"}


@pytest.mark.parametrize(
    ("said", "resource", "labels"),
    [
        ("gpu:4", "nvidia.com/gpu", set()),
        ("NVIDIA_TESLA_T4", "nvidia.com/gpu", {"nvidia-tesla-t4", "Tesla-T4"}),
        ("a100-80gb:8", "nvidia.com/gpu", {"nvidia-a100-80gb", "NVIDIA-A100-SXM4-80GB"}),
        ("tpu-v5-lite-podslice:4", "google.com/tpu", {"tpu-v5-lite-podslice"}),
        ("MI300X", "amd.com/gpu", {"AMD_Instinct_MI300X_OAM"}),
        ("nvidia.com/mig-1g.5gb", "nvidia.com/mig-1g.5gb", set()),
    ],
)
def test_an_accelerator_is_a_resource_on_nodes_of_its_kind(said: str, resource: str, labels: set[str]) -> None:
    spec = pod(compute={"accelerators": said})
    count = said.rpartition(":")[2] if ":" in said else "1"
    assert spec["containers"][0]["resources"]["limits"] == {resource: count}
    affinity = (
        spec.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", {})
    )
    # Terms are alternatives: a cluster labels its nodes in one way or the other.
    named = {value for term in affinity.get("nodeSelectorTerms", ()) for value in term["matchExpressions"][0]["values"]}
    assert named == labels


def test_an_unknown_accelerator_and_a_part_of_one_are_refused() -> None:
    assert "did you mean 'H100'?" in refused("compute.accelerators", compute={"accelerators": "H1000"})
    part = {"type": "T4", "count": 0.5}
    assert "nvidia.com/mig" in refused("compute.accelerators.count", compute={"accelerators": part})
    assert {each.resource for each in devices().values()} >= {"nvidia.com/gpu", "amd.com/gpu", "google.com/tpu"}


def test_machine_types_are_labels_of_nodes_and_of_several_the_first_is_preferred() -> None:
    label = "node.kubernetes.io/instance-type"
    assert pod(compute={"instance": "m5.xlarge"})["nodeSelector"] == {label: "m5.xlarge"}
    affinity = pod(compute={"instance": ["a", "b"], "accelerators": "T4"})["affinity"]["nodeAffinity"]
    terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [term["matchExpressions"][1]["values"] for term in terms] == [["a", "b"], ["a", "b"]]
    preferred = affinity["preferredDuringSchedulingIgnoredDuringExecution"][0]["preference"]["matchExpressions"]
    assert preferred == [{"key": label, "operator": "In", "values": ["a"]}]
    foreign = plan(compute={"instance": "ml.m5.xlarge"})
    assert foreign.support("compute.instance") is Support.APPROXIMATE
    assert "ml.m5" not in json.dumps(foreign.request)


def test_a_distributed_trial_is_an_indexed_job_whose_pods_find_each_other() -> None:
    made = manifest(compute={"count": 3})
    assert {name: made["spec"][name] for name in ("completionMode", "completions", "parallelism")} == {
        "completionMode": "Indexed", "completions": 3, "parallelism": 3,
    }  # fmt: skip
    spec = made["spec"]["template"]["spec"]
    env = {each["name"]: each for each in spec["containers"][0]["env"]}
    assert spec["subdomain"] == "${run}"
    assert env["MASTER_ADDR"]["value"] == "${trial}-0.${run}"
    assert env["WORLD_SIZE"]["value"] == "3"
    assert "job-completion-index" in env["RANK"]["valueFrom"]["fieldRef"]["fieldPath"]


def test_what_a_profile_says_is_in_every_pod() -> None:
    settings = {
        "service_account": "runner", "priority_class": "low", "pull_secret": "reg", "queue": "team", "ttl": "600",
        "namespace": "tuning", "template": '{"spec": {"nodeSelector": {"pool": "cpu"}}}',
    }  # fmt: skip
    made = manifest(settings)
    spec = made["spec"]["template"]["spec"]
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    assert made["metadata"]["namespace"] == "tuning"
    assert made["spec"]["ttlSecondsAfterFinished"] == 600
    assert (spec["serviceAccountName"], spec["priorityClassName"]) == ("runner", "low")
    assert spec["imagePullSecrets"] == [{"name": "reg"}]
    assert spec["nodeSelector"] == {"pool": "cpu"}
    assert pod(settings, identity="other")["serviceAccountName"] == "other"
    foreign = plan(settings, identity="arn:aws:iam::123456789012:role/tuning")
    assert foreign.support("identity") is Support.APPROXIMATE


def test_spot_nodes_are_those_that_the_profile_names() -> None:
    assert "spot nodes" in refused("compute.spot", compute={"spot": True})
    gke = pod({"spot": "gke"}, compute={"spot": True})
    assert gke["nodeSelector"] == {"cloud.google.com/gke-spot": "true"}
    assert gke["tolerations"][0]["key"] == "cloud.google.com/gke-spot"
    assert "nodeSelector" not in pod({"spot": "gke"})
    own = pod({"spot": '{"nodeSelector": {"pool": "cheap"}}'}, compute={"spot": True})
    assert own["nodeSelector"] == {"pool": "cheap"}
    assert "none of gke" in refused("compute.spot", {"spot": "gcp"}, compute={"spot": True})


def test_values_of_variables_are_in_no_manifest() -> None:
    made = plan(trial={"environment": {"TOKEN": "hush"}})
    assert "hush" not in json.dumps(made.to_data())
    env = {each["name"]: each for each in container(trial={"environment": {"TOKEN": "hush"}})["env"]}
    assert env["TOKEN"]["valueFrom"] == {"secretKeyRef": {"name": "${run}", "key": "variable-0"}}


def test_inputs_travel_or_lie_on_volumes() -> None:
    spec = pod(data={"here": "./data", "there": "pvc://datasets/mnist/raw"}, output="pvc://results/tuning")
    env = {each["name"]: each.get("value") for each in spec["containers"][0]["env"]}
    volumes = {each["name"]: each for each in spec["volumes"]}
    mounts = {each["mountPath"]: each for each in spec["containers"][0]["volumeMounts"]}
    assert volumes["data-0"]["configMap"] == {"name": "${run}-${data:here}"}
    assert volumes["data-1"]["persistentVolumeClaim"] == {"claimName": "datasets", "readOnly": True}
    assert env["CLOUDTUNE_DATA_THERE"] == "/cloudtune/data/1/mnist/raw"
    assert mounts["/cloudtune/data/1"]["readOnly"] is True
    assert volumes["files"]["persistentVolumeClaim"] == {"claimName": "results"}
    assert env["CLOUDTUNE_FILES"] == "/cloudtune/files/tuning/${run}"
    assert "pvc://CLAIM/FOLDER" in refused("data.far", data={"far": "s3://bucket/data"})


def test_without_a_volume_outputs_end_with_their_pod_and_a_plan_says_what_that_costs() -> None:
    assert {"name": "files", "emptyDir": {}} in pod()["volumes"]
    rule = {"type": "asha", "max_resource": 9, "resume": "checkpoint"}
    assert plan(stopping=rule).support("stopping.resume") is Support.APPROXIMATE
    assert plan({"output": "pvc://results"}, stopping=rule).support("stopping.resume") is Support.EXACT


def test_a_time_limit_counts_from_the_start_of_the_pod() -> None:
    planned = plan(limits={"trial_time": "90s"})
    assert planned.carried["limits.trial_time"] == "spec.template.spec.activeDeadlineSeconds"
    assert pod(limits={"trial_time": "90s"})["activeDeadlineSeconds"] == 90
    assert pod(limits={"trial_time": timedelta(seconds=1.5).total_seconds()})["activeDeadlineSeconds"] == 2


# Native settings


def test_native_settings_are_merged_into_the_pod_template_and_the_job() -> None:
    own = {
        "metadata": {"annotations": {"a": "b"}},
        "spec": {
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "containers": [
                {"name": "trial", "securityContext": {"runAsUser": 1000}},
                {"name": "proxy", "image": "proxy:1"},
            ],
        },
        "job": {"spec": {"suspend": True}},
    }
    made = manifest(kubernetes=own)
    template = made["spec"]["template"]
    assert made["spec"]["suspend"] is True
    assert template["metadata"]["annotations"] == {"a": "b"}
    assert template["spec"]["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    first, second = template["spec"]["containers"]
    assert (first["image"], first["securityContext"], second["name"]) == ("own:1", {"runAsUser": 1000}, "proxy")
    assert not [note for note in plan(kubernetes=own).notes if note.path.startswith("kubernetes")]


def test_a_machine_type_of_another_service_among_several_is_told() -> None:
    made = plan(compute={"instance": ["a", "ml.m5.large"]})
    assert made.support("compute.instance") is Support.APPROXIMATE
    assert plan(compute={"instance": ["a", "b"]}).support("compute.instance") is Support.UNCHECKED


@pytest.mark.parametrize(
    ("own", "path", "words"),
    [
        ({"spec": {"tolerationz": []}}, "kubernetes.spec.tolerationz", "did you mean 'tolerations'?"),
        ({"spec": {"priority": "high"}}, "kubernetes.spec.priority", "must be a whole number"),
        ({"job": {"spec": {"backoffLimit": 2**31}}}, "kubernetes.job.spec.backoffLimit", "must be a whole number of 32 bits, not 2147483648"),
        ({"spec": {"terminationGracePeriodSeconds": 2**63}}, "kubernetes.spec.terminationGracePeriodSeconds", "of 64 bits"),
        ({"spec": {"tolerations": {}}}, "kubernetes.spec.tolerations", "must be a list"),
        ({"specs": {}}, "kubernetes.specs", "is no field of a PodTemplateSpec"),
        ({"job": {"spec": {"backofLimit": 1}}}, "kubernetes.job.spec.backofLimit", "did you mean 'backoffLimit'?"),
        ({"job": 3}, "kubernetes.job", "must be an object"),
        (
            {"spec": {"containers": [{"name": "trial", "resources": {"limits": {"cpu": "lots"}}}]}},
            "kubernetes.spec.containers",
            "containers[0].resources.limits.cpu: must be a quantity",
        ),
        ({"spec": {"volumes": [{"emptyDir": {}}]}}, "kubernetes.spec.volumes", "volumes[0].name: is needed in a Volume"),
    ],
)  # fmt: skip
def test_what_the_api_would_refuse_is_refused_with_its_path(own: Any, path: str, words: str) -> None:
    with pytest.raises(UnsupportedError) as error:
        plan(kubernetes=own).refuse()
    assert any(each.path == path and words in each.message for each in error.value.problems), error.value


def test_quantities_may_be_numbers_and_whole_fields_are_known() -> None:
    own = {"spec": {"containers": [{"name": "trial", "resources": {"limits": {"cpu": 2}}}]}}
    plan(kubernetes=own).refuse()
    assert problems(manifest()) == []


def test_a_command_of_native_settings_starts_in_place_of_the_helper() -> None:
    own = {"spec": {"containers": [{"name": "trial", "command": ["python", "-m", "train"]}]}}
    planned = plan(kubernetes=own)
    assert container(kubernetes=own)["command"] == ["python", "-m", "train"]
    assert planned.support("trial.command") is Support.APPROXIMATE
    assert "${code}" not in json.dumps(planned.request)
    trial = Trial(0, {"x": 0.25, "kind": "a b"})
    assert parameters_of(job(kubernetes=own), trial) == (["--x=0.25", "--kind=a b"], {})


def test_an_image_is_needed() -> None:
    without = TuningJob.from_data({**job().to_data(), "trial": {"command": "train"}})
    with pytest.raises(UnsupportedError, match="no image to run in"):
        translate(without).refuse()
    translate(without, KubernetesSettings(image="own:1")).refuse()


# Names


def test_names_fit_into_dns_labels_whatever_the_job_is_called() -> None:
    for name in ("A_Job-1", "9to5", "x" * 63, "-"):
        own = run_name(name, "run-1")
        assert len(f"{trial_name(own, 99999, 999)}-127") <= 63
        assert own[0].isalpha()
        assert own == own.lower()
    assert run_name("job", "one") != run_name("job", "two")


def test_tags_are_labels_as_near_as_labels_may_be() -> None:
    assert legal_label("team/owner", "Ada") == ("team/owner", "Ada")
    assert legal_label("cost centre", "a b, c") == ("cost-centre", "a-b-c")
    planned = plan(tags={"team": "a b"})
    assert planned.support("tags.team") is Support.APPROXIMATE
    assert planned.request["metadata"]["labels"]["team"] == "a-b"  # type: ignore[index,call-overload]  # plain data


def test_places_of_other_services_are_ported_and_their_machine_types_are_not() -> None:
    provider = KubernetesProvider({})
    adapted = provider.adapt(job(data={"a": "s3://b/d"}, compute={"instance": "n1-standard-4"}, region="us-east-1"))
    assert {each.path for each in adapted.missing} == {"data.a"}
    assert adapted.job.compute.instance == "n1-standard-4"
    assert adapted.job.region is None


def test_a_profile_is_told_of_settings_that_there_are_not() -> None:
    with pytest.raises(ConfigError, match="namespace"):
        KubernetesSettings.of({"name_space": "x"}, "kubernetes")
