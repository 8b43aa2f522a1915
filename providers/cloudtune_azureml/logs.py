"""What trials print and log to MLflow."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cloudtune.errors import ignoring
from cloudtune.store.records import Report, Trial
from cloudtune_azureml.client import Azure

if TYPE_CHECKING:
    from cloudtune.driver.interrupt import Condition


_PAGE = 25_000


class LoggedMetrics:
    """The values that one trial logged, each read once: of one step, those of one metric may come before another's."""

    def __init__(self) -> None:
        self._told: set[tuple[str, int, int, int]] = set()
        self._last: Any = None
        self._new: list[Report] = []

    def read(self, azure: Azure, trial: Trial, run: Mapping[str, Any]) -> None:
        """Read what was logged since the last time, in the order of its logging; values of one step and moment are one report.

        Args:
            azure: the clients.
            trial: whose job is at `Trial.place`.
            run: of MLflow, whose last metrics say whether there is anything new.
        """
        last = run.get("data", {}).get("metrics", [])
        if not last or last == self._last:
            return
        histories = {each["key"]: _history(azure, trial, each["key"]) for each in last}
        grouped: dict[tuple[int, int, int], dict[str, float]] = {}
        for name, history in histories.items():
            again: Counter[tuple[int, int]] = Counter()
            for each in history:
                moment, step = int(each["timestamp"]), int(each.get("step") or 0)
                again[moment, step] += 1
                mark = (name, moment, step, again[moment, step])
                if mark not in self._told:
                    self._told.add(mark)
                    grouped.setdefault(mark[1:], {})[name] = float(each["value"])
        self._new += [
            Report(trial.number, trial.attempt, step, moment / 1000, values)
            for (moment, step, _), values in sorted(grouped.items(), key=lambda one: one[0])
        ]
        self._last = last

    def taken(self) -> list[Report]:
        """Return the reports that were read since the last time."""
        taken, self._new = self._new, []
        return taken


def _history(azure: Azure, trial: Trial, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    request = {"run_id": trial.place, "metric_key": name, "max_results": _PAGE}
    while True:
        page = azure.mlflow("metrics/get-history", request, f"reading {name} of trial {trial.number}")
        found += page.get("metrics", [])
        if not page.get("next_page_token"):
            return found
        request["page_token"] = page["next_page_token"]


_LOG = re.compile(r"user_logs/std_log(_process_0+)?\.txt|azureml-logs/70_driver_log(_0)?\.txt")
"""Where the service has what a program printed, or the first of several processes: the present place, and an older one."""


def lines_of(azure: Azure, name: str, over: "Condition", interval: float) -> Iterator[str]:
    """Return the lines that a job printed, with those to come until it is over.

    Args:
        azure: the clients.
        name: the job's.
        over: whether nothing more comes.
        interval: seconds between two looks.
    """
    from cloudtune.driver.interrupt import pause  # noqa: PLC0415

    seen = 0
    while True:
        last = over()
        text = _log(azure, name).decode("utf-8", "replace")
        whole = text if last else text[: text.rfind("\n") + 1]
        yield from whole[seen:].splitlines()
        seen = max(seen, len(whole))
        if last:
            return
        pause(interval, over)


def _log(azure: Azure, name: str) -> bytes:
    files: Mapping[str, str] = {}
    with ignoring({"404"}):
        files = azure.history(name, f"looking for the logs of {name}", "/details").get("logFiles") or {}
    place = next((files[each] for each in sorted(files, reverse=True) if _LOG.fullmatch(each)), None)
    return b"" if place is None else azure.read(place, f"reading the log of {name}")
