"""What is kept of a run in an emulator, which ends with it: each trial's log and the files that it left."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cloudtune.errors import TrialError

if TYPE_CHECKING:
    from cloudtune.states import Trial
    from cloudtune.store import RunStore


def on_this_machine(endpoint: str | None) -> bool:
    """Whether an endpoint is of this machine, so that what it keeps may be gone tomorrow."""
    return endpoint is not None and urlsplit(endpoint).hostname in ("127.0.0.1", "localhost", "::1")


def keep(
    run: "RunStore", lines_of: "Callable[[Trial], Iterable[str]]", download: "Callable[[Trial, Path], object]"
) -> None:
    """Copies logs and files of all trials into the run's folder.

    Args:
        run: the run.
        lines_of: what a trial printed.
        download: copies what a trial left into a folder; raises TrialError where it left nothing.
    """
    for trial in run.trials():
        if not trial.place:
            continue
        folder = _folder(run, trial)
        folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"{line}\n" for line in lines_of(trial))
        (folder / "log.txt").write_text(lines, "utf-8")
        try:
            download(trial, folder / "output")
        except TrialError:  # it left nothing, and an empty folder says so
            shutil.rmtree(folder / "output", ignore_errors=True)
            (folder / "output").mkdir()


def kept_log(run: "RunStore", trial: "Trial") -> Iterator[str] | None:
    """The lines of a trial's log; None where nothing was kept."""
    try:
        return iter((_folder(run, trial) / "log.txt").read_text("utf-8").splitlines())
    except FileNotFoundError:
        return None


def kept_files(run: "RunStore", trial: "Trial", target: Path) -> list[Path] | None:
    """A trial's files, copied into a folder; None where nothing was kept of the trial.

    Raises:
        TrialError: it left none.
    """
    source = _folder(run, trial) / "output"
    if not source.is_dir():
        return None
    if not any(source.iterdir()):
        raise TrialError(f"trial {trial.number} left no files")
    shutil.copytree(source, target, dirs_exist_ok=True)
    return [target / path.relative_to(source) for path in sorted(source.rglob("*")) if path.is_file()]


def _folder(run: "RunStore", trial: "Trial") -> Path:
    return run.folder / "trials" / f"{trial.number:05d}"
