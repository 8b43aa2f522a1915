"""What a run on SageMaker needs, and whether it is there."""

from typing import TYPE_CHECKING

from cloudtune.errors import CredentialError, ProviderError
from cloudtune.provider.interface import Finding
from cloudtune_sagemaker.client import Aws, translated
from cloudtune_sagemaker.policy import IMAGE

if TYPE_CHECKING:
    from cloudtune_sagemaker.settings import SageMakerSettings

_SERVICE = "sagemaker"
_QUOTAS_SHOWN = 5


def findings(settings: "SageMakerSettings") -> list[Finding]:
    """Look at credentials, region, role, image, bucket, the permission to tune, and quotas."""
    aws = Aws(settings)
    found = [Finding.tried("region", lambda: aws.region), Finding.tried("credentials", lambda: _who(aws))]
    if settings.endpoint:
        found.append(Finding("endpoint", None, f"{settings.endpoint}, not AWS itself"))
    if not all(each.ok for each in found[:2]):
        return found
    return [
        *found,
        _role(aws, settings.role),
        _image(aws, settings.image),
        Finding.tried("bucket", lambda: _bucket(aws)),
        Finding.tried("tuning jobs", lambda: _may_tune(aws)),
        *_quotas(aws),
    ]


def _role(aws: Aws, role: str | None) -> Finding:
    """Return whether the role exists; unknown where the credentials may not ask IAM."""
    if not role:
        message = 'write role = "arn:aws:iam::…:role/…" in the profile, or identity in the job'
        return Finding("role", ok=False, message=message)
    try:
        with translated(f"looking at {role}"):
            aws.iam.get_role(RoleName=role.rpartition("/")[2])
    except CredentialError as error:
        return Finding("role", None, f"{role}; whether it is there may not be asked: {error}")
    except ProviderError as error:
        return Finding("role", ok=False, message=str(error))
    return Finding("role", ok=True, message=role)


def _image(aws: Aws, image: str | None) -> Finding:
    """Return whether the image exists; unknown outside Amazon ECR, and where the credentials may not ask."""
    if not image:
        return Finding(
            "image", None, 'none in the profile; each job needs trial.image, or write image = "…" in the profile'
        )
    place = IMAGE.fullmatch(image)
    if place is None:
        return Finding("image", None, f"{image}; whether it is there cannot be asked: it is in no registry of AWS")
    try:
        with translated(f"looking at {image}"):
            aws.ecr.describe_images(
                registryId=place["account"],
                repositoryName=place["name"],
                imageIds=[
                    {"imageDigest": place["digest"]} if place["digest"] else {"imageTag": place["tag"] or "latest"}
                ],
            )
    except CredentialError as error:
        return Finding("image", None, f"{image}; whether it is there may not be asked: {error}")
    except ProviderError as error:
        return Finding("image", ok=False, message=str(error))
    return Finding("image", ok=True, message=image)


def _who(aws: Aws) -> str:
    with translated("asking who we are"):
        identity = aws.sts.get_caller_identity()
    return f"{identity['Arn']} in account {identity['Account']}"


def _bucket(aws: Aws) -> str:
    bucket = aws.bucket()
    with translated(f"looking at s3://{bucket}"):
        aws.s3.head_bucket(Bucket=bucket)
    return f"s3://{bucket}"


def _may_tune(aws: Aws) -> str:
    with translated("listing tuning jobs"):
        aws.sagemaker.list_hyper_parameter_tuning_jobs(MaxResults=1)
    return "may be listed"


def _quotas(aws: Aws) -> list[Finding]:
    """Return how many training instances of each type the account may run at once; unknown where Service Quotas does not answer."""
    try:
        with translated("asking for quotas"):
            pages = aws.quotas.get_paginator("list_service_quotas").paginate(ServiceCode=_SERVICE)
            quotas = [quota for page in pages for quota in page["Quotas"]]
    except ProviderError as error:
        return [Finding("quotas", None, f"not known: {error}")]
    usable = sorted(
        (quota["QuotaName"].removesuffix(" for training job usage"), quota["Value"])
        for quota in quotas
        if quota["QuotaName"].endswith(" for training job usage") and quota["Value"] > 0
    )
    if not usable:
        return [Finding("quotas", None, "no training instances are allowed, or none are listed")]
    shown = ", ".join(f"{name}: {value:g}" for name, value in usable[:_QUOTAS_SHOWN])
    more = f" and {len(usable) - _QUOTAS_SHOWN} more" if len(usable) > _QUOTAS_SHOWN else ""
    return [Finding("quotas", ok=True, message=f"training instances at once: {shown}{more}")]
