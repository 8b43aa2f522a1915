"""Runs and trials on disk: one SQLite file a project folder, which several processes may read while one writes.

What a driver is about to do is committed before it does it. Commits go to a write-ahead log without waiting for
the disk (``synchronous=NORMAL``): they survive the death of the process at any moment, and after a power cut the
store is whole, though the last commits may be missing (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any

from cloudtune.errors import RunBusy, RunNotFound, StoreError, TrialError
from cloudtune.masking import masked_text
from cloudtune.states import Report, RunRecord, RunState, Trial, TrialState

SCHEMA_VERSION = 1

_LOCK_PAUSES = (0.0, *(0.001,) * 10)
"""Seconds before each try to get a run's lock: who only looks whether it is held holds it for some microseconds."""

_SCHEMA = """
CREATE TABLE runs (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, provider TEXT NOT NULL, profile TEXT NOT NULL,
    job TEXT NOT NULL, plan TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
    created REAL NOT NULL, started REAL, ended REAL, elapsed REAL NOT NULL, native TEXT NOT NULL,
    wish TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE trials (
    run TEXT NOT NULL REFERENCES runs(id), number INTEGER NOT NULL, state TEXT NOT NULL,
    parameters TEXT NOT NULL, metrics TEXT NOT NULL, reason TEXT NOT NULL, attempt INTEGER NOT NULL,
    started REAL, ended REAL, place TEXT NOT NULL, revision INTEGER NOT NULL,
    PRIMARY KEY (run, number)
) WITHOUT ROWID;
CREATE INDEX trials_by_revision ON trials (run, revision);
CREATE TABLE reports (
    run TEXT NOT NULL, number INTEGER NOT NULL, attempt INTEGER NOT NULL, step INTEGER NOT NULL,
    time REAL NOT NULL, metrics TEXT NOT NULL
);
CREATE INDEX reports_by_trial ON reports (run, number);
CREATE TABLE events (run TEXT NOT NULL, time REAL NOT NULL, number INTEGER, message TEXT NOT NULL);
CREATE INDEX events_by_run ON events (run);
"""

