"""The way to a workspace: Databricks' SDK with its unified authentication, and its errors in our words."""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import requests
from databricks.sdk.clock import RealClock
from databricks.sdk.core import ApiClient, Config
from databricks.sdk.errors.base import DatabricksError

from cloudtune.driver.listeners import on_this_machine, refuse_lost
from cloudtune.errors import CredentialError, ProviderError, QuotaError, ignoring
from cloudtune.plugins.version import __version__
from cloudtune.provider.permissions import HINT
from cloudtune_databricks.settings import DatabricksSettings

if TYPE_CHECKING:
    from typing import BinaryIO

_JOBS, _FILES, _FOLDERS = "/api/2.2/jobs/runs", "/api/2.0/fs/files", "/api/2.0/fs/directories"

_PAGE = 24
"""Runs on a page of a list: fewer than 25 (https://docs.databricks.com/api/workspace/jobs/listruns)."""

GONE = frozenset({"404"})
"""The code of what is not there, whatever the service calls it: the SDK tells it from other refusals."""

FOR_GOOD = GONE | {
    "400", "403", "INVALID_PARAMETER_VALUE", "PERMISSION_DENIED", "FEATURE_DISABLED", "MALFORMED_REQUEST", "BAD_REQUEST",
}  # fmt: skip
"""Codes of refusals that another attempt would get again."""

_LIMITS = frozenset({"QUOTA_EXCEEDED", "RESOURCE_LIMIT_EXCEEDED"})
"""Codes of limits on what is there, which no short wait helps against; one of the driver's trials may end."""

_PASSING = ("InternalError", "TemporarilyUnavailable", "DeadlineExceeded", "TooManyRequests", "RequestLimitExceeded", "Unknown", "Aborted")  # fmt: skip
"""Errors that pass, by the SDK's names of their kinds."""

_TRIES = 8
"""How often a call is made at most; the SDK waits by itself where it is throttled, and connects again."""

_PATIENCE = 20
"""Seconds for which the SDK does so: twice where there is no such host, which it asks about itself first."""

T = TypeVar("T")


class _Clock(RealClock):
    """Waits for a service that may come back; for an emulator, as long as it runs, and not for long."""

    def __init__(self, endpoint: str | None) -> None:
        self._endpoint = endpoint

    def sleep(self, seconds: float) -> None:
        refuse_lost(self._endpoint, "asking Databricks again")
        time.sleep(min(seconds, 0.1) if on_this_machine(self._endpoint) else seconds)


