"""What a trial logged to MLflow, as reports."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from cloudtune.store.records import Report, Trial
from cloudtune_azureml.client import Azure

_PAGE = 25_000


class LoggedMetrics:
    """The values of one trial, told once each: of one step, those of one metric may come before another's."""

    def __init__(self) -> None:
        self._told: set[tuple[str, int, int, int]] = set()

    def new_reports(self, azure: Azure, trial: Trial, names: Sequence[str]) -> list[Report]:
        """What was logged since the last time, in the order of its logging; values of one step and moment are one report.

        Args:
            azure: the clients.
            trial: whose job is at `Trial.place`.
            names: of the metrics.
        """
        grouped: dict[tuple[int, int, int], dict[str, float]] = {}
        for name in names:
            again: Counter[tuple[int, int]] = Counter()
            for each in _history(azure, trial, name):
                moment, step = int(each["timestamp"]), int(each.get("step") or 0)
                again[moment, step] += 1
                mark = (name, moment, step, again[moment, step])
                if mark not in self._told:
                    self._told.add(mark)
                    grouped.setdefault(mark[1:], {})[name] = float(each["value"])
        return [
            Report(trial.number, trial.attempt, step, moment / 1000, values)
            for (moment, step, _), values in sorted(grouped.items(), key=lambda one: one[0])
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
