"""The settings of a Ray profile."""

from typing import Annotated

from pydantic import Field

from cloudtune.settings import Settings, Text


class RaySettings(Settings):
    """What a profile may say besides ``provider = "ray"``; from the environment everything comes as text."""

    address: Text = None
    """``HOST:PORT`` of the cluster's head, from a machine of the cluster, or ``ray://HOST:10001`` from elsewhere.

    Null: what RAY_ADDRESS says, else the cluster that was started on this machine.
    """
    namespace: Annotated[str, Field(min_length=1)] = "cloudtune"
    """The namespace of the actors; whoever shares a cluster and resumes runs needs the same."""
