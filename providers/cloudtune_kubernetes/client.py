"""The way to a cluster: the official client's configuration and connections, patient with what passes, and errors in our words.

Requests are plain data: what the client's models would make of an answer costs more time than all the rest of a poll.
"""

import contextlib
import json
import os
import random
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from kubernetes import client, config
from kubernetes.config import ConfigException

from cloudtune.driver.listeners import is_lost, refuse_lost
from cloudtune.errors import ConfigError, CredentialError, ProviderError, QuotaError
from cloudtune.provider.permissions import HINT
from cloudtune_kubernetes.advice import with_advice
from cloudtune_kubernetes.settings import KubernetesSettings

GONE = frozenset({"404"})
"""Codes of the answer about what is not there."""

EXISTS = frozenset({"409"})
"""Codes of the answer where there is one of the name already, or where an object has changed meanwhile."""

EXPIRED = "410"
"""The code of the answer to a watch from a version that the cluster has forgotten."""

FOR_GOOD = frozenset({"400", "403", "404", "422"})
"""Codes of answers to a Job that another attempt would get again."""

_TRIES = 5
"""How often a call is made that may pass; with pauses of `PAUSE`, or as long as the cluster says."""

PAUSE = 0.5
"""Seconds before a call is made the second time, doubled each time after."""

_CONNECT, _READ = 5.0, 60.0
"""Seconds that a connection, and an answer, may take."""

_CONNECTIONS = 256
"""Connections that are kept: one for each watch and log that is followed, beside calls."""

_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where a pod finds the name of its namespace."""

_GROUPS = {
    "jobs": "apis/batch/v1",
    **dict.fromkeys(("experiments", "trials", "suggestions"), "apis/kubeflow.org/v1beta1"),
}
"""The path of a kind's API; that of all others is the core's."""

_NAMESPACE = re.compile(r'namespaces? "([^"]+)" not found')
"""How the API says that there is no such namespace."""

Query = Mapping[str, str | int | bool]


class Cluster:
    """A cluster as a profile leads to it; its configuration is read when it is first needed.

    Args:
        settings: of the profile.
    """

    def __init__(self, settings: KubernetesSettings) -> None:
        self.settings = settings

    # The configuration

    @cached_property
    def _found(self) -> tuple[Any, str]:
        """The client's configuration, and the namespace that goes with it."""
        found: Any = client.Configuration()
        found.connection_pool_maxsize = _CONNECTIONS
        file = self.settings.kubeconfig or os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
        try:
            namespace = self._read_file(file, found) if _exists(file) else self._read_pod(file, found)
        except (ConfigException, OSError, ValueError) as error:
            raise ConfigError(f"the configuration of the cluster cannot be used: {error}") from error
        endpoint = self.settings.endpoint
        if endpoint is not None and found.host.rstrip("/") != endpoint.rstrip("/"):
            # Another place than that of the credentials, which it does not get.
            found = client.Configuration()
            found.host = endpoint.rstrip("/")
        return found, namespace

    def _read_file(self, file: str, found: Any) -> str:
        context = self.settings.context
        config.load_kube_config(config_file=file, context=context, client_configuration=found)
        contexts, active = config.list_kube_config_contexts(config_file=file)
        own = active if context is None else next(each for each in contexts if each["name"] == context)
        return str(own["context"].get("namespace") or "default")

    def _read_pod(self, file: str, found: Any) -> str:
        if "KUBERNETES_SERVICE_HOST" not in os.environ:
            if self.settings.endpoint is not None:
                return "default"
            raise ConfigError(
                f'there is no {file}, and this is no pod; say kubeconfig = "…" in the profile, or set KUBECONFIG'
            )
        config.load_incluster_config(client_configuration=found)
        return _IN_POD.read_text("utf-8").strip()

    def log_in(self) -> None:
        """See `cloudtune.provider.service.Service.log_in`."""
        _ = self._pool

    @property
    def host(self) -> str:
        """The address of the API server."""
        return str(self._found[0].host)

    @property
    def namespace(self) -> str:
        """The namespace of the Jobs."""
        return self.settings.namespace or self._found[1]

    @cached_property
    def _pool(self) -> Any:
        with translated("reading the configuration of the cluster"):
            if not self._found[
                0
            ].verify_ssl:  # as the kubeconfig says: then there is no news in a warning at each connection
                host = re.escape(urlsplit(self.host).hostname or "")
                warnings.filterwarnings("ignore", rf"Unverified HTTPS request is being made to host '{host}'")
            made: Any = client.ApiClient(self._found[0])
            return made.rest_client.pool_manager

    def path(self, kind: str, name: str = "", part: str = "") -> str:
        """Return the path of a kind of objects in the namespace, or of one.

        Args:
            kind: ``jobs``, ``pods``, ``configmaps``, ``secrets``, ``services``, ``events``; of Katib's ``experiments``,
                ``trials``, ``suggestions``.
            name: of one object; "" for all.
            part: below it, such as ``log``; "" for the object itself.
        """
        group = _GROUPS.get(kind, "api/v1")
        below = "".join(f"/{quote(each, safe='')}" for each in (name, part) if each)
        return f"/{group}/namespaces/{quote(self.namespace, safe='')}/{kind}{below}"

    # Calls

    def call(self, doing: str, method: str, path: str, query: Query | None = None, body: Any = None) -> Any:
        """Make an idempotent call, again where it may pass; return the answer's plain data, or its text.

        To make an object of a name that its caller chose is idempotent: the second one is refused (`EXISTS`).

        Args:
            doing: what is being done, as it follows ``while``.
            method: of HTTP.
            path: of the API.
            query: of the path.
            body: plain data; None for none.

        Raises:
            ProviderError: the cluster cannot be reached, or refuses; the code is the answer's status.
        """
        for tried in range(1, _TRIES + 1):
            try:
                with self.opened(doing, method, path, query, body) as answer:
                    text = answer.data
                    return json.loads(text) if "json" in answer.headers.get("Content-Type", "") else text
            except ProviderError as error:
                refuse_lost(self.settings.endpoint, doing)
                if not error.retryable or tried == _TRIES:
                    raise
                said = getattr(error.__cause__, "retry_after", None)
                pause = PAUSE * random.uniform(0.5, 1.0) * 2**tried  # noqa: S311  # calls of several trials are not to come together
                time.sleep(min(said or pause, 30.0))
        raise AssertionError  # the last try raises

    @contextlib.contextmanager
    def opened(
        self, doing: str, method: str, path: str, query: Query | None = None, body: Any = None, read: float = _READ
    ) -> Iterator[Any]:
        """Make a call once; yield the answer, whose body is not read yet.

        Args:
            doing: as for `call`.
            method: as for `call`.
            path: as for `call`.
            query: as for `call`.
            body: as for `call`.
            read: seconds that the next piece of the answer may take.
        """
        given = {
            name: str(value).lower() if isinstance(value, bool) else value for name, value in (query or {}).items()
        }
        url = f"{self.host}{path}{'?' + urlencode(given) if given else ''}"
        with translated(doing):
            answer = self._pool.request(
                method,
                url,
                body=None if body is None else json.dumps(body),
                headers=self._headers(method),
                timeout=urllib3.Timeout(connect=_CONNECT, read=read),
                preload_content=False,
                retries=False,
            )
            try:
                if answer.status >= 400:
                    raise _Refusal(answer.status, answer.data, answer.headers.get("Retry-After"))
                yield answer
            finally:
                answer.close() if not answer.closed and answer.length_remaining != 0 else answer.release_conn()

    def _headers(self, method: str) -> dict[str, str]:
        form = "application/merge-patch+json" if method == "PATCH" else "application/json"
        found = {"Accept": "application/json", "Content-Type": form, "User-Agent": "cloudtune"}
        for auth in self._found[0].auth_settings().values():
            if auth["in"] == "header" and auth["value"]:
                found[auth["key"]] = auth["value"]
        return found

    @property
    def is_lost(self) -> bool:
        """Whether it was an emulator that has ended."""
        return is_lost(self.settings.endpoint)


