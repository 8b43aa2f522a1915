"""The way to Google: the clients of one profile, patient with what passes, and Google's errors in our words."""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlsplit

import google.auth
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError, TransportError
from google.auth.external_account_authorized_user import Credentials
from google.protobuf import json_format
from requests.exceptions import RequestException

from cloudtune.driver.listeners import is_lost, on_this_machine, refuse_lost
from cloudtune.errors import ConfigError, CredentialError, ProviderError, QuotaError
from cloudtune.provider.permissions import HINT
from cloudtune_vertex.settings import VertexSettings

if TYPE_CHECKING:
    from google.cloud.aiplatform_v1 import JobServiceClient, PersistentResourceServiceClient, VizierServiceClient
    from google.cloud.aiplatform_v1.services.job_service.transports.grpc import JobServiceGrpcTransport
    from google.cloud.logging import Client as LoggingClient
    from google.cloud.storage import Client as StorageClient


M = TypeVar("M")

GONE = frozenset({"NotFound", "FailedPrecondition", "InvalidArgument", "BadRequest"})
"""Codes of the answer about a job that is not there, or that cannot be asked that: another call would get them again."""

_TIMEOUT = 60.0
"""Seconds that one call may take."""

_PASSING = (
    exceptions.TooManyRequests, exceptions.InternalServerError, exceptions.BadGateway, exceptions.ServiceUnavailable,
    exceptions.GatewayTimeout, exceptions.Aborted, exceptions.RetryError, TransportError, RequestException,
)  # fmt: skip
"""Errors that may pass: throttling, 5xx (also UNAVAILABLE, INTERNAL, DEADLINE_EXCEEDED) and lost connections."""


def may_pass(error: Exception) -> bool:
    """Return whether the same call may succeed a little later."""
    return isinstance(error, _PASSING) and not _is_quota(error)


PATIENT = Retry(predicate=may_pass, initial=0.5, maximum=20.0, multiplier=2.0, timeout=120.0)
"""Retries with jittered exponential backoff; Vertex AI's own client retries nothing."""


