"""What trials print and leave behind."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cloudtune.errors import ProviderError, TrialError
from cloudtune_azureml.client import Azure
from cloudtune_azureml.patience import patiently, quiet
from cloudtune_azureml.writing import OUTPUT

if TYPE_CHECKING:
    from cloudtune.driver.process import Condition

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
