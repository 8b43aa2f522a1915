"""S3 as moto has it, but that a large object is never in memory: neither when it comes nor when it is joined or read."""

import contextlib
import io
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from moto.core.common_types import TYPE_RESPONSE
from moto.core.request import Request
from moto.s3.exceptions import NoSuchUpload, S3ClientError
from moto.s3.responses import S3Response

from cloudtune.emulation.access import Environ
from cloudtune_sagemaker.emulator.objects import CHUNK, Stored, Upload, checksum, kept, lazily

_OF_OBJECT = frozenset({"acl", "legal-hold", "retention", "tagging"})
"""What of an object may be put that is not its content."""

_INCOMPLETE = "You did not provide the number of bytes specified by the Content-Length HTTP header"
_MOST_OF_LINE = 16_384


class S3Operations(S3Response):
    """Moto's S3, for requests whose body is in a file; see `cloudtune.emulation.bodies.at_hand`."""

    _sent: tuple[IO[bytes], int] | None = None

    def key_response(self, request: Request, full_url: str, headers: Any) -> TYPE_RESPONSE:
        """Answer a request to an object; what it uploads does not come before the eyes of moto's parser."""
        of_content = "uploadId" in request.args or _OF_OBJECT.isdisjoint(request.args)
        if request.method == "PUT" and of_content and "x-amz-copy-source" not in request.headers:
            self._sent = _withheld(request.environ)
        return super().key_response(request, full_url, headers)

    def _key_response(self, request: Request, full_url: str) -> TYPE_RESPONSE:
        if self._sent is not None:
            self.body = _content(*self._sent, request.environ)
        if "uploadId" in request.args and request.method in ("PUT", "POST"):
            self._place_on_disk(request)
        needs_bytes = request.method == "POST" or "x-amz-checksum-algorithm" in request.headers  # as moto has them
        with contextlib.nullcontext() if needs_bytes else lazily():
            return super()._key_response(request, full_url)

    def _place_on_disk(self, request: Request) -> None:
        upload = self.backend.get_bucket(self.bucket_name).multiparts.get(request.args["uploadId"])
        if upload is not None:
            upload.__class__ = Upload
        elif request.method == "PUT":
            raise NoSuchUpload(upload_id=request.args["uploadId"])


def _withheld(environ: Environ) -> tuple[IO[bytes], int]:
    """Return the body of a request and its size, which from now on has none."""
    body, size = environ["wsgi.input"], int(environ.get("CONTENT_LENGTH") or 0)
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(), "0"
    return body, size


def _content(body: IO[bytes], size: int, environ: Environ) -> Stored | bytes:
    """Return what a request uploads; its checksum is then among the headers, if it names an algorithm.

    Raises:
        S3ClientError: it is not what the headers say.
    """
    if environ.get("HTTP_X_AMZ_CONTENT_SHA256", "").startswith("STREAMING-"):
        body = _without_frames(body, environ)
        size = body.tell()
        if str(size) != environ.get("HTTP_X_AMZ_DECODED_CONTENT_LENGTH", str(size)):
            raise S3ClientError("IncompleteBody", _INCOMPLETE)
        environ["HTTP_X_AMZ_CONTENT_SHA256"] = "UNSIGNED-PAYLOAD"
    content = kept(body, size)
    algorithm = environ.get("HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM", "")
    if algorithm:
        header = f"HTTP_X_AMZ_CHECKSUM_{algorithm.upper()}"
        actual = checksum(content if isinstance(content, Stored) else [content], algorithm)
        if actual is None and header not in environ:
            del environ["HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM"]  # nobody knows it; moto would take that of nothing
        if actual is not None and environ.setdefault(header, actual) != actual:
            raise S3ClientError(
                "BadDigest", f"The {algorithm.upper()} you specified did not match the calculated checksum."
            )
    return content


def _without_frames(body: IO[bytes], environ: Environ) -> IO[bytes]:
    """Return the content of a body of the encoding ``aws-chunked``; what follows it joins the headers if it is a checksum.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
    """
    target = tempfile.SpooledTemporaryFile(max_size=CHUNK)  # noqa: SIM115  # the object's
    try:
        for data in _frames(body):  # `writelines` would have all of them in memory
            target.write(data)
    except ValueError:
        raise S3ClientError("IncompleteBody", _INCOMPLETE) from None
    while line := body.readline(_MOST_OF_LINE).strip():
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower().startswith("x-amz-checksum-"):
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value.strip()
    target.flush()
    return target


def _frames(body: IO[bytes]) -> Iterator[bytes]:
    """Yield what is in the frames of a body, up to the last one.

    Raises:
        ValueError: there are none, or not whole ones.
    """
    while left := int(body.readline(_MOST_OF_LINE).partition(b";")[0].strip(), 16):
        while left > 0:
            data = body.read(min(CHUNK, left))
            if not data:
                raise ValueError("a frame is short")
            left -= len(data)
            yield data
        if left < 0 or body.readline(2) != b"\r\n":
            raise ValueError("a frame is not as long as it says")
