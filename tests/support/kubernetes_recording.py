"""Requests to an API server of Kubernetes, and what it answered, as facts: recorded from a real one, replayed on the emulator.

``KUBE_APISERVER=https://127.0.0.1:16443 KUBE_TOKEN=… python tests/support/kubernetes_recording.py`` asks a real kube-apiserver
with a kube-controller-manager (no scheduler, no kubelet) and writes ``tests/emulation/recordings/kubernetes-api.json``.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import requests

RECORDING = Path(__file__).parents[1] / "emulation" / "recordings" / "kubernetes-api.json"
NAMESPACE = "recorded"
_AT = f"/api/v1/namespaces/{NAMESPACE}"
_JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
_SECONDS = 30.0


def step(name: str, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
    """A request.

    Args:
        name: of the step.
        method: of HTTP.
        path: with ``{names}`` of what earlier steps kept.
        body: in JSON.
        more: ``form`` (Content-Type), ``accept``, ``keep`` (names of what is kept, with the paths of its values), ``until`` (values by
            their paths: the request is repeated until the answer has them), ``lines`` (of a watch, to be read).
    """
    return {"name": name, "method": method, "path": path, "body": body, **more}


def _job(
    name: str, pod: Mapping[str, Any] | None = None, container: Mapping[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    """A job whose pods nobody schedules, so that they do what the test says."""
    main = {"name": "main", "image": "python:3.12", "command": ["true"], **(container or {})}
    template = {"spec": {"restartPolicy": "Never", "schedulerName": "nobody", "containers": [main], **(pod or {})}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template, **spec}}


def _ended(code: int) -> dict[str, Any]:
    """The status of a pod whose container has ended."""
    now = "2026-01-01T00:00:00Z"
    terminated = {
        "exitCode": code,
        "reason": "Completed" if code == 0 else "Error",
        "startedAt": now,
        "finishedAt": now,
    }
    container = {
        "name": "main",
        "image": "python:3.12",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"terminated": terminated},
    }
    return {"status": {"phase": "Succeeded" if code == 0 else "Failed", "containerStatuses": [container]}}


def _pods(job: str, **more: Any) -> dict[str, Any]:
    return step(f"the pods of {job}", "GET", f"{_AT}/pods?labelSelector=job-name%3D{job}", **more)


def _end(name: str, code: int) -> dict[str, Any]:
    return step(
        f"end {name} with {code}",
        "PATCH",
        f"{_AT}/pods/{{{name}}}/status",
        _ended(code),
        form="application/merge-patch+json",
        quiet=True,
    )


def _until(job: str, **values: Any) -> dict[str, Any]:
    return step(
        f"{job} becomes {values}",
        "GET",
        f"{_JOBS}/{job}",
        until={name.replace("__", "."): value for name, value in values.items()},
    )


_MERGE, _JSON, _STRATEGIC = (
    f"application/{kind}+json" for kind in ("merge-patch", "json-patch", "strategic-merge-patch")
)
_MAP: dict[str, Any] = {"metadata": {"name": "one", "labels": {"a": "b"}}, "data": {"x": "1", "y": "2"}}

STEPS: tuple[dict[str, Any], ...] = (
    step("a namespace", "POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}),
    step("its account", "GET", f"{_AT}/serviceaccounts/default", until={"metadata.name": "default"}),
    # ConfigMaps: the ways of every kind
    step("a map", "POST", f"{_AT}/configmaps", _MAP),
    step("the map again", "POST", f"{_AT}/configmaps", _MAP),
    step("get it", "GET", f"{_AT}/configmaps/one"),
    step("get none", "GET", f"{_AT}/configmaps/none"),
    step("a map without a name", "POST", f"{_AT}/configmaps", {"data": {}}),
    step("a map of a bad name", "POST", f"{_AT}/configmaps", {"metadata": {"name": "Bad_Name"}}),
    step("a map of a bad key", "POST", f"{_AT}/configmaps", {"metadata": {"name": "bad-key"}, "data": {"a b": "x"}}),
    step("a map with bad labels", "POST", f"{_AT}/configmaps", {"metadata": {"name": "bad-label", "labels": {"a b": "x"}}}),
    step("a map with a number", "POST", f"{_AT}/configmaps", {"metadata": {"name": "number"}, "data": {"a": 1}}),
    step("a map in another namespace than said", "POST", f"{_AT}/configmaps", {"metadata": {"name": "x", "namespace": "default"}}),
    step("a map in no namespace", "POST", "/api/v1/namespaces/nowhere/configmaps", {"metadata": {"name": "x"}}),
    step("a pod as a map", "POST", f"{_AT}/configmaps", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}),
    step("another version as a map", "POST", f"{_AT}/configmaps", {"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "x"}}),
    step("an unknown field, strictly", "POST", f"{_AT}/configmaps?fieldValidation=Strict", {"metadata": {"name": "x"}, "bogus": 1}),
    step("an unknown field, with a warning", "POST", f"{_AT}/configmaps?dryRun=All", {"metadata": {"name": "x"}, "bogus": 1}),
    step("dry runs store nothing", "GET", f"{_AT}/configmaps/x"),
    step("no JSON", "POST", f"{_AT}/configmaps", "{", raw=True),
    step("a merge patch", "PATCH", f"{_AT}/configmaps/one", {"data": {"x": None, "z": "3"}}, form=_MERGE),
    step("a JSON patch", "PATCH", f"{_AT}/configmaps/one", [{"op": "replace", "path": "/data/y", "value": "4"}], form=_JSON),
    step("a JSON patch that fails", "PATCH", f"{_AT}/configmaps/one", [{"op": "test", "path": "/data/y", "value": "5"}], form=_JSON),
    step("a strategic patch", "PATCH", f"{_AT}/configmaps/one", {"metadata": {"finalizers": ["example.org/a"]}}, form=_STRATEGIC),
    step("an unknown patch", "PATCH", f"{_AT}/configmaps/one", {}, form="text/plain"),
    step("a stale update", "PUT", f"{_AT}/configmaps/one", {"metadata": {"name": "one", "resourceVersion": "1"}}),
    step("an update of another name", "PUT", f"{_AT}/configmaps/one", {"metadata": {"name": "two"}}),
    step("an update of none", "PUT", f"{_AT}/configmaps/none", {"metadata": {"name": "none"}}),
    step("a deletion that waits", "DELETE", f"{_AT}/configmaps/one"),
    step("a finalizer goes", "PATCH", f"{_AT}/configmaps/one", {"metadata": {"finalizers": None}}, form=_MERGE),
    step("it is gone", "GET", f"{_AT}/configmaps/one"),
    step("deletion of none", "DELETE", f"{_AT}/configmaps/one"),
    step("a map to delete", "POST", f"{_AT}/configmaps", _MAP, keep={"uid": "metadata.uid"}),
    step("a deletion of another uid", "DELETE", f"{_AT}/configmaps/one", {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}),
    step("a deletion", "DELETE", f"{_AT}/configmaps/one"),
    step("a generated name", "POST", f"{_AT}/configmaps", {"metadata": {"generateName": "made-"}}, keep={"made": "metadata.name"}),
    step("a list by label", "GET", f"{_AT}/configmaps?labelSelector=a+in+(b,c)"),
    step("a list by name", "GET", f"{_AT}/configmaps?fieldSelector=metadata.name%3D{{made}}"),
    step("a bad label selector", "GET", f"{_AT}/configmaps?fieldSelector=data.x%3D1"),
    step("deletion of all", "DELETE", f"{_AT}/configmaps?fieldSelector=metadata.name%3D{{made}}"),
    step("apply without a manager", "PATCH", f"{_AT}/configmaps/ours", {"apiVersion": "v1", "kind": "ConfigMap"}, form="application/apply-patch+yaml"),
    step("apply a new one", "PATCH", f"{_AT}/configmaps/ours?fieldManager=me", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ours"}, "data": {"a": "1", "b": "2"}}, form="application/apply-patch+yaml"),
    step("apply less", "PATCH", f"{_AT}/configmaps/ours?fieldManager=me", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ours"}, "data": {"a": "1"}}, form="application/apply-patch+yaml"),
    step("apply against another", "PATCH", f"{_AT}/configmaps/ours?fieldManager=you", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ours"}, "data": {"a": "9"}}, form="application/apply-patch+yaml"),
    step("apply by force", "PATCH", f"{_AT}/configmaps/ours?fieldManager=you&force=true", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ours"}, "data": {"a": "9"}}, form="application/apply-patch+yaml"),
    # Secrets, claims, reviews
    step("a secret", "POST", f"{_AT}/secrets", {"metadata": {"name": "s"}, "stringData": {"k": "v"}}),
    step("a claim", "POST", f"{_AT}/persistentvolumeclaims?dryRun=All", {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": 1073741824}}}}),
    step("a claim of nothing", "POST", f"{_AT}/persistentvolumeclaims", {"metadata": {"name": "c"}, "spec": {}}),
    step("a review", "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"spec": {"resourceAttributes": {"verb": "create", "group": "batch", "resource": "jobs", "namespace": NAMESPACE}}}),
    # Paths and methods
    step("no such resource", "GET", "/api/v1/nothings"),
    step("no such group", "GET", "/apis/nothing.example/v1/x"),
    step("no such path", "GET", "/nothing"),
    step("no such method", "PUT", f"{_AT}/configmaps"),
    step("resources of batch", "GET", "/apis/batch/v1", only=("jobs", "jobs/status")),
    step("resources of the core", "GET", "/api/v1", only=("pods", "pods/log", "pods/status", "configmaps", "secrets", "events", "namespaces", "serviceaccounts", "persistentvolumeclaims")),
    # Pods
    step("a pod", "POST", f"{_AT}/pods", {"metadata": {"name": "p"}, "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "busybox:1", "resources": {"limits": {"cpu": 0.5, "memory": "128Mi"}}, "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}], "volumes": [{"name": "v"}, {"name": "m", "configMap": {"name": "x"}}]}}),
    step("a pod without containers", "POST", f"{_AT}/pods", {"metadata": {"name": "q"}, "spec": {}}),
    step("a pod of bad parts", "POST", f"{_AT}/pods", {"metadata": {"name": "q"}, "spec": {"restartPolicy": "Sometimes", "containers": [{"name": "A", "image": "x", "volumeMounts": [{"name": "nope", "mountPath": "/x"}], "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}, {"name": "b"}]}}),
    step("a pod of a bad quantity", "POST", f"{_AT}/pods", {"metadata": {"name": "q"}, "spec": {"containers": [{"name": "a", "image": "x", "resources": {"limits": {"cpu": "lots"}}}]}}),
    step("a pod of no account", "POST", f"{_AT}/pods", {"metadata": {"name": "q"}, "spec": {"serviceAccountName": "nobody", "containers": [{"name": "a", "image": "x"}]}}),
    step("a pod of no priority class", "POST", f"{_AT}/pods", {"metadata": {"name": "q"}, "spec": {"priorityClassName": "nothing", "containers": [{"name": "a", "image": "x"}]}}),
    step("a pod's spec stays", "PATCH", f"{_AT}/pods/p", {"spec": {"restartPolicy": "Never"}}, form=_MERGE),
    step("logs of one without a node", "GET", f"{_AT}/pods/p/log"),
    step("an eviction", "POST", f"{_AT}/pods/p/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}),
    step("the evicted one", "GET", f"{_AT}/pods/p"),
    # Jobs
    step("a job", "POST", _JOBS, _job("plain")),
    _pods("plain", until={"items.0.status.phase": "Pending"}, keep={"p1": "items.0.metadata.name"}),
    _until("plain", status__active=1),
    _end("p1", 0),
    _until("plain", status__succeeded=1, status__conditions__1__type="Complete"),
    _pods("plain"),
    step("a job's template stays", "PATCH", f"{_JOBS}/plain", {"spec": {"template": {"metadata": {"labels": {"new": "x"}}}, "completions": 3}}, form=_MERGE),
    step("a job's deletion, orphaning", "DELETE", f"{_JOBS}/plain"),
    _pods("plain", until={"items.0.metadata.ownerReferences": None}),
    step("a bad job", "POST", _JOBS, {"metadata": {"name": "A_b"}, "spec": {"backoffLimit": -1, "template": {"spec": {"containers": [{"name": "x"}]}}}}),
    step("a job that always restarts", "POST", _JOBS, _job("always", {"restartPolicy": "Always"})),
    step("an indexed job without completions", "POST", _JOBS, _job("indexed", completionMode="Indexed")),
    step("a job of a wrong type", "POST", _JOBS, {"metadata": {"name": "a"}, "spec": {"template": {"spec": {"containers": [{"name": "x", "image": 3}]}}}}),
    step("mounts that leave their volume", "POST", _JOBS, _job("m", {"volumes": [{"name": "v", "emptyDir": {}}]}, {"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "../x"}, {"name": "v", "mountPath": "/a", "subPath": "/x/../y"}]})),
    step("a config map of no base64", "POST", f"{_AT}/configmaps", {"metadata": {"name": "b"}, "binaryData": {"k": "YWJj*"}}),
    step("a job with an unknown field", "POST", f"{_JOBS}?fieldValidation=Strict", _job("unknown", bogus=1, container={"more": 2})),
    step("a number beyond 32 bits", "POST", _JOBS, _job("wide", parallelism=2**31)),
    step("a number far below 0", "POST", _JOBS, _job("wide", parallelism=-(2**31) - 1)),
    step("a number beyond 64 bits", "POST", _JOBS, _job("wide", activeDeadlineSeconds=2**63)),
    step("the greatest numbers", "POST", f"{_JOBS}?dryRun=All", _job("wide", parallelism=2**31 - 1, activeDeadlineSeconds=2**31)),
    step("no whole number", "POST", _JOBS, _job("wide", completions=1.5)),
    step("a list of such numbers", "POST", _JOBS, _job("wide", podFailurePolicy={"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2**31]}}]})),
    step("ids and a deadline of a pod", "POST", _JOBS, _job("wide", {"activeDeadlineSeconds": 2**31, "securityContext": {"runAsUser": 2**31, "fsGroup": -1}}, {"securityContext": {"runAsGroup": 2**40}})),
    step("a failing job", "POST", _JOBS, _job("failing", backoffLimit=0)),
    _pods("failing", until={"items.0.status.phase": "Pending"}, keep={"f1": "items.0.metadata.name"}),
    _end("f1", 7),
    _until("failing", status__conditions__1__type="Failed"),
    step("a job with a policy", "POST", _JOBS, _job("policy", podFailurePolicy={"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}, {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]})),
    _pods("policy", until={"items.0.status.phase": "Pending"}, keep={"q1": "items.0.metadata.name"}),
    _end("q1", 42),
    _until("policy", status__conditions__1__type="Failed"),
    step("an indexed job", "POST", _JOBS, _job("indices", completionMode="Indexed", completions=3, parallelism=2, backoffLimitPerIndex=0)),
    _pods("indices", until={"items.1.status.phase": "Pending"}, keep={"i0": "items.0.metadata.name", "i1": "items.1.metadata.name"}),
    _end("i0", 0),
    _until("indices", status__succeeded=1, status__active=2),
    _end("i1", 5),
    _until("indices", status__failed=1, status__failedIndexes="1"),
    _pods("indices", until={"items.2.status.phase": "Pending"}, keep={"i2": "items.2.metadata.name"}),
    _end("i2", 0),
    _until("indices", status__conditions__1__type="Failed"),
    step("a suspended job", "POST", _JOBS, _job("suspended", suspend=True)),
    _until("suspended", status__conditions__0__type="Suspended"),
    step("it goes on", "PATCH", f"{_JOBS}/suspended", {"spec": {"suspend": False}}, form=_MERGE),
    _until("suspended", status__active=1),
    step("it is suspended again", "PATCH", f"{_JOBS}/suspended", {"spec": {"suspend": True}}, form=_MERGE),
    _until("suspended", status__active=None, status__terminating=0),
    _pods("suspended", until={"items.0": None}),
    step("a deletion in the background", "DELETE", f"{_JOBS}/suspended?propagationPolicy=Background"),
    step("a job to delete in the foreground", "POST", _JOBS, _job("front")),
    _until("front", status__active=1),
    step("a deletion in the foreground", "DELETE", f"{_JOBS}/front", {"propagationPolicy": "Foreground"}),
    step("it is gone in the end", "GET", f"{_JOBS}/front", until={"reason": "NotFound"}),
    step("a job that does not last", "POST", _JOBS, _job("brief", ttlSecondsAfterFinished=0, backoffLimit=0)),
    _pods("brief", until={"items.0.status.phase": "Pending"}, keep={"b1": "items.0.metadata.name"}),
    _end("b1", 0),
    step("its time is over", "GET", f"{_JOBS}/brief", until={"reason": "NotFound"}),
    # Watches
    step("a watch from the beginning", "GET", f"{_JOBS}?watch=true&fieldSelector=metadata.name%3Dpolicy", lines=1),
    step("a watch from too long ago", "GET", f"{_JOBS}?watch=true&resourceVersion=abc"),
    step("a page", "GET", f"{_JOBS}?limit=2", keep={"token": "metadata.continue"}),
    step("the next page", "GET", f"{_JOBS}?limit=2&continue={{token}}"),
    step("a page of nonsense", "GET", f"{_JOBS}?limit=2&continue=nonsense"),
    step("jobs as a table", "GET", f"{_JOBS}?fieldSelector=metadata.name%3Dpolicy&includeObject=None", accept="application/json;as=Table;v=v1;g=meta.k8s.io"),
    step("pods as a table", "GET", f"{_AT}/pods?labelSelector=job-name%3Dpolicy&includeObject=None", accept="application/json;as=Table;v=v1;g=meta.k8s.io"),
    # Nodes and pods that are theirs
    step("a node", "POST", "/api/v1/nodes", {"metadata": {"name": "recorded-node"}}, quiet=True),
    step(
        "a pod to bind",
        "POST",
        f"{_AT}/pods",
        {
            "metadata": {"name": "bound", "labels": {"a": "b"}},
            "spec": {
                "schedulerName": "nobody",
                "tolerations": [{"key": "gpu", "operator": "Exists"}, {"operator": "Exists"}],
                "nodeSelector": {"zone": "x"},
                "initContainers": [{"name": "i", "image": "x@sha256:0000000000000000000000000000000000000000000000000000000000000000"}],
                "containers": [
                    {
                        "name": "c",
                        "image": "registry.example:5000/a/b",
                        "ports": [{"containerPort": 80}],
                        "env": [{"name": "A", "value": "1"}, {"name": "R", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}],
                        "resources": {"requests": {"cpu": "1500m", "memory": "1000Ki"}, "limits": {"cpu": 2, "memory": "1.5Gi"}},
                        "livenessProbe": {"exec": {"command": ["true"]}},
                    }
                ],
                "volumes": [
                    {"name": "s", "secret": {"secretName": "s"}},
                    {"name": "h", "hostPath": {"path": "/x"}},
                    {"name": "d", "emptyDir": {"sizeLimit": "1024Mi", "medium": "Memory"}},
                    {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
                ],
            },
        },
    ),
    step("a binding", "POST", f"{_AT}/pods/bound/binding", {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "bound"}, "target": {"kind": "Node", "name": "recorded-node"}}),
    step("a second binding", "POST", f"{_AT}/pods/bound/binding", {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "bound"}, "target": {"kind": "Node", "name": "other"}}),
    step("a strategic patch of containers", "PATCH", f"{_AT}/pods/bound", {"spec": {"containers": [{"name": "c", "image": "new:1"}], "tolerations": [{"key": "more", "operator": "Exists"}]}}, form=_STRATEGIC),
    step("its labels by JSON patch", "PATCH", f"{_AT}/pods/bound", [{"op": "add", "path": "/metadata/labels/x~1y", "value": "z"}, {"op": "remove", "path": "/metadata/labels/a"}], form=_JSON),
    step("its status by strategic patch", "PATCH", f"{_AT}/pods/bound/status", {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}, form=_STRATEGIC),
    step("a condition more", "PATCH", f"{_AT}/pods/bound/status", {"status": {"conditions": [{"type": "ContainersReady", "status": "True"}]}}, form=_STRATEGIC),
    step("pods by node and phase", "GET", f"{_AT}/pods?fieldSelector=spec.nodeName%3Drecorded-node,status.phase%21%3DFailed"),
    step("pods as a table of everything", "GET", f"{_AT}/pods?fieldSelector=metadata.name%3Dbound&includeObject=None", accept="application/json;as=Table;v=v1;g=meta.k8s.io"),
    step("a graceful deletion", "DELETE", f"{_AT}/pods/bound"),
    step("a shorter grace", "DELETE", f"{_AT}/pods/bound?gracePeriodSeconds=5"),
    step("no grace", "DELETE", f"{_AT}/pods/bound", {"gracePeriodSeconds": 0}),
    step("it is gone at once", "GET", f"{_AT}/pods/bound"),
    step("the node goes", "DELETE", "/api/v1/nodes/recorded-node"),
    step("an account", "POST", f"{_AT}/serviceaccounts", {"metadata": {"name": "runner"}, "imagePullSecrets": [{"name": "pull"}]}),
    step("a pod of the account", "POST", f"{_AT}/pods?dryRun=All", {"metadata": {"name": "dry"}, "spec": {"serviceAccountName": "runner", "priorityClassName": "system-cluster-critical", "automountServiceAccountToken": False, "restartPolicy": "Never", "containers": [{"name": "c", "image": "x:1"}]}}),
    step("an event", "POST", f"{_AT}/events", {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "namespace": NAMESPACE, "name": "bound"}, "reason": "Told", "message": "hello", "type": "Normal"}),
    step("events about something", "GET", f"{_AT}/events?fieldSelector=involvedObject.name%3Dbound,reason%3DTold"),
    step("a dry deletion", "DELETE", f"{_AT}/serviceaccounts/runner?dryRun=All"),
    step("a deletion of an account", "DELETE", f"{_AT}/serviceaccounts/runner"),
    step("a job of labels and a selector of its own", "POST", f"{_JOBS}?dryRun=All", {**_job("labelled"), "metadata": {"name": "labelled", "labels": {"mine": "1"}, "annotations": {"n": "o"}}}),
    step("a job of limits", "POST", f"{_JOBS}?dryRun=All", _job("limits", {"restartPolicy": "OnFailure", "activeDeadlineSeconds": 5}, activeDeadlineSeconds=60, ttlSecondsAfterFinished=5, parallelism=3, completions=None)),
    step("a job with a bad policy", "POST", _JOBS, _job("badpolicy", {"restartPolicy": "OnFailure"}, podFailurePolicy={"rules": [{"action": "Explode", "onExitCodes": {"operator": "Near", "values": [1]}}]})),
    step("a bad job of indexes", "POST", _JOBS, _job("badindex", backoffLimitPerIndex=1, maxFailedIndexes=1)),
    step("too long a name", "POST", _JOBS, _job("x" * 64)),
    step("a bad label value", "POST", _JOBS, {**_job("badlabel"), "metadata": {"name": "badlabel", "labels": {"a": "b c"}}}),
    step("many by negated labels", "GET", f"{_JOBS}?labelSelector=job-name%21%3Dplain,%21nothing,job-name+notin+(x)&limit=1"),
    step("a bad selector", "GET", f"{_JOBS}?labelSelector=a%3D%3D%3Db"),
    # Its end
    step("what keeps the namespace", "POST", f"{_AT}/configmaps", {"metadata": {"name": "keeps", "finalizers": ["example.org/a"]}}),
    step("deletion of the namespace", "DELETE", f"/api/v1/namespaces/{NAMESPACE}"),
    step("nothing new in it", "POST", f"{_AT}/configmaps", {"metadata": {"name": "late"}}),
    step("what keeps it is to be deleted", "GET", f"{_AT}/configmaps/keeps", until={"metadata.deletionGracePeriodSeconds": 0}),
    step("nothing keeps it", "PATCH", f"{_AT}/configmaps/keeps", {"metadata": {"finalizers": None}}, form=_MERGE),
    step("the namespace is gone", "GET", f"/api/v1/namespaces/{NAMESPACE}", until={"reason": "NotFound"}),
)  # fmt: skip


class Session:
    """Asks a server.

    Args:
        url: of it.
        token: for it.
        verify: what ``requests`` calls so.
    """

    def __init__(self, url: str, token: str, verify: Any) -> None:
        self._url, self._session = url, requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"
        self._verify = verify
        self._kept: dict[str, str] = {}

    def run(self, steps: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Do all steps and return their normal answers by name; a number is added to one that occurs again."""
        found: dict[str, Any] = {}
        for each in steps:
            answer = self.ask(each)
            name, number = each["name"], 2
            while name in found:
                name, number = f"{each['name']} ({number})", number + 1
            if not each.get("quiet"):
                found[name] = answer
        return found

    def ask(self, each: Mapping[str, Any]) -> Any:
        """Do one step and return its normal answer."""
        until = time.monotonic() + _SECONDS
        while True:
            status, body, warnings = self._once(each)
            wanted = each.get("until", {})
            if all(_at(body, path) == value for path, value in wanted.items()):
                break
            if time.monotonic() > until:
                raise AssertionError(f"{each['name']}: {json.dumps(body)[:2000]}")
            time.sleep(0.02)
        for name, path in each.get("keep", {}).items():
            self._kept[name] = str(_at(body, path))
        if "only" in each:
            body = {**body, "resources": [one for one in body["resources"] if one["name"] in each["only"]]}
        return normal({"status": status, "body": body, **({"warnings": warnings} if warnings else {})})

    def _once(self, each: Mapping[str, Any]) -> tuple[int, Any, list[str]]:
        path = each["path"].format(**self._kept)
        headers = {
            "Content-Type": each.get("form", "application/json"),
            "Accept": each.get("accept", "application/json"),
        }
        data = None if each["body"] is None else each["body"] if each.get("raw") else json.dumps(each["body"])
        with self._session.request(
            each["method"],
            self._url + path,
            data=data,
            headers=headers,
            stream=True,
            timeout=_SECONDS,
            verify=self._verify,
        ) as answer:
            if "lines" in each:
                lines = answer.iter_lines()
                return answer.status_code, [json.loads(next(lines)) for _ in range(each["lines"])], []
            text = answer.text
            warnings = answer.raw.headers.getlist("Warning")
        try:
            return answer.status_code, json.loads(text), warnings
        except ValueError:
            return answer.status_code, text, warnings


