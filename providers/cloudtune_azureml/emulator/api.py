"""Azure Resource Manager, run history and MLflow over HTTP, as far as sweeps need them, told apart by the path."""

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from werkzeug.wrappers import Request, Response

from cloudtune.emulation.faults import Fault
from cloudtune.emulation.serving import Environ, cut
from cloudtune_azureml.emulator.blobs import ACCOUNT_PREFIX, PREFIX, Blobs
from cloudtune_azureml.emulator.faults import Faults
from cloudtune_azureml.emulator.records import Metric, Run, Runs, Status
from cloudtune_azureml.emulator.workspace import Refused, Workspace, as_mapping, not_found

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

RUN_PREFIX = "run."
"""How the tokens begin by which running programs log; clients have others."""

_JOBS = 30
"""Jobs on a page of a list."""

_STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED", "CancelRequested": "RUNNING"}


class Api:
    """All of the service as one WSGI application.

    Args:
        workspace: what it serves.
        faults: what goes wrong on purpose.
        served: is told of every call: its operation.
        url: gives its own address.
    """

    def __init__(
        self, workspace: Workspace, *, faults: Faults, served: Callable[[str], None], url: Callable[[], str]
    ) -> None:
        self._space, self._faults, self._served, self._url = workspace, faults, served, url
        self._blobs: Blobs = workspace.blobs
        self._arm = _arm_routes(workspace, url)
        self._history = History(workspace.runs, faults, url)
        self._mlflow = MlflowApi(workspace.runs, faults)

    def __call__(self, environ: Environ, respond: Any) -> Iterable[bytes]:
        request = Request(environ)
        service, operation, answer = self._route(request)
        if request.headers.get("Authorization", "").startswith(f"Bearer {RUN_PREFIX}"):
            service = "trial"
        self._served(operation)
        fault = self._faults.of_call(service, operation)
        if fault == "lost":
            self._answered(answer)
            cut(environ)
            raise ConnectionAbortedError("the answer is lost on purpose")
        response = _error(*REFUSALS[fault]) if fault else self._answered(answer)
        return response(environ, respond)

    def _answered(self, answer: Callable[[], Answer]) -> Response:
        try:
            found = answer()
        except Refused as refused:
            return _error(refused.status, refused.code, refused.message)
        if isinstance(found, Response):
            return found
        return Response(json.dumps(found), mimetype="application/json")

    def _route(self, request: Request) -> tuple[str, str, Callable[[], Answer]]:
        path = request.path
        if path.startswith((PREFIX, ACCOUNT_PREFIX)):
            return "blob", request.method, lambda: self._blobs.answer(request)
        if path == "/discovery":
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
        below = path.removeprefix(self._space.arm_id).strip("/")
        if path.lower().startswith(self._space.arm_id.lower()):
            for method, pattern, operation, handler in self._arm:
                found = pattern.fullmatch(below)
                if found is not None and method == request.method:
                    return "arm", operation, partial(handler, request, *found.groups())
        return "arm", "", lambda: _missing(request)


def _missing(request: Request) -> Answer:
    raise Refused(404, "NotFound", f"the emulator has no {request.method} {request.path}")


def _error(status: int, code: str, message: str) -> Response:
    body = {"error": {"code": code, "message": message}, "error_code": code, "message": message}
    return Response(json.dumps(body), status, {"Retry-After": "0"}, mimetype="application/json")


# Azure Resource Manager

Route = tuple[str, "re.Pattern[str]", str, Callable[..., Answer]]


