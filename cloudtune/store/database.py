"""The store's SQLite file: its schema, opening it to write or only to read, and its errors as StoreError."""

import os
import random
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from cloudtune.errors import StoreError
from cloudtune.system.processes import is_mine
from cloudtune.system.temporary import TemporaryFolder

SCHEMA_VERSION = 7

_PATIENCE = 30.0
"""Seconds to wait for other processes that use the store."""

_SCHEMA = """
CREATE TABLE runs (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, provider TEXT NOT NULL, profile TEXT NOT NULL,
    job TEXT NOT NULL, plan TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
    created REAL NOT NULL, started REAL, ended REAL, elapsed REAL NOT NULL, native TEXT NOT NULL,
    wish TEXT NOT NULL DEFAULT '', emulators TEXT NOT NULL DEFAULT '{}', seen REAL
) WITHOUT ROWID;
CREATE TABLE trials (
    run TEXT NOT NULL REFERENCES runs(id), number INTEGER NOT NULL, state TEXT NOT NULL,
    parameters TEXT NOT NULL, metrics TEXT NOT NULL, reason TEXT NOT NULL, attempt INTEGER NOT NULL,
    started REAL, ended REAL, place TEXT NOT NULL, revision INTEGER NOT NULL, charges TEXT NOT NULL DEFAULT '[]',
    origin TEXT NOT NULL DEFAULT '', asked INTEGER, told INTEGER, repeat_of INTEGER,
    PRIMARY KEY (run, number)
) WITHOUT ROWID;
CREATE INDEX trials_by_revision ON trials (run, revision);
CREATE TABLE reports (
    run TEXT NOT NULL, number INTEGER NOT NULL, attempt INTEGER NOT NULL, step INTEGER NOT NULL,
    time REAL NOT NULL, metrics TEXT NOT NULL, moment INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX reports_by_trial ON reports (run, number);
CREATE TABLE events (run TEXT NOT NULL, time REAL NOT NULL, number INTEGER, message TEXT NOT NULL);
CREATE INDEX events_by_run ON events (run);
CREATE TABLE enqueued (id INTEGER PRIMARY KEY, run TEXT NOT NULL, parameters TEXT NOT NULL, time REAL NOT NULL);
CREATE INDEX enqueued_by_run ON enqueued (run)
"""

_NOTICES = """CREATE TABLE notices (run TEXT NOT NULL, event TEXT NOT NULL, channel TEXT NOT NULL, time REAL NOT NULL,
    outcome TEXT NOT NULL, PRIMARY KEY (run, event, channel))"""

_WITH_STRATEGY = """CASE WHEN typeof(job) = 'text' AND json_valid(job) AND json_type(job) = 'object'
    AND json_type(job, '$.strategy') IS NULL THEN json_set(job, '$.strategy', json('{"type": "random"}')) ELSE job END"""
"""The job of a run with the strategy that it had where the job names none: jobs without one were searched at random."""

_MIGRATIONS = {
    0: f"{_SCHEMA};{_NOTICES}",
    1: "ALTER TABLE runs ADD COLUMN emulators TEXT NOT NULL DEFAULT '{}'; ALTER TABLE runs ADD COLUMN seen REAL",
    2: "ALTER TABLE trials ADD COLUMN charges TEXT NOT NULL DEFAULT '[]'",
    3: "ALTER TABLE trials ADD COLUMN origin TEXT NOT NULL DEFAULT '';"
    "CREATE TABLE enqueued (id INTEGER PRIMARY KEY, run TEXT NOT NULL, parameters TEXT NOT NULL, time REAL NOT NULL);"
    "CREATE INDEX enqueued_by_run ON enqueued (run)",
    4: "ALTER TABLE trials ADD COLUMN asked INTEGER; ALTER TABLE trials ADD COLUMN told INTEGER; "
    "ALTER TABLE trials ADD COLUMN repeat_of INTEGER; ALTER TABLE reports ADD COLUMN moment INTEGER NOT NULL DEFAULT 0",
    5: f"UPDATE runs SET job = {_WITH_STRATEGY}",  # noqa: S608  # a constant
    6: _NOTICES,
}
"""Statements that raise a store of a schema version to the next one, and a file without tables (0) to the current one."""

_ADDED = {
    "emulators": "'{}' AS emulators",
    "seen": "NULL AS seen",
    "charges": "'[]' AS charges",
    "origin": "'' AS origin",
    **{name: f"NULL AS {name}" for name in ("asked", "told", "repeat_of")},
    "moment": "0 AS moment",
}
"""Columns that older versions lack: expressions that replace them where the store cannot be migrated."""

_CHANGED = {"job": (6, f"{_WITH_STRATEGY} AS job")}
"""Columns whose content is another one from a version on, with expressions for stores of older ones."""


