"""The way to AWS: boto3's clients, patient with what passes, and AWS's errors in our words."""

import contextlib
import functools
import re
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.loaders import Loader, create_loader

from cloudtune.driver.listeners import on_this_machine, refuse_lost
from cloudtune.errors import ConfigError, CredentialError, ProviderError, QuotaError
from cloudtune.provider.permissions import HINT
from cloudtune_sagemaker.policy import actions_of
from cloudtune_sagemaker.settings import SageMakerSettings

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sagemaker import SageMakerClient
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_sts import STSClient

_PATIENT = Config(
    retries={"mode": "standard", "total_max_attempts": 12},
    connect_timeout=10,
    read_timeout=60,
    user_agent_extra="cloudtune",
)
"""Botocore's standard retries: throttling, 5xx and lost connections, with jittered exponential backoff up to 20 s.

https://boto3.amazonaws.com/v1/documentation/api/latest/guide/retries.html
"""

_CREDENTIAL_CODES = frozenset(
    {
        "403", "AccessDenied", "AccessDeniedException", "AuthFailure", "ExpiredToken", "ExpiredTokenException",
        "IncompleteSignature", "InvalidAccessKeyId", "InvalidClientTokenId", "MissingAuthenticationToken",
        "NotAuthorized", "OptInRequired", "RequestExpired", "SignatureDoesNotMatch", "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)  # fmt: skip
_QUOTA_CODES = frozenset({"ResourceLimitExceeded", "LimitExceededException", "ServiceQuotaExceededException"})
_PASSING_CODES = frozenset(
    {
        "InternalFailure", "InternalServerError", "InternalError", "RequestLimitExceeded", "RequestTimeout",
        "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException",
    }
)  # fmt: skip
EXISTS = frozenset({"ResourceInUse"})
"""Code of the answer to a second call that makes the same job: the answer to the first was lost."""

GONE = frozenset({"ResourceNotFound", "ValidationException"})
"""Codes of the answer about a job that is not there, or that cannot be asked that: another call would get them again."""

_EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_DENIED_CODES = frozenset({"403", "AccessDenied", "AccessDeniedException", "NotAuthorized", "UnauthorizedOperation"})
"""Codes of actions that no policy allows; 403 where the answer has no body that says more (HEAD)."""


@functools.cache
def _loader(paths: str | None) -> Loader:
    """Return the loader of service descriptions, once a process: SageMaker's alone takes longer to read than a call."""
    return create_loader(paths)


class Aws:
    """The clients of one profile; each is made when it is first needed.

    Args:
        settings: of the profile.
    """

    def __init__(self, settings: SageMakerSettings) -> None:
        self.settings = settings

    @cached_property
    def _session(self) -> boto3.Session:
        with translated("making a session"):
            core = botocore.session.Session()
            core.register_component("data_loader", _loader(core.get_config_variable("data_path")))
            return boto3.Session(
                botocore_session=core, profile_name=self.settings.profile, region_name=self.settings.region
            )

    def log_in(self) -> None:
        """See `cloudtune.provider.service.Service.log_in`."""
        with translated("looking for credentials"):
            found = self._session.get_credentials()
            if found is None:
                raise NoCredentialsError
            found.get_frozen_credentials()  # asks for them where they are to be fetched, and may have expired

    def _client(self, service: str) -> Any:  # each property gives its type
        session: Any = self._session
        with translated(f"making a client of {service}"):
            client = session.client(service, endpoint_url=self.settings.endpoint, config=_PATIENT)
            if on_this_machine(client.meta.endpoint_url):
                client.meta.events.register_first("needs-retry", _give_up)
            return client

    @cached_property
    def sagemaker(self) -> "SageMakerClient":
        """The client of SageMaker."""
        return cast("SageMakerClient", self._client("sagemaker"))

    @cached_property
    def s3(self) -> "S3Client":
        """The client of S3."""
        return cast("S3Client", self._client("s3"))

    @cached_property
    def logs(self) -> "CloudWatchLogsClient":
        """The client of CloudWatch Logs."""
        return cast("CloudWatchLogsClient", self._client("logs"))

    @cached_property
    def sts(self) -> "STSClient":
        """The client of the Security Token Service."""
        return cast("STSClient", self._client("sts"))

    @cached_property
    def iam(self) -> "IAMClient":
        """The client of Identity and Access Management."""
        return cast("IAMClient", self._client("iam"))

    @cached_property
    def ecr(self) -> "ECRClient":
        """The client of the Elastic Container Registry."""
        return cast("ECRClient", self._client("ecr"))

    @cached_property
    def quotas(self) -> "ServiceQuotasClient":
        """The client of Service Quotas."""
        return cast("ServiceQuotasClient", self._client("service-quotas"))

    @property
    def region(self) -> str:
        """The region that the clients speak to.

        Raises:
            ConfigError: none is known.
        """
        region = self._session.region_name
        if not region:
            raise _no_region()
        return region

    def bucket(self) -> str:
        """Return the bucket for code and data: the profile's, or SageMaker's default one of the account and region."""
        if self.settings.bucket:
            return self.settings.bucket
        with translated("asking who we are"):
            account = self.sts.get_caller_identity()["Account"]
        return f"sagemaker-{self.region}-{account}"


def _no_region() -> ConfigError:
    return ConfigError(
        'no AWS region is known; write region = "…" in the profile of cloudtune.toml, or set AWS_DEFAULT_REGION'
    )


def code_of(error: ClientError) -> str:
    """Return AWS's code of an error, e.g. ``ThrottlingException``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def next_page(token: str | None, name: str = "NextToken") -> dict[str, Any]:
    """Return the argument that asks for the next page; none for the first."""
    return {} if token is None else {name: token}


def _give_up(caught_exception: Exception | None = None, **_: object) -> None:
    """Raise ProviderError where an emulator has ended, instead of botocore's minutes of retries."""
    url = getattr(caught_exception, "kwargs", {}).get("endpoint_url")
    refuse_lost(url, "it was asked")


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise AWS's errors within the context as cloudtune's.

    Args:
        doing: what is being done, as it follows ``while``.
    """
    try:
        yield
    except ClientError as error:
        raise _of_service(error, doing) from error
    except (NoCredentialsError, PartialCredentialsError, TokenRetrievalError, UnauthorizedSSOTokenError) as error:
        raise CredentialError(
            f"AWS has no usable credentials ({error}); log in (aws sso login), set AWS_PROFILE, or name a profile in "
            "cloudtune.toml",
            code=type(error).__name__,
        ) from error
    except ProfileNotFound as error:
        raise ConfigError(f"{error}; `aws configure list-profiles` lists them") from error
    except NoRegionError as error:
        raise _no_region() from error
    except EndpointConnectionError as error:
        raise ProviderError(
            f"AWS cannot be reached while {doing}: {error}", code="Connection", retryable=True
        ) from error
    except BotoCoreError as error:
        raise ProviderError(f"AWS failed while {doing}: {error}", code=type(error).__name__, retryable=True) from error


def _of_service(error: ClientError, doing: str) -> ProviderError:
    code = code_of(error)
    said = str(error.response.get("Error", {}).get("Message", "")) or str(error)
    if code in _CREDENTIAL_CODES:
        return CredentialError(f"AWS refused while {doing}: {code}: {said}; {_todo(error)}", code=code)
    if code in _QUOTA_CODES:
        return QuotaError(f"a limit of the account is reached while {doing}: {said}", code=code)
    return ProviderError(f"AWS answered while {doing}: {code}: {said}", code=code, retryable=code in _PASSING_CODES)


def _todo(error: ClientError) -> str:
    """Return what to do about refused credentials; where AWS does not name the action that it denies, which it may be."""
    code = code_of(error)
    if code in _EXPIRED_CODES:
        return "log in again"
    if code not in _DENIED_CODES:
        return "ask for the permission"
    said = str(error.response.get("Error", {}).get("Message", ""))
    actions = [] if "not authorized to perform" in said else actions_of(error.operation_name)
    needed = f"{error.operation_name} takes {' and '.join(actions)}; " if actions else ""
    return f"{needed}{HINT}"


def failure_text(reason: str) -> str:
    """Return what went wrong, from the service's FailureReason: without the class of the error, on one line."""
    text = reason.removeprefix("AlgorithmError: ").removeprefix("ClientError: ")
    said = " ".join(text.split())
    told_already = re.sub(r", exit code: \d+$", "", said)
    hint = f"; {HINT}" if "is not authorized to perform" in said else ""
    return (told_already if "exit code" in told_already else said)[:500] + hint
