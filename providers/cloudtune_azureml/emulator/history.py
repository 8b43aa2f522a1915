"""The run history, as far as Microsoft's SDK asks it about jobs: how they stand, their trials, outputs and logs."""

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from werkzeug.wrappers import Request

from cloudtune_azureml.emulator.blobs import PREFIX, Blobs
from cloudtune_azureml.emulator.credentials import Tokens
from cloudtune_azureml.emulator.errors import as_mapping, not_found
from cloudtune_azureml.emulator.faults import Faults
from cloudtune_azureml.emulator.records import Run, Runs, Status
from cloudtune_azureml.emulator.worker import CONTAINER

Answer = Any
"""What can be said in JSON."""


class History:
    """Runs and their children, as the run history tells them.

    Args:
        runs: all of them.
        faults: how far answers lag behind.
        url: gives the service's address.
        blobs: where what they printed lies.
        tokens: what lets in.
    """

    def __init__(self, runs: Runs, faults: Faults, url: Callable[[], str], blobs: Blobs, tokens: Tokens) -> None:
        self._runs, self._faults, self._url, self._blobs, self._tokens = runs, faults, url, blobs, tokens

    def answer(self, request: Request) -> Answer:
        """Answer ``…/runs/ID``, ``…/runs/ID/children``, ``…/runs/ID/details``, ``…/runs/ID/token`` and ``…/rundata``."""
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
            return {"token": self._tokens.of_run(run.name), "expiryTimeUtc": _stamp(time.time() + 3600)}
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
        """Return a run with further tags and properties, or archived, which the run history calls hidden."""
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
        place = f"ExperimentRun/dcid.{run.name}/user_logs"
        names = sorted(file.name for file in self._blobs.file(CONTAINER, place).glob("*"))
        logs = {
            f"user_logs/{name}": f"{self._url()}{PREFIX}{CONTAINER}/{place}/{name}?{self._tokens.shared_access}"
            for name in names
        }
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
