"""The way to Azure: the clients of one profile, patient with what passes, and Azure's errors in our words."""

import contextlib
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from azure.core import PipelineClient
from azure.core.credentials import AccessToken, AccessTokenInfo
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, HeadersPolicy
from azure.core.rest import HttpRequest
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from cloudtune.driver.listeners import is_lost, on_this_machine, refuse_lost
from cloudtune.errors import CloudtuneError, ConfigError, CredentialError, ProviderError, QuotaError, ignoring
from cloudtune.provider.permissions import HINT
from cloudtune_azureml.settings import AzureMlSettings

if TYPE_CHECKING:
    from azure.ai.ml import MLClient


API = "2024-04-01"
"""The version of Resource Manager's API for jobs (the newest that is no preview when this was written)."""

_CLOUD = "AZUREML_CURRENT_CLOUD"
"""The variable in which the SDK keeps which cloud it speaks to."""

if "azure.ai.ml" not in sys.modules and os.environ.get(_CLOUD, "").startswith("cloudtune "):
    del os.environ[
        _CLOUD
    ]  # the process that started this one knows that cloud; the SDK here cannot be imported with it

_MANAGEMENT = "https://management.azure.com"
_PAGE = 1000


class StaticCredential:
    """A credential whose token is known, and holds for as long as an emulator serves.

    Args:
        token: the access token.
    """

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        """Return the token, for whatever it is asked."""
        return AccessToken(self._token, 2**31)

    def get_token_info(self, *_: str, **__: Any) -> AccessTokenInfo:
        """Return the token, for whatever it is asked."""
        return AccessTokenInfo(self._token, 2**31)


def _of_emulator(endpoint: str) -> StaticCredential:
    """Return the credential of an emulator on this machine, if the environment has it: no real token is sent there."""
    is_authority = os.environ.get("AZURE_AUTHORITY_HOST", "").rstrip("/") == endpoint.rstrip("/")
    return StaticCredential(os.environ.get("AZURE_CLIENT_SECRET", "") if is_authority else "unknown")


def cloud_of(endpoint: str) -> dict[str, Any]:
    """Return arguments of ``MLClient`` that have it speak to another service than Azure's.

    Args:
        endpoint: its address.
    """
    name = f"cloudtune {endpoint}"  # the SDK keeps what it was told of a name for as long as the process lives
    names = ("azure_portal", "active_directory", "aml_resource_id", "registry_discovery_endpoint")
    places = {**dict.fromkeys(names, endpoint), "resource_manager": f"{endpoint}/"}
    return {"cloud": name, "cloud_metadata": {"cloud": name, "storage_endpoint": "core.windows.net", **places}}


