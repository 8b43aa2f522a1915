"""Leases: processors, memory and GPUs of this machine that one trial has for itself, in all runs of its user.

A lease is an open file with locks on ranges of its bytes (Linux's "open file description locks", see fcntl(2)): a range
for each device, as long as the device has shares. The trial's processes and their keeper inherit the open file, so the
system itself ends the lease when the last of them is gone, whatever becomes of drivers and keepers.
"""

import contextlib
import os
import stat
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor
from pathlib import Path

from cloudtune.process.devices import Device, Gpus, cpus_here, gpus_here, is_of_kind, memory_here
from cloudtune.process.needs import Needs

with contextlib.suppress(ModuleNotFoundError):  # Windows has none
    import fcntl

SHARES = 10_000
"""The parts of a device or a processor that can be leased apart."""

_CPUS = 1 << 52
_GPUS = 1 << 60
"""Where in the file the ranges begin of processors, and of GPUs; those of memory begin at 0, a byte for a byte."""

_FLOCK = "hhqqixxxx"  # struct flock: type, whence, start, length, pid


class _Taken(Exception):
    """There is no room now."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a machine has for trials."""

    cpus: tuple[int, ...]
    memory: int
    gpus: Gpus

    def bounded(self, needs: Needs) -> Needs:
        """Return needs of which no more is asked than there is."""
        gpus = min(needs.gpus or 0, len(self.gpus.devices)) or None
        cpus = None if needs.cpus is None else min(needs.cpus, len(self.cpus))
        return Needs(cpus, None if needs.memory is None else min(needs.memory, self.memory), gpus)

    def room(self, needs: Needs, most: int) -> int:
        """Return how many trials fit at once while nothing else runs; `most` if so many do."""
        asked = self.bounded(needs)
        return min(
            fitting(asked.cpus, len(self.cpus), most),
            fitting(asked.gpus, len(self.gpus.devices), most),
            self.memory // asked.memory if asked.memory else most,
            most,
        )


def resources_here(
    needs: Needs, kind: str | None, said: int | Sequence[str] | None, environ: Mapping[str, str]
) -> Resources:
    """Return what this machine has for trials. Its GPUs are looked for only if they are needed.

    Args:
        needs: of a trial.
        kind: of the GPUs that a trial needs: if there are any of it, others are left out. None for any.
        said: see `cloudtune.process.devices.gpus_here`.
        environ: the environment of the trials.

    Raises:
        ValueError: a GPU that is said is not there.
    """
    gpus = Gpus() if needs.gpus is None else gpus_here(said, environ)
    alike = tuple(device for device in gpus.devices if kind is None or is_of_kind(device, kind))
    return Resources(cpus_here(), memory_here(), Gpus(alike or gpus.devices, gpus.variables, gpus.order))


def fitting(amount: float | None, devices: int, most: int) -> int:
    """Return how many trials that take an amount each fit on so many devices; `most` if so many do."""
    return next((count for count in range(most, 0, -1) if _devices(amount, count) <= devices), 0)


