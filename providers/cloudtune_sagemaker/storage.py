"""Files on their way to S3 and back: code and data that a request names, and what trials leave."""

import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError

from cloudtune.bundle.shipment import Upload
from cloudtune.bundle.upload import staged
from cloudtune.driver.outputs import RunBrief, TrialOutputs
from cloudtune.errors import ProviderError, RunNotFound, TrialError, ignoring
from cloudtune.planning.translation import with_environment
from cloudtune.store.secrets import kept_environment
from cloudtune_sagemaker.client import Aws, translated
from cloudtune_sagemaker.logs import lines_of
from cloudtune_sagemaker.workload import PROVIDER, VARIABLES

if TYPE_CHECKING:
    from cloudtune.driver.interrupt import Condition
    from cloudtune.planning.plan import Plan
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.records import Trial
    from cloudtune.store.store import RunStore

_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})

ARCHIVES = ("model.tar.gz", "output.tar.gz")
"""What SageMaker makes of ``/opt/ml/model`` and ``/opt/ml/output/data``."""


def final_request(aws: Aws, run: "RunStore", job: "TuningJob", plan: "Plan") -> dict[str, Any]:
    """Return the plan's request with what only the start knows, after code and data have been uploaded.

    Raises:
        ProviderError: AWS refused, or cannot be reached.
    """
    request = staged(
        plan.request,
        run,
        job,
        provider=PROVIDER,
        bucket=aws.bucket,
        upload=lambda prefix, files: _upload(aws, prefix, files),
    )
    for parent in (request.get("WarmStartConfig") or {}).get("ParentHyperParameterTuningJobs", []):
        parent["HyperParameterTuningJobName"] = _tuning_job_of(run, parent["HyperParameterTuningJobName"])
    return with_environment(request, kept_environment(run), VARIABLES) if job.trial.environment else request


def _upload(aws: Aws, prefix: str, files: Sequence[Upload]) -> None:
    """Upload what is not there yet: the names tell the content."""
    bucket, _, folder = prefix.removeprefix("s3://").partition("/")
    for file in files:
        key = f"{folder}/{file.key}"
        with ignoring(_MISSING), translated(f"uploading to s3://{bucket}"):
            aws.s3.head_object(Bucket=bucket, Key=key)
            continue
        _put(aws, file.source, bucket, key)


def _put(aws: Aws, source: Path, bucket: str, key: str) -> None:
    with translated(f"uploading to s3://{bucket}"):
        try:
            aws.s3.upload_file(str(source), bucket, key)
        except S3UploadFailedError as error:
            if isinstance(error.__context__, ClientError):  # what S3 answered, which boto3 puts into a text
                raise error.__context__ from None
            raise ProviderError(f"uploading {source.name} failed: {error}", retryable=True) from error


def _tuning_job_of(run: "RunStore", earlier: str) -> str:
    """Return the tuning job of an earlier run of this project; another name is a tuning job's own."""
    try:
        return run.store.run(earlier).record().native.get("job", earlier)
    except RunNotFound:
        return earlier


def copy_objects(aws: Aws, source: str, target: str, *, anew: bool) -> None:
    """Copy all objects below one place in S3 to another.

    Args:
        aws: the clients.
        source: an ``s3://`` place with a slash at its end.
        target: as the source.
        anew: whether what is there already is replaced; else nothing is copied where anything is.

    Raises:
        ProviderError: the service cannot be reached, or refuses.
    """
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    to, _, below = target.removeprefix("s3://").partition("/")
    with translated(f"copying {source}"):
        if not anew and aws.s3.list_objects_v2(Bucket=to, Prefix=below, MaxKeys=1).get("KeyCount"):
            return
        for page in aws.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for each in page.get("Contents", ()):
                key = each["Key"]
                aws.s3.copy({"Bucket": bucket, "Key": key}, to, f"{below}{key.removeprefix(prefix)}")


# What trials leave


class TrainingJobOutputs(TrialOutputs):
    """What training jobs printed and left; `Trial.place` is the training job's name. It has `aws` and `brief`."""

    aws: Aws
    brief: RunBrief

    def lines(self, trial: "Trial", over: "Condition") -> Iterator[str]:
        return lines_of(self.aws, trial.place, over, self.brief.soon)

    def files(self, trial: "Trial", target: Path) -> list[Path]:
        return download(self.aws, trial.place, target)


def download(aws: Aws, training_job: str, target: Path) -> list[Path]:
    """Download and unpack what a training job left.

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


def _unpack(aws: Aws, bucket: str, key: str, target: Path) -> Sequence[Path]:
    with tempfile.NamedTemporaryFile(suffix=".tar.gz") as file:
        there = False
        with ignoring(_MISSING), translated(f"downloading s3://{bucket}/{key}"):
            aws.s3.download_fileobj(bucket, key, file)
            there = True
        if not there:
            return []
        file.flush()
        try:
            with tarfile.open(file.name) as archive:
                members = archive.getmembers()
                archive.extractall(target, members, filter="data")
        except tarfile.FilterError as error:
            raise TrialError(f"s3://{bucket}/{key} is not unpacked: {error}") from error
    return [target / member.name for member in members if member.isfile()]
