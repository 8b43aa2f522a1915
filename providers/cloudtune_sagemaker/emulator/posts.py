"""Uploads to S3 by a form, which a policy allows that is signed in advance ("presigned POST").

A form becomes the request to put an object that it stands for, of what S3 takes from a form and of nothing else that
its sender says. https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
"""

import base64
import binascii
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from cloudtune.emulation.access import Application, Environ, Refusal, Respond
from cloudtune.emulation.bodies import TooLarge, chunks, replace

_MOST_OF_FIELDS = 20_480
"""Bytes of a form besides its file (S3, "Object operations: POST Object")."""

_MOST_PARTS = 100
_FILE = 256 * 1024
"""Bytes of a file beyond which it is on the disk."""

_UNNAMED = ("awsaccesskeyid", "file", "policy", "signature", "x-amz-signature")
"""Fields that no condition need name, as those that begin with ``x-ignore-``."""

_HEADERS = frozenset(
    {
        "cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires",
        "x-amz-sdk-checksum-algorithm", "x-amz-storage-class", "x-amz-website-redirect-location",
    }
)  # fmt: skip
_HEADER = re.compile(r"x-amz-(meta|checksum|server-side-encryption)[a-z0-9_.-]*")
"""Fields that are headers of the request to put the object; ``acl`` and ``tagging`` have other names there."""

_TEXT = re.compile(r"[^\x00-\x1f\x7f]*")
_POSTED = "cloudtune.posted"
_BROKEN = Refusal("form", "The body of your POST request is not well-formed multipart/form-data.")


def bucket_of_host(environ: Environ) -> str:
    """Return the bucket that a request names by its host; "" where its path does."""
    found = re.match(r"(.+?)\.(?:s3[.-]|localhost:)", environ.get("HTTP_HOST", ""))
    return "" if found is None else found[1]


def is_form(environ: Environ) -> bool:
    """Return whether a request is a form for a bucket."""
    kind, _ = parse_options_header(environ.get("CONTENT_TYPE", ""))
    return environ["REQUEST_METHOD"] == "POST" and kind == "multipart/form-data" and not environ.get("QUERY_STRING")


class Form:
    """A form whose fields have been read, and whose file has not.

    Args:
        bucket: to which it is sent.
        fields: what they say, by their names in small letters.
        file: what is to come.
        most: bytes that the file may have.

    Attributes:
        fields: as given; in ``key`` the file's name is filled in.
    """

    def __init__(self, bucket: str, fields: dict[str, str], file: Iterator[bytes], most: int) -> None:
        self.fields = fields
        self._bucket, self._file, self._most = bucket, file, most

    @classmethod
    def begun(cls, environ: Environ, most: int) -> "Form | Refusal":
        """Read a form up to its file, which is the last that counts.

        Args:
            environ: the request.
            most: bytes that the file may have.

        Raises:
            TooLarge: it has more, or its fields have more than may be.
            OSError: it does not come.
        """
        bucket = bucket_of_host(environ) or environ["PATH_INFO"].strip("/")
        _, options = parse_options_header(environ.get("CONTENT_TYPE", ""))
        if not bucket or "/" in bucket or not options.get("boundary"):
            return _BROKEN
        events = _events(environ, options["boundary"].encode(), most + _MOST_OF_FIELDS)
        try:
            fields, filename = _fields(events)
        except ValueError:
            return _BROKEN
        except RequestEntityTooLarge:
            raise TooLarge from None
        fields["key"] = fields.get("key", "").replace("${filename}", re.split(r"[/\\]", filename)[-1])
        return cls(bucket, fields, _data(events), most)

    def admit(self, environ: Environ, now: float) -> Refusal | None:
        """Find out whether the policy, whose signature is right, allows the form; then make it the request for S3.

        Args:
            environ: the request; changed if it is allowed.
            now: seconds since 1970.

        Raises:
            TooLarge: the file has more bytes than may be.
            OSError: the file does not come, or cannot be written.
        """
        found = _policy(self.fields["policy"])
        if isinstance(found, Refusal):
            return found
        until, conditions = found
        if now >= until:
            return Refusal("policy", "Invalid according to Policy: Policy expired.")
        least, most = 0, self._most
        given = {**self.fields, "bucket": self._bucket}
        named = set(_UNNAMED)
        for kind, name, value in conditions:
            if kind == "content-length-range":
                least, most = max(least, name), min(most, value)
            elif not _holds(kind, given.get(name), value):
                return Refusal(
                    "policy", f"Invalid according to Policy: Policy Condition failed: {[kind, '$' + name, value]}"
                )
            else:
                named.add(name)
        extra = sorted(name for name in given if name not in named and not name.startswith("x-ignore-"))
        if extra:
            return Refusal("policy", f"Invalid according to Policy: Extra input fields: {', '.join(extra)}")
        if not self.fields["key"] or not all(map(_TEXT.fullmatch, self.fields.values())):
            return Refusal("form", "A field of the form has no value, or one that cannot be.")
        return self._become_request(environ, least, most)

    def _become_request(self, environ: Environ, least: int, most: int) -> Refusal | None:
        body, size = tempfile.SpooledTemporaryFile(max_size=_FILE), 0  # noqa: SIM115  # the request's
        try:
            for data in self._file:
                size += body.write(data)
                if size > most:
                    raise TooLarge
        except ValueError:
            return _BROKEN
        if size < least:
            return Refusal("small", "Your proposed upload is smaller than the minimum allowed size")
        try:
            _put(environ, self._bucket, self.fields)
        except ET.ParseError:
            return Refusal("form", "The field tagging of the form is no XML.")
        replace(environ, body, size)
        return None


