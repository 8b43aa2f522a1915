"""Runs and trials on disk: one SQLite file a project folder, which several processes may read while one writes.

A driver commits what it is about to do before it does it. Commits go to a write-ahead log without waiting for the disk
(``synchronous=NORMAL``): they survive the death of the process at any moment, and after a power cut the store is
consistent, though the last commits may be missing (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from cloudtune.errors import ConfigError, DamagedRun, RunBusy, RunNotFound, StoreError, TrialError
from cloudtune.errors.masking import masked_text
from cloudtune.store import STORE
from cloudtune.store.commands import command, command_in
from cloudtune.store.database import Opened, columns, is_damage, is_writable, store_errors
from cloudtune.store.records import Report, RunRecord, Trial, TrialState
from cloudtune.store.rows import (
    REPORT_COLUMNS,
    RUN_COLUMNS,
    TRIAL_COLUMNS,
    Damage,
    charges_text,
    dumps,
    event_of,
    is_folder,
    report_of,
    report_row,
    run_record,
    trial_of,
)
from cloudtune.system.locks import lock_soon, open_lock, try_lock

T = TypeVar("T")


_CHECKPOINT_TIMEOUT = 2000
"""Milliseconds that `create` waits for readers of the store, before it leaves a new run in the log alone."""

_INSERT_TRIALS = (
    f"INSERT OR REPLACE INTO trials (run, {', '.join(TRIAL_COLUMNS)}, revision)"  # noqa: S608
    f" VALUES ({', '.join('?' * (len(TRIAL_COLUMNS) + 2))})"
)


class Store:
    """All runs of a project folder.

    Where the folder is not writable, runs can only be read.

    Args:
        project: the folder; its store is in ``.cloudtune`` below it and is created on first use.

    Raises:
        StoreError: the store cannot be opened, or a newer cloudtune wrote it.
    """

    def __init__(self, project: Path) -> None:
        self._opened = threading.local()
        self.project = project.resolve()
        self.folder = self.project / STORE
        self.path = self.folder / "store.db"

    @property
    def database(self) -> sqlite3.Connection:
        """The connection of the calling thread."""
        if (found := getattr(self._opened, "own", None)) is None:
            found = self._opened.own = Opened(self.path)
        return found.database

    @cached_property
    def writable(self) -> bool:
        """Whether runs may be changed here."""
        return is_writable(self.path)

    @cached_property
    def columns(self) -> str:
        """The columns of runs, with replacements for those that an older, read-only store lacks."""
        return self._columns("runs", RUN_COLUMNS)

    @cached_property
    def trial_columns(self) -> str:
        """The columns of trials, as `columns` are those of runs."""
        return self._columns("trials", TRIAL_COLUMNS)

    @cached_property
    def report_columns(self) -> str:
        """The columns of reports, as `columns` are those of runs."""
        return self._columns("reports", REPORT_COLUMNS)

    def _columns(self, table: str, names: Iterable[str]) -> str:
        with store_errors(self.path):
            return columns(self.database, table, names)

    def create(self, record: RunRecord) -> "RunStore":
        """Add a run, and write it to the store's own file: it then survives the loss of the write-ahead log.

        Raises ConfigError for an id that is no name of a folder, or that commands read as something else."""
        if not is_folder(record.id) or record.id == "latest" or record.id.startswith("-"):
            raise ConfigError(f"{record.id!r} cannot be the id of a run; use letters, digits, - and _")
        row = {column: getattr(record, column) for column in RUN_COLUMNS}
        row |= {"state": record.state.value, "native": dumps(dict(record.native))}
        row["emulators"] = dumps({name: dict(each) for name, each in record.emulators.items()})
        run = RunStore(self, record.id)
        with store_errors(self.path):
            database = self.database  # creates the store's folder
            run.folder.mkdir(parents=True, exist_ok=True)
            marks = ", ".join(f":{name}" for name in row)
            database.execute(f"INSERT INTO runs ({', '.join(row)}) VALUES ({marks})", row)  # noqa: S608
        self.checkpoint()
        return run

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the store's own file, as far as readers allow."""
        with store_errors(self.path):
            before = self.database.execute("PRAGMA busy_timeout").fetchone()[0]
            self.database.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_TIMEOUT}")
            self.database.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
            self.database.execute(f"PRAGMA busy_timeout = {before}")

    def run(self, run_id: str) -> "RunStore":
        """Return the run of an id, of the unambiguous beginning of one, or of ``latest``.

        Raises:
            RunNotFound: no run, or several runs, match the id; the message names them. "" (an unset "$RUN") is none.
        """
        if not self.path.exists():
            raise RunNotFound(
                f"there are no runs in {self.project}; `cloudtune ls --all-projects` lists those elsewhere"
            )
        if run_id == "latest":
            found = [record.id for record in self.records()[:1]]
        else:
            ids = self.ids()
            found = [run_id] if run_id in ids else sorted(each for each in ids if run_id and each.startswith(run_id))
        if len(found) != 1:
            said = (
                f"{len(found)} runs begin with {run_id!r}: {', '.join(found[:5])}"
                if found
                else f"there is no run {run_id!r} in {self.project}"
            )
            raise RunNotFound(f"{said}; `{command_in(self.project, 'ls')}` lists them")
        return RunStore(self, found[0])

    def records(self) -> list[RunRecord]:
        """Return all readable runs, the newest first; see `damaged` for the others."""
        if not self.path.exists():
            return []
        try:
            with store_errors(self.path):
                query = f"SELECT {self.columns} FROM runs ORDER BY created DESC, id"  # noqa: S608
                return [run_record(row) for row in self.database.execute(query)]
        except (StoreError, Damage):
            return self._records_and_damage()[0]

    def damaged(self) -> list[DamagedRun]:
        """Return an error for each run that cannot be read."""
        return self._records_and_damage()[1] if self.path.exists() else []

    def _records_and_damage(self) -> tuple[list[RunRecord], list[DamagedRun]]:
        records: list[RunRecord] = []
        damaged: list[DamagedRun] = []
        for run_id in sorted(self.ids()):
            try:
                records.append(RunStore(self, run_id).record())
            except DamagedRun as error:
                damaged.append(error)
            except RunNotFound:
                continue  # the folder of a removed run
        return sorted(records, key=lambda record: -record.created), damaged

    def ids(self) -> set[str]:
        """Return the ids of all runs; of a damaged store those that can be read, and those that have a folder.

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
        """Close the connection of the calling thread, if it is open; that of another one ends with its thread."""
        self._opened.__dict__.clear()

    def __reduce__(self) -> tuple[type["Store"], tuple[Path]]:
        """Make a copy, also in another process, open the store anew."""
        return Store, (self.project,)


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
        """Return the run's record.

        Raises:
            RunNotFound: the store has no such run.
        """
        with store_errors(self.path):
            query = f"SELECT {self.store.columns} FROM runs WHERE id = ?"  # noqa: S608
        rows = self.rows(run_record, query, self.id)
        if not rows:
            raise RunNotFound(
                f"there is no run {self.id!r} in {self.store.project}; `{command_in(self.store.project, 'ls')}` lists them"
            )
        return rows[0]

    def trials(self, *states: TrialState) -> list[Trial]:
        """Return all trials by number, or those in one of the states."""
        query = f"SELECT {self.store.trial_columns} FROM trials WHERE run = ?"  # noqa: S608
        if states:
            query += f" AND state IN ({', '.join('?' * len(states))})"
        return self.rows(trial_of, query + " ORDER BY number", self.id, *states)

    def launched(self) -> list[Trial]:
        """Return the trials by number of which an attempt runs, or waits for room at its place."""
        return [trial for trial in self.trials(TrialState.RUNNING, TrialState.WAITING) if trial.launched]

    def trial(self, number: int) -> Trial | None:
        """Return a trial; None if it does not exist."""
        query = f"SELECT {self.store.trial_columns} FROM trials WHERE run = ? AND number = ?"  # noqa: S608
        rows = self.rows(trial_of, query, self.id, number) if abs(number) < 2**63 else []
        return rows[0] if rows else None

    def existing(self, number: int) -> Trial:
        """Return a trial.

        Raises:
            TrialError: there is no such trial.
        """
        found = self.trial(number)
        if found is None:
            raise TrialError(f"run {self.id} has no trial {number}; `{self.command('trials')}` lists them")
        return found

    def history(self) -> list[Trial]:
        """Return all trials in the order of their last change: ended ones in the order in which they ended."""
        query = f"SELECT {self.store.trial_columns} FROM trials WHERE run = ? ORDER BY revision"  # noqa: S608
        return self.rows(trial_of, query, self.id)

    def changes(self, since: int) -> tuple[int, list[Trial]]:
        """Return the trials that changed after a revision (0 for all), and the revision to pass next time."""
        query = (
            f"SELECT revision, {self.store.trial_columns} FROM trials WHERE run = ? AND revision > ? ORDER BY revision"  # noqa: S608
        )
        rows = self.rows(lambda row: (row[0], trial_of(row[1:])), query, self.id, since)
        return (rows[-1][0] if rows else since), [trial for _, trial in rows]

    def counts(self) -> dict[str, int]:
        """Return the number of trials in each state."""
        query = "SELECT state, count(*) FROM trials WHERE run = ? GROUP BY state"
        return {TrialState(state).value: count for state, count in self.rows(tuple, query, self.id)}

    def reports(self, number: int | None = None) -> Iterator[Report]:
        """Yield the reports of all trials, or of one, in the order in which they came."""
        query = f"SELECT {self.store.report_columns} FROM reports WHERE run = ?"  # noqa: S608
        which = [] if number is None else [number]
        query += " AND number = ?" if which else ""
        yield from self.rows(report_of, query + " ORDER BY rowid", self.id, *which)

    def events(self) -> list[tuple[float, int | None, str]]:
        """Return the run's events in order: time, trial (None for the run itself), message."""
        query = "SELECT time, number, message FROM events WHERE run = ? ORDER BY rowid"
        return self.rows(event_of, query, self.id)

    def last_event(self) -> int:
        """Return the position of the last event, for `events_after`."""
        last: int = self.rows(tuple, "SELECT coalesce(max(rowid), 0) FROM events")[0][0]
        return last

    def events_after(self, last: int) -> tuple[int, list[tuple[float, int | None, str]]]:
        """Return the events after a position, and the new position."""
        query = "SELECT rowid, time, number, message FROM events WHERE run = ? AND rowid > ? ORDER BY rowid"
        rows = self.rows(lambda row: (row[0], event_of(row[1:])), query, self.id, last)
        return (rows[-1][0] if rows else last), [event for _, event in rows]

    def wish(self) -> str:
        """Return what a user has asked of the driver: ``""`` or ``"cancel"``."""
        wish: str = self.rows(tuple, "SELECT wish FROM runs WHERE id = ?", self.id)[0][0]
        return wish

    def rows(self, make: Callable[[Any], T], query: str, *arguments: object) -> list[T]:
        """Return a query's rows, each converted by `make`.

        Args:
            make: from a row.
            query: of SQL.
            arguments: of the query.

        Raises:
            DamagedRun: what the store holds of this run is damaged.
            StoreError: the store cannot be read.
        """
        with store_errors(self.path):
            database = self.store.database
            try:
                return [make(row) for row in database.execute(query, arguments)]
            except ValueError as error:  # `Damage` included, and unknown states
                raise self.damaged(error) from error
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                raise self.damaged(error) from error

    def damaged(self, why: object) -> DamagedRun:
        """Return the error that says that data of this run is damaged.

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
        taken: Iterable[int] = (),
    ) -> None:
        """Write changed trials, new reports and events, and columns of the run, in one transaction.

        Args:
            trials: whose revisions follow the order given here.
            reports: of trials.
            events: a trial's number, or None for the run itself, and a message each.
            columns: of the run's record, by name.
            taken: ids of enqueued trials that are among the trials now, and enqueued no more.
        """
        database = self.store.database
        with store_errors(self.path):
            database.execute("BEGIN IMMEDIATE")
            try:
                self._write_trials(database, trials)
                database.executemany("DELETE FROM enqueued WHERE id = ?", [(each,) for each in taken])
                database.executemany(
                    "INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [report_row(self.id, each) for each in reports],
                )
                database.executemany(
                    "INSERT INTO events VALUES (?, ?, ?, ?)",
                    [(self.id, time.time(), number, _masked(message)) for number, message in events],
                )
                if columns:
                    row = {name: dumps(value) if isinstance(value, dict) else value for name, value in columns.items()}
                    row |= {"reason": _masked(str(row["reason"]))} if "reason" in row else {}
                    assignments = ", ".join(f"{name} = :{name}" for name in row)
                    database.execute(f"UPDATE runs SET {assignments} WHERE id = :id", {**row, "id": self.id})  # noqa: S608
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:  # SQLite may have rolled back by itself, on a full disk for example
                    database.execute("ROLLBACK")
                raise

    def _write_trials(self, database: sqlite3.Connection, trials: Iterable[Trial]) -> None:
        rows = [
            (
                self.id, trial.number, dumps(trial.parameters), trial.state, dumps(trial.metrics), _masked(trial.reason),
                trial.attempt, trial.started, trial.ended, trial.place, charges_text(trial.charges) if trial.charges else "[]",
                trial.origin, trial.asked, trial.told, trial.repeat_of,
            )
            for trial in trials
        ]  # fmt: skip
        if rows:
            revision = database.execute(
                "SELECT coalesce(max(revision), 0) FROM trials WHERE run = ?", [self.id]
            ).fetchone()[0]
            database.executemany(
                _INSERT_TRIALS,
                [(*row, revision + offset) for offset, row in enumerate(rows, 1)],
            )

    def forget_reports(self, number: int, attempt: int) -> None:
        """Remove the reports of one attempt of a trial, before they are read again from the beginning."""
        with store_errors(self.path):
            query = "DELETE FROM reports WHERE run = ? AND number = ? AND attempt = ?"
            self.store.database.execute(query, [self.id, number, attempt])

    def forget_trials(self) -> None:
        """Remove all trials and their reports, before the run starts again from the beginning."""
        with store_errors(self.path):
            for table in ("trials", "reports"):
                self.store.database.execute(f"DELETE FROM {table} WHERE run = ?", [self.id])  # noqa: S608

    def remove(self) -> None:
        """Remove the run and its folder, even if it is damaged."""
        with store_errors(self.path):
            database = self.store.database
            database.execute("BEGIN IMMEDIATE")
            try:
                for table in ("enqueued", "events", "notices", "reports", "trials", "runs"):
                    column = "id" if table == "runs" else "run"
                    database.execute(f"DELETE FROM {table} WHERE {column} = ?", [self.id])  # noqa: S608
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
            if is_folder(self.id):  # else the folder may be any on this machine
                shutil.rmtree(self.folder, ignore_errors=not self.folder.exists())

    # One driver at a time

    @contextmanager
    def locked(self, *, dying: bool = False) -> Iterator[None]:
        """Hold the run's lock, so that only one process runs it. The system frees the lock when the process dies.

        Args:
            dying: whether the process that holds it may have just been killed, which takes the system a moment.

        Raises:
            RunBusy: another process holds it.
            StoreError: the file system has no locks.
        """
        with store_errors(self.folder):
            descriptor = open_lock(self.lock)
        try:
            try:
                free = lock_soon(descriptor, dying=dying)
            except OSError as error:
                raise StoreError(f"{self.folder} has no file locks ({error.strerror}), so that two could drive one run; keep the project elsewhere") from error  # fmt: skip
            if not free:
                raise RunBusy(f"another process is driving {self.id}; watch it with: {self.command('show')}")
            yield
        finally:
            os.close(descriptor)

    @property
    def driven(self) -> bool:
        """Whether a process is driving the run now; also known where the store is only readable."""
        try:
            descriptor = open_lock(self.lock, create=False)
        except OSError:
            return False  # it was never driven, or its folder is gone or closed to this user
        try:
            return not try_lock(descriptor, shared=True)
        except OSError:
            return False  # a file system without locks, on which nothing is driven
        finally:
            os.close(descriptor)

    @property
    def lock(self) -> Path:
        """The file that the run's driver process holds locked."""
        return self.folder / "driver.lock"


def _masked(text: str) -> str:
    """Return a message, which may quote a service or a program, with all secrets masked."""
    return _storable(masked_text(text))


def _storable(text: str) -> str:
    """Return a text without lone surrogates, which file names may contain and UTF-8 does not have."""
    return text.encode("utf-8", "backslashreplace").decode()
