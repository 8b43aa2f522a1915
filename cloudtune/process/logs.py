"""Read what a trial printed."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

from cloudtune.errors import TrialError
from cloudtune.process.log_file import CHUNK, LogReader
from cloudtune.process.setting import LOG_SIZE, TrialFiles
from cloudtune.spec.units import parse_size
from cloudtune.store.records import Trial
from cloudtune.store.store import RunStore

FOLLOWING_INTERVAL = 0.1
"""Seconds between two reads of a log that is followed."""

_LONGEST_LINE = 1 << 20  # bytes; a longer one comes in pieces

_SAMPLE = 1 << 16  # bytes at each end of a log from which printed metrics are suggested


def lines_of(run: RunStore, number: int, *, follow: bool) -> Iterator[str]:
    """Yield the lines of a trial's log, of all its attempts; with `follow` until the trial has ended.

    Raises:
        TrialError: there is no such trial, or it has not started.
    """
    trial = run.trial(number)
    if trial is None:
        raise TrialError(f"run {run.id} has no trial {number}; `{run.command('trials')}` lists them")
    if not trial.attempt:
        raise TrialError(f"trial {number} has not started yet")
    if ":" in trial.place:
        return lines_of_slice(run.folder, trial.place)
    return _attempts(run, trial, follow=follow)


def sample(path: str) -> list[str]:
    """Return the first and the last lines of a log; none where there is no log."""
    try:
        with Path(path).open("rb") as file:
            first = file.read(_SAMPLE)
            size = file.seek(0, 2)
            file.seek(max(len(first), size - _SAMPLE))
            return (first + file.read(_SAMPLE)).decode(errors="replace").split("\n")
    except OSError:
        return []


class _Text:
    """Splits bytes that come in pieces into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """Yield the complete lines, and parts of a line that is too long to be buffered."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        return (line.decode(errors="replace") for line in lines)

    def rest(self) -> Iterator[str]:
        """Yield the last line if it has no end."""
        if self._rest:
            yield self._rest.decode(errors="replace")
            self._rest = b""


def lines_of_slice(folder: Path, place: str) -> Iterator[str]:
    """Yield the lines of the part of a worker's log that one trial wrote: ``path:start-end``."""
    path, _, span = place.rpartition(":")
    start, end = (int(part) for part in span.split("-"))
    text = _Text()
    with (folder / path).open("rb") as file:
        file.seek(start)
        while data := file.read(min(CHUNK, end - file.tell())):
            yield from text.feed(data)
    yield from text.rest()


def _attempts(run: RunStore, trial: Trial, *, follow: bool) -> Iterator[str]:
    attempt, size = 1, _log_size(run)
    while True:
        if trial.attempt > 1:
            yield f"--- attempt {attempt} ---"
        log = LogReader(TrialFiles(str(run.folder / trial.place), attempt).log, size)
        text = _Text()
        while True:
            now = run.trial(trial.number) or trial
            over = now.state.ended or now.attempt > attempt or not follow
            yield from _new(log, text)
            if over:
                break
            time.sleep(FOLLOWING_INTERVAL)
        yield from text.rest()
        log.close()
        trial = now
        if attempt >= trial.attempt:
            return
        attempt += 1


def _new(log: LogReader, text: _Text) -> Iterator[str]:
    """Yield the lines that a log has got since the last read, all of them."""
    while True:
        known = log.offset
        piece = log.read()
        if piece.start > known:
            yield from text.rest()
            yield f"[cloudtune: {piece.start - known} bytes of the output are left out here: a log keeps no more]"
        yield from text.feed(piece.data)
        if not piece.data:
            return


def _log_size(run: RunStore) -> int:
    """Return the bytes that a log of the run keeps, by its plan."""
    request = json.loads(run.record().plan)["request"]
    settings = request.get("settings") or {}
    return parse_size(settings.get("log_size", LOG_SIZE))
