"""What has changed in a store since a reader last looked, at little cost."""

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cloudtune.store.database import store_errors
from cloudtune.store.rows import Damage, report_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloudtune.store.records import Report
    from cloudtune.store.store import RunStore, Store


def data_version(store: "Store") -> int:
    """Return a number that differs whenever another connection has written to the store meanwhile."""
    with store_errors(store.path):
        version: int = store.database.execute("PRAGMA data_version").fetchone()[0]
    return version


@contextmanager
def one_moment(store: "Store") -> "Iterator[None]":
    """Have all that is read of a store within the context be of one moment, whatever others write meanwhile."""
    with store_errors(store.path):
        store.database.execute("BEGIN")
    try:
        yield
    finally:
        with store_errors(store.path):
            store.database.execute("COMMIT")


def revision_of(run: "RunStore") -> int:
    """Return the highest revision of a run's trials (see `RunStore.changes`); 0 without any."""
    with store_errors(run.path):
        query = "SELECT coalesce(max(revision), 0) FROM trials WHERE run = ?"
        revision: int = run.store.database.execute(query, [run.id]).fetchone()[0]
    return revision


def revisions_of(run: "RunStore") -> dict[int, int]:
    """Return the revision of the last change of each trial, by its number."""
    with store_errors(run.path):
        return dict(run.store.database.execute("SELECT number, revision FROM trials WHERE run = ?", [run.id]))


def last_report(run: "RunStore") -> int:
    """Return the position of the last report of any run of the store, for `reports_after`."""
    with store_errors(run.path):
        last: int = run.store.database.execute("SELECT coalesce(max(rowid), 0) FROM reports").fetchone()[0]
    return last


def reports_after(run: "RunStore", last: int) -> "tuple[int, list[Report]]":
    """Return the reports of a run after a position, and the new position.

    Raises:
        DamagedRun: what the store holds of them is damaged.
    """
    columns = run.store.report_columns
    query = f"SELECT rowid, {columns} FROM reports WHERE rowid > ? AND run = ? ORDER BY rowid"  # noqa: S608  # names of columns
    with store_errors(run.path):
        rows = run.store.database.execute(query, [last, run.id]).fetchall()
    try:
        found = [report_of(row[1:]) for row in rows]
    except (Damage, ValueError) as error:
        raise run.damaged(error) from error
    return (rows[-1][0] if rows else last), found
