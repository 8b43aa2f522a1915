"""A Kubernetes cluster on this machine: an API server over https, its controllers, and nodes that run pods as processes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import urlsplit

from kubernetes import client, config

from cloudtune.bundle.package import copy_files
from cloudtune.bundle.tree import tree_of
from cloudtune.emulation.certificate import throw_away
from cloudtune.emulation.emulator import Emulator, listen, settings_of
from cloudtune.emulation.images import Images
from cloudtune.emulation.serving import LoopbackServer
from cloudtune.errors import ConfigError
from cloudtune_kubernetes.emulator.api import Api, not_admitted
from cloudtune_kubernetes.emulator.cluster import Cluster
from cloudtune_kubernetes.emulator.containers import Kubelet
from cloudtune_kubernetes.emulator.credentials import Tokens, kubeconfig, write_private
from cloudtune_kubernetes.emulator.faults import Faults
from cloudtune_kubernetes.emulator.katib.controller import Katib
from cloudtune_kubernetes.emulator.kinds import (
    NAMESPACE,
    NODE,
    PRIORITY_CLASS,
    PVC,
    SERVICE_ACCOUNT,
    STORAGE_CLASS,
    Kind,
    Kinds,
)
from cloudtune_kubernetes.emulator.nodes import node
from cloudtune_kubernetes.emulator.permissions import RolePolicy
from cloudtune_kubernetes.emulator.registry import Registry
from cloudtune_kubernetes.emulator.store import Object, Store
from cloudtune_kubernetes.emulator.volumes import VolumeSource

_NONE: Mapping[str, Any] = MappingProxyType({})

IMAGE = "emulated:python"
"""The image of cloudtune's jobs that name none: the Python that runs the emulator takes the place of every image."""

CLAIM = "cloudtune"
"""The claim for outputs and checkpoints of cloudtune's jobs that name none."""

