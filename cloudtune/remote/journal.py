"""Print what a driver job writes into its store as lines of its log, and write those lines into the local store.

A log is the one channel that every service has: it is live, ordered, and kept. Entries are numbered from 1 in each life
of the driver job, whose start (nanoseconds since 1970) orders the lives. Where a job's outputs are on a volume, the entries
are kept in a file there as well (`JournalFile`): another start of the job goes on from it, in the same life.
"""

import base64
import contextlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from cloudtune.driver.outputs import place_below
from cloudtune.errors import UNREADABLE
from cloudtune.store.enqueued import enqueue, enqueued
from cloudtune.store.records import Report, Trial, TrialState
from cloudtune.store.rows import charges_of, charges_text
from cloudtune.store.store import RunStore, Store
from cloudtune.system.locks import lock

JOURNAL = "journal.txt"
"""The file among a driver job's outputs that has all its entries, where such a file lasts."""

PREFIX = "CLOUDTUNE-JOURNAL "
"""The beginning of each line that is an entry."""

_POSITION = "journal"
"""Key of the run's notes: the life and the number of the last entry that is in the local store."""

_MOST = 100
"""Trials or reports of one entry: CloudWatch and Cloud Logging take lines of 256 kB."""

T = TypeVar("T")


class Journal(RunStore):
    """A run's store that prints an entry for each write.

    Args:
        store: the store of the run.
        run_id: the run.
        say: called with each line, after its content has been written to the store.
        after: the life and the number of the last entry of an earlier start, which goes on; (0, 0) for a new life.
    """

    def __init__(self, store: Store, run_id: str, say: Callable[[str], None], after: tuple[int, int] = (0, 0)) -> None:
        super().__init__(store, run_id)
        self._say = say
        self._life = after[0] or time.time_ns()
        self._number = after[1]

    def write(
        self,
        *,
        trials: Iterable[Trial] = (),
        reports: Iterable[Report] = (),
        events: Iterable[tuple[int | None, str]] = (),
        columns: Mapping[str, object] | None = None,
        taken: Iterable[int] = (),
    ) -> None:
        changed, new, happened, ids = list(trials), list(reports), list(events), list(taken)
        super().write(trials=changed, reports=new, events=happened, columns=columns, taken=ids)
        for reported in _batches(new):
            self._enter(reports=[asdict(report) for report in reported])
        for some in _batches(changed):
            among = {"taken": len(ids)} if some[-1] is changed[-1] and ids else {}
            self._enter(trials=[{**asdict(trial), "charges": charges_text(trial.charges)} for trial in some], **among)
        changed_columns = {name: value for name, value in (columns or {}).items() if name != "native"}
        if happened or changed_columns:
            self._enter(events=happened, columns=changed_columns)

    def forget_reports(self, number: int, attempt: int) -> None:
        super().forget_reports(number, attempt)
        self._enter(forget=[number, attempt])

    def send_file(self, name: str, start: int, data: bytes, mode: int) -> None:
        """Enter a part of a file of the run's folder; see `cloudtune.remote.files`."""
        self._enter(file={"name": name, "start": start, "data": base64.b64encode(data).decode(), "mode": mode})

    def _enter(self, **entry: Any) -> None:  # JSON data
        self._number += 1
        text = json.dumps({"life": self._life, "number": self._number, **entry}, separators=(",", ":"))
        self._say(PREFIX + text)


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _MOST] for start in range(0, len(items), _MOST))


class TakenOver(Exception):  # the end of one driver, and no error
    """Another start of the driver job writes the journal."""


