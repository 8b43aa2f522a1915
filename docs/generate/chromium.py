"""A headless Chromium that opens pages, waits for what they show, and takes pictures, by its DevTools protocol over a pipe."""

import base64
import fcntl
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_BEYOND = 10
"""Descriptors from here on are out of the way of 3 and 4, by which Chromium reads commands and writes answers."""

_SECONDS = 60.0


def program() -> str | None:
    """Return the path of a browser; None where there is none."""
    return next((path for name in _PROGRAMS if (path := shutil.which(name)) is not None), None)


class Page:
    """A page of a browser that was started by `opened`."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._read = b""
        self._numbers = itertools.count(1)
        self._session: dict[str, str] = {}
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}

    def show(self, url: str, *, size: tuple[int, int], dark: bool = False) -> None:
        """Go to a page.

        Args:
            url: of the page.
            size: of the window, in pixels.
            dark: whether the page is asked for its dark colours.
        """
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        self._call(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False
        )
        self._call("Page.navigate", url=url)

    def wait(self, condition: str) -> None:
        """Wait until an expression of JavaScript is true.

        Raises:
            TimeoutError: it is not, within a minute.
        """
        until = time.monotonic() + _SECONDS
        while not self.value(f"Boolean({condition})"):
            if time.monotonic() > until:
                raise TimeoutError(f"the page never came to: {condition}")
            time.sleep(0.1)

    def value(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript; None where it raises."""
        return self._call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def picture(self, path: Path) -> None:
        """Write a picture of the window, a PNG."""
        self.value("document.fonts.ready")
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def _call(self, method: str, **arguments: Any) -> dict[str, Any]:
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": arguments, **self._session}
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while True:
            answer = self._answer()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result

    def _answer(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            more = os.read(self._answers, 1 << 16)
            if not more:
                raise RuntimeError("the browser has ended")
            self._read += more
        line, _, self._read = self._read.partition(b"\0")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def opened(browser: str) -> Iterator[Page]:
    """Start a browser for the time of the context.

    Args:
        browser: the path of its program.
    """
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _BEYOND) for pipe in (os.pipe(), os.pipe()) for end in _given(pipe)]
    reads, commands, answers, writes = ends

    def at_three_and_four() -> None:
        os.dup2(reads, 3)
        os.dup2(writes, 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [browser, "--headless", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe"]
        words += [f"--user-data-dir={profile}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        process = subprocess.Popen(
            words,
            close_fds=False,  # what is not to be inherited is marked so
            preexec_fn=at_three_and_four,  # noqa: PLW1509  # no thread is running
            stderr=subprocess.DEVNULL,
        )
        os.close(reads)
        os.close(writes)
        try:
            yield Page(commands, answers)
        finally:
            os.close(commands)
            os.close(answers)
            process.terminate()
            process.wait()


def _given(pipe: tuple[int, int]) -> Iterator[int]:
    """Yield both ends of a pipe, and close each when it has been copied."""
    for end in pipe:
        yield end
        os.close(end)
