"""Which actions on which resources a request takes, read from the request itself; and the answer where one is denied.

An operation of AWS takes the action of its name. What else it takes, and on which resource, is from the service
authorization reference (https://docs.aws.amazon.com/service-authorization/latest/reference/).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

from moto.utilities.utils import get_partition

from cloudtune.emulation.access import Environ
from cloudtune.emulation.authority import Ask
from cloudtune_sagemaker.emulator import posts, s3_operations

_PREFIXES = {"service-quotas": "servicequotas", "monitoring": "cloudwatch"}
"""Prefixes of actions that are not the service's name in a signature."""

FREE = frozenset({"sts:GetCallerIdentity", "sts:GetSessionToken", "sts:GetAccessKeyInfo"})
"""Actions that everybody may take ("No permissions are required to perform this operation")."""

_LISTS = ("List", "Search")
_NAMES = {"HyperParameterTuningJobName": "hyper-parameter-tuning-job", "TrainingJobName": "training-job"}
"""Members that name a resource of SageMaker, and what its ARN calls it."""

_OBJECT_IS_MISSING = frozenset({"GetObject", "HeadObject"})


@dataclass(frozen=True, slots=True)
class Request:
    """What a request says of itself.

    Attributes:
        environ: of WSGI; its body can be read and is left as it was.
        service: of the signature.
        operation: that it names; the method of HTTP for S3 and the like.
        region: of the signature.
        account: whose it is.
    """

    environ: Environ
    service: str
    operation: str
    region: str
    account: str

    def arn(self, service: str, resource: str, *, everywhere: bool = False) -> str:
        """Return the ARN of a resource of the account; `everywhere` for a service without regions."""
        place = ("" if everywhere else self.region, "" if service == "s3" else self.account)
        return f"arn:{get_partition(self.region)}:{service}:{place[0]}:{place[1]}:{resource}"

    @property
    def body(self) -> bytes:
        """The body, which stays readable."""
        stream = self.environ["wsgi.input"]
        content: bytes = stream.read()
        stream.seek(0)
        return content

    @property
    def members(self) -> Mapping[str, Any]:
        """The members of a request in JSON; none of another one."""
        try:
            found = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def asks_of(request: Request, exists: Callable[[str, str], bool]) -> list[Ask]:
    """Return the actions that a request takes, the first of them that of its operation.

    Args:
        request: what it says.
        exists: says whether a bucket has a key.
    """
    readers = {"sagemaker": _of_sagemaker, "logs": _of_logs, "iam": _of_query, "sts": _of_query, "ecr": _of_ecr}
    if request.service == "s3":
        return list(_of_s3(request, exists))
    if request.service in readers:
        return list(readers[request.service](request))
    prefix = _PREFIXES.get(request.service, request.service)
    return [Ask(f"{prefix}:{request.operation}", "*")]


def _of_sagemaker(request: Request) -> Iterator[Ask]:
    members, action = request.members, f"sagemaker:{request.operation}"
    kind = next((name for name in _NAMES if name in members), None)
    resource = "*"
    if "ResourceArn" in members:
        resource = str(members["ResourceArn"])
    elif kind is not None and (not request.operation.startswith(_LISTS) or request.operation.endswith("TuningJob")):
        resource = request.arn("sagemaker", f"{_NAMES[kind]}/{str(members[kind]).lower()}")
    yield Ask(action, resource)
    if request.operation.startswith("Create"):
        for role in dict.fromkeys(_roles(members)):
            yield Ask("iam:PassRole", role, (("iam:PassedToService", "sagemaker.amazonaws.com"),))
        if members.get("Tags"):
            yield Ask("sagemaker:AddTags", resource)


def _roles(value: Any) -> Iterator[str]:
    """Yield all values of ``RoleArn`` in a request."""
    if isinstance(value, Mapping):
        for name, below in value.items():
            yield from [below] if name == "RoleArn" and isinstance(below, str) else _roles(below)
    elif isinstance(value, list):
        for below in value:
            yield from _roles(below)


def _of_logs(request: Request) -> Iterator[Ask]:
    members = request.members
    group = members.get("logGroupName")
    stream = members.get("logStreamName", "")
    resource = "*" if group is None else request.arn("logs", f"log-group:{group}:log-stream:{stream}")
    yield Ask(f"logs:{request.operation}", resource)


def _of_ecr(request: Request) -> Iterator[Ask]:
    members = request.members
    owner = str(members.get("registryId") or request.account)
    name = members.get("repositoryName")
    resource = (
        "*" if name is None else f"arn:{get_partition(request.region)}:ecr:{request.region}:{owner}:repository/{name}"
    )
    yield Ask(f"ecr:{request.operation}", resource)


def _of_query(request: Request) -> Iterator[Ask]:
    """Yield the actions of a service whose operation is a parameter of a form or of the query."""
    text = request.environ.get("QUERY_STRING") or request.body.decode("utf-8", "replace")
    fields = {name: values[0] for name, values in parse_qs(text).items()}
    action = f"{request.service}:{fields.get('Action', request.operation)}"
    if action in FREE:
        return
    role = fields.get("RoleName")
    named = request.arn("iam", f"role/{role}", everywhere=True) if role else fields.get("RoleArn", "*")
    yield Ask(action, named)


def _of_s3(request: Request, exists: Callable[[str, str], bool]) -> Iterator[Ask]:
    environ = request.environ
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    bucket, key = _place(environ)
    headers = {name.removeprefix("HTTP_").replace("_", "-").lower() for name in environ if name.startswith("HTTP_")}
    place: s3_operations.Place = "object" if key else "bucket" if bucket else "service"
    name = s3_operations.operation(environ["REQUEST_METHOD"], place, query.keys(), headers)
    resource = _in_s3(request, bucket, key) if bucket else "*"
    context = (("s3:prefix", query["prefix"][0]),) if "prefix" in query else ()
    if name == "DeleteObjects":
        resource = _in_s3(request, bucket, "*")
    yield from (Ask(action, resource, context) for action in s3_operations.actions(name))
    if "x-amz-copy-source" in headers:
        source = unquote(environ["HTTP_X_AMZ_COPY_SOURCE"]).lstrip("/").partition("?")[0].partition("/")
        yield Ask("s3:GetObject", _in_s3(request, source[0], source[2]))
    if name in _OBJECT_IS_MISSING and not exists(bucket, key):  # "if you don't have s3:ListBucket, … 403"
        yield Ask("s3:ListBucket", _in_s3(request, bucket))


def _place(environ: Environ) -> tuple[str, str]:
    """Return the bucket and the key that a request of S3 names, "" for what it does not."""
    path = str(environ.get("PATH_INFO", "")).encode("latin-1", "replace").decode("utf-8", "replace").lstrip("/")
    bucket = posts.bucket_of_host(environ)
    if bucket:
        return bucket, path
    bucket, _, key = path.partition("/")
    return bucket, key


def _in_s3(request: Request, bucket: str, key: str = "") -> str:
    return request.arn("s3", f"{bucket}/{key}" if key else bucket, everywhere=True)


# Denied actions


def message_of(ask: Ask, who: str) -> str:
    """Return what AWS says where no policy allows an action (IAM's user guide, "Access denied error messages").

    Args:
        ask: what was denied.
        who: the ARN of who asked.
    """
    on = "" if ask.resource == "*" else f" on resource: {ask.resource}"
    return (
        f"User: {who} is not authorized to perform: {ask.action}{on} "
        f"because no identity-based policy allows the {ask.action} action"
    )
