"""The processes of a command job on several nodes, and the variables by which they find each other.

Source: "Distributed GPU training guide" of Azure Machine Learning (MPI, PyTorch and TensorFlow distributions), and the
variables that Open MPI gives to its processes.
"""

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloudtune_azureml.emulator.model import Program

_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a job.

    Attributes:
        node: its node, from 0.
        environment: variables of its own.
    """

    node: int
    environment: Mapping[str, str]


def processes_of(program: Program) -> list[Process]:
    """Return the processes of a command job, the first of which reports.

    Args:
        program: its distribution and nodes count.
    """
    nodes, distribution = program.nodes, program.distribution
    kind = distribution.get("type", "")
    if kind == "tensorflow":
        return _tensorflow(distribution, nodes)
    each = int(distribution.get("process_count_per_instance") or 1)
    variables = {"pytorch": _of_pytorch, "mpi": _of_mpi}.get(kind)
    if variables is None:  # a guess: without a distribution the command starts on every node
        return [Process(node, {} if nodes == 1 else {"NODE_RANK": str(node)}) for node in range(nodes)]
    port = _free_ports(1)[0]
    places = [(node, local) for node in range(nodes) for local in range(each)]
    return [Process(node, variables(rank, node, local, len(places), each, port)) for rank, (node, local) in enumerate(places)]  # fmt: skip


def _of_pytorch(rank: int, node: int, local: int, size: int, each: int, port: int) -> dict[str, str]:
    numbers = {"RANK": rank, "LOCAL_RANK": local, "NODE_RANK": node, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": each}
    return {"MASTER_ADDR": _HOST, "MASTER_PORT": str(port), **{name: str(value) for name, value in numbers.items()}}


def _of_mpi(rank: int, node: int, local: int, size: int, each: int, port: int) -> dict[str, str]:
    numbers = {"RANK": rank, "LOCAL_RANK": local, "SIZE": size, "LOCAL_SIZE": each, "NODE_RANK": local}
    found = {f"OMPI_COMM_WORLD_{name}": str(value) for name, value in numbers.items()}
    return {**found, "NODE_RANK": str(node), "AZ_BATCH_MASTER_NODE": f"{_HOST}:{port}"}


def _tensorflow(distribution: Mapping[str, Any], nodes: int) -> list[Process]:
    workers = int(distribution.get("worker_count") or nodes)
    servers = int(distribution.get("parameter_server_count") or 0)
    addresses = [f"{_HOST}:{port}" for port in _free_ports(workers + servers)]
    cluster = {"worker": addresses[:workers], **({"ps": addresses[workers:]} if servers else {})}
    tasks = [(kind, index) for kind, members in cluster.items() for index in range(len(members))]
    return [Process(node, {"TF_CONFIG": _task(cluster, kind, index)}) for node, (kind, index) in enumerate(tasks)]


def _task(cluster: Mapping[str, Sequence[str]], kind: str, index: int) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}, "environment": "cloud"})


def _free_ports(count: int) -> list[int]:
    """Return free ports of 127.0.0.1."""
    taken = [socket.create_server((_HOST, 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in taken]
    for each in taken:
        each.close()
    return ports
