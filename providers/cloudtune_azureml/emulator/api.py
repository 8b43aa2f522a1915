"""Azure Resource Manager, run history and MLflow over HTTP, as far as sweeps need them, told apart by the path."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

from werkzeug.wrappers import Response

from cloudtune.emulation.access import Environ, Refusal, bearer
from cloudtune.emulation.bodies import Request
from cloudtune.emulation.faults import Fault
from cloudtune.emulation.refused import Refused
from cloudtune.emulation.serving import cut
from cloudtune_azureml.emulator.blobs import ACCOUNT_PREFIX, PREFIX, Blobs, blob_error, container_of
from cloudtune_azureml.emulator.credentials import CLIENT, DISCOVERY, RUN_PREFIX, Tokens
from cloudtune_azureml.emulator.errors import answered, as_mapping
from cloudtune_azureml.emulator.faults import Faults
from cloudtune_azureml.emulator.history import History
from cloudtune_azureml.emulator.permissions import message_of
from cloudtune_azureml.emulator.tracking import MlflowApi
from cloudtune_azureml.emulator.workspace import Workspace

Answer = Any
"""What can be said in JSON; None for no content."""

REFUSALS: Mapping[Fault, tuple[int, str, str]] = {
    "throttle": (429, "TooManyRequests", "The request is being throttled. Please try again later."),
    "error": (503, "ServiceUnavailable", "The service is temporarily unavailable."),
    "expired": (
        401,
        "ExpiredAuthenticationToken",
        "The access token expiry UTC time is earlier than current UTC time.",
    ),
}

_USAGE = {"name": {"value": "emulated", "localizedValue": "Emulated cores"}, "currentValue": 0, "limit": 100, "unit": "Count"}  # fmt: skip
"""The one quota of the emulator."""

_MISMATCH = "This request is not authorized to perform this operation using this permission."

_JOBS = 30
"""Jobs on a page of a list."""


class Api:
    """All of the service as one WSGI application.

    Args:
        workspace: what it serves.
        tokens: what lets in.
        faults: what goes wrong on purpose.
        served: called with the operation of every call.
        url: gives its own address.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        tokens: Tokens,
        faults: Faults,
        served: Callable[[str], None],
        url: Callable[[], str],
    ) -> None:
        self._tokens = tokens
        self._space, self._faults, self._served, self._url = workspace, faults, served, url
        self._blobs: Blobs = workspace.blobs
        self._arm = _arm_routes(workspace, url, tokens)
        self._history = History(workspace.runs, faults, url, workspace.blobs, tokens)
        self._mlflow = MlflowApi(workspace.runs, faults)

    def __call__(self, environ: Environ, respond: Any) -> Iterable[bytes]:
        request = Request(environ)
        if self._tokens.signs_in(request.path):
            return self._tokens.sign_in(request, self._url())(environ, respond)
        service, operation, answer = self._route(request)
        if bearer(request.headers.get("Authorization", "")).startswith(RUN_PREFIX):
            service = "trial"
        self._served(operation)
        fault = self._faults.of_call(service, operation)
        if fault == "lost":
            self._answered(answer)
            cut(environ)
            raise ConnectionAbortedError("the answer is lost on purpose")
        response = answered(*REFUSALS[fault]) if fault else self._denied(request) or self._answered(answer)
        return response(environ, respond)

    def _denied(self, request: Request) -> Response | None:
        """Return the answer to a client's request that no role permits; None for others, and for signed addresses."""
        token = bearer(request.headers.get("Authorization", ""))
        if not token or token.startswith(RUN_PREFIX):
            return None
        of_blob = request.path.startswith((PREFIX, ACCOUNT_PREFIX))
        container = container_of(request.path) if of_blob else None
        missing = self._space.denied(request, container)
        if missing is None:
            return None
        if of_blob:
            return blob_error(403, "AuthorizationPermissionMismatch", _MISMATCH)
        return answered(403, "AuthorizationFailed", message_of(missing, CLIENT))

    def _answered(self, answer: Callable[[], Answer]) -> Response:
        try:
            found = answer()
        except Refused as refused:
            return answered(refused.status, refused.code, refused.message)
        if isinstance(found, Response):
            return found
        return Response(json.dumps(found), mimetype="application/json")

    def _route(self, request: Request) -> tuple[str, str, Callable[[], Answer]]:
        path = request.path
        if path.startswith((PREFIX, ACCOUNT_PREFIX)):
            return "blob", request.method, lambda: self._blobs.answer(request)
        if path == DISCOVERY:
            address = self._url()
            names = ("api", "history", "mlflow", "experimentation", "modelmanagement", "catalog")
            return "arm", "Discovery", lambda: dict.fromkeys(names, address)
        if "/api/2.0/mlflow/" in path:
            operation = path.partition("/api/2.0/mlflow/")[2]
            return "mlflow", operation, lambda: self._mlflow.answer(operation, request)
        if path.startswith("/history/"):
            operation = "RenewToken" if path.endswith("/token") else "GetRuns"
            return "history", operation, lambda: self._history.answer(request)
        if path.endswith("/dataversion/batchGetResolvedUris"):
            return "arm", "ResolveUris", lambda: self._space.resolved(request.get_json(silent=True) or {})
        if path.endswith("/usages"):
            return "arm", "ListUsages", lambda: {"value": [_USAGE]}
        below = path.removeprefix(self._space.arm_id).strip("/")
        if path.lower().startswith(self._space.arm_id.lower()):
            for method, pattern, operation, handler in self._arm:
                found = pattern.fullmatch(below)
                if found is not None and method == request.method:
                    return "arm", operation, partial(handler, request, *found.groups())
        return "arm", "", lambda: _missing(request)


