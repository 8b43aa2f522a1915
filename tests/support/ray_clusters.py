"""Real Ray clusters of several nodes on this machine, for tests and benchmarks; all of it on loopback."""

import atexit
import contextlib
import functools
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
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

LATE_WORKERS = {"prestart_worker_first_driver": False}
"""No process waits for the first task of the first driver: our actors start processes of their own."""


@contextlib.contextmanager
def cluster(cpus: int = 2) -> Iterator[Any]:
    """A cluster whose head has processors, and the resource ``head``; nodes are added by `add_node`."""
    made = _started(cpus)
    try:
        yield made
    finally:
        import ray

        ray.shutdown()
        made.shutdown()


@contextlib.contextmanager
def connected() -> Iterator[Any]:
    """The cluster of all tests of this process, which is connected to it meanwhile: a head, and the node ``second`` with two GPUs.

    Who adds a node removes it.
    """
    import ray

    made = _shared()
    connect(made.address)
    try:
        yield made
    finally:
        ray.shutdown()


@functools.cache
def _shared() -> Any:
    made = _started(cpus=2)
    atexit.register(made.shutdown)
    add_node(made, "second", gpus=2)
    return made


def _started(cpus: int) -> Any:
    from ray.cluster_utils import Cluster

    head = {
        "num_cpus": cpus,
        "resources": {"head": 1},
        "include_dashboard": False,
        "include_log_monitor": False,  # this and the next are processes of which no test makes use
        "no_monitor": True,
        "node_ip_address": "127.0.0.1",
        "_system_config": {**QUICK_TO_NOTICE, **LATE_WORKERS},
    }
    return _patiently(lambda: Cluster(initialize_head=True, head_node_args=head))


def add_node(made: Any, name: str, cpus: int = 2, gpus: int = 0) -> Any:
    """One more node, with a resource of its name; its GPUs need not exist."""
    about = {"num_cpus": cpus, "num_gpus": gpus, "resources": {name: 1}, "node_ip_address": "127.0.0.1"}
    return _patiently(lambda: made.add_node(**about))


def _patiently(start: Callable[[], Any], attempts: int = 3) -> Any:
    """Start a node; again where the machine has too much to do for one to be up within Ray's half a minute.

    The node's supervisor then "timed out during startup", or Ray "timed out waiting for" the file with its head's port.
    """
    try:
        return start()
    except Exception as error:
        if attempts == 1 or "timed out" not in str(error).lower():
            raise
    return _patiently(start, attempts - 1)


def connect(address: str) -> None:
    """Connects this process to a cluster, for all runs that it drives."""
    import ray

    ray.init(address=address, namespace="cloudtune", log_to_driver=False, logging_level="ERROR")


@dataclass(frozen=True)
class Head:
    """A cluster of one node that `ray start --head` made.

    Attributes:
        gcs: its address, for processes of this machine.
        client: the address of its Ray Client server.
        dashboard: the address of its dashboard, which takes jobs.
    """

    gcs: str
    client: str
    dashboard: str


@contextlib.contextmanager
def head(
    folder: Path,
    *,
    dashboard: bool = False,
    python: Path = Path(sys.executable),
    worker: Mapping[str, float] | None = None,
    **environment: str,
) -> Iterator[Head]:
    """A cluster as a user starts it, with a Ray Client server, and maybe a dashboard; ended with all of its processes.

    Args:
        folder: for its log.
        dashboard: whether it has one.
        python: that has Ray.
        worker: the resources of the nodes, two at most, that Ray's own autoscaler starts where they are asked for, by its provider of
            nodes that are processes of this machine; None for a cluster of fixed size.
        environment: more variables.
    """
    process, made = _patiently(lambda: _head(folder, dashboard, python, worker, environment))
    try:
        yield made
    finally:
        _end(process)


def _head(
    folder: Path, dashboard: bool, python: Path, worker: Mapping[str, float] | None, environment: Mapping[str, str]
) -> tuple[Any, Head]:
    """Start a head; see `head`. Its process, once it listens."""
    import psutil

    ports = free_ports(5)
    command = [
        str(python), "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats", "--num-cpus=2", "--node-ip-address=127.0.0.1",
        f"--port={ports[0]}", f"--ray-client-server-port={ports[1]}", f"--include-dashboard={str(dashboard).lower()}",
        f"--dashboard-port={ports[2]}", f"--dashboard-agent-listen-port={ports[3]}", f"--dashboard-agent-grpc-port={ports[4]}",
        "--min-worker-port=0", "--max-worker-port=0",
    ]  # fmt: skip
    if worker is not None:
        (folder / "autoscaling.json").write_text(json.dumps(_growth(f"127.0.0.1:{ports[0]}", worker)))
        command.append(f"--autoscaling-config={folder / 'autoscaling.json'}")
        environment = {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1", **environment}
    with (folder / "head.log").open("wb") as log:
        path = os.pathsep.join([str(python.parent), os.environ["PATH"]])  # a job's python is that of Ray
        process = psutil.Popen(
            command, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **environment, "PATH": path}
        )
    try:
        for port in [*ports[:2], *([ports[2]] if dashboard else [])]:
            _wait_for(port, process, folder / "head.log")
    except BaseException:
        _end(process)
        raise
    return process, Head(f"127.0.0.1:{ports[0]}", f"ray://127.0.0.1:{ports[1]}", f"http://127.0.0.1:{ports[2]}")


def _end(process: Any) -> None:
    """End a process with all that it started."""
    import psutil

    everything = [*process.children(recursive=True), process] if process.is_running() else [process]
    for each in everything:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(everything, timeout=100)


def _growth(address: str, worker: Mapping[str, float]) -> dict[str, Any]:
    """The configuration of a cluster that grows (`ray.autoscaler.ray-schema.json`), as `ray.cluster_utils.AutoscalingCluster` makes it."""
    provider = {
        "type": "fake_multinode",
        "gcs_address": address,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    }
    kinds = {
        "ray.head.default": {"resources": {"CPU": 2}, "node_config": {}, "max_workers": 0},
        "big": {"resources": dict(worker), "node_config": {}, "min_workers": 0, "max_workers": 2},
    }
    about = {
        "cluster_name": "growing",
        "max_workers": 2,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 5,
        "auth": {},
        "docker": {},
    }
    commands = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    files = {
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
    }
    none = {f"{name}_commands": list[str]() for name in commands}
    return {
        **about,
        **none,
        **files,
        "provider": provider,
        "available_node_types": kinds,
        "head_node_type": "ray.head.default",
    }


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nothing listens at."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def _wait_for(port: int, process: Any, log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.is_running():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise AssertionError(f"nothing listens at {port}:\n{log.read_text()}")