_RUN_COLUMNS = ", ".join(column.name for column in fields(RunRecord))
_TRIAL_COLUMNS = "number, parameters, state, metrics, reason, attempt, started, ended, place"
_dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class Store:
    """All runs of a project folder.

    Args:
        project: the folder; its store lives in ``.cloudtune`` below it and is made when it is first needed.

    Raises:
        StoreError: the store cannot be opened, or a newer cloudtune wrote it.
    """

    def __init__(self, project: Path) -> None:
        self.project = project.resolve()
        self.folder = self.project / ".cloudtune"
        self.path = self.folder / "store.db"

    @cached_property
    def database(self) -> sqlite3.Connection:
        """The connection; belongs to the thread that first asks for it."""
        with _store_errors(self.path):
            self.folder.mkdir(parents=True, exist_ok=True)
            ignore = self.folder / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
            database = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            _migrate(database, self.path)
        return database

    def create(self, record: RunRecord) -> "RunStore":
        """Adds a run."""
        row = {column.name: getattr(record, column.name) for column in fields(RunRecord)}
        row |= {"state": record.state.value, "native": _dumps(dict(record.native))}
        run = RunStore(self, record.id)
        with _store_errors(self.path):
            run.folder.mkdir(parents=True, exist_ok=True)
            marks = ", ".join(f":{name}" for name in row)
            self.database.execute(f"INSERT INTO runs ({_RUN_COLUMNS}) VALUES ({marks})", row)  # noqa: S608
        return run

    def run(self, run_id: str) -> "RunStore":
        """The run of an id, of the unambiguous beginning of one, or of ``latest``.

        Raises:
            RunNotFound: none, or several, answer to it; the message names them.
        """
        if not self.path.exists():
            raise RunNotFound(f"there are no runs in {self.project}; change to the folder that the run was started in")
        with _store_errors(self.path):
            if run_id == "latest":
                rows = self.database.execute("SELECT id FROM runs ORDER BY created DESC LIMIT 1").fetchall()
            else:
                exact = self.database.execute("SELECT id FROM runs WHERE id = ?", [run_id]).fetchall()
                pattern = run_id.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
                like = "SELECT id FROM runs WHERE id LIKE ? ESCAPE '\\' ORDER BY created DESC"
                rows = exact or self.database.execute(like, [pattern]).fetchall()
        if len(rows) != 1:
            found = (
                f"{len(rows)} runs begin with {run_id!r}: {', '.join(row[0] for row in rows[:5])}"
                if rows
                else f"there is no run {run_id!r} in {self.project}"
            )
            raise RunNotFound(f"{found}; `cloudtune ls` lists them")
        return RunStore(self, rows[0][0])

    def records(self) -> list[RunRecord]:
        """All runs, the newest first."""
        if not self.path.exists():
            return []
        with _store_errors(self.path):
            query = f"SELECT {_RUN_COLUMNS} FROM runs ORDER BY created DESC, id"  # noqa: S608
            return [_record(row) for row in self.database.execute(query)]

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

    # Reading

    def record(self) -> RunRecord:
        """What the store knows of the run as a whole."""
        return _record(self._rows(f"SELECT {_RUN_COLUMNS} FROM runs WHERE id = ?", self.id)[0])  # noqa: S608

    def trials(self, *states: TrialState) -> list[Trial]:
        """All trials by number, or those in one of the states."""
        query = f"SELECT {_TRIAL_COLUMNS} FROM trials WHERE run = ?"  # noqa: S608
        if states:
            query += f" AND state IN ({', '.join('?' * len(states))})"
        return [_trial(row) for row in self._rows(query + " ORDER BY number", self.id, *states)]

    def trial(self, number: int) -> Trial | None:
        """One trial, if it exists."""
        rows = self._rows(f"SELECT {_TRIAL_COLUMNS} FROM trials WHERE run = ? AND number = ?", self.id, number)  # noqa: S608
        return _trial(rows[0]) if rows else None

    def existing(self, number: int) -> Trial:
        """One trial.

        Raises:
            TrialError: there is no such trial.
        """
        found = self.trial(number)
        if found is None:
            raise TrialError(f"run {self.id} has no trial {number}; `cloudtune trials {self.id}` lists them")
        return found

    def history(self) -> list[Trial]:
        """All trials in the order in which they were last changed: the ended ones as they ended."""
        query = f"SELECT {_TRIAL_COLUMNS} FROM trials WHERE run = ? ORDER BY revision"  # noqa: S608
        return [_trial(row) for row in self._rows(query, self.id)]

    def changes(self, since: int) -> tuple[int, list[Trial]]:
        """The trials that changed after a revision (0 for all), and the revision to ask with next time."""
        query = f"SELECT revision, {_TRIAL_COLUMNS} FROM trials WHERE run = ? AND revision > ? ORDER BY revision"  # noqa: S608
        rows = self._rows(query, self.id, since)
        return (rows[-1][0] if rows else since), [_trial(row[1:]) for row in rows]

    def counts(self) -> dict[str, int]:
        """How many trials there are in each state."""
        return dict(self._rows("SELECT state, count(*) FROM trials WHERE run = ? GROUP BY state", self.id))

    def reports(self, number: int | None = None) -> Iterator[Report]:
        """What the trials reported, or one of them, in the order in which it came."""
        query = "SELECT number, attempt, step, time, metrics FROM reports WHERE run = ?"
        rows = (
            self._rows(query + " ORDER BY rowid", self.id)
            if number is None
            else self._rows(query + " AND number = ? ORDER BY rowid", self.id, number)
        )
        for row in rows:
            yield Report(row[0], row[1], row[2], row[3], json.loads(row[4]))

    def events(self) -> list[tuple[float, int | None, str]]:
        """What happened and is worth a line: time, trial (None for the run itself), message."""
        query = "SELECT time, number, message FROM events WHERE run = ? ORDER BY rowid"
        return self._rows(query, self.id)

    def last_event(self) -> int:
        """Where the events end now; see `events_after`."""
        last: int = self._rows("SELECT coalesce(max(rowid), 0) FROM events")[0][0]
        return last

    def events_after(self, last: int) -> tuple[int, list[tuple[float, int | None, str]]]:
        """The events that came after others, and where they end now."""
        query = "SELECT rowid, time, number, message FROM events WHERE run = ? AND rowid > ? ORDER BY rowid"
        rows = self._rows(query, self.id, last)
        return (rows[-1][0] if rows else last), [(when, number, message) for _, when, number, message in rows]

    def wish(self) -> str:
        """What somebody asked of the driver: ``""``, ``"stop"`` or ``"cancel"``."""
        wish: str = self._rows("SELECT wish FROM runs WHERE id = ?", self.id)[0][0]
        return wish

    def _rows(self, query: str, *arguments: object) -> list[Any]:
        with _store_errors(self.path):
            return self.store.database.execute(query, arguments).fetchall()

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
        with _store_errors(self.path):
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
        with _store_errors(self.path):
            query = "DELETE FROM reports WHERE run = ? AND number = ? AND attempt = ?"
            self.store.database.execute(query, [self.id, number, attempt])

    # One driver at a time

    @contextmanager
    def driving(self) -> Iterator[None]:
        """Holds the run's lock: only one process drives it. The system frees the lock when the process dies.

        Raises:
            RunBusy: another process holds it.
        """
        descriptor = self._lock_file()
        try:
            if not any(_locked(descriptor, pause) for pause in _LOCK_PAUSES):
                raise RunBusy(f"another process is driving {self.id}; watch it with: cloudtune show {self.id}")
            yield
        finally:
            os.close(descriptor)

    @property
    def driven(self) -> bool:
        """Whether a process is driving the run now."""
        descriptor = self._lock_file()
        try:
            return not _locked(descriptor)
        finally:
            os.close(descriptor)

    def _lock_file(self) -> int:
        with _store_errors(self.folder):
            return os.open(self.folder / "driver.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _locked(descriptor: int, pause: float = 0.0) -> bool:
    """Whether the lock of an open file could be had after a pause of some seconds."""
    time.sleep(pause)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"a newer cloudtune wrote {path} (schema {version}, this one knows {SCHEMA_VERSION}); upgrade cloudtune"
        )
    database.execute("BEGIN EXCLUSIVE")
    if database.execute("PRAGMA user_version").fetchone()[0] == 0:  # nobody was faster
        for statement in _SCHEMA.split(";"):
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    database.execute("COMMIT")


@contextmanager
def _store_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"the store {path} cannot be used: {error}; the run can be resumed once that is mended"
        ) from error
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"the store {path} cannot be used: {error.strerror or error}") from error


def _told(text: str) -> str:
    """A text for people, which may quote a service or a program: without the secrets of either."""
    return _storable(masked_text(text))


def _storable(text: str) -> str:
    """A text without lone surrogates, which names of files may bring along and UTF-8 does not have."""
    return text.encode("utf-8", "backslashreplace").decode()


def _record(row: tuple[Any, ...]) -> RunRecord:
    values = dict(zip((column.name for column in fields(RunRecord)), row, strict=True))
    values |= {"state": RunState(values["state"]), "native": json.loads(values["native"])}
    return RunRecord(**values)


def _trial(row: tuple[Any, ...]) -> Trial:
    number, parameters, state, metrics, reason, attempt, started, ended, place = row
    return Trial(
        number,
        json.loads(parameters),
        TrialState(state),
        json.loads(metrics),
        reason,
        attempt,
        started,
        ended,
        place,
    )
