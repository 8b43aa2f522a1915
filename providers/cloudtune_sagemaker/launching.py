"""From a plan to what is sent: names, code and data in S3, secrets put in, and the one call that makes the job."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from cloudtune.errors import ProviderError, RunNotFound
from cloudtune.private import kept_environment
from cloudtune_sagemaker.assets import Upload, data_uploads, local_data
from cloudtune_sagemaker.client import Aws, code_of, translated
from cloudtune_sagemaker.names import run_name
from cloudtune_sagemaker.translate import with_environment

if TYPE_CHECKING:
    from cloudtune.job import TuningJob
    from cloudtune.plan import Plan
    from cloudtune.store import RunStore

ASSETS = "assets"
"""The folder in a run's own that holds what travels with its trials."""

_TOKEN = re.compile(r"\$\{([a-z]+(?::[^}]*)?)\}")
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})


def final_request(aws: Aws, run: "RunStore", job: "TuningJob", plan: "Plan") -> dict[str, Any]:
    """The plan's request with what only the start knows, after code and data have been uploaded.

    Raises:
        ProviderError: AWS refused, or cannot be reached.
    """
    base = Path(run.record().native["base"])
    uploads: dict[str, tuple[str, list[Upload]]] = {
        f"data:{name}": data_uploads(base / place) for name, place in local_data(job).items()
    }
    assets = run.folder / ASSETS
    if assets.is_dir():
        files = [Upload(path, path.name) for path in sorted(assets.iterdir())]
        uploads["code"] = (run.record().native["code"], files)
    _upload_all(aws, plan.request, uploads)
    hashes = {token: digest for token, (digest, _) in uploads.items()}
    request: dict[str, Any] = _filled(plan.request, lambda token: hashes[token] if token in hashes else aws.bucket())
    return with_environment(request, kept_environment(run)) if job.trial.environment else request


def _filled(value: Any, fill: Callable[[str], str]) -> Any:  # any plain data
    """Plain data with its tokens ``${…}`` replaced."""
    if isinstance(value, Mapping):
        return {key: _filled(part, fill) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(part, fill) for part in value]
    return _TOKEN.sub(lambda match: fill(match.group(1)), value) if isinstance(value, str) else value


def _upload_all(aws: Aws, request: Mapping[str, Any], uploads: Mapping[str, tuple[str, list[Upload]]]) -> None:
    for token, (digest, files) in uploads.items():
        place = _place_of(request, token)
        if place is not None:
            whole = place.replace(f"${{{token}}}", digest)
            if "${bucket}" in whole:
                whole = whole.replace("${bucket}", aws.bucket())
            _upload(aws, whole, files)


def _place_of(value: Any, token: str) -> str | None:  # any plain data
    """The S3 prefix in a request that a token names: all up to the token's end."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return next((place for part in value if (place := _place_of(part, token)) is not None), None)
    mark = f"${{{token}}}"
    if isinstance(value, str) and value.startswith("s3://") and mark in value:
        return value[: value.index(mark) + len(mark)]
    return None


def _upload(aws: Aws, prefix: str, files: list[Upload]) -> None:
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
