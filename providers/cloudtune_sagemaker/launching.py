"""From a plan to what is sent: names, code and data in S3, secrets put in, and the one call that makes the job."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from cloudtune.bundle.shipment import Upload
from cloudtune.bundle.upload import staged
from cloudtune.errors import ProviderError, RunNotFound
from cloudtune.store.secrets import kept_environment
from cloudtune_sagemaker.client import Aws, code_of, translated
from cloudtune_sagemaker.names import run_name
from cloudtune_sagemaker.translate import with_environment
from cloudtune_sagemaker.workload import PROVIDER

if TYPE_CHECKING:
    from cloudtune.planning.plan import Plan
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.store import RunStore

_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})


def final_request(aws: Aws, run: "RunStore", job: "TuningJob", plan: "Plan") -> dict[str, Any]:
    """The plan's request with what only the start knows, after code and data have been uploaded.

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
    return with_environment(request, kept_environment(run)) if job.trial.environment else request


def _upload(aws: Aws, prefix: str, files: Sequence[Upload]) -> None:
    """Uploads what is not there yet: the names tell the content."""
    bucket, _, folder = prefix.removeprefix("s3://").partition("/")
    for file in files:
        key = f"{folder}/{file.key}"
        with translated(f"uploading to s3://{bucket}"):
            try:
                aws.s3.head_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if code_of(error) not in _MISSING:
                    raise
                _put(aws, file.source, bucket, key)


def _put(aws: Aws, source: Path, bucket: str, key: str) -> None:
    from boto3.exceptions import S3UploadFailedError  # noqa: PLC0415  # boto3 is there by now

    try:
        aws.s3.upload_file(str(source), bucket, key)
    except S3UploadFailedError as error:
        raise ProviderError(f"uploading {source.name} failed: {error}", retryable=True) from error


def create_tuning_job(aws: Aws, run: "RunStore", job: "TuningJob", plan: "Plan") -> str:
    """Makes the run's tuning job and returns its name; a job that is there already was made by an earlier call.

    Raises:
        ProviderError: AWS refused it, or cannot be reached.
    """
    name = run_name(str(plan.request["HyperParameterTuningJobName"]), run.id)
    request = {**final_request(aws, run, job, plan), "HyperParameterTuningJobName": name}
    parents = (request.get("WarmStartConfig") or {}).get("ParentHyperParameterTuningJobs", [])
    for parent in parents:
        parent["HyperParameterTuningJobName"] = _tuning_job_of(run, parent["HyperParameterTuningJobName"])
    run.write(columns={"native": {**run.record().native, "job": name}})
    with translated(f"making the tuning job {name}"):
        try:
            aws.sagemaker.create_hyper_parameter_tuning_job(**request)
        except ClientError as error:
            if code_of(error) != "ResourceInUse":
                raise
    return name


def _tuning_job_of(run: "RunStore", earlier: str) -> str:
    """The tuning job of an earlier run of this project; another name is a tuning job's own."""
    try:
        return run.store.run(earlier).record().native.get("job", earlier)
    except RunNotFound:
        return earlier
