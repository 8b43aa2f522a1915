"""Runs in Kubernetes' emulator: what they have in the cluster, and an API server that forgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloudtune_kubernetes.client import Cluster
    from cloudtune_kubernetes.emulator import KubernetesEmulator

KINDS = ("jobs", "pods", "configmaps", "secrets", "services")
"""What a run may have in a cluster; an Experiment of Katib's stays."""


def cluster_of(emulator: KubernetesEmulator) -> Cluster:
    """The emulated cluster as a provider reaches it."""
    from cloudtune_kubernetes.client import Cluster
    from cloudtune_kubernetes.settings import KubernetesSettings

    return Cluster(KubernetesSettings(kubeconfig=str(emulator.kubeconfig)))


def listed(emulator: KubernetesEmulator, kind: str) -> list[dict[str, Any]]:
    """The objects of a kind that runs have."""
    return _listed(cluster_of(emulator), kind)


def left(emulator: KubernetesEmulator, *kinds: str) -> dict[str, list[str]]:
    """The names of what runs have, by kind, also of further kinds."""
    return left_in(cluster_of(emulator), *kinds)


def left_in(cluster: Cluster, *kinds: str) -> dict[str, list[str]]:
    """The same of any cluster."""
    found = {kind: [each["metadata"]["name"] for each in _listed(cluster, kind)] for kind in (*KINDS, *kinds)}
    return {kind: names for kind, names in found.items() if names}


def _listed(cluster: Cluster, kind: str) -> list[dict[str, Any]]:
    return list(cluster.call("looking", "GET", cluster.path(kind), {"labelSelector": "cloudtune.dev/run"})["items"])


def forgetting(emulator: KubernetesEmulator, times: int = 5) -> Callable[[object], None]:
    """A watcher, at whose first calls the API server forgets the versions that watches would go on from."""
    forgotten: list[int] = []

    def forget(_progress: object) -> None:
        if len(forgotten) < times:
            forgotten.append(1)
            emulator.forget_history()

    return forget
