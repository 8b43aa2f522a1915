"""The JSON API of Cloud Storage, as far as staging and results need it.

https://cloud.google.com/storage/docs/json_api/v1: buckets (insert, get, list, delete), objects (insert by media,
multipart and resumable uploads, get, list, patch, update, copy, rewrite, delete) with preconditions on generations.
"""

import base64
import contextlib
import fnmatch
import hashlib
import io
import itertools
import json
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import quote

import google_crc32c
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Response
from werkzeug.wsgi import wrap_file

from cloudtune.emulation.authority import Ask, Authority
from cloudtune.emulation.bodies import Request, TooLarge, at_hand, receive
from cloudtune_vertex.emulator.buckets import BucketMissing, Buckets, Stored
from cloudtune_vertex.emulator.permissions import message_of

_PAGE = 1000
"""Most items of a page (``maxResults``)."""

_MOST = 5 * 1024**4
"""Bytes of an object ("Quotas and limits")."""

_MOST_OF_PARTS = 64 * 1024**2
"""Bytes of a multipart upload, of which clients make none that is larger, and of an object's metadata."""

_PIECE = 1024**2
_SMALL = 8 << 20

_OWN = frozenset({"name", "bucket", "size", "generation", "kind", "id"})
"""Fields of an object that a client does not decide."""

_PERMISSIONS: Mapping[str, tuple[str, ...]] = {
    "list_buckets": ("storage.buckets.list",),
    "insert_bucket": ("storage.buckets.create",),
    "get_bucket": ("storage.buckets.get",),
    "delete_bucket": ("storage.buckets.delete",),
    "list_objects": ("storage.objects.list",),
    "get_object": ("storage.objects.get",),
    "copy_object": ("storage.objects.get",),
    "rewrite_object": ("storage.objects.get",),
    "patch_object": ("storage.objects.update",),
    "delete_object": ("storage.objects.delete",),
}
"""The permissions that calls take on what their path names ("IAM permissions for JSON methods")."""

_B, _O = "/storage/v1/b", "/storage/v1/b/<bucket>/o"
_URLS = Map(
    [
        Rule(_B, endpoint="list_buckets", methods=["GET"]),
        Rule(_B, endpoint="insert_bucket", methods=["POST"]),
        Rule(f"{_B}/<bucket>", endpoint="get_bucket", methods=["GET"]),
        Rule(f"{_B}/<bucket>", endpoint="delete_bucket", methods=["DELETE"]),
        Rule(_O, endpoint="list_objects", methods=["GET"]),
        Rule(f"{_O}/<path:name>/copyTo/b/<target>/o/<path:copy>", endpoint="copy_object", methods=["POST"]),
        Rule(f"{_O}/<path:name>/rewriteTo/b/<target>/o/<path:copy>", endpoint="rewrite_object", methods=["POST"]),
        Rule(f"{_O}/<path:name>", endpoint="get_object", methods=["GET"]),
        Rule(f"/download{_O}/<path:name>", endpoint="get_object", methods=["GET"]),
        Rule(f"{_O}/<path:name>", endpoint="patch_object", methods=["PATCH", "PUT"]),
        Rule(f"{_O}/<path:name>", endpoint="delete_object", methods=["DELETE"]),
        Rule(f"/upload{_O}", endpoint="upload", methods=["POST"]),
        Rule(f"/upload{_O}", endpoint="resume", methods=["PUT"]),
    ],
    merge_slashes=False,
)


class _Refused(Exception):  # an answer, not an error of ours
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(message)


