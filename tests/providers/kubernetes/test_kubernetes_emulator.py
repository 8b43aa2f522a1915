"""Kubernetes' emulator runs jobs as a cluster does: judged by the official Python client, unmodified."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from late import LATE

if LATE:
    pytest.importorskip("kubernetes")
    from kubernetes import client
    from kubernetes_jobs import Served, conditions, job, reason


def test_a_job_runs_its_command_and_its_pod_has_the_output(served: Served) -> None:
    name = served.submit(job("echo one; echo two"))
    done = served.ended(name)
    assert conditions(done) == {"SuccessCriteriaMet", "Complete"}
    assert (done.status.succeeded, done.status.active, done.status.failed) == (1, None, None)
    assert done.status.completion_time is not None
    (pod,) = served.pods(name)
    assert (pod.status.phase, pod.metadata.finalizers) == ("Succeeded", None)
    assert pod.status.container_statuses[0].state.terminated.reason == "Completed"
    assert served.log(pod.metadata.name) == "one\ntwo\n"
    assert served.log(pod.metadata.name, tail_lines=1) == "two\n"
    assert [line.split(" ")[1] for line in served.log(pod.metadata.name, timestamps=True).splitlines()] == [
        "one",
        "two",
    ]
    assert ("SuccessfulCreate", f"Created pod: {pod.metadata.name}") in served.events(name)


def test_a_job_fails_after_its_retries_with_the_exit_code(served: Served) -> None:
    name = served.submit(job("exit 3", backoffLimit=1))
    done = served.ended(name)
    assert (conditions(done), reason(done, "Failed")) == ({"FailureTarget", "Failed"}, "BackoffLimitExceeded")
    assert done.status.failed == 2
    assert {pod.status.container_statuses[0].state.terminated.exit_code for pod in served.pods(name)} == {3}


def test_containers_find_variables_and_files_of_config_maps_secrets_and_volumes(served: Served) -> None:
    core = served.core
    core.create_namespaced_config_map(
        "default", {"metadata": {"name": "settings"}, "data": {"rate": "0.1", "a.txt": "from a map"}}
    )
    core.create_namespaced_secret("default", {"metadata": {"name": "keys"}, "stringData": {"token": "very secret"}})
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    core.create_namespaced_persistent_volume_claim("default", claim)
    container = {
        "env": [
            {"name": "RATE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "rate"}}},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "BOTH", "value": "$(RATE)/$(MISSING)/$$(RATE)"},
            {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        ],
        "envFrom": [{"secretRef": {"name": "keys"}, "prefix": "MY_"}],
        "resources": {"limits": {"cpu": "1500m"}},
        "volumeMounts": [
            {"name": "files", "mountPath": "/config"},
            {"name": "keys", "mountPath": "/deep/er/keys"},
            {"name": "scratch", "mountPath": "/deep/scratch"},
            {"name": "data", "mountPath": "/data", "subPath": "runs"},
        ],
        "workingDir": "/deep/scratch",
    }  # fmt: skip
    pod = {
        "volumes": [
            {"name": "files", "configMap": {"name": "settings", "items": [{"key": "a.txt", "path": "sub/a.txt"}]}},
            {"name": "keys", "secret": {"secretName": "keys"}},
            {"name": "scratch", "emptyDir": {}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        ],
        "initContainers": [
            {
                "name": "first", "image": "x", "command": ["sh", "-c", "echo from the first > /deep/scratch/made"],
                "volumeMounts": [{"name": "scratch", "mountPath": "/deep/scratch"}],
            }
        ],
    }  # fmt: skip
    command = "echo $RATE; echo $POD; echo $BOTH; echo $CPUS; echo $MY_token; cat /config/sub/a.txt; echo; cat /deep/er/keys/token; echo; cat made; echo kept > /data/file"
    name = served.submit(job(command, container=container, pod=pod))
    lines = served.output(name).splitlines()
    own = served.pods(name)[0].metadata.name
    assert lines == [
        "0.1",
        own,
        "0.1/$(MISSING)/$(RATE)",
        "2",
        "very secret",
        "from a map",
        "very secret",
        "from the first",
    ]
    again = served.submit(job("cat /data/file", container={"volumeMounts": [{"name": "d", "mountPath": "/data", "subPath": "runs"}]},
                              pod={"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}))  # fmt: skip
    assert served.output(again) == "kept\n"


def test_the_indexes_of_an_indexed_job_each_succeed_once(served: Served) -> None:
    name = served.submit(
        job("echo $JOB_COMPLETION_INDEX $HOSTNAME", completions=3, parallelism=2, completionMode="Indexed")
    )
    done = served.ended(name)
    assert (done.status.succeeded, done.status.completed_indexes) == (3, "0-2")
    said = sorted(served.log(pod.metadata.name) for pod in served.pods(name))
    assert said == [f"{index} {name}-{index}\n" for index in range(3)]


def test_what_fits_no_node_waits_and_says_why(served: Served) -> None:
    name = served.submit(job("true", container={"resources": {"limits": {"nvidia.com/gpu": "1", "cpu": "1000"}}}))
    pod = served.pod_until(name, lambda each: reason(each, "PodScheduled") == "Unschedulable")
    message = next(each.message for each in pod.status.conditions if each.type == "PodScheduled")
    assert message.startswith("0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient nvidia.com/gpu.")
    assert "FailedScheduling" in dict(served.events(pod.metadata.name))
    served.batch.delete_namespaced_job(name, "default", propagation_policy="Foreground")


def test_a_program_is_asked_to_end_before_it_is_killed(served: Served) -> None:
    name = served.submit(job("trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.02; done"))
    pod = served.pod_until(name, lambda each: each.status.phase == "Running").metadata.name
    followed = served.core.read_namespaced_pod_log(pod, "default", follow=True, _preload_content=False)
    assert followed.readline() == b"ready\n"
    served.batch.delete_namespaced_job(name, "default", propagation_policy="Background")
    assert followed.read().endswith(b"asked\n")


def test_a_container_that_fails_starts_again_in_its_pod_and_its_earlier_output_stays(served: Served) -> None:
    command = "if [ -e /state/once ]; then echo second; else touch /state/once; echo first; exit 4; fi"
    pod = {"restartPolicy": "OnFailure", "volumes": [{"name": "s", "emptyDir": {}}]}
    name = served.submit(job(command, container={"volumeMounts": [{"name": "s", "mountPath": "/state"}]}, pod=pod))
    assert served.ended(name).status.failed is None
    (made,) = served.pods(name)
    (container,) = made.status.container_statuses
    assert (container.restart_count, container.last_state.terminated.exit_code) == (1, 4)
    assert served.log(made.metadata.name) == "second\n"
    assert served.log(made.metadata.name, previous=True) == "first\n"
    assert "BackOff" in dict(served.events(made.metadata.name))


def test_a_second_object_of_a_name_and_one_that_is_not_there_are_refused(served: Served) -> None:
    served.core.create_namespaced_config_map("default", {"metadata": {"name": "once"}})
    with pytest.raises(client.ApiException) as raised:
        served.core.create_namespaced_config_map("default", {"metadata": {"name": "once"}})
    assert (raised.value.status, '"reason":"AlreadyExists"' in raised.value.body) == (409, True)
    with pytest.raises(client.ApiException) as raised:
        served.batch.read_namespaced_job("nope", "default")
    assert 'jobs.batch \\"nope\\" not found' in raised.value.body
    with pytest.raises(client.ApiException) as raised:
        served.batch.create_namespaced_job(
            "default", {"metadata": {"name": "No_Name"}, "spec": {"template": {"spec": {"containers": []}}}}
        )
    assert '"field":"spec.template.spec.restartPolicy"' in raised.value.body


def test_an_image_that_cannot_be_pulled_keeps_its_pod_waiting(cluster: Any, served: Served) -> None:
    cluster.faults.unpullable = ("*/missing:*",)
    name = served.submit(job("true", container={"image": "registry.example/missing:1"}))
    pod = served.pod_until(name, lambda each: bool(each.status.container_statuses) and (each.status.container_statuses[0].state.waiting or each.status).reason == "ImagePullBackOff")  # fmt: skip
    assert pod.status.phase == "Pending"
    with pytest.raises(client.ApiException) as raised:
        served.log(pod.metadata.name)
    assert "trying and failing to pull image" in raised.value.body
    served.batch.delete_namespaced_job(name, "default", propagation_policy="Background")


def test_the_pods_of_an_indexed_job_find_each_other_by_name_and_talk(served: Served) -> None:
    script = """
