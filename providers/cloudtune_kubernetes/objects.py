"""Objects in S3, Google Cloud Storage and Azure Blob Storage: read, written and removed with the identity of the pod that asks.

An init container runs this file by itself, so it needs the standard library alone, and Python 3.8 or newer. The services
are called as their documents say: docs.aws.amazon.com/AmazonS3/latest/API, cloud.google.com/storage/docs/json_api/v1,
learn.microsoft.com/rest/api/storageservices.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.client import HTTPResponse
    from typing import Any

    Headers = Mapping[str, str]
    Keys = Mapping[str, str]
    """What lets in: ``key``, ``secret`` and ``session`` for S3, ``token`` (a bearer's) or ``sas`` (a query) for the others."""

_TRIES = 5
_PAUSE = 0.5
"""Seconds before a request that may pass is made again, doubled each time after."""

_WAIT = 60
"""Seconds without a byte after which a connection is given up."""

_METADATA_WAIT = 3
"""Seconds within which the metadata server of a machine answers, if there is one."""

_NOTHING = hashlib.sha256(b"").hexdigest()
_AZURE_VERSION = "2021-08-06"


class Refused(Exception):
    """A service has refused, or cannot be reached.

    Args:
        message: in words.
        status: of HTTP; 0 where there is no answer.
        headers: of the answer.
    """

    def __init__(self, message: str, status: int = 0, headers: Headers | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}


class Bucket:
    """A place for objects.

    Args:
        kind: ``s3``, ``gs`` or ``azure``.
        url: of the place with its prefix; for ``gs`` of the API, with bucket and prefix in `prefix`.
        prefix: see `url`; "" for the others.
        region: of S3.
        keys: returns what lets in; called once.
    """

    def __init__(
        self, kind: str, url: str, prefix: str = "", region: str = "", keys: Callable[[], Keys] | None = None
    ) -> None:
        self.kind, self.url, self.prefix, self.region = kind, url.rstrip("/"), prefix, region
        self._find = keys or (lambda: keys_of_pod(kind, region))
        self._keys: Keys | None = None

    def describe(self) -> dict[str, str]:
        """Return what `Bucket` is made of again, without what lets in."""
        return {"kind": self.kind, "url": self.url, "prefix": self.prefix, "region": self.region}

    def get(self, name: str, target: Path) -> None:
        """Write an object into a file."""
        with self._asked("GET", name) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file)

    def put(self, name: str, source: Path) -> None:
        """Make an object of a file, or replace the one there is."""
        self._asked("PUT", name, source.read_bytes()).close()

    def remove(self, name: str) -> None:
        """Remove an object; do nothing where there is none."""
        try:
            self._asked("DELETE", name).close()
        except Refused as error:
            if error.status != 404:
                raise

    def _asked(self, method: str, name: str, body: bytes | None = None) -> HTTPResponse:
        for tried in range(1, _TRIES + 1):
            try:
                return self._ask(method, name, body)
            except Refused as error:
                region = error.headers.get("x-amz-bucket-region", "")
                if self.kind == "s3" and region not in ("", self.region):
                    self.url, self.region = self.url.replace(f".{self.region}.", f".{region}."), region
                elif tried == _TRIES or (0 < error.status < 500 and error.status != 429):
                    raise
                else:
                    time.sleep(_PAUSE * 2 ** (tried - 1))
        raise AssertionError  # the last try raises

    def _ask(self, method: str, name: str, body: bytes | None) -> HTTPResponse:
        if self._keys is None:
            self._keys = self._find()
        make = {"s3": self._for_s3, "gs": self._for_gs, "azure": self._for_azure}[self.kind]
        asked, url, headers = make(method, name, body)
        return opened(asked, url, headers, body)

    def _for_s3(self, method: str, name: str, body: bytes | None) -> tuple[str, str, Headers]:
        url = f"{self.url}/{urllib.parse.quote(name)}"
        content = {} if body is None else {"Content-Type": "application/octet-stream"}
        return method, url, {**content, **signed(method, url, self.region, body, self._keys or {})}

    def _for_gs(self, method: str, name: str, body: bytes | None) -> tuple[str, str, Headers]:  # noqa: ARG002  # as for the others
        bucket, _, prefix = self.prefix.partition("/")
        whole = urllib.parse.quote(f"{prefix}/{name}".strip("/"), safe="")
        token = (self._keys or {}).get("token")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if method == "PUT":
            own = {**headers, "Content-Type": "application/octet-stream"}
            return "POST", f"{self.url}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={whole}", own
        media = "?alt=media" if method == "GET" else ""
        return method, f"{self.url}/storage/v1/b/{bucket}/o/{whole}{media}", headers

    def _for_azure(self, method: str, name: str, body: bytes | None) -> tuple[str, str, Headers]:  # noqa: ARG002  # as for the others
        keys, url = self._keys or {}, f"{self.url}/{urllib.parse.quote(name)}"
        headers = {"x-ms-version": _AZURE_VERSION, "x-ms-date": _now().strftime("%a, %d %b %Y %H:%M:%S GMT")}
        if "token" in keys:
            headers["Authorization"] = f"Bearer {keys['token']}"
        if method == "PUT":
            headers.update({"x-ms-blob-type": "BlockBlob", "Content-Type": "application/octet-stream"})
        return method, f"{url}?{keys['sas'].lstrip('?')}" if keys.get("sas") else url, headers


