"""Runs on Azure Machine Learning, through its clients against the emulator: what only this provider does, and what may go wrong."""

import pytest
from cloud_runs import CloudRuns, submitting

pytest.importorskip("azure.ai.ml")

from azure.core.pipeline.policies import RetryPolicy
from tenacity import wait_none

from cloudtune_azureml import patience
from cloudtune_azureml.emulator import AzureMlEmulator


@pytest.fixture
def emulator(azureml_emulator: AzureMlEmulator, monkeypatch: pytest.MonkeyPatch) -> AzureMlEmulator:
    monkeypatch.setenv("CLOUDTUNE_AZUREML_POLL", "0.05")
    return azureml_emulator


submit = submitting("azure")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "WAIT", wait_none())
    monkeypatch.setattr(RetryPolicy, "get_backoff_time", lambda *_: 0.001)  # the SDK's own patience


class TestRuns(CloudRuns):
    on = "azure"
    variables = "CLOUDTUNE_AZUREML_"
    look = "GetJob"
    keeps_the_seed = False

    def tuning_jobs(self, emulator: AzureMlEmulator) -> int:
        return len([run for run in emulator.jobs.runs.all() if run.kind == "sweep"])

    def trial_jobs(self, emulator: AzureMlEmulator) -> int:
        return len([run for run in emulator.jobs.runs.all() if run.kind == "command" and not run.parent])
