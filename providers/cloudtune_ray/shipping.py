"""Pack what is sent to the nodes: cloudtune's own files, the user's code, data, and checkpoints."""

import functools
import hashlib
import importlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from cloudtune.bundle.package import add_files
from cloudtune.bundle.tree import tree_of

_PIECE = 32 << 20
"""Bytes of an archive in one object of Ray's store."""

_OWN_PACKAGES = ("cloudtune", "cloudtune_ray")


@functools.cache
def package() -> tuple[bytes, str]:
    """Return cloudtune's own files that a node needs, as a zip archive, and its hash."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in _OWN_PACKAGES:
            folder = Path(importlib.import_module(name).__file__ or "").parent
            for path in sorted(folder.rglob("*.py")):
                entry = zipfile.ZipInfo(f"{name}/{path.relative_to(folder).as_posix()}")  # undated, for the hash
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    content = packed.getvalue()
    return content, hashlib.sha256(content).hexdigest()[:16]


def archive(place: Path, put: Callable[[bytes], Any], path: str) -> list[Any]:
    """Pack the files of a file or folder that are sent into a tar file.

    Args:
        place: the file or folder.
        put: stores a part of the tar file and returns a reference to it.
        path: the spec's field that it comes from, for messages.

    Returns:
        The references, in order.

    Raises:
        SpecError: a file cannot be read.
    """
    return _packed(put, lambda target: add_files(target, tree_of(place).files, path))


def archive_as_it_is(folder: Path, put: Callable[[bytes], Any]) -> list[Any]:
    """Pack all of a folder that trials wrote, whose links stay links; see `archive`."""

    def add(target: tarfile.TarFile) -> None:
        for path in sorted(folder.iterdir()):
            target.add(path, path.name)

    return _packed(put, add)


def _packed(put: Callable[[bytes], Any], add: Callable[[tarfile.TarFile], None]) -> list[Any]:
    pieces = _Pieces(put)
    with tarfile.open(fileobj=cast("BinaryIO", pieces), mode="w|", format=tarfile.PAX_FORMAT) as target:
        add(target)
    pieces.flush()
    return pieces.references


class _Pieces:
    """A writable file that passes its content on in pieces."""

    def __init__(self, put: Callable[[bytes], Any]) -> None:
        self.references: list[Any] = []
        self._put = put
        self._buffer = bytearray()

    def write(self, data: bytes) -> int:
        """Add data to the file."""
        self._buffer += data
        while len(self._buffer) >= _PIECE:
            self.references.append(self._put(bytes(self._buffer[:_PIECE])))
            del self._buffer[:_PIECE]
        return len(data)

    def flush(self) -> None:
        """Pass on the rest."""
        if self._buffer:
            self.references.append(self._put(bytes(self._buffer)))
            self._buffer.clear()
