"""What pods print: followed while they run, and read once more, whole, when they have ended."""

import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cloudtune.errors import ProviderError
from cloudtune_kubernetes.client import Cluster, Query, moment
from cloudtune_kubernetes.feed import lines_in
from cloudtune_kubernetes.pod import CONTAINER

_STAMP = re.compile(r"(\S+?)(?:\.(\d+))?(Z|[+-]\d\d:\d\d) ?")
"""The time before each line (``timestamps``), in RFC 3339 with up to nine digits of a second's parts."""

_SILENCE = 3600.0
"""Seconds for which a pod may print nothing before its log is asked for again."""

_LOST = 3
"""How often a log that is followed may break without a line in between, before only its end is read."""

WITHOUT_LOG = frozenset({"400", "404"})
"""Codes of the answer where there is no log: the container has not started, or the pod is gone."""


COLLECTOR = "metrics-logger-and-collector"
"""The container that tells what a trial of Katib's has printed, where Katib takes its output for itself
(cmd/metricscollector/v1beta1/file-metricscollector/main.go of kubeflow/katib)."""

_HEADER = re.compile(r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [^ \]]+:\d+\] ")
"""What that container writes before each line (k8s.io/klog)."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that a pod printed.

    Attributes:
        time: seconds since 1970.
        text: the line.
    """

    time: float
    text: str


class _Pass:
    """One reading of a log from its beginning, or from a time on: the time of its last line, and how many had this time."""

    def __init__(self) -> None:
        self.key: tuple[str, int] = ("", 0)
        self.same = 0


class PodLog:
    """The lines of one pod, each once, however often its log is read.

    Args:
        cluster: where the pod is.
        pod: its name.
        lines: of the pod before it in the same Job, which are taken first.
        container: whose log it is.

    Attributes:
        followed: whether it was followed.
        whole: whether that came to the end of what was printed.
    """

    def __init__(self, cluster: Cluster, pod: str, lines: Iterable[Line] = (), container: str = CONTAINER) -> None:
        self._cluster, self.pod, self._container = cluster, pod, container
        self._lock = threading.Lock()
        self._new: deque[Line] = deque(lines)
        self._last: tuple[str, int] = ("", 0)
        self._same = 0
        self._ended = threading.Event()
        self.followed = self.whole = False

    def taken(self) -> list[Line]:
        """Return the lines that no earlier call returned."""
        with self._lock:
            lines = list(self._new)
            self._new.clear()
            return lines

    def follow(self) -> None:
        """Begin to follow the log, in a thread of its own."""
        self.followed = True
        threading.Thread(target=self._follow, daemon=True, name=f"log of {self.pod}").start()

    def close(self) -> None:
        """Follow it no longer."""
        self._ended.set()

    def read(self) -> list[str]:
        """Read the whole log; return its lines, of which those that are new are taken as well.

        Raises:
            ProviderError: it cannot be read.
        """
        reading = _Pass()
        with self._cluster.opened(f"reading the log of {self.pod}", "GET", *self._place(follow=False)) as answer:
            return [self._take(line, reading) for line in lines_in(answer, last=True)]

    def _follow(self) -> None:
        broken = 0
        while not self._ended.is_set() and broken < _LOST:
            before = self._last, self._same
            try:
                self._read_on()
            except ProviderError as error:
                if error.code in WITHOUT_LOG:
                    return
                broken = broken + 1 if (self._last, self._same) == before else 0
                self._ended.wait(0.5 * 2**broken)
            else:
                self.whole = not self._ended.is_set()
                return  # to its end, which the last reading makes sure of

    def _read_on(self) -> None:
        reading, place = _Pass(), self._place(follow=True)
        with self._cluster.opened(f"following the log of {self.pod}", "GET", *place, read=_SILENCE) as answer:
            for line in lines_in(answer):
                if self._ended.is_set():
                    return
                self._take(line, reading)

    def _place(self, *, follow: bool) -> tuple[str, Query]:
        query: dict[str, str | int | bool] = {"container": self._container, "timestamps": True, "follow": follow}
        if follow and self._last[0]:
            query["sinceTime"] = self._last[0]  # whole seconds: what came in that one is told again
        return self._cluster.path("pods", self.pod, "log"), query

    def _take(self, line: bytes, reading: _Pass) -> str:
        """Take a line, unless another reading has; return its text."""
        said = line.decode("utf-8", "replace")
        stamp = _STAMP.match(said)
        if stamp is None:
            return said
        text, key = (
            told_by(self._container, said[stamp.end() :]),
            (stamp[1] + stamp[3], int((stamp[2] or "0").ljust(9, "0")[:9])),
        )
        with self._lock:
            reading.key, reading.same = key, reading.same + 1 if key == reading.key else 1
            if key < self._last or (key == self._last and reading.same <= self._same):
                return text
            self._last, self._same = key, reading.same
            self._new.append(Line((moment(key[0]) or 0.0) + key[1] / 1e9, text))
        return text


def told_by(container: str, line: str) -> str:
    """Return a line of a trial's output: what Katib's collector tells of one stands behind a header of its own."""
    return _HEADER.sub("", line, count=1) if container == COLLECTOR else line


def log_of(cluster: Cluster, pod: str, container: str = CONTAINER) -> list[str]:
    """Return the lines that a pod has printed so far; none where it has not started, or is gone.

    Raises:
        ProviderError: the cluster cannot be reached, or refuses.
    """
    try:
        answer: Any = cluster.call(
            f"reading the log of {pod}", "GET", cluster.path("pods", pod, "log"), {"container": container}
        )
    except ProviderError as error:
        if error.code not in WITHOUT_LOG:
            raise
        return []
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)
    return [told_by(container, line) for line in _lines(text)]


def _lines(text: str) -> Iterator[str]:
    yield from text.removesuffix("\n").split("\n") if text else ()
