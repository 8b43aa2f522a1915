"""Search lines for regexes that users wrote, in a process of its own."""

# ruff: noqa: PTH100, PTH118, PTH120  # pathlib would double the time that importing this file takes
# ruff: noqa: PLC0415  # what only some trials need is imported when they need it

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


_ANSWER_TIME = (
    120.0  # seconds for an answer: the process itself takes 2 of computing at most, which on a busy machine may be 40
)


class RegexSearch:
    """Searches lines for regexes that users wrote, in a process of its own, so that no regex can hang this one.

    Python's engine may need hours for a line that a regex nearly matches, and cannot be interrupted in a thread. The
    process is started by the first search, and ends with this process.
    """

    def __init__(self) -> None:
        import _thread  # threading would take as long to import as all else here

        self._lock = _thread.allocate_lock()
        self._process: Any = None
        self._owner = 0

    def find(self, patterns: Mapping[str, str], lines: Sequence[str]) -> tuple[list[tuple[int, str, str]], list[str]]:
        """Return what the first group of each regex (the whole match, without a group) matches in the lines.

        Args:
            patterns: regexes by name; one that cannot be compiled finds nothing.
            lines: each is searched for each regex.

        Returns:
            For each match the number of the line, the name of the regex and the group's text, in order; and the
            names of regexes whose search took too long, once for each line that was given up.
        """
        request = json.dumps({"patterns": dict(patterns), "lines": list(lines)}).encode() + b"\n"
        with self._lock:
            try:
                answer = self._ask(request)
            except OSError:
                self._end()
                answer = b""
        if not answer:  # it was killed, or hangs
            return [], list(patterns)
        found = json.loads(answer)
        return [(index, name, text) for index, name, text in found["found"]], found["slow"]

    def _ask(self, request: bytes) -> bytes:
        import select

        process = self._started()
        process.stdin.write(request)
        process.stdin.flush()
        output = select.poll()  # select.select refuses descriptors from 1024 on, and a program may have opened as many
        output.register(process.stdout, select.POLLIN)
        answer = b""
        while not answer.endswith(b"\n"):
            data = os.read(process.stdout.fileno(), 1 << 20) if output.poll(1000 * _ANSWER_TIME) else b""
            if not data:
                self._end()
                return b""
            answer += data
        return answer

    def _started(self) -> Any:
        if self._owner != os.getpid():  # a fork of the process that started one
            self._process, self._owner = None, os.getpid()
        if self._process is None:
            import subprocess

            words = [
                sys.executable,
                "-I",
                "-S",
                os.path.join(os.path.dirname(os.path.abspath(__file__)), "matching_process.py"),
            ]
            self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            process.stdout.close()
            try:
                process.stdin.close()
            except OSError:
                return  # the rest of a request that it did not read


SEARCH = RegexSearch()
