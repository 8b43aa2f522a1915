"""Large objects of S3 on the disk, where moto would hold them in memory: while they come, are joined, and are read.

Moto's keys then take and give a `Stored` where they otherwise have bytes, and its uploads in parts join what is on the
disk. What is small stays as moto has it.
"""

import base64
import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec
from typing import IO, Any, NamedTuple

from moto.s3.exceptions import EntityTooSmall, InvalidPart, MalformedXML
from moto.s3.models import FakeKey, FakeMultipart
from moto.settings import S3_UPLOAD_PART_MIN_SIZE, get_s3_default_key_buffer_size

CHUNK = 256 * 1024
"""Bytes that are in memory at a time."""


class _Piece(NamedTuple):
    """A part of an open file, in bytes."""

    file: IO[bytes]
    begin: int
    size: int


class Stored:
    """Bytes on the disk, which do not change; takes the place of bytes, and of the buffer of a key of moto.

    Others may have the same files: one is closed when nobody needs it any more.

    Args:
        pieces: what they are, one after the other.
    """

    def __init__(self, pieces: Iterable[_Piece]) -> None:
        self._pieces = [piece for piece in pieces if piece.size]
        self._place = 0

    @classmethod
    def of(cls, file: IO[bytes], size: int) -> "Stored":
        """Return the first bytes of a file, of which all is written."""
        return cls([_Piece(file, 0, size)])

    @classmethod
    def joined(cls, parts: Iterable["Stored"]) -> "Stored":
        """Return one after the other."""
        return cls(piece for part in parts for piece in part._pieces)  # noqa: SLF001  # its own

    def __len__(self) -> int:
        return sum(piece.size for piece in self._pieces)

    def __getitem__(self, wanted: slice) -> "Stored":
        begin, end, _ = wanted.indices(len(self))
        found, at = [], 0
        for file, start, size in self._pieces:
            low, high = max(begin - at, 0), min(end - at, size)
            found.append(_Piece(file, start + low, max(high - low, 0)))
            at += size
        return Stored(found)

    def __iter__(self) -> Iterator[bytes]:
        for file, start, size in list(self._pieces):
            at, end = start, start + size
            while at < end:
                data = os.pread(file.fileno(), min(CHUNK, end - at), at)
                if not data:
                    raise OSError("an object's file is shorter than the object")
                at += len(data)
                yield data

    def seek(self, place: int) -> int:
        """Go to a byte, from where `read` reads."""
        self._place = place
        return place

    def read(self, most: int = -1) -> bytes:
        """Return so many bytes from where it is, or all that are left."""
        begin = self._place
        data = b"".join(self[begin:] if most < 0 else self[begin : begin + most])
        self._place += len(data)
        return data

    def close(self) -> None:
        """Forget them."""
        self._pieces = []


def is_large(size: int) -> bool:
    """Return whether moto, too, would have an object of so many bytes on the disk at last."""
    return size > get_s3_default_key_buffer_size()


def kept(file: IO[bytes], size: int) -> "Stored | bytes":
    """Return the content of a file, which is nobody else's and of which all is written: bytes where it is small."""
    if is_large(size):
        return Stored.of(file, size)
    file.seek(0)
    return file.read(size)


def copied(source: IO[bytes]) -> "Stored | bytes":
    """Return the content of a file that may change later."""
    target = tempfile.SpooledTemporaryFile(max_size=CHUNK)  # noqa: SIM115  # the object's
    shutil.copyfileobj(source, target, CHUNK)
    target.flush()
    return kept(target, target.tell())


# Moto's keys

_lazily: ContextVar[bool] = ContextVar("lazily", default=False)


@contextlib.contextmanager
def lazily() -> Iterator[None]:
    """Have the value of a key on the disk be a `Stored` of its own, in this thread, while the context lasts."""
    before = _lazily.set(True)
    try:
        yield
    finally:
        _lazily.reset(before)


_value: Any = FakeKey.value


def _get(key: Any) -> "Stored | bytes":
    buffer = key._value_buffer  # noqa: SLF001  # moto has no other way
    if _lazily.get() and isinstance(buffer, Stored):
        return buffer[:]
    return bytes(_value.fget(key))


