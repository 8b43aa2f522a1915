"""Azure Machine Learning's curated environments, which stand in ``images.csv`` with where they are from."""

import re
from pathlib import Path

from cloudtune.porting.frameworks import Framework
from cloudtune.porting.image_table import ImageTable

_CURATED = re.compile(
    r"(?:azureml:AzureML-|azureml://registries/azureml/environments/(?:AzureML-)?)"
    r"(?P<name>(?:acpt-)?pytorch|tensorflow|sklearn|lightgbm|xgboost)-(?P<version>\d+(?:\.\d+)*)\b.*"
)
"""Curated environments by their names of today, in a registry, and of earlier years, in every workspace."""


class AzureMlImages(ImageTable):
    """The curated environments."""

    service = "Azure Machine Learning"

    def __init__(self) -> None:
        super().__init__(Path(__file__).with_name("images.csv"))

    def recognise(self, address: str) -> Framework | None:
        found = _CURATED.fullmatch(address)
        return Framework(found["name"].removeprefix("acpt-"), found["version"]) if found is not None else None