class Azure:
    """The clients of one profile; each is made when it is first needed.

    Args:
        settings: of the profile.
    """

    def __init__(self, settings: AzureMlSettings) -> None:
        self.settings = settings

    @cached_property
    def _credential(self) -> Any:
        if self.settings.endpoint and on_this_machine(self.settings.endpoint):
            return _of_emulator(self.settings.endpoint)
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415  # takes a while

        logging.getLogger("azure.identity").setLevel(logging.ERROR)  # each way that leads nowhere is a warning
        return DefaultAzureCredential()

    def log_in(self) -> None:
        """See `cloudtune.provider.service.Service.log_in`."""
        doing = "looking for credentials"
        patiently(doing, lambda: self._credential.get_token(f"{_MANAGEMENT}/.default"), self.settings.endpoint)

    @property
    def _address(self) -> str:
        return (self.settings.endpoint or _MANAGEMENT).rstrip("/")

    @property
    def arm_id(self) -> str:
        """The full id of the workspace.

        Raises:
            ConfigError: the profile does not say all of it.
        """
        own = {
            "subscription": self.settings.subscription or os.environ.get("AZURE_SUBSCRIPTION_ID"),
            "resource_group": self.settings.resource_group,
            "workspace": self.settings.workspace,
        }
        missing = [name for name, value in own.items() if not value]
        if missing:
            given = ", ".join(f'{name} = "…"' for name in missing)
            raise ConfigError(
                f"no Azure Machine Learning workspace is known; write {given} in the profile of cloudtune.toml"
            )
        group = f"/subscriptions/{own['subscription']}/resourceGroups/{own['resource_group']}"
        return f"{group}/providers/Microsoft.MachineLearningServices/workspaces/{own['workspace']}"

    @cached_property
    def ml(self) -> "MLClient":
        """The client of Azure Machine Learning's SDK."""
        from azure.ai.ml import MLClient  # noqa: PLC0415  # takes seconds

        logging.getLogger("azure.ai.ml").setLevel(logging.ERROR)
        _, _, subscription, _, group, *_, workspace = self.arm_id.split("/")
        cloud = cloud_of(self._address) if self.settings.endpoint else {}
        return MLClient(self._credential, subscription, group, workspace, **cloud)

    @cached_property
    def _pipeline(self) -> "PipelineClient[Any, Any]":
        scope = f"{_MANAGEMENT}/.default"
        policies = [HeadersPolicy(), BearerTokenCredentialPolicy(self._credential, scope)]
        return PipelineClient(base_url=self._address, policies=policies)

    @cached_property
    def _unsigned(self) -> "PipelineClient[Any, Any]":
        """The way to addresses that are signed themselves: beside a signature, storage would refuse the token."""
        return PipelineClient(base_url=self._address, policies=[HeadersPolicy()])

    def _ask(self, doing: str, method: str, url: str, **parts: Any) -> Any:
        """Send a request that may be sent twice; return what the answer's JSON says, None for no content."""

        def send() -> Any:
            response = self._pipeline.send_request(HttpRequest(method, url, **parts))
            response.raise_for_status()
            return response.json() if response.content else None

        return patiently(doing, send, self.settings.endpoint)

    def arm(self, method: str, path: str, doing: str) -> Any:
        """Ask Resource Manager about something in the workspace.

        Args:
            method: of HTTP.
            path: below the workspace, e.g. ``jobs/NAME``.
            doing: what is being done, as it follows ``while``.
        """
        url = f"{self._address}{self.arm_id}/{path}".rstrip("/")
        return self._ask(doing, method, url, params={"api-version": API})

    def usages(self) -> list[dict[str, Any]]:
        """Return what of the subscription's quotas for Azure Machine Learning is used in the workspace's region."""
        subscription = "/".join(self.arm_id.split("/")[:3])
        place = f"providers/Microsoft.MachineLearningServices/locations/{self._workspace['location']}/usages"
        url = f"{self._address}{subscription}/{place}"
        found: dict[str, Any] = self._ask("looking at the quotas", "GET", url, params={"api-version": API})
        return list(found.get("value", []))

    def job(self, name: str) -> dict[str, Any] | None:
        """Return the body of a job; None if there is none."""
        with ignoring({"404"}):
            found: dict[str, Any] = self.arm("GET", f"jobs/{name}", f"looking at the job {name}")
            return found
        return None

    def cancel(self, name: str) -> None:
        """Ask a job to end; nothing if it has, or was never made."""
        with ignoring({"400", "404", "409"}):
            self.arm("POST", f"jobs/{name}/cancel", f"stopping {name}")

    @cached_property
    def _workspace(self) -> dict[str, Any]:
        found: dict[str, Any] = self.arm("GET", "", "looking at the workspace")
        return found

    @cached_property
    def _services(self) -> str:
        """Where run history and MLflow are: the region's own address."""
        uri = str(self._workspace["properties"]["mlFlowTrackingUri"])
        return re.sub(r"^azureml://", "https://", uri).partition("/mlflow/")[0]

    def mlflow(self, operation: str, data: Mapping[str, Any], doing: str) -> dict[str, Any]:
        """Ask MLflow's tracking API (https://mlflow.org/docs/latest/api_reference/rest-api.html).

        Args:
            operation: the path below ``/api/2.0/mlflow/``.
            data: of the request.
            doing: what is being done, as it follows ``while``.
        """
        url = f"{self._services}/mlflow/v1.0{self.arm_id}/api/2.0/mlflow/{operation}"
        read = operation in ("metrics/get-history", "runs/get", "experiments/get-by-name")
        parts = {"params": dict(data)} if read else {"json": dict(data)}
        found: dict[str, Any] = self._ask(doing, "GET" if read else "POST", url, **parts) or {}
        return found

    def runs(self, experiment: str, tag: str, value: str) -> list[dict[str, Any]]:
        """Return the runs of an experiment that have a tag, as MLflow tells them; a call for each thousand.

        Args:
            experiment: its name.
            tag: its key.
            value: its value.
        """
        found: list[dict[str, Any]] = []
        request: dict[str, Any] = {
            "experiment_ids": [self._experiment(experiment)],
            "filter": f"tags.`{tag}` = '{value}'",
            "max_results": _PAGE,
        }
        while True:
            page = self.mlflow("runs/search", request, "looking at the trials")
            found += page.get("runs", [])
            if not page.get("next_page_token"):
                return found
            request["page_token"] = page["next_page_token"]

    def _experiment(self, name: str) -> str:
        """Return the id of an experiment, asked for once."""
        if name not in self._experiments:
            request = {"experiment_name": name}
            data = self.mlflow("experiments/get-by-name", request, f"looking for the experiment {name}")
            self._experiments[name] = str(data["experiment"]["experiment_id"])
        return self._experiments[name]

    @cached_property
    def _experiments(self) -> dict[str, str]:
        return {}

    def history(self, run: str, doing: str, part: str = "") -> dict[str, Any]:
        """Ask the run history about a run: why it failed, and where its logs are (``details``)."""
        url = f"{self._services}/history/v1.0{self.arm_id}/runs/{run}{part}"
        found: dict[str, Any] = self._ask(doing, "GET", url)
        return found

    def read(self, url: str, doing: str) -> bytes:
        """Return the content of a blob at an address that holds its own permission (SAS); empty if it is not there yet."""

        def send() -> bytes:
            response = self._unsigned.send_request(HttpRequest("GET", url))
            if response.status_code == 404:
                return b""
            response.raise_for_status()
            content: bytes = response.content
            return content

        return patiently(doing, send, self.settings.endpoint)

    def create(self, name: str, request: Mapping[str, Any], origin: Path, *, look_first: bool) -> str | None:
        """Make a job once, though answers may be lost: its name is ours, so that it can be looked for.

        Args:
            name: the job's.
            request: its file.
            origin: what its relative paths start from.
            look_first: whether there may have been an earlier call.

        Returns:
            The id of its code in the workspace, by which the next job can have the same code without an upload; None
            where it is not known.
        """
        from azure.ai.ml import load_job  # noqa: PLC0415

        if look_first and self.job(name) is not None:
            return None
        text = yaml.safe_dump({**request, "name": name}, sort_keys=False, allow_unicode=True)

        def make() -> str | None:
            entity = load_job(io.StringIO(text), relative_origin=str(origin / "job.yml"))
            try:
                made = self.ml.jobs.create_or_update(entity)
            except ClientAuthenticationError:
                raise
            except AzureError:
                if self.job(name) is None:  # else an answer was lost, and its repetition was refused
                    raise
                return None
            code = getattr(made, "code", None)
            return f"azureml:{code.removeprefix('azureml:')}" if isinstance(code, str) and "/codes/" in code else None

        with quiet():
            return patiently(f"making the job {name}", make, self.settings.endpoint)


