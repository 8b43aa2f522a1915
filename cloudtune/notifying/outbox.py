"""Send messages beside what a process does, each within a bounded time; wait for those under way when the process ends."""

import atexit
import threading
import time
from collections.abc import Callable
from pathlib import Path

from cloudtune.errors import in_one_line
from cloudtune.notifying.message import Message
from cloudtune.notifying.sending import LIMIT, send
from cloudtune.spec.notify import Notification
from cloudtune.store.notices import SENT

_under_way: set[threading.Thread] = set()


def post(channel: Notification, message: Message, folder: Path, conclude: Callable[[str], None]) -> None:
    """Send a message in threads of its own, which end after `LIMIT` seconds, whatever becomes of it; return at once.

    Args:
        channel: where it goes.
        message: the message.
        folder: the project's.
        conclude: called in that thread with `SENT`, or with why it could not be sent.
    """

    def deliver() -> None:
        try:
            conclude(outcome_of(channel, message, folder))
        finally:
            _under_way.discard(threading.current_thread())

    thread = threading.Thread(target=deliver, name=f"notify by {channel.kind}", daemon=True)
    _under_way.add(thread)
    thread.start()


def outcome_of(channel: Notification, message: Message, folder: Path) -> str:
    """Send a message, and return `SENT` or why it could not be sent, after `LIMIT` seconds at most."""
    outcomes: list[str] = []

    def attempt() -> None:
        try:
            send(channel, message, folder)
        except Exception as error:  # noqa: BLE001  # the caller says it
            outcomes.append(in_one_line(error))
        else:
            outcomes.append(SENT)

    # A thread, not the timeouts of sockets: these begin anew with each byte, and looking a name up has none.
    thread = threading.Thread(target=attempt, name=f"notify by {channel.kind}: send", daemon=True)
    thread.start()
    thread.join(LIMIT)
    return outcomes[0] if outcomes else f"it did not answer within {LIMIT:g} s"


def wait_for_all() -> None:
    """Wait until nothing is under way: `LIMIT` seconds and a little more at most."""
    until = time.monotonic() + LIMIT + 1
    for thread in tuple(_under_way):
        thread.join(max(until - time.monotonic(), 0.0))


atexit.register(wait_for_all)
