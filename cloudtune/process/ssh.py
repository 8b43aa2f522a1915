"""Execute scripts on a machine that is reached by the program ``ssh``, through one connection that all calls share."""

import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from typing import IO

from cloudtune.process.machine import ScriptError

_OPTIONS = (
    "BatchMode=yes",  # a password cannot be asked for
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ControlMaster=auto",
    "ControlPersist=60",
)


class SshConnection:
    """A connection to a host.

    Args:
        host: its name or address, as `ssh` takes it.
        user: who logs in; None, as for what follows, for what the user's ``~/.ssh/config`` says.
        port: that its server listens on.
        identity: a file with a private key.
        config: a file in the place of ``~/.ssh/config``.
    """

    def __init__(
        self,
        host: str,
        *,
        user: str | None = None,
        port: int | None = None,
        identity: str | None = None,
        config: str | None = None,
    ) -> None:
        self._host = host
        said = {"-F": config, "-p": port, "-l": user, "-i": identity}
        self._flags = [word for flag, value in said.items() if value is not None for word in (flag, str(value))]
        self._sockets = tempfile.TemporaryDirectory(prefix="ct-")

    def execute(self, script: str, given: IO[bytes] | None, got: IO[bytes]) -> None:
        """Execute a script by ``sh`` on the host; see `cloudtune.process.machine.Machine.execute`."""
        run_program(self._words("-T", "--", self._host, f"exec sh -c {shlex.quote(script)}"), given, got)

    def close(self) -> None:
        """Close the connection."""
        subprocess.call(self._words("-O", "exit", "--", self._host), stderr=subprocess.DEVNULL)
        self._sockets.cleanup()

    def _words(self, *words: str) -> list[str]:
        # short: a socket's path has 103 characters at most on macOS, whose temporary folders have 60, and ssh adds 17 for a while
        options = [word for option in (*_OPTIONS, f"ControlPath={self._sockets.name}/s") for word in ("-o", option)]
        return ["ssh", *self._flags, *options, *words]


def run_program(words: Sequence[str], given: IO[bytes] | None, got: IO[bytes]) -> None:
    """Run a program to its end, in a session of its own: Ctrl-C in a terminal is for the driver alone.

    Args:
        words: the program and its arguments.
        given: its standard input; None for an empty one.
        got: takes its standard output.

    Raises:
        ScriptError: its exit code is not 0; with the last line of its standard error.
    """
    with tempfile.TemporaryFile() as said:
        code = subprocess.call(
            words, stdin=given or subprocess.DEVNULL, stdout=got, stderr=said, start_new_session=True
        )
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines()
    if code:
        raise ScriptError(lines[-1] if lines else f"{words[0]} ended with code {code}", code)
