"""The settings of a Ray profile."""

import os
import socket
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field

from cloudtune.provider.settings import Settings, Text

KUBERAY = "kuberay://"
"""The beginning of the address of a RayCluster by its name."""


class RaySettings(Settings):
    """What a profile may say besides ``provider = "ray"``; from the environment everything comes as text."""

    address: Text = None
    """``HOST:PORT`` of the cluster's head, from a machine of the cluster, or ``ray://HOST:10001`` from elsewhere.

    Null: what RAY_ADDRESS says, else the cluster that was started on this machine. ``http://HOST:8265``, a dashboard: the
    driver runs in the cluster, as a job. ``kuberay://NAMESPACE/NAME``: the same with the dashboard of a RayCluster, which is
    reached through the API server of its Kubernetes; ``kuberay://NAMESPACE/rayjob/NAME``: that of the cluster of a RayJob.
    """
    context: Text = None
    """The context of the kubeconfig, for ``kuberay://``; null for its current one, or within a pod its service account."""
    token: Text = None
    """Lets its bearer in at the dashboard; null for one that asks for none."""
    namespace: Annotated[str, Field(min_length=1)] = "cloudtune"
    """The namespace of the actors; users who share a cluster and resume runs need the same."""

    @property
    def job_server(self) -> str | None:
        """The address of a dashboard that takes jobs; None for a cluster that is reached directly."""
        return self.address if (self.address or "").startswith(("http://", "https://", KUBERAY)) else None

    @property
    def wanted(self) -> str:
        """The address that a process connects to; "" for none that is said.

        Within a job of Ray's that is the cluster of the job.
        """
        own = None if self.job_server else self.address
        return own or os.environ.get("RAY_ADDRESS", "")

    @property
    def remote(self) -> bool:
        """Whether the cluster's head is on another machine, as far as its address shows."""
        address = self.address or os.environ.get("RAY_ADDRESS", "")
        host = urlsplit(address if "://" in address else f"ray://{address}").hostname
        return host not in (None, "auto", "local", "localhost", "127.0.0.1", "::1", socket.gethostname())
