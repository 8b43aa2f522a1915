"""Cloud Storage's objects as plain files, so that a folder of buckets can be shown to trials as ``/gcs``.

What a trial writes there is an object at once, as with Cloud Storage FUSE, and an object that a client uploads is a
file there. A file's time is its generation: a changed one is a new generation.
"""

import contextlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LONGEST = 222
"""Bytes of a bucket's name ("Bucket naming guidelines")."""

_LONGEST_PART = 250
"""Bytes of a part of an object's name: a file's has at most 255, of which what clients say of it takes some."""

_LONGEST_NAME = 1024
"""Bytes of an object's name ("Object naming guidelines")."""


_PIECE = 1024**2


class BucketMissing(LookupError):
    """There is no such bucket."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object.

    Attributes:
        bucket: the bucket's name.
        name: the object's, with slashes.
        path: its file.
        size: bytes.
        generation: grows with every change: nanoseconds since 1970.
        metadata: what its client said of it: fields of the JSON API, e.g. ``contentType``.
    """

    bucket: str
    name: str
    path: Path
    size: int
    generation: int
    metadata: dict[str, Any]


class Buckets:
    """All buckets.

    Args:
        folder: where they are; made if need be.
    """

    def __init__(self, folder: Path) -> None:
        self._objects = folder / "gcs"
        self._said = folder / "metadata"
        self._lock = threading.RLock()
        self._objects.mkdir(parents=True, exist_ok=True)

    @property
    def folder(self) -> Path:
        """What trials see at ``/gcs``: a folder a bucket."""
        return self._objects

    # Buckets

    def make(self, bucket: str) -> None:
        """Make a bucket; nothing if it is there.

        Raises:
            ValueError: the name cannot be a bucket's.
        """
        self._bucket_folder(bucket).mkdir(exist_ok=True)

    def exists(self, bucket: str) -> bool:
        """Return whether there is such a bucket."""
        return self._bucket_folder(bucket).is_dir()

    def names(self) -> list[str]:
        """Return the names of all buckets."""
        return sorted(path.name for path in self._objects.iterdir() if path.is_dir())

    def remove(self, bucket: str) -> None:
        """Remove an empty bucket.

        Raises:
            OSError: it holds objects.
        """
        folder = self._bucket_folder(bucket)
        if any(True for _ in self.listed(bucket)):
            raise OSError(f"the bucket {bucket} is not empty")
        shutil.rmtree(folder)
        shutil.rmtree(self._said / bucket, ignore_errors=True)

    def _bucket_folder(self, bucket: str) -> Path:
        if bucket in ("", ".", "..") or "/" in bucket or "\0" in bucket or len(_encoded(bucket)) > _LONGEST:
            raise ValueError(f"{bucket!r} is no name of a bucket")
        return self._objects / bucket

    # Objects

    def file(self, bucket: str, name: str) -> Path:
        """Return where an object is, or would be.

        Raises:
            BucketMissing: there is no such bucket.
            ValueError: the name cannot be a file's: it leads out of the bucket, or a part is empty or too long.
        """
        folder = self._bucket_folder(bucket)
        if not folder.is_dir():
            raise BucketMissing(bucket)
        parts = name.removesuffix("/").split("/")
        if not name or any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise ValueError(f"the emulator keeps objects as files, and {name!r} cannot be one's name")
        if any(len(_encoded(part)) > _LONGEST_PART for part in parts) or len(_encoded(name)) > _LONGEST_NAME:
            raise ValueError(f"the emulator keeps objects as files, and a part of {name!r} is too long for a name")
        return folder.joinpath(*parts)

    def path(self, uri: str) -> Path:
        """Return the file of a place, ``gs://bucket/name``.

        Raises:
            ValueError: it is no such place, or its name cannot be a file's.
            BucketMissing: there is no such bucket.
        """
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        if not uri.startswith("gs://"):
            raise ValueError(f"{uri!r} is no place in Cloud Storage")
        return self.file(bucket, name)

    def get(self, bucket: str, name: str) -> Stored | None:
        """Return an object; None if there is none.

        Raises:
            BucketMissing, ValueError: see `file`.
        """
        path = self.file(bucket, name)
        with self._lock:
            if name.endswith("/") != path.is_dir() or not path.exists():
                return None
            return self._stored(bucket, name, path)

    def _stored(self, bucket: str, name: str, path: Path) -> Stored:
        state = path.stat()
        size = 0 if path.is_dir() else state.st_size
        return Stored(bucket, name, path, size, state.st_mtime_ns, self._read_said(bucket, name))

    @contextlib.contextmanager
    def incoming(self) -> Iterator[Path]:
        """A file for what is still on its way; it goes unless it is moved."""
        folder = self._objects.with_name("incoming")
        folder.mkdir(mode=0o700, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as made:
            path = Path(made.name)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def put(self, bucket: str, name: str, content: bytes | Path, metadata: dict[str, Any]) -> Stored:
        """Make or replace an object, at once and whole.

        Args:
            bucket: the bucket's name.
            name: the object's.
            content: bytes, or a file, which is copied.
            metadata: what its client said of it.

        Raises:
            BucketMissing, ValueError: see `file`; ValueError also where a folder is in the way.
        """
        path = self.file(bucket, name)
        with self.incoming() as fresh, self._lock:
            try:
                if name.endswith("/"):
                    path.mkdir(parents=True, exist_ok=True)
                else:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    if isinstance(content, bytes):
                        fresh.write_bytes(content)
                    else:
                        shutil.copyfile(content, fresh)
                    fresh.replace(path)
            except (NotADirectoryError, IsADirectoryError, FileExistsError):
                message = f"the emulator keeps objects as files, and {name!r} is a folder or below a file"
                raise ValueError(message) from None
            except OSError as error:
                raise ValueError(f"the emulator cannot keep {name!r}: {error.strerror}") from None
            self._write_said(bucket, name, metadata)
            return self._stored(bucket, name, path)

    def say(self, stored: Stored, metadata: dict[str, Any]) -> Stored:
        """Give an object other metadata."""
        self._write_said(stored.bucket, stored.name, metadata)
        return self._stored(stored.bucket, stored.name, stored.path)

    def delete(self, stored: Stored) -> None:
        """Remove an object, and the folders that are empty without it."""
        with self._lock:
            if stored.path.is_dir():
                stored.path.rmdir()
            else:
                stored.path.unlink(missing_ok=True)
            self._said_file(stored.bucket, stored.name).unlink(missing_ok=True)
            root = self._bucket_folder(stored.bucket)
            for parent in stored.path.parents:
                if parent == root or any(parent.iterdir()):
                    break
                parent.rmdir()

    def listed(self, bucket: str, prefix: str = "") -> Iterator[Stored]:
        """Yield the objects whose names begin so, by name.

        Raises:
            BucketMissing: there is no such bucket.
        """
        folder = self._bucket_folder(bucket)
        if not folder.is_dir():
            raise BucketMissing(bucket)
        names = sorted(self._names(folder, ""))
        for name in names:
            if name.startswith(prefix):
                found = self.get(bucket, name)
                if found is not None:  # it may have been removed meanwhile
                    yield found

    def _names(self, folder: Path, above: str) -> Iterator[str]:
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            return
        for entry in entries:
            name = f"{above}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from self._names(Path(entry.path), f"{name}/")
            elif entry.is_file():
                yield name

    def uris(self, place: str) -> list[str]:
        """Return the places of all objects below one."""
        bucket, _, prefix = place.removeprefix("gs://").partition("/")
        return [f"gs://{bucket}/{stored.name}" for stored in self.listed(bucket, prefix)]

    def taken(self, stored: Stored) -> Iterator[bytes]:
        """Yield the content of an object, piece by piece."""
        with stored.path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    # What clients said of objects

    def _said_file(self, bucket: str, name: str) -> Path:
        return self._said / bucket / f"{name.removesuffix('/')}.json"

    def _read_said(self, bucket: str, name: str) -> dict[str, Any]:
        try:
            said: dict[str, Any] = json.loads(self._said_file(bucket, name).read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}  # a program wrote it
        return said

    def _write_said(self, bucket: str, name: str, metadata: dict[str, Any]) -> None:
        file = self._said_file(bucket, name)
        if metadata or file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(metadata), "utf-8")


def _encoded(name: str) -> bytes:
    """Return a name as a file has it.

    Raises:
        ValueError: it is none (UnicodeEncodeError): it holds half a character.
    """
    return name.encode("utf-8")
