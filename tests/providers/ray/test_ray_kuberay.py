"""Clusters of KubeRay by their names: an API server tells of them, and passes calls on to their heads' dashboards."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml
from late import LATE

from cloudtune.cli.app import run_app
from cloudtune.errors import ConfigError, CredentialError, ProviderError
from cloudtune_ray.kuberay import KubeRay, role
from cloudtune_ray.provider import RayProvider
from cloudtune_ray.settings import RaySettings

if LATE:
    pytest.importorskip("kubernetes")

CLUSTER = {
    "apiVersion": "ray.io/v1",
    "kind": "RayCluster",
    "metadata": {"name": "mine", "namespace": "team"},
    "spec": {"rayVersion": "2.52.0", "headGroupSpec": {"rayStartParams": {}, "template": {"spec": {"containers": [{"name": "ray-head", "image": "rayproject/ray:2.52.0"}]}}}},
    "status": {
        "state": "ready",
        "head": {"podIP": "10.244.0.7", "podName": "mine-head", "serviceIP": "10.244.0.7", "serviceName": "mine-head-svc"},
        "endpoints": {"client": "10001", "dashboard": "8265", "gcs-server": "6379", "metrics": "8080", "serve": "8000"},
    },
}  # fmt: skip
"""As KubeRay's operator writes it (ray-operator/apis/ray/v1/raycluster_types.go)."""

PROXY = "/api/v1/namespaces/team/services/mine-head-svc:dashboard/proxy"


class ApiServer(ThreadingHTTPServer):
    """A Kubernetes with one RayCluster, which lets in who brings a token.

    Attributes:
        cluster: the RayCluster; None for none.
        job: the status of the RayJob that made it.
        dashboard: the address to which calls of its head's service go; "" where it answers of itself.
        asked: the calls, each with its headers.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cluster: Any = json.loads(json.dumps(CLUSTER))
        self.job: dict[str, str] = {"rayClusterName": "mine", "jobDeploymentStatus": "Running"}
        self.dashboard = ""
        self.asked: list[tuple[str, str, dict[str, str]]] = []


class Handler(BaseHTTPRequestHandler):
    server: ApiServer
    protocol_version = "HTTP/1.1"

    def _any(self) -> None:
        self.server.asked.append((self.command, self.path, {name.lower(): text for name, text in self.headers.items()}))
        size = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(size) if size else None
        if self.headers.get("Authorization") != "Bearer kube":
            self._answer(401, {"kind": "Status", "code": 401})
        elif self.path == "/apis/ray.io/v1/namespaces/team/rayclusters/mine" and self.server.cluster is not None:
            self._answer(200, self.server.cluster)
        elif self.path == "/apis/ray.io/v1/namespaces/team/rayjobs/nightly":
            self._answer(200, {"kind": "RayJob", "metadata": {"name": "nightly"}, "status": self.server.job})
        elif self.path.startswith(PROXY) and self.server.dashboard:
            self._forward(self.path.removeprefix(PROXY), data)
        elif self.path == f"{PROXY}/api/version":
            self._answer(200, {"ray_version": "2.52.0"})
        else:
            self._answer(404, {"kind": "Status", "code": 404})

    do_GET = do_POST = do_PUT = _any  # noqa: N815  # as the base class calls them

    def _forward(self, path: str, data: bytes | None) -> None:
        """Pass a call on, but no WebSocket, as many a proxy does."""
        if self.headers.get("Upgrade"):
            self._answer(400, {"kind": "Status", "code": 400})
            return
        headers = {"Content-Type": self.headers.get("Content-Type") or "application/json"}
        try:
            with urlopen(Request(self.server.dashboard + path, data, headers, method=self.command)) as answer:
                self._send(answer.status, answer.headers["Content-Type"], answer.read())
        except OSError as error:
            self._send(getattr(error, "code", 503), "text/plain", str(error).encode())

    def _answer(self, status: int, data: Any) -> None:
        self._send(status, "application/json", json.dumps(data).encode())

    def _send(self, status: int, form: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", form)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the tests quiet."""


@pytest.fixture
def kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    with ApiServer() as server:
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "me", "user": {"token": "kube"}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "team"}}],
        }  # fmt: skip
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("address", ["kuberay://team/mine", "kuberay://mine", "kuberay://team/rayjob/nightly"])
def test_a_cluster_is_found_by_its_name_and_its_dashboard_through_the_api_server(
    kubernetes: ApiServer, address: str
) -> None:
    provider = RayProvider({"address": address, "token": "mellon"})
    assert (provider.drives_there, provider.away) == (True, True)
    assert RaySettings(address=address).remote
    (finding,) = provider.check()
    assert (finding.ok, finding.message) == (True, f"Ray 2.52.0 at {address}; drivers run there as jobs")
    method, path, headers = kubernetes.asked[-1]
    assert (method, path) == ("GET", f"{PROXY}/api/version")
    assert headers["x-ray-authorization"] == "Bearer mellon", "Authorization is the API server's own"
    host: Any = provider.driver_host()
    assert list(host.addresses().values()) == [f"http://127.0.0.1:{kubernetes.server_port}"]
    assert [each.ok for each in type(host)(host.settings).check()] == [True], "the same for another thread"


