"""The least IAM policies that a profile needs: for the caller, and for the execution role that trials run as.

What calls take which action is said in ``permissions.csv``; here it is narrowed to the profile's bucket, prefix, role
and image, and to the places that the config says hold data, as far as the service lets an action be narrowed. Inputs
and outputs of a job that lie elsewhere, and keys and networks of its own, need more.

``sts:GetCallerIdentity`` is allowed to everybody (its API reference), so it is in no policy.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cloudtune.provider.permissions import PRINCIPALS, Mode, permissions, read_needs, with_inputs
from cloudtune_sagemaker.names import LOG_GROUP
from cloudtune_sagemaker.settings import SageMakerSettings

_TABLE = Path(__file__).with_name("permissions.csv")

IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/"
    r"(?P<name>[^:@]+)(?::(?P<tag>[^@]+))?(?:@(?P<digest>.+))?"
)
"""An image in a registry of AWS."""

_TO_SAGEMAKER = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


def policies(settings: SageMakerSettings, mode: Mode | None = None, inputs: Sequence[str] = ()) -> dict[str, Any]:
    """Return the IAM policies of a profile: ``caller``, and ``identity`` for the execution role.

    Args:
        settings: of the profile.
        mode: the only mode of its runs; None for both.
        inputs: places in S3 that trials read besides.
    """
    needs, places = with_inputs(read_needs(_TABLE)), _places(settings)
    places = {**places, **_inputs(inputs, places)}
    return {
        principal: {
            "Version": "2012-10-17",
            "Statement": [
                _statement(kind, actions, places[kind])
                for kind, actions in permissions(needs, principal, mode).items()
                if places[kind]
            ],
        }
        for principal in PRINCIPALS
    }


def actions_of(call: str) -> list[str]:
    """Return the actions that a call of boto3 takes, e.g. of ``HeadObject``; none for an unknown call."""
    return list(dict.fromkeys(need.permission for need in read_needs(_TABLE) if call in need.call.split()))


def _statement(kind: str, actions: Sequence[str], resources: Sequence[str]) -> dict[str, Any]:
    statement = {
        "Sid": "".join(word.capitalize() for word in kind.split("-")),
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": resources[0] if len(resources) == 1 else list(resources),
    }
    return {**statement, "Condition": _TO_SAGEMAKER} if kind == "passed-role" else statement


def _places(settings: SageMakerSettings) -> Mapping[str, Sequence[str]]:
    """Return the ARNs of each kind of resource; none for a kind that the profile's runs do not touch."""
    region = settings.region or "*"
    partition, account = _partition(region), _account(settings.role)
    bucket = settings.bucket or f"sagemaker-{region}-{account}"
    role = settings.role or f"arn:{partition}:iam::{account}:role/*"
    jobs = f"arn:{partition}:sagemaker:{region}:{account}"
    logs = f"arn:{partition}:logs:{region}:{account}:log-group:{LOG_GROUP}"
    image = _image(settings.image, partition)
    folders = [f"{bucket}/{settings.prefix}", *([] if settings.output is None else [_in_s3(settings.output)])]
    return {
        "all": ["*"],
        "tuning-job": [f"{jobs}:hyper-parameter-tuning-job/*"],
        "training-job": [f"{jobs}:training-job/*"],
        "role": [role],
        "passed-role": [role],
        "bucket": list(dict.fromkeys(f"arn:{partition}:s3:::{folder.partition('/')[0]}" for folder in folders)),
        "objects": [f"arn:{partition}:s3:::{folder}/*" for folder in folders],
        "logs": [f"{logs}*"],  # the group as it is, and as ``GROUP:log-stream:…``
        "image": image,
        "registry": ["*"] if image else [],
    }


def _inputs(inputs: Sequence[str], places: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the ARNs of what trials read elsewhere: of each place the object of its name, and those below it."""
    partition = places["bucket"][0].split(":")[1]
    named = [f"arn:{partition}:s3:::{_in_s3(place)}" for place in inputs]
    elsewhere = [
        arn for arn in named if not any(f"{arn}/".startswith(own.removesuffix("*")) for own in places["objects"])
    ]
    buckets = dict.fromkeys(arn.partition("/")[0] for arn in elsewhere)
    return {
        "input-objects": [each for arn in elsewhere for each in ([arn, f"{arn}/*"] if "/" in arn else [f"{arn}/*"])],
        "input-bucket": [bucket for bucket in buckets if bucket not in places["bucket"]],
    }


def _in_s3(place: str) -> str:
    """Return the bucket and folder of ``s3://bucket/folder/``."""
    return place.removeprefix("s3://").rstrip("/")


def _image(image: str | None, partition: str) -> list[str]:
    """Return the repository of an image; none where it is in no registry of AWS.

    Every one where a job may name any, or where the name is no address: that of a framework, which SageMaker looks up.
    """
    if not image or "." not in image.partition("/")[0] or "/" not in image:
        return [f"arn:{partition}:ecr:*:*:repository/*"]
    place = IMAGE.fullmatch(image)
    return [f"arn:{partition}:ecr:{place['region']}:{place['account']}:repository/{place['name']}"] if place else []


def _partition(region: str) -> str:
    """Return the partition of a region (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html)."""
    return next(
        (name for start, name in (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov")) if region.startswith(start)), "aws"
    )


def _account(role: str | None) -> str:
    """Return the account of a role's ARN; ``*`` where it is not known."""
    found = re.match(r"arn:[\w-]+:iam::(\d{12}):", role or "")
    return found[1] if found else "*"
