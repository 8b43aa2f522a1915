"""Which metrics the service's own algorithms have, read from the published tables in ``algorithms.json``."""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

OBJECTIVE_METRIC = "ObjectiveMetric"
"""The metric that the training jobs of a tuning job have besides their own: the objective again."""

_REGISTRY = re.compile(r"(\d{12})\.dkr\.ecr[^/]*")


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One of the service's algorithms.

    Attributes:
        own: whether its image lies in a registry of the service.
        metrics: regexes by the names of the metrics that the service puts into a request.
        others: those of the metrics that the algorithm prints in this or another version, too.
    """

    own: bool
    metrics: Mapping[str, str]
    others: Mapping[str, str]

    def knows(self, metric: str) -> bool:
        """Return whether it can be tuned by a metric."""
        return metric in self.metrics or metric in self.others

    def nearest(self, metric: str) -> str:
        """Return the metric whose name is most like another; "" for none."""
        names = {name.lower(): name for name in (*self.metrics, *self.others)}
        return "".join(names[name] for name in difflib.get_close_matches(metric.lower(), names, n=1, cutoff=0.5))

    def definitions(self, objective: str) -> list[dict[str, str]]:
        """Return the MetricDefinitions that the service puts into a request; with the objective, if it is printed."""
        found = {**self.metrics, **{name: regex for name, regex in self.others.items() if name == objective}}
        return [{"Name": name, "Regex": regex} for name, regex in found.items()]


def algorithm_of(specification: Mapping[str, Any]) -> Algorithm | None:
    """Return the algorithm that an AlgorithmSpecification names; None for a program of the user's."""
    image = str(specification.get("TrainingImage") or "")
    if not image:
        return _found(str(specification.get("AlgorithmName") or "").split("/")[-1], "", own=False)
    place, _, _ = image.partition("@")
    registry, _, path = place.rpartition("/")
    repository, _, tag = path.partition(":")
    account = _REGISTRY.match(registry)
    return _found(repository, tag, own=account is not None and account[1] in _tables()["registries"])


def with_objective(definitions: Sequence[Mapping[str, str]], objective: str) -> list[Mapping[str, str]]:
    """Return the definitions of a tuning job's training jobs: those of the request, and its objective again."""
    regexes = {each["Name"]: each["Regex"] for each in reversed(definitions)}
    if objective not in regexes or OBJECTIVE_METRIC in regexes:
        return list(definitions)
    return [*definitions, {"Name": OBJECTIVE_METRIC, "Regex": regexes[objective]}]


def _found(repository: str, tag: str, *, own: bool) -> Algorithm | None:
    for table in _tables()["algorithms"].values():
        if repository in table["images"]:
            if "metrics" in table:
                return Algorithm(own, table["metrics"], table.get("also_metrics", {}))
            return Algorithm(own, *_by_version(table, f"{repository}:{tag}-"))
    return None


def _by_version(table: Mapping[str, Any], image: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the metrics of an algorithm whose versions differ, e.g. ``xgboost:1.5-1``, and those of other versions."""
    versions = table.get("versions", {})
    listed = [names for version, names in versions.items() if image.startswith(f"{version}-")]
    added = list(listed[0] if listed else table["names"])
    every = dict.fromkeys([*table["names"], *table["also"], *(name for names in versions.values() for name in names)])
    regexes = {name: _regex(table["regex"], name) for name in (*added, *every)}
    return {name: regexes[name] for name in added}, {name: regexes[name] for name in every if name not in added}


def _regex(template: str, name: str) -> str:
    split, _, metric = name.partition(":")
    return template.replace("{split}", split).replace("{metric}", metric)


@cache
def _tables() -> Mapping[str, Any]:
    text = resources.files("cloudtune_sagemaker").joinpath("algorithms.json").read_text(encoding="utf-8")
    return dict(json.loads(text))
