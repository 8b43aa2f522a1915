"""Why a Job has no pod: what the cluster's events say, asked for seldom."""

import time
from functools import lru_cache

from cloudtune_kubernetes.client import Cluster, Query

_OFTEN = 30
"""Seconds for which an answer holds, for all Jobs of a process: one call, however many have no pod."""


def hindrances(cluster: Cluster, place: str) -> str:
    """Return why a Job's pod could not be made, such as a quota of the namespace; "" where the cluster does not say.

    Args:
        cluster: where it is.
        place: the Job's name.

    Raises:
        ProviderError: the cluster cannot be reached, or refuses.
    """
    return _told(cluster, int(time.monotonic() / _OFTEN)).get(place, "")


@lru_cache(maxsize=4)
def _told(cluster: Cluster, period: int) -> dict[str, str]:  # noqa: ARG001  # the answer is another one in the next period
    query: Query = {"fieldSelector": "involvedObject.kind=Job,reason=FailedCreate", "limit": 500}
    found = cluster.call("looking for events", "GET", cluster.path("events"), query)
    return {each["involvedObject"]["name"]: f"FailedCreate: {each.get('message', '')}" for each in found["items"]}
