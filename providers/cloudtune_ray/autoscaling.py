"""What the cluster's autoscaler says: whether there is one, and which nodes it starts."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_STATUS = b"__autoscaling_status"
"""Key of the status that the first autoscaler writes (`ray._private.ray_constants.DEBUG_AUTOSCALING_STATUS`)."""

_ENABLED, _NAMESPACE = b"__autoscaler_v2_enabled", b"__autoscaler"
"""Key and namespace by which the second autoscaler is known (`ray._raylet.GCS_AUTOSCALER_V2_ENABLED_KEY`)."""

_UNMANAGED = "node_"
"""Prefix of the node types of a cluster that nothing makes grow (`format_readonly_node_type`)."""

_TIMEOUT = 5


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """An autoscaler that starts and ends nodes.

    Attributes:
        starting: how many nodes of each type it starts at present.
    """

    starting: Mapping[str, int]

    @property
    def told(self) -> str:
        """The nodes that it starts, as text; "" for none."""
        return ", ".join(f"{count} of {kind}" for kind, count in sorted(self.starting.items()))


def autoscaler(ray: Any) -> Autoscaler | None:
    """Return the autoscaler of the connected cluster; None where nothing makes it grow, as far as it says."""
    kept = ray.experimental.internal_kv._internal_kv_get  # noqa: SLF001  # as `ray status` reads it
    if kept(_ENABLED, namespace=_NAMESPACE) == b"1":
        return _second(ray)
    status = kept(_STATUS)
    return first(json.loads(status)) if status else None


def first(status: Mapping[str, Any]) -> Autoscaler | None:
    """Return what the status of the first autoscaler says (`ray.autoscaler._private.autoscaler.AutoscalerSummary`)."""
    report = status.get("autoscaler_report") or {}
    kinds = {*(report.get("node_type_mapping") or {}).values(), *(report.get("active_nodes") or {})}
    starting = Counter(report.get("pending_launches") or {})
    starting.update(kind for _, kind, *_ in report.get("pending_nodes") or ())
    return Autoscaler(dict(starting)) if starting or _managed(kinds) else None


def _second(ray: Any) -> Autoscaler | None:
    """Return what the second autoscaler says; of a cluster that is reached by a client that there is one, but not what it starts."""
    if ray.util.client.ray.is_connected():
        return Autoscaler({})
    from ray.autoscaler.v2.sdk import get_cluster_status  # noqa: PLC0415  # few clusters have it

    try:
        status = get_cluster_status(ray.get_runtime_context().gcs_address, timeout=_TIMEOUT)
    except ray.exceptions.RayError:  # the head has much to do
        return Autoscaler({})
    kinds = {node.ray_node_type_name for node in (*status.active_nodes, *status.idle_nodes)}
    starting: Counter[str] = Counter()
    for launch in status.pending_launches:
        starting[launch.ray_node_type_name] += launch.count
    starting.update(node.ray_node_type_name for node in status.pending_nodes)
    return Autoscaler(dict(starting)) if starting or _managed(kinds) else None


def _managed(kinds: set[str]) -> bool:
    return any(kind and not kind.startswith(_UNMANAGED) for kind in kinds)
