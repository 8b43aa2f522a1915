"""SageMaker's images of frameworks, as its SDK's own data files have them (`sagemaker.core`, ``image_uri_config``).

The SDK's `image_uris.retrieve` reads the same files, but takes seconds to load; a test compares the two.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from cloudtune.porting.frameworks import Framework, FrameworkImage, FrameworkImages, Hardware, NoImage, NoRegion
from cloudtune_sagemaker.algorithms import algorithm_of_image
from cloudtune_sagemaker.built_in import SCHEME

_REPOSITORIES = {
    "pytorch-training": "pytorch",
    "tensorflow-training": "tensorflow",
    "mxnet-training": "mxnet",
    "sagemaker-scikit-learn": "sklearn",
    "sagemaker-xgboost": "xgboost",
}
"""Frameworks by the names of their repositories; of XGBoost, older ones hold the algorithm alone."""

_IMAGE = re.compile(r"\d{12}\.dkr[.-]ecr[^/]*/(?P<repository>[^:@]+):(?P<version>\d+(?:\.\d+)*).*")
_BUILT_IN = re.compile(rf"{SCHEME}(?P<name>[a-z-]+):(?P<version>\d+(?:\.\d+)*).*")
_DOMAINS = {"cn": "amazonaws.com.cn", "us-iso": "c2s.ic.gov", "us-isob": "sc2s.sgov.gov"}
"""Domains of registries by the beginnings of regions (botocore's endpoints)."""


class SageMakerImages(FrameworkImages):
    """The images of frameworks for training; Python alone is in those of PyTorch, each of which has one version of it."""

    service = "SageMaker"

    def rows(self, region: str | None) -> Sequence[FrameworkImage]:
        region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if region is None:
            raise NoRegion("SageMaker has its images in another registry in each region")
        return _rows(region)

    def recognise(self, address: str) -> Framework | None:
        if (found := _BUILT_IN.fullmatch(address)) is not None:
            return Framework.parse(f"{found['name']}:{found['version']}")
        found = _IMAGE.fullmatch(address)
        name = _REPOSITORIES.get(found["repository"]) if found is not None else None
        return Framework(name, found["version"]) if found is not None and name is not None else None

    def algorithm(self, address: str) -> str | None:
        if address.startswith(SCHEME):
            return address.removeprefix(SCHEME).partition(":")[0]
        found = algorithm_of_image(address)
        return found.name if found is not None and found.own else None


@cache
def _rows(region: str) -> tuple[FrameworkImage, ...]:
    found = [row for name in sorted(set(_REPOSITORIES.values())) for row in _of_framework(name, region)]
    return (*found, *_of_python(found))


def _of_python(rows: Sequence[FrameworkImage]) -> Iterator[FrameworkImage]:
    """Yield images with Python alone in mind: PyTorch's without a GPU."""
    for row in rows:
        python = re.search(r"-py3(\d\d)\b", row.address)
        if row.framework == "pytorch" and row.hardware == "cpu" and python is not None:
            remark = f"SageMaker has no image of Python alone: PyTorch {row.version}'s has Python 3.{python[1]}"
            yield FrameworkImage("python", f"3.{python[1]}", "any", row.address, row.source, remark)


def _of_framework(name: str, region: str) -> Iterator[FrameworkImage]:
    config, release = _config(name)
    training = config.get("training", config)
    for version, said in training["versions"].items():
        registry = said.get("registries", {}).get(region)
        if registry is None or _REPOSITORIES.get(said.get("repository")) != name:
            continue
        for hardware in training.get("processors") or said.get("processors") or (None,):
            tag = _tag(version, said, hardware)
            address = f"{registry}.dkr.ecr.{region}.{_domain(region)}/{said['repository']}:{tag}"
            kind = cast(Hardware, hardware or "any")
            yield FrameworkImage(
                name, version, kind, address, f"sagemaker-core {release}, image_uri_config/{name}.json"
            )


def _tag(version: str, said: Mapping[str, Any], hardware: str | None) -> str:
    python = said.get("py_versions") or [None]
    container = (said.get("container_version") or {}).get(hardware)
    shown = hardware if said.get("processor_in_tag", True) else None
    parts = (said.get("tag_prefix", version), shown, python[-1], container)
    return "-".join(part for part in parts if part)


def _domain(region: str) -> str:
    found = [begin for begin in _DOMAINS if region.startswith(f"{begin}-")]
    return _DOMAINS[max(found, key=len)] if found else "amazonaws.com"


@cache
def _config(name: str) -> tuple[dict[str, Any], str]:
    """Return the SDK's data of a framework, and the SDK's release.

    Raises:
        NoImage: the SDK is not installed.
    """
    from importlib.metadata import version  # noqa: PLC0415  # loads parsers of mail and archives

    try:
        found = find_spec("sagemaker.core")
    except ModuleNotFoundError:
        found = None
    if found is None or not found.submodule_search_locations:
        raise NoImage("SageMaker's images are looked up in its SDK: pip install 'sagemaker-core>=2'")
    path = Path(found.submodule_search_locations[0]) / "image_uri_config" / f"{name}.json"
    config: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return config, version("sagemaker-core")
