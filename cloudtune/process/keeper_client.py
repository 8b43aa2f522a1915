"""The driver's connection to the keeper."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloudtune.process.leases import Lease

_IMPORTED_FROM = Path(__file__).parents[2]
"""The folder that this package is imported from."""

_START = """\
import sys
sys.path.append(sys.argv[1])
from cloudtune.process.keeper import main
sys.path.pop()
main()
"""
"""Imports the keeper, whose compiled form Python keeps; a file that is run is compiled anew each time."""


class KeeperClient:
    """A running keeper and the socket to it.

    Args:
        environment: of the keeper, which its trials inherit.
        log: path of the file that the keeper's own errors are appended to.
        bare: whether the keeper needs the standard library alone; it then starts twice as fast.

    Attributes:
        socket: to the keeper; readable when `receive` has answers.

    Raises:
        OSError: the process cannot be started, or its log cannot be opened.
    """

    def __init__(self, environment: Mapping[str, str], log: Path, *, bare: bool) -> None:
        self.socket, theirs = socket.socketpair()
        flags = [*(["-I", "-S"] if bare else ["-P"]), *_bytecode_flags()]
        with theirs, log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, *flags, "-c", _START, str(_IMPORTED_FROM), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(environment),
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._buffer = b""

    @property
    def pid(self) -> int:
        """The keeper's process id."""
        return self._process.pid

    def send(self, request: Mapping[str, Any], *descriptors: int) -> None:
        """Send a request of the protocol that `cloudtune.process.keeper` describes, with the descriptors that it needs.

        Raises:
            OSError: the keeper is gone.
        """
        data = json.dumps(request).encode() + b"\n"
        if not descriptors:
            self.socket.sendall(data)
            return
        sent = socket.send_fds(self.socket, [data], descriptors)
        self.socket.sendall(data[sent:])

    def start(self, request: Mapping[str, Any], lease: "Lease | None", *descriptors: int) -> None:
        """Send a request for a process that holds a lease, if it needs one; see `send`."""
        if lease is None:
            self.send(request, *descriptors)
            return
        environment = {**request.get("env", {}), **lease.environment}
        asked = {**request, "env": environment, "lease": True, "cpus": lease.cpus}
        self.send(asked, lease.descriptor, *descriptors)

    def receive(self) -> Iterator[dict[str, Any]]:
        """Return the answers that have come; wait for one if there is none.

        Raises:
            ConnectionError: the keeper is gone.
        """
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionResetError("the keeper of the trials is gone")
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return (json.loads(line) for line in lines)

    def close(self) -> None:
        """Make the keeper end its processes and itself; kill it if that takes more than 10 s."""
        with contextlib.suppress(OSError):  # it may be gone already
            self.send({"do": "quit"})
        self.socket.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _bytecode_flags() -> list[str]:
    """Return flags by which another interpreter keeps compiled modules where this one does, also an isolated one."""
    prefix = [] if sys.pycache_prefix is None else ["-X", f"pycache_prefix={sys.pycache_prefix}"]
    return [*(["-B"] if sys.dont_write_bytecode else []), *prefix]


def trial_environment(base: Mapping[str, str], run_id: str, folder: Path, python: str | None) -> dict[str, str]:
    """Return the environment that all trials of a run share: the user's own, and the variables that mark its processes.

    ``python`` in it is the interpreter that runs cloudtune (or the given one), whether or not its virtual
    environment is activated.
    """
    own = {name: value for name, value in base.items() if not name.startswith("CLOUDTUNE_TRIAL")}
    programs = str(Path(python or sys.executable).parent)
    search = base.get("PATH", os.defpath)
    return {
        **own,
        "CLOUDTUNE_RUN": run_id,
        "CLOUDTUNE_RUN_FOLDER": str(folder),
        "PATH": search if search.split(os.pathsep)[0] == programs else programs + os.pathsep + search,
        "PYTHONUNBUFFERED": base.get("PYTHONUNBUFFERED", "1"),
    }
