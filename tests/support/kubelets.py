"""A small kubelet for a real API server: takes the pods of a namespace and runs them as processes of this machine.

A real cluster of tests has an API server and the controllers, and no node. This stands in for the scheduler (every pod goes to its one
node) and for that node's kubelet (containers run, statuses and logs as the emulator's kubelet has them, volumes, tokens), so that
what the provider does is judged by the real API, the real Job controller and real roles.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Self, cast
from urllib.parse import parse_qsl, urlsplit

from cloudtune.emulation.certificate import throw_away
from cloudtune.emulation.images import Images
from cloudtune.errors import ProviderError, ignoring
from cloudtune_kubernetes.client import EXISTS, GONE, Cluster
from cloudtune_kubernetes.emulator.containers import Kubelet
from cloudtune_kubernetes.emulator.errors import Refused
from cloudtune_kubernetes.emulator.faults import Faults
from cloudtune_kubernetes.emulator.logs import LogRequest
from cloudtune_kubernetes.emulator.nodes import ready_condition
from cloudtune_kubernetes.emulator.pods import PodRunner
from cloudtune_kubernetes.emulator.volumes import VolumeSource
from cloudtune_kubernetes.feed import Feed
from cloudtune_kubernetes.settings import KubernetesSettings

_LOOK, _HEARTBEAT = 0.05, 10.0
_TRIES = 20
NODE = "this-machine"


class _Objects:
    """The objects of the API server, as the emulator's parts look at them; of a pod, the status is written."""

    def __init__(self, cluster: Cluster) -> None:
        self.lock = threading.RLock()
        self._cluster = cluster

    def get(self, kind: Any, namespace: str, name: str) -> dict[str, Any] | None:
        with ignoring(GONE):
            found: dict[str, Any] = self._cluster.call(
                "looking", "GET", f"{kind.at}/namespaces/{namespace}/{kind.plural}/{name}"
            )
            return found
        return None

    def put(self, kind: Any, made: Mapping[str, Any]) -> None:
        """Write the status; the Job controller may change the pod meanwhile."""
        meta = made["metadata"]
        for _ in range(_TRIES):
            held = self.get(kind, meta["namespace"], meta["name"])
            if held is None or held["metadata"]["uid"] != meta["uid"]:
                return
            path = f"{self._cluster.path(kind.plural, meta['name'])}/status"
            try:
                self._cluster.call("telling", "PUT", path, body={**held, "status": made["status"]})
            except ProviderError as error:
                if error.code in GONE:
                    return
                if error.code not in EXISTS:
                    raise
            else:
                return
        raise TimeoutError(f"the status of {meta['name']} could not be written")


@dataclass(frozen=True)
class _Silent:
    """Takes what is said of pods; events of a kubelet are not judged here."""

    def say(self, *_: object, **__: object) -> None:
        """Say nothing."""


