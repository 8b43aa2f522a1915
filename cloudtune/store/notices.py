"""Marks of what was told about a run: each event goes to each channel once at most, whichever process sends it.

A mark is written before a message is sent. A process that is killed between the two has told nobody, and nobody else does: that is
rather than telling it twice.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudtune.errors.masking import masked_text
from cloudtune.store.database import store_errors

if TYPE_CHECKING:
    from cloudtune.store.store import RunStore

SENDING = "sending"
"""The outcome of a message that is under way, or whose sender was killed."""

SENT = "sent"
"""The outcome of a message that was taken."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What one channel was told.

    Attributes:
        event: which event of the run.
        channel: the channel's name.
        time: seconds since 1970 at which it was marked.
        outcome: `SENDING`, `SENT`, or why it could not be sent.
    """

    event: str
    channel: str
    time: float
    outcome: str


def claim(run: "RunStore", event: str, channel: str) -> bool:
    """Mark an event as told to a channel; return whether this call did, so that the caller is the one to send it."""
    with store_errors(run.path):
        changed = run.store.database.execute(
            "INSERT INTO notices VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [run.id, event, channel, time.time(), SENDING],
        )
        return changed.rowcount == 1


def conclude(run: "RunStore", event: str, channel: str, outcome: str) -> None:
    """Write what became of a message that was claimed: `SENT`, or why it could not be sent."""
    with store_errors(run.path):
        run.store.database.execute(
            "UPDATE notices SET outcome = ? WHERE run = ? AND event = ? AND channel = ?",
            [masked_text(outcome), run.id, event, channel],
        )


def notices(run: "RunStore") -> list[Notice]:
    """Return what was told about a run, in order."""
    query = "SELECT event, channel, time, outcome FROM notices WHERE run = ? ORDER BY rowid"
    with store_errors(run.path):
        return [Notice(*row) for row in run.store.database.execute(query, [run.id])]
