"""Archive the logs and files of a run's trials: logs once they are read, and all that an emulator holds."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cloudtune.errors import CredentialError, ProviderError, TrialError

if TYPE_CHECKING:
    from cloudtune.store.records import Trial
    from cloudtune.store.store import RunStore


def keep(
    run: "RunStore", lines_of: "Callable[[Trial], Iterable[str]]", download: "Callable[[Trial, Path], object]"
) -> None:
    """Copy logs and files of all ended trials into the run's folder, each once.

    Trials that another emulator ran are left out: their logs and files are gone with it.

    Args:
        run: the run.
        lines_of: returns the lines that a trial printed.
        download: copies the files of a trial into a folder; raises TrialError where it left none.
    """
    for trial in run.trials():
        folder = _folder(run, trial)
        if not trial.place or not trial.state.ended or (folder / "output").exists():
            continue
        try:
            lines = "".join(f"{line}\n" for line in lines_of(trial))
        except ProviderError:  # the trial ran in another emulator, before the run was resumed in this one
            continue
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log.txt").write_text(lines, "utf-8", errors="backslashreplace")
        try:
            download(trial, folder / "output")
        except CredentialError:  # what it left is not known; a later call asks again
            shutil.rmtree(folder / "output", ignore_errors=True)
        except (TrialError, ProviderError):  # it left nothing; the empty folder records that
            shutil.rmtree(folder / "output", ignore_errors=True)
            (folder / "output").mkdir()


def keeping(run: "RunStore", trial: "Trial", lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of an ended trial's log, then archive them, so that no service is asked for them again."""
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
    """Return the lines of a trial's archived log; None where none was archived."""
    try:
        return iter((_folder(run, trial) / "log.txt").read_text("utf-8", errors="replace").splitlines())
    except (FileNotFoundError, NotADirectoryError):
        return None


def kept_files(run: "RunStore", trial: "Trial", target: Path) -> list[Path] | None:
    """Copy a trial's archived files into a folder and return their new paths; None where none were archived.

    Raises:
        TrialError: the trial left no files.
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
