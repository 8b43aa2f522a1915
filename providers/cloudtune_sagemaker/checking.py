"""What a run on SageMaker needs, and whether it is there."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from cloudtune.errors import ConfigError, ProviderError
from cloudtune.provider import Finding
from cloudtune_sagemaker.client import Aws, translated

if TYPE_CHECKING:
    from cloudtune_sagemaker.settings import SageMakerSettings

_SERVICE = "sagemaker"
_QUOTAS_SHOWN = 5


def findings(settings: "SageMakerSettings") -> list[Finding]:
    """Looks at credentials, region, role, bucket, the permission to tune, and quotas."""
    aws = Aws(settings)
    found = [_try("region", lambda: aws.region), _try("credentials", lambda: _who(aws))]
    if settings.endpoint:
        found.append(Finding("endpoint", None, f"{settings.endpoint}, not AWS itself"))
    if not all(each.ok for each in found[:2]):
        return found
    role = settings.role
    return [
        *found,
        Finding(
            "role", bool(role), role or 'write role = "arn:aws:iam::…:role/…" in the profile, or identity in the job'
        ),
        _try("bucket", lambda: _bucket(aws)),
        _try("tuning jobs", lambda: _may_tune(aws)),
        *_quotas(aws),
    ]


def _try(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, ok=True, message=look())
    except (ConfigError, ProviderError) as error:
        return Finding(subject, ok=False, message=str(error))


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
    """What the account may run at once, as far as it is above zero; unknown where Service Quotas does not answer."""
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