class StandIn:
    """The kubelet; a context manager, which runs the pods of a namespace from its entering to its leaving.

    Args:
        kubeconfig: of an administrator.
        folder: for volumes and pods.
        certificate: the file with what signs the API server's certificate, for pods.
        grace: the most seconds between SIGTERM and SIGKILL.

    Attributes:
        failures: what went wrong in it.
    """

    def __init__(self, kubeconfig: Path, folder: Path, certificate: Path, grace: float = 2.0) -> None:
        self.cluster = Cluster(KubernetesSettings(kubeconfig=str(kubeconfig)))
        self.failures: list[str] = []
        self._objects = cast("Any", _Objects(self.cluster))
        sources = VolumeSource(self._objects, folder / "claims", self._token, certificate, lenient=False)
        parts = urlsplit(self.cluster.host)
        found = {"KUBERNETES_SERVICE_HOST": str(parts.hostname), "KUBERNETES_SERVICE_PORT": str(parts.port)}
        scratch = folder / "scratch"  # for folders of containers, with which their temporary files end
        scratch.mkdir(parents=True)
        self._kubelet = Kubelet(
            sources, Images({}), Faults(), 0.05, grace, lambda: found, lambda: Path(mkdtemp(dir=scratch))
        )
        self._folder = folder
        self._runners: dict[str, PodRunner] = {}
        self._feed = Feed(self.cluster, "pods", "")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelet", daemon=True)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.socket = throw_away(folder / "tls")[0].wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        with ignoring(EXISTS):
            self.cluster.call("joining", "POST", "/api/v1/nodes", body={"metadata": {"name": NODE}})
        self._beat()
        self._feed.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._feed.close()
        self._thread.join()
        for runner in self._runners.values():
            runner.close()
        self._server.shutdown()
        self._server.server_close()

    def _token(self, namespace: str, account: str) -> str:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return str(self.cluster.call("asking for a token", "POST", path, body={"spec": {}})["status"]["token"])

    def _beat(self) -> None:
        """Tell the API server that the node is ready, and where its logs are."""
        node = self.cluster.call("looking", "GET", f"/api/v1/nodes/{NODE}")
        node["status"] |= {
            "conditions": [ready_condition("True")],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._server.server_port}},
            "capacity": {"cpu": "64", "memory": "512Gi", "pods": "110"},
        }
        with ignoring(EXISTS):  # somebody else has changed it: the next time
            self.cluster.call("telling", "PUT", f"/api/v1/nodes/{NODE}/status", body=node)

    def _run(self) -> None:
        beat = time.monotonic()
        while not self._ended.wait(_LOOK):
            try:
                for pod in self._feed.objects().values():
                    self._look_at(dict(pod))
                if time.monotonic() - beat > _HEARTBEAT:
                    beat = time.monotonic()
                    self._beat()
            except Exception as error:  # noqa: BLE001  # the test that uses it tells
                self.failures.append(f"{type(error).__name__}: {error}")

    def _look_at(self, pod: dict[str, Any]) -> None:
        meta, node = pod["metadata"], pod["spec"].get("nodeName")
        runner = self._runners.get(meta["uid"])
        if "deletionTimestamp" in meta:
            self._end(pod, runner)
        elif node is None:
            body = {"metadata": {"name": meta["name"]}, "target": {"kind": "Node", "name": NODE}}
            with ignoring(EXISTS | GONE):
                self.cluster.call("binding", "POST", self.cluster.path("pods", meta["name"], "binding"), body=body)
        elif node == NODE and runner is None and pod["status"].get("phase") == "Pending":
            runner = PodRunner(
                {**pod, "kind": "Pod", "apiVersion": "v1"}, store=self._objects, events=_Silent(), kubelet=self._kubelet,  # type: ignore[arg-type]
                folder=self._folder / "pods" / meta["uid"], address="127.0.0.1", host="127.0.0.1", hosts=None, evicted=lambda _: None,
            )  # fmt: skip
            self._runners[meta["uid"]] = runner
            runner.start()

    def _end(self, pod: dict[str, Any], runner: PodRunner | None) -> None:
        """End a pod that is to be deleted; when nothing of it runs, it is gone."""
        meta = pod["metadata"]
        if runner is not None and not runner.over.is_set():
            runner.stop(float(meta.get("deletionGracePeriodSeconds") or 0))
            return
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
        with ignoring(GONE | EXISTS):
            self.cluster.call("ending", "DELETE", self.cluster.path("pods", meta["name"]), body=options)

    def log(self, place: str, query: Mapping[str, str], gone: threading.Event) -> Iterator[bytes]:
        """Return the chunks of a log, asked for at ``/containerLogs/NAMESPACE/POD/CONTAINER``."""
        _, _, _, name, container = place.split("/")
        runner = next((each for each in reversed(self._runners.values()) if each.pod["metadata"]["name"] == name), None)
        if runner is None:
            raise Refused(404, "NotFound", f"pod {name} is not here", {})
        return runner.log(container, previous=False).read(LogRequest.of(query), gone.is_set)


def _handler(kubelet: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts, gone = urlsplit(self.path), threading.Event()
            try:
                chunks = kubelet.log(parts.path, dict(parse_qsl(parts.query)), gone)
            except Refused as error:
                content = str(error).encode()
                self.send_response(error.code)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            with contextlib.suppress(OSError, ssl.SSLError):
                for chunk in chunks:
                    if chunk:
                        self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                        self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")
            gone.set()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
