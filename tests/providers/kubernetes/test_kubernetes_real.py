"""Runs against a real API server with the real Job controller, garbage collector and roles; a kubelet of ours runs the pods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloud_runs import job_of
from kubernetes_runs import left_in
from late import LATE

from cloudtune import api
from cloudtune.run import Run
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing.conformance import wait_until

if LATE:
    pytest.importorskip("kubernetes")

    from kubelets import StandIn
    from real_kubernetes import PROGRAMS, control_plane, programs

    from cloudtune_kubernetes.client import Cluster
    from cloudtune_kubernetes.policy import policies
    from cloudtune_kubernetes.settings import KubernetesSettings

pytestmark = [pytest.mark.complete, pytest.mark.xdist_group("real kubernetes")]  # which is started once


@pytest.fixture(scope="module")
def kubelet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    if programs() is None:
        pytest.skip(
            f"{', '.join(PROGRAMS)} are not all installed, which no package index offers (KUBEBUILDER_ASSETS may name their folder)"
        )
    folder = tmp_path_factory.mktemp("cluster")
    with control_plane(folder) as plane, StandIn(plane.kubeconfig, folder / "node", plane.certificate) as running:
        wait_until(lambda: _has_account(running.cluster))
        yield running
        assert running.failures == []


def _has_account(cluster: Cluster) -> bool:
    items = cluster.call("looking", "GET", "/api/v1/namespaces/default/serviceaccounts")["items"]
    return bool(items)


@pytest.fixture(autouse=True)
def profile(kubelet: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {
        "KUBECONFIG": kubelet.cluster.settings.kubeconfig,
        "IMAGE": "own:latest",
        "POLL": "0.2",
        "NAMESPACE": "default",
    }
    for name, value in own.items():
        monkeypatch.setenv(f"CLOUDTUNE_KUBERNETES_{name}", str(value))


def evict(cluster: Cluster, part: str) -> str:
    """Evict a running pod whose name has a part, by the API that `kubectl drain` asks; return its name, "" for none."""
    for pod in cluster.call("looking", "GET", cluster.path("pods"))["items"]:
        meta = pod["metadata"]
        if part in meta["name"] and pod["status"]["phase"] == "Running" and "deletionTimestamp" not in meta:
            body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": meta["name"]}}
            cluster.call("evicting", "POST", cluster.path("pods", meta["name"], "eviction"), body=body)
            return str(meta["name"])
    return ""


def counting(folder: Path, seconds: float) -> str:
    """A script that writes down each start of its trial."""
    began = f"open({str(folder / 'began')!r} + f'-{{t.number()}}', 'a').write('once ')\n"
    leaves = "open(t.output_dir() + '/model.txt', 'w').write('model')\n"
    return f"import time, cloudtune.trial as t\n{began}{leaves}time.sleep({seconds})\nt.report(score=t.params()['x'])\n"


def test_a_run_completes_and_leaves_nothing(kubelet: StandIn, tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "n.txt").write_text("1")
    job = job_of(tmp_path, data={"d": "table"}, trial={"environment": {"SECRET": "hush"}}, compute={"count": 2})
    run = api.prepare(job, "k8s", project=tmp_path, base=tmp_path)
    assert run.wait() is RunState.COMPLETED, run.events()
    assert [(trial.state, trial.attempt) for trial in run.trials()] == [(TrialState.COMPLETED, 1)] * 4
    assert all(len(list(run.reports(number))) == 3 for number in range(4))
    assert next(iter(run.logs(0))).startswith("step 1: score=")
    wait_until(lambda: left_in(kubelet.cluster) == {})


def test_an_eviction_costs_no_retry(kubelet: StandIn, tmp_path: Path) -> None:
    job = job_of(tmp_path, counting(tmp_path, 1.0), limits={"trials": 2, "parallel": 1})
    run = api.prepare(job, "k8s", project=tmp_path, base=tmp_path)
    struck: list[str] = []

    def strike(_: Any) -> None:
        if not struck and (tmp_path / "began-0").exists():
            struck.extend(filter(None, [evict(kubelet.cluster, "-0-1-")]))

    assert run.wait(strike) is RunState.COMPLETED, run.events()
    assert struck
    assert [trial.attempt for trial in run.trials()] == [2, 1], run.events()
    said = [message for _, _, message in run.events()]
    assert any(
        "was lost (the cluster took its pod away" in message and "DisruptionTarget" in message for message in said
    ), said


def test_cancelling_leaves_nothing(kubelet: StandIn, tmp_path: Path) -> None:
    run = api.submit(job_of(tmp_path, counting(tmp_path, 60)), "k8s", project=tmp_path, base=tmp_path)
    wait_until(lambda: (tmp_path / "began-1").exists())
    run.cancel()
    assert run.wait() is RunState.CANCELLED
    wait_until(lambda: left_in(kubelet.cluster) == {})


def test_a_driver_in_the_cluster_under_the_printed_role_outlives_its_eviction(
    kubelet: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = kubelet.cluster
    own = {"DRIVER_ACCOUNT": "driver", "OUTPUT": "pvc://results/tuning"}
    for name, value in own.items():
        monkeypatch.setenv(f"CLOUDTUNE_KUBERNETES_{name}", value)
    cluster.call("making", "POST", "/api/v1/namespaces/default/serviceaccounts", body={"metadata": {"name": "driver"}})
    for made in policies(KubernetesSettings(namespace="default", driver_account="driver"))["identity"]["items"]:
        kind = f"{made['kind'].lower()}s"
        cluster.call("making", "POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/default/{kind}", body=made)
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    cluster.call(
        "making", "POST", cluster.path("persistentvolumeclaims"), body={"metadata": {"name": "results"}, "spec": claim}
    )
    job = job_of(tmp_path, counting(tmp_path, 1.0), limits={"trials": 4})
    run: Run = api.submit(job, "k8s", project=tmp_path, base=tmp_path, driver="k8s")
    struck: list[str] = []

    def strike(progress: Any) -> None:
        if progress.counts.get("completed", 0) >= 1 and not struck:
            struck.extend(filter(None, [evict(cluster, "-driver-")]))

    assert run.wait(strike) is RunState.COMPLETED, run.events()
    assert struck
    assert [(trial.state, trial.attempt) for trial in run.trials()] == [(TrialState.COMPLETED, 1)] * 4
    assert [(tmp_path / f"began-{number}").read_text() for number in range(4)] == ["once "] * 4
    assert [file.read_text() for file in run.fetch(0, tmp_path / "out")] == ["model"]
    wait_until(lambda: left_in(cluster) == {})