class StorageApi:
    """Cloud Storage over HTTP: a WSGI application.

    Args:
        buckets: what it serves.
        project: which the buckets are in.
        authority: decides what principals may do.
        principal: says who sends a request.
    """

    def __init__(
        self, buckets: Buckets, *, project: str, authority: Authority, principal: Callable[[Any], str]
    ) -> None:
        self._buckets, self._project, self._authority, self._principal = buckets, project, authority, principal
        self._uploads: dict[str, _Upload] = {}
        self._lock = threading.RLock()

    def __call__(self, environ: Any, respond: Any) -> Any:
        request = Request(environ)
        # The path is taken as it was sent: a slash in a name is quoted there, and means no other part of the path.
        try:
            endpoint, arguments = _URLS.bind_to_environ(environ).match()
            self._permit(request, endpoint, arguments)
            answer = getattr(self, f"_{endpoint}")(request, **arguments)
        except BucketMissing as error:
            answer = _error(404, f"The specified bucket does not exist: {error}")
        except TooLarge:
            answer = _error(413, "The request is larger than may be.")
        except _Refused as refused:
            answer = _error(refused.status, refused.message)
        except (ValueError, KeyError, TypeError, OSError) as error:  # of what was sent, or no file can be called so
            answer = _error(400, f"The request cannot be read: {error}")
        except HTTPException as error:
            answer = _error(error.code or 500, f"the emulator has no {request.method} {request.path}")
        return answer(environ, respond)

    def _permit(self, request: Request, endpoint: str, named: Mapping[str, str]) -> None:
        """Refuse a call that its sender may not make, as far as its path tells; uploads name their object inside."""
        if not self._authority.enforces:
            return
        bucket, name = named.get("bucket", ""), named.get("name", "")
        place = f"gs://{bucket}/{name}" if name else f"gs://{bucket}" if bucket else f"projects/{self._project}"
        self._need(request, *(Ask(permission, place) for permission in _PERMISSIONS.get(endpoint, ())))
        if endpoint == "get_object" and self._buckets.get(bucket, name) is None:
            self._need(request, Ask("storage.objects.list", f"gs://{bucket}"))  # else it is not told what is missing
        if "copy" in named:
            self._need_to_write(request, named["target"], named["copy"])

    def _need_to_write(self, request: Request, bucket: str, name: str) -> None:
        """Refuse an upload that its sender may not make: to overwrite an object is to delete it, too."""
        if self._authority.enforces:
            place = f"gs://{bucket}/{name}"
            overwrites = self._buckets.get(bucket, name) is not None
            more = (Ask("storage.objects.delete", place),) if overwrites else ()
            self._need(request, Ask("storage.objects.create", place), *more)

    def _need(self, request: Request, *asks: Ask) -> None:
        missing = self._authority.denied(self._principal(request.environ), *asks)
        if missing is not None:
            raise _Refused(403, message_of(missing))

    # Buckets

    def _list_buckets(self, request: Request) -> Response:
        prefix = request.args.get("prefix", "")
        items = [_bucket(name) for name in self._buckets.names() if name.startswith(prefix)]
        return _json({"kind": "storage#buckets", **({"items": items} if items else {})})

    def _insert_bucket(self, request: Request) -> Response:
        name = str(_resource(request).get("name", ""))
        if self._buckets.exists(name):
            raise _Refused(409, "Your previous request to create the named bucket succeeded and you already own it.")
        self._buckets.make(name)
        return _json(_bucket(name))

    def _get_bucket(self, _request: Request, bucket: str) -> Response:
        if not self._buckets.exists(bucket):
            raise BucketMissing(bucket)
        return _json(_bucket(bucket))

    def _delete_bucket(self, _request: Request, bucket: str) -> Response:
        if not self._buckets.exists(bucket):
            raise BucketMissing(bucket)
        try:
            self._buckets.remove(bucket)
        except OSError:
            raise _Refused(409, "The bucket you tried to delete is not empty.") from None
        return Response(status=204)

    # Objects

    def _list_objects(self, request: Request, bucket: str) -> Response:
        arguments = request.args
        prefix, delimiter = arguments.get("prefix", ""), arguments.get("delimiter", "")
        begin, end = arguments.get("startOffset", ""), arguments.get("endOffset", "")
        glob, after = arguments.get("matchGlob"), _token(arguments.get("pageToken"))
        size = min(int(arguments.get("maxResults", _PAGE)), _PAGE)
        found: dict[str, Stored | None] = {}  # None for a prefix
        for stored in self._buckets.listed(bucket, prefix):
            name = stored.name
            if name < begin or (end and name >= end) or (glob and not fnmatch.fnmatchcase(name, glob)):
                continue
            head, cut, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
            key = f"{prefix}{head}{cut}" if cut else name
            if key > after:
                found.setdefault(key, None if cut else stored)
        page = dict(itertools.islice(found.items(), size))
        items = [_object(stored) for stored in page.values() if stored is not None]
        prefixes = [key for key, stored in page.items() if stored is None]
        more = (
            {"nextPageToken": base64.urlsafe_b64encode(max(page).encode()).decode()} if len(found) > len(page) else {}
        )
        answer = {"kind": "storage#objects", **({"items": items} if items else {}), **more}
        return _json({**answer, "prefixes": prefixes} if prefixes else answer)

    def _get_object(self, request: Request, bucket: str, name: str) -> Response:
        stored = self._found(request, bucket, name)
        if request.args.get("alt") != "media":
            return _json(_object(stored))
        if stored.path.is_dir():
            return Response(b"")
        # A small file may be one that a trial is writing: what is hashed is what is sent.
        content = io.BytesIO(stored.path.read_bytes()) if stored.size <= _SMALL else stored.path.open("rb")
        hashes = _hashes_of(content)
        size = content.tell()
        content.seek(0)
        headers = {
            "X-Goog-Hash": f"crc32c={hashes.crc32c},md5={hashes.md5}",
            "X-Goog-Generation": str(stored.generation),
            "X-Goog-Metageneration": "1",
            "X-Goog-Stored-Content-Length": str(size),
            "Content-Length": str(size),
            "ETag": f'"{stored.generation}"',
        }
        kind = stored.metadata.get("contentType", "application/octet-stream")
        pieces = wrap_file(request.environ, content, _PIECE)
        answer = Response(pieces, mimetype=kind, headers=headers, direct_passthrough=True)
        return answer.make_conditional(request.environ, accept_ranges=True, complete_length=size)

    def _found(self, request: Request, bucket: str, name: str) -> Stored:
        stored = self._buckets.get(bucket, name)
        if stored is None:
            raise _Refused(404, f"No such object: {bucket}/{name}")
        _check(request, stored.generation, reading=request.method == "GET")
        return stored

    def _patch_object(self, request: Request, bucket: str, name: str) -> Response:
        stored = self._found(request, bucket, name)
        said = _said(_resource(request))
        before = stored.metadata if request.method == "PATCH" else {}
        return _json(_object(self._buckets.say(stored, {**before, **said})))

    def _delete_object(self, request: Request, bucket: str, name: str) -> Response:
        self._buckets.delete(self._found(request, bucket, name))
        return Response(status=204)

    def _copy_object(self, request: Request, bucket: str, name: str, target: str, copy: str) -> Response:
        source = self._buckets.get(bucket, name)
        if source is None:
            raise _Refused(404, f"No such object: {bucket}/{name}")
        with self._lock:
            self._check_target(request, target, copy)
            said = {**source.metadata, **_said(_resource(request))}
            return _json(_object(self._buckets.put(target, copy, source.path, said)))

    def _rewrite_object(self, request: Request, bucket: str, name: str, target: str, copy: str) -> Response:
        resource = json.loads(self._copy_object(request, bucket, name, target, copy).get_data())
        size = resource["size"]
        answer = {"kind": "storage#rewriteResponse", "totalBytesRewritten": size, "objectSize": size, "done": True}
        return _json({**answer, "resource": resource})

    def _check_target(self, request: Request, bucket: str, name: str) -> None:
        there = self._buckets.get(bucket, name)
        _check(request, 0 if there is None else there.generation, reading=False)

    # Uploads

    def _upload(self, request: Request, bucket: str) -> Response:
        kind = request.args.get("uploadType")
        if kind == "resumable":
            return self._begin(request, bucket)
        with self._buckets.incoming() as body:
            if kind == "multipart":
                said, content, content_type = _parts(request)
                body.write_bytes(content)
            else:
                said, content_type = {}, request.headers.get("Content-Type", "")
                with body.open("wb") as target:
                    receive(request.environ, target, _MOST)
            name = _text(said.get("name") or request.args.get("name", ""))
            self._need_to_write(request, bucket, name)
            return self._insert(request, bucket, name, body, {"contentType": content_type, **_said(said)})

    def _insert(self, request: Request, bucket: str, name: str, content: Path, said: dict[str, Any]) -> Response:
        hashes = _hashes(content)
        if said.get("crc32c", hashes.crc32c) != hashes.crc32c or said.get("md5Hash", hashes.md5) != hashes.md5:
            raise _Refused(400, "The content does not match the hash that was sent with it.")
        kept = {key: value for key, value in said.items() if key not in ("crc32c", "md5Hash") and value}
        with self._lock:
            self._check_target(request, bucket, name)
            return _json(_object(self._buckets.put(bucket, name, content, kept)))

    def _begin(self, request: Request, bucket: str) -> Response:
        """Begin a resumable upload; its chunks come to the address in the answer."""
        said = _resource(request)
        name = _text(said.get("name") or request.args.get("name", ""))
        self._buckets.file(bucket, name)
        self._need_to_write(request, bucket, name)
        self._check_target(request, bucket, name)
        kind = request.headers.get("X-Upload-Content-Type", "")
        room = contextlib.ExitStack()
        upload = _Upload(bucket, name, {"contentType": kind, **_said(said)}, room.enter_context(self._buckets.incoming()), room)  # fmt: skip
        key = secrets.token_urlsafe(24)
        self._uploads[key] = upload
        conditions = "".join(f"&{name}={quote(value)}" for name, value in request.args.items() if name.startswith("if"))
        place = f"{request.host_url}upload/storage/v1/b/{quote(bucket, safe='')}/o?uploadType=resumable&upload_id={key}{conditions}"
        return Response(headers={"Location": place, "X-GUploader-UploadID": key})

    def _resume(self, request: Request, bucket: str) -> Response:
        upload = self._uploads.get(request.args.get("upload_id", ""))
        if upload is None or upload.bucket != bucket:
            raise _Refused(404, "There is no such upload.")
        span = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", request.headers.get("Content-Range", "bytes 0-0/*"))
        if span is None:
            raise _Refused(400, "The Content-Range cannot be read.")
        with upload.lock:
            first, total = span.groups()
            if upload.answer is not None:  # it was lost on the way
                return Response(upload.answer, mimetype="application/json")
            if first is not None:
                if int(first) > upload.size:
                    raise _Refused(400, f"The chunk begins at {first}, but {upload.size} bytes are there.")
                upload.take(request, int(first))
            if total == "*" or upload.size < int(total):
                until = {"Range": f"bytes=0-{upload.size - 1}"} if upload.size else {}
                return Response(status=308, headers=until)
            if upload.answer is None:
                upload.answer = self._insert(request, bucket, upload.name, upload.body, upload.said).get_data()
                upload.room.close()
            return Response(upload.answer, mimetype="application/json")


class _Upload:
    """A resumable upload that has not ended; its content is a file in a room, which is freed at its end."""

    def __init__(self, bucket: str, name: str, said: dict[str, Any], body: Path, room: contextlib.ExitStack) -> None:
        self.bucket, self.name, self.said, self.body, self.room = bucket, name, said, body, room
        self.answer: bytes | None = None
        self.lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return self.body.stat().st_size

    def take(self, request: Request, first: int) -> None:
        """Take a chunk, in the place of what came from there on."""
        with self.body.open("r+b") as target:
            target.truncate(first)
            target.seek(first)
            receive(request.environ, target, _MOST - first)


def _parts(request: Request) -> tuple[dict[str, Any], bytes, str]:
    """Return the metadata and the content of a multipart upload, and the content's type.

    Raises:
        ValueError: they are not there.
        TooLarge: clients send what is so large in another way.
    """
    at_hand(request.environ, _MOST_OF_PARTS)
    request = Request(request.environ)
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    said, content = BytesParser(policy=HTTP).parsebytes(head + request.get_data()).iter_parts()
    resource = json.loads(said.get_content())
    if not isinstance(resource, dict):
        raise ValueError("The metadata is no object.")  # noqa: TRY004  # of a request
    return resource, bytes(content.get_payload(decode=True)), content.get_content_type()


def _resource(request: Request) -> dict[str, Any]:
    """Return the object in a request's body; an empty one where there is none."""
    at_hand(request.environ, _MOST_OF_PARTS)
    found = Request(request.environ).get_json(silent=True)
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _said(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key not in _OWN}


_CONDITIONS: Mapping[str, Callable[[int, int], bool]] = {
    "ifGenerationMatch": lambda actual, wanted: actual == wanted,
    "ifGenerationNotMatch": lambda actual, wanted: actual != wanted,
    "ifMetagenerationMatch": lambda _, wanted: wanted == 1,
}


def _check(request: Request, generation: int, *, reading: bool) -> None:
    """Compare an object's generation, 0 for none, with what the request asks for."""
    for name, holds in _CONDITIONS.items():
        wanted = request.args.get(name)
        if wanted is not None and not holds(generation, int(wanted)):
            if reading and name == "ifGenerationNotMatch":
                raise _Refused(304, "")
            raise _Refused(412, "At least one of the pre-conditions you specified did not hold.")


def _token(text: str | None) -> str:
    return base64.urlsafe_b64decode(text).decode() if text else ""


def _bucket(name: str) -> dict[str, Any]:
    return {"kind": "storage#bucket", "id": name, "name": name, "location": "US", "storageClass": "STANDARD"}


def _object(stored: Stored) -> dict[str, Any]:
    hashes = _hashes(None if stored.path.is_dir() else stored.path)
    moment = datetime.fromtimestamp(stored.generation / 1e9, UTC).isoformat(timespec="milliseconds")
    moment = moment.replace("+00:00", "Z")
    return {
        "kind": "storage#object",
        "id": f"{stored.bucket}/{stored.name}/{stored.generation}",
        "name": stored.name,
        "bucket": stored.bucket,
        "generation": str(stored.generation),
        "metageneration": "1",
        "contentType": "application/octet-stream",
        "storageClass": "STANDARD",
        "size": str(stored.size),
        "md5Hash": hashes.md5,
        "crc32c": hashes.crc32c,
        "etag": str(stored.generation),
        "timeCreated": moment,
        "updated": moment,
        **stored.metadata,
    }


class _Hashes(NamedTuple):
    """What tells whether an object arrived whole, in base64."""

    md5: str
    crc32c: str


def _hashes(path: Path | None) -> _Hashes:
    """Return the hashes of a file, read piece by piece; of nothing where there is none."""
    if path is None:
        return _hashes_of(io.BytesIO())
    with path.open("rb") as file:
        return _hashes_of(file)


def _hashes_of(content: BinaryIO) -> _Hashes:
    """Return the hashes of what an open file holds, which is read to its end."""
    md5, crc32c = hashlib.md5(usedforsecurity=False), google_crc32c.Checksum()  # type: ignore[no-untyped-call]
    while piece := content.read(_PIECE):
        md5.update(piece)
        crc32c.update(piece)  # type: ignore[no-untyped-call]
    return _Hashes(base64.b64encode(md5.digest()).decode(), base64.b64encode(crc32c.digest()).decode())  # type: ignore[no-untyped-call]


def _json(value: Mapping[str, Any]) -> Response:
    return Response(json.dumps(value), mimetype="application/json")


def _error(status: int, message: str) -> Response:
    if status == 304:  # nothing may follow it
        return Response(status=status)
    reason = "forbidden" if status == 403 else "x"
    error = {"code": status, "message": message, "errors": [{"message": message, "domain": "global", "reason": reason}]}
    return Response(json.dumps({"error": error}), status=status, mimetype="application/json")
