"""The workspace's APIs over HTTP, as far as one-time runs of Python programs need them."""

import itertools
import json
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from werkzeug.wrappers import Response

from cloudtune.emulation.access import Environ, Refusal, bearer, new_secret, same
from cloudtune.emulation.bodies import Request
from cloudtune.emulation.refused import Refused
from cloudtune.emulation.serving import cut
from cloudtune_databricks.emulator.errors import REFUSALS, Faults, answered, invalid
from cloudtune_databricks.emulator.files import Volumes, WorkspaceFiles
from cloudtune_databricks.emulator.model import Program, read
from cloudtune_databricks.emulator.runs import Run

USER = "emulated@example.com"

CLIENT = "cloudtune-emulator"
"""The id of the service principal that may ask for a token."""

_METADATA, _OIDC, _TOKEN = (
    "/.well-known/databricks-config",
    "/oidc/.well-known/oauth-authorization-server",
    "/oidc/v1/token",
)  # paths
_FILES, _FOLDERS, _WORKSPACE = "/api/2.0/fs/files", "/api/2.0/fs/directories", "/api/2.0/workspace/"
_RUNS = {
    ("POST", "submit"): "SubmitRun", ("GET", "list"): "ListRuns", ("GET", "get"): "GetRun", ("GET", "get-output"): "GetRunOutput",
    ("POST", "cancel"): "CancelRun", ("POST", "delete"): "DeleteRun",
}  # fmt: skip
_VERBS = {"GET": "Get", "HEAD": "Head", "PUT": "Put", "DELETE": "Delete"}
_PAGE, _LONGEST = 20, 25


class Tokens:
    """What lets in; made anew for each start.

    Attributes:
        access: the access token, which is the secret of the service principal as well.
        of_tasks: the token of running tasks.
    """

    def __init__(self) -> None:
        self.access, self.of_tasks = new_secret(), new_secret()

    def admit(self, environ: Environ) -> Refusal | None:
        """Find out whether a request has what lets in."""
        if environ.get("PATH_INFO") in (_METADATA, _OIDC, _TOKEN):  # the last looks for itself
            return None
        token = bearer(str(environ.get("HTTP_AUTHORIZATION", "")))
        if same(token, self.access) or same(token, self.of_tasks):
            return None
        return Refusal(
            "wrong" if token else "missing", "Credential was not sent or was of an unsupported type for this API."
        )


def not_admitted(environ: Environ, refusal: Refusal, respond: Any) -> Iterable[bytes]:
    """Answer a request without valid credentials."""
    status, code = (403, "PERMISSION_DENIED") if refusal.kind == "foreign" else (401, "UNAUTHENTICATED")
    return answered(Refused(status, code, refusal.message))(environ, respond)


