"""The settings of a Vertex AI profile."""

from typing import Annotated, Literal

from pydantic import Field

from cloudtune.provider.settings import ServiceSettings, Text


class VertexSettings(ServiceSettings):
    """What a profile may say besides ``provider = "vertex"``; from the environment everything comes as text."""

    project: Text = None
    """The Google Cloud project; null for the one that Google's own configuration names."""
    location: str = "us-central1"
    """The region of the jobs."""
    bucket: Text = None
    """The bucket for code, data and results; null for ``PROJECT-vertex-staging-LOCATION``, as the SDK calls it."""
    prefix: Annotated[str, Field(pattern=r"^[^/].*[^/]$|^[^/]$")] = "cloudtune"
    """Below which the bucket holds what cloudtune puts there."""
    image: Text = None
    """The container image, where the job names none."""
    machine: Text = None
    """The machine type, where the job names none."""
    output: Text = None
    """Where outputs go, where the job does not say; null for a folder of the bucket."""
    service_account: Text = None
    """The service account that trials run as, where the job has no identity; null for Vertex AI's own."""
    transport: Literal["grpc", "rest"] = "grpc"
    """How Vertex AI is spoken to."""
    isolated: bool = False
    """Whether the project's own network cuts trials off (VPC Service Controls), so that jobs may ask for it."""
    logging_endpoint: Text = None
    """The address of another Cloud Logging than Google's: ``http://host:port``."""
    price_list: Text = None
    """The address of another billing catalogue than Google's, which ``cloudtune prices update`` asks."""
