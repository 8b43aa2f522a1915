"""The rest of AWS for a training job: objects and logs, in moto's own backends of this process.

No sockets and no credentials: it is the same under moto's server and under ``mock_aws``.
"""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cloudtune.errors import ProviderError

if TYPE_CHECKING:
    from moto.logs.models import LogsBackend
    from moto.s3.models import FakeBucket, S3Backend


class Cloud:
    """S3 and CloudWatch Logs of one account and region.

    Args:
        account: twelve digits.
        region: e.g. ``us-east-1``.
    """

    def __init__(self, account: str, region: str) -> None:
        from moto.logs.models import logs_backends  # noqa: PLC0415  # half a second, for the emulator alone
        from moto.s3.models import s3_backends  # noqa: PLC0415
        from moto.utilities.utils import get_partition  # noqa: PLC0415

        self.account, self.region = account, region
        self._s3: S3Backend = s3_backends[account][get_partition(region)]
        self._logs: LogsBackend = logs_backends[account][region]

    def objects(self, bucket: str, prefix: str) -> list[str]:
        """The keys of a bucket that begin with a prefix, sorted.

        Raises:
            ProviderError: there is no such bucket (``NoSuchBucket``).
        """
        found, _, _, _ = self._s3.list_objects(self._bucket(bucket), prefix, None, None, None)
        return sorted(key.name for key in found)

    def read(self, bucket: str, key: str) -> bytes:
        """The content of an object.

        Raises:
            ProviderError: there is no such bucket or key (``NoSuchBucket``, ``NoSuchKey``).
        """
        return b"".join(self._chunks(bucket, key))

    def download(self, bucket: str, key: str, target: Path) -> None:
        """Writes an object to a file, and makes the file's folder.

        Raises:
            ProviderError: there is no such bucket or key.
            OSError: the file cannot be written.
        """
        chunks = self._chunks(bucket, key)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            file.writelines(chunks)

    def upload(self, source: Path, bucket: str, key: str) -> None:
        """Puts a file into a bucket.

        Raises:
            ProviderError: there is no such bucket (``NoSuchBucket``): as on the service, none is made.
            OSError: the file cannot be read.
        """
        from cloudtune_sagemaker.emulator.objects import copied  # noqa: PLC0415  # loads moto

        self._bucket(bucket)
        with source.open("rb") as file:
            self._s3.put_object(bucket, key, copied(file))  # type: ignore[arg-type]  # see there

    def log(self, group: str, stream: str, events: Sequence[tuple[int, str]]) -> None:
        """Adds lines to a log stream; makes the group and the stream where they are missing.

        Args:
            group: the log group.
            stream: the log stream.
            events: milliseconds since 1970, in rising order, and the line.
        """
        from moto.logs.exceptions import ResourceAlreadyExistsException  # noqa: PLC0415

        if group not in self._logs.groups:
            with contextlib.suppress(ResourceAlreadyExistsException):  # another job's thread was first
                self._logs.create_log_group(group, {})
        self._logs.ensure_log_stream(group, stream)
        if events:
            self._logs.put_log_events(group, stream, [{"timestamp": at, "message": line} for at, line in events])

    def _chunks(self, bucket: str, key: str) -> Iterable[bytes]:
        """The content of an object, piece by piece."""
        from cloudtune_sagemaker.emulator.objects import Stored, lazily  # noqa: PLC0415  # loads moto

        self._bucket(bucket)
        found = self._s3.get_object(bucket, key)
        if found is None:
            raise ProviderError(f"there is no object s3://{bucket}/{key}", code="NoSuchKey")
        with lazily():
            content: Stored | bytes = found.value
        return content if isinstance(content, Stored) else [content]

    def _bucket(self, name: str) -> "FakeBucket":
        from moto.s3.exceptions import S3ClientError  # noqa: PLC0415

        try:
            return self._s3.get_bucket(name)
        except S3ClientError as error:
            hint = "; make it first, in the emulator's S3" if error.code == "NoSuchBucket" else ""
            raise ProviderError(f"the bucket {name!r} cannot be used: {error.message}{hint}", code=error.code) from None


def split_uri(uri: str) -> tuple[str, str]:
    """The bucket and the key, or the beginning of one, of ``s3://bucket/key``.

    Raises:
        ProviderError: it is no such address (``ValidationException``).
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise ProviderError(f"{uri!r} is no place in S3; write s3://BUCKET/KEY", code="ValidationException")
    return bucket, key
