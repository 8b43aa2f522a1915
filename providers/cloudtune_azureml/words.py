"""Azure Machine Learning's own words for places, identities, machine sizes, clusters and environments."""

import re
from collections.abc import Mapping
from typing import Any

from cloudtune.porting.words import ServiceWords
from cloudtune_azureml.images import AzureMlImages
from cloudtune_azureml.values import SIZE

_PLACE = re.compile(
    r"azureml:[\w.-]+(?:[:@][\w.-]+)?|azureml://(?:datastores/[\w-]+/paths/|subscriptions/|locations/|registries/|jobs/).*"
)
_IDENTITY = re.compile(r"managed|user|token|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
"""What `cloudtune_azureml.workload` takes: a kind, or the client id of a managed identity."""

_IMAGE = re.compile(r"azureml:.+|[a-z0-9]+\.azurecr\.io/.+")
"""Environments, and images of Azure Container Registry."""

_GPUS = re.compile(r"standard_n[cdv].*", re.IGNORECASE)
"""https://learn.microsoft.com/azure/virtual-machines/sizes/overview#gpu-accelerated"""


class AzureMlWords(ServiceWords):
    """See `cloudtune.porting.words.ServiceWords`."""

    provider = "azureml"
    service = "Azure Machine Learning"
    schemes = ("azureml:",)
    readable = ("https://", "http://", "wasbs://", "wasb://", "abfss://", "abfs://")
    forms = {
        "place": _PLACE,
        "identity": _IDENTITY,
        "machine": re.compile(rf"{SIZE.pattern}|azureml:.+", re.IGNORECASE),
        "image": _IMAGE,
    }
    with_gpu = _GPUS
    examples = {"place": "azureml://datastores/…/paths/NAME", "image": "azureml:…@latest"}
    fixed_region = "trials run where the workspace stands"
    settings = {"image": "environment"}
    images = AzureMlImages()

    def kept_machines(self, settings: Mapping[str, Any]) -> str | None:
        """Return the profile's cluster."""
        cluster = settings.get("compute")
        return cluster if isinstance(cluster, str) else None