def _missing(request: Request) -> Answer:
    raise Refused(404, "NotFound", f"the emulator has no {request.method} {request.path}")


def not_admitted(environ: Environ, refusal: Refusal, respond: Any) -> Iterable[bytes]:
    """Answer a request without valid credentials."""
    if str(environ.get("PATH_INFO", "")).startswith((PREFIX, ACCOUNT_PREFIX)):
        return blob_error(403, "AuthenticationFailed")(environ, respond)
    status, code = (403, "AuthorizationFailed") if refusal.kind == "foreign" else (401, "InvalidAuthenticationToken")
    return answered(status, code, refusal.message)(environ, respond)


# Azure Resource Manager

Route = tuple[str, "re.Pattern[str]", str, Callable[..., Answer]]


def _arm_routes(space: Workspace, url: Callable[[], str], tokens: Tokens) -> list[Route]:
    def body(request: Request) -> dict[str, Any]:
        return dict(as_mapping(request.get_json(silent=True)))

    def workspace(_: Request) -> Answer:
        address = url()
        own = {
            "workspaceId": "00000000-0000-0000-0000-000000000001",
            "discoveryUrl": f"{address}{DISCOVERY}?{tokens.shared_access}",
            "mlFlowTrackingUri": f"{address}/mlflow/v1.0{space.arm_id}",
            "storageAccount": space.storage_account,
        }
        return {"id": space.arm_id, "name": space.arm_id.rpartition("/")[2], "location": "emulated", "properties": own}

    def jobs(request: Request) -> Answer:
        wanted = {name: request.args.get(name) for name in ("listViewType", "jobType", "tag")}
        begin, found = int(request.args.get("$skip") or 0), space.jobs(*wanted.values())
        following = {**{name: value for name, value in wanted.items() if value}, "$skip": str(begin + _JOBS)}
        link = f"{url()}{space.arm_id}/jobs?api-version={request.args.get('api-version')}&{urlencode(following)}"
        more = {"nextLink": link} if len(found) > begin + _JOBS else {}
        return {"value": found[begin : begin + _JOBS], **more}

    def cancel(_: Request, name: str) -> Answer:
        space.cancel(name)
        return Response(status=200)

    def delete(_: Request, name: str) -> Answer:
        space.delete(name)
        return Response(status=200)

    def put_job(request: Request, name: str) -> Answer:
        told, new = space.put_job(name, body(request))
        if not new:
            return told
        location = f"{url()}{space.arm_id}/jobs/{name}?api-version={request.args.get('api-version')}"
        return Response(json.dumps(told), 201, {"Location": location}, mimetype="application/json")

    version = r"((?:codes|environments|data|models)/[^/]+/versions/[^/]+)"
    routes: list[tuple[str, str, str, Callable[..., Answer]]] = [
        ("GET", "", "GetWorkspace", workspace),
        ("PUT", "jobs/([^/]+)", "PutJob", put_job),
        ("GET", "jobs/([^/]+)", "GetJob", lambda _, name: space.job(name)),
        ("GET", "jobs", "ListJobs", jobs),
        ("POST", "jobs/([^/]+)/cancel", "CancelJob", cancel),
        ("DELETE", "jobs/([^/]+)", "DeleteJob", delete),
        ("PUT", version, "PutVersion", lambda request, path: space.put_version(path, body(request))),
        ("GET", version, "GetVersion", lambda _, path: space.version(path)),
        ("POST", f"{version}/startPendingUpload", "StartUpload", lambda _, path: space.upload_place(path, url())),
        ("GET", r"((?:codes|environments|data|models)/[^/]+/versions)", "ListVersions", lambda _, path: {"value": space.versions(path)}),
        *_compute_routes(space),
        ("GET", "datastores/([^/]+)", "GetDatastore", lambda _, name: space.datastore(name, url())),
        ("POST", "datastores/([^/]+)/listSecrets", "ListSecrets", lambda *_: {"secretsType": "Sas", "sasToken": tokens.shared_access}),
        ("GET", "datastores", "ListDatastores", lambda _: {"value": [space.datastore("workspaceblobstore", url())]}),
    ]  # fmt: skip
    return [(method, re.compile(pattern), operation, handler) for method, pattern, operation, handler in routes]


def _compute_routes(space: Workspace) -> list[tuple[str, str, str, Callable[..., Answer]]]:
    def put(_: Request, name: str) -> Answer:
        space.put_compute(name)
        return space.compute(name)

    return [
        ("GET", "computes/([^/]+)", "GetCompute", lambda _, name: space.compute(name)),
        ("PUT", "computes/([^/]+)", "PutCompute", put),
        ("GET", "computes", "ListComputes", lambda _: {"value": [space.compute(name) for name in space.computes]}),
    ]
