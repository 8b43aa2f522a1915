"""What Azure Machine Learning gives a trial in its container, and what it expects there.

It travels with the trial helper (see `cloudtune.trial.container`): the standard library alone, and Python 3.8 or newer.
"""

# pathlib would double the time that importing this file takes
# ruff: noqa: PLC0415  # what only some trials need is imported when they need it

from __future__ import annotations

import json
import math
import os
import re
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Sink = Callable[[int, float, dict[str, float]], None]


class Container:
    """What Azure Machine Learning gives a job: the words of its command, variables, and an MLflow to report to.

    https://learn.microsoft.com/azure/machine-learning/how-to-tune-hyperparameters
    """

    def parameters(self) -> dict[str, Any]:
        """Return the parameters by the service's names, those of branches beside the others.

        Its variables have the very values; in the words of the command a shell may have taken quotes away.
        """
        words = [word[2:].partition("=") for word in sys.argv[1:] if word.startswith("--")]
        found: dict[str, Any] = {name: text for name, equals, text in words if equals}
        return flattened_branches({name: os.environ.get(f"AZUREML_SWEEP_{name}", text) for name, text in found.items()})

    def environment(self) -> dict[str, str]:
        """Return the variables by which `cloudtune.trial` finds its way in the processes of the trial."""
        child = re.search(r"_(\d+)\Z", os.environ.get("AZUREML_RUN_ID", ""))  # SWEEP_0, SWEEP_1, …
        found = {
            "CLOUDTUNE_TRIAL": os.environ.get("CLOUDTUNE_TRIAL") or (child.group(1) if child else "0"),
            "CLOUDTUNE_RANK": self._rank(),
        }
        for part in ("OUTPUT", "CHECKPOINT"):
            folder = os.environ.get(f"CLOUDTUNE_AZUREML_{part}")
            if folder:
                found[f"CLOUDTUNE_{part}_DIR"] = folder
        parent = os.environ.get("CLOUDTUNE_AZUREML_PARENT")
        if parent:
            found["CLOUDTUNE_PARENT_CHECKPOINT_DIR"] = parent
        return found

    def _rank(self) -> str:
        """Return which of the trial's processes this is: as PyTorch, MPI or TensorFlow tell it, else which node."""
        found = next(
            (os.environ[name] for name in ("RANK", "OMPI_COMM_WORLD_RANK", "NODE_RANK") if name in os.environ), "0"
        )
        try:
            task = json.loads(os.environ["TF_CONFIG"])["task"]
            first = task["type"] in ("chief", "worker") and int(task["index"]) == 0
        except (ValueError, KeyError, TypeError):
            return found
        return "0" if first else str(int(task["index"]) + 1)

    def data(self, name: str, variable: str) -> str:  # noqa: ARG002  # the variable holds its place
        """Return the folder or file of an input, which stands in the command already."""
        return os.environ.get(variable, "")

    def sink(self) -> Sink | None:
        """Return what logs reports to MLflow; None on all machines but the first, and where no MLflow is."""
        if self.environment()["CLOUDTUNE_RANK"] != "0":
            return None
        uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        if not uri.startswith(("azureml://", "https://", "http://")):
            said = f"MLFLOW_TRACKING_URI is {uri!r}, no server of MLflow: the service learns no metrics"
            print(f"cloudtune: {said}", file=sys.stderr, flush=True)
            return None
        return _mlflow_sink(uri, os.environ.get("MLFLOW_RUN_ID") or os.environ["AZUREML_RUN_ID"])

    def fail(self, reason: str) -> None:
        """Print why the trial failed; the service shows the end of the output."""
        print(reason, file=sys.stderr, flush=True)


