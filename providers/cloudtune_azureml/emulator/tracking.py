"""MLflow's tracking API, which trials log to, and clients read from."""

import math
import re
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from werkzeug.wrappers import Request

from cloudtune.emulation.refused import Refused
from cloudtune_azureml.emulator.errors import as_mapping
from cloudtune_azureml.emulator.faults import Faults
from cloudtune_azureml.emulator.records import Metric, Run, Runs, Status

Answer = Any
"""What can be said in JSON."""

_STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED", "CancelRequested": "RUNNING"}


class MlflowApi:
    """The tracking API of MLflow (https://mlflow.org/docs/latest/api_reference/rest-api.html), as far as clients of sweeps use it.

    Args:
        runs: all of them.
        faults: how far answers lag behind.
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
        """Answer a call by its path below ``/api/2.0/mlflow/``."""
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
