"""Trials that a user has asked the driver of a run to stop, from this process or another.

They stand in the run's wish, beside a cancel of all of it, until the run is reopened: a driver stops each when it sees it waiting or
running, also after a resume.
"""

from typing import TYPE_CHECKING

from cloudtune.store.database import store_errors

if TYPE_CHECKING:
    from cloudtune.store.store import RunStore

STOPPED = "stopped by its user"
"""Why such a trial is cancelled."""

_STOP = "stop"


def ask_to_stop(run: "RunStore", number: int) -> None:
    """Add a trial to those that the run's driver is to stop; a cancel of the whole run stays."""
    with store_errors(run.path):
        database = run.store.database
        database.execute("BEGIN IMMEDIATE")
        try:
            wish = database.execute("SELECT wish FROM runs WHERE id = ?", [run.id]).fetchone()[0]
            if wish != "cancel":
                asked = " ".join(map(str, sorted({*asked_to_stop(wish), number})))
                database.execute("UPDATE runs SET wish = ? WHERE id = ?", [f"{_STOP} {asked}", run.id])
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")


def asked_to_stop(wish: str) -> list[int]:
    """Return the numbers of the trials that a run's wish (`RunStore.wish`) names."""
    verb, *numbers = wish.split() or [""]
    return [int(number) for number in numbers] if verb == _STOP else []
