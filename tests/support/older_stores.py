"""Turn a store into one of an older version, as an older cloudtune would have written it."""

import sqlite3
from pathlib import Path

_BACK = {
    7: ["DROP TABLE notices"],
    6: ["UPDATE runs SET job = json_remove(job, '$.strategy') WHERE json_extract(job, '$.strategy.type') = 'random'"],
    5: [
        *(f"ALTER TABLE trials DROP COLUMN {column}" for column in ("asked", "told", "repeat_of")),
        "ALTER TABLE reports DROP COLUMN moment",
    ],
    4: ["ALTER TABLE trials DROP COLUMN origin", "DROP TABLE enqueued"],
    3: ["ALTER TABLE trials DROP COLUMN charges"],
    2: ["ALTER TABLE runs DROP COLUMN emulators", "ALTER TABLE runs DROP COLUMN seen"],
}
"""Statements that lower a store of a version to the one before."""


def lower(path: Path, version: int) -> None:
    """Lower a closed store to a version."""
    database = sqlite3.connect(path)
    present = database.execute("PRAGMA user_version").fetchone()[0]
    for each in range(present, version, -1):
        for statement in _BACK[each]:
            database.execute(statement)
    database.execute(f"PRAGMA user_version = {version}")
    database.commit()
    database.close()
