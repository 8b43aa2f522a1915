"""All objects of a kind that bear a run's label, kept up to date by one watch however many there are.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from cloudtune.errors import EmulatorEnded, ProviderError
from cloudtune_kubernetes.client import EXPIRED, Cluster, Query

Object = Mapping[str, Any]

_WATCH = 290
"""Seconds after which the cluster ends a watch, which then goes on from where it was."""

_TOLERATED = 300.0
"""Seconds for which a watch may be broken before that is an error: what is known is as it was meanwhile."""

_PAUSE, _LASTS = 0.1, 1.0
"""Seconds before a watch that has ended is resumed, doubled while it brings nothing and ends sooner than the second."""

_PAGE = 500
"""Objects of one page of a list."""


class Feed:
    """Lists objects once, and watches them from there on in a thread of its own.

    A watch that ends or breaks is resumed from the last version that it brought; where the cluster has forgotten that
    version (410), the objects are listed anew.

    Args:
        cluster: where they are.
        kind: ``jobs`` or ``pods``.
        selector: the labels of those to watch.
    """

    def __init__(self, cluster: Cluster, kind: str, selector: str) -> None:
        self._cluster, self._kind, self._selector = cluster, kind, selector
        self._lock = threading.Lock()
        self._objects: dict[str, Object] = {}
        self._version = ""
        self._failure: ProviderError | None = None
        self._since = 0.0  # when it failed first, in seconds of `time.monotonic`
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """List the objects, and begin to watch them.

        Raises:
            ProviderError: the cluster cannot be reached, or refuses.
        """
        if self._thread is None:
            self._list()
            self._thread = threading.Thread(target=self._run, daemon=True, name=f"watch of {self._kind}")
            self._thread.start()

    def objects(self) -> dict[str, Object]:
        """Return the objects by name, as of now.

        Raises:
            ProviderError: the watch is broken for good, or for long.
        """
        with self._lock:
            failure = self._failure
            if failure is not None and (not failure.retryable or time.monotonic() - self._since > _TOLERATED):
                raise failure
            return dict(self._objects)

    def close(self) -> None:
        """End the watch; its thread ends with its present connection."""
        self._ended.set()

    def _run(self) -> None:
        pause = _PAUSE
        while not self._ended.is_set():
            before, began = self._version, time.monotonic()
            try:
                if not self._version:
                    self._list()
                self._watch()
                self._fail(None)
            except ProviderError as error:
                if self._cluster.is_lost:
                    self._fail(EmulatorEnded(str(error), code="Emulator"))
                    return
                if error.code == EXPIRED:
                    self._version = ""  # listed anew, after a pause that grows where that expires at once, too
                else:
                    self._fail(error)
            lasted = self._version not in (before, "") or time.monotonic() - began > _LASTS
            pause = _PAUSE if lasted else min(2 * pause, 10.0)
            self._ended.wait(pause)

    def _fail(self, error: ProviderError | None) -> None:
        with self._lock:
            self._since = time.monotonic() if self._failure is None else self._since
            self._failure = error

    def _list(self) -> None:
        found: dict[str, Object] = {}
        more, version = "", ""
        while True:
            query: Query = {"labelSelector": self._selector, "limit": _PAGE, **({"continue": more} if more else {})}
            page = self._cluster.call(f"listing {self._kind}", "GET", self._cluster.path(self._kind), query)
            found.update((each["metadata"]["name"], each) for each in page["items"])
            version, more = page["metadata"]["resourceVersion"], page["metadata"].get("continue", "")
            if not more:
                break
        with self._lock:
            self._objects, self._version, self._failure = found, version, None

    def _watch(self) -> None:
        query: Query = {
            "labelSelector": self._selector,
            "watch": True,
            "resourceVersion": self._version,
            "allowWatchBookmarks": True,
            "timeoutSeconds": _WATCH,
        }
        doing = f"watching {self._kind}"
        with self._cluster.opened(doing, "GET", self._cluster.path(self._kind), query, read=_WATCH + 30) as answer:
            self._fail(None)
            for line in lines_in(answer):
                if self._ended.is_set():
                    return
                self._take(json.loads(line))

    def _take(self, event: Mapping[str, Any]) -> None:
        kind, seen = event["type"], event["object"]
        if kind == "ERROR":
            raise ProviderError(
                f"the watch of {self._kind} ended: {seen.get('message')}", code=str(seen.get("code")), retryable=True
            )
        with self._lock:
            self._version = seen["metadata"]["resourceVersion"]
            if kind == "DELETED":
                self._objects.pop(seen["metadata"]["name"], None)
            elif kind != "BOOKMARK":
                self._objects[seen["metadata"]["name"]] = seen


def lines_in(answer: Any, *, last: bool = False) -> Iterator[bytes]:
    """Yield the lines of an answer as they come.

    Args:
        answer: whose body is not read yet.
        last: whether a last line without an end counts; else it was cut.
    """
    rest = b""
    for piece in answer.stream(1 << 16, decode_content=True):
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line for line in lines if line)
    if last and rest:
        yield rest
