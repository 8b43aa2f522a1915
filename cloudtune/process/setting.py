"""Folders, environment and limits that the trials of a run on this machine share, and the files of one attempt."""

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a node of a cluster has only the standard library
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.records import Trial


LOG_SIZE = 256_000_000
"""Default bytes of output that the log of an attempt keeps."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The settings that all trials of a run share.

    Attributes:
        job: the spec.
        run_id: the run.
        folder: the run's folder.
        work: the folder that trials start in.
        environment: the environment that trials share.
        memory: bytes that a trial may use; None for no limit.
        seconds: that a trial may take; None for no limit.
        grace: seconds from the request to end until a trial is killed.
        outputs: the folder below which every trial has one for its outputs; None for its own folder.
        log_size: bytes of output that the log of an attempt keeps.
    """

    job: "TuningJob"
    run_id: str
    folder: Path
    work: Path
    environment: Mapping[str, str]
    memory: int | None
    seconds: float | None
    grace: float
    outputs: Path | None = None
    log_size: int = LOG_SIZE

    @property
    def metric(self) -> str:
        """The metric that the bare number returned by a function stands for."""
        return self.job.objective[0].metric

    def place(self, trial: "Trial") -> str:
        """Return the trial's folder, relative to the run's."""
        return f"trials/{trial.number:05d}"

    def inherit(self, trial: "Trial") -> None:
        """Fill the checkpoint of a trial that begins with another's, unless it has one of its own.

        Raises:
            OSError: it cannot be copied.
        """
        if trial.parent is not None:
            source = TrialFiles(f"{self.folder}/trials/{trial.parent:05d}", 1).checkpoint
            copy_checkpoint(Path(source), Path(self.files(trial).checkpoint))

    def files(self, trial: "Trial") -> "TrialFiles":
        """Return the files of the trial's present attempt."""
        output = None if self.outputs is None else f"{self.outputs}/{trial.number:05d}"
        return TrialFiles(f"{self.folder}/{self.place(trial)}", trial.attempt, output, self.log_size)


class TrialFiles:
    """The files of one attempt of a trial: the first attempt's have plain names, later ones' a number.

    Args:
        folder: the trial's folder.
        attempt: from 1.
        output: the folder for its outputs; None for one in the trial's folder.
        log_size: bytes of output that the log keeps.
    """

    __slots__ = ("attempt", "checkpoint", "folder", "log", "log_size", "output", "parameters", "record", "reports")

    def __init__(self, folder: str, attempt: int, output: str | None = None, log_size: int = LOG_SIZE) -> None:
        suffix = "" if attempt <= 1 else f".{attempt}"
        self.attempt = attempt
        self.folder = folder
        self.parameters = f"{folder}/parameters.json"
        self.checkpoint = f"{folder}/checkpoint"
        self.output = output or f"{folder}/output"
        self.log = f"{folder}/log{suffix}.txt"
        self.log_size = log_size
        self.reports = f"{folder}/reports{suffix}.jsonl"
        self.record = f"{folder}/process{suffix}.txt"

    def make_folders(self) -> None:
        """Create the trial's folders; those of an earlier attempt stay as they are."""
        for folder in (self.folder, self.checkpoint, self.output):
            try:
                os.mkdir(folder)  # noqa: PTH102  # 5 times as fast
            except FileExistsError:
                continue
            except FileNotFoundError:
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103

    def copy_output(self, target: Path) -> list[Path]:
        """Copy the trial's outputs into a folder and return the copies; none where there are no outputs."""
        output = Path(self.output)
        files = sorted(path for path in output.rglob("*") if path.is_file())
        if files:
            shutil.copytree(output, target, dirs_exist_ok=True)
        return [target / path.relative_to(output) for path in files]

    def make(self) -> None:
        """Create the trial's folders, its log and the file of its parameters, both empty."""
        self.make_folders()
        for path in (self.log, self.parameters):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))

    def remove_empty(self) -> None:
        """Remove what `make` created for a trial that did not start."""
        for path in (self.log, self.parameters):
            with contextlib.suppress(OSError):
                if not os.stat(path).st_size:  # noqa: PTH116
                    os.unlink(path)  # noqa: PTH108
        for folder in (self.checkpoint, self.output, self.folder):
            with contextlib.suppress(OSError):  # it is not there, or not empty
                os.rmdir(folder)  # noqa: PTH106

    def environment(self, number: int) -> dict[str, str]:
        """Return the variables that the trial's own environment adds to the run's."""
        return {
            "CLOUDTUNE_TRIAL": str(number),
            "CLOUDTUNE_SEED": str(number),
            "CLOUDTUNE_ATTEMPT": str(self.attempt),
            "CLOUDTUNE_PARAMETERS": self.parameters,
            "CLOUDTUNE_REPORTS": self.reports,
            "CLOUDTUNE_CHECKPOINT_DIR": self.checkpoint,
            "CLOUDTUNE_OUTPUT_DIR": self.output,
            "CLOUDTUNE_PROCESS_FILE": self.record,
        }


def copy_checkpoint(source: Path, target: Path) -> None:
    """Copy a folder of checkpoints, unless the target holds anything already; it is there whole or not at all.

    Raises:
        OSError: it cannot be copied.
    """
    if not source.is_dir() or (target.is_dir() and any(target.iterdir())):
        return
    fresh = target.with_name(f"{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source, fresh)
    with contextlib.suppress(FileNotFoundError):
        target.rmdir()
    fresh.rename(target)
