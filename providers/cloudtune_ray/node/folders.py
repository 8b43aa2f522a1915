"""The folder of a run on a node, shared by the run's slots there and removed with the last of them."""

import asyncio
import fcntl
import os
import shutil
import tarfile
import tempfile
from collections.abc import Awaitable, Sequence
from pathlib import Path


class RunFolder:
    """A run's folder on this node, for as long as this process uses it.

    Every slot holds a shared lock on it, which the system frees when the slot dies; any slot may remove a folder
    without locks. So the files of a killed slot or node stay only until the next run.

    Args:
        root: the folder of all runs on this node.
        name: of the run, unique in the cluster.
    """

    def __init__(self, root: Path, name: str) -> None:
        root.mkdir(parents=True, exist_ok=True)
        for other in root.iterdir():
            if other.name != name:
                _remove_unless_used(other)
        self.path = root / name
        self._lock = _use(self.path)

    def leave(self) -> None:
        """Release the folder; the last slot removes it."""
        os.close(self._lock)
        _remove_unless_used(self.path)

    async def unpacked(self, name: str, pieces: Sequence[Awaitable[bytes]]) -> Path:
        """Return an archive's folder; the first slot of the node that asks for it unpacks it.

        Args:
            name: identifies the content.
            pieces: the archive, a tar file, in parts.

        Raises:
            OSError: it cannot be written, e.g. because the disk is full.
        """
        target = self.path / name
        with (self.path / f"{name}.lock").open("w") as lock:
            await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
            if not target.is_dir():
                partly = Path(tempfile.mkdtemp(dir=self.path))
                await unpack(pieces, partly)
                partly.rename(target)
        return target


async def unpack(pieces: Sequence[Awaitable[bytes]], target: Path) -> None:
    """Unpack a tar file that comes in parts into a folder."""
    with tempfile.TemporaryFile(dir=target) as packed:
        for piece in pieces:
            await asyncio.to_thread(packed.write, await piece)
        packed.seek(0)
        with tarfile.open(fileobj=packed) as archive:
            # The run's own user packed it, with links that may lead anywhere.
            await asyncio.to_thread(archive.extractall, target, filter="fully_trusted")


def _use(folder: Path) -> int:
    """Create a folder and lock it for sharing; return the lock's descriptor."""
    while True:
        folder.mkdir(exist_ok=True)
        try:
            descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # another slot removed it meanwhile
            continue
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if _is_there(folder / ".lock", descriptor):
            return descriptor
        os.close(descriptor)


def _is_there(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False


def _remove_unless_used(folder: Path) -> None:
    try:
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # it is gone, or is being created
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return  # another slot uses it
    finally:
        os.close(descriptor)
