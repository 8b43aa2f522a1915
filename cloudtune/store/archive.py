"""What is kept of a run's trials: logs that were read once, and of an emulator, which ends with the run, all logs and files."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cloudtune.errors import ProviderError, TrialError

if TYPE_CHECKING:
    from cloudtune.store.records import Trial
    from cloudtune.store.store import RunStore


def keep(
    run: "RunStore", lines_of: "Callable[[Trial], Iterable[str]]", download: "Callable[[Trial, Path], object]"
) -> None:
    """Copies logs and files of all ended trials into the run's folder, each once.

    What another emulator kept of a trial is gone with it, and is left out.

    Args:
        run: the run.
        lines_of: what a trial printed.
        download: copies what a trial left into a folder; raises TrialError where it left nothing.
    """
    for trial in run.trials():
        folder = _folder(run, trial)
        if not trial.place or not trial.state.ended or (folder / "output").exists():
            continue
        try:
            lines = "".join(f"{line}\n" for line in lines_of(trial))
        except ProviderError:  # it was in another emulator, before the run went on in this one
            continue
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log.txt").write_text(lines, "utf-8", errors="backslashreplace")
        try:
            download(trial, folder / "output")
        except (TrialError, ProviderError):  # it left nothing, and an empty folder says so
            shutil.rmtree(folder / "output", ignore_errors=True)
            (folder / "output").mkdir()


def keeping(run: "RunStore", trial: "Trial", lines: Iterable[str]) -> Iterator[str]:
    """The lines of an ended trial's log, which are kept once all of them have come: the next look asks no service."""
    folder = _folder(run, trial)
    if not run.store.writable:
        yield from lines
        return
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"log.{os.getpid()}.new"
    try:
        with fresh.open("w", encoding="utf-8", errors="backslashreplace") as file:
            for line in lines:
                file.write(f"{line}\n")
                yield line
        fresh.replace(folder / "log.txt")
    finally:
        fresh.unlink(missing_ok=True)


def kept_log(run: "RunStore", trial: "Trial") -> Iterator[str] | None:
    """The lines of a trial's log; None where nothing was kept."""
    try:
        return iter((_folder(run, trial) / "log.txt").read_text("utf-8", errors="replace").splitlines())
    except (FileNotFoundError, NotADirectoryError):
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
