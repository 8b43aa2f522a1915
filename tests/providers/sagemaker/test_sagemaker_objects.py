"""Objects in the emulator's S3: whatever their size, they are on the disk and not in its memory."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as some
from late import LATE

from cloudtune_sagemaker.emulator.cloud import Cloud

if LATE:
    pytest.importorskip("moto")
    import boto3
    from boto3.s3.transfer import TransferConfig
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    from botocore.exceptions import ClientError

    from cloudtune_sagemaker.emulator import SageMakerEmulator
    from cloudtune_sagemaker.emulator.objects import Stored, copied


MB = 1024**2
BODY = np.arange(9 * MB // 4, dtype=">u4").tobytes()
"""Nine megabytes, no four of whose bytes are alike: more than moto holds in memory, and than boto3 sends at once."""


@pytest.fixture(scope="module")
def emulator() -> Iterator[SageMakerEmulator]:
    with SageMakerEmulator() as started:
        yield started


@pytest.fixture(scope="module")
def s3(emulator: SageMakerEmulator) -> Any:
    return boto3.client("s3", **emulator.of_client)


# Memory


@contextlib.contextmanager
def process() -> Iterator[tuple[int, str, Any]]:
    """An emulator in a process of its own: its id, its bucket, and a client of its S3."""
    words = [sys.executable, "-m", "cloudtune", "emulate", "sagemaker", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            text = ""
            while not text.endswith("}\n"):
                text += started.stdout.readline()
            told = json.loads(text)
            keys = {name.lower(): told[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
            s3 = boto3.client("s3", endpoint_url=told["AWS_ENDPOINT_URL"], region_name="us-east-1", **keys)
            yield started.pid, told["CLOUDTUNE_SAGEMAKER_BUCKET"], s3
        finally:
            started.terminate()


def memory(process: int, name: str) -> int:
    """VmRSS, what a process has in memory now, or VmHWM, the most that it had, in bytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


@pytest.mark.complete
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells how much memory a process had")
def test_large_objects_are_not_in_the_emulators_memory(tmp_path: Path) -> None:
    source, size = tmp_path / "source", 64 * MB
    with source.open("wb") as file:
        for _ in range(size // MB):
            file.write(os.urandom(MB))
    place = TransferConfig(max_concurrency=4)
    with process() as (number, bucket, s3):
        steps: dict[str, Callable[[], Any]] = {
            "put": lambda: s3.put_object(Bucket=bucket, Key="whole", Body=source.open("rb")),
            "upload in parts": lambda: s3.upload_file(str(source), bucket, "parts", Config=place),
            "copy": lambda: s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "whole"}),
            "copy in parts": lambda: s3.copy({"Bucket": bucket, "Key": "whole"}, bucket, "copied", Config=place),
            "download": lambda: s3.download_file(bucket, "parts", str(tmp_path / "got"), Config=place),
            "get": lambda: sum(map(len, s3.get_object(Bucket=bucket, Key="copied")["Body"].iter_chunks(MB))),
        }
        s3.upload_fileobj(io.BytesIO(BODY), bucket, "first")  # what is loaded at first use counts as idle
        s3.get_object(Bucket=bucket, Key="first")["Body"].read()
        idle = memory(number, "VmRSS")
        Path(f"/proc/{number}/clear_refs").write_text("5")  # VmHWM begins anew
        for name, step in steps.items():
            step()
            assert memory(number, "VmHWM") - idle < 40 * MB, name
    with source.open("rb") as before, (tmp_path / "got").open("rb") as after:
        assert hashlib.file_digest(before, "sha256").digest() == hashlib.file_digest(after, "sha256").digest()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux tells which files a process has open")
def test_files_of_objects_are_closed_with_them(emulator: SageMakerEmulator, s3: Any) -> None:
    place = {"Bucket": emulator.bucket, "Key": "closed"}
    before = _unnamed_files()
    for _ in range(2):
        s3.put_object(**place, Body=BODY)
        s3.upload_file(__file__, emulator.bucket, "closed", Config=TransferConfig(multipart_threshold=1))
        _in_parts(s3, place, [BODY, b"end"])
        upload = s3.create_multipart_upload(**place)["UploadId"]
        s3.upload_part(**place, UploadId=upload, PartNumber=1, Body=BODY)
        s3.abort_multipart_upload(**place, UploadId=upload)
    s3.get_object(**place)["Body"].read()
    s3.delete_object(**place)
    assert _unnamed_files() - before == set()


