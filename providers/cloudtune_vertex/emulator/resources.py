"""Persistent resources: machines that stay for the custom jobs that name them.

https://cloud.google.com/vertex-ai/docs/training/persistent-resource-overview
"""

import re
import threading
import time
from collections.abc import Mapping
from typing import Any

from cloudtune.emulation.machine_starts import MachineStarts
from cloudtune.emulation.stop_requests import StopRequests
from cloudtune_vertex.emulator.errors import Refused, not_found
from cloudtune_vertex.emulator.model import Message, plain, stamp

KIND = "PersistentResource"

_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
"""CreatePersistentResourceRequest.persistent_resource_id."""

_LOOK = 0.01
"""Seconds between two looks at whether enough machines are idle for a job that waits."""


class _Resource:
    """One persistent resource."""

    def __init__(self, request: Mapping[str, Any], name: str, seconds: float) -> None:
        self._request, self._name = request, name
        self._created = time.time()
        self._ready = self._created + seconds
        self.idle = [int(pool["replicaCount"]) for pool in request["resourcePools"]]

    @property
    def running(self) -> bool:
        return time.time() >= self._ready

    def message(self) -> dict[str, Any]:
        """Return the resource in JSON."""
        state = "RUNNING" if self.running else "PROVISIONING"
        return {**self._request, "name": self._name, "createTime": stamp(self._created), "state": state}

    def pool_of(self, worker: Mapping[str, Any]) -> int:
        """Return the index of the pool whose machines a worker pool asks for.

        Raises:
            Refused: there is none.
        """
        for index, pool in enumerate(self._request["resourcePools"]):
            alike = all(pool.get(part, {}) == worker.get(part, {}) for part in ("machineSpec", "diskSpec"))
            if alike and int(worker.get("replicaCount", 1)) <= int(pool["replicaCount"]):
                return index
        message = f"No resource pool of {self._name} has the machines that the worker pool asks for."
        raise Refused("INVALID_ARGUMENT", message)


class Resources:
    """All persistent resources.

    Args:
        machine_starts: how long machines take to start.
    """

    def __init__(self, machine_starts: MachineStarts) -> None:
        self._starts = machine_starts
        self._lock = threading.Lock()
        self._resources: dict[str, _Resource] = {}

    def create(self, parent: str, name: str, message: Message) -> dict[str, Any]:
        """Make one, whose machines start.

        Raises:
            Refused: its id or its pools are not valid, or there is one of this id.
        """
        if not _ID.fullmatch(name):
            raise Refused("INVALID_ARGUMENT", f"persistent_resource_id must match {_ID.pattern}, not {name!r}")
        request, full = plain(message), f"{parent}/persistentResources/{name}"
        pools = request.get("resourcePools", [])
        if not pools or any(int(pool.get("replicaCount", 0)) < 1 or "machineSpec" not in pool for pool in pools):
            raise Refused("INVALID_ARGUMENT", "resource_pools must each have a machine_spec and a replica_count from 1")
        with self._lock:
            if full in self._resources:
                raise Refused("ALREADY_EXISTS", f"The {KIND} exists already: {full}")
            made = self._resources[full] = _Resource(request, full, sum(self._starts.begin() for _ in pools))
        return made.message()

    def get(self, name: str) -> dict[str, Any]:
        """Return one in JSON; raise Refused if there is none."""
        return self._existing(name).message()

    def list(self, parent: str) -> list[dict[str, Any]]:
        """Return all below a location."""
        with self._lock:
            found = [each for name, each in self._resources.items() if name.startswith(f"{parent}/")]
        return [each.message() for each in found]

    def delete(self, name: str) -> None:
        """Delete one; raise Refused if there is none."""
        self._existing(name)
        with self._lock:
            self._resources.pop(name, None)

    def _existing(self, name: str) -> _Resource:
        found = self._resources.get(name)
        if found is None:
            raise not_found(KIND, name)
        return found

    # For custom jobs

    def check(self, parent: str, spec: Mapping[str, Any]) -> None:
        """Refuse a job that names one which is not there, does not run, or has other machines."""
        if spec.get("persistentResourceId"):
            resource = self._existing(f"{parent}/persistentResources/{spec['persistentResourceId']}")
            if not resource.running:
                raise Refused("FAILED_PRECONDITION", f"The {KIND} {spec['persistentResourceId']} is not RUNNING.")
            for worker in spec["workerPoolSpecs"]:
                resource.pool_of(worker)

    def take(self, parent: str, spec: Mapping[str, Any], stop_requests: StopRequests) -> "Taken":
        """Take machines for a job, as soon as enough are idle; new ones if it names no resource."""
        resource = self._resources.get(f"{parent}/persistentResources/{spec.get('persistentResourceId', '')}")
        if resource is None:
            self._starts.wait(stop_requests)
            return Taken(self._lock, [], [])
        needed = [0] * len(resource.idle)
        for worker in spec["workerPoolSpecs"]:
            needed[resource.pool_of(worker)] += int(worker.get("replicaCount", 1))
        while not stop_requests.pending:
            with self._lock:
                if all(count <= idle for count, idle in zip(needed, resource.idle, strict=True)):
                    resource.idle[:] = [idle - count for idle, count in zip(resource.idle, needed, strict=True)]
                    return Taken(self._lock, resource.idle, needed)
            stop_requests.wait(_LOOK)
        return Taken(self._lock, [], [])


class Taken:
    """The machines that a job has taken of a persistent resource."""

    def __init__(self, lock: threading.Lock, idle: list[int], count: list[int]) -> None:
        self._lock, self._idle, self._count = lock, idle, count

    def give_back(self) -> None:
        """Make them idle again."""
        with self._lock:
            for index, count in enumerate(self._count):
                self._idle[index] += count
            self._count = []
