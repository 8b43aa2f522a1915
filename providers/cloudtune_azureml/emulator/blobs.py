"""Blob storage as folders: what Azure's uploads and downloads need of it.

https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

import base64
import hashlib
import re
import shutil
import threading
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import escape

from werkzeug.wrappers import Request, Response

from cloudtune.bundle.package import copy_files
from cloudtune.bundle.tree import tree_of
from cloudtune.emulation.access import Environ
from cloudtune.emulation.serving import SilentHandler

PREFIX = "/blob/"
"""Where the paths of the storage account begin."""

ACCOUNT_PREFIX = "/emulated.blob.core.windows.net/"
"""The same for clients that make the address themselves, of an account's name and what the cloud calls its storage."""

_META = "x-ms-meta-"
_METADATA = "cloudtune.metadata"


class Blobs:
    """The containers of one storage account.

    Args:
        folder: for the files: ``container/name``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._metadata: dict[Path, dict[str, str]] = {}
        self._blocks: dict[tuple[Path, str], bytes] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def file(self, container: str, name: str) -> Path:
        """Where a blob is, or would be.

        Raises:
            ValueError: the name leads out of the container.
        """
        parts = [container, *name.split("/")]
        if any(part in ("..", ".") or "\0" in part for part in parts):
            raise ValueError(f"{name!r} cannot be a blob's name here")
        return self.folder.joinpath(*(part for part in parts if part))

    def at(self, url: str) -> Path:
        """The file or folder behind a URL of this storage."""
        path = unquote(urlsplit(url).path).removeprefix(PREFIX)
        container, _, name = path.partition("/")
        return self.file(container, name)

    def put(self, container: str, name: str, content: bytes) -> None:
        """Writes a blob."""
        path = self.file(container, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def copy(self, source: Path, container: str, name: str) -> None:
        """Copies a file or folder of this machine."""
        target = self.file(container, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            copy_files(tree_of(source).files, target, str(source))
        else:
            shutil.copyfile(source, target)

    # The API

    def answer(self, request: Request) -> Response:
        """Answers a request of the Blob service."""
        container, _, name = request.path.removeprefix(ACCOUNT_PREFIX).removeprefix(PREFIX).partition("/")
        if request.args.get("comp") == "list" or (
            request.args.get("restype") == "container" and request.method == "GET"
        ):
            return self._list(container, request)
        try:
            path = self.file(container, name)
        except ValueError:
            return blob_error(400, "InvalidResourceName")
        if request.method == "PUT":
            return self._put(path, request)
        if request.method == "DELETE":
            path.unlink(missing_ok=True)
            return Response(status=202)
        if request.args.get("restype") == "container":
            return Response(status=200 if path.is_dir() else 404)
        return self._get(path, request)

    def _put(self, path: Path, request: Request) -> Response:
        part = request.args.get("comp")
        with self._lock:
            if part != "block" and request.headers.get("If-None-Match") == "*" and path.is_file():
                return blob_error(409, "BlobAlreadyExists")
            if part == "metadata" and not path.is_file():
                return blob_error(404, "BlobNotFound")
            if request.args.get("restype") == "container":
                path.mkdir(parents=True, exist_ok=True)
            elif part == "metadata":
                self._metadata[path] = _metadata_of(request)
                return Response(status=200, headers=_state(path))
            elif part == "block":
                self._blocks[path, request.args["blockid"]] = request.get_data()
            else:
                content = self._of_blocks(path, request) if part == "blocklist" else request.get_data()
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                self._metadata[path] = _metadata_of(request)
        return Response(status=201, headers=_state(path))

    def _of_blocks(self, path: Path, request: Request) -> bytes:
        names = re.findall(r"<(?:Latest|Uncommitted)>([^<]+)</", request.get_data(as_text=True))
        return b"".join(self._blocks.pop((path, name)) for name in names)

    def _get(self, path: Path, request: Request) -> Response:
        if not path.is_file():
            return blob_error(404, "BlobNotFound")
        content, status = path.read_bytes(), 200
        headers = {**_state(path), "x-ms-blob-type": "BlockBlob", "Accept-Ranges": "bytes"}
        headers |= {f"x-ms-meta-{name}": value for name, value in self._metadata.get(path, {}).items()}
        size = len(content)
        span = request.headers.get("x-ms-range") or request.headers.get("Range")
        if span and request.method == "GET":
            first, _, last = span.removeprefix("bytes=").partition("-")
            begin, end = int(first), min(int(last or size - 1), size - 1)
            if begin >= size and size:
                return blob_error(416, "InvalidRange")
            content, status = content[begin : end + 1], 206 if size else 200
            headers["Content-Range"] = f"bytes {begin}-{max(end, 0)}/{size}"
        headers["Content-MD5"] = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        response = Response(content, status, headers, mimetype="application/octet-stream")
        if request.method == "HEAD":
            response.set_data(b"")
            response.headers["Content-Length"] = str(size)
        return response

    def _list(self, container: str, request: Request) -> Response:
        root, prefix = self.folder / container, request.args.get("prefix", "")
        if not root.is_dir():
            return blob_error(404, "ContainerNotFound")
        files = sorted(path for path in root.rglob("*") if path.is_file())
        blobs = "".join(
            f"<Blob><Name>{escape(name)}</Name><Properties><Last-Modified>{_time(path)}</Last-Modified><Etag>0x1</Etag>"
            f"<Content-Length>{path.stat().st_size}</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>"
            for path in files
            if (name := path.relative_to(root).as_posix()).startswith(prefix)
        )
        text = f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="{escape(container)}"><Prefix>{escape(prefix)}</Prefix><Blobs>{blobs}</Blobs><NextMarker /></EnumerationResults>'
        return Response(text, mimetype="application/xml")


class BlobHandler(SilentHandler):
    """Passes on a blob's metadata whose names have underscores: WSGI has no place for such headers."""

    def make_environ(self) -> Environ:
        """The request, with its metadata under a key of its own."""
        sent = {name.lower(): value for name, value in self.headers.items()}
        own = {name.removeprefix(_META): value for name, value in sent.items() if name.startswith(_META)}
        return {**super().make_environ(), _METADATA: own}


def _metadata_of(request: Request) -> dict[str, str]:
    return dict(request.environ.get(_METADATA, {}))


def _time(path: Path) -> str:
    moment = datetime.fromtimestamp(path.stat().st_mtime, UTC) if path.exists() else datetime.now(UTC)
    return format_datetime(moment, usegmt=True)


def _state(path: Path) -> dict[str, str]:
    return {"ETag": '"0x1"', "Last-Modified": _time(path), "x-ms-version": "2021-12-02"}


def blob_error(status: int, code: str) -> Response:
    """An error as the Blob service tells it."""
    text = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'
    return Response(text, status, {"x-ms-error-code": code}, mimetype="application/xml")