class MlflowTracking:
    """MLflow's tracking API, spoken by the standard library alone: an environment needs no mlflow for it.

    Importing mlflow would take seconds of every trial. The addresses, the token and how it is made anew are those by
    which Azure Machine Learning's guide logs from R: https://learn.microsoft.com/azure/machine-learning/how-to-r-modify-script-for-production
    and https://mlflow.org/docs/latest/api_reference/rest-api.html#log-batch

    Args:
        uri: of the server, ``https://…`` or ``azureml://…``.
        run_id: of the run that takes the metrics.
    """

    TRIES = 8
    """How often a call is sent at most; the waits between them add up to half a minute. After one in vain the next are
    sent twice: the token may be old."""

    def __init__(self, uri: str, run_id: str) -> None:
        import ssl

        self._uri = uri.replace("azureml://", "https://", 1).partition("?")[0].rstrip("/")
        self._run_id = run_id
        self._in_vain = False
        bundle = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or os.environ.get("REQUESTS_CA_BUNDLE")
        self._tls = ssl.create_default_context(cafile=bundle) if self._uri.startswith("https:") else None

    def log(self, step: int, moment: float, metrics: dict[str, float]) -> None:
        """Log the values of one report in one call.

        Raises:
            OSError: the server cannot be reached or refuses; the message says which.
        """
        told = [
            {"key": name, "value": _mlflow_number(value), "timestamp": int(moment * 1000), "step": step}
            for name, value in metrics.items()
        ]
        url = f"{self._uri}/api/2.0/mlflow/runs/log-batch"
        body = {"run_id": self._run_id, "metrics": told}
        tries, self._in_vain = 2 if self._in_vain else self.TRIES, True
        for again in range(tries - 1):
            try:
                self._send(url, body)
            except OSError as error:
                code = getattr(error, "code", None)
                if code == 401:
                    self._renew()
                elif code is not None and code < 500 and code not in (408, 429):
                    raise
                time.sleep(0.25 * 2**again)
            else:
                self._in_vain = False
                return
        self._send(url, body)
        self._in_vain = False

    def _renew(self) -> None:
        """Take a new token for the old one, which holds for some hours."""
        url = self._uri.replace("/mlflow/v1.0", "/history/v1.0", 1)
        experiment = os.environ.get("MLFLOW_EXPERIMENT_ID", "")
        try:
            found = self._send(f"{url}/experimentids/{experiment}/runs/{self._run_id}/token", None)
        except OSError:
            return  # the call that needs it is about to say why
        if isinstance(found, dict) and found.get("token"):
            os.environ["MLFLOW_TRACKING_TOKEN"] = found["token"]

    def _send(self, url: str, body: Mapping[str, Any] | None) -> Any:
        """Return the answer to a POST of the body; to a GET where there is none.

        Raises:
            OSError: the server cannot be reached, refuses, or its answer breaks off.
        """
        import http.client
        import urllib.request

        headers = {"Content-Type": "application/json"}
        token = os.environ.get("MLFLOW_TRACKING_TOKEN")
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers)  # noqa: S310  # `Container.sink` lets only http through
        try:
            with urllib.request.urlopen(request, timeout=30, context=self._tls) as answer:  # noqa: S310
                text = answer.read()
            return json.loads(text) if text else None
        except (http.client.HTTPException, ValueError) as error:  # neither is an OSError
            raise OSError(f"the answer broke off: {error!r}") from error


def _mlflow_number(value: float) -> float | str:
    """Return a number as MLflow's JSON has it: NaN and the infinities as text."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _mlflow_sink(uri: str, run_id: str) -> Sink:
    """Return a sink that logs each report to a run of MLflow; it prints which did not get there."""
    tracking = MlflowTracking(uri, run_id)

    def sink(step: int, moment: float, metrics: dict[str, float]) -> None:
        try:
            tracking.log(step, moment, metrics)
        except OSError as error:
            names = ", ".join(metrics)
            print(f"cloudtune: MLflow did not take {names} of step {step}: {error}", file=sys.stderr, flush=True)

    return sink


def flattened_branches(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters by name; those of a branch, which come as a dict or its text, beside the others."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        branch = _branch(value)
        found.update({name: value} if branch is None else flattened_branches(branch))
    return found


def _branch(value: Any) -> dict[str, Any] | None:
    """Return the dict that a value is, or that its text says: as JSON, or as Python writes it."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(value)
    except ValueError:
        import ast

        try:
            found = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            return None
    return found if isinstance(found, dict) else None
