"""kubectl works with Kubernetes' emulator: it discovers, validates, applies, explains, describes, waits, evicts and deletes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from late import LATE

if LATE:
    pytest.importorskip("kubernetes")

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: %s, labels: {team: a}}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
      - {name: main, image: "python:3", command: [sh, -c, "echo hello; sleep 0.1"]}
"""


class Kubectl:
    """kubectl for an emulator."""

    def __init__(self, emulator: Any, home: Path) -> None:
        self._environment = {**os.environ, **emulator.environment, "HOME": str(home)}

    def __call__(self, *words: str, text: str = "", fails: bool = False) -> str:
        done = subprocess.run(
            ["kubectl", *words],
            env=self._environment,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout


@pytest.fixture
def kubectl(cluster: Any, tmp_path: Path) -> Kubectl:
    return Kubectl(cluster, tmp_path)


def test_a_job_is_applied_waited_for_and_read(kubectl: Kubectl) -> None:
    assert kubectl("apply", "-f", "-", text=JOB % "applied") == "job.batch/applied created\n"
    assert "condition met" in kubectl("wait", "--for=condition=complete", "job/applied", "--timeout=30s")
    assert kubectl("logs", "job/applied") == "hello\n"
    assert kubectl("get", "job", "applied", "--no-headers").split()[:3] == ["applied", "Complete", "1/1"]
    assert "Completed" in kubectl("get", "pods", "-l", "job-name=applied")
    assert "Created pod: applied-" in kubectl("describe", "job", "applied")


@pytest.mark.complete
def test_an_applied_object_is_changed_and_unchanged(kubectl: Kubectl) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied}\ndata: {a: '1', b: '2'}\n"
    assert "created" in kubectl("apply", "-f", "-", text=text)
    assert "unchanged" in kubectl("apply", "-f", "-", text=text)
    assert "configured" in kubectl("apply", "-f", "-", text=text.replace(", b: '2'", ""))
    assert json.loads(kubectl("get", "cm", "applied", "-o", "json"))["data"] == {"a": "1"}
    assert "serverside-applied" in kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=text)
    assert "patched" in kubectl("patch", "cm", "applied", "-p", '{"data":{"c":"3"}}')
    assert kubectl("get", "cm", "applied", "-o", "jsonpath={.data.c}") == "3"
    assert "labeled" in kubectl("label", "cm", "applied", "x=y")


@pytest.mark.complete
def test_what_is_wrong_is_told_before_anything_is_made(kubectl: Kubectl) -> None:
    said = kubectl("create", "-f", "-", text=(JOB % "bogus").replace("backoffLimit", "backofLimit"), fails=True)
    assert "backofLimit" in said
    assert "NotFound" in kubectl("get", "job", "bogus", fails=True)
    assert "dry run" in kubectl("create", "--dry-run=server", "-f", "-", text=JOB % "dry")


@pytest.mark.complete
def test_discovery_explanations_and_reviews(kubectl: Kubectl) -> None:
    found = {line.split()[0] for line in kubectl("api-resources", "--no-headers").splitlines()}
    assert {"pods", "jobs", "configmaps", "secrets", "events", "experiments", "trials"} <= found
    assert "backoffLimit" in kubectl("explain", "job.spec")
    assert kubectl("auth", "can-i", "create", "jobs") == "yes\n"
    assert "Server Version" in kubectl("version")


@pytest.mark.complete
def test_jobs_maps_and_secrets_are_made_by_their_own_commands(kubectl: Kubectl) -> None:
    kubectl("create", "job", "made", "--image=x", "--", "sh", "-c", "echo made")
    kubectl("create", "configmap", "made", "--from-literal=k=v")
    kubectl("create", "secret", "generic", "made", "--from-literal=k=v")
    assert kubectl("get", "secret", "made", "-o", "jsonpath={.data.k}") == "dg=="
    kubectl("wait", "--for=condition=complete", "job/made", "--timeout=30s")
    kubectl("run", "lasting", "--image=x", "--restart=Never", "--command", "--", "sleep", "100")
    kubectl("wait", "--for=condition=ready", "pod/lasting", "--timeout=30s")
    kubectl("delete", "pod", "lasting", "--grace-period=1")
    kubectl("delete", "job", "made")
    assert kubectl("get", "pods", "-l", "job-name=made", "--no-headers") == ""


@pytest.mark.complete
def test_roles_and_priorities_are_made_by_their_own_commands(kubectl: Kubectl) -> None:
    kubectl("create", "role", "reads", "--verb=get,list", "--resource=jobs.batch,pods")
    kubectl("create", "rolebinding", "reads", "--role=reads", "--serviceaccount=default:default")
    kubectl("create", "priorityclass", "high", "--value=10", "--description=before others")
    rules = json.loads(kubectl("get", "role", "reads", "-o", "json"))["rules"]
    assert [(rule["apiGroups"], rule["resources"], rule["verbs"]) for rule in rules] == [
        ([""], ["pods"], ["get", "list"]),
        (["batch"], ["jobs"], ["get", "list"]),
    ]
    bound = json.loads(kubectl("get", "rolebinding", "reads", "-o", "json"))
    assert bound["subjects"] == [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]
    assert bound["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reads"}
    assert kubectl("get", "priorityclass", "high", "-o", "jsonpath={.value}") == "10"


@pytest.mark.complete
def test_a_namespace_takes_everything_in_it_along(kubectl: Kubectl) -> None:
    kubectl("create", "namespace", "team")
    kubectl("apply", "-n", "team", "-f", "-", text=(JOB % "team").replace("sleep 0.1", "sleep 100"))
    kubectl("wait", "-n", "team", "--for=condition=ready", "pod", "-l", "job-name=team", "--timeout=30s")
    kubectl("delete", "namespace", "team", "--timeout=30s")
    assert "team" not in kubectl("get", "namespaces", "-o", "name")