def test_what_is_not_there_or_not_ready_is_told_with_what_to_do(kubernetes: ApiServer) -> None:
    kubernetes.cluster["status"] = {"state": "suspended", "reason": "quota", "head": {"serviceName": "mine-head-svc"}}
    with pytest.raises(ProviderError, match="RayCluster at kuberay://team/mine is suspended: quota") as refused:
        KubeRay("kuberay://team/mine").dashboard()
    assert refused.value.retryable
    kubernetes.cluster["status"] = {}
    with pytest.raises(ProviderError, match="is not ready yet"):
        KubeRay("kuberay://team/mine").dashboard()
    kubernetes.cluster = None
    with pytest.raises(ConfigError, match="no RayCluster mine in the namespace team.*kubectl get rayclusters -A"):
        KubeRay("kuberay://team/mine").dashboard()
    with pytest.raises(ConfigError, match="write kuberay://NAMESPACE/NAME"):
        KubeRay("kuberay://a/b/c").dashboard()
    with pytest.raises(ConfigError, match="configuration of Kubernetes cannot be used for kuberay://team/mine"):
        KubeRay("kuberay://team/mine", context="elsewhere").dashboard()


@pytest.mark.parametrize(
    ("status", "why", "passes"),
    [
        ({}, "is new, and has no cluster for others", True),
        ({"jobDeploymentStatus": "Initializing", "message": "no quota"}, "is initializing: no quota, and has no", True),
        ({"rayClusterName": "mine", "jobDeploymentStatus": "Suspended"}, "is suspended, and has no", True),
        ({"rayClusterName": "mine", "jobDeploymentStatus": "Complete"}, "is complete, and has no", False),
    ],
)
def test_a_ray_job_without_a_cluster_for_others_is_told(
    kubernetes: ApiServer, status: dict[str, str], why: str, passes: bool
) -> None:
    kubernetes.job = status
    with pytest.raises(ProviderError, match=f"RayJob at kuberay://team/rayjob/nightly {why}") as refused:
        KubeRay("kuberay://team/rayjob/nightly").dashboard()
    assert refused.value.retryable is passes
    with pytest.raises(ConfigError, match="no RayJob other in the namespace team.*kubectl get rayjobs -A"):
        KubeRay("kuberay://team/rayjob/other").dashboard()


def test_the_role_for_the_cluster_of_a_ray_job_names_the_job_alone(kubernetes: ApiServer) -> None:
    job, clusters, heads = role(KubeRay("kuberay://team/rayjob/nightly"))["rules"]
    assert (job["resources"], job["resourceNames"]) == (["rayjobs"], ["nightly"])
    assert [set(each) for each in (clusters, heads)] == [{"apiGroups", "resources", "verbs"}] * 2, (
        "KubeRay chooses names"
    )
    assert kubernetes.asked == []


def test_the_least_role_is_printed(
    kubernetes: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cloudtune.toml").write_text('[profiles.k]\nprovider = "ray"\naddress = "kuberay://team/mine"\n')
    assert run_app(["check", "--on", "k", "--policy", "--for", "caller"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["metadata"] == {"name": "cloudtune", "namespace": "team"}
    assert [rule["resourceNames"] for rule in printed["rules"]] == [["mine"], ["mine-head-svc:dashboard"]]
    assert kubernetes.asked == [], "it is printed without asking"
    assert run_app(["check", "--on", "ray", "--policy"]) != 0
    assert "take no permissions" in capsys.readouterr().err


@pytest.mark.complete
def test_a_cluster_is_found_over_tls_in_the_emulator_of_kubernetes(monkeypatch: pytest.MonkeyPatch) -> None:
    from kubernetes import client

    from cloudtune_kubernetes.emulator import KubernetesEmulator
    from cloudtune_kubernetes.emulator.kinds import Kind

    with KubernetesEmulator(namespace="team") as emulator:
        emulator.registry.kinds.add(Kind("ray.io", "v1", "RayCluster", "rayclusters"))
        made = client.CustomObjectsApi(emulator.client())
        made.create_namespaced_custom_object("ray.io", "v1", "team", "rayclusters", CLUSTER)
        monkeypatch.setenv("KUBECONFIG", str(emulator.kubeconfig))
        found = KubeRay("kuberay://mine")
        assert found.cluster()["spec"] == CLUSTER["spec"]
        assert found.dashboard().url("api/version") == f"{emulator.url}{PROXY}/api/version"
        emulator.enforce({"caller": role(found)})
        assert found.cluster()["metadata"]["name"] == "mine"
        emulator.enforce({"caller": role(KubeRay("kuberay://team/other"))})
        with pytest.raises(CredentialError, match="403"):
            found.cluster()


@pytest.mark.complete
@pytest.mark.xdist_group("ray")
def test_a_run_on_a_named_cluster_has_its_driver_there(kubernetes: ApiServer, tmp_path: Path) -> None:
    import ray_clusters
    from ray_runs import messages
    from test_ray_client import TRIES, job_of

    from cloudtune import api
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.records import RunState

    pytest.importorskip("aiohttp_cors", reason="a dashboard needs ray[default]")
    (tmp_path / "cloudtune.toml").write_text('[profiles.k]\nprovider = "ray"\naddress = "kuberay://team/mine"\n')
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.py").write_text(TRIES)
    (tmp_path / "table.txt").write_text("1 2 3")
    (tmp_path / "go").touch()
    with ray_clusters.head(tmp_path, dashboard=True) as head:
        kubernetes.dashboard = head.dashboard
        run = api.submit(TuningJob.from_data(job_of(tmp_path, 3)), "k", project=tmp_path, base=tmp_path)
        assert run.wait() is RunState.COMPLETED, messages(run)
    for number in range(3):
        assert list(run.logs(number)) == ["waiting", "done"]
    assert {method for method, path, _ in kubernetes.asked if path.startswith(PROXY)} <= {"GET", "POST", "PUT"}
