"""SageMaker's own words for places, roles, machine types and images."""

import re
from collections.abc import Sequence

from cloudtune.porting.words import ServiceWords
from cloudtune_sagemaker.images import SageMakerImages
from cloudtune_sagemaker.values import BUCKET, ECR, MACHINE

_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/.+")
"""API reference, RoleArn."""

_GPUS = re.compile(r"ml\.[gp]\d.*")
"""What SageMaker's SDK takes for machines with GPUs (`sagemaker.core.image_uris`)."""


class SageMakerWords(ServiceWords):
    """See `cloudtune.porting.words.ServiceWords`."""

    provider = "sagemaker"
    service = "SageMaker"
    schemes = ("s3://",)
    forms = {
        "place": BUCKET.form,
        "identity": _ROLE,
        "machine": MACHINE,
        "image": re.compile(rf"{ECR.pattern}|builtin:.+"),
    }
    with_gpu = _GPUS
    examples = {
        "place": "s3://…/NAME",
        "identity": "arn:aws:iam::…:role/…",
        "image": "….dkr.ecr.….amazonaws.com/…",
    }
    settings = {"identity": "role"}
    images = SageMakerImages()

    def machine_types(self) -> tuple[Sequence[str], str]:
        from cloudtune_sagemaker.values import machines  # noqa: PLC0415  # reads the service's model

        known = machines()
        return known.values, f"a newer boto3 than that with {known.source}"