def opened(method: str, url: str, headers: Headers, body: bytes | None = None, wait: float = _WAIT) -> HTTPResponse:
    """Return the answer to a request.

    Raises:
        Refused: it says no, or there is none.
    """
    host = urllib.parse.urlsplit(url).netloc
    try:
        request = urllib.request.Request(url, data=body, headers=dict(headers), method=method)  # noqa: S310  # http alone
        answer: HTTPResponse = urllib.request.urlopen(request, timeout=wait)  # noqa: S310
    except urllib.error.HTTPError as error:
        said = " ".join(error.read(600).decode("utf-8", "replace").split())
        raise Refused(f"{host} answered {error.code} to {method}: {said}", error.code, dict(error.headers)) from None
    except OSError as error:
        raise Refused(f"{host} cannot be reached: {error}") from None
    return answer


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)  # noqa: UP017  # Python 3.8


# S3's signatures: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html


def signed(
    method: str, url: str, region: str, body: bytes | None, keys: Keys, when: dt.datetime | None = None
) -> dict[str, str]:
    """Return the headers of a request to S3, signed (AWS Signature Version 4)."""
    parts, when = urllib.parse.urlsplit(url), when or _now()
    moment, day = when.strftime("%Y%m%dT%H%M%SZ"), when.strftime("%Y%m%d")
    content = _NOTHING if body is None else hashlib.sha256(body).hexdigest()
    headers = {"host": parts.netloc, "x-amz-content-sha256": content, "x-amz-date": moment}
    if keys.get("session"):
        headers["x-amz-security-token"] = keys["session"]
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = "\n".join([method, parts.path or "/", parts.query, lines, names, content])
    scope = f"{day}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{keys['secret']}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    own = f"AWS4-HMAC-SHA256 Credential={keys['key']}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**{name: value for name, value in headers.items() if name != "host"}, "Authorization": own}


# What lets a pod in


def keys_of_pod(kind: str, region: str) -> Keys:
    """Return what lets this pod in: by variables of a Secret, or by the identity that its service account or node has.

    Raises:
        Refused: there is no such thing; says what there may be.
    """
    if kind == "s3":
        return _of_aws(region)
    return _of_google() if kind == "gs" else _of_azure()


def _of_aws(region: str) -> Keys:
    own = os.environ
    if own.get("AWS_ACCESS_KEY_ID"):
        return {"key": own["AWS_ACCESS_KEY_ID"], "secret": own["AWS_SECRET_ACCESS_KEY"], "session": own.get("AWS_SESSION_TOKEN", "")}  # fmt: skip
    if own.get(
        "AWS_WEB_IDENTITY_TOKEN_FILE"
    ):  # IRSA: docs.aws.amazon.com/eks/latest/userguide/iam-roles-for-service-accounts.html
        return _by_web_identity(region)
    if own.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):  # docs.aws.amazon.com/eks/latest/userguide/pod-identities.html
        file = own.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        token = Path(file).read_text(encoding="utf-8").strip() if file else own.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")  # fmt: skip
        return _aws_keys(_said("GET", own["AWS_CONTAINER_CREDENTIALS_FULL_URI"], {"Authorization": token}))
    return _of_node()


def _by_web_identity(region: str) -> Keys:
    own = os.environ
    endpoint = own.get("AWS_ENDPOINT_URL_STS") or own.get("AWS_ENDPOINT_URL") or f"https://sts.{region}.amazonaws.com"
    asked = urllib.parse.urlencode({
        "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": own["AWS_ROLE_ARN"],
        "RoleSessionName": own.get("AWS_ROLE_SESSION_NAME", "cloudtune"),
        "WebIdentityToken": Path(own["AWS_WEB_IDENTITY_TOKEN_FILE"]).read_text(encoding="utf-8"),
    })  # fmt: skip
    with opened(
        "POST", f"{endpoint}/", {"Content-Type": "application/x-www-form-urlencoded"}, asked.encode()
    ) as answer:
        found = {each.tag.rpartition("}")[2]: each.text or "" for each in ET.fromstring(answer.read()).iter()}  # noqa: S314  # of AWS
    return {"key": found["AccessKeyId"], "secret": found["SecretAccessKey"], "session": found["SessionToken"]}


