"""What a trial logged to MLflow, as reports."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from cloudtune.states import Report, Trial
from cloudtune_azureml.client import Azure

_PAGE = 25_000


def reports_of(azure: Azure, trial: Trial, names: Sequence[str]) -> list[Report]:
    """All reports of a trial so far, in the order of their logging; values of one step and moment are one report.

    Args:
        azure: the clients.
        trial: whose job is at `Trial.place`.
        names: of the metrics.
    """
    logged: list[tuple[int, int, str, float]] = []
    for name in names:
        logged += [(int(each["timestamp"]), int(each.get("step") or 0), name, float(each["value"])) for each in _history(azure, trial, name)]  # fmt: skip
    logged.sort(key=lambda one: one[:2])
    grouped: dict[tuple[int, int, int], dict[str, float]] = {}
    seen: Counter[tuple[str, int, int]] = Counter()
    for moment, step, name, value in logged:
        seen[name, moment, step] += 1
        grouped.setdefault((moment, step, seen[name, moment, step]), {})[name] = value
    return [
        Report(trial.number, trial.attempt, step, moment / 1000, values)
        for (moment, step, _), values in grouped.items()
    ]


def _history(azure: Azure, trial: Trial, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    request = {"run_id": trial.place, "metric_key": name, "max_results": _PAGE}
    while True:
        page = azure.mlflow("metrics/get-history", request, f"reading {name} of trial {trial.number}")
        found += page.get("metrics", [])
        if not page.get("next_page_token"):
            return found
        request["page_token"] = page["next_page_token"]
