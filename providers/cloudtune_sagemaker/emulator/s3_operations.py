"""Which operation of S3 a request is, by botocore's model, and which actions of IAM the operation takes.

"Required permissions for Amazon S3 API operations" of S3's user guide.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import botocore.session

Place = Literal["service", "bucket", "object"]

_READ, _WRITE = ("s3:GetObject",), ("s3:PutObject",)
_ACTIONS: Mapping[str, tuple[str, ...]] = {
    "HeadObject": _READ,
    "SelectObjectContent": _READ,
    "HeadBucket": ("s3:ListBucket",),
    "ListObjects": ("s3:ListBucket",),
    "ListObjectsV2": ("s3:ListBucket",),
    "ListBuckets": ("s3:ListAllMyBuckets",),
    "ListObjectVersions": ("s3:ListBucketVersions",),
    "ListMultipartUploads": ("s3:ListBucketMultipartUploads",),
    "ListParts": ("s3:ListMultipartUploadParts",),
    "CreateMultipartUpload": _WRITE,
    "UploadPart": _WRITE,
    "CompleteMultipartUpload": _WRITE,
    "CopyObject": _WRITE,
    "UploadPartCopy": _WRITE,
    "DeleteObjects": ("s3:DeleteObject",),
}
"""The actions of operations that are not called as their action is."""


@dataclass(frozen=True, slots=True)
class _Form:
    """What requests of an operation have: a method, a place, and names in the query and among the headers."""

    name: str
    method: str
    place: Place
    query: frozenset[str]
    headers: frozenset[str]

    @property
    def size(self) -> int:
        return len(self.query) + len(self.headers)


def operation(method: str, place: Place, query: Collection[str], headers: Collection[str]) -> str:
    """Return the operation of a request; the method itself for a request of none.

    Args:
        method: of HTTP.
        place: what the path names.
        query: the names of the query's parameters.
        headers: the names of the headers, in lower case.
    """
    fitting = [
        form
        for form in _forms()
        if (form.method, form.place) == (method, place)
        and form.query.issubset(query)
        and form.headers.issubset(headers)
    ]
    return max(fitting, key=lambda form: form.size).name if fitting else method


def actions(name: str) -> tuple[str, ...]:
    """Return the actions of IAM that an operation takes on what its path names."""
    return _ACTIONS.get(name, (f"s3:{name}",))


@cache
def _forms() -> list[_Form]:
    """Return the forms of all operations, those that are asked for more often before others of their form."""
    model = botocore.session.get_session().get_service_model("s3")
    forms = []
    for name in model.operation_names:
        found = model.operation_model(name)
        path, _, literal = found.http["requestUri"].partition("?")
        if path not in ("/", "/{Bucket}", "/{Bucket}/{Key+}") or name == "ListDirectoryBuckets":
            continue
        place: Place = "object" if "Key" in path else "bucket" if "Bucket" in path else "service"
        members = found.input_shape.members if found.input_shape else {}
        required = [
            members[each].serialization for each in (found.input_shape.required_members if found.input_shape else ())
        ]
        named = {each["name"] for each in required if each.get("location") == "querystring"}
        headers = {each["name"].lower() for each in required if each.get("location") == "header"}
        query = frozenset(named | {pair.partition("=")[0] for pair in literal.split("&") if pair})
        forms.append(_Form(name, found.http["method"], place, query, frozenset(headers)))
    return forms
