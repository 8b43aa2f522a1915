"""The rest of AWS for a training job: objects and logs, in moto's own backends of this process.

No sockets and no credentials: it is the same under moto's server and under ``mock_aws``.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cloudtune.emulation.authority import Ask
from cloudtune.errors import ProviderError

if TYPE_CHECKING:
    from moto.logs.models import LogsBackend
    from moto.s3.models import FakeBucket, S3Backend


_ECR = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+).*")
"""An image in a registry of AWS: account, region and repository."""

_PULL = ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")


def _permitted(*_: Ask) -> str:
    return ""


class Cloud:
    """S3, CloudWatch and the registry of one account and region, as an execution role may use them.

    Args:
        account: twelve digits.
        region: e.g. ``us-east-1``.
        denial: returns why the role may not take some actions; "" if it may.
    """

    def __init__(self, account: str, region: str, denial: Callable[..., str] = _permitted) -> None:
        from moto.logs.models import logs_backends  # noqa: PLC0415  # half a second, for the emulator alone
        from moto.s3.models import s3_backends  # noqa: PLC0415
        from moto.utilities.utils import get_partition  # noqa: PLC0415

        self.account, self.region, self._denial = account, region, denial
        self._partition = get_partition(region)
        self._s3: S3Backend = s3_backends[account][get_partition(region)]
        self._logs: LogsBackend = logs_backends[account][region]

    def objects(self, bucket: str, prefix: str) -> list[str]:
        """Return the keys of a bucket that begin with a prefix, sorted.

        Raises:
            ProviderError: there is no such bucket (``NoSuchBucket``), or the role may not list it (``AccessDenied``).
        """
        self._need(Ask("s3:ListBucket", self._arn(bucket), (("s3:prefix", prefix),)))
        found, _, _, _ = self._s3.list_objects(self._bucket(bucket), prefix, None, None, None)
        return sorted(key.name for key in found)

    def read(self, bucket: str, key: str) -> bytes:
        """Return the content of an object.

        Raises:
            ProviderError: there is no such bucket or key (``NoSuchBucket``, ``NoSuchKey``).
        """
        return b"".join(self._chunks(bucket, key))

    def download(self, bucket: str, key: str, target: Path) -> None:
        """Write an object to a file, and make the file's folder.

        Raises:
            ProviderError: there is no such bucket or key.
            OSError: the file cannot be written.
        """
        chunks = self._chunks(bucket, key)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            file.writelines(chunks)

    def upload(self, source: Path, bucket: str, key: str) -> None:
        """Put a file into a bucket.

        Raises:
            ProviderError: there is no such bucket (``NoSuchBucket``): as on the service, none is made.
            OSError: the file cannot be read.
        """
        from cloudtune_sagemaker.emulator.objects import copied  # noqa: PLC0415  # loads moto

        self._need(Ask("s3:PutObject", self._arn(bucket, key)))
        self._bucket(bucket)
        with source.open("rb") as file:
            self._s3.put_object(bucket, key, copied(file))  # type: ignore[arg-type]  # see there

    def log(self, group: str, stream: str, events: Sequence[tuple[int, str]]) -> None:
        """Add lines to a log stream; make the group and the stream where they are missing.

        A job whose role may not write logs runs all the same, and leaves none.

        Args:
            group: the log group.
            stream: the log stream.
            events: milliseconds since 1970, in rising order, and the line.
        """
        from moto.logs.exceptions import ResourceAlreadyExistsException  # noqa: PLC0415

        if self._denied_logs(group, stream):
            return
        if group not in self._logs.groups:
            with contextlib.suppress(ResourceAlreadyExistsException):  # another job's thread was first
                self._logs.create_log_group(group, {})
        self._logs.ensure_log_stream(group, stream)
        if events:
            self._logs.put_log_events(group, stream, [{"timestamp": at, "message": line} for at, line in events])

    def _chunks(self, bucket: str, key: str) -> Iterable[bytes]:
        """Yield the content of an object, piece by piece."""
        from cloudtune_sagemaker.emulator.objects import Stored, lazily  # noqa: PLC0415  # loads moto

        self._need(Ask("s3:GetObject", self._arn(bucket, key)))
        self._bucket(bucket)
        found = self._s3.get_object(bucket, key)
        if found is None:
            raise ProviderError(f"there is no object s3://{bucket}/{key}", code="NoSuchKey")
        with lazily():
            content: Stored | bytes = found.value
        return content if isinstance(content, Stored) else [content]

    def begin(self, image: str, *, measures: bool) -> None:
        """Make sure that the role may pull an image, and write metrics if the job has any.

        Raises:
            ProviderError: it may not (``AccessDenied``).
        """
        place = _ECR.fullmatch(image)
        if place is not None:
            owner, region, name = place.groups()
            repository = f"arn:{self._partition}:ecr:{region}:{owner}:repository/{name}"
            self._need(Ask("ecr:GetAuthorizationToken", "*"), *(Ask(f"ecr:{action}", repository) for action in _PULL))
        if measures:
            self._need(Ask("cloudwatch:PutMetricData", "*"))

    def _need(self, *asks: Ask) -> None:
        """Raise ProviderError for actions that the role may not take."""
        denied = self._denial(*asks)
        if denied:
            raise ProviderError(f"AccessDenied: {denied}", code="AccessDenied")

    def _denied_logs(self, group: str, stream: str) -> bool:
        start = f"arn:{self._partition}:logs:{self.region}:{self.account}:log-group:{group}:log-stream:"
        made = () if group in self._logs.groups else (Ask("logs:CreateLogGroup", start),)
        first = group not in self._logs.groups or stream not in self._logs.groups[group].streams
        opened = (Ask("logs:DescribeLogStreams", start), Ask("logs:CreateLogStream", start + stream)) if first else ()
        return bool(self._denial(*made, *opened, Ask("logs:PutLogEvents", start + stream)))

    def _arn(self, bucket: str, key: str = "") -> str:
        return f"arn:{self._partition}:s3:::{bucket}/{key}" if key else f"arn:{self._partition}:s3:::{bucket}"

    def _bucket(self, name: str) -> "FakeBucket":
        from moto.s3.exceptions import S3ClientError  # noqa: PLC0415

        try:
            return self._s3.get_bucket(name)
        except S3ClientError as error:
            hint = "; make it first, in the emulator's S3" if error.code == "NoSuchBucket" else ""
            raise ProviderError(f"the bucket {name!r} cannot be used: {error.message}{hint}", code=error.code) from None


def split_uri(uri: str) -> tuple[str, str]:
    """Return the bucket and the key, or the beginning of one, of ``s3://bucket/key``.

    Raises:
        ProviderError: it is no such address (``ValidationException``).
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise ProviderError(f"{uri!r} is no place in S3; write s3://BUCKET/KEY", code="ValidationException")
    return bucket, key
