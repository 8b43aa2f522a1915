"""What goes wrong on purpose in Kubernetes' emulator does as on a real cluster: watches end, calls are refused, pods and nodes are lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from late import LATE

if LATE:
    pytest.importorskip("kubernetes")
    from kubernetes import client, watch
    from kubernetes_jobs import Served, conditions, job, reason

    from cloudtune_kubernetes.emulator import KubernetesEmulator

LASTING = "echo ready; while :; do sleep 0.05; done"
IGNORES = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}


def get(cluster: Any, path: str, **more: Any) -> Any:
    headers = {"Authorization": f"Bearer {cluster.token}"}
    return requests.get(cluster.url + path, headers=headers, verify=str(cluster.certificate), timeout=30, **more)


@pytest.fixture(autouse=True)
def _no_faults_after_a_test(request: pytest.FixtureRequest) -> Any:
    yield
    if "cluster" in request.fixturenames:
        faults = request.getfixturevalue("cluster").faults
        faults.throttle = faults.errors = faults.lost = faults.conflicts = faults.watch_cuts = faults.evictions = 0.0
        faults.operations = None


def test_a_watch_resumes_where_it_was_and_is_told_when_that_is_gone(cluster: Any, served: Served) -> None:
    first = served.core.create_namespaced_config_map("default", {"metadata": {"name": "w1"}})
    served.core.create_namespaced_config_map("default", {"metadata": {"name": "w2"}})
    since = first.metadata.resource_version
    path = "/api/v1/namespaces/default/configmaps?watch=true&timeoutSeconds=1&resourceVersion="
    seen = [json.loads(line) for line in get(cluster, path + since).text.splitlines()]
    assert [(each["type"], each["object"]["metadata"]["name"]) for each in seen] == [("ADDED", "w2")]
    cluster.forget_history()
    (told,) = [json.loads(line) for line in get(cluster, path + since).text.splitlines()]
    assert (told["type"], told["object"]["code"], told["object"]["reason"]) == ("ERROR", 410, "Expired")
    assert told["object"]["message"].startswith(f"too old resource version: {since} (")


def test_a_watch_and_followed_logs_answer_before_there_is_anything_to_say(cluster: Any, served: Served) -> None:
    revision = served.core.list_namespaced_config_map("default").metadata.resource_version
    path = f"/api/v1/configmaps?watch=true&timeoutSeconds=60&resourceVersion={revision}"
    with get(cluster, path, stream=True) as answer:
        assert answer.elapsed.total_seconds() < 5
    name = served.submit(job("sleep 60"))
    pod = served.pod_until(name, lambda each: each.status.phase == "Running").metadata.name
    with get(cluster, f"/api/v1/namespaces/default/pods/{pod}/log?follow=true", stream=True) as answer:
        assert answer.elapsed.total_seconds() < 5
    served.batch.delete_namespaced_job(name, "default", propagation_policy="Background")


def test_an_object_that_leaves_a_selection_is_deleted_for_its_watch(cluster: Any, served: Served) -> None:
    made = served.core.create_namespaced_config_map(
        "default", {"metadata": {"name": "leaves", "labels": {"in": "yes"}}}
    )
    served.core.patch_namespaced_config_map("leaves", "default", {"metadata": {"labels": {"in": "no"}}})
    path = f"/api/v1/configmaps?watch=true&timeoutSeconds=1&labelSelector=in%3Dyes&resourceVersion={made.metadata.resource_version}"
    assert [json.loads(line)["type"] for line in get(cluster, path).text.splitlines()] == ["DELETED"]


def test_cut_watches_throttling_and_conflicts_reach_the_client(cluster: Any, served: Served) -> None:
    cluster.faults.watch_cuts = 1.0
    path = "/api/v1/namespaces/default/serviceaccounts?watch=true&timeoutSeconds=20"
    with pytest.raises(requests.exceptions.RequestException):
        _ = get(cluster, path).content
    cluster.faults.watch_cuts, cluster.faults.throttle, cluster.faults.operations = 0.0, 1.0, ("GetConfigMap",)
    answer = get(cluster, "/api/v1/namespaces/default/configmaps/kube-root-ca.crt")
    assert (answer.status_code, answer.headers["Retry-After"], answer.json()["reason"]) == (429, "1", "TooManyRequests")
    cluster.faults.throttle, cluster.faults.conflicts, cluster.faults.operations = 0.0, 1.0, None
    with pytest.raises(client.ApiException) as raised:
        served.core.patch_namespaced_config_map("kube-root-ca.crt", "default", {"data": {"x": "y"}})
    assert (raised.value.status, json.loads(raised.value.body)["reason"]) == (409, "Conflict")


def test_a_lost_answer_leaves_its_object(cluster: Any, served: Served) -> None:
    cluster.faults.lost, cluster.faults.operations = 1.0, ("CreateConfigMap",)
    url = f"{cluster.url}/api/v1/namespaces/default/configmaps"
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.post(
            url,
            json={"metadata": {"name": "lost"}},
            headers={"Authorization": f"Bearer {cluster.token}"},
            verify=str(cluster.certificate),
            timeout=30,
        )
    cluster.faults.lost = 0.0
    assert served.core.read_namespaced_config_map("lost", "default").metadata.name == "lost"


def test_an_evicted_pod_fails_by_a_disruption_and_its_job_goes_on(cluster: Any, served: Served) -> None:
    cluster.faults.evictions = 1.0
    name = served.submit(job(LASTING, backoffLimit=0, podFailurePolicy=IGNORES))
    pod = served.pod_until(name, lambda each: each.status.phase == "Failed")
    cluster.faults.evictions = 0.0
    assert (pod.status.reason, reason(pod, "DisruptionTarget")) == ("Evicted", "TerminationByKubelet")
    served.pod_until(name, lambda each: each.status.phase == "Running")
    assert conditions(served.batch.read_namespaced_job(name, "default")) == set()
    served.batch.delete_namespaced_job(name, "default", propagation_policy="Background")


def test_a_node_that_dies_takes_its_pods_along_and_others_take_their_place() -> None:
    with KubernetesEmulator(backoff=0.02, grace=0.2) as emulator:
        served = Served(emulator.client())
        name = served.submit(job(LASTING, backoffLimit=0, podFailurePolicy=IGNORES))
        pod = served.pod_until(name, lambda each: each.status.phase == "Running")
        since = served.core.list_namespaced_pod("default").metadata.resource_version
        emulator.lose_node(pod.spec.node_name)
        seen = []
        for event in watch.Watch().stream(
            served.core.list_namespaced_pod, "default", resource_version=since, timeout_seconds=20
        ):
            own = event["object"].metadata.name == pod.metadata.name
            if own:
                seen.append((event["type"], event["object"].status.reason, reason(event["object"], "DisruptionTarget")))
            elif event["object"].status.phase == "Running":
                assert event["object"].spec.node_name != pod.spec.node_name
                break
        assert ("MODIFIED", "NodeLost", "DeletionByTaintManager") in seen
        assert seen[-1][0] == "DELETED"
        emulator.return_node(pod.spec.node_name)
        assert served.core.read_node(pod.spec.node_name).status.conditions[0].status == "True"


def test_memory_beyond_the_limit_and_a_deadline_end_a_container(served: Served) -> None:
    eats = {
        "command": ["python3", "-c", "held = bytearray(200_000_000); import time; time.sleep(60)"],
        "resources": {"limits": {"memory": "50Mi"}},
    }
    name = served.submit(job("", container=eats, backoffLimit=0))
    late = served.submit(job(LASTING, activeDeadlineSeconds=1))
    done = served.ended(name)
    assert reason(done, "Failed") == "BackoffLimitExceeded"
    terminated = served.pods(name)[0].status.container_statuses[0].state.terminated
    assert (terminated.reason, terminated.exit_code) == ("OOMKilled", 137)
    assert reason(served.ended(late), "Failed") == "DeadlineExceeded"


def test_a_role_permits_what_it_says_and_reviews_tell_so() -> None:
    role = {
        "kind": "Role",
        "metadata": {"namespace": "default"},
        "rules": [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]}],
    }
    with KubernetesEmulator(policy={"caller": role}) as emulator:
        served = Served(emulator.client())
        served.submit(job("true"))
        with pytest.raises(client.ApiException) as raised:
            served.batch.list_namespaced_job("default")
        message = 'jobs.batch is forbidden: User "cloudtune" cannot list resource "jobs" in API group "batch" in the namespace "default"'
        assert (raised.value.status, json.loads(raised.value.body)["message"]) == (403, message)
        reviews = client.AuthorizationV1Api(emulator.client())
        for verb, allowed in (("create", True), ("list", False)):
            asked = {
                "spec": {
                    "resourceAttributes": {"verb": verb, "group": "batch", "resource": "jobs", "namespace": "default"}
                }
            }
            assert reviews.create_self_subject_access_review(asked).status.allowed is allowed