def _unnamed_files() -> set[str]:
    """Files of no name that this process has open: those of objects, and of pytest."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            name = str(link.readlink())
            if name.startswith(tempfile.gettempdir()) and name.endswith("(deleted)"):
                found.add(name)
    return found


# What is stored


def _in_parts(s3: Any, place: dict[str, Any], parts: list[bytes], **more: Any) -> dict[str, Any]:
    upload = s3.create_multipart_upload(**place, **more)["UploadId"]
    told = []
    for number, part in reversed(list(enumerate(parts, 1))):  # in another order than they will have
        etag = s3.upload_part(**place, UploadId=upload, PartNumber=number, Body=part)["ETag"]
        assert etag == f'"{hashlib.md5(part).hexdigest()}"'
        told.insert(0, {"PartNumber": number, "ETag": etag})
    answer: dict[str, Any] = s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": told})
    return answer


@pytest.mark.parametrize("parts", [[BODY], [BODY, b"end"], [BODY, BODY[::-1], b"end"], [b"small"]])
def test_parts_are_joined_as_s3_does(emulator: SageMakerEmulator, s3: Any, parts: list[bytes]) -> None:
    place = {"Bucket": emulator.bucket, "Key": "parts"}
    for algorithm in ("CRC32", "SHA256"):
        etag = _in_parts(s3, place, parts, ChecksumAlgorithm=algorithm)["ETag"]
        md5 = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
        assert etag == f'"{md5}-{len(parts)}"'
        told = s3.get_object(**place, ChecksumMode="ENABLED")
        assert told["Body"].read() == b"".join(parts)
        assert told["ContentLength"] == sum(map(len, parts))
        sums: dict[str, Callable[[bytes], bytes]] = {
            "CRC32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
            "SHA256": lambda data: hashlib.sha256(data).digest(),
        }
        total = sums[algorithm](b"".join(map(sums[algorithm], parts)))
        assert told[f"Checksum{algorithm}"] == f"{base64.b64encode(total).decode()}-{len(parts)}"


def test_parts_are_refused_as_s3_does(emulator: SageMakerEmulator, s3: Any) -> None:
    place = {"Bucket": emulator.bucket, "Key": "refused"}
    with pytest.raises(ClientError, match="EntityTooSmall"):
        _in_parts(s3, place, [b"small", b"end"])
    with pytest.raises(ClientError, match="NoSuchUpload"):
        s3.upload_part(**place, UploadId="none", PartNumber=1, Body=b"x")
    upload = s3.create_multipart_upload(**place)["UploadId"]
    etag = s3.upload_part(**place, UploadId=upload, PartNumber=1, Body=BODY)["ETag"]
    for wrong in ({"PartNumber": 1, "ETag": '"0"'}, {"PartNumber": 2, "ETag": etag}):
        with pytest.raises(ClientError, match="InvalidPart"):
            s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": [wrong]})
    s3.abort_multipart_upload(**place, UploadId=upload)


@pytest.mark.parametrize("body", [BODY, BODY[:1000]], ids=["large", "small"])
def test_an_object_is_the_one_that_was_put(emulator: SageMakerEmulator, s3: Any, body: bytes) -> None:
    place = {"Bucket": emulator.bucket, "Key": "put"}
    etag = f'"{hashlib.md5(body).hexdigest()}"'
    assert s3.put_object(**place, Body=body, Metadata={"a": "b"})["ETag"] == etag
    told = s3.head_object(**place)
    assert (told["ContentLength"], told["ETag"], told["Metadata"]) == (len(body), etag, {"a": "b"})
    for wanted, expected in (
        ("bytes=0-9", body[:10]), ("bytes=300-", body[300:]), ("bytes=-7", body[-7:]), ("bytes=500-99999999", body[500:]),
    ):  # fmt: skip
        part = s3.get_object(**place, Range=wanted)
        assert (part["Body"].read(), part["ContentLength"]) == (expected, len(expected))
    with pytest.raises(ClientError, match="InvalidRange"):
        s3.get_object(**place, Range=f"bytes={len(body)}-")
    copied = s3.copy_object(Bucket=emulator.bucket, Key="copy", CopySource=place, ChecksumAlgorithm="SHA256")
    assert copied["CopyObjectResult"]["ETag"] == etag
    s3.put_object(**place, Body=b"other")
    assert s3.get_object(Bucket=emulator.bucket, Key="copy")["Body"].read() == body


def test_an_answer_goes_on_when_the_object_is_replaced(emulator: SageMakerEmulator, s3: Any) -> None:
    place = {"Bucket": emulator.bucket, "Key": "replaced"}
    s3.put_object(**place, Body=BODY)
    reading = s3.get_object(**place)["Body"]
    begin = reading.read(10)
    s3.put_object(**place, Body=b"other")
    assert begin + reading.read() == BODY


def test_parts_can_be_copied(emulator: SageMakerEmulator, s3: Any) -> None:
    source, place = ({"Bucket": emulator.bucket, "Key": key} for key in ("source", "target"))
    s3.put_object(**source, Body=BODY)
    upload = s3.create_multipart_upload(**place)["UploadId"]
    parts = []
    for number, (begin, end) in enumerate([(100, 6 * MB), (0, 9)], 1):
        copied = s3.upload_part_copy(
            **place, UploadId=upload, PartNumber=number, CopySource=source, CopySourceRange=f"bytes={begin}-{end}"
        )["CopyPartResult"]
        parts.append({"PartNumber": number, "ETag": copied["ETag"]})
    s3.delete_object(**source)
    s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
    assert s3.get_object(**place)["Body"].read() == BODY[100 : 6 * MB + 1] + BODY[:10]


# Bodies in frames


def framed(body: bytes, *trailers: str, by: int = 3 * MB) -> bytes:
    """A body of the encoding ``aws-chunked``."""
    frames = [body[at : at + by] for at in range(0, len(body), by)]
    sent = b"".join(f"{len(frame):x};chunk-signature=0\r\n".encode() + frame + b"\r\n" for frame in frames)
    return sent + b"0\r\n" + "".join(f"{line}\r\n" for line in trailers).encode() + b"\r\n"


def send(emulator: SageMakerEmulator, sent: bytes, kind: str, **headers: str) -> requests.Response:
    """Puts an object by a signed request of our own."""

    class Signer(S3SigV4Auth):
        def payload(self, request: Any) -> str:
            return kind

    keys = Credentials(*(emulator.of_client[name] for name in ("aws_access_key_id", "aws_secret_access_key")))
    url = f"{emulator.url}/{emulator.bucket}/framed"
    made = AWSRequest("PUT", url, data=sent, headers={name.replace("_", "-"): value for name, value in headers.items()})
    made.headers["Content-Encoding"] = "aws-chunked"
    Signer(keys, "s3", "us-east-1").add_auth(made)
    return requests.put(url, data=sent, headers=dict(made.headers.items()))


KINDS = ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", [BODY, b"small", b""], ids=["large", "small", "none"])
def test_frames_are_taken_off(emulator: SageMakerEmulator, s3: Any, kind: str, body: bytes) -> None:
    total = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    sent = framed(body, f"x-amz-checksum-crc32:{total}")
    length = str(len(body))
    answer = send(emulator, sent, kind, x_amz_decoded_content_length=length, x_amz_sdk_checksum_algorithm="CRC32")
    assert (answer.status_code, answer.headers.get("x-amz-checksum-crc32")) == (200, total), answer.text
    told = s3.get_object(Bucket=emulator.bucket, Key="framed", ChecksumMode="ENABLED")
    assert (told["Body"].read(), told["ChecksumCRC32"]) == (body, total)
    assert "aws-chunked" not in told.get("ContentEncoding", "")


@pytest.mark.parametrize(
    ("sent", "length", "code"),
    [
        (framed(b"content", "x-amz-checksum-crc32:AAAAAA=="), 7, "BadDigest"),
        (framed(b"content"), 8, "IncompleteBody"),
        (b"ff\r\ncontent\r\n0\r\n\r\n", 7, "IncompleteBody"),
        (b"4\r\ncontent\r\n0\r\n\r\n", 7, "IncompleteBody"),
        (b"-7\r\ncontent\r\n0\r\n\r\n", 7, "IncompleteBody"),
        (b"content", 7, "IncompleteBody"),
    ],
    ids=["checksum", "length", "short", "long", "negative", "none"],
)
def test_frames_that_are_wrong_are_refused(
    emulator: SageMakerEmulator, s3: Any, sent: bytes, length: int, code: str
) -> None:
    s3.put_object(Bucket=emulator.bucket, Key="framed", Body=b"before")
    answer = send(
        emulator, sent, KINDS[0], x_amz_decoded_content_length=str(length), x_amz_sdk_checksum_algorithm="CRC32"
    )
    assert (answer.status_code, f"<Code>{code}</Code>" in answer.text) == (400, True), answer.text
    assert s3.get_object(Bucket=emulator.bucket, Key="framed")["Body"].read() == b"before"


# Training jobs' side


def test_files_of_jobs_go_through_the_disk(emulator: SageMakerEmulator, tmp_path: Path) -> None:
    cloud = Cloud(emulator.account, emulator.region)
    for content in (BODY, b"small", b""):
        (tmp_path / "source").write_bytes(content)
        cloud.upload(tmp_path / "source", emulator.bucket, "of a job")
        (tmp_path / "source").write_bytes(b"changed")
        cloud.download(emulator.bucket, "of a job", tmp_path / "made" / "target")
        assert (tmp_path / "made" / "target").read_bytes() == cloud.read(emulator.bucket, "of a job") == content


@given(
    some.lists(some.binary(max_size=9), max_size=5),
    some.integers(-50, 50),
    some.integers(-50, 50),
    some.integers(-1, 9),
)
def test_what_is_stored_is_cut_as_bytes_are(parts: list[bytes], begin: int, end: int, most: int) -> None:
    files = []
    for part in parts:
        file = tempfile.SpooledTemporaryFile()  # noqa: SIM115  # the object's
        file.write(part)
        file.flush()
        files.append(Stored.of(file, len(part)))
    stored, whole = Stored.joined(files), b"".join(parts)
    cut = stored[begin:end]
    assert (b"".join(cut), len(cut)) == (whole[begin:end], len(whole[begin:end]))
    found = b""
    while data := stored.read(most):
        found += data
    assert found == (whole if most else b"")


def test_a_copy_is_the_objects_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BODY)
    with (tmp_path / "file").open("rb") as file:
        content = copied(file)
    os.truncate(tmp_path / "file", 0)
    assert b"".join(content) == BODY  # type: ignore[arg-type]
