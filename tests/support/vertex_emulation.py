"""Vertex AI's emulator with the clients of a test, and requests to it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cloudtune_vertex.emulator import VertexEmulator

METRICS = "import argparse, json, os, sys, time\np = argparse.ArgumentParser()\n"

WRITE = (
    "def tell(step=0, **metrics):\n"
    "    with open(os.environ['CLOUD_ML_HP_METRIC_FILE'], 'a') as file:\n"
    "        file.write(json.dumps({'timestamp': time.time(), 'global_step': str(step), **metrics}) + '\\n')\n"
)

X = f"{METRICS}p.add_argument('--x', type=float)\nx = p.parse_args().x\n{WRITE}"


def request(code: str, **fields: Any) -> dict[str, Any]:
    """A HyperparameterTuningJob in JSON whose trials run Python."""
    container = {"imageUri": "own:1", "command": ["python3", "-c", code]}
    pool = {"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 1, "containerSpec": container}
    study = {
        "metrics": [{"metricId": "loss", "goal": "MINIMIZE"}],
        "parameters": [{"parameterId": "x", "doubleValueSpec": {"minValue": 0, "maxValue": 1}}],
        "algorithm": "RANDOM_SEARCH",
        **fields.pop("studySpec", {}),
    }
    return {
        "displayName": "tuned",
        "studySpec": study,
        "maxTrialCount": 4,
        "parallelTrialCount": 2,
        "trialJobSpec": {"workerPoolSpecs": [pool], **fields.pop("trialJobSpec", {})},
        **fields,
    }


class Used:
    """An emulator and a client."""

    def __init__(self, emulator: VertexEmulator) -> None:
        from google.api_core.client_options import ClientOptions
        from google.auth.transport.requests import AuthorizedSession
        from google.cloud import aiplatform_v1 as v1

        self.emulator = emulator
        self.http = AuthorizedSession(emulator.credentials, refresh_status_codes=())
        options = ClientOptions(api_endpoint=emulator.url)
        self.client = v1.JobServiceClient(credentials=emulator.credentials, transport="rest", client_options=options)

    def create(self, data: dict[str, Any]) -> str:
        from google.cloud import aiplatform_v1 as v1

        message = v1.HyperparameterTuningJob.from_json(json.dumps(data))
        made = self.client.create_hyperparameter_tuning_job(
            parent=self.emulator.parent, hyperparameter_tuning_job=message
        )
        return str(made.name)

    def get(self, name: str) -> Any:
        return self.client.get_hyperparameter_tuning_job(name=name)

    def run(self, data: dict[str, Any]) -> Any:
        name = self.create(data)
        self.emulator.wait(name, 60)
        return self.get(name)

    def custom(self, code: str, **spec: Any) -> str:
        from google.cloud import aiplatform_v1 as v1

        job = {"displayName": "one", "jobSpec": {**request(code)["trialJobSpec"], **spec}}
        message = v1.CustomJob.from_json(json.dumps(job))
        return str(self.client.create_custom_job(parent=self.emulator.parent, custom_job=message).name)

    def custom_end(self, name: str) -> Any:
        eventually(lambda: self.client.get_custom_job(name=name).end_time)
        return self.client.get_custom_job(name=name)


def eventually(condition: Callable[[], Any], seconds: float = 60) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not come about"
        threading.Event().wait(0.02)
    return found


@pytest.fixture(scope="module")
def shared() -> Iterator[Used]:
    """One emulator for all tests of a file that leave nothing behind but jobs of names of their own."""
    from cloudtune_vertex.emulator import VertexEmulator

    with VertexEmulator(grace=0.2, seed=5) as emulator:
        yield Used(emulator)


@pytest.fixture
def emulate() -> Iterator[Callable[..., Used]]:
    """Starts emulators with settings of a test's own."""
    from cloudtune_vertex.emulator import VertexEmulator

    running: list[VertexEmulator] = []

    def start(**settings: Any) -> Used:
        running.append(VertexEmulator(**{"grace": 0.2, **settings}).start())
        return Used(running[-1])

    yield start
    for emulator in running:
        emulator.stop()


def values(trial: Any) -> dict[str, Any]:
    return {each.parameter_id: each.value for each in trial.parameters}
