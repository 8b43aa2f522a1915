"""Machines that run trials, given a way to execute a shell script on them."""

import json
import shlex
import tarfile
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, ClassVar

from cloudtune.bundle.package import unpack_inside
from cloudtune.errors import ProviderError

RETRY = 5.0
"""Seconds until a machine that could not be used is tried again."""

_ABSENT = 97
"""The exit code where a machine has not got the run's files yet."""


class ScriptError(ProviderError):
    """A script on another machine failed, or could not be sent there.

    Attributes:
        status: the exit code of the shell, or of the program that sends scripts there; 0 for an unreadable answer.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, retryable=True)
        self.status = status


class Machine(ABC):
    """A machine with a POSIX shell, ``tar`` and Python, and the folder of a run on it.

    Args:
        name: unique among the run's machines; for messages, and to find the machine of a trial again.
        folder: path of the run's folder there; relative to the folder that scripts start in.
        python: the interpreter there, of a version that cloudtune supports.
        files: path of a tar file that is unpacked there once: ``lib`` with the package ``cloudtune``, and what trials need.

    Attributes:
        up: whether the last script succeeded.
        why: the reason if it did not.
        seen: when the last successful script began, in seconds of `time.monotonic`.
        next_try: when a machine that is not up is tried again, in seconds of `time.monotonic`.
    """

    agent: ClassVar[str] = "cloudtune.process.agent"
    """The module that answers calls there, as this one does: a list of calls from standard input, a list of answers."""

    def __init__(self, name: str, folder: str, python: str, files: Path) -> None:
        self.name, self._folder, self._python, self._files = name, shlex.quote(folder), python, files
        self.up, self.why, self.seen, self.next_try = False, "", time.monotonic(), 0.0

    @abstractmethod
    def execute(self, script: str, given: IO[bytes] | None, got: IO[bytes]) -> None:
        """Execute a script by ``sh`` on the machine and wait for its end.

        Args:
            script: the text for ``sh``.
            given: a file open for reading, the script's standard input; None for an empty one.
            got: a file open for writing, to which the script's standard output is written.

        Raises:
            ScriptError: the exit code is not 0, or the script could not be sent.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connections to the machine; its trials go on."""

    def connect(self) -> None:
        """Prepare the machine for trials: unpack the run's files there unless that was done before.

        Raises:
            ProviderError: the machine cannot be reached, or lacks something; no trial was sent.
        """
        try:
            self.ask([])
        except ScriptError as error:
            if error.status != _ABSENT:
                raise
            into = f"umask 077 && mkdir -p {self._folder}/source && cd {self._folder}"
            with self._files.open("rb") as packed:
                self._run(f"{into} && tar -xzf - && touch ready", packed).close()
            self.ask([])

    def ask(self, calls: Sequence[Any]) -> Any:
        """Send calls to the agent on the machine and return its answers; both as `cloudtune.process.agent` describes.

        Raises:
            ProviderError: no answer came; the calls may have been carried out or not.
        """
        path = '"$PWD/lib${PYTHONPATH:+:$PYTHONPATH}"'
        with tempfile.TemporaryFile() as given:
            given.write(json.dumps(calls).encode())
            given.seek(0)
            script = self._inside(f"PYTHONPATH={path} exec {self._python} -m {self.agent}")
            with self._run(script, given) as answers:
                lines = answers.read().splitlines()  # a login may print something before
        try:
            return json.loads(lines[-1])
        except (ValueError, IndexError):
            raise ScriptError(f"{self.name} answered {lines[-1:]!r}", 0) from None

    def send(self, folder: Path, below: str) -> None:
        """Copy a folder of this machine, if there is one, to one below the run's; see `ask` for errors."""
        if folder.is_dir():
            with tempfile.TemporaryFile() as packed:
                with tarfile.open(fileobj=packed, mode="w:gz") as archive:
                    archive.add(folder, ".")
                packed.seek(0)
                self._run(self._inside(f"mkdir -p {below} && tar -xzf - -C {below}"), packed).close()

    def bring(self, below: str, folder: Path) -> None:
        """Copy a folder below the run's to one of this machine; see `ask` for errors."""
        script = f"COPYFILE_DISABLE=1 tar -cf - -C {below} ."  # on macOS tar adds a file ._NAME for each with attributes else
        with self._run(self._inside(script)) as packed, tarfile.open(fileobj=packed) as archive:
            unpack_inside(archive, folder)

    def remove(self) -> None:
        """Remove all of the run; see `ask` for errors."""
        self._run(f"rm -rf {self._folder}").close()

    def _inside(self, script: str) -> str:
        return f"cd {self._folder} 2>/dev/null && test -e ready || exit {_ABSENT}; {script}"

    def _run(self, script: str, given: IO[bytes] | None = None) -> IO[bytes]:
        """Return what a script prints, in a file that the caller closes."""
        now, got = time.monotonic(), tempfile.TemporaryFile()  # noqa: SIM115  # the caller's
        try:
            self.execute(script, given, got)
        except BaseException as error:
            self.up, self.why, self.next_try = False, f"{self.name} cannot be used: {error}", now + RETRY
            got.close()
            raise
        self.up, self.seen = True, now
        got.seek(0)
        return got
