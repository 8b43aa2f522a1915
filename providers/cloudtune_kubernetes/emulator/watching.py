"""Watches: changes as a stream of JSON lines, with resumption, bookmarks and what happens when it begins too early."""

import json
import random
import select
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from cloudtune_kubernetes.emulator.calls import Call, number
from cloudtune_kubernetes.emulator.errors import Refused
from cloudtune_kubernetes.emulator.selectors import Matches
from cloudtune_kubernetes.emulator.store import Change, Object, Store
from cloudtune_kubernetes.emulator.tables import table

_LOOK = 1.0
"""Seconds between two looks whether the client is still there."""

_BOOKMARK = 15.0
"""Seconds between two bookmarks."""

_ENDED = "k8s.io/initial-events-end"


class Watch:
    """One watch.

    Args:
        store: what is watched.
        call: the request.
        holds: whether an object is selected.
        as_table: whether each event has a table.
        columns: of a custom resource's table.
        connection: of the client.
        cuts: returns whether the connection is cut after the event that was just sent.

    Attributes:
        cut: whether it has ended by a fault.
    """

    def __init__(
        self,
        store: Store,
        call: Call,
        holds: Matches,
        *,
        as_table: bool,
        columns: list[dict[str, Any]],
        connection: socket.socket | None,
        cuts: Callable[[], bool],
    ) -> None:
        self._store, self._call, self._holds = store, call, holds
        self._as_table, self._columns = as_table, columns
        self._connection, self._cuts = connection, cuts
        self.cut = False
        self._given = call.query.get("resourceVersion") or ""
        self._since = _revision(self._given)
        self._seconds = number(call, "timeoutSeconds", 0) or random.uniform(1800, 3600)  # noqa: S311  # as the server
        self._bookmarks = call.query.get("allowWatchBookmarks") in ("true", "1")
        self._heads = True

    def events(self) -> Iterator[bytes]:
        """Yield lines until the time is over, the client is gone, or the emulator ends."""
        try:
            for line in self._lines():
                yield line
                if self._cuts():
                    self.cut = True
                    return
        except Refused as refused:
            yield _line("ERROR", refused.status)

    def _lines(self) -> Iterator[bytes]:
        yield from self._beginning()
        yield from self._rest()

    def _beginning(self) -> Iterator[bytes]:
        """Yield what is there already, for a watch that begins nowhere."""
        initial = self._call.query.get("sendInitialEvents") in ("true", "1")
        if self._given not in ("", "0") and not initial:
            return
        with self._store.lock:
            held = self._store.objects(self._call.kind, self._call.namespace)
            self._since = self._store.revision
        for each in held:
            if self._holds(each):
                yield self._event("ADDED", each)
        if initial and self._bookmarks:
            yield self._bookmark({"annotations": {_ENDED: "true"}})

    def _rest(self) -> Iterator[bytes]:
        until, marked = time.monotonic() + self._seconds, time.monotonic()
        while not self._store.closed:
            left = until - time.monotonic()
            if left <= 0 or self._is_gone():
                return
            changes = self._store.wait(self._call.kind, self._since, min(left, _LOOK))
            for change in changes:
                self._since = change.revision
                line = self._told(change)
                if line:
                    yield line
            if self._bookmarks and not changes and time.monotonic() - marked > _BOOKMARK:
                marked = time.monotonic()
                with self._store.lock:
                    if not self._store.since(self._call.kind, self._since):
                        self._since = self._store.revision
                yield self._bookmark({})

    def _told(self, change: Change) -> bytes:
        """Return a change as the client sees it: one that leaves the selection is deleted for it."""
        meta = change.now["metadata"]
        if self._call.namespace not in ("", meta.get("namespace", "")):
            return b""
        before = change.before is not None and self._holds(change.before)
        now = change.kind != "DELETED" and self._holds(change.now)
        if not before and not now:
            return b""
        kind = "MODIFIED" if before and now else "ADDED" if now else "DELETED"
        if self._as_table:
            return self._event(kind, change.now)
        return b'{"type":"%s","object":%s}\n' % (kind.encode(), change.text.encode())

    def _event(self, kind: str, each: Object) -> bytes:
        if not self._as_table:
            return _line(kind, each)
        meta = {"resourceVersion": each["metadata"]["resourceVersion"]}
        include = self._call.query.get("includeObject", "Metadata")
        made = table(self._call.kind, [each], meta, include, self._columns, self._heads)
        self._heads = False
        return _line(kind, made)

    def _bookmark(self, meta: dict[str, Any]) -> bytes:
        kind = self._call.kind
        made = {
            "kind": kind.kind, "apiVersion": kind.api_version,
            "metadata": {"resourceVersion": str(self._since), "creationTimestamp": None, **meta},
        }  # fmt: skip
        return _line("BOOKMARK", made)

    def _is_gone(self) -> bool:
        return is_gone(self._connection)


def _revision(text: str) -> int:
    """Return the revision from which a watch begins.

    Raises:
        Refused: the text is none.
    """
    if text and not text.isdecimal():
        why = f'strconv.ParseUint: parsing "{text}": invalid syntax'
        raise Refused(500, "", f'resourceVersion: Invalid value: "{text}": {why}')
    return int(text or 0)


def is_gone(connection: socket.socket | None) -> bool:
    """Return whether a client that has sent its whole request has closed the connection, or has been closed."""
    if connection is None:
        return False
    if connection.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(connection, select.POLLIN | select.POLLHUP)
    return bool(poll.poll(0))


def _line(kind: str, each: Any) -> bytes:
    return json.dumps({"type": kind, "object": each}, separators=(",", ":")).encode() + b"\n"
