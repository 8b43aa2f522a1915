"""Google's prebuilt containers for training, which stand in ``images.csv`` with where they are from."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cloudtune.porting.frameworks import Framework, FrameworkImage
from cloudtune.porting.image_table import ImageTable

_PREBUILT = re.compile(
    r"(?:[a-z0-9-]+-docker\.pkg\.dev/vertex-ai|(?:[a-z]+\.)?gcr\.io/cloud-aiplatform)/training/"
    r"(?P<name>tf2?|pytorch|scikit-learn|sklearn|xgboost)-(?:cpu|gpu|xla|tpu)\.(?P<major>\d+)-(?P<minor>\d+)\b.*"
)
_ALGORITHM = re.compile(r"[a-z0-9-]+-docker\.pkg\.dev/vertex-ai-restricted/builtin-algorithm/(?P<name>[^:@]+).*")
_NAMES = {"tf": "tensorflow", "tf2": "tensorflow", "scikit-learn": "sklearn"}
_US = "us-docker.pkg.dev/"


class VertexImages(ImageTable):
    """The prebuilt containers, from the mirror that is nearest to the jobs."""

    service = "Vertex AI"

    def __init__(self) -> None:
        super().__init__(Path(__file__).with_name("images.csv"))

    def rows(self, region: str | None) -> Sequence[FrameworkImage]:
        mirror = (
            "europe" if (region or "").startswith("europe") else "asia" if (region or "").startswith("asia") else "us"
        )
        return [
            replace(row, address=f"{mirror}-{row.address.removeprefix('us-')}") if row.address.startswith(_US) else row
            for row in super().rows(region)
        ]

    def recognise(self, address: str) -> Framework | None:
        found = _PREBUILT.fullmatch(address)
        if found is None:
            return None
        return Framework(_NAMES.get(found["name"], found["name"]), f"{found['major']}.{found['minor']}")

    def algorithm(self, address: str) -> str | None:
        found = _ALGORITHM.fullmatch(address)
        return found["name"] if found is not None else None
