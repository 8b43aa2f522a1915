"""What trials leave in S3: downloaded, and unpacked so that no file lands outside its folder."""

import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from cloudtune.errors import TrialError
from cloudtune_sagemaker.client import Aws, code_of, translated

if TYPE_CHECKING:
    from collections.abc import Sequence

ARCHIVES = ("model.tar.gz", "output.tar.gz")
"""What SageMaker makes of ``/opt/ml/model`` and ``/opt/ml/output/data``."""


def download(aws: Aws, training_job: str, target: Path) -> list[Path]:
    """Downloads and unpacks what a training job left.

    Args:
        aws: the clients.
        training_job: its name.
        target: a folder; made if it is not there.

    Returns:
        The files, below the target.

    Raises:
        TrialError: it left nothing, or an archive whose names lead outside of its folder.
    """
    with translated(f"looking at {training_job}"):
        described = aws.sagemaker.describe_training_job(TrainingJobName=training_job)
    root = described["OutputDataConfig"]["S3OutputPath"].rstrip("/")
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    folder = "/".join(filter(None, [prefix, training_job, "output"]))
    target.mkdir(parents=True, exist_ok=True)
    files = [path for name in ARCHIVES for path in _unpack(aws, bucket, f"{folder}/{name}", target)]
    if not files:
        raise TrialError(f"{training_job} left no files in s3://{bucket}/{folder}")
    return files


def _unpack(aws: Aws, bucket: str, key: str, target: Path) -> "Sequence[Path]":
    with tempfile.NamedTemporaryFile(suffix=".tar.gz") as file:
        with translated(f"downloading s3://{bucket}/{key}"):
            try:
                aws.s3.download_fileobj(bucket, key, file)
            except ClientError as error:
                if code_of(error) not in {"404", "NoSuchKey", "NotFound"}:
                    raise
                return []
        file.flush()
        try:
            with tarfile.open(file.name) as archive:
                members = archive.getmembers()
                archive.extractall(target, members, filter="data")
        except tarfile.FilterError as error:
            raise TrialError(f"s3://{bucket}/{key} is not unpacked: {error}") from error
    return [target / member.name for member in members if member.isfile()]
