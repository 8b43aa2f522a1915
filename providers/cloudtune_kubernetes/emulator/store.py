"""What stands in for etcd: objects by kind, namespace and name, with one revision for all, and a bounded history to watch.

Stored objects are never changed in place: every write stores a new one, so that readers share them without copies.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cloudtune_kubernetes.emulator.errors import gone
from cloudtune_kubernetes.emulator.kinds import Kind

Object = dict[str, Any]
Place = tuple[str, str]
"""The namespace, "" for none, and the name of an object."""


class Change:
    """One write.

    Args:
        revision: of the store after it.
        kind: how it changed: ADDED, MODIFIED or DELETED.
        now: the object; a deleted one as it was last, with the revision of its end.
        before: the object before; None if it was added.
    """

    __slots__ = ("_text", "before", "kind", "now", "revision")

    def __init__(
        self, revision: int, kind: Literal["ADDED", "MODIFIED", "DELETED"], now: Object, before: Object | None
    ) -> None:
        self.revision, self.kind, self.now, self.before = revision, kind, now, before
        self._text = ""

    @property
    def text(self) -> str:
        """The object in JSON, made once for all watches."""
        self._text = self._text or json.dumps(self.now, separators=(",", ":"))
        return self._text


@dataclass(slots=True)
class Collection:
    """All objects of a kind.

    Attributes:
        objects: by namespace and name.
        changes: the latest, the oldest first.
        oldest: the revision since which all changes are kept.
    """

    objects: dict[Place, Object]
    changes: deque[Change]
    oldest: int


class Store:
    """All objects of a cluster.

    Args:
        history: how many changes of each kind are kept for watches; older ones are gone (410).

    Attributes:
        lock: held while objects are read and written as one; may be entered again.
        changed: notified of every change; has the same lock.
    """

    def __init__(self, history: int = 2000) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self._history = history
        self._revision = 1
        self._kinds: dict[tuple[str, str], Collection] = {}
        self._listeners: list[Callable[[Kind, Change], None]] = []
        self.closed = False

    def listen(self, listener: Callable[[Kind, Change], None]) -> None:
        """Call a function with every change, while the lock is held."""
        self._listeners.append(listener)

    def close(self) -> None:
        """End all watches."""
        with self.lock:
            self.closed = True
            self.changed.notify_all()

    @property
    def revision(self) -> int:
        """The revision of the latest change."""
        return self._revision

    def collection(self, kind: Kind) -> Collection:
        """Return the objects of a kind and their changes."""
        with self.lock:
            found = self._kinds.get((kind.group, kind.plural))
            if found is None:
                made = Collection({}, deque(), 0)
                found = self._kinds[kind.group, kind.plural] = made
            return found

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Return an object; None if there is none."""
        return self.collection(kind).objects.get((namespace, name))

    def objects(self, kind: Kind, namespace: str = "") -> list[Object]:
        """Return the objects of a kind in a namespace, "" for all, by namespace and name."""
        with self.lock:
            found = sorted(self.collection(kind).objects.items())
        return [each for (where, _), each in found if namespace in ("", where)]

    def put(self, kind: Kind, made: Object) -> Object:
        """Store an object, new or changed, and return it with its revision; unchanged, the stored one as it is."""
        with self.lock:
            place = place_of(made)
            held = self.collection(kind)
            before = held.objects.get(place)
            if before is not None and _same(before, made):
                return before
            self._revision += 1
            now = {**made, "metadata": {**made["metadata"], "resourceVersion": str(self._revision)}}
            held.objects[place] = now
            self._note(kind, held, Change(self._revision, "MODIFIED" if before else "ADDED", now, before))
            return now

    def remove(self, kind: Kind, namespace: str, name: str, last: Object | None = None) -> Object | None:
        """Remove an object, and return it as it was, or as it is to be told of at last; None if there is none."""
        with self.lock:
            held = self.collection(kind)
            before = held.objects.pop((namespace, name), None)
            if before is None:
                return None
            self._revision += 1
            told = before if last is None else last
            now = {**told, "metadata": {**told["metadata"], "resourceVersion": str(self._revision)}}
            self._note(kind, held, Change(self._revision, "DELETED", now, before))
            return now

    def _note(self, kind: Kind, held: Collection, change: Change) -> None:
        held.changes.append(change)
        while len(held.changes) > self._history:
            held.oldest = held.changes.popleft().revision
        for listener in self._listeners:
            listener(kind, change)
        self.changed.notify_all()

    def since(self, kind: Kind, revision: int) -> list[Change]:
        """Return the changes of a kind after a revision.

        Raises:
            Refused: older changes than what is kept are asked for.
        """
        with self.lock:
            held = self.collection(kind)
            if revision < held.oldest:
                raise gone(revision, held.oldest)
            found: list[Change] = []
            for change in reversed(held.changes):
                if change.revision <= revision:
                    break
                found.append(change)
            return found[::-1]

    def forget(self, kind: Kind | None = None) -> None:
        """Drop all kept changes, of one kind or of all, so that watches which resume find their revision gone."""
        with self.lock:
            for name, held in self._kinds.items():
                if kind is None or name == (kind.group, kind.plural):
                    held.changes.clear()
                    held.oldest = self._revision

    def wait(self, kind: Kind, revision: int, seconds: float) -> list[Change]:
        """Wait for changes of a kind after a revision, at most so long.

        Raises:
            Refused: they are kept no longer.
        """
        until = time.monotonic() + seconds
        with self.lock:
            while not (found := self.since(kind, revision)) and not self.closed:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self.changed.wait(left)
            return found


def place_of(each: Mapping[str, Any]) -> Place:
    """Return where an object is."""
    meta = each["metadata"]
    return meta.get("namespace", ""), meta["name"]


def _same(before: Object, made: Object) -> bool:
    """Return whether an object is the stored one, but for its revision."""
    if {key: value for key, value in before.items() if key != "metadata"} != {
        key: value for key, value in made.items() if key != "metadata"
    }:
        return False
    old, new = dict(before["metadata"]), dict(made["metadata"])
    old.pop("resourceVersion", None)
    new.pop("resourceVersion", None)
    return old == new
