"""Runs in emulators: which emulator a run is in, and whether that emulator still runs.

The real service is never asked about an emulated run, even if its emulator is gone and the profile names the service
again: the run's record says which process served it (`Listener`), and every request is checked by `may_ask` first.
"""

import contextlib
import os
import platform
import socket
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from cloudtune.errors import ConfigError, EmulatorEnded, ProviderError

if TYPE_CHECKING:
    import psutil

    from cloudtune.store.records import RunRecord

_NAMES = ("127.0.0.1", "localhost", "::1")


def on_this_machine(endpoint: str | None) -> bool:
    """Return whether an endpoint is on this machine: an emulator's, whose data ends with its process."""
    return endpoint is not None and urlsplit(endpoint).hostname in _NAMES


# The process that serves an address


@dataclass(frozen=True, slots=True)
class Listener:
    """The process that serves an address of this machine.

    Attributes:
        address: e.g. ``http://127.0.0.1:40123``.
        host: the machine's name.
        pid: the process that listens there; None where that is not known (another user's).
        born: its start in seconds since 1970, which tells it from a later process of this pid.
    """

    address: str
    host: str
    pid: int | None = None
    born: float | None = None

    @classmethod
    def at(cls, address: str) -> Self:
        """Return the present listener at an address."""
        import psutil  # noqa: PLC0415  # needed for emulated runs alone

        port = urlsplit(address).port
        for process in _candidates():
            with contextlib.suppress(psutil.Error):
                if _listens(process, port):
                    return cls(address, platform.node(), process.pid, process.create_time())
        return cls(address, platform.node())

    @property
    def gone(self) -> bool:
        """Whether it has ended; False for one on another machine, which is not asked."""
        import psutil  # noqa: PLC0415  # needed for emulated runs alone

        if self.host not in ("", platform.node()):
            return False  # only that machine can tell
        if self.pid is None:
            return not is_served(self.address)
        try:
            process = psutil.Process(self.pid)
            if process.create_time() != self.born:
                return True
            return not _listens(process, urlsplit(self.address).port)
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:  # the process exists, but this user may not see its connections
            return not is_served(self.address)

    @property
    def mine(self) -> bool:
        """Whether it is this process."""
        return self.pid == os.getpid() and self.host == platform.node()


def _candidates() -> "Iterator[psutil.Process]":
    """Yield the processes that may serve an emulator: this one, which usually does, its parents, and all others."""
    import psutil  # noqa: PLC0415

    own = psutil.Process()
    first = [own, *own.parents()]
    yield from first
    yield from (process for process in psutil.process_iter() if process.pid not in {each.pid for each in first})


def _listens(process: "psutil.Process", port: int | None) -> bool:
    """Return whether a process listens at a port.

    Raises:
        psutil.Error: the process is gone, or this user may not see its connections.
    """
    import psutil  # noqa: PLC0415

    if (
        process.pid == os.getpid() and os.path.isdir("/dev/fd")  # noqa: PTH112
    ):  # for which the system need not list the connections of all processes: that takes 7 ms
        return any(_is_listener(int(name), port) for name in os.listdir("/dev/fd"))  # noqa: PTH208
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in process.net_connections("tcp"))


def _is_listener(descriptor: int, port: int | None) -> bool:
    """Return whether a descriptor of this process is a socket that listens at a port."""
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
        with socket.socket(fileno=os.dup(descriptor)) as found:
            inet = found.family in (socket.AF_INET, socket.AF_INET6)
            listens = inet and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            return bool(listens) and found.getsockname()[1] == port
    except OSError:  # it was closed meanwhile
        return False


def is_served(address: str) -> bool:
    """Return whether a process listens at an address of this machine."""
    parts = urlsplit(address)
    try:
        socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 80), timeout=0.5).close()
    except OSError:
        return False
    return True


def is_lost(endpoint: str | None) -> bool:
    """Return whether an endpoint is that of an emulator that has ended, so that retries are of no use."""
    return endpoint is not None and on_this_machine(endpoint) and not is_served(endpoint)


def refuse_lost(endpoint: str | None, doing: str) -> None:
    """Raise an error if the emulator at an endpoint has ended; called after a request failed.

    Args:
        endpoint: the endpoint of the request; None for a real service.
        doing: what was being done, as it follows ``while``.

    Raises:
        EmulatorEnded: the emulator has ended.
    """
    if is_lost(endpoint):
        raise EmulatorEnded(f"the emulator at {endpoint} has ended, while {doing}", code="Emulator")


# The emulators of a run


def listeners_of(addresses: Mapping[str, str]) -> dict[str, Mapping[str, Any]]:
    """Return what a run's record stores of its emulators.

    Args:
        addresses: by the provider's or profile's name; see `Provider.emulators`.
    """
    return {name: asdict(Listener.at(address)) for name, address in addresses.items()}


def anonymous(emulators: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return a run's emulators without their processes, for a driver that cannot see those (in a container)."""
    return {name: {**each, "host": "", "pid": None, "born": None} for name, each in emulators.items()}


def gone(record: "RunRecord") -> list[str]:
    """Return the names of a run's emulators that have ended."""
    return [name for name, each in record.emulators.items() if Listener(**each).gone]


def ends_with_this_process(record: "RunRecord") -> bool:
    """Return whether this process serves an emulator of a run."""
    return any(Listener(**each).mine for each in record.emulators.values())


def may_ask(record: "RunRecord", addresses: Mapping[str, str], names: Iterable[str]) -> None:
    """Raise an error unless the emulators that this process would ask are those of the run.

    Args:
        record: of the run.
        addresses: the emulators that this process would ask; see `Provider.emulators`.
        names: of the emulators to check, as in the run's record.

    Raises:
        ProviderError: the run's emulator is gone; or this process would ask another one, or a real service; or it
            would ask an emulator about a run that is not emulated.
    """
    for name in names:
        said = record.emulators.get(name)
        here = addresses.get(name)
        if said is None and here is None:
            continue
        if said is None:
            raise ProviderError(
                f"{record.id} is no emulated run, but this terminal leads to the emulator at {here}; take away the variables "
                "that lead there",
                code="Emulator",
            )
        listener = Listener(**said)
        if listener.gone:
            raise EmulatorEnded(f"the emulator of {record.id} has ended, and what it kept with it", code="Emulator")
        if here != listener.address:
            where = f"at {listener.address}" + ("" if listener.host == platform.node() else f" on {listener.host}")
            raise ProviderError(
                f"{record.id} is in the emulator {where}, to which this terminal does not lead; set the variables that the "
                "emulator printed at its start",
                code="Emulator",
            )


def check_served(endpoints: Mapping[str, str]) -> None:
    """Raise an error if no process serves the emulators of a new run.

    Raises:
        ConfigError: no process does; says where.
    """
    for name, address in endpoints.items():
        if not is_served(address):
            raise ConfigError(
                f"the emulator of {name} at {address} does not run; start one (cloudtune emulate {name}) and set the variables "
                "that it prints, or run with --emulate"
            )
