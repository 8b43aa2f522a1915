"""The place in S3, Google Cloud Storage or Azure Blob Storage that a profile names: found and written to from here.

On a user's machine the service's own SDK finds who they are; nothing else of it is used. In a pod its identity does (see
`cloudtune_kubernetes.objects`), without any SDK.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from cloudtune.errors import ConfigError, CredentialError, ProviderError
from cloudtune_kubernetes.objects import Bucket, Refused, keys_of_pod
from cloudtune_kubernetes.words import STORES, kind_of

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"


def bucket_of(place: str) -> Bucket:
    """Return a place; nothing is asked yet.

    Args:
        place: as the profile names it.
    """
    kind = kind_of(place)
    found = STORES[kind].fullmatch(place)
    assert found is not None
    if kind == "azure":
        return Bucket(kind, place, keys=partial(_keys, kind, ""))
    name, prefix = found[1], (found[2] or "").strip("/")
    if kind == "gs":
        parts = urlsplit(os.environ.get("STORAGE_EMULATOR_HOST", "https://storage.googleapis.com"))
        url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"  # a password stays here
        return Bucket(kind, url, f"{name}/{prefix}".rstrip("/"), keys=partial(_keys, kind, ""))
    region = _region()
    own = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    if own:
        url = f"{own.rstrip('/')}/{name}"
    elif "." in name:  # which no certificate is for
        url = f"https://s3.{region}.{domain}/{name}"
    else:
        url = f"https://{name}.s3.{region}.{domain}"
    return Bucket(kind, f"{url}/{prefix}", region=region, keys=partial(_keys, kind, region))


def _region() -> str:
    """Return the region of the user's configuration; that of the bucket is found by S3's answer."""
    own = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if own is None and not _in_pod():
        own = _need("boto3").Session().region_name
    return own or "us-east-1"


def _in_pod() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ


def _keys(kind: str, region: str) -> Mapping[str, str]:
    """Return what lets this process in.

    Raises:
        ConfigError: the SDK that finds it is missing.
        CredentialError: there is no such thing.
    """
    if _in_pod():
        return keys_of_pod(kind, region)
    return {"s3": _of_aws, "gs": _of_google, "azure": _of_azure}[kind]()


def _need(module: str) -> Any:
    from importlib import import_module  # noqa: PLC0415

    try:
        return import_module(module)
    except ImportError as error:
        name = module.replace(".", "-").replace("google-auth-default", "google-auth")
        raise ConfigError(f"the profile's storage needs {name}; install it with: pip install {name}") from error


def _of_aws() -> Mapping[str, str]:
    found = _need("boto3").Session().get_credentials()
    if found is None:
        raise CredentialError(
            "there are no credentials of AWS for the profile's storage; run `aws configure` or `aws sso login`"
        )
    keys = found.get_frozen_credentials()
    return {"key": keys.access_key, "secret": keys.secret_key, "session": keys.token or ""}


def _of_google() -> Mapping[str, str]:
    auth = _need("google.auth")
    from google.auth.transport.requests import Request  # noqa: PLC0415  # few profiles have such a place

    try:
        credentials, _ = auth.default(scopes=[_SCOPE])
        credentials.refresh(Request())
    except auth.exceptions.GoogleAuthError as error:
        raise CredentialError(
            f"there are no credentials of Google for the profile's storage ({error}); run `gcloud auth application-default login`"
        ) from error
    return {"token": str(credentials.token)}


def _of_azure() -> Mapping[str, str]:
    if os.environ.get("AZURE_STORAGE_SAS_TOKEN"):
        return {"sas": os.environ["AZURE_STORAGE_SAS_TOKEN"]}
    identity = _need("azure.identity")
    from azure.core.exceptions import ClientAuthenticationError  # noqa: PLC0415  # few profiles have such a place

    try:
        return {"token": str(identity.DefaultAzureCredential().get_token("https://storage.azure.com/.default").token)}
    except ClientAuthenticationError as error:
        raise CredentialError(
            f"there are no credentials of Azure for the profile's storage ({error}); run `az login`"
        ) from error


@contextlib.contextmanager
def in_words(place: str, doing: str) -> Iterator[None]:
    """Raise refusals of a place within the context as cloudtune's errors.

    Args:
        place: as the profile names it.
        doing: what is being done, as it follows ``while``.
    """
    try:
        yield
    except Refused as error:
        said, code = f"{place} refused while {doing}: {error}", str(error.status or "Connection")
        if error.status in (401, 403):
            raise CredentialError(said, code=code) from error
        raise ProviderError(said, code=code, retryable=error.status in (0, 429) or error.status >= 500) from error  # fmt: skip