def _events(environ: Environ, boundary: bytes, most: int) -> Iterator[Event]:
    decoder = MultipartDecoder(boundary, max_parts=_MOST_PARTS)
    for data in chunks(environ, most):
        for at in range(0, len(data), _MOST_OF_FIELDS):
            decoder.receive_data(data[at : at + _MOST_OF_FIELDS])
            while not isinstance(event := decoder.next_event(), NeedData):
                yield event
            if len(decoder.buffer) > 2 * _MOST_OF_FIELDS:  # of a part without an end
                raise ValueError("a part has too long a head")
    decoder.receive_data(None)
    while not isinstance(event := decoder.next_event(), NeedData):
        yield event
        if isinstance(event, Epilogue):
            return


def _fields(events: Iterator[Event]) -> tuple[dict[str, str], str]:
    """Return the fields before the file, and its name.

    Raises:
        ValueError: it is no form, has no file, or says a thing twice.
        RequestEntityTooLarge: the fields are too large.
    """
    found: dict[str, bytes] = {}
    name = ""
    for event in events:
        if isinstance(event, Field | File):
            name = (event.name or "").lower()
            if name == "file":
                return {each: value.decode() for each, value in found.items()}, getattr(event, "filename", "")
            if name in found or isinstance(event, File):
                raise ValueError("a field is there twice, or a file")
            found[name] = b""
        elif isinstance(event, Data):
            found[name] += event.data
            if sum(map(len, found.values())) > _MOST_OF_FIELDS:
                raise RequestEntityTooLarge
    raise ValueError("there is no file")


def _data(events: Iterator[Event]) -> Iterator[bytes]:
    for event in events:
        if isinstance(event, Data):
            yield event.data
            if not event.more_data:
                return
    raise ValueError("the file has no end")


_Condition = tuple[str, Any, Any]
"""``eq`` or ``starts-with`` with a name in small letters and a value, or ``content-length-range`` with two numbers."""


def _policy(encoded: str) -> tuple[float, list[_Condition]] | Refusal:
    """Return the end of a policy, in seconds since 1970, and its conditions."""
    try:
        policy = json.loads(base64.b64decode(encoded, validate=True))
        until = datetime.fromisoformat(policy["expiration"])
        conditions = [each for condition in policy["conditions"] for each in _conditions(condition)]
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        return Refusal("policy", "Invalid Policy: it is no JSON of an expiration and conditions.")
    return until.replace(tzinfo=until.tzinfo or UTC).timestamp(), conditions