class Runs:
    """The one-time runs of the workspace.

    Args:
        make: makes one, from its id and program.
        clusters: the ids of clusters that are there; ``*`` for any.
    """

    def __init__(self, make: Callable[[int, Program], Run], clusters: Collection[str]) -> None:
        self._make, self.clusters = make, frozenset(clusters)
        self._ids = itertools.count(1000, 10)
        self._lock = threading.Lock()
        self._by_token: dict[str, int] = {}
        self._deleted: set[int] = set()
        self.all: dict[int, Run] = {}
        self.most = 0
        """How many may be active; 0 for any number."""

    def submit(self, said: Any) -> dict[str, Any]:
        """Start a run, unless there is one with its token."""
        program = read(said)
        cluster = program.task.existing_cluster_id
        if cluster is not None:
            self.need_cluster(cluster)
        with self._lock:
            known = self._by_token.get(program.token) if program.token else None
            if known in self._deleted:
                raise invalid(f"The run with the idempotency token {program.token} was deleted.")
            if known is not None:
                return {"run_id": known}
            if self.most and not program.queued and sum(run.active for run in self.all.values()) >= self.most:
                raise Refused(429, "QUOTA_EXCEEDED", f"The workspace has reached its limit of {self.most} active runs.")
            run_id = next(self._ids)
            run = self.all[run_id] = self._make(run_id, program)
            if program.token:
                self._by_token[program.token] = run_id
            run.start()
        return {"run_id": run_id}

    def need_cluster(self, cluster_id: str) -> None:
        """Refuse a cluster that is not there."""
        if cluster_id not in self.clusters and "*" not in self.clusters:
            raise invalid(f"Cluster {cluster_id} does not exist")

    def find(self, given: Any) -> Run:
        """Return a run by its id."""
        with self._lock:
            run = self.all.get(given) if isinstance(given, int) else None
        if run is None or run.run_id in self._deleted:
            raise invalid(f"Run {given} does not exist.")
        return run

    def list(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """Return a page of runs, the newest first."""
        limit, begin = int(asked.get("limit") or _PAGE) or _LONGEST, int(asked.get("page_token") or 0)
        if not 0 < limit <= _LONGEST:
            raise invalid(f"Limit must be greater than 0 and at most {_LONGEST}.")
        active, completed = (asked.get(name) == "true" for name in ("active_only", "completed_only"))
        if active and completed:
            raise invalid("Only one of active_only and completed_only can be true.")
        since, until = int(asked.get("start_time_from") or 0) / 1000, float(asked.get("start_time_to") or "inf") / 1000
        with self._lock:
            found = [run for run in reversed(self.all.values()) if run.run_id not in self._deleted]
        found = [run for run in found if since <= run.created <= until and not (completed if run.active else active)]
        page = [run.told(expanded=asked.get("expand_tasks") == "true") for run in found[begin : begin + limit]]
        more = {"next_page_token": str(begin + limit)} if len(found) > begin + limit else {}
        return {**({"runs": page} if page else {}), "has_more": bool(more), **more}

    def cancel(self, run_id: Any) -> dict[str, Any]:
        """Ask a run to end."""
        self.find(run_id).stop()
        return {}

    def delete(self, run_id: Any) -> dict[str, Any]:
        """Forget a run that has ended."""
        run = self.find(run_id)
        if run.active:
            raise invalid(f"Run {run_id} is active.")
        self._deleted.add(run.run_id)
        return {}

    def output(self, run_id: int) -> dict[str, Any]:
        """Return the output of a task's run."""
        if run_id in self.all:
            raise invalid("Retrieving the output of runs with multiple tasks is not supported. Please retrieve the output of each individual task run instead.")  # fmt: skip
        return self.find(run_id - 1).output()

    def close(self) -> None:
        """End all of them."""
        for run in list(self.all.values()):
            run.close()


class Api:
    """All of the workspace as one WSGI application.

    Args:
        runs: its runs.
        volumes: its volumes.
        files: its files.
        tokens: what lets in.
        faults: what goes wrong on purpose.
        served: called with the operation of every call.
        url: gives its own address.
    """

    def __init__(
        self,
        runs: Runs,
        volumes: Volumes,
        files: WorkspaceFiles,
        *,
        tokens: Tokens,
        faults: Faults,
        served: Callable[[str], None],
        url: Callable[[], str],
    ) -> None:
        self._runs, self._volumes, self._files = runs, volumes, files
        self._tokens, self._faults, self._served, self._url = tokens, faults, served, url

    def __call__(self, environ: Environ, respond: Any) -> Iterable[bytes]:
        request = Request(environ)
        service, operation, answer = self._route(request)
        of_task = same(bearer(request.headers.get("Authorization", "")), self._tokens.of_tasks)
        self._served(operation)
        fault = self._faults.of_call("trial" if of_task else service, operation)
        if fault == "lost":
            self._answered(answer)
            cut(environ)
            raise ConnectionAbortedError("the answer is lost on purpose")
        response = answered(REFUSALS[fault]) if fault else self._answered(answer)
        return response(environ, respond)

    def _answered(self, answer: Callable[[], Any]) -> Response:
        try:
            found = answer()
        except Refused as refused:
            return answered(refused)
        return found if isinstance(found, Response) else Response(json.dumps(found), mimetype="application/json")

    def _route(self, request: Request) -> tuple[str, str, Callable[[], Any]]:
        path, method = request.path, request.method
        parts = path.strip("/").split("/")
        if parts[:1] == ["api"] and parts[2:4] == ["jobs", "runs"] and (method, parts[-1]) in _RUNS:
            operation = _RUNS[method, parts[-1]]
            return "jobs", operation, lambda: self._of_runs(operation, request)
        if path.startswith(f"{_FILES}/"):
            return (
                "files",
                f"{_VERBS.get(method, method)}File",
                lambda: self._volumes.file(request, path.removeprefix(_FILES)),
            )
        if path.startswith(f"{_FOLDERS}/"):
            operation = "ListDirectory" if method == "GET" else f"{_VERBS.get(method, method)}Directory"
            return "files", operation, lambda: self._volumes.directory(request, path.removeprefix(_FOLDERS))
        if path.startswith(_WORKSPACE):
            operation = path.removeprefix(_WORKSPACE)
            return "workspace", operation, lambda: self._files.answer(operation, request)
        others: dict[str, Callable[[], Any]] = {
            _METADATA: lambda: {"oidc_endpoint": f"{self._url()}/oidc", "workspace_id": "1", "cloud": "AWS"},
            _OIDC: lambda: {
                "authorization_endpoint": f"{self._url()}/oidc/v1/authorize",
                "token_endpoint": f"{self._url()}{_TOKEN}",
            },
            _TOKEN: lambda: self._sign_in(request),
            "/api/2.0/preview/scim/v2/Me": lambda: {
                "userName": USER,
                "id": "1",
                "active": True,
                "displayName": "Emulated",
            },
            "/api/2.1/clusters/get": lambda: self._cluster(request.args.get("cluster_id", "")),
        }
        return "other", path, others.get(path, lambda: _missing(request))

    def _of_runs(self, operation: str, request: Request) -> Any:
        if request.method == "GET":
            if operation == "ListRuns":
                return self._runs.list(request.args)
            run_id = request.args.get("run_id", type=int)
            return self._runs.output(run_id or 0) if operation == "GetRunOutput" else self._runs.find(run_id).told()
        said = request.get_json(silent=True)
        if operation == "SubmitRun":
            return self._runs.submit(said)
        if not isinstance(said, Mapping):
            raise Refused(400, "MALFORMED_REQUEST", "The request is no JSON object.")
        return (self._runs.cancel if operation == "CancelRun" else self._runs.delete)(said.get("run_id"))

    def _cluster(self, cluster_id: str) -> dict[str, Any]:
        self._runs.need_cluster(cluster_id)
        return {
            "cluster_id": cluster_id,
            "cluster_name": "emulated",
            "state": "RUNNING",
            "spark_version": "16.4.x-scala2.12",
        }

    def _sign_in(self, request: Request) -> Any:
        """Give an access token for the service principal's secret (RFC 6749, section 4.4)."""
        own = request.authorization
        secret = request.form.get("client_secret") or (own.password if own is not None else None) or ""
        if not same(secret, self._tokens.access):
            return Response(json.dumps({"error": "invalid_client", "error_description": "The client secret is not valid."}), 401, mimetype="application/json")  # fmt: skip
        return {"access_token": self._tokens.access, "token_type": "Bearer", "expires_in": 3600}


def _missing(request: Request) -> Any:
    raise Refused(404, "ENDPOINT_NOT_FOUND", f"The emulator has no {request.method} {request.path}")