class Workspace:
    """A workspace, by the settings of one profile; it is logged in to when it is first asked.

    Args:
        settings: of the profile.
    """

    def __init__(self, settings: DatabricksSettings) -> None:
        self.settings = settings
        self._clock = _Clock(settings.endpoint)

    def log_in(self) -> None:
        """See `cloudtune.provider.service.Service.log_in`."""
        with _in_words("logging in"):
            self._config.authenticate()

    @property
    def host(self) -> str:
        """The address of the workspace."""
        return str(self._config.host)

    @cached_property
    def _config(self) -> Config:
        logging.getLogger("databricks.sdk").setLevel(logging.ERROR)
        own: dict[str, Any] = {"host": self.settings.host, "profile": self.settings.config_profile}
        endpoint = self.settings.endpoint
        if endpoint is not None and on_this_machine(endpoint):
            known = os.environ.get("DATABRICKS_HOST", "").rstrip("/") == endpoint.rstrip("/")
            token = os.environ.get("DATABRICKS_TOKEN", "") if known else ""  # no real token is sent there
            own = {"host": endpoint, "token": token or "unknown", "auth_type": "pat", "config_file": os.devnull}
        elif endpoint is not None:
            own["host"] = endpoint
        with _in_words("looking for credentials"):
            return Config(
                product="cloudtune", product_version=__version__, clock=self._clock, retry_timeout_seconds=_PATIENCE,
                **{name: value for name, value in own.items() if value is not None},
            )  # fmt: skip

    @cached_property
    def _client(self) -> ApiClient:
        return ApiClient(self._config)

    def call(self, doing: str, method: str, path: str, **parts: Any) -> Any:
        """Make a call that may be made twice; return the data of its answer.

        Args:
            doing: what is being done, as it follows ``while``.
            method: of HTTP.
            path: below the workspace's address.
            parts: ``query``, ``body``, ``data``, ``headers`` or ``raw``, as the SDK's client takes them.

        Raises:
            CredentialError: there are no credentials, or they do not permit it.
            ProviderError: it was refused (`code` is the service's), or the workspace cannot be reached.
        """
        return self._patiently(doing, lambda: self._do(method, path, **parts))

    def _do(self, method: str, path: str, headers: Mapping[str, str] | None = None, **parts: Any) -> Any:
        """Make a call once; where several workspaces have one address, a header says which, as in the SDK's own methods."""
        workspace = getattr(self._config, "workspace_id", None)
        which = {"X-Databricks-Workspace-Id": str(workspace)} if workspace else {}
        return self._client.do(method, path, headers={**which, **(headers or {})}, **parts)

    def _patiently(self, doing: str, call: Callable[[], T], *, outages: bool = False) -> T:
        """Return the result of a call, which is made again after errors that pass, and, if asked to, after outages."""
        for again in range(_TRIES):
            try:
                with _in_words(doing):
                    return call()
            except ProviderError as error:
                refuse_lost(self.settings.endpoint, doing)
                if not error.retryable or (error.code == "Connection" and not outages) or again == _TRIES - 1:
                    raise
                self._clock.sleep(0.5 * 2**again)
        raise AssertionError("the last try returns or raises")

    # Runs

    def submit(self, request: Mapping[str, Any], doing: str) -> int:
        """Submit a one-time run; return the id of that which has its idempotency token."""
        answer: Any = self._patiently(
            doing, lambda: self._do("POST", f"{_JOBS}/submit", body=dict(request)), outages=True
        )
        return int(answer["run_id"])

    def pages(self, *, since: float | None = None, active: bool = False) -> Iterator[list[dict[str, Any]]]:
        """Yield one-time runs of the workspace in pages, the newest first; a call for each page.

        Args:
            since: only those that started from then on, in seconds since 1970.
            active: only those that have not ended.
        """
        query: dict[str, Any] = {"run_type": "SUBMIT_RUN", "expand_tasks": True, "limit": _PAGE}
        query |= {"active_only": True} if active else {}
        query |= {} if since is None else {"start_time_from": int(since * 1000)}
        while True:
            page = self.call("looking at runs", "GET", f"{_JOBS}/list", query=query)
            yield page.get("runs", [])
            if not page.get("next_page_token"):
                return
            query["page_token"] = page["next_page_token"]

    def run(self, run_id: int) -> dict[str, Any] | None:
        """Return what the service says of a run; None if it was deleted."""
        with ignoring(GONE):
            query = {"run_id": run_id}
            found: dict[str, Any] = self.call(f"looking at the run {run_id}", "GET", f"{_JOBS}/get", query=query)
            return found
        return None

    def output(self, task_run_id: int) -> dict[str, Any]:
        """Return the error and the end of the output of a task; empty where the service keeps none."""
        with ignoring(FOR_GOOD):
            query = {"run_id": task_run_id}
            found: dict[str, Any] = self.call("reading what a run printed", "GET", f"{_JOBS}/get-output", query=query)
            return found
        return {}

    def cancel(self, run_id: int) -> None:
        """Ask a run to end; do nothing if it has."""
        with ignoring(FOR_GOOD - {"403", "PERMISSION_DENIED"}):
            self.call(f"stopping the run {run_id}", "POST", f"{_JOBS}/cancel", body={"run_id": run_id})

    # Who, and what is there

    def me(self) -> str:
        """Return the name of who is logged in."""
        return str(self.call("asking who is logged in", "GET", "/api/2.0/preview/scim/v2/Me")["userName"])

    def cluster(self, cluster_id: str) -> dict[str, Any]:
        """Return what the service says of a cluster."""
        query = {"cluster_id": cluster_id}
        found: dict[str, Any] = self.call(
            f"looking at the cluster {cluster_id}", "GET", "/api/2.1/clusters/get", query=query
        )
        return found

    def import_file(self, path: str, content: str) -> None:
        """Make a file of the workspace, and the folder that it needs.

        Args:
            path: absolute, below ``/Workspace``.
            content: in base64, 10 MB at most.
        """
        own = path.removeprefix("/Workspace")
        self.call(f"making {path}", "POST", "/api/2.0/workspace/mkdirs", body={"path": own.rpartition("/")[0]})
        body = {"path": own, "content": content, "format": "RAW", "overwrite": True}
        self.call(f"making {path}", "POST", "/api/2.0/workspace/import", body=body)

    # Files of volumes, by their paths

    def put(self, path: str, file: Path) -> None:
        """Write a file of a volume; the folders that it needs are made."""

        def send() -> None:
            with file.open("rb") as opened:
                headers = {"Content-Type": "application/octet-stream"}
                self._do("PUT", f"{_FILES}{quote(path)}", query={"overwrite": True}, headers=headers, data=opened)

        if file.stat().st_size:
            self._patiently(f"putting {path} there", send)
        else:  # the SDK takes an empty stream for none
            headers = {"Content-Type": "application/octet-stream"}
            self.call(
                f"putting {path} there", "PUT", f"{_FILES}{quote(path)}", query={"overwrite": True}, headers=headers
            )

    def get(self, path: str) -> bytes:
        """Return the content of a file of a volume."""

        def read() -> bytes:
            answer: Any = self._do("GET", f"{_FILES}{quote(path)}", raw=True)
            stream: BinaryIO = answer["contents"]
            with contextlib.closing(stream):
                return stream.read()

        return self._patiently(f"reading {path}", read)

    def entries(self, path: str) -> list[dict[str, Any]]:
        """Return what is in a folder of a volume; nothing where it is not there. A call for each thousand."""
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {}
        with ignoring(GONE):
            while True:
                page = self.call(f"looking into {path}", "GET", f"{_FOLDERS}{quote(path)}", query=query)
                found += page.get("contents", [])
                if not page.get("next_page_token"):
                    break
                query["page_token"] = page["next_page_token"]
        return found

    def remove(self, path: str) -> None:
        """Remove a file of a volume; do nothing if it is not there."""
        with ignoring(GONE):
            self.call(f"removing {path}", "DELETE", f"{_FILES}{quote(path)}")


