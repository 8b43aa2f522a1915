"""Tuning jobs that were started elsewhere: their specs, from what travelled with them or from what the service describes."""

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from cloudtune import trial
from cloudtune.errors import RunNotFound
from cloudtune.spec.job import TuningJob
from cloudtune_sagemaker.client import Aws, code_of, translated
from cloudtune_sagemaker.parse import parse

CHANNEL = "cloudtune"
"""The channel in which the trial helper travels."""


def find(aws: Aws, name: str) -> TuningJob:
    """The spec of a tuning job.

    Raises:
        RunNotFound: the account has no such job in this region.
    """
    with translated(f"looking for the tuning job {name}"):
        try:
            described = aws.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        except ClientError as error:
            if code_of(error) not in {"ResourceNotFound", "ValidationException"}:
                raise
            message = f"SageMaker has no tuning job {name!r} in {aws.region}; `aws sagemaker list-hyper-parameter-tuning-jobs` lists them"
            raise RunNotFound(message) from error
    spec = _travelled(aws, described)
    return parse(dict(described)) if spec is None else TuningJob.from_data(spec, name)


def _travelled(aws: Aws, described: Mapping[str, Any]) -> dict[str, Any] | None:
    """The spec in the job file beside the trial helper; None where there is none, or none that we may read."""
    definitions = described.get("TrainingJobDefinitions") or [described.get("TrainingJobDefinition") or {}]
    for channel in definitions[0].get("InputDataConfig", []):
        if channel["ChannelName"] == CHANNEL:
            place = channel["DataSource"]["S3DataSource"]["S3Uri"]
            bucket, _, prefix = place.removeprefix("s3://").partition("/")
            try:
                answer = aws.s3.get_object(Bucket=bucket, Key=f"{prefix.rstrip('/')}/{trial.JOB_FILE}")
            except ClientError:
                return None  # what the service describes has to do
            spec: dict[str, Any] = json.loads(answer["Body"].read())["spec"]
            return spec
    return None
