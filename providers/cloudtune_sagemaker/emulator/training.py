"""What a CreateTrainingJob request asks of the machines that run it."""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

BASE = "/opt/ml"
"""Where a container finds everything of its training job ("Amazon SageMaker Training Storage Folders")."""

DEFAULT_MAX_RUNTIME = 86400
"""Seconds; StoppingCondition.MaxRuntimeInSeconds where the request says none ("default value is 1 day")."""


@dataclass(frozen=True, slots=True)
class Host:
    """One machine of the training cluster.

    Attributes:
        name: ``algo-1``, ``algo-2``, …
        number: from 0.
        instance_type: e.g. ``ml.m5.large``.
        group: the instance group; ``homogeneousCluster`` where the request names none.
    """

    name: str
    number: int
    instance_type: str
    group: str


class Training:
    """A request as the emulator reads it.

    Args:
        request: the members of CreateTrainingJob.
        arn: of the job.
        region: of the job.
    """

    def __init__(self, request: Mapping[str, Any], arn: str, region: str) -> None:
        self.request, self.arn, self.region = request, arn, region
        self.name: str = request["TrainingJobName"]
        self.hyperparameters: dict[str, str] = dict(request.get("HyperParameters") or {})
        self.algorithm: Mapping[str, Any] = request.get("AlgorithmSpecification") or {}
        self.channels: Sequence[Mapping[str, Any]] = request.get("InputDataConfig") or []
        self.environment: Mapping[str, str] = request.get("Environment") or {}
        self.output: Mapping[str, Any] = request.get("OutputDataConfig") or {}
        self.checkpoints: Mapping[str, Any] = request.get("CheckpointConfig") or {}
        self.isolated = bool(request.get("EnableNetworkIsolation"))

    @property
    def image(self) -> str:
        """The image's address, or the algorithm's name."""
        return self.algorithm.get("TrainingImage") or self.algorithm.get("AlgorithmName") or ""

    @property
    def max_runtime(self) -> float:
        """Seconds that the training may take, all attempts together."""
        return float((self.request.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME))

    @property
    def max_wait(self) -> float | None:
        """Seconds that a job on spot machines may take from its start, waiting included."""
        seconds = (self.request.get("StoppingCondition") or {}).get("MaxWaitTimeInSeconds")
        return float(seconds) if seconds and self.request.get("EnableManagedSpotTraining") else None

    def input_mode(self, channel: Mapping[str, Any]) -> str:
        """``File``, ``FastFile`` or ``Pipe``."""
        return channel.get("InputMode") or self.algorithm.get("TrainingInputMode") or "File"

    @cached_property
    def hosts(self) -> tuple[Host, ...]:
        """The machines, in the order of their numbers."""
        resources = self.request.get("ResourceConfig") or {}
        groups = resources.get("InstanceGroups") or [{**resources, "InstanceGroupName": "homogeneousCluster"}]
        found: list[Host] = []
        for group in groups:
            for _ in range(group.get("InstanceCount") or resources.get("SelectedInstanceCount") or 1):
                kind = group.get("InstanceType") or resources.get("SelectedInstanceType") or "ml.m5.large"
                found.append(Host(f"algo-{len(found) + 1}", len(found), kind, group["InstanceGroupName"]))
        return tuple(found)

    # The files of /opt/ml/input/config ("How Amazon SageMaker Provides Training Information")

    def resource_config(self, host: Host) -> dict[str, Any]:
        """``resourceconfig.json`` of a machine."""
        groups: dict[str, dict[str, Any]] = {}
        for one in self.hosts:
            group = {"instance_group_name": one.group, "instance_type": one.instance_type, "hosts": []}
            groups.setdefault(one.group, group)["hosts"].append(one.name)
        return {
            "current_host": host.name,
            "current_instance_type": host.instance_type,
            "current_group_name": host.group,
            "hosts": sorted(one.name for one in self.hosts),
            "instance_groups": list(groups.values()),
            "network_interface_name": network_interface(),
        }

    def input_data_config(self) -> dict[str, dict[str, str]]:
        """``inputdataconfig.json``, by channel."""
        return {channel["ChannelName"]: self._channel_config(channel) for channel in self.channels}

    def _channel_config(self, channel: Mapping[str, Any]) -> dict[str, str]:
        source = (channel.get("DataSource") or {}).get("S3DataSource") or {}
        config = {
            "TrainingInputMode": self.input_mode(channel),
            "S3DistributionType": source.get("S3DataDistributionType") or "FullyReplicated",
            "RecordWrapperType": channel.get("RecordWrapperType") or "None",
        }
        return {"ContentType": channel["ContentType"], **config} if channel.get("ContentType") else config


def network_interface() -> str:
    """Return the interface that reaches the other machines, which all are this one: ``eth0`` as on the service, or loopback."""
    try:
        names = [name for _, name in socket.if_nameindex()]
    except OSError:
        names = []
    loopback = next((name for name in names if name.startswith("lo")), "lo")
    return "eth0" if "eth0" in names else loopback


def processors() -> int:
    """Return how many CPUs a training sees."""
    return os.cpu_count() or 1