_CLAIM = "pvc://"
_PRIORITIES = (("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000))


class KubernetesEmulator(Emulator[Faults]):
    """A Kubernetes cluster on this machine, whose pods run as processes here.

    There is no container runtime: this machine's Python and packages play every image's role, except where `images`
    names a program. Volumes are mounted where the system allows it (see `cloudtune.emulation.mounting`). Not emulated:
    probes and lifecycle hooks, exec, attach and port-forward, services' addresses, preemption by priority. A context
    manager, which serves from its entering to its leaving::

        with KubernetesEmulator() as emulator:
            batch = kubernetes.client.BatchV1Api(emulator.client())

    Args:
        port: of 127.0.0.1; 0 for a free one.
        folder: for volumes and what pods leave on this machine; None for one that is removed at the end.
        images: programs that stand for images whose container names no command; see `Images`.
        mounts: folders whose files are in claims at the start, by ``pvc://CLAIM/PREFIX``.
        faults: what goes wrong on purpose; None for nothing, but it may be changed in `faults`.
        policy: what is permitted to clients and to programs in pods: roles; see `Emulator.enforce`.
        namespace: which the kubeconfig file names.
        nodes: how many nodes there are: ``node-1`` and so on.
        cpu: the CPUs of each node, as a quantity.
        memory: of each node.
        resources: further resources of each node, such as ``{"nvidia.com/gpu": "8"}``.
        labels: of each node.
        taints: of each node.
        grace: the most seconds that a program has between SIGTERM and SIGKILL; None for what its pod says.
        backoff: seconds before a failed pod or container is tried again the first time; 10 on a real cluster.
        lenient: whether whatever a job names is there: namespaces, accounts, classes, claims, labels of nodes.
        history: how many changes of each kind are kept for watches; see `forget_history`.
        machine_start: has no meaning, since nodes are always there; for the sake of other emulators.
        katib: whether Katib is installed: Experiments (kubeflow.org/v1beta1) are tuned with cloudtune's own strategies.
        seed: of Katib's searches; None for any.
    """

    def __init__(  # noqa: PLR0913  # a cluster has many sides
        self,
        port: int = 0,
        folder: Path | None = None,
        *,
        images: Mapping[str, str | Sequence[str]] = _NONE,
        mounts: Mapping[str, str | Path] = _NONE,
        faults: Faults | None = None,
        policy: Mapping[str, Any] | None = None,
        namespace: str = "default",
        nodes: int = 2,
        cpu: str = "64",
        memory: str = "512Gi",
        resources: Mapping[str, str] = _NONE,
        labels: Mapping[str, str] = _NONE,
        taints: Sequence[Mapping[str, str]] = (),
        grace: float | None = 2.0,
        backoff: float = 0.1,
        lenient: bool = False,
        history: int = 2000,
        machine_start: float = 0.0,
        katib: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__("kubernetes", folder, mounts, Faults() if faults is None else faults, policy, machine_start)
        self.namespace, self._lenient = namespace, lenient
        self._tokens = Tokens()
        context, self.certificate = throw_away(self.folder / "tls")
        self._store = Store(history)
        self._registry = Registry(self._store, Kinds(), self._missing)
        claims = self.folder / "volumes"
        sources = VolumeSource(self._store, claims, self._tokens.of_account, self.certificate, lenient)
        kubelet = Kubelet(
            sources, Images(images), self.faults, backoff, grace, self._of_container, self._workplace.scratch
        )
        self.cluster = Cluster(
            self._registry, kubelet, self.folder, lenient=lenient, certificate=self.certificate.read_text()
        )
        has = {"cpu": cpu, "memory": memory, **resources}
        self._nodes = [
            node(f"node-{number}", f"127.0.0.{number}", has, labels, taints) for number in range(1, nodes + 1)
        ]
        self._katib = Katib(self.cluster, self.folder, seed, lenient=lenient) if katib else None
        api = Api(
            self._registry, self.cluster, tokens=self._tokens, authority=self.authority, faults=self.faults,
            served=self._count, address=lambda: urlsplit(self.url).netloc,
        )  # fmt: skip
        self._server = LoopbackServer(port, api, admit=self._tokens.admit, refuse=not_admitted, tls=context)

    @staticmethod
    def read_policy(document: Any) -> RolePolicy:
        return RolePolicy(document)

    @classmethod
    def standing_in(cls, mounts: Mapping[str, Path]) -> Self:
        return cls(mounts=mounts, lenient=True)

    def start(self) -> Self:
        self.cluster.start()
        self._furnish()
        listen(self._server.start)
        write_private(self.kubeconfig, kubeconfig(self.url, self.certificate, self._tokens.access, self.namespace))
        return self

    def stop(self) -> None:
        """End all pods with their processes and threads, and close the port."""
        self._store.close()
        self.cluster.close()
        self._server.stop()
        self._workplace.close()

    # Where it is

    @property
    def url(self) -> str:
        """The address of the API server."""
        return self._server.url

    @property
    def kubeconfig(self) -> Path:
        """The file by which clients find the API server and are let in."""
        return self.folder / "kubeconfig"

    @property
    def token(self) -> str:
        """The bearer token of clients."""
        return self._tokens.access

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which cloudtune, kubectl and the official clients find the emulator and are let in."""
        own = settings_of(
            "kubernetes", endpoint=self.url, kubeconfig=str(self.kubeconfig), namespace=self.namespace, image=IMAGE,
            poll="0.2",
            output=f"{_CLAIM}{CLAIM}/outputs",
        )  # fmt: skip
        return {**own, "KUBECONFIG": str(self.kubeconfig)}

    def client(self) -> client.ApiClient:
        """Return the official client for it."""
        return config.new_client_from_config(str(self.kubeconfig))

    # What is there

    @property
    def registry(self) -> Registry:
        """All objects."""
        return self._registry

    def lose_node(self, name: str) -> None:
        """Have a node die with all of its pods; see `Cluster.lose_node`.

        Raises:
            Refused: there is no such node.
        """
        self.cluster.lose_node(name)

    def return_node(self, name: str) -> None:
        """Have a node that died come back.

        Raises:
            Refused: there is no such node.
        """
        self.cluster.return_node(name)

    def forget_history(self) -> None:
        """Forget all changes up to now, so that watches and pages which resume are told 410 Gone."""
        self._store.forget()

    # Inside

    def _of_container(self) -> dict[str, str]:
        parts = urlsplit(self.url)
        return {"KUBERNETES_SERVICE_HOST": str(parts.hostname), "KUBERNETES_SERVICE_PORT": str(parts.port),
                "KUBERNETES_SERVICE_PORT_HTTPS": str(parts.port)}  # fmt: skip

    def _furnish(self) -> None:
        for name in dict.fromkeys(("default", "kube-system", "kube-public", "kube-node-lease", self.namespace)):
            self.cluster.furnish(name)
        for each in self._nodes:
            made = self._registry.create(NODE, "", each)
            self.cluster.kubelets.add(made["metadata"]["name"])
            self._store.put(NODE, {**made, "spec": each["spec"], "status": each["status"]})
        for name, value in _PRIORITIES:
            self._registry.create(
                PRIORITY_CLASS,
                "",
                {"metadata": {"name": name}, "value": value, "preemptionPolicy": "PreemptLowerPriority"},
            )
        self._registry.create(
            STORAGE_CLASS, "", {"metadata": {"name": "standard"}, "provisioner": "cloudtune.dev/folder"}
        )
        if self._katib is not None:
            self._katib.install(self.namespace)
        self.cluster.add_claim(self.namespace, CLAIM)
        for uri, folder in self._mounted():
            self._mount(uri, folder)

    def _mount(self, uri: str, folder: Path) -> None:
        name, _, prefix = uri.removeprefix(_CLAIM).partition("/")
        if not uri.startswith(_CLAIM) or not name:
            raise ConfigError(f"{uri} is not like {_CLAIM}CLAIM/PREFIX")
        if self._store.get(PVC, self.namespace, name) is None:
            self.cluster.add_claim(self.namespace, name)
        target = self.cluster.claim_folder(self.namespace, name) / prefix
        copy_files(tree_of(folder).files, target, str(folder))

    def _missing(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Make what an object names, where everything is to be there; return it, or None."""
        if not self._lenient:
            return None
        if kind == NAMESPACE:
            self.cluster.furnish(name)
        elif kind == SERVICE_ACCOUNT:
            self._registry.create(kind, namespace, {"metadata": {"name": name}})
        elif kind == PRIORITY_CLASS:
            self._registry.create(kind, "", {"metadata": {"name": name}, "value": 0})
        return self._store.get(kind, namespace, name)
