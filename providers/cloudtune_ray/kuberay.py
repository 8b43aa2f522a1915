"""Ray clusters of KubeRay by their names: their dashboards, through the API server of their Kubernetes.

The API server passes calls on to services (https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services), so that
who may use the cluster by ``kubectl`` needs no port-forward, ingress or address of the head.
"""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from cloudtune.errors import ConfigError, ProviderError
from cloudtune.plugins.extras import install
from cloudtune.provider.http_api import HttpApi
from cloudtune_ray.settings import KUBERAY

_PORT = "dashboard"
"""The name of the dashboard's port (`DashboardPortName` of KubeRay's utils/constant.go)."""

_TOKEN = "X-Ray-Authorization"  # noqa: S105  # the name of a header
"""Takes the dashboard's token where ``Authorization`` is the API server's (`ray._private.authentication`)."""

_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True)
class KubeRay:
    """A RayCluster, or that which a RayJob has made.

    Attributes:
        address: ``kuberay://NAMESPACE/NAME``, or ``kuberay://NAME`` in the namespace of the context; of a RayJob
            ``kuberay://NAMESPACE/rayjob/NAME``.
        context: of the kubeconfig; None for its current one.
        token: of the dashboard; None for one that asks for none.

    Raises:
        ConfigError: the address is none, or Kubernetes' client is not installed or configured.
    """

    address: str
    context: str | None = None
    token: str | None = None

    @cached_property
    def _named(self) -> tuple[str, str, str]:
        """The namespace as far as it is said, what is named, and its name."""
        match self.address.removeprefix(KUBERAY).strip("/").split("/"):
            case [name] if name:
                return "", "RayCluster", name
            case [namespace, name]:
                return namespace, "RayCluster", name
            case [namespace, "rayjob", name]:
                return namespace, "RayJob", name
        raise ConfigError(
            f"{self.address!r} is no RayCluster; write kuberay://NAMESPACE/NAME, or kuberay://NAMESPACE/rayjob/NAME for that of a RayJob"
        )

    @property
    def place(self) -> tuple[str, str]:
        """The namespace, and the name of the RayCluster or RayJob."""
        namespace, _, name = self._named
        return namespace or self._found[1], name

    @property
    def of_job(self) -> bool:
        """Whether the cluster is that of a RayJob."""
        return self._named[1] == "RayJob"

    @cached_property
    def _found(self) -> tuple[Any, str]:
        """The client's configuration, and the namespace that goes with it."""
        try:
            from kubernetes import client, config  # noqa: PLC0415  # takes a second
        except ImportError as error:
            raise ConfigError(f"{self.address} needs Kubernetes' client: {install('kuberay')}") from error
        found: Any = client.Configuration()
        file = os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
        try:
            if "KUBERNETES_SERVICE_HOST" in os.environ and not any(map(os.path.isfile, file.split(os.pathsep))):
                config.load_incluster_config(client_configuration=found)
                return found, _IN_POD.read_text("utf-8").strip()
            config.load_kube_config(config_file=file, context=self.context, client_configuration=found)
            contexts, active = config.list_kube_config_contexts(config_file=file)
        except (config.ConfigException, OSError, ValueError) as error:
            raise ConfigError(f"the configuration of Kubernetes cannot be used for {self.address}: {error}") from error
        own = active if self.context is None else next(each for each in contexts if each["name"] == self.context)
        return found, str(own["context"].get("namespace") or "default")

    @property
    def server(self) -> str:
        """The address of the API server."""
        return str(self._found[0].host)

    def _headers(self) -> Mapping[str, str]:
        """Return what lets in at the API server; asked for each call, since tokens expire."""
        settings = self._found[0].auth_settings().values()
        own = {each["key"]: each["value"] for each in settings if each["in"] == "header" and each["value"]}
        return own if self.token is None else {**own, _TOKEN: f"Bearer {self.token}"}

    @cached_property
    def _tls(self) -> ssl.SSLContext | None:
        found = self._found[0]
        if urlsplit(found.host).scheme != "https":
            return None
        context = ssl.create_default_context(cafile=found.ssl_ca_cert)
        if not found.verify_ssl:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if found.cert_file:
            context.load_cert_chain(found.cert_file, found.key_file)
        return context

    def _api(self, service: str, below: str) -> HttpApi:
        return HttpApi(
            service, f"{self._found[0].host.rstrip('/')}{below}", headers=self._headers, tls=self._tls, emulated=False
        )

    def _object(self, kind: str, name: str) -> Mapping[str, Any]:
        """Return a RayCluster or RayJob as Kubernetes has it."""
        namespace, plural = self.place[0], f"{kind.lower()}s"
        path = f"apis/ray.io/v1/namespaces/{quote(namespace, safe='')}/{plural}/{quote(name, safe='')}"
        found: Mapping[str, Any] | None = self._api("Kubernetes", "").find(path)
        if found is None:
            raise ConfigError(
                f"there is no {kind} {name} in the namespace {namespace}, or no KubeRay: `kubectl get {plural} -A` lists them"
            )
        return found

    def cluster(self) -> Mapping[str, Any]:
        """Return the RayCluster as Kubernetes has it.

        Raises:
            ConfigError: there is none.
            ProviderError: the RayJob has none at present, or the API server cannot be reached, or refuses.
        """
        _, kind, name = self._named
        found = self._object(kind, name)
        if kind == "RayCluster":
            return found
        status = found.get("status") or {}  # RayJobStatus of KubeRay's rayjob_types.go
        state = str(status.get("jobDeploymentStatus") or "new")
        if not status.get("rayClusterName") or state in ("Complete", "Failed", "Suspended"):
            why = f": {status['message']}" if status.get("message") else ""
            message = f"the RayJob at {self.address} is {state.lower()}{why}, and has no cluster for others"
            raise ProviderError(message, code="NotReady", retryable=state not in ("Complete", "Failed"))
        return self._object("RayCluster", status["rayClusterName"])

    def dashboard(self) -> HttpApi:
        """Return the interface of the cluster's dashboard.

        Raises:
            ConfigError: there is no such cluster.
            ProviderError: it has no head at present, or Kubernetes cannot be asked.
        """
        status = self.cluster().get("status") or {}
        service = (status.get("head") or {}).get("serviceName")
        if not service or status.get("state") in ("suspended", "failed"):
            why = f": {status['reason']}" if status.get("reason") else ""
            state = status.get("state") or "not ready yet"
            raise ProviderError(f"the RayCluster at {self.address} is {state}{why}", code="NotReady", retryable=True)
        return self._api(
            f"the job server of {self.address}", f"/api/v1/namespaces/{self.place[0]}/services/{service}:{_PORT}/proxy"
        )


def role(address: KubeRay) -> dict[str, Any]:
    """Return the least Role of who runs drivers there: to read the RayCluster, and to call the service of its head.

    The service has KubeRay's own name (`GenerateHeadServiceName`); one that the cluster's spec names otherwise is to be put there.
    What KubeRay calls the cluster of a RayJob is not known before, so that this Role is for all clusters of the namespace.
    """
    namespace, name = address.place
    clusters: dict[str, Any] = {"apiGroups": ["ray.io"], "resources": ["rayclusters"], "verbs": ["get"]}
    head: dict[str, Any] = {"apiGroups": [""], "resources": ["services/proxy"], "verbs": ["create", "get", "update"]}
    if address.of_job:
        rules = [{**clusters, "resources": ["rayjobs"], "resourceNames": [name]}, clusters, head]
    else:
        rules = [{**clusters, "resourceNames": [name]}, {**head, "resourceNames": [f"{name}-head-svc:{_PORT}"]}]
    about = {"name": "cloudtune", "namespace": namespace}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": about, "rules": rules}