class Opened:
    """A connection that is closed with the thread, or the store, that it belongs to.

    Args:
        path: of the store.

    Attributes:
        database: the connection.

    Raises:
        StoreError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        with store_errors(path):
            self.database = open_store(path)

    def __del__(self) -> None:
        with suppress(AttributeError):  # it could not be opened
            self.database.close()  # in whichever thread: nothing else is done with it by another one


def open_store(path: Path) -> sqlite3.Connection:
    """Open a store to write, creating or migrating it first; open it to read where it is not writable.

    Raises:
        sqlite3.Error: it is no store, or damaged.
        OSError: it cannot be opened.
        StoreError: a newer cloudtune wrote it.
    """
    if path.exists() and not is_writable(path):
        return _open_to_read(path)
    _make_folder(path.parent)
    database = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    _write_ahead(database)
    database.execute("PRAGMA synchronous=NORMAL")
    _migrate(database, path)
    return database


def _write_ahead(database: sqlite3.Connection) -> None:
    """Have a store keep a write-ahead log, as far as it does not yet.

    Of two processes that create it at once SQLite refuses one rather than let it wait, since both hold what the other needs
    (https://www.sqlite.org/c3ref/busy_handler.html); that one tries again.
    """
    patient_until = time.monotonic() + _PATIENCE
    while True:
        try:
            database.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > patient_until:
                raise
            time.sleep(random.uniform(0.001, 0.01))  # noqa: S311  # so that both do not meet again
        else:
            return


def columns(database: sqlite3.Connection, table: str, names: Iterable[str]) -> str:
    """Return the columns of a table for a query, with expressions for those that an older, read-only store has not so."""
    there = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
    version = database.execute("PRAGMA user_version").fetchone()[0]
    changed = {name: how for name, (since, how) in _CHANGED.items() if version < since}
    # SQLite says which one is missing where damage took a column that every version has.
    return ", ".join(changed.get(name) or (name if name in there else _ADDED.get(name, name)) for name in names)


def is_writable(path: Path) -> bool:
    """Return whether this process may write to a store, which needs its folder to be writable too."""
    return os.access(path.parent, os.W_OK | os.X_OK) and (not path.exists() or os.access(path, os.W_OK))


def _make_folder(folder: Path) -> None:
    """Create the folder of a store, accessible to its owner alone: logs and jobs may hold confidential data."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    version = _version(database, path)
    if version == SCHEMA_VERSION:
        return
    database.execute("BEGIN EXCLUSIVE")
    try:
        version = _version(database, path)  # another process may have migrated it meanwhile
        if version != SCHEMA_VERSION:
            for before in range(version, SCHEMA_VERSION) if version else [0]:
                for statement in _MIGRATIONS[before].split(";"):
                    database.execute(statement)
            database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
    if version == 1 and is_mine(path.parent.stat()):
        path.parent.chmod(0o700)  # earlier versions let other users in; a later chmod by the owner stays


def _version(database: sqlite3.Connection, path: Path) -> int:
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION or version < 0:
        raise StoreError(
            f"a newer cloudtune wrote {path} (schema {version}, this one knows {SCHEMA_VERSION}); upgrade cloudtune"
        )
    return version


# Reading only


def _open_to_read(path: Path) -> sqlite3.Connection:
    """Open a store that is only readable, including what a live writer has in its write-ahead log.

    SQLite reads such a log where its index (``-shm``) lies beside it or can be created
    (https://www.sqlite.org/wal.html#readonly); else a copy of both files is read. Without a log no process is writing,
    and the file is opened as immutable.
    """
    log = path.with_name(f"{path.name}-wal")
    has_log = log.exists() and log.stat().st_size > 0
    try:
        return _connected(path, "mode=ro" if has_log else "mode=ro&immutable=1")
    except sqlite3.OperationalError:
        if not has_log:
            raise
    with TemporaryFolder() as folder:
        for file in (path, log):
            shutil.copyfile(file, folder.path / file.name)
        copied = _connected(folder.path / path.name, "mode=rw")
        database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        copied.backup(database)
        copied.close()
    database.execute("PRAGMA query_only = 1")
    return database


def _connected(path: Path, how: str) -> sqlite3.Connection:
    database = sqlite3.connect(
        f"file:{quote(str(path))}?{how}", uri=True, timeout=5, isolation_level=None, check_same_thread=False
    )
    try:
        _version(database, path)
        database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except BaseException:
        database.close()
        raise
    return database


# Errors


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Raise the errors of SQLite and of the file system within the context as StoreError.

    Args:
        path: the store, for the message.
    """
    try:
        yield
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # a message of SQLite quotes a damaged schema as it is
        raise StoreError(_message_of(error, path)) from error
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"the store {path} cannot be used: {error.strerror or error}") from error


def is_damage(error: Exception) -> bool:
    """Return whether an error says that some of a store's content is not as SQLite wrote it."""
    return any(word in str(error) for word in ("malformed", "decode", "corrupt", "no such column"))


def _message_of(error: Exception, path: Path) -> str:
    said = str(error)
    if "readonly" in said:
        return f"{path} may only be read here; what changes a run has to be done by its owner"
    if is_damage(error) or "not a database" in said:
        mend = f"restore it from a backup, or move {path.parent} away to begin anew"
        return f"the store {path} is damaged ({said}); {mend}"
    return f"the store {path} cannot be used: {error}; the run can be resumed once that is mended"
