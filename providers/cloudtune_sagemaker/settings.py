"""The settings of a SageMaker profile."""

from typing import Annotated

from pydantic import Field

from cloudtune.provider.settings import ServiceSettings, Text


class SageMakerSettings(ServiceSettings):
    """What a profile may say besides ``provider = "sagemaker"``; from the environment everything comes as text."""

    region: Text = None
    """The AWS region; null for the one that AWS's own configuration names."""
    profile: Text = None
    """The profile of AWS's own configuration; null for the one in use."""
    role: Text = None
    """The role that training jobs run as, where the job has no identity."""
    bucket: Text = None
    """The bucket for code, data and results; null for ``sagemaker-REGION-ACCOUNT``."""
    prefix: Annotated[str, Field(pattern=r"^[^/].*[^/]$|^[^/]$")] = "cloudtune"
    """Below which the bucket holds what cloudtune puts there."""
    image: Text = None
    """The training image, where the job names none."""
    instance: Text = None
    """The instance type, where the job names none."""
    output: Text = None
    """Where outputs go, where the job does not say; null for a folder of the bucket."""
    price_list: Text = None
    """The address of another price list than AWS's, which ``cloudtune prices update`` asks."""