def _arm_routes(space: Workspace, url: Callable[[], str]) -> list[Route]:
    def body(request: Request) -> dict[str, Any]:
        return dict(as_mapping(request.get_json(silent=True)))

    def workspace(_: Request) -> Answer:
        address = url()
        own = {
            "workspaceId": "00000000-0000-0000-0000-000000000001",
            "discoveryUrl": f"{address}/discovery",
            "mlFlowTrackingUri": f"{address}/mlflow/v1.0{space.arm_id}",
            "storageAccount": "/subscriptions/emulated/storageAccounts/emulated",
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

    def compute(_: Request, name: str) -> Answer:
        own = {"computeType": "AmlCompute", "provisioningState": "Succeeded", "properties": {"scaleSettings": {"maxNodeCount": 4}}}  # fmt: skip
        return {"id": f"{space.arm_id}/computes/{name}", "name": name, "location": "emulated", "properties": own}

    version = r"((?:codes|environments|data|models)/[^/]+/versions/[^/]+)"
    routes: list[tuple[str, str, str, Callable[..., Answer]]] = [
        ("GET", "", "GetWorkspace", workspace),
        ("PUT", "jobs/([^/]+)", "PutJob", lambda request, name: space.put_job(name, body(request))),
        ("GET", "jobs/([^/]+)", "GetJob", lambda _, name: space.job(name)),
        ("GET", "jobs", "ListJobs", jobs),
        ("POST", "jobs/([^/]+)/cancel", "CancelJob", cancel),
        ("DELETE", "jobs/([^/]+)", "DeleteJob", delete),
        ("PUT", version, "PutVersion", lambda request, path: space.put_version(path, body(request))),
        ("GET", version, "GetVersion", lambda _, path: space.version(path)),
        ("POST", f"{version}/startPendingUpload", "StartUpload", lambda _, path: space.upload_place(path, url())),
        ("GET", r"((?:codes|environments|data|models)/[^/]+/versions)", "ListVersions", lambda _, path: {"value": space.versions(path)}),
        ("GET", "computes/([^/]+)", "GetCompute", compute),
        ("GET", "computes", "ListComputes", lambda request: {"value": [compute(request, "cpu-cluster")]}),
        ("GET", "datastores/([^/]+)", "GetDatastore", lambda _, name: space.datastore(name, url())),
        ("POST", "datastores/([^/]+)/listSecrets", "ListSecrets", lambda *_: {"secretsType": "Sas", "sasToken": "sig=emulated"}),
        ("GET", "datastores", "ListDatastores", lambda _: {"value": [space.datastore("workspaceblobstore", url())]}),
    ]  # fmt: skip
    return [(method, re.compile(pattern), operation, handler) for method, pattern, operation, handler in routes]


# Run history


class History:
    """Runs and their children, as the run history tells them.

    Args:
        runs: all of them.
        faults: how far what is told lags behind.
        url: gives the service's address.
    """

    def __init__(self, runs: Runs, faults: Faults, url: Callable[[], str]) -> None:
        self._runs, self._faults, self._url = runs, faults, url

    def answer(self, request: Request) -> Answer:
        """Answers ``…/runs/ID``, ``…/runs/ID/children``, ``…/runs/ID/details``, ``…/runs/ID/token`` and ``…/rundata``."""
        if request.path.endswith("/rundata"):
            return self._run_data(str(as_mapping(request.get_json(silent=True)).get("runId")))
        found = re.search(r"/runs/([^/]+?)(?:/(children|details|token))?$", request.path)
        run = None if found is None else self._runs.get(found[1])
        if found is None or run is None:
            raise not_found(f"The run of {request.path}")
        if found[2] == "children":
            return {"value": [self._told(child) for child in self._runs.children(run.name)]}
        if found[2] == "details":
            return self._details(run)
        if request.method == "PATCH":
            return self._modified(run, as_mapping(request.get_json(silent=True)))
        if found[2] == "token":
            return {"token": f"{RUN_PREFIX}{run.name}", "expiryTimeUtc": _stamp(time.time() + 3600)}
        return self._told(run)

    def _told(self, run: Run) -> dict[str, Any]:
        status = run.status(self._faults.slow)
        return {
            "runId": run.name,
            "rootRunId": run.parent or run.name,
            "parentRunId": run.parent or None,
            "status": status.state,
            "runType": "azureml.sweep" if run.kind == "sweep" else "azureml.scriptrun",
            "displayName": run.name,
            "createdUtc": _stamp(run.created),
            "startTimeUtc": _stamp(status.started),
            "endTimeUtc": _stamp(status.ended),
            "tags": dict(status.tags),
            "properties": dict(status.properties),
            "hidden": run.hidden,
            "error": _failure(status),
        }

    def _modified(self, run: Run, changes: Mapping[str, Any]) -> dict[str, Any]:
        """A run with further tags and properties, or archived, which the run history calls hidden."""
        run.tag(changes.get("tags") or {})
        run.change(properties={**run.status().properties, **(changes.get("properties") or {})})
        if changes.get("hidden") is not None:
            run.hidden = bool(changes["hidden"])
        return self._told(run)

    def _run_data(self, name: str) -> dict[str, Any]:
        run = self._runs.get(name)
        if run is None:
            raise not_found(f"The run {name}")
        outputs = {each: {"assetId": f"{name}/{each}", "type": "uri_folder"} for each in (*run.outputs, "default")}
        return {"runMetadata": {**self._told(run), "outputs": outputs}}

    def _details(self, run: Run) -> dict[str, Any]:
        status = run.status(self._faults.slow)
        logs = {"user_logs/std_log.txt": f"{self._url()}{PREFIX}azureml/ExperimentRun/dcid.{run.name}/user_logs/std_log.txt?sig=emulated"}  # fmt: skip
        return {
            "runId": run.name,
            "status": status.state,
            "logFiles": logs if run.kind != "sweep" else {},
            "properties": dict(status.properties),
            "error": _failure(status),
        }


def _failure(status: Status) -> dict[str, Any] | None:
    return {"error": {"code": "UserError", "message": status.error}} if status.error else None


def _stamp(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat()


# MLflow


class MlflowApi:
    """The tracking API of MLflow (https://mlflow.org/docs/latest/api_reference/rest-api.html), as far as clients of sweeps use it.

    Args:
        runs: all of them.
        faults: how far what is told lags behind.
    """

    def __init__(self, runs: Runs, faults: Faults) -> None:
        self._runs, self._faults = runs, faults
        self._calls: dict[str, Callable[[Mapping[str, Any]], Answer]] = {
            "runs/get": lambda data: {"run": self._told(self._run(data))},
            "runs/search": self._search,
            "runs/create": self._create,
            "runs/update": self._update,
            "runs/log-metric": self._log_metric,
            "runs/log-batch": self._log_batch,
            "runs/log-parameter": self._log_parameter,
            "runs/set-tag": self._set_tag,
            "metrics/get-history": self._history,
            "experiments/get": lambda data: {"experiment": _experiment(str(data["experiment_id"]))},
            "experiments/get-by-name": lambda data: {"experiment": _experiment(str(data["experiment_name"]))},
            "experiments/search": lambda data: {"experiments": [_experiment(name) for name in self._experiments()]},  # noqa: ARG005
            "experiments/create": lambda data: {"experiment_id": str(data["name"])},
        }

    def answer(self, operation: str, request: Request) -> Answer:
        """Answers a call by its path below ``/api/2.0/mlflow/``."""
        call = self._calls.get(operation)
        if call is None:
            raise Refused(404, "ENDPOINT_NOT_FOUND", f"the emulator has no {operation} of MLflow")
        data = request.args.to_dict() if request.method == "GET" else dict(as_mapping(request.get_json(silent=True)))
        try:
            return call(data)
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"{type(error).__name__}: {error}") from None

    def _run(self, data: Mapping[str, Any]) -> Run:
        run = self._runs.get(str(data.get("run_id") or data.get("run_uuid")))
        if run is None:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Run {data.get('run_id')!r} not found")
        return run

    def _experiments(self) -> list[str]:
        return list(dict.fromkeys(run.experiment for run in self._runs.all()))

    def _told(self, run: Run) -> dict[str, Any]:
        status = run.status(self._faults.slow)
        tags = {"mlflow.runName": run.name, **({"mlflow.parentRunId": run.parent} if run.parent else {}), **status.tags}
        info = {
            "run_id": run.name,
            "run_uuid": run.name,
            "run_name": run.name,
            "experiment_id": run.experiment,
            "status": _mlflow_status(status),
            "start_time": int(1000 * (status.started or run.created)),
            **({"end_time": int(1000 * status.ended)} if status.ended else {}),
            "artifact_uri": f"azureml://artifacts/{run.name}",
            "lifecycle_stage": "active",
        }
        last = {metric.key: metric for metric in status.metrics}
        data = {
            "metrics": [_metric(metric) for metric in last.values()],
            "params": [{"key": key, "value": value} for key, value in status.params.items()],
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
        }
        return {"info": info, "data": data, "inputs": {}}

    def _search(self, data: Mapping[str, Any]) -> Answer:
        wanted = set(data.get("experiment_ids") or ())
        conditions = [_condition(part) for part in re.split(r"\s+and\s+", data.get("filter") or "", flags=re.I) if part]
        found = [self._told(run) for run in self._runs.all() if not wanted or run.experiment in wanted]
        found = [run for run in found if all(holds(run) for holds in conditions)]
        begin, size = int(data.get("page_token") or 0), int(data.get("max_results") or 1000)
        page = {"runs": found[begin : begin + size]}
        return {**page, "next_page_token": str(begin + size)} if len(found) > begin + size else page

    def _create(self, data: Mapping[str, Any]) -> Answer:
        tags = {each["key"]: each["value"] for each in data.get("tags") or ()}
        run = self._runs.add(Run(str(uuid4()), str(data.get("experiment_id") or "Default"), "mlflow", tags=tags))
        run.change(state="Running", started=time.time())
        return {"run": self._told(run)}

    def _update(self, data: Mapping[str, Any]) -> Answer:
        run = self._run(data)
        states = {"FINISHED": "Completed", "FAILED": "Failed", "KILLED": "Canceled"}
        if run.kind == "mlflow" and data.get("status") in states:  # the state of a job is the service's to say
            run.change(state=states[data["status"]], ended=time.time())
        return {"run_info": self._told(run)["info"]}

    def _log_metric(self, data: Mapping[str, Any]) -> Answer:
        self._run(data).log(_logged(data))
        return {}

    def _log_batch(self, data: Mapping[str, Any]) -> Answer:
        run = self._run(data)
        for each in data.get("metrics") or ():
            run.log(_logged(each))
        run.param({each["key"]: each["value"] for each in data.get("params") or ()})
        run.tag({each["key"]: each["value"] for each in data.get("tags") or ()})
        return {}

    def _log_parameter(self, data: Mapping[str, Any]) -> Answer:
        self._run(data).param({data["key"]: str(data["value"])})
        return {}

    def _set_tag(self, data: Mapping[str, Any]) -> Answer:
        self._run(data).tag({data["key"]: str(data["value"])})
        return {}

    def _history(self, data: Mapping[str, Any]) -> Answer:
        status = self._run(data).status(self._faults.slow)
        return {"metrics": [_metric(each) for each in status.metrics if each.key == data["metric_key"]]}


def _logged(data: Mapping[str, Any]) -> Metric:
    moment = int(data.get("timestamp") or 1000 * time.time())
    return Metric(str(data["key"]), float(data["value"]), moment, int(data.get("step") or 0))


def _metric(metric: Metric) -> dict[str, Any]:
    texts = {True: "NaN"} if math.isnan(metric.value) else {True: "Infinity" if metric.value > 0 else "-Infinity"}
    value: float | str = metric.value if math.isfinite(metric.value) else texts[True]
    return {"key": metric.key, "value": value, "timestamp": metric.timestamp, "step": metric.step}


def _mlflow_status(status: Status) -> str:
    return _STATUS.get(status.state, "RUNNING" if status.started else "SCHEDULED")


def _experiment(name: str) -> dict[str, Any]:
    return {"experiment_id": name, "name": name, "artifact_location": "", "lifecycle_stage": "active"}


def _condition(text: str) -> Callable[[Mapping[str, Any]], bool]:
    """``tags.mlflow.parentRunId = 'x'`` and the like."""
    found = re.fullmatch(r"\s*(tags|params|metrics|attributes?)\.[`\"]?([^`\"=<>!]+?)[`\"]?\s*(=|!=|>|<|>=|<=)\s*'?([^']*)'?\s*", text)  # fmt: skip
    if found is None:
        raise Refused(400, "INVALID_PARAMETER_VALUE", f"Invalid clause in filter: {text}")
    part, key, operator, wanted = found.groups()

    def holds(run: Mapping[str, Any]) -> bool:
        if part.startswith("attribute"):
            actual = run["info"].get(key)
        else:
            actual = next((each["value"] for each in run["data"][part] if each["key"] == key), None)
        if actual is None:
            return False
        if part == "metrics":
            left, right = float(actual), float(wanted)
            return {"=": left == right, "!=": left != right, ">": left > right, "<": left < right, ">=": left >= right, "<=": left <= right}[operator]  # fmt: skip
        return (str(actual) == wanted) == (operator == "=")

    return holds