import os, socket, time
rank, job = int(os.environ["JOB_COMPLETION_INDEX"]), os.environ["HOSTNAME"].rpartition("-")[0]
if rank == 0:
    with socket.create_server((f"{job}-0.team", 29611)) as server:
        connection, _ = server.accept()
        print(connection.recv(100).decode())
else:
    while True:
        try:
            with socket.create_connection((f"{job}-0.team", 29611)) as connection:
                connection.sendall(b"from the other")
            break
        except OSError:
            time.sleep(0.02)
"""
    name = served.submit(
        job(
            "",
            container={"command": ["python3", "-c", script]},
            pod={"subdomain": "team"},
            completions=2,
            parallelism=2,
            completionMode="Indexed",
        )
    )
    served.ended(name)
    assert "from the other\n" in [served.log(pod.metadata.name) for pod in served.pods(name)]


def test_a_program_in_a_pod_asks_the_api_server_as_its_service_account(served: Served) -> None:
    script = "from kubernetes import client, config; config.load_incluster_config(); print(len(client.CoreV1Api().list_node().items))"
    assert served.output(served.submit(job("", container={"command": ["python3", "-c", script]}))) == "2\n"


def test_older_kubectl_finds_the_schemas_in_the_form_that_it_asks_for(cluster: Any) -> None:
    from cloudtune_kubernetes.emulator.protobuf import _fields

    form = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    headers = {"Authorization": f"Bearer {cluster.token}", "Accept": form}
    answer = requests.get(f"{cluster.url}/openapi/v2", headers=headers, verify=str(cluster.certificate), timeout=100)
    document = dict(_fields(answer.content))
    assert (answer.status_code, document[1]) == (200, b"2.0")
    names = [dict(_fields(each))[1] for _, each in _fields(document[9])]
    assert {b"V1Job", b"V1JobSpec", b"V1PodSpec", b"v1beta1Experiment"} <= set(names)
    patched = [dict(_fields(each))[1] for _, each in _fields(document[8])]
    assert b"/apis/batch/v1/namespaces/{namespace}/jobs/{name}" in patched


BATCH = "/apis/batch/v1/namespaces/default/jobs"


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("application/json", b"[" * 100_000),
        ("application/yaml", b"[" * 5_000),
        ("application/yaml", b"&a [*a]"),
        ("application/yaml", b"a: &a [1, 1, 1, 1]\nb: &b [*a, *a, *a, *a]\nc: [*b, *b, *b, *b]\n"),
    ],
)
def test_a_body_that_would_exhaust_the_reader_is_a_bad_request(cluster: Any, form: str, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {cluster.token}", "Content-Type": form}
    answer = requests.post(f"{cluster.url}{BATCH}", body, headers=headers, verify=str(cluster.certificate), timeout=30)
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


def test_a_negative_limit_is_none(served: Served) -> None:
    assert served.batch.list_namespaced_job("default", limit=-1).metadata._continue is None


def test_a_job_of_a_billion_pods_has_as_many_as_there_is_room_for(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cloudtune_kubernetes.emulator import jobs

    monkeypatch.setattr(jobs, "_AT_ONCE", 2)
    monkeypatch.setattr(jobs, "_MOST_PODS", 5)
    for mode in ("NonIndexed", "Indexed"):
        many = 10**9 if mode == "NonIndexed" else 10**5
        name = served.submit(job("sleep 30", parallelism=many, completions=many, completionMode=mode))
        served.until(name, lambda each: each.status.active == 5)
        assert len(served.pods(name)) == 5
        served.batch.delete_namespaced_job(name, "default", propagation_policy="Background")