class JournalFile:
    """A file with all entries of a driver job, of which each is on the disk before what follows it happens.

    One start of the job has it at a time: another waits for its end, as on a machine that is cut off (on NFS, for as long as
    the server keeps the locks of a client that is gone). Where the file system has no locks, or keeps them to one machine, the
    later start marks the file, and the earlier one finds by the file's length, before it does what it has written down, that it
    is not alone. Of two entries with one number, which a race of both may leave, that counts which stands first.

    Args:
        path: of the file; made if it is not there.

    Attributes:
        earlier: its entries.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+", encoding="utf-8", newline="\n")
        with contextlib.suppress(OSError):  # a file system without locks
            lock(self._file.fileno())
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind("\n") + 1]
        if whole != content:  # a start that was killed may have left half a line
            self._file.truncate(len(whole.encode()))
        self.earlier = [line for line in whole.splitlines() if line.startswith(PREFIX)]
        self._size = len(whole.encode())
        self.append(f"# driven by process {os.getpid()} of {platform.node()}")

    def append(self, line: str) -> None:
        """Write a line; return when it is on the disk.

        Raises:
            TakenOver: another start writes the file; what the line says must not happen.
        """
        self._check()
        self._file.write(f"{line}\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._size += len(line.encode()) + 1
        self._check()

    def _check(self) -> None:
        if os.fstat(self._file.fileno()).st_size != self._size:
            raise TakenOver

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Reader:
    """Writes entries into the local store, each once, however often its line is read.

    Args:
        run: whose lock the caller holds.
        whole: whether all entries can be had elsewhere: what follows a missing one is not taken before that is there.

    Attributes:
        gap: whether an entry was missing, so that the local store is incomplete.
        last: the life and the number of the last entry that was taken.
    """

    def __init__(self, run: RunStore, *, whole: bool = False) -> None:
        self._run, self._whole = run, whole
        life, _, number = run.record().native.get(_POSITION, "0/0").partition("/")
        self.last = int(life), int(number)
        self.gap = False

    def read(self, line: str) -> None:
        """Write a line of the driver's log into the store if it is a new entry; ignore other lines."""
        start = line.find(PREFIX)
        if start < 0:
            return
        try:
            entry: dict[str, Any] = json.loads(line[start + len(PREFIX) :])
            position = entry["life"], entry["number"]
        except UNREADABLE:
            self.gap = True  # the service has truncated it
            return
        if position <= self.last:
            return
        expected = self.last[1] + 1 if entry["life"] == self.last[0] else 1
        self.gap = self.gap or entry["number"] != expected
        if self.gap and self._whole:
            return
        self._take(entry, position)
        self.last = position

    def _take(self, entry: Mapping[str, Any], position: tuple[int, int]) -> None:
        if "forget" in entry:
            self._run.forget_reports(*entry["forget"])
        if "file" in entry:
            _receive(self._run.folder, entry["file"])
        native = {**self._run.record().native, _POSITION: "/".join(map(str, position))}
        self._run.write(
            trials=[_trial(data) for data in entry.get("trials", [])],
            reports=[Report(**data) for data in entry.get("reports", [])],
            events=[(number, message) for number, message in entry.get("events", [])],
            columns={**entry.get("columns", {}), "native": native},
            taken=[each.id for each in enqueued(self._run)[: entry.get("taken", 0)]],
        )


def _receive(folder: Path, entry: dict[str, Any]) -> None:
    """Write a part of a file into a run's folder; it ends there so far.

    Args:
        folder: of the run.
        entry: as `Journal.send_file` made it.

    Raises:
        TrialError: its name leads out of the folder.
    """
    path = place_below(folder, entry["name"])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(entry["start"])
        file.seek(entry["start"])
        file.write(base64.b64decode(entry["data"]))
    with contextlib.suppress(PermissionError):
        path.chmod(entry["mode"] | 0o600)


def _trial(data: Mapping[str, Any]) -> Trial:
    charges = charges_of(f"trial {data['number']}: charges", data.get("charges", "[]"))
    return Trial(**{**data, "state": TrialState(data["state"]), "charges": charges})


def copy(source: RunStore, target: RunStore) -> None:
    """Write all trials and reports of a run in one store into the same run in another, replacing the reports there.

    What is enqueued for the run goes along; what the source has taken up, the target has no longer.
    """
    reports = list(source.reports())
    for trial in target.trials():
        for attempt in range(1, trial.attempt + 1):
            target.forget_reports(trial.number, attempt)
    left, known = enqueued(source), enqueued(target)
    gone = known[: max(len(known) - len(left), 0)]
    target.write(trials=source.history(), reports=reports, taken=[each.id for each in gone])
    if not known:
        enqueue(target, [each.parameters for each in left])
