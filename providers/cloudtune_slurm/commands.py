"""Slurm's own commands, as they are called on the login node. Imports the standard library alone."""

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Sequence
from typing import IO

from cloudtune_slurm.states import FORMAT, RETRIES, Row, rows

TIMEOUT = 120.0
"""Seconds that a command may take: it waits for a controller that starts, MessageTimeout at a time."""

_FOR_NOW = re.compile(
    r"contact slurm controller|connection refused|timed out|temporarily|try again|slurm backup controller|MaxSubmit|"
    r"job submit limit|zero bytes were transmitted|communication|munge|authentication|socket|slurm_msg|slurm_receive|unexpected message",
    re.IGNORECASE,
)
"""What sbatch says where the same call may succeed later; other commands ask, or cancel, and may be repeated whatever they say."""

_WHO = re.compile(r"^\s*\S+ error: ")
"""What Slurm puts before the message of an error: the command or the function."""


_LOOKS = 0.5
"""Seconds between two looks at whether a command that has not ended sleeps."""


class SlurmError(Exception):
    """A command of Slurm failed.

    Attributes:
        passing: whether the same command may succeed later.
        missing: whether there is no such command.
        code: its exit code; 0 where it has none.
    """

    def __init__(self, message: str, *, passing: bool, missing: bool = False, code: int = 0) -> None:
        super().__init__(message)
        self.passing, self.missing, self.code = passing, missing, code


def call(words: Sequence[str], given: str = "", got: IO[bytes] | None = None) -> str:
    """Return what a command prints, or write it to a file.

    Raises:
        SlurmError: it failed, or did not end in time, or would try again for minutes.
    """
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=got or subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment()
        )  # fmt: skip
    except FileNotFoundError:
        message = f"there is no program {words[0]} here: this is no login node of a Slurm cluster"
        raise SlurmError(message, passing=False, missing=True) from None
    with process:
        printed, complained = _heard(process, words[0], given)
    said = [_WHO.sub("", line).strip() for line in complained.splitlines() if line.strip()]
    if process.returncode:
        raise SlurmError(
            ": ".join(said) or f"{words[0]} ended with code {process.returncode}",
            passing=bool(_FOR_NOW.search(complained)),
            code=process.returncode,
        )
    return printed or ""


def _heard(process: "subprocess.Popen[str]", name: str, given: str) -> tuple[str, str]:
    """Return what a command prints and complains of; end one that does not end in time, or sleeps until there is room."""
    until, left = time.monotonic() + TIMEOUT, given or None
    while True:
        try:
            return process.communicate(left, timeout=_LOOKS)
        except subprocess.TimeoutExpired as waits:
            left = None
            complained: bytes | str = waits.stderr or b""
            said = complained if isinstance(complained, str) else complained.decode(errors="replace")
        except BaseException:
            process.kill()
            raise
        if RETRIES in said or time.monotonic() > until:
            process.kill()
            process.communicate()
            why = _WHO.sub("", said).strip() if RETRIES in said else f"{name} did not answer within {TIMEOUT:.0f} s"
            raise SlurmError(why, passing=True)


def _environment() -> dict[str, str]:
    """Return this process's variables without those of a job that it runs in: sbatch would take them for options."""
    own = ("SLURM_CONF", "SLURM_CLUSTERS")
    return {name: value for name, value in os.environ.items() if name in own or not name.startswith("SLURM_")}


def submit(options: Sequence[str], script: str) -> str:
    """Submit a script and return the id of its job; see `call` for errors."""
    return call(["sbatch", "--parsable", *options], script).strip().splitlines()[-1].partition(";")[0]


def active(name: str) -> list[Row]:
    """Return the tasks of the jobs of a name that have not ended; see `call` for errors."""
    return rows(call(["squeue", "--noheader", "--array", f"--name={name}", f"--format={FORMAT}"]))


def ended(jobs: Sequence[str]) -> list[Row]:
    """Return the tasks of jobs, ended or not, as far as the controller or the accounting knows them.

    An accounting that does not answer knows nothing: the trials, which are ours, do not wait for it.

    Raises:
        SlurmError: the controller does not answer.
    """
    if not jobs:
        return []
    try:
        known = rows(
            call(["squeue", "--noheader", "--array", "--states=all", f"--jobs={','.join(jobs)}", f"--format={FORMAT}"])
        )
    except SlurmError as error:
        if error.passing:
            raise
        known = []  # all of them are purged
    rest = sorted(set(jobs) - {row.job for row in known})  # the controller forgets them after MinJobAge
    if rest:
        with contextlib.suppress(SlurmError):
            known += rows(
                call(
                    [
                        "sacct",
                        "--noheader",
                        "--parsable2",
                        "--allocations",
                        f"--jobs={','.join(rest)}",
                        "--format=JobID,State",
                    ]
                )
            )
    return known


def cancel(tasks: Sequence[str]) -> None:
    """Cancel tasks, or all jobs of ``--name=…``; those that have ended do not matter; see `call` for errors."""
    try:
        call(["scancel", "--quiet", *_as_arrays(tasks)])
    except SlurmError as error:
        if error.passing or error.missing:
            raise


def _as_arrays(tasks: Sequence[str]) -> list[str]:
    """Return the names of tasks with those of an array in one word, ``123_[4-6,9]``: one call to the controller, not many."""
    found: dict[str, list[int]] = {}
    for job, _, index in (task.partition("_") for task in tasks if task[0].isdecimal()):
        found.setdefault(job, []).append(int(index))
    others = [task for task in tasks if not task[0].isdecimal()]
    return [*others, *(f"{job}_[{_ranges(indices)}]" for job, indices in found.items())]


def _ranges(numbers: Sequence[int]) -> str:
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in spans)
