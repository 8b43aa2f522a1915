"""Blob storage as folders: what Azure's uploads and downloads need of it.

https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
"""

import contextlib
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import escape, quoteattr

from werkzeug.wrappers import Request, Response

from cloudtune.bundle.package import copy_files
from cloudtune.bundle.tree import tree_of
from cloudtune.emulation.access import Environ
from cloudtune.emulation.bodies import TooLarge, receive
from cloudtune.emulation.serving import SilentHandler

PREFIX = "/blob/"
"""Where the paths of the storage account begin."""

ACCOUNT_PREFIX = "/emulated.blob.core.windows.net/"
"""The same for clients that make the address themselves, of an account's name and what the cloud calls its storage."""

_MOST = 5000 * 1024**2
"""Bytes of a blob or block in one request ("Put Blob")."""

_MOST_OF_LIST = 16 * 1024**2
"""Bytes of a list of blocks."""

_PIECE = 1024**2
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

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
        self._blocks: dict[tuple[Path, str], Path] = {}
        self._incoming = folder.with_name("incoming")  # on the same file system, and in no container
        folder.mkdir(parents=True, exist_ok=True)

    def file(self, container: str, name: str) -> Path:
        """Return where a blob is, or would be.

        Raises:
            ValueError: the name leads out of the container.
        """
        parts = [container, *name.split("/")]
        if any(part in ("..", ".") or "\0" in part for part in parts):
            raise ValueError(f"{name!r} cannot be a blob's name here")
        return self.folder.joinpath(*(part for part in parts if part))

    def at(self, url: str) -> Path:
        """Return the file or folder behind a URL of this storage."""
        path = unquote(urlsplit(url).path).removeprefix(PREFIX)
        container, _, name = path.partition("/")
        return self.file(container, name)

    def put(self, container: str, name: str, content: bytes) -> None:
        """Write a blob."""
        path = self.file(container, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def copy(self, source: Path, container: str, name: str) -> None:
        """Copy a file or folder of this machine."""
        target = self.file(container, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            copy_files(tree_of(source).files, target, str(source))
        else:
            shutil.copyfile(source, target)

    # The API

    def answer(self, request: Request) -> Response:
        """Answer a request of the Blob service."""
        container, _, name = request.path.removeprefix(ACCOUNT_PREFIX).removeprefix(PREFIX).partition("/")
        of_container = request.args.get("restype") == "container"
        is_list = request.args.get("comp") == "list" or (of_container and request.method == "GET")
        try:
            path = self._named(container, "" if of_container or is_list else name, whole=not (of_container or is_list))
            if is_list:
                return self._list(path, request)
            if of_container:
                return self._container(path, request)
            return self._blob(path, request)
        except TooLarge:
            return blob_error(413, "RequestBodyTooLarge")
        except (FileExistsError, NotADirectoryError, IsADirectoryError):  # the name of one is the folder of another
            return blob_error(409, "BlobNameConflict")
        except (ValueError, OSError):  # what no file can be called, or a number that is none
            return blob_error(400, "InvalidResourceName")

    def _named(self, container: str, name: str, *, whole: bool) -> Path:
        """Return the place of a container, or of a blob if the name is to be whole.

        Raises:
            ValueError: it cannot be kept as a file.
        """
        if not container or (whole and not name):
            raise ValueError("a name is missing")
        if "" in name.split("/")[:-1] or name != name.encode("utf-8", "replace").decode():
            raise ValueError(f"{name!r} cannot be a blob's name here")
        return self.file(container, name)

    def _container(self, path: Path, request: Request) -> Response:
        if request.method != "PUT":
            return Response(status=200 if path.is_dir() else 404)
        path.mkdir(parents=True, exist_ok=True)
        return Response(status=201, headers=_state(path))

    def _blob(self, path: Path, request: Request) -> Response:
        if request.method == "PUT":
            return self._put(path, request)
        if request.method == "DELETE":
            if not path.is_file():
                return blob_error(404, "BlobNotFound")
            path.unlink()
            return Response(status=202)
        if request.method in ("GET", "HEAD"):
            return self._get(path, request)
        return blob_error(405, "UnsupportedHttpVerb")

    def _put(self, path: Path, request: Request) -> Response:
        part = request.args.get("comp")
        refusal = self._refusal(path, request, part)
        if refusal is not None:
            return refusal
        if part == "metadata":
            self._metadata[path] = _metadata_of(request)
            return Response(status=200, headers=_state(path))
        with self._received(request) as body:
            if part == "block":
                self._keep_block(path, request.args.get("blockid", ""), body)
                return Response(status=201, headers=_state(path))
            if part == "blocklist" and not self._join(path, body):
                return blob_error(400, "InvalidBlockList")
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock:
                refusal = self._refusal(path, request, part)  # another may have been faster
                if refusal is not None:
                    return refusal
                body.replace(path)
                self._metadata[path] = _metadata_of(request)
        return Response(status=201, headers=_state(path))

    def _refusal(self, path: Path, request: Request, part: str | None) -> Response | None:
        """Return what is in the way of a request that writes; None for nothing."""
        if part == "metadata":
            return None if path.is_file() else blob_error(404, "BlobNotFound")
        if part not in (None, "block", "blocklist"):
            return blob_error(400, "InvalidQueryParameterValue")
        if path.is_dir():
            raise IsADirectoryError(path)
        path.parent.exists()  # OSError where a part of the name is too long
        if part != "block" and request.headers.get("If-None-Match") == "*" and path.is_file():
            return blob_error(409, "BlobAlreadyExists")
        return None

    @contextlib.contextmanager
    def _received(self, request: Request) -> Iterator[Path]:
        """The body of a request as a file, which goes unless it is moved."""
        self._incoming.mkdir(mode=0o700, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._incoming, delete=False) as target:
            body = Path(target.name)
            try:
                receive(request.environ, target, _MOST)
                target.close()
                yield body
            finally:
                body.unlink(missing_ok=True)

    def _keep_block(self, path: Path, name: str, body: Path) -> None:
        kept = body.rename(body.with_name(f"{body.name}.block"))
        with self._lock:
            before, self._blocks[path, name] = self._blocks.get((path, name)), kept
        if before is not None:
            before.unlink(missing_ok=True)

    def _join(self, path: Path, body: Path) -> bool:
        """Put the blocks that a list names into its place, and forget them; whether all of them are there."""
        if body.stat().st_size > _MOST_OF_LIST:
            return False
        names = re.findall("<(?:Latest|Uncommitted)>([^<]+)</", body.read_text("utf-8", "replace"))
        with self._lock:
            if not all((path, name) in self._blocks for name in names):
                return False
            blocks = [self._blocks.pop((path, name)) for name in dict.fromkeys(names)]
        by_name = dict(zip(dict.fromkeys(names), blocks, strict=True))
        with body.open("wb") as target:
            for name in names:
                with by_name[name].open("rb") as block:
                    shutil.copyfileobj(block, target)
        for block in blocks:
            block.unlink(missing_ok=True)
        return True

    def _get(self, path: Path, request: Request) -> Response:
        if not path.is_file():
            return blob_error(404, "BlobNotFound")
        headers = {**_state(path), "x-ms-blob-type": "BlockBlob", "Accept-Ranges": "bytes"}
        headers |= {f"x-ms-meta-{name}": value for name, value in self._metadata.get(path, {}).items()}
        size = path.stat().st_size
        begin, end, status = 0, size, 200
        span = request.headers.get("x-ms-range") or request.headers.get("Range")
        if span and request.method == "GET":
            first, _, last = span.removeprefix("bytes=").partition("-")
            begin, end = int(first), min(int(last or size - 1), size - 1) + 1
            if begin >= size and size:
                return blob_error(416, "InvalidRange")
            status = 206 if size else 200
            headers["Content-Range"] = f"bytes {begin}-{max(end - 1, 0)}/{size}"
        headers["Content-Length"] = str(size if request.method == "HEAD" else max(end - begin, 0))
        content = () if request.method == "HEAD" else _pieces(path, begin, end)
        return Response(content, status, headers, mimetype="application/octet-stream")

    def _list(self, root: Path, request: Request) -> Response:
        prefix = request.args.get("prefix", "")
        if not root.is_dir():
            return blob_error(404, "ContainerNotFound")
        files = sorted(path for path in root.rglob("*") if path.is_file())
        blobs = "".join(
            f"<Blob><Name>{_escaped(name)}</Name><Properties><Last-Modified>{_time(path)}</Last-Modified><Etag>0x1</Etag>"
            f"<Content-Length>{path.stat().st_size}</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>"
            for path in files
            if (name := path.relative_to(root).as_posix()).startswith(prefix)
        )
        text = f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName={quoteattr(root.name)}><Prefix>{_escaped(prefix)}</Prefix><Blobs>{blobs}</Blobs><NextMarker /></EnumerationResults>'
        return Response(text, mimetype="application/xml")


def _escaped(text: str) -> str:
    """Return a text as XML has it; what it may not have at all is left out."""
    return escape(_NOT_IN_XML.sub("", text))


def _pieces(path: Path, begin: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(begin)
        left = end - begin
        while left > 0 and (piece := file.read(min(left, _PIECE))):
            left -= len(piece)
            yield piece


class BlobHandler(SilentHandler):
    """Passes on a blob's metadata whose names have underscores: WSGI has no place for such headers."""

    def make_environ(self) -> Environ:
        """Return the request, with its metadata under a key of its own."""
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


def container_of(path: str) -> str:
    """Return the container that the path of a request names."""
    return path.removeprefix(ACCOUNT_PREFIX).removeprefix(PREFIX).partition("/")[0]


def blob_error(status: int, code: str, message: str = "") -> Response:
    """Return an error as the Blob service tells it; the message is the code where none is given."""
    told = message or code
    text = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{told}</Message></Error>'
    return Response(text, status, {"x-ms-error-code": code}, mimetype="application/xml")
