"""Values of a request that SageMaker knows and a plan can judge, and settings that it takes and does not heed."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from cloudtune.planning.known_values import IMAGE, Finding, Form, Known, Verdict, judge_text
from cloudtune.planning.plain_data import join, mapping
from cloudtune.planning.plan import Machines, Support
from cloudtune_sagemaker.schema_update import newer, written

MACHINE = re.compile(
    r"ml\.[a-z]+\d+[a-z]*(-[a-z]+\d*[a-z]*)?\.(\d*xlarge|nano|micro|small|medium|large|metal(-\d+xl)?)"
)
"""Machine types of training jobs."""
_REGION = re.compile(
    r"[a-z]{2,4}(-[a-z]{2,5})?-(north|south|east|west|central|northeast|northwest|southeast|southwest)-\d"
)
ECR = re.compile(r"\d{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.(com|com\.cn|eu)/.+|.*\.dkr-ecr[.-].+")
"""Images of Amazon ECR."""

_LOCAL_DISKS = re.compile(r"ml\.([a-z]+\d+[a-z]*d[a-z]*|g5|g6e?|p5(en?)?|p6.*|trn\d+n?)\..*")
"""Machines with disks of their own, for which SageMaker provisions no volume (API reference, ResourceConfig)."""

BUCKET = Form(
    "place in S3", re.compile(r"(?:s3|https)://[a-zA-Z0-9.\-_]{1,255}(?:/.*)?", re.DOTALL), "s3://bucket/prefix"
)
"""Buckets as botocore takes them (`botocore.utils.VALID_BUCKET`)."""

_SUBNET = Form("subnet", re.compile(r"subnet-[0-9A-Za-z-]+"), "subnet-0a1b2c3d")
_GROUP = Form("security group", re.compile(r"sg-[0-9A-Za-z-]+"), "sg-0a1b2c3d")
_KEY = Form(
    "KMS key",
    # API reference, KmsKeyId: an id, the ARN of a key, an alias, the ARN of an alias
    re.compile(
        r"(arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:)?(alias/[a-zA-Z0-9:/_-]+|key/[a-zA-Z0-9-]+)|(mrk-)?[0-9a-fA-F-]{32,40}"
    ),
    "arn:aws:kms:REGION:ACCOUNT:key/ID, an id, or alias/NAME",
)
_ELSEWHERE = "SageMaker pulls from Amazon ECR, and from another registry only in a VPC with a TrainingImageConfig"

_FORMS: Mapping[str, Form] = {
    "S3Uri": BUCKET,
    "S3OutputPath": BUCKET,
    "Subnets": _SUBNET,
    "SecurityGroupIds": _GROUP,
    "KmsKeyId": _KEY,
    "VolumeKmsKeyId": _KEY,
}
"""Forms by the name of the member."""


def machines() -> Known:
    """Return the machines of training jobs."""
    schema = newer() or written()
    values = tuple(schema.shapes["TrainingInstanceType"]["enum"])
    return Known("instance type", values, MACHINE, f"botocore {schema.version}")


def regions() -> Known:
    """Return the regions that SageMaker is in."""
    schema = newer() or written()
    return Known("region", schema.regions, _REGION, f"botocore {schema.version}")


def judged(request: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what was found of the values of a request; nothing for those that are right as far as can be known."""
    known = machines()
    for path, name, value in _texts(request, "", ""):
        if name == "InstanceType":
            verdict = judge_text(known, value)
        elif name == "TrainingImage":
            verdict = _of_image(value)
        elif name in _FORMS:
            verdict = judge_text(_FORMS[name], value)
        else:
            continue
        if verdict is not None:
            yield path, verdict


def _of_image(image: str) -> Verdict | None:
    if image.startswith("builtin:"):
        return None  # its name was looked up
    verdict = IMAGE.judge(image)
    if verdict is None and not ECR.fullmatch(image):
        return Support.UNCHECKED, f"the image {image} is passed on unchecked: {_ELSEWHERE}"
    return verdict


def with_known_machines(part: Any) -> Any:  # plain data
    """Return a request with a known machine in the place of those that are new, so that the other rules can be checked."""
    known = machines()
    if isinstance(part, Mapping):
        return {
            name: known.values[0]
            if name == "InstanceType" and isinstance(value, str) and known.judge(value) is not None
            else with_known_machines(value)
            for name, value in part.items()
        }
    return [with_known_machines(each) for each in part] if isinstance(part, list) else part


