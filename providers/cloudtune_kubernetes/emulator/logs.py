"""What containers print: kept by line with its time, and read with the options of the log subresource."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cloudtune.emulation.output import Allowance
from cloudtune_kubernetes.emulator import times
from cloudtune_kubernetes.emulator.errors import Refused, bad_request

_LOOK = 1.0
"""Seconds between two looks whether a client that follows is still there."""


@dataclass(frozen=True, slots=True)
class LogRequest:
    """The options of a request for logs (PodLogOptions).

    Attributes:
        container: "" for the only one.
        follow: whether new lines are sent until the container ends.
        previous: whether the container's earlier start is meant.
        timestamps: whether each line begins with its time.
        tail: how many of the last lines; None for all.
        since: seconds since 1970 from which on lines are sent.
        most: bytes after which it ends; None for no limit.
    """

    container: str = ""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail: int | None = None
    since: float = 0.0
    most: int | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "LogRequest":
        """Return the options of a request's parameters.

        Raises:
            Refused: one of them cannot be read.
        """
        try:
            since = times.seconds_of(query["sinceTime"]) if query.get("sinceTime") else 0.0
            if query.get("sinceSeconds"):
                since = time.time() - int(query["sinceSeconds"])
            tail, most = (int(query[name]) if query.get(name) else None for name in ("tailLines", "limitBytes"))
        except ValueError as error:
            raise bad_request(f"unable to decode the options of the log: {error}") from None
        if (tail or 0) < 0 or (most if most is not None else 1) < 1:
            name = "tailLines" if (tail or 0) < 0 else "limitBytes"
            raise Refused(422, "Invalid", f'PodLogOptions "" is invalid: {name}: Invalid value', {})
        follow, previous, stamps = (query.get(name) in ("true", "1") for name in ("follow", "previous", "timestamps"))
        return cls(query.get("container", ""), follow, previous, stamps, tail, since, most)


class Log:
    """The output of one start of a container.

    Args:
        path: the file that it is kept in.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = path.open("a", encoding="utf-8")
        self._changed = threading.Condition()
        self._allowance = Allowance()
        self._last: list[str] = []
        self.ended = False

    def add(self, line: str) -> None:
        """Append a line."""
        with self._changed:
            for kept in self._allowance.lines(line):
                self._file.write(f"{times.now_micro()} {kept}\n")
                self._last = [*self._last[-79:], kept]
            self._file.flush()
            self._changed.notify_all()

    def end(self) -> None:
        """Note that nothing follows. May be called twice."""
        with self._changed:
            self.ended = True
            self._file.close()
            self._changed.notify_all()

    @property
    def last_lines(self) -> list[str]:
        """The last lines, at most 80."""
        with self._changed:
            return list(self._last)

    def read(self, request: LogRequest, gone: Callable[[], bool]) -> Iterator[bytes]:
        """Yield lines as a request wants them, in chunks; while it follows, until the container ends or the client is gone."""
        left = request.most
        for chunk in self._chunks(request, gone):
            if left is None:
                yield chunk
            else:
                yield chunk[:left]
                left -= len(chunk)
                if left <= 0:
                    return

    def _chunks(self, request: LogRequest, gone: Callable[[], bool]) -> Iterator[bytes]:
        position, first = 0, True
        while True:
            with self._changed:
                if not first and not self.ended:
                    self._changed.wait(_LOOK)
                ended = self.ended
                try:
                    with self._path.open("rb") as file:
                        file.seek(position)
                        data = file.read()
                except FileNotFoundError:
                    return  # the pod is gone
            position += len(data)
            lines = [line for line in data.split(b"\n") if line]
            if first and request.tail is not None:
                lines = lines[len(lines) - min(request.tail, len(lines)) :]
            first = False
            shown = [line for line in (self._shown(line, request) for line in lines) if line is not None]
            if shown:
                yield b"".join(shown)
            if not request.follow or ended or gone():
                return

    def _shown(self, line: bytes, request: LogRequest) -> bytes | None:
        moment, _, text = line.partition(b" ")
        if request.since and times.seconds_of(moment.decode()) < request.since:
            return None
        return line + b"\n" if request.timestamps else text + b"\n"
