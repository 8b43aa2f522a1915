"""Runs and trials on disk: one SQLite file a project folder, which several processes may read while one writes.

What a driver is about to do is committed before it does it. Commits go to a write-ahead log without waiting for
the disk (``synchronous=NORMAL``): they survive the death of the process at any moment, and after a power cut the
store is whole, though the last commits may be missing (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

import fcntl
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from cloudtune.errors import DamagedRun, RunBusy, RunNotFound, StoreError, TrialError
from cloudtune.errors.masking import masked_text
from cloudtune.store import STORE
from cloudtune.store.commands import command, command_in
from cloudtune.store.database import ADDED, is_damage, is_writable, open_store, store_errors
from cloudtune.store.records import Report, RunRecord, Trial, TrialState
from cloudtune.store.rows import RUN_COLUMNS, TRIAL_COLUMNS, Damage, event_of, report_of, run_record, trial_of

T = TypeVar("T")


_LOCK_PAUSES = (0.0, *(0.001,) * 10)
"""Seconds before each try to get a run's lock: who only looks whether it is held holds it for some microseconds."""

_CHECKPOINT_PATIENCE = 2000
"""Milliseconds that a new run waits for those who read the store, before it is left to the log alone."""

_dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class Store:
    """All runs of a project folder.

    Where the folder may only be read, the runs can be read and nothing else.

    Args:
        project: the folder; its store lives in ``.cloudtune`` below it and is made when it is first needed.

    Raises:
        StoreError: the store cannot be opened, or a newer cloudtune wrote it.
    """

    def __init__(self, project: Path) -> None:
        self.project = project.resolve()
        self.folder = self.project / STORE
        self.path = self.folder / "store.db"

    @cached_property
    def database(self) -> sqlite3.Connection:
        """The connection; belongs to the thread that first asks for it."""
        with store_errors(self.path):
            return open_store(self.path)

    @cached_property
    def writable(self) -> bool:
        """Whether runs may be changed here."""
        return is_writable(self.path)

    @cached_property
    def columns(self) -> str:
        """The columns of runs; some have a stand-in in an older store that may only be read."""
        there = {row[1] for row in self.database.execute("PRAGMA table_info(runs)")}
        return ", ".join(name if name in there else ADDED[name] for name in RUN_COLUMNS)

    def create(self, record: RunRecord) -> "RunStore":
        """Add a run, which is in the store's own file when this returns: it survives the loss of the write-ahead log."""
        row = {column: getattr(record, column) for column in RUN_COLUMNS}
        row |= {"state": record.state.value, "native": _dumps(dict(record.native))}
        row["emulators"] = _dumps({name: dict(each) for name, each in record.emulators.items()})
        run = RunStore(self, record.id)
        with store_errors(self.path):
            database = self.database  # which makes the folder
            run.folder.mkdir(parents=True, exist_ok=True)
            marks = ", ".join(f":{name}" for name in row)
            database.execute(f"INSERT INTO runs ({', '.join(row)}) VALUES ({marks})", row)  # noqa: S608
        self.checkpoint()
        return run

    def checkpoint(self) -> None:
        """Bring what the write-ahead log holds into the store's own file, as far as others let it."""
        with store_errors(self.path):
            before = self.database.execute("PRAGMA busy_timeout").fetchone()[0]
            self.database.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_PATIENCE}")
            self.database.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
            self.database.execute(f"PRAGMA busy_timeout = {before}")

    def run(self, run_id: str) -> "RunStore":
        """The run of an id, of the unambiguous beginning of one, or of ``latest``.

        Raises:
            RunNotFound: none, or several, answer to it; the message names them.
        """
        if not self.path.exists():
            raise RunNotFound(
                f"there are no runs in {self.project}; `cloudtune ls --all-projects` lists those elsewhere"
            )
        if run_id == "latest":
            found = [record.id for record in self.records()[:1]]
        else:
            ids = self.ids()
            found = [run_id] if run_id in ids else sorted(each for each in ids if each.startswith(run_id))
        if len(found) != 1:
            said = (
                f"{len(found)} runs begin with {run_id!r}: {', '.join(found[:5])}"
                if found
                else f"there is no run {run_id!r} in {self.project}"
            )
            raise RunNotFound(f"{said}; `{command_in(self.project, 'ls')}` lists them")
        return RunStore(self, found[0])

    def records(self) -> list[RunRecord]:
        """All runs that can be read, the newest first; see `damaged` for the others."""
        if not self.path.exists():
            return []
        try:
            with store_errors(self.path):
                query = f"SELECT {self.columns} FROM runs ORDER BY created DESC, id"  # noqa: S608
                return [run_record(row) for row in self.database.execute(query)]
        except (StoreError, Damage):
            return self._one_by_one()[0]

    def damaged(self) -> list[DamagedRun]:
        """What is wrong with each run that cannot be read."""
        return self._one_by_one()[1] if self.path.exists() else []

    def _one_by_one(self) -> tuple[list[RunRecord], list[DamagedRun]]:
        records: list[RunRecord] = []
        damaged: list[DamagedRun] = []
        for run_id in sorted(self.ids()):
            try:
                records.append(RunStore(self, run_id).record())
            except DamagedRun as error:
                damaged.append(error)
            except RunNotFound:
                continue  # a folder that is left of a run
        return sorted(records, key=lambda record: -record.created), damaged

    def ids(self) -> set[str]:
        """The ids of all runs; of a damaged store those that can be read, and those that have a folder.

        Raises:
            StoreError: nothing of the store can be read.
        """
        found: set[str] = set()
        with store_errors(self.path):
            cursor = self.database.execute("SELECT id FROM runs")
            try:
                found.update(str(row[0]) for row in cursor)
            except sqlite3.DatabaseError:
                folders = self.folder / "runs"
                found.update(folder.name for folder in folders.iterdir() if folder.is_dir())
        return found

    def close(self) -> None:
        """Closes the connection, if there is one."""
        if "database" in self.__dict__:
            self.database.close()
            del self.database


