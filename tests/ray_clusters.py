"""Real Ray clusters of several nodes on this machine, for tests and benchmarks; all of it on loopback."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

# Ray takes this machine's outer address for its nodes', unless it believes when it is imported that it cannot have
# several of them; and it would tell its makers about every cluster.
os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}

QUICK_TO_NOTICE = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 300,
    "health_check_timeout_ms": 10_000,
    "health_check_failure_threshold": 3,
}
"""How Ray's head finds within seconds that a node is dead; by default it takes half a minute."""


@contextlib.contextmanager
def cluster(cpus: int = 2) -> Iterator[Any]:
    """A cluster whose head has processors, and the resource ``head``; nodes are added by `add_node`."""
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": cpus,
            "resources": {"head": 1},
            "include_dashboard": False,
            "node_ip_address": "127.0.0.1",
            "_system_config": QUICK_TO_NOTICE,
        },
    )
    try:
        yield made
    finally:
        import ray

        ray.shutdown()
        made.shutdown()


def add_node(made: Any, name: str, cpus: int = 2, gpus: int = 0) -> Any:
    """One more node, with a resource of its name; its GPUs need not exist."""
    return made.add_node(num_cpus=cpus, num_gpus=gpus, resources={name: 1}, node_ip_address="127.0.0.1")


def connect(address: str) -> None:
    """Connects this process to a cluster, for all runs that it drives."""
    import ray

    ray.init(address=address, namespace="cloudtune", log_to_driver=False, logging_level="ERROR")
