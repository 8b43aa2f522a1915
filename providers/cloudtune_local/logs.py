"""What a trial printed."""

import time
from collections.abc import Iterator
from pathlib import Path

from cloudtune.errors import TrialError
from cloudtune.states import Trial
from cloudtune.store import RunStore
from cloudtune_local.setting import TrialFiles
from cloudtune_local.tail import Lines

FOLLOWING_INTERVAL = 0.1
"""Seconds between two looks at a log that is followed."""


def lines_of(run: RunStore, number: int, *, follow: bool) -> Iterator[str]:
    """The lines of a trial's log, of all its attempts; with `follow` until the trial has ended.

    Raises:
        TrialError: there is no such trial, or it has not started.
    """
    trial = run.trial(number)
    if trial is None:
        raise TrialError(f"run {run.id} has no trial {number}; `cloudtune trials {run.id}` lists them")
    if not trial.attempt:
        raise TrialError(f"trial {number} has not started yet")
    if ":" in trial.place:
        return _slice(run.folder, trial.place)
    return _attempts(run, trial, follow=follow)


def _slice(folder: Path, place: str) -> Iterator[str]:
    """The part of a worker's log that one trial wrote: ``path:start-end``."""
    path, _, span = place.rpartition(":")
    start, end = (int(part) for part in span.split("-"))
    with (folder / path).open("rb") as file:
        file.seek(start)
        yield from file.read(end - start).decode(errors="replace").splitlines()


def _attempts(run: RunStore, trial: Trial, *, follow: bool) -> Iterator[str]:
    attempt = 1
    while True:
        if trial.attempt > 1:
            yield f"--- attempt {attempt} ---"
        lines = Lines(TrialFiles(str(run.folder / trial.place), attempt).log)
        while True:
            now = run.trial(trial.number) or trial
            over = now.state.ended or now.attempt > attempt or not follow
            yield from (line.decode(errors="replace") for line in lines.new(last=over))
            if over:
                break
            time.sleep(FOLLOWING_INTERVAL)
        lines.close()
        trial = now
        if attempt >= trial.attempt:
            return
        attempt += 1