_PASSING = frozenset({408, 429, 500, 502, 503, 504})

TRIES = 12
"""How often a call is made at most: with the waits between, some two minutes."""

WAIT = wait_exponential_jitter(initial=0.5, max=20, jitter=0.5)
"""The wait before a call is made again; the service may ask for a longer one."""

T = TypeVar("T")

_log = logging.getLogger(__name__)

_OF_STORAGE = re.compile("using this permission|permission to alter this storage account")
"""How storage, and the SDK in its place, tell that a data action is denied: without its name."""

_COLOUR = re.compile("\x1b\\[[0-9;]*m")


def patiently(doing: str, call: Callable[[], T], endpoint: str | None = None) -> T:
    """Return the result of a call, which is repeated after throttling, 5xx and lost connections.

    Args:
        doing: what is being done, as it follows ``while``.
        call: makes the call.
        endpoint: of an emulator, which is not tried again when it has ended; None for Azure's own.

    Raises:
        ProviderError: it was refused, or did not get through in `TRIES` tries.
    """

    def passes(error: BaseException) -> bool:
        return _passes(error) and not is_lost(endpoint)

    try:
        with translated(doing):
            passing = retry_if_exception(passes)
            return Retrying(stop=stop_after_attempt(TRIES), wait=_wait, retry=passing, reraise=True)(call)
    except ProviderError:
        refuse_lost(endpoint, doing)
        raise


