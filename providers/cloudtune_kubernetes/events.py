"""What keeps an attempt from starting: what the cluster's events say, asked for seldom."""

import time
from functools import lru_cache

from cloudtune_kubernetes.client import Cluster, Query

_OFTEN = 30
"""Seconds for which an answer holds, for all Jobs of a process: one call of a kind, however many wait."""

_OF_JOBS = "involvedObject.kind=Job,reason=FailedCreate"
_OF_PODS = "involvedObject.kind=Pod,reason=FailedMount"


def hindrances(cluster: Cluster, wait: str, name: str) -> str:
    """Return why a Job's pod could not be made, such as a quota, or why a pod's container is not; "" where nothing is said.

    Args:
        cluster: where it is.
        wait: ``podless`` for a Job; ``creating`` for a pod.
        name: of the Job or the pod.

    Raises:
        ProviderError: the cluster cannot be reached, or refuses.
    """
    about = _OF_JOBS if wait == "podless" else _OF_PODS
    return _told(cluster, about, int(time.monotonic() / _OFTEN)).get(name, "")


@lru_cache(maxsize=8)
def _told(cluster: Cluster, about: str, period: int) -> dict[str, str]:  # noqa: ARG001  # the answer is another one in the next period
    query: Query = {"fieldSelector": about, "limit": 500}
    found = cluster.call("looking for events", "GET", cluster.path("events"), query)
    return {each["involvedObject"]["name"]: f"{each['reason']}: {each.get('message', '')}" for each in found["items"]}