def machines_of(request: Mapping[str, Any]) -> Machines | None:
    """Return what one training job of a request runs on; None where the request says otherwise than by one machine type."""
    for _, definition in _definitions(request):
        own = definition.get("ResourceConfig") or definition.get("HyperParameterTuningResourceConfig")
        stopping = definition.get("StoppingCondition")
        configs = own.get("InstanceConfigs") if isinstance(own, Mapping) else None
        if isinstance(configs, list) and configs and isinstance(configs[0], Mapping):
            own = configs[0]
        if isinstance(own, Mapping) and isinstance(own.get("InstanceType"), str) and isinstance(stopping, Mapping):
            seconds, count = stopping.get("MaxRuntimeInSeconds"), own.get("InstanceCount")
            longest = timedelta(seconds=seconds) if isinstance(seconds, int) else None
            kept = own.get("KeepAlivePeriodInSeconds") if "HyperParameterTuningJobConfig" not in request else None
            known = kept if isinstance(kept, int) else 0
            return Machines(own["InstanceType"], count if isinstance(count, int) else 1, longest, float(known))
    return None


def unheeded(request: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield the settings of a request that the service takes and that change nothing there."""
    tunes = "HyperParameterTuningJobConfig" in request
    for path, definition in _definitions(request):
        resources = mapping(definition.get("ResourceConfig"))
        if tunes and resources.get("KeepAlivePeriodInSeconds"):
            message = "SageMaker keeps no machines warm for a tuning job: of no effect; mode: driven keeps them from trial to trial"
            yield join(path, "ResourceConfig.KeepAlivePeriodInSeconds"), (Support.APPROXIMATE, message)
        if _LOCAL_DISKS.fullmatch(str(resources.get("InstanceType"))):
            yield from _of_local_disks(resources, join(path, "ResourceConfig"))
        for index, channel in enumerate(definition.get("InputDataConfig") or ()):
            yield from _of_channel(channel, definition, join(path, f"InputDataConfig[{index}]"))


def _of_local_disks(resources: Mapping[str, Any], path: str) -> Iterator[Finding]:
    machine = resources["InstanceType"]
    message = f"{machine} has disks of its own, of a fixed size: SageMaker provisions no other"
    yield join(path, "VolumeSizeInGB"), (Support.APPROXIMATE, message)
    if resources.get("VolumeKmsKeyId"):
        message = f"{machine} encrypts its own disks by a key of its own; SageMaker refuses another: take it away"
        yield join(path, "VolumeKmsKeyId"), (Support.UNSUPPORTED, message)


def _of_channel(channel: Any, definition: Mapping[str, Any], path: str) -> Iterator[Finding]:
    if not isinstance(channel, Mapping):
        return
    algorithm = definition.get("AlgorithmSpecification") or {}
    mode = channel.get("InputMode") or algorithm.get("TrainingInputMode")
    for name in ("CompressionType", "RecordWrapperType"):
        if channel.get(name, "None") != "None" and mode != "Pipe":
            yield join(path, name), (Support.APPROXIMATE, "counts in Pipe input mode alone: of no effect here")


def _definitions(request: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the definitions of training jobs in a request: those of a tuning job, or the request itself."""
    if "TrainingJobName" in request:
        yield "", request
    several = request.get("TrainingJobDefinitions")
    named = [("TrainingJobDefinition", request.get("TrainingJobDefinition"))]
    named += [
        (f"TrainingJobDefinitions[{index}]", each)
        for index, each in enumerate(several if isinstance(several, list) else ())
    ]
    yield from ((path, each) for path, each in named if isinstance(each, Mapping))


def _texts(part: Any, path: str, name: str) -> Iterator[tuple[str, str, str]]:
    """Yield every text of plain data: its path, the name of the member that it is (an item of), and itself."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            yield from _texts(value, join(path, str(key)), str(key))
    elif isinstance(part, list):
        for index, value in enumerate(part):
            yield from _texts(value, f"{path}[{index}]", name)
    elif isinstance(part, str):
        yield path, name, part