class RunStore:
    """One run in its store."""

    def __init__(self, store: Store, run_id: str) -> None:
        self.store = store
        self.id = run_id
        self.folder = store.folder / "runs" / run_id

    @property
    def path(self) -> Path:
        """The store's file."""
        return self.store.path

    def command(self, verb: str) -> str:
        """Return the command that does something with this run; see `cloudtune.store.commands.command`."""
        return command(verb, self.id, self.store.project)

    # Reading

    def record(self) -> RunRecord:
        """What the store knows of the run as a whole."""
        with store_errors(self.path):
            query = f"SELECT {self.store.columns} FROM runs WHERE id = ?"  # noqa: S608
        rows = self._made(run_record, query, self.id)
        if not rows:
            raise RunNotFound(
                f"there is no run {self.id!r} in {self.store.project}; `{command_in(self.store.project, 'ls')}` lists them"
            )
        return rows[0]

    def trials(self, *states: TrialState) -> list[Trial]:
        """All trials by number, or those in one of the states."""
        query = f"SELECT {TRIAL_COLUMNS} FROM trials WHERE run = ?"  # noqa: S608
        if states:
            query += f" AND state IN ({', '.join('?' * len(states))})"
        return self._made(trial_of, query + " ORDER BY number", self.id, *states)

    def trial(self, number: int) -> Trial | None:
        """One trial, if it exists."""
        query = f"SELECT {TRIAL_COLUMNS} FROM trials WHERE run = ? AND number = ?"  # noqa: S608
        rows = self._made(trial_of, query, self.id, number) if abs(number) < 2**63 else []
        return rows[0] if rows else None

    def existing(self, number: int) -> Trial:
        """One trial.

        Raises:
            TrialError: there is no such trial.
        """
        found = self.trial(number)
        if found is None:
            raise TrialError(f"run {self.id} has no trial {number}; `{self.command('trials')}` lists them")
        return found

    def history(self) -> list[Trial]:
        """All trials in the order in which they were last changed: the ended ones as they ended."""
        query = f"SELECT {TRIAL_COLUMNS} FROM trials WHERE run = ? ORDER BY revision"  # noqa: S608
        return self._made(trial_of, query, self.id)

    def changes(self, since: int) -> tuple[int, list[Trial]]:
        """The trials that changed after a revision (0 for all), and the revision to ask with next time."""
        query = f"SELECT revision, {TRIAL_COLUMNS} FROM trials WHERE run = ? AND revision > ? ORDER BY revision"  # noqa: S608
        rows = self._made(lambda row: (row[0], trial_of(row[1:])), query, self.id, since)
        return (rows[-1][0] if rows else since), [trial for _, trial in rows]

    def counts(self) -> dict[str, int]:
        """How many trials there are in each state."""
        query = "SELECT state, count(*) FROM trials WHERE run = ? GROUP BY state"
        return {TrialState(state).value: count for state, count in self._made(tuple, query, self.id)}

    def reports(self, number: int | None = None) -> Iterator[Report]:
        """What the trials reported, or one of them, in the order in which it came."""
        query = "SELECT number, attempt, step, time, metrics FROM reports WHERE run = ?"
        which = [] if number is None else [number]
        query += " AND number = ?" if which else ""
        yield from self._made(report_of, query + " ORDER BY rowid", self.id, *which)

    def events(self) -> list[tuple[float, int | None, str]]:
        """What happened and is worth a line: time, trial (None for the run itself), message."""
        query = "SELECT time, number, message FROM events WHERE run = ? ORDER BY rowid"
        return self._made(event_of, query, self.id)

    def last_event(self) -> int:
        """Where the events end now; see `events_after`."""
        last: int = self._made(tuple, "SELECT coalesce(max(rowid), 0) FROM events")[0][0]
        return last

    def events_after(self, last: int) -> tuple[int, list[tuple[float, int | None, str]]]:
        """The events that came after others, and where they end now."""
        query = "SELECT rowid, time, number, message FROM events WHERE run = ? AND rowid > ? ORDER BY rowid"
        rows = self._made(lambda row: (row[0], event_of(row[1:])), query, self.id, last)
        return (rows[-1][0] if rows else last), [event for _, event in rows]

    def wish(self) -> str:
        """What somebody asked of the driver: ``""`` or ``"cancel"``."""
        wish: str = self._made(tuple, "SELECT wish FROM runs WHERE id = ?", self.id)[0][0]
        return wish

    def _made(self, make: Callable[[Any], T], query: str, *arguments: object) -> list[T]:
        """What becomes of the rows of a query.

        Raises:
            DamagedRun: what the store holds of this run is damaged.
            StoreError: the store cannot be read.
        """
        with store_errors(self.path):
            database = self.store.database
            try:
                return [make(row) for row in database.execute(query, arguments)]
            except ValueError as error:  # also `Damage`, and a state that there is not
                raise self.damaged(error) from error
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                raise self.damaged(error) from error

    def damaged(self, why: object) -> DamagedRun:
        """The error that tells that something of this run is damaged.

        Args:
            why: what is wrong.
        """
        mend = f"restore {self.path} from a backup, or remove the run: {self.command('rm')}"
        return DamagedRun(f"run {self.id} is damaged ({why}); its files are in {self.folder}; {mend}", run_id=self.id)

    # Writing

    def write(
        self,
        *,
        trials: Iterable[Trial] = (),
        reports: Iterable[Report] = (),
        events: Iterable[tuple[int | None, str]] = (),
        columns: Mapping[str, object] | None = None,
    ) -> None:
        """Writes changed trials, new reports and events, and columns of the run, in one transaction.

        The trials' revisions follow their order here.
        """
        database = self.store.database
        with store_errors(self.path):
            database.execute("BEGIN IMMEDIATE")
            try:
                self._write_trials(database, trials)
                database.executemany(
                    "INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        (self.id, each.number, each.attempt, each.step, each.time, _dumps(dict(each.metrics)))
                        for each in reports
                    ],
                )
                database.executemany(
                    "INSERT INTO events VALUES (?, ?, ?, ?)",
                    [(self.id, time.time(), number, _told(message)) for number, message in events],
                )
                if columns:
                    row = {name: _dumps(value) if isinstance(value, dict) else value for name, value in columns.items()}
                    row |= {"reason": _told(str(row["reason"]))} if "reason" in row else {}
                    assignments = ", ".join(f"{name} = :{name}" for name in row)
                    database.execute(f"UPDATE runs SET {assignments} WHERE id = :id", {**row, "id": self.id})  # noqa: S608
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:  # SQLite may have ended it by itself, on a full disk say
                    database.execute("ROLLBACK")
                raise

    def _write_trials(self, database: sqlite3.Connection, trials: Iterable[Trial]) -> None:
        rows = [
            (
                self.id, trial.number, trial.state, _dumps(trial.parameters), _dumps(trial.metrics), _told(trial.reason),
                trial.attempt, trial.started, trial.ended, trial.place,
            )
            for trial in trials
        ]  # fmt: skip
        if rows:
            revision = database.execute(
                "SELECT coalesce(max(revision), 0) FROM trials WHERE run = ?", [self.id]
            ).fetchone()[0]
            database.executemany(
                "INSERT OR REPLACE INTO trials (run, number, state, parameters, metrics, reason, attempt, started, ended, place, revision)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(*row, revision + offset) for offset, row in enumerate(rows, 1)],
            )

    def forget_reports(self, number: int, attempt: int) -> None:
        """Removes what one attempt of a trial reported: it is about to be read again from its beginning."""
        with store_errors(self.path):
            query = "DELETE FROM reports WHERE run = ? AND number = ? AND attempt = ?"
            self.store.database.execute(query, [self.id, number, attempt])

    def forget_trials(self) -> None:
        """Removes all trials and their reports: the run is about to begin anew."""
        with store_errors(self.path):
            for table in ("trials", "reports"):
                self.store.database.execute(f"DELETE FROM {table} WHERE run = ?", [self.id])  # noqa: S608

    def remove(self) -> None:
        """Removes the run, also a damaged one, with its folder."""
        with store_errors(self.path):
            database = self.store.database
            database.execute("BEGIN IMMEDIATE")
            try:
                for table, column in (("events", "run"), ("reports", "run"), ("trials", "run"), ("runs", "id")):
                    database.execute(f"DELETE FROM {table} WHERE {column} = ?", [self.id])  # noqa: S608
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
            shutil.rmtree(self.folder, ignore_errors=not self.folder.exists())

    # One driver at a time

    @contextmanager
    def driving(self) -> Iterator[None]:
        """Holds the run's lock: only one process drives it. The system frees the lock when the process dies.

        Raises:
            RunBusy: another process holds it.
        """
        with store_errors(self.folder):
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if not any(_locked(descriptor, fcntl.LOCK_EX, pause) for pause in _LOCK_PAUSES):
                raise RunBusy(f"another process is driving {self.id}; watch it with: {self.command('show')}")
            yield
        finally:
            os.close(descriptor)

    @property
    def driven(self) -> bool:
        """Whether a process is driving the run now; also where it may only be read."""
        try:
            descriptor = os.open(self.lock, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False  # nobody ever drove it, or its folder is gone or closed to this user
        try:
            return not _locked(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    @property
    def lock(self) -> Path:
        """The file that the run's driver holds locked."""
        return self.folder / "driver.lock"


def _locked(descriptor: int, kind: int, pause: float = 0.0) -> bool:
    """Whether a lock of an open file, exclusive or shared, could be had after a pause of some seconds."""
    if pause:
        time.sleep(pause)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _told(text: str) -> str:
    """A text for people, which may quote a service or a program: without the secrets of either."""
    return _storable(masked_text(text))


def _storable(text: str) -> str:
    """A text without lone surrogates, which names of files may bring along and UTF-8 does not have."""
    return text.encode("utf-8", "backslashreplace").decode()