@contextlib.contextmanager
def _in_words(doing: str) -> Iterator[None]:
    """Raise the SDK's errors within the context as ours.

    Args:
        doing: what is being done, as it follows ``while``.
    """
    try:
        yield
    except DatabricksError as error:
        raise _refused(error, doing) from error
    except (requests.RequestException, TimeoutError) as error:
        cause = error.__cause__
        if isinstance(cause, DatabricksError):  # it was throttled for too long
            raise _refused(cause, doing) from error
        message = f"Databricks cannot be reached while {doing}: {cause or error}"
        raise ProviderError(message, code="Connection", retryable=True) from error
    except ValueError as error:  # of its authentication
        todo = "log in (databricks auth login), name a profile of ~/.databrickscfg, or set DATABRICKS_HOST and DATABRICKS_TOKEN"
        raise CredentialError(
            f"there are no credentials for Databricks, which are needed for {doing}; {todo}: {_plain(error)}"
        ) from error


def _plain(error: Exception) -> str:
    """Return what an error says, without the configuration that the SDK adds."""
    return str(error).partition(". Config: ")[0].partition(". Env: ")[0]


def _refused(error: DatabricksError, doing: str) -> ProviderError:
    kind, said = type(error).__name__, _plain(error)
    code = "404" if kind in ("NotFound", "ResourceDoesNotExist") else str(error.error_code or kind)
    if kind == "Unauthenticated":
        return CredentialError(
            f"Databricks refused while {doing}: {said}; log in again (databricks auth login)", code=code
        )
    if kind == "PermissionDenied":
        return CredentialError(f"Databricks refused while {doing}: {said}; {HINT}", code=code)
    passing = kind in _PASSING
    if code in _LIMITS or "exceeding rate limit" in said:
        return QuotaError(f"a limit of the workspace is reached while {doing}: {said}", code=code)
    return ProviderError(f"Databricks answered while {doing}: {said}", code=code, retryable=passing)
