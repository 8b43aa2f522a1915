"""Nodes of compute clusters, which stay for a while after a job ("Create an Azure Machine Learning compute cluster")."""

import threading
import time
from collections import defaultdict

from cloudtune.emulation.machine_starts import MachineStarts
from cloudtune.emulation.stop_requests import StopRequests

IDLE = 120.0
"""Seconds until an idle node is given up: ``idle_time_before_scale_down`` of a cluster that says none (`AmlCompute`)."""


class Clusters:
    """The idle nodes of all clusters.

    Args:
        machine_starts: how long others take to start.
    """

    def __init__(self, machine_starts: MachineStarts) -> None:
        self._starts = machine_starts
        self._lock = threading.Lock()
        self._idle: defaultdict[str, list[float]] = defaultdict(list)  # when each node is given up

    def take(self, cluster: str, nodes: int, stop_requests: StopRequests) -> None:
        """Take nodes for a job; wait for their start unless so many are idle.

        Args:
            cluster: its name; "" for serverless machines, which no other job has had.
            nodes: how many.
            stop_requests: of the job.
        """
        with self._lock:
            kept = sorted(until for until in self._idle[cluster] if until > time.monotonic()) if cluster else []
            enough = len(kept) >= nodes
            self._idle[cluster] = kept[nodes:]
        if not enough:
            self._starts.wait(stop_requests)

    def give_back(self, cluster: str, nodes: int) -> None:
        """Let a job's nodes be idle."""
        with self._lock:
            self._idle[cluster] += [time.monotonic() + IDLE] * (nodes if cluster else 0)