def _set(key: Any, content: "Stored | bytes") -> None:
    if not isinstance(content, Stored):
        _value.fset(key, content)
        return
    key._value_buffer.close()  # noqa: SLF001
    key._value_buffer, key.contentsize = content[:], len(content)  # noqa: SLF001
    if key._etag is None:  # noqa: SLF001
        key._etag = digest(hashlib.md5(usedforsecurity=False), content).hex()  # noqa: SLF001


FakeKey.value = property(_get, _set)  # type: ignore[assignment,method-assign]  # which takes what it took before, too


# Uploads in parts


class Upload(FakeMultipart):
    """An upload whose parts are all in one file; one of moto's becomes it by having its ``__class__`` set."""

    _file: IO[bytes] | None = None
    _writing = threading.Lock()

    def set_part(self, part_id: int, value: "Stored | bytes") -> FakeKey:
        """Take a part."""
        return super().set_part(part_id, self._own(value) if isinstance(value, Stored) else value)  # type: ignore[arg-type]

    def complete(self, body: Iterable[tuple[int, str]]) -> Any:
        """Return the content, its ETag, and its checksum: type, value and number of parts, None where none is known.

        Raises:
            S3ClientError: a part is not there or too small, or none is named.
        """
        parts: list[FakeKey] = []
        for number, etag in body:
            part = self.parts.get(number)
            if part is None or part.etag.strip('"') != etag.strip('"'):
                raise InvalidPart
            if parts and parts[-1].size < S3_UPLOAD_PART_MIN_SIZE:
                raise EntityTooSmall
            parts.append(part)
        if not parts:
            raise MalformedXML
        with lazily():
            contents: list[Any] = [part.value for part in parts]
        content = Stored.joined(each if isinstance(each, Stored) else self._own([each]) for each in contents)
        md5 = hashlib.md5(b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts), usedforsecurity=False)
        return content, f"{md5.hexdigest()}-{len(parts)}", self._checksum(content, contents)

    def _checksum(self, content: Stored, parts: list[Any]) -> tuple[str, str, int] | None:
        algorithm = self.metadata.get("x-amz-checksum-algorithm") or "CRC64NVME"
        kind = self.metadata.get("x-amz-checksum-type") or ("FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE")
        if kind != "COMPOSITE":
            whole = checksum(content, algorithm)
            return None if whole is None else (kind, whole, 1)
        found = [checksum(part if isinstance(part, Stored) else [part], algorithm) for part in parts]
        value = checksum([base64.b64decode(each) for each in found if each is not None], algorithm)
        return None if value is None else (kind, value, len(parts))

    def dispose(self) -> None:
        """Forget the parts."""
        super().dispose()
        self._file = None

    def _own(self, chunks: Iterable[bytes]) -> Stored:
        """Return the same in the file of this upload."""
        with self._writing:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115  # the object's
            begin = self._file.seek(0, os.SEEK_END)
            for chunk in chunks:
                self._file.write(chunk)
            self._file.flush()
            return Stored([_Piece(self._file, begin, self._file.tell() - begin)])


# Checksums


class _Crc:
    """A CRC with the interface of hashlib's sums."""

    def __init__(self, step: Callable[[bytes, int], int], size: int) -> None:
        self._step, self._size, self._sum = step, size, 0

    def update(self, data: bytes) -> None:
        self._sum = self._step(data, self._sum)

    def digest(self) -> bytes:
        return self._sum.to_bytes(self._size, "big")


def checksum(chunks: Iterable[bytes], algorithm: str) -> str | None:
    """Return the checksum of a content in base64, as S3 has it; None where it cannot be known on this machine.

    Args:
        chunks: the content.
        algorithm: CRC32, SHA1 or SHA256; with the package awscrt CRC32C and CRC64NVME, too.
    """
    algorithm = algorithm.upper()
    if algorithm in ("SHA1", "SHA256"):
        total: Any = hashlib.new(algorithm, usedforsecurity=False)
    elif algorithm == "CRC32":
        total = _Crc(zlib.crc32, 4)
    elif algorithm in ("CRC32C", "CRC64NVME") and find_spec("awscrt") is not None:
        total = _Crc(getattr(import_module("awscrt.checksums"), algorithm.lower()), 4 if algorithm == "CRC32C" else 8)
    else:
        return None
    return base64.b64encode(digest(total, chunks)).decode()


def digest(total: Any, chunks: Iterable[bytes]) -> bytes:
    """Return the sum of a content by one of hashlib's."""
    for chunk in chunks:
        total.update(chunk)
    return bytes(total.digest())
