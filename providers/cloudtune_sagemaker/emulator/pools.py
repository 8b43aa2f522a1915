"""Warm pools: machines that stay for the next training job ("Train Using SageMaker AI Managed Warm Pools").

Machines cost nothing here, and start at once unless the emulator's user says otherwise (``machine_start``).
"""

import math
import time
from collections.abc import Mapping
from typing import Any

_ALIKE = ("InstanceType", "InstanceCount", "InstanceGroups", "VolumeSizeInGB", "VolumeKmsKeyId")
"""Members of ResourceConfig that a job must share with one whose machines it takes over."""

_SHARED = ("RoleArn", "VpcConfig", "EnableInterContainerTrafficEncryption", "EnableNetworkIsolation")
"""Other members that it must share ("Matching training jobs")."""


class WarmPool:
    """The machines of one job, after the job.

    Args:
        request: the members of the job's CreateTrainingJob.
    """

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._request = request
        self._reused: tuple[str, float] | None = None
        self._kept = bool(self._seconds)
        self._given_up: float | None = None

    @property
    def _seconds(self) -> float:
        return float((self._request.get("ResourceConfig") or {}).get("KeepAlivePeriodInSeconds") or 0)

    def status(self, ended: float | None) -> dict[str, Any]:
        """Return the WarmPoolStatus.

        Args:
            ended: when the job ended; None while it runs.

        Returns:
            An empty one for a job that keeps no machines.
        """
        if not self._kept:
            return {}
        if ended is None:
            return {"Status": "InUse"}
        if self._reused is not None:
            name, at = self._reused
            billed = math.floor(at - ended)
            return {"Status": "Reused", "ReusedByJob": name, "ResourceRetainedBillableTimeInSeconds": billed}
        end = ended + self._seconds if self._given_up is None else max(ended, self._given_up)
        if time.time() < end:
            return {"Status": "Available"}
        return {"Status": "Terminated", "ResourceRetainedBillableTimeInSeconds": math.floor(end - ended)}

    def update(self) -> None:
        """Take over what UpdateTrainingJob has changed: of a period of 0 seconds the pool ends now."""
        self._kept = self._kept or bool(self._seconds)
        if not self._seconds:
            self._given_up = time.time()

    def fits(self, request: Mapping[str, Any]) -> bool:
        """Return whether a job with this request can take the machines over."""
        ours, theirs = self._request.get("ResourceConfig") or {}, request.get("ResourceConfig") or {}
        return all(ours.get(name) == theirs.get(name) for name in _ALIKE) and all(
            (self._request.get(name) or None) == (request.get(name) or None) for name in _SHARED
        )

    def hand_over(self, name: str) -> None:
        """Give the machines to a job of that name."""
        self._reused = (name, time.time())