def _wait(state: RetryCallState) -> float:
    """Return seconds until the next try: ours, or what the header ``Retry-After`` asks for."""
    error = state.outcome.exception() if state.outcome is not None else None
    response = getattr(error, "response", None)
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    return max(WAIT(state), float(asked) if asked.isdigit() else 0.0)


def _passes(error: BaseException) -> bool:
    ours = isinstance(error, CloudtuneError)  # what another call within this one could not get through is over
    return not ours and isinstance(error, AzureError | OSError) and _in_words(error, "").retryable


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the SDK's progress bars and remarks from the terminal."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise Azure's errors within the context as cloudtune's.

    Args:
        doing: what is being done, as it follows ``while``.
    """
    try:
        yield
    except CloudtuneError:
        raise
    except (AzureError, OSError) as error:
        raise _in_words(error, doing) from error
    except Exception as error:
        if not type(error).__module__.startswith("azure."):
            raise
        raise ProviderError(f"Azure's SDK refused while {doing}: {error}", code=type(error).__name__) from error


def _in_words(wrapped: BaseException, doing: str) -> ProviderError:
    error = _root(wrapped)
    status = getattr(error, "status_code", None)
    code, said = str(status or type(error).__name__), _said(error)
    if (
        isinstance(error, ClientAuthenticationError) and status is None
    ):  # of azure.identity: none of its ways led to a token
        _log.debug("%s", said)
        todo = "log in (az login), or set AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET"
        return CredentialError(f"there are no credentials for Azure, which are needed for {doing}; {todo}", code=code)
    if isinstance(error, ClientAuthenticationError) or status == 401:
        todo = "log in again (az login)"
        return CredentialError(f"Azure refused while {doing}: {said}; {todo}", code=code)
    if status == 403 or _OF_STORAGE.search(said):
        return CredentialError(f"Azure refused while {doing}: {said}; {_needed(said)}{HINT}", code=code)
    if "quota" in said.lower():
        return QuotaError(f"a limit of the subscription is reached while {doing}: {said}", code=code)
    if isinstance(error, ServiceRequestError | ServiceResponseError | OSError) and status is None:
        return ProviderError(f"Azure cannot be reached while {doing}: {said}", code=code, retryable=True)
    return ProviderError(f"Azure answered while {doing}: {said}", code=code, retryable=status in _PASSING)


def _needed(said: str) -> str:
    """Return the data actions that a refusal of the Blob service is about, which it does not name."""
    if not _OF_STORAGE.search(said):
        return ""
    from cloudtune_azureml.policy import data_actions  # noqa: PLC0415  # few calls are refused

    return f"storage takes the data actions {' and '.join(data_actions())}; "


def _root(error: BaseException) -> BaseException:
    """Return the error that the SDK wrapped in one of its own, such as that of a lost connection."""
    cause = error.__cause__
    wrapped = type(error).__module__.startswith("azure.ai.ml") and isinstance(cause, AzureError | OSError)
    return _root(cause) if wrapped and cause is not None else error


def _said(error: BaseException) -> str:
    message = getattr(error, "message", "") or str(error)
    inner = getattr(error, "error", None) if isinstance(error, HttpResponseError) else None
    return _plain(str(getattr(inner, "message", "") or message))


def _plain(text: str) -> str:
    """Return a message without the colours, the heading and the advice that the SDK puts around what is wrong."""
    words = " ".join(_COLOUR.sub("", text).split())
    _, found, details = words.partition("Details: ")
    return details.partition(" Resolutions: ")[0] if found else words
