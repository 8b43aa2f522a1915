"""Machines that stay from trial to trial of a driven run: a persistent resource, made for the run and deleted after it.

Its pool has to be what the trials' custom jobs ask for ("Run training jobs on a persistent resource"), and as many
machines as run at once. It costs from its start to its deletion, whether trials run on it or not.
"""

import time
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from cloudtune.errors import ProviderError, QuotaError, ignoring
from cloudtune_vertex.client import Google

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import PersistentResource

_RESOURCE_EXHAUSTED = 8
"""google.rpc.Code: what it ends with for want of machines."""


class KeptMachines:
    """The persistent resource of one run.

    Args:
        google: the clients.
        name: its id, from which alone it is found.
        interval: seconds between two looks at it while it starts.
    """

    def __init__(self, google: Google, name: str, interval: float) -> None:
        self._google, self._id, self._interval = google, name, interval
        self._ready = False
        self._next_look = 0.0

    @property
    def _name(self) -> str:
        return f"{self._google.parent}/persistentResources/{self._id}"

    def ready(self, job: dict[str, Any], parallel: int) -> bool:
        """Return whether jobs can run on it now; make it if it is not there.

        Args:
            job: the request of a custom job that runs on it.
            parallel: how many of them run at once.

        Raises:
            ProviderError: the service cannot be reached or refuses, or the machines cannot be had.
        """
        if not self._ready and time.monotonic() >= self._next_look:
            found = self._found()
            if found is None:
                self._create(job, parallel)
            else:
                self._ready = self._is_running(found)
            self._next_look = time.monotonic() + self._interval
        return self._ready

    def _is_running(self, resource: "PersistentResource") -> bool:
        if resource.state.name == "ERROR":
            kind = QuotaError if resource.error.code == _RESOURCE_EXHAUSTED else ProviderError
            raise kind(f"the machines of the run ({self._id}) could not be started: {resource.error.message}")
        return bool(resource.state.name == "RUNNING")

    def _found(self) -> "PersistentResource | None":
        doing = f"looking for the run's machines ({self._id})"
        with ignoring({"NotFound"}):
            found: PersistentResource = self._google.call(
                doing, self._google.resources.get_persistent_resource, name=self._name
            )
            return found
        return None

    def _create(self, job: dict[str, Any], parallel: int) -> None:
        from google.cloud.aiplatform_v1 import PersistentResource  # noqa: PLC0415  # takes a second

        resource = PersistentResource()
        json_format.ParseDict(resource_of(job, parallel), resource._pb)  # noqa: SLF001  # proto-plus's own way
        request = {
            "parent": self._google.parent,
            "persistent_resource": resource,
            "persistent_resource_id": self._id,
        }
        self._google.create_once(
            f"starting the run's machines ({self._id})",
            lambda: self._google.resources.create_persistent_resource(request=request, timeout=60.0),
            self._found,
            look_first=False,
        )

    def release(self) -> None:
        """Delete it; nothing if it is not there.

        Raises:
            ProviderError: the service cannot be reached, or refuses.
        """
        self._ready = False
        doing = f"releasing the run's machines ({self._id})"
        with ignoring({"NotFound"}):
            self._google.call(doing, self._google.resources.delete_persistent_resource, name=self._name)


def resource_of(job: dict[str, Any], parallel: int) -> dict[str, Any]:
    """Return the PersistentResource on which so many custom jobs run at once."""
    spec = job["jobSpec"]
    first, count = spec["workerPoolSpecs"][0], sum(int(pool["replicaCount"]) for pool in spec["workerPoolSpecs"])
    pool = {"machineSpec": first["machineSpec"], "replicaCount": count * parallel}
    if "diskSpec" in first:
        pool["diskSpec"] = first["diskSpec"]
    resource = {"displayName": job["displayName"], "resourcePools": [pool], "labels": job.get("labels", {})}
    if "serviceAccount" in spec:  # else jobs run as Vertex AI's own agent alone
        resource["resourceRuntimeSpec"] = {"serviceAccountSpec": {"enableCustomServiceAccount": True}}
    same = {"network": spec.get("network"), "encryptionSpec": job.get("encryptionSpec")}
    return {**resource, **{name: value for name, value in same.items() if value is not None}}