def _exists(files: str) -> bool:
    """Return whether one of the files is there that KUBECONFIG names."""
    return any(Path(each).expanduser().is_file() for each in files.split(os.pathsep) if each)


class _Refusal(Exception):
    """An answer that says no.

    Attributes:
        status: of HTTP.
        reason: one word of the cluster's, such as ``AlreadyExists``; "" for none.
        message: in words.
        retry_after: seconds after which the same call may pass; None where the cluster says nothing.
    """

    def __init__(self, status: int, body: bytes, retry_after: str | None) -> None:
        try:
            told = json.loads(body)
        except ValueError:
            told = {}
        told = told if isinstance(told, Mapping) else {}
        self.status, self.reason = status, str(told.get("reason", ""))
        self.message = str(told.get("message") or body.decode("utf-8", "replace").strip() or "it gave no reason")
        self.retry_after = float(retry_after) if retry_after and retry_after.isdigit() else None
        super().__init__(self.message)


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise the client's errors within the context as cloudtune's.

    Args:
        doing: what is being done, as it follows ``while``.
    """
    try:
        yield
    except _Refusal as error:
        raise _in_words(error, doing) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        if isinstance(error, ConfigError):
            raise
        said = f"the cluster cannot be reached while {doing}: {error}"
        raise ProviderError(said, code="Connection", retryable=True) from error


def _in_words(error: _Refusal, doing: str) -> ProviderError:
    code, said = str(error.status), error.message
    if error.status == 401:
        return CredentialError(f"the cluster lets nobody in with these credentials, while {doing}: {said}", code=code)
    if error.status == 403 and "exceeded quota" in said:
        return QuotaError(f"a quota of the namespace is reached while {doing}: {with_advice(said)}", code="Quota")
    if error.status == 403 and " cannot " in said:
        return CredentialError(f"the cluster refused while {doing}: {said}; {HINT}", code=code)
    retryable = error.status == 429 or error.status >= 500
    if error.status == 404 and (found := _NAMESPACE.search(said)):
        said = f"{said}; make it (kubectl create namespace {found[1]}), or name another in the profile"
    return ProviderError(f"the cluster answered while {doing}: {with_advice(said)}", code=code, retryable=retryable)


def moment(text: str | None) -> float | None:
    """Return seconds since 1970 from a time of the API; None for none."""
    return None if not text else datetime.fromisoformat(text).timestamp()
