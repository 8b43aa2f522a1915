"""Check what a run on a Ray cluster needs."""

import platform
from collections import Counter

from cloudtune.errors import ConfigError, ProviderError
from cloudtune.provider.interface import Finding
from cloudtune_ray.cluster import Cluster, load_ray
from cloudtune_ray.settings import RaySettings


def findings(settings: RaySettings) -> list[Finding]:
    """Return findings on the versions, the connection, the nodes, and their resources."""
    try:
        ray = load_ray()
    except ConfigError as error:
        return [Finding("ray", ok=False, message=str(error))]
    versions = Finding(
        "versions", None, f"Ray {ray.__version__}, Python {platform.python_version()}; the cluster's must be the same"
    )
    try:
        with Cluster(settings) as cluster:
            return [
                Finding("versions", ok=True, message=f"Ray {ray.__version__}, Python {platform.python_version()}, as on the cluster"),
                Finding("cluster", ok=True, message=f"{cluster.address}, namespace {settings.namespace}"),
                *_resources(cluster),
            ]  # fmt: skip
    except ProviderError as error:
        return [versions, Finding("cluster", ok=False, message=str(error))]


def _resources(cluster: Cluster) -> list[Finding]:
    nodes = cluster.nodes()
    free = Counter(cluster.ray.available_resources())
    total = Counter(cluster.ray.cluster_resources())
    kinds = [name for name in total if not name.startswith(("node:", "object_store_memory"))]
    shown = ", ".join(
        f"{_amount(name, free[name])} of {_amount(name, total[name])} {_word(name)}" for name in sorted(kinds)
    )
    return [
        Finding("nodes", ok=bool(nodes), message=f"{len(nodes)} alive"),
        Finding("resources", ok=bool(free["CPU"]) or None, message=f"free: {shown}"),
    ]


def _amount(name: str, amount: float) -> str:
    return f"{amount / 1e9:,.1f}" if name == "memory" else f"{amount:g}"


def _word(name: str) -> str:
    return "GB of memory" if name == "memory" else name
