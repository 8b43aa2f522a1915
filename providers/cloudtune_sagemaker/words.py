"""SageMaker's own words for places, roles and machine types."""

import re

from cloudtune.porting.words import ServiceWords
from cloudtune_sagemaker.values import BUCKET, MACHINE

_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/.+")
"""API reference, RoleArn."""


class SageMakerWords(ServiceWords):
    """See `cloudtune.porting.words.ServiceWords`."""

    provider = "sagemaker"
    service = "SageMaker"
    schemes = ("s3://",)
    forms = {"place": BUCKET.form, "identity": _ROLE, "machine": MACHINE}
    examples = {
        "place": "s3://…/NAME",
        "identity": "arn:aws:iam::…:role/…",
        "image": "….dkr.ecr.….amazonaws.com/…",
    }
    settings = {"identity": "role"}
