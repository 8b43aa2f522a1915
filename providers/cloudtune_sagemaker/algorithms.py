"""The metrics that SageMaker's own algorithms bring along, as published; `algorithms.json` names the sources.

The service adds them to every request with such an image, and refuses a request that defines others: "You can't
override the metric definitions for Amazon SageMaker algorithms".
"""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from cloudtune.spec.constraint import Constraint
from cloudtune.spec.objective import Objective

OBJECTIVE_METRIC = "ObjectiveMetric"
"""The metric that the service adds to those of a tuning job's training jobs: the objective once more."""

_IMAGE = re.compile(r"(?:(?P<account>\d{12})\.dkr\.ecr[^/]*/)?(?P<repository>[^:@]+)(?::(?P<tag>[^@]+))?(?:@.+)?\Z")


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One of SageMaker's algorithms.

    Attributes:
        name: e.g. ``xgboost``.
        own: whether the image lies in one of the service's registries, so that the service knows it for sure.
        metrics: the regexes of the metrics that the service adds to a request, by name.
        others: those of metrics that some version of the algorithm prints, too.
    """

    name: str
    own: bool
    metrics: Mapping[str, str]
    others: Mapping[str, str]

    def knows(self, metric: str) -> bool:
        """Return whether the algorithm can be tuned by a metric."""
        return metric in self.metrics or metric in self.others

    def nearest(self, metric: str) -> str:
        """Return the metric of the most similar name; "" for none."""
        names = [*self.metrics, *self.others]
        by_case = {name.casefold(): name for name in names}
        found = difflib.get_close_matches(metric.casefold(), by_case, n=1, cutoff=0.5)
        return by_case[found[0]] if found else ""

    def definitions(self, objective: str = "") -> list[dict[str, str]]:
        """Return the MetricDefinitions of a request that names none.

        Args:
            objective: a metric that has to be among them, if the algorithm knows it; "" for none.
        """
        found = dict(self.metrics)
        if objective in self.others:
            found[objective] = self.others[objective]
        return [{"Name": name, "Regex": regex} for name, regex in found.items()]


def algorithm_of(specification: Mapping[str, Any]) -> Algorithm | None:
    """Return the algorithm that an AlgorithmSpecification names by the repository of its image, or by AlgorithmName."""
    image = specification.get("TrainingImage")
    if image:
        return algorithm_of_image(str(image))
    name = str(specification.get("AlgorithmName") or "").rpartition("/")[2]
    return _made(name, "", own=False)


def algorithm_of_image(image: str) -> Algorithm | None:
    """Return the algorithm in an image, by its address; None for every other image."""
    found = _IMAGE.match(image)
    if found is None:
        return None
    own = found["account"] in _table()["registries"]
    return _made(found["repository"].rpartition("/")[2], found["tag"] or "", own=own)


def _made(repository: str, tag: str, *, own: bool) -> Algorithm | None:
    for name, record in _table()["algorithms"].items():
        if repository in record["images"]:
            metrics, others = _metrics(record, f"{repository}:{tag}")
            return Algorithm(name, own, MappingProxyType(metrics), MappingProxyType(others))
    return None


def _metrics(record: Mapping[str, Any], image: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return what the service adds for an image, and what the algorithm prints besides in this or another version."""
    if "metrics" in record:
        return dict(record["metrics"]), dict(record.get("also_metrics", {}))
    versions = record.get("versions", {})
    known = next((names for version, names in versions.items() if f"{image}-".startswith(f"{version}-")), None)
    listed = record["names"] if known is None else known
    every = dict.fromkeys([*record["names"], *record["also"], *(name for names in versions.values() for name in names)])
    return (
        {name: _filled(record["regex"], name) for name in listed},
        {name: _filled(record["regex"], name) for name in every if name not in listed},
    )


def _filled(regex: str, name: str) -> str:
    split, _, metric = name.partition(":")
    return regex.replace("{split}", split).replace("{metric}", metric)


@cache
def _table() -> Mapping[str, Any]:
    text = resources.files("cloudtune_sagemaker").joinpath("algorithms.json").read_text(encoding="utf-8")
    table: Mapping[str, Any] = json.loads(text)
    return table


def as_printed(
    measured: Sequence[Objective | Constraint], specification: Mapping[str, Any]
) -> list[Objective | Constraint]:
    """Return objectives and constraints with the regexes of the algorithm that prints them, where they have none of their own."""
    algorithm = algorithm_of(specification)
    if algorithm is None or not algorithm.own:
        return list(measured)
    known = {**algorithm.metrics, **algorithm.others}
    return [each.model_copy(update={"regex": each.regex or known.get(each.metric)}) for each in measured]


def with_objective(definitions: Sequence[Mapping[str, str]], objective: str) -> list[Mapping[str, str]]:
    """Return metric definitions with the one that the service adds to a tuning job's: the regex of its objective."""
    regex = next((each["Regex"] for each in definitions if each["Name"] == objective), None)
    if regex is None or any(each["Name"] == OBJECTIVE_METRIC for each in definitions):
        return list(definitions)
    return [*definitions, {"Name": OBJECTIVE_METRIC, "Regex": regex}]
