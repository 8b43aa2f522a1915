"""Whether the cluster has room for a slot: what waiting trials wait for, and what no node can give them."""

from collections.abc import Mapping
from time import monotonic as now

from cloudtune.errors import ProviderError
from cloudtune_ray.autoscaling import autoscaler
from cloudtune_ray.briefing import Briefing
from cloudtune_ray.cluster import Cluster

GROWTH_TIME = 60.0
"""Seconds that an autoscaler has to start the first node for a trial that no present node can take."""

_FIT_GRACE = 5.0
"""Seconds for which nodes may be missing from a cluster of fixed size, such as one whose node restarts."""


class Room:
    """Watches the cluster's resources while slots wait for them.

    Args:
        cluster: the cluster.
        briefing: what a slot takes, and how long the job waits for nodes.
    """

    def __init__(self, cluster: Cluster, briefing: Briefing) -> None:
        self._cluster = cluster
        self._demand = briefing.demand
        self._wait = briefing.native.wait
        self._unfit_since: float | None = None
        self._unfit = ""

    def check(self, *, first: bool = False) -> None:
        """Check that some node has the resources for a trial, or will have, so that the run does not wait for ever.

        Args:
            first: whether no slot has asked for them yet, so that no present node is missing.

        Raises:
            ProviderError: no node has, for too long.
        """
        why = self._cluster.misfit(self._demand)
        if not why:
            self._unfit_since, self._unfit = None, ""
            return
        grows = autoscaler(self._cluster.ray)
        if self._unfit_since is None or (grows is not None and grows.starting):
            self._unfit_since = now()
        starts = f"; its autoscaler starts {grows.told}" if grows is not None and grows.told else ""
        self._unfit = f"a node that fits: {why}{starts}"
        if self._wait is not None:
            tolerance, hint = self._wait.total_seconds(), ""
        elif grows is not None:
            tolerance, hint = GROWTH_TIME, ", and its autoscaler starts none for it"
        else:
            tolerance, hint = 0.0 if first else _FIT_GRACE, ""
        if now() - self._unfit_since >= tolerance:
            raise ProviderError(
                f"{why}{hint}; ask for less (compute, ray), or, where the cluster grows by itself, say how long to wait: ray: {{wait: 10m}}"
            )

    def awaited(self) -> str:
        """Return what a slot that does not start waits for, after "waits for"; the same text while that is so."""
        if self._unfit:
            return self._unfit
        free: Mapping[str, float] = self._cluster.ray.available_resources()
        short = [name for name, amount in self._demand.items() if free.get(name, 0.0) < amount]
        if short:
            return f"{_listed(short, self._demand)} to be free"
        return f"a worker on a node; resources are free ({_listed(list(self._demand), self._demand)}), its environment may be in the making"


def _listed(names: list[str], demand: Mapping[str, float]) -> str:
    return " and ".join(
        f"{demand[name] / 1e9:g} GB of memory" if name == "memory" else f"{demand[name]:g} {name}" for name in names
    )