def _of_node() -> Keys:
    """Return the keys of the node's role (docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html)."""
    server = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
    try:
        seconds = {"X-aws-ec2-metadata-token-ttl-seconds": "300"}
        with opened("PUT", f"{server}/latest/api/token", seconds, b"", _METADATA_WAIT) as answer:
            own = {"X-aws-ec2-metadata-token": answer.read().decode()}
        roles = f"{server}/latest/meta-data/iam/security-credentials/"
        with opened("GET", roles, own, None, _METADATA_WAIT) as answer:
            name = answer.read().decode().split()[0]
        return _aws_keys(_said("GET", roles + name, own))
    except Refused as error:
        hint = "give the service account a role (IRSA, EKS Pod Identity), or the containers AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of a Secret"
        raise Refused(f"this pod has no identity at AWS ({error}); {hint}", 403) from None


def _aws_keys(found: Mapping[str, str]) -> Keys:
    return {"key": found["AccessKeyId"], "secret": found["SecretAccessKey"], "session": found.get("Token", "")}


def _of_google() -> Keys:
    """Return the token of the service account (cloud.google.com/kubernetes-engine/docs/how-to/workload-identity)."""
    host = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")
    url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/token"
    try:
        return {"token": _said("GET", url, {"Metadata-Flavor": "Google"}, wait=_METADATA_WAIT)["access_token"]}
    except Refused as error:
        hint = "bind the service account to one of Google's (Workload Identity)"
        raise Refused(f"this pod has no identity at Google ({error}); {hint}", 403) from None


def _of_azure() -> Keys:
    """Return the token of a workload identity (learn.microsoft.com/azure/aks/workload-identity-overview), or of the node's."""
    own, scope = os.environ, "https://storage.azure.com"
    if own.get("AZURE_STORAGE_SAS_TOKEN"):
        return {"sas": own["AZURE_STORAGE_SAS_TOKEN"]}
    if own.get("AZURE_FEDERATED_TOKEN_FILE"):
        host = own.get("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com").rstrip("/")
        asked = urllib.parse.urlencode({
            "client_id": own["AZURE_CLIENT_ID"], "scope": f"{scope}/.default", "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": Path(own["AZURE_FEDERATED_TOKEN_FILE"]).read_text(encoding="utf-8").strip(),
        })  # fmt: skip
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return {"token": _said("POST", f"{host}/{own['AZURE_TENANT_ID']}/oauth2/v2.0/token", form, asked.encode())["access_token"]}  # fmt: skip
    query = urllib.parse.urlencode({"api-version": "2018-02-01", "resource": f"{scope}/"})
    try:
        url = f"http://169.254.169.254/metadata/identity/oauth2/token?{query}"
        return {"token": _said("GET", url, {"Metadata": "true"}, wait=_METADATA_WAIT)["access_token"]}
    except Refused as error:
        hint = "give the service account a workload identity, or the containers AZURE_STORAGE_SAS_TOKEN of a Secret"
        raise Refused(f"this pod has no identity at Azure ({error}); {hint}", 403) from None


def _said(method: str, url: str, headers: Headers, body: bytes | None = None, wait: float = _WAIT) -> Mapping[str, str]:
    with opened(method, url, headers, body, wait) as answer:
        found: dict[str, str] = json.load(answer)
    return found


# What an init container runs


def main(listing: str, *folders: str) -> int:
    """Write the objects of a list into folders, and check that they are what was packed.

    Args:
        listing: a JSON file: the `Bucket`, and of each object its name, the number of its folder, its file there, its SHA-256.
        folders: where they belong.
    """
    said: dict[str, Any] = json.loads(Path(listing).read_text(encoding="utf-8"))
    bucket = Bucket(**said["bucket"])
    for each in said["objects"]:
        target = Path(folders[each["folder"]], each["file"])
        try:
            bucket.get(each["name"], target)
        except Refused as error:
            print(f"{each['file']} cannot be fetched: {error}", file=sys.stderr)
            return 1
        if hashlib.sha256(target.read_bytes()).hexdigest() != each["sha256"]:
            print(f"{each['name']} is not what was packed: somebody has replaced it", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