class Google:
    """The clients of one profile; each is made when it is first needed.

    Args:
        settings: of the profile.
    """

    def __init__(self, settings: VertexSettings) -> None:
        self.settings = settings

    @cached_property
    def _found(self) -> tuple[Any, str | None]:
        """Credentials and the project that goes with them; to an address without TLS none but an emulator's are sent."""
        if _is_plain(self.settings.endpoint):
            return _of_emulator() or AnonymousCredentials(), None  # type: ignore[no-untyped-call]
        with translated("looking for credentials"):
            credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
        return credentials, project

    def log_in(self) -> None:
        """See `cloudtune.provider.service.Service.log_in`."""
        _ = self._found

    @property
    def _is_emulated(self) -> bool:
        """Whether the credentials are those of an emulator on this machine."""
        return _is_of_emulator(self._found[0])

    @property
    def project(self) -> str:
        """The project.

        Raises:
            ConfigError: none is known.
        """
        project = self.settings.project or os.environ.get("GOOGLE_CLOUD_PROJECT") or self._found[1]
        if not project:
            raise ConfigError(
                'no Google Cloud project is known; write project = "…" in the profile of cloudtune.toml, or set '
                "GOOGLE_CLOUD_PROJECT"
            )
        return str(project)

    @property
    def parent(self) -> str:
        """The resource that all jobs are below."""
        return f"projects/{self.project}/locations/{self.settings.location}"

    @cached_property
    def jobs(self) -> "JobServiceClient":
        """The client of Vertex AI's JobService."""
        from google.cloud.aiplatform_v1 import JobServiceClient  # noqa: PLC0415  # takes a second

        return self._client(JobServiceClient)

    @cached_property
    def resources(self) -> "PersistentResourceServiceClient":
        """The client of Vertex AI's PersistentResourceService."""
        from google.cloud.aiplatform_v1 import PersistentResourceServiceClient  # noqa: PLC0415  # takes a second

        return self._client(PersistentResourceServiceClient)

    @cached_property
    def vizier(self) -> "VizierServiceClient":
        """The client of Vertex AI's VizierService."""
        from google.cloud.aiplatform_v1 import VizierServiceClient  # noqa: PLC0415  # takes a second

        return self._client(VizierServiceClient)

    def _client(self, kind: Callable[..., M]) -> M:
        """Return a client of Vertex AI, of the type of one of its services."""
        endpoint, transport = self.settings.endpoint, self.settings.transport
        if endpoint is not None and transport == "grpc" and _is_plain(endpoint):
            channel = plain_channel(endpoint, self._found[0])
            over_grpc = cast("Any", kind).get_transport_class("grpc")(channel=channel)
            return kind(transport=over_grpc)
        options = ClientOptions(api_endpoint=endpoint or f"{self.settings.location}-aiplatform.googleapis.com")
        return kind(credentials=self._found[0], transport=transport, client_options=options)

    @cached_property
    def storage(self) -> "StorageClient":
        """The client of Cloud Storage; STORAGE_EMULATOR_HOST leads it elsewhere."""
        from google.cloud import storage  # noqa: PLC0415

        options = None
        if self._is_emulated:
            # Not with the password in that variable, which messages about requests would show: the credentials suffice.
            address = urlsplit(os.environ.get("STORAGE_EMULATOR_HOST") or str(self.settings.logging_endpoint))
            options = ClientOptions(api_endpoint=f"{address.scheme}://{address.netloc.rpartition('@')[2]}")
        return storage.Client(project=self.project, credentials=self._found[0], client_options=options)

    @cached_property
    def logging(self) -> "LoggingClient":
        """The client of Cloud Logging.

        Raises:
            ConfigError: it is not installed.
        """
        try:
            from google.cloud import logging  # noqa: PLC0415
        except ImportError as error:
            hint = "pip install google-cloud-logging"
            raise ConfigError(f"what trials print is in Cloud Logging; to read it: {hint}") from error
        endpoint = self.settings.logging_endpoint
        options = None if endpoint is None else ClientOptions(api_endpoint=endpoint)
        return logging.Client(  # type: ignore[no-untyped-call]
            project=self.project, credentials=self._found[0], client_options=options, _use_grpc=False
        )

    def bucket(self) -> str:
        """Return the bucket for code and data: the profile's, or the one that the SDK stages in, which is made if need be."""
        if self.settings.bucket:
            return self.settings.bucket
        name = f"{self.project}-vertex-staging-{self.settings.location}"
        with translated(f"looking for gs://{name}"):
            if self.storage.lookup_bucket(name) is None:
                with contextlib.suppress(exceptions.Conflict):  # another process has just made it
                    self.storage.create_bucket(name, location=self.settings.location)
        return name

    def call(self, doing: str, method: Callable[..., Any], /, **request: Any) -> Any:
        """Call an idempotent method, again after errors that may pass.

        Args:
            doing: what is being done, as it follows ``while``.
            method: of one of the clients of Vertex AI.
            **request: its fields.
        """
        with self.translated(doing):
            return self.patient(method)(request=request, timeout=_TIMEOUT)

    def first(self, method: Callable[..., Any], condition: str) -> Any:
        """Return the newest of the jobs that a list call finds; None if there is none.

        Args:
            method: the list call.
            condition: its filter (https://google.aip.dev/160).
        """
        request = {"parent": self.parent, "filter": condition, "page_size": 1}
        return next(iter(self.patient(method)(request=request, timeout=_TIMEOUT)), None)

    def create_once(self, doing: str, create: Callable[[], Any], find: Callable[[], Any], *, look_first: bool) -> Any:
        """Make something once, though answers may be lost.

        Args:
            doing: what is being done, as it follows ``while``.
            create: makes it, and returns it.
            find: returns it if an earlier call made it, else None.
            look_first: whether there may have been an earlier call.
        """
        tried = look_first

        def attempt() -> Any:
            nonlocal tried
            found = find() if tried else None
            tried = True
            return create() if found is None else found

        with self.translated(doing):
            return self.patient(attempt)()

    def patient(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return a method that is called again where that may help: not where an emulator has ended."""
        return PATIENT.with_predicate(lambda error: may_pass(error) and not is_lost(self.settings.endpoint))(method)

    @contextlib.contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        """Raise Google's errors within the context as cloudtune's.

        Args:
            doing: what is being done, as it follows ``while``.
        """
        try:
            with translated(doing):
                yield
        except ProviderError:
            refuse_lost(self.settings.endpoint, doing)
            raise


def _is_plain(endpoint: str | None) -> bool:
    return endpoint is not None and endpoint.startswith("http://")


def _of_emulator() -> Any:
    """Return the credentials in the environment, if an emulator of this machine has made them for its clients; else None."""
    path = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    if not path:
        return None
    try:
        said = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError):
        return None  # not an emulator's, and of no use here
    if said.get("type") != "external_account_authorized_user" or not on_this_machine(said.get("token_url")):
        return None
    return Credentials.from_info(said)  # type: ignore[no-untyped-call]


def _is_of_emulator(credentials: Any) -> bool:
    return on_this_machine(getattr(credentials, "token_url", None))


def plain_transport(endpoint: str, credentials: Any) -> "JobServiceGrpcTransport":
    """Return the transport to an emulator's JobService over gRPC.

    Args:
        endpoint: its address, ``http://host:port``; it has no TLS.
        credentials: of Google's kind; sent with each call, as gRPC itself does over TLS alone.
    """
    from google.cloud.aiplatform_v1.services.job_service.transports.grpc import (  # noqa: PLC0415
        JobServiceGrpcTransport,
    )

    return JobServiceGrpcTransport(channel=plain_channel(endpoint, credentials))


def plain_channel(endpoint: str, credentials: Any) -> Any:
    """A channel of gRPC to an emulator; see `plain_transport`."""
    import grpc  # noqa: PLC0415
    from google.auth.transport.grpc import AuthMetadataPlugin  # noqa: PLC0415
    from google.auth.transport.requests import Request  # noqa: PLC0415

    calls = grpc.metadata_call_credentials(AuthMetadataPlugin(credentials, Request()))  # type: ignore[no-untyped-call]
    both = grpc.composite_channel_credentials(grpc.local_channel_credentials(), calls)
    return grpc.secure_channel(urlsplit(endpoint).netloc, both)


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise Google's errors within the context as cloudtune's.

    Args:
        doing: what is being done, as it follows ``while``.
    """
    try:
        yield
    except exceptions.RetryError as error:
        raise _in_words(error.cause or error, doing) from error
    except (exceptions.GoogleAPICallError, GoogleAuthError, RequestException) as error:
        raise _in_words(error, doing) from error


def _in_words(error: Exception, doing: str) -> ProviderError:
    code = type(error).__name__
    said = str(getattr(error, "message", "") or error)
    if isinstance(error, DefaultCredentialsError | RefreshError):
        todo = "log in with: gcloud auth application-default login"
        return CredentialError(f"Google has no usable credentials ({said}); {todo}", code=code)
    if isinstance(error, exceptions.Unauthenticated | exceptions.Unauthorized):
        todo = "log in again (gcloud auth application-default login)"
        return CredentialError(f"Google refused while {doing}: {said}; {todo}", code=code)
    if isinstance(error, exceptions.Forbidden):
        return CredentialError(f"Google refused while {doing}: {said}; {HINT}", code=code)
    if _is_quota(error):
        return QuotaError(f"a limit of the project is reached while {doing}: {said}", code=code)
    if isinstance(error, RequestException | TransportError):
        return ProviderError(f"Google cannot be reached while {doing}: {said}", code=code, retryable=True)
    return ProviderError(f"Google answered while {doing}: {said}", code=code, retryable=may_pass(error))


def _is_quota(error: Exception) -> bool:
    """Return whether a quota of machines is used up: it does not pass as a limit of calls a minute does.

    https://cloud.google.com/vertex-ai/docs/quotas: the names of those quotas begin with ``custom_model_training``.
    """
    return isinstance(error, exceptions.TooManyRequests) and "custom_model_training" in str(error)


def message_of(kind: type[M], request: dict[str, Any]) -> M:
    """Return the message of a request; raise `json_format.ParseError` for one that the SDK does not know."""
    message: Any = kind()
    json_format.ParseDict(request, message._pb)  # noqa: SLF001  # proto-plus's own way
    found: M = message
    return found


def data_of(message: Any) -> dict[str, Any]:
    """Return a message of the SDK as data for JSON, in camelCase."""
    found: dict[str, Any] = json_format.MessageToDict(message._pb)  # noqa: SLF001  # proto-plus's own way
    return found


_WHERE = re.compile(r"\s*To find out more about why your job exited please check the logs:.*", re.DOTALL)
_LONGEST = 500


def failure_text(message: str) -> str:
    """Return a message of the service on one line, 500 characters at most, without the link to the logs in its console."""
    said = " ".join(_WHERE.sub("", message).split())[:_LONGEST]
    return f"{said}; {HINT}" if "denied on resource" in said else said


def moment(text: str | None) -> float | None:
    """Return seconds since 1970 from a `google.protobuf.Timestamp` in JSON; None for none."""
    return None if text is None else datetime.fromisoformat(text).timestamp()


def bearer() -> str:
    """Return a token of this machine's user.

    Raises:
        CredentialError: there are no credentials.
    """
    from google.auth.transport.requests import Request  # noqa: PLC0415  # few commands ask by themselves

    with translated("looking for credentials"):
        credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-billing.readonly"])
        credentials.refresh(Request())  # type: ignore[no-untyped-call]
    return str(credentials.token)
