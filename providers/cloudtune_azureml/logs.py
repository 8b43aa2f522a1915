"""What trials print, log to MLflow and leave behind."""

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.errors import ProviderError, TrialError
from cloudtune.store.records import Report, Trial
from cloudtune_azureml.client import Azure, patiently, quiet
from cloudtune_azureml.workload import OUTPUT

if TYPE_CHECKING:
    from cloudtune.driver.process import Condition


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


_LOG = re.compile(r"user_logs/std_log(_process_0+)?\.txt|azureml-logs/70_driver_log(_0)?\.txt")
"""Where the service has what a program printed, or the first of several processes: the present place, and an older one."""


def lines_of(azure: Azure, name: str, over: "Condition", interval: float) -> Iterator[str]:
    """The lines that a job printed, with those to come until it is over.

    Args:
        azure: the clients.
        name: the job's.
        over: whether nothing more comes.
        interval: seconds between two looks.
    """
    from cloudtune.driver.process import pause  # noqa: PLC0415

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
    try:
        files = azure.history(name, f"looking for the logs of {name}", "/details").get("logFiles") or {}
    except ProviderError as error:
        if error.code != "404":
            raise
        return b""
    place = next((files[each] for each in sorted(files, reverse=True) if _LOG.fullmatch(each)), None)
    return b"" if place is None else azure.read(place, f"reading the log of {name}")


def download(azure: Azure, name: str, target: Path) -> list[Path]:
    """Downloads a trial's output folder by Azure Machine Learning's SDK.

    Args:
        azure: the clients.
        name: the job's.
        target: a folder; made if it is not there.

    Returns:
        The files, below the target.

    Raises:
        TrialError: it left none.
    """
    if azure.job(name) is None:
        raise TrialError(f"{name} was never made")
    with tempfile.TemporaryDirectory() as temporary:
        with quiet():
            patiently(
                f"downloading from {name}",
                lambda: azure.ml.jobs.download(name, download_path=temporary, output_name=OUTPUT),
            )
        folder = Path(temporary, "named-outputs", OUTPUT)
        if not folder.is_dir() or not any(folder.rglob("*")):
            raise TrialError(f"{name} left no files")
        shutil.copytree(folder, target, dirs_exist_ok=True)
    return [path for path in sorted(target.rglob("*")) if path.is_file()]
