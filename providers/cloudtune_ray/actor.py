"""The actor that runs trials on a node, one after the other, by `cloudtune_ray.node.slot`.

Its class is pickled by value, since nodes need not have cloudtune: it unpacks cloudtune's own files, which are sent
with it, and imports the rest from there. So it may use only the standard library, and nothing else of this module.
"""

from typing import Any


class SlotActor:
    """A slot for trials.

    Args:
        package: cloudtune's own files as a zip archive.
        digest: the archive's hash.
        linger: see `RayJob.linger`, in seconds.
    """

    def __init__(self, package: bytes, digest: str, linger: float) -> None:
        import io  # noqa: PLC0415  # only the class is pickled, not its module's imports
        import os  # noqa: PLC0415
        import shutil  # noqa: PLC0415
        import sys  # noqa: PLC0415
        import tempfile  # noqa: PLC0415
        import zipfile  # noqa: PLC0415

        root = os.path.join(tempfile.gettempdir(), f"cloudtune-ray-{os.getuid()}")  # noqa: PTH118  # as everywhere on nodes
        os.makedirs(root, mode=0o700, exist_ok=True)  # noqa: PTH103
        if os.stat(root).st_uid != os.getuid():  # noqa: PTH116
            raise PermissionError(f"{root} belongs to somebody else; set TMPDIR for the node's Ray")
        folder = os.path.join(root, f"package-{digest}")  # noqa: PTH118
        if not os.path.isdir(folder):  # noqa: PTH112
            unpacked = tempfile.mkdtemp(dir=root)
            zipfile.ZipFile(io.BytesIO(package)).extractall(unpacked)
            try:
                os.rename(unpacked, folder)  # noqa: PTH104
            except OSError:  # another slot of the node was faster
                shutil.rmtree(unpacked)
        sys.path.insert(0, folder)
        from cloudtune_ray.node.slot import Slot  # noqa: PLC0415

        self._slot: Any = Slot(root, folder, linger)

    async def prepare(self, setting: dict[str, Any]) -> None:
        """Call `Slot.prepare`."""
        await self._slot.prepare(setting)

    async def run(self, order: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Call `Slot.run`."""
        news: dict[str, Any] = await self._slot.run(order, seconds)
        return news

    async def listen(self, key: str, log: int, reports: int, seconds: float) -> dict[str, Any]:
        """Call `Slot.listen`."""
        news: dict[str, Any] = await self._slot.listen(key, log, reports, seconds)
        return news

    async def read(self, key: str, name: str, offset: int) -> bytes:
        """Call `Slot.read`."""
        data: bytes = await self._slot.read(key, name, offset)
        return data

    async def stop(self, key: str) -> None:
        """Call `Slot.stop`."""
        await self._slot.stop(key)

    async def status(self) -> dict[str, Any]:
        """Call `Slot.status`."""
        answer: dict[str, Any] = await self._slot.status()
        return answer

    async def leave(self) -> None:
        """End the trial, if one runs, and the actor."""
        await self._slot.leave()