def _conditions(condition: Any) -> list[_Condition]:
    if isinstance(condition, Mapping):
        return [("eq", str(name).lower(), str(value)) for name, value in condition.items()]
    kind, name, value = condition
    if kind == "content-length-range":
        return [(kind, int(name), int(value))]
    if kind not in ("eq", "starts-with") or not name.startswith("$"):
        raise ValueError("it is no condition")
    return [(kind, name[1:].lower(), str(value))]


def _holds(kind: str, given: str | None, value: str) -> bool:
    if given is None:
        return False
    return given == value if kind == "eq" else given.startswith(value)


def _put(environ: Environ, bucket: str, fields: Mapping[str, str]) -> None:
    """Make of a form's request the one that puts its object; its own headers say nothing of the object."""
    for name in [name for name in environ if name.startswith("HTTP_") and name not in ("HTTP_HOST", "HTTP_USER_AGENT")]:
        del environ[name]
    del environ["CONTENT_TYPE"]
    headers = {name: value for name, value in fields.items() if name in _HEADERS or _HEADER.fullmatch(name)}
    if "acl" in fields:
        headers["x-amz-acl"] = fields["acl"]
    if "tagging" in fields:
        headers["x-amz-tagging"] = _tags(fields["tagging"])
    for name, value in headers.items():
        variable = name.upper().replace("-", "_")
        environ[variable if variable == "CONTENT_TYPE" else f"HTTP_{variable}"] = value.encode().decode("latin-1")
    path = ("" if bucket_of_host(environ) else f"/{bucket}") + f"/{fields['key']}"
    environ |= {
        "REQUEST_METHOD": "PUT",
        "PATH_INFO": path.encode().decode("latin-1"),
        "RAW_URI": quote(path, safe="/~"),
        "REQUEST_URI": quote(path, safe="/~"),
        "HTTP_AUTHORIZATION": _SIGNED,  # by which moto knows the service
        _POSTED: (bucket, dict(fields)),
    }


def _tags(text: str) -> str:
    """Return tags in XML as the header has them."""
    tags = ET.fromstring(text).iterfind(".//{*}Tag")  # noqa: S314  # of whom the emulator gave keys
    return urlencode([(tag.findtext("{*}Key", ""), tag.findtext("{*}Value", "")) for tag in tags])


_SIGNED = "AWS4-HMAC-SHA256 Credential=form/20060301/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=form"


class Answering:
    """Answers forms as S3 does, after what an application says of the request that was made of them; a WSGI application.

    Args:
        application: what answers that.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: Environ, respond: Respond) -> Iterable[bytes]:
        if _POSTED not in environ:
            return self._application(environ, respond)
        told: list[Any] = []
        content = b"".join(self._application(environ, lambda *answer: told.extend(answer)))
        status, headers = told[0], told[1]
        if status.startswith("200"):
            bucket, fields = environ[_POSTED]
            location = f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}{environ['RAW_URI']}"
            status, headers, content = _answer(bucket, fields, dict(headers).get("ETag", ""), location)
        respond(status, headers)
        return [content]


def _answer(
    bucket: str, fields: Mapping[str, str], etag: str, location: str
) -> tuple[str, list[tuple[str, str]], bytes]:
    """Return status, headers and body for a form whose object is there."""
    key, headers = fields["key"], [("ETag", etag), ("Location", location)]
    redirect = urlsplit(fields.get("success_action_redirect", ""))
    if redirect.scheme in ("http", "https") and redirect.netloc:
        query = urlencode([*parse_qsl(redirect.query), ("bucket", bucket), ("key", key), ("etag", etag)])
        headers[1] = ("Location", urlunsplit(redirect._replace(query=query)))
        return "303 See Other", [*headers, ("Content-Length", "0")], b""
    wanted = fields.get("success_action_status", "")
    if wanted == "201":
        parts = {"Location": location, "Bucket": bucket, "Key": key, "ETag": etag}
        inside = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in parts.items())
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<PostResponse>{inside}</PostResponse>'.encode()
        return "201 Created", [*headers, ("Content-Type", "application/xml"), ("Content-Length", str(len(body)))], body
    if wanted == "200":
        return "200 OK", [*headers, ("Content-Length", "0")], b""
    return "204 No Content", headers, b""