def _devices(amount: float | None, count: int) -> int:
    """Return how many devices are taken when so many trials take an amount each; parts lie together."""
    whole, part = divmod(_shares(amount or 0), SHARES)
    return whole * count + (-(-count // (SHARES // part)) if part else 0)


def _shares(amount: float) -> int:
    return max(1, floor(amount * SHARES + 1e-6)) if amount else 0


@dataclass(slots=True)
class Lease:
    """What one trial has for itself, until it is closed here and in all processes that inherited it.

    Attributes:
        descriptor: of the open file.
        cpus: the processors that its threads may use; empty for all.
        environment: variables that show it its devices.
    """

    descriptor: int
    cpus: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def close(self) -> None:
        """Close the open file in this process; a second time has no effect."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


SUPPORTED = sys.platform == "linux" and hasattr(globals().get("fcntl"), "F_OFD_SETLK")
"""Whether the system has such locks, as they are written here; elsewhere trials share what there is.

macOS has them too, by the same names, and lays out ``struct flock`` in another order (its fcntl(2)).
"""


def lease(resources: Resources, needs: Needs) -> Lease | None:
    """Return a lease of what a trial needs; None if that is not free now.

    Args:
        resources: of this machine.
        needs: of the trial; of more than there is, it gets all.

    Raises:
        OSError: the file of the locks cannot be opened.
    """
    needs = resources.bounded(needs)
    descriptor = os.open(_file(), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        cpus = _claim(descriptor, [_CPUS + cpu * SHARES for cpu in resources.cpus], needs.cpus)
        gpus = _claim(descriptor, [_place(device) for device in resources.gpus.devices], needs.gpus)
        _claim_part(descriptor, 0, resources.memory, needs.memory or 0)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, _Taken):
            return None
        raise
    os.utime(descriptor)  # what is never changed is taken for forgotten where old files of /tmp are removed
    shown = resources.gpus.environment([resources.gpus.devices[index] for index in gpus]) if needs.gpus else {}
    return Lease(descriptor, tuple(resources.cpus[index] for index in cpus), shown)


def _file() -> str:
    """Return the path of the file of the locks: the same for all programs of a user, whatever their environment.

    It is not below XDG_RUNTIME_DIR, which is removed when the user logs out while trials go on.
    """
    folder = os.environ.get("CLOUDTUNE_RUNTIME_DIR") or f"/tmp/cloudtune-{os.getuid()}"  # noqa: S108  # its owner is checked
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)  # noqa: PTH102
    status = os.lstat(folder)
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        raise PermissionError(1, "is not a folder of yours; say another by CLOUDTUNE_RUNTIME_DIR", folder)
    return str(Path(folder, "devices"))


def _place(device: Device) -> int:
    """Return where in the file a GPU's range begins: by its key alone, since runs may see different GPUs."""
    import hashlib  # noqa: PLC0415  # slow to load, and most jobs need no GPU

    number = int.from_bytes(hashlib.sha256(device.key.encode()).digest()[:5])
    return _GPUS + number * SHARES


def _claim(descriptor: int, places: Sequence[int], amount: float | None) -> list[int]:
    """Lock an amount of devices, and return their indices."""
    whole, part = divmod(_shares(amount or 0), SHARES)
    taken = [_claim_shares(descriptor, places, part)] if part else []
    for index, place in enumerate(places):
        if whole and index not in taken and _lock(descriptor, place, place + SHARES):
            taken.append(index)
            whole -= 1
    if whole:
        raise _Taken
    return sorted(taken)


def _claim_shares(descriptor: int, places: Sequence[int], part: int) -> int:
    """Lock shares of one device, of those with enough the one with the fewest, and return its index."""
    free = [sum(end - start for start, end in _gaps(descriptor, place, place + SHARES)) for place in places]
    enough = [index for index, shares in enumerate(free) if shares >= part]
    if not enough:
        raise _Taken
    index = min(enough, key=lambda index: free[index])
    _claim_part(descriptor, places[index], SHARES, part)
    return index


def _claim_part(descriptor: int, start: int, size: int, wanted: int) -> None:
    """Lock so many bytes of a range, wherever they are free."""
    for first, end in _gaps(descriptor, start, start + size):
        if not wanted:
            return
        last = min(end, first + wanted)
        if not _lock(descriptor, first, last):
            raise _Taken  # by another run, between the look and this
        wanted -= last - first
    if wanted:
        raise _Taken


def _gaps(descriptor: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a range that nobody else has locked, from its start on."""
    if start >= end:
        return
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, end - start, 0)
    kind, _, first, length, _ = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))
    if kind == fcntl.F_UNLCK:
        yield start, end
    else:
        yield from _gaps(descriptor, start, first)
        yield from _gaps(descriptor, first + length, end)


def _lock(descriptor: int, start: int, end: int) -> bool:
    """Lock a range; return whether it was free."""
    try:
        fcntl.fcntl(
            descriptor, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, end - start, 0)
        )
    except (BlockingIOError, PermissionError):
        return False
    return True