def _at(body: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(body, list):
            body = body[int(part)] if int(part) < len(body) else None
        else:
            body = body.get(part) if isinstance(body, dict) else None
    return body


# What differs from one server to the next, and from one run to another

_PATTERNS = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"), "TIME"),
    (re.compile(r"^\d+s$"), "AGE"),
    (re.compile(r"unable to parse requirement: .*"), "unable to parse requirement: …"),
    (re.compile(r"json parse error: .*"), "json parse error: …"),
    (re.compile(r"continue key is not valid.*"), "continue key is not valid"),
    (re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{5}\b"), "-XXXXX"),
    (re.compile(r"Invalid value: (?:\{.*\}|[a-z*&]\S*\{.*\}): field is immutable", re.DOTALL), "Invalid value: …: field is immutable"),
    (re.compile(r"(spec: Forbidden: pod updates may not change fields other than [^\n]*|Forbidden: pod updates may not change [^\n]*)\n.*", re.DOTALL), r"\1"),
)  # fmt: skip
_TOKENS = frozenset({"resourceVersion", "continue"})
_DROPPED = frozenset({"managedFields", "description", "storageVersionHash"})


def normal(value: Any) -> Any:
    """A value without what is another one each time: ids, times, revisions, random names, who manages which field."""
    if isinstance(value, dict):
        return {
            name: "TOKEN" if name in _TOKENS and each else normal(each)
            for name, each in sorted(value.items())
            if name not in _DROPPED
        }
    if isinstance(value, list):
        return [normal(each) for each in value if not _is_of_the_build(each)]
    if isinstance(value, str):
        for pattern, instead in _PATTERNS:
            value = pattern.sub(instead, value)
    return value


def _is_of_the_build(each: Any) -> bool:
    """What the recorded server has of its distribution, and no other has."""
    return isinstance(each, dict) and "openshift" in str(each.get("configMap", ""))


def record() -> None:
    """Ask the real server, and write what it answers."""
    session = Session(os.environ["KUBE_APISERVER"], os.environ["KUBE_TOKEN"], verify=False)
    RECORDING.write_text(json.dumps(session.run(STEPS), indent=1, sort_keys=True, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    record()
