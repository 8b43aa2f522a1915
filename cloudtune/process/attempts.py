"""Start, read and end an attempt at a trial by its files alone.

For drivers that did not start the attempt themselves, on this machine or another: what `news_of` returns there, a
`Mirror` writes here. Imports the standard library alone.
"""

import contextlib
import json
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.process.groups import process_exists, signal_group, start_ticks
from cloudtune.process.keeper import append
from cloudtune.process.keeper_client import KeeperClient
from cloudtune.process.log_file import CHUNK, LogReader
from cloudtune.process.setting import TrialFiles

if TYPE_CHECKING:
    from cloudtune.process.leases import Lease

_BEGIN_TIMEOUT = 10.0
"""Seconds to wait for a keeper's record of what it started."""

LOST: Mapping[str, Any] = {"status": None, "why": "lost", "message": "it and its keeper are gone", "peak": 0}
"""The outcome of an attempt whose keeper died before it could record one."""


def begin(
    files: TrialFiles,
    number: int,
    argv: Sequence[str],
    *,
    parameters: Mapping[str, Any],
    environment: Mapping[str, str],
    folder: Path,
    seconds: float | None = None,
    grace: float = 10.0,
    lease: "Lease | None" = None,
) -> None:
    """Start an attempt with a keeper of its own, so that it outlives this process; do nothing if it was started before.

    Args:
        files: of the attempt.
        number: of the trial.
        argv: what it executes.
        parameters: of the trial.
        environment: of the trial, and of its keeper.
        folder: where it starts.
        seconds: that it may take; None for no limit.
        grace: seconds between the request to end and the end, at that limit.
        lease: what it has of this machine for itself; None for whatever there is.

    Raises:
        OSError: its files cannot be written, or no keeper can be started.
    """
    files.make_folders()
    try:
        _mark(files).touch(exist_ok=False)
    except FileExistsError:
        return
    Path(files.parameters).write_text(json.dumps({"parameters": dict(parameters)}), "utf-8")
    keeper = KeeperClient(environment, Path(files.folder) / "keeper.log", bare=True)
    with keeper.socket:  # without it, the keeper stays for as long as the attempt
        request = {"do": "spawn", "key": files.record, "argv": list(argv), "cwd": str(folder), "record": files.record}
        limits = {"limit": seconds, "grace": grace, "log": files.log, "log_size": files.log_size}
        keeper.start({**request, **limits, "env": files.environment(number)}, lease)
        until = time.monotonic() + _BEGIN_TIMEOUT
        while not kept(files) and ending_of(files) is None and time.monotonic() < until:
            time.sleep(0.001)


def refuse(files: TrialFiles, why: str) -> None:
    """Record that an attempt cannot be started on this machine."""
    files.make_folders()
    _mark(files).touch()
    outcome = {"status": None, "why": "start", "message": why, "peak": 0}
    append(files.record, f"\n\n{json.dumps(outcome)}\n")


def begun(files: TrialFiles) -> bool:
    """Return whether an attempt was begun, so that it is not begun again."""
    return _mark(files).exists()


def _mark(files: TrialFiles) -> Path:
    return Path(f"{files.record}.begun")


def news_of(files: TrialFiles, log: int, reports: int) -> dict[str, Any]:
    """Return what an attempt has written since the last call, for `Mirror.take`.

    Args:
        files: of the attempt.
        log: bytes of its log that earlier calls have returned.
        reports: bytes of its reports that earlier calls have returned.

    Returns:
        ``log`` and ``lines``: the new bytes of its log and of its reports, at most `CHUNK` each. ``left_out_until``:
        the offset in the log at which ``log`` begins, where bytes before it were trimmed. With the last of it,
        ``ended``: the outcome as the keeper answers it (or `LOST`), and ``files``: [].
    """
    alive, ending = watched(files), ending_of(files)  # before reading: what it wrote is there when it has ended
    news, is_all = unread(files, log, reports)
    if (alive and ending is None) or not is_all:
        return news
    signal_attempt(files, signal.SIGKILL)  # what its keeper left
    return {**news, "ended": dict(ending or LOST), "files": []}


def unread(files: TrialFiles, log: int, reports: int) -> tuple[dict[str, Any], bool]:
    """Return the news of `news_of` without the end, and whether there is no more to read."""
    reader = LogReader(files.log, files.log_size)
    reader.offset = log
    piece = reader.read()
    reader.close()
    news: dict[str, Any] = {"log": piece.data, "lines": _read(files.reports, reports)}
    if piece.start > log:
        news["left_out_until"] = piece.start
    return news, piece.end == piece.stop and len(news["lines"]) < CHUNK


def _read(path: str, offset: int) -> bytes:
    try:
        with Path(path).open("rb") as file:
            file.seek(offset)
            return file.read(CHUNK)
    except FileNotFoundError:
        return b""


def kept(files: TrialFiles) -> bool:
    """Return whether an attempt's process and its keeper live, so that its limits are enforced and its end recorded."""
    pids = _recorded(files)
    return len(pids) == 2 and all(pids)


def watched(files: TrialFiles) -> bool:
    """Return whether an attempt's keeper lives, so that the attempt's end is recorded or will be."""
    return any(_recorded(files)[1:])


def signal_attempt(files: TrialFiles, number: int) -> None:
    """Send a signal to the process group of an attempt, if its leader is alive."""
    for leader in _recorded(files)[:1]:
        if leader:
            signal_group(leader, number)


def stop_adopted(files: TrialFiles, number: int) -> None:
    """Send a signal to an attempt that an earlier driver's keeper runs; record first that the driver stops it."""
    with contextlib.suppress(OSError):  # the disk is full; the attempt is stopped anyway
        append(files.record, json.dumps({"stopping": True}) + "\n")
    signal_attempt(files, number)


def ending_of(files: TrialFiles) -> dict[str, Any] | None:
    """Return how an attempt ended, from the keeper's record; None if it has not, or if its keeper died before."""
    try:
        lines = [json.loads(line) for line in Path(files.record).read_text().split("\n")[2:] if line]
    except (FileNotFoundError, ValueError):
        return None
    ending: dict[str, Any] | None = next((line for line in lines if "status" in line), None)
    if ending is not None and {"stopping": True} in lines:
        ending["why"] = ending["why"] or "stopped"
    return ending


def _recorded(files: TrialFiles) -> list[int]:
    """Return the pids of an attempt's process and of its keeper, from the keeper's record; 0 for one that has ended."""
    try:
        words = Path(files.record).read_text().split("\n")[:2]
    except OSError:
        return []
    pids = []
    for line in words:
        pid, _, born = line.partition(" ")
        alive = pid.isdecimal() and process_exists(int(pid)) and start_ticks(int(pid)) == born
        pids.append(int(pid) if alive else 0)
    return pids


def kept_pid(files: TrialFiles) -> int | None:
    """Return the pid of an attempt that is `kept`; None for another."""
    return _recorded(files)[0] if kept(files) else None
