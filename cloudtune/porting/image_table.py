"""Images of frameworks that stand in a CSV in a provider's package."""

import csv
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import cast

from cloudtune.porting.frameworks import FrameworkImage, FrameworkImages, Hardware


class ImageTable(FrameworkImages):
    """Images in a CSV with the columns framework, version, hardware (cpu, gpu or any), image, remark and source.

    Args:
        path: of the CSV.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _rows(self) -> list[FrameworkImage]:
        with self._path.open(encoding="utf-8", newline="") as file:
            return [
                FrameworkImage(
                    row["framework"], row["version"], cast(Hardware, row["hardware"]), row["image"], row["source"], row["remark"]
                )
                for row in csv.DictReader(file)
            ]  # fmt: skip

    def rows(self, region: str | None) -> Sequence[FrameworkImage]:  # noqa: ARG002  # they are the same everywhere
        return self._rows
