"""Requests that the real service was recorded with go to the emulator, and its answers are compared with the service's.

The facts are of Azure/azure-sdk-assets, ``python/sdk/ml/azure-ai-ml/tests/recordings``, as recorded in March 2026.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from late import LATE

from cloudtune_azureml.parse import parse

if LATE:
    pytest.importorskip("azure.ai.ml")
    from cloudtune_azureml.emulator.server import AzureMlEmulator


RESOURCES = {
    "instanceCount": 1, "maxInstanceCount": None, "instanceType": None, "locations": None, "properties": None,
    "shmSize": "2g", "dockerArgs": None,
}  # fmt: skip
OUTPUT = {
    "description": None, "uri": "azureml://datastores/workspaceartifactstore/ExperimentRun/dcid.NAME", "assetName": None,
    "assetVersion": None, "mode": "ReadWriteMount", "pathOnCompute": None, "autoDeleteSetting": None, "jobOutputType": "uri_folder",
}  # fmt: skip
SERVICE = {"port": None, "endpoint": "ADDRESS", "status": None, "errorMessage": None, "properties": None, "nodes": None}
SPACE = {"lr": ["uniform", [0.001, 0.1]], "conv_size": ["choice", [[2, 5, 7]]], "dropout_rate": ["uniform", [0.1, 0.5]]}
COMMAND = "python ./sweep_script.py --lr ${{search_space.lr}} --conv_size ${{search_space.conv_size}} --dropout_rate ${{search_space.dropout_rate}}"
NONE_OF_A_JOB = {
    "description": None, "isArchived": False, "identity": None, "componentId": None, "notificationSetting": None,
    "secretsConfiguration": None, "computeId": "ARM/computes/testCompute", "queueSettings": {"jobTier": "Null", "priority": None},
    "resources": RESOURCES, "outputs": {"default": OUTPUT},
}  # fmt: skip
HYPERDRIVE = {
    "primary_metric_config": '{"name":"accuracy","goal":"maximize"}', "resume_from": "null", "runTemplate": "HyperDrive",
    "azureml.runsource": "hyperdrive", "platform": "AML", "ContentSnapshotId": "ID", "user_agent": "AGENT",
}  # fmt: skip
TRUNCATION = {
    "evaluationInterval": 100, "delayEvaluation": 200, "policyType": "TruncationSelection", "truncationPercentage": 40,
}  # fmt: skip
SYSTEM_TAGS = {
    "_aml_system_generator_config": '{"name":"RANDOM","parameter_space":{"lr":["uniform",[0.001,0.1]],"conv_size":["choice",[[2,5,7]]],"dropout_rate":["uniform",[0.1,0.5]]},"properties":{"rule":"Random","logbase":null,"seed":null}}',
    "_aml_system_primary_metric_config": '{"name":"accuracy","goal":"maximize"}', "_aml_system_platform_config": "DETAILS",
    "_aml_system_resume_child_runs": "null", "_aml_system_all_jobs_generated": "false",
    "_aml_system_cancellation_requested": "false", "_aml_system_samples_generated_count": "0",
}  # fmt: skip


def sweep(experiment: str, limits: dict[str, Any], policy: Any, variables: dict[str, str]) -> dict[str, Any]:
    """The request of a recorded sweep."""
    return {
        "properties": {}, "tags": {}, "computeId": "ARM/computes/testCompute", "displayName": "NAME",
        "experimentName": experiment, "isArchived": False, "jobType": "Sweep", "inputs": {}, "outputs": {},
        "limits": {"jobLimitsType": "Sweep", "maxConcurrentTrials": 10, **limits},
        "objective": {"goal": "maximize", "primaryMetric": "accuracy"},
        "samplingAlgorithm": {"samplingAlgorithmType": "Random"}, "searchSpace": SPACE,
        "trial": {
            "command": COMMAND, "environmentId": "azureml:AzureML-sklearn-1.0-ubuntu20.04-py38-cpu:33",
            "environmentVariables": variables,
        },
        **({} if policy is None else {"earlyTermination": policy}),
    }  # fmt: skip


def told_sweep(experiment: str, limits: dict[str, Any], policy: Any, variables: dict[str, str], tags: dict[str, str]) -> dict[str, Any]:  # fmt: skip
    """What the service answered."""
    return {
        **NONE_OF_A_JOB, "tags": {**SYSTEM_TAGS, "_aml_system_max_concurrent_jobs": "10", **tags}, "properties": HYPERDRIVE,
        "displayName": "NAME", "status": "Running", "experimentName": experiment, "jobType": "Sweep", "inputs": {},
        "services": {"Studio": {"jobServiceType": "Studio", **SERVICE}}, "searchSpace": SPACE,
        "samplingAlgorithm": {"samplingAlgorithmType": "Random", "seed": None, "logbase": None, "rule": "Random"},
        "limits": {"jobLimitsType": "Sweep", "maxConcurrentTrials": 10, "trialTimeout": None, **limits},
        "earlyTermination": policy, "objective": {"primaryMetric": "accuracy", "goal": "Maximize"},
        "trial": {
            "codeId": None, "command": COMMAND, "environmentVariables": variables, "distribution": None, "resources": RESOURCES,
            "environmentId": "ARM/environments/AzureML-sklearn-1.0-ubuntu20.04-py38-cpu/versions/33",
        },
        "componentConfiguration": None,
    }  # fmt: skip


COMMON = {"test_var1": "set", "AZUREML_COMPUTE_USE_COMMON_RUNTIME": "false"}
RECORDED = {
    "sweep_job/test_sweep_job_submit": (
        sweep("sdk-cli-v2", {"timeout": "PT1M", "maxTotalTrials": 1}, TRUNCATION, COMMON),
        told_sweep(
            "sdk-cli-v2", {"timeout": "PT1M", "maxTotalTrials": 1}, TRUNCATION, COMMON,
            {
                "_aml_system_max_total_jobs": "1", "_aml_system_max_duration_minutes": "1",
                "_aml_system_policy_config": '{"name":"TruncationSelection","properties":{"evaluation_interval":100,"delay_evaluation":200,"truncation_percentage":40,"exclude_finished_jobs":false}}',
            },
        ),
    ),
    "sweep_job/test_sweep_job_await_completion": (
        sweep("azure-ai-ml", {"timeout": "PT5M", "maxTotalTrials": 2}, None, {}),
        told_sweep(
            "azure-ai-ml", {"timeout": "PT5M", "maxTotalTrials": 2}, None, {},
            {
                "_aml_system_max_total_jobs": "2", "_aml_system_max_duration_minutes": "5",
                "_aml_system_policy_config": '{"name":"Default","properties":{}}',
            },
        ),
    ),
    "command_job/test_command_job_with_dataset_short_uri": (
        {
            "properties": {}, "tags": {}, "computeId": "ARM/computes/testCompute", "displayName": "test_dataset_display_name1",
            "experimentName": "mfe-test1-dataset", "identity": {"identityType": "AMLToken"}, "isArchived": False,
            "jobType": "Command", "command": "pip freeze", "environmentVariables": {}, "outputs": {},
            "environmentId": "azureml:AzureML-sklearn-1.0-ubuntu20.04-py38-cpu:33",
            "inputs": {"testdataset": {"mode": "ReadOnlyMount", "uri": "azureml://datastores/workspaceblobstore/paths/python/data.csv", "jobInputType": "uri_file"}},
        },
        {
            **NONE_OF_A_JOB, "tags": {}, "properties": {"_azureml.ComputeTargetType": "amlctrain", "_azureml.ClusterName": "testCompute"},
            "displayName": "test_dataset_display_name1", "status": "Starting", "experimentName": "mfe-test1-dataset",
            "services": {kind: {"jobServiceType": kind, **SERVICE} for kind in ("Tracking", "Studio")},
            "identity": {"identityType": "AMLToken"}, "jobType": "Command", "codeId": None, "command": "pip freeze",
            "environmentId": "azureml:AzureML-sklearn-1.0-ubuntu20.04-py38-cpu:33",
            "inputs": {"testdataset": {"description": None, "uri": "azureml://datastores/workspaceblobstore/paths/python/data.csv", "mode": "ReadOnlyMount", "pathOnCompute": None, "jobInputType": "uri_file"}},
            "distribution": None, "autologgerSettings": None, "limits": None, "environmentVariables": {}, "parameters": {},
        },
    ),
}  # fmt: skip

ACCEPTED = {
    "properties.properties.ContentSnapshotId": "the emulator has no snapshots",
    "properties.properties.user_agent": "names the build of the service",
    "properties.tags._aml_system_platform_config": "describes the service's machines and a curated environment's image",
    "command: properties.outputs.default": "with it the SDK signs the logs' addresses by the account's key, and this account has shared access signatures alone",
    "properties.services.Tracking": "is told of sweeps, too: clients of the emulator find MLflow by it",
}
"""Where the answers may differ, and why."""


@pytest.fixture(scope="module")
def emulator() -> Iterator[AzureMlEmulator]:
    with AzureMlEmulator(computes=["testCompute"], grace=0.2) as running:
        yield running


def send(emulator: AzureMlEmulator, method: str, path: str, body: Any = None) -> requests.Response:
    """Send a request as Resource Manager's clients do."""
    return requests.request(
        method,
        f"{emulator.url}{emulator.arm_id}/{path}?api-version=2024-01-01-preview",
        json=body,
        headers={"Authorization": f"Bearer {emulator.credential.get_token('').token}"},
        verify=str(emulator.certificate),
        timeout=60,
    )


def filled(value: Any, arm_id: str, name: str) -> Any:
    """Put a job's own names where the recordings had theirs."""
    if isinstance(value, dict):
        return {key: filled(each, arm_id, name) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, arm_id, name) for each in value]
    return value.replace("ARM", arm_id, 1).replace("NAME", name) if isinstance(value, str) else value


def differences(ours: Any, theirs: Any, path: str) -> list[str]:
    """The paths at which two answers differ, but for the accepted ones and what stands for an address."""
    if path in ACCEPTED or theirs == "ADDRESS":
        return []
    if f"command: {path}" in ACCEPTED and isinstance(theirs, dict) and "dcid.test_command" in str(theirs):
        return []
    if isinstance(ours, dict) and isinstance(theirs, dict):
        names = sorted({*ours, *theirs})
        absent = object()
        return [
            found for name in names for found in differences(ours.get(name, absent), theirs.get(name, absent), f"{path}.{name}")
        ]  # fmt: skip
    return [] if ours == theirs and type(ours) is type(theirs) else [f"{path}: {ours!r} is {theirs!r} on the service"]


@pytest.mark.parametrize("recording", RECORDED)
def test_a_job_is_answered_as_the_service_was_recorded(emulator: AzureMlEmulator, recording: str) -> None:
    name = recording.rpartition("/")[2]
    request, told = (filled(each, emulator.arm_id, name) for each in RECORDED[recording])
    answer = send(emulator, "PUT", f"jobs/{name}", {"properties": request})
    assert answer.status_code == 201
    assert answer.headers["Location"].endswith(f"{emulator.arm_id}/jobs/{name}?api-version=2024-01-01-preview")
    body = answer.json()
    assert (body["name"], body["id"]) == (name, f"{emulator.arm_id}/jobs/{name}")
    assert body["type"] == "Microsoft.MachineLearningServices/workspaces/jobs"
    assert set(body["systemData"]) == {"createdAt", "createdBy", "createdByType"}
    assert differences(body["properties"], told, "properties") == []
    assert send(emulator, "PUT", f"jobs/{name}", {"properties": request}).status_code == 200
    emulator.wait(name, 60)


def test_what_the_service_adds_is_not_taken_for_the_users_own(emulator: AzureMlEmulator) -> None:
    request, told = (filled(each, emulator.arm_id, "x") for each in RECORDED["sweep_job/test_sweep_job_submit"])
    asked, answered = parse({"name": "x", "properties": request}), parse({"name": "x", "properties": told})
    assert not answered.tags
    assert answered.space == asked.space
    assert (answered.limits, answered.stopping) == (asked.limits, asked.stopping)
    assert "queue_settings" not in (answered.azureml or {})


def test_a_job_on_a_compute_that_is_not_there_is_refused_before_anything_runs(emulator: AzureMlEmulator) -> None:
    request = filled(RECORDED["command_job/test_command_job_with_dataset_short_uri"][0], emulator.arm_id, "x")
    answer = send(
        emulator, "PUT", "jobs/lost", {"properties": {**request, "computeId": f"{emulator.arm_id}/computes/nope"}}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "UserError")
    assert "Unknown compute target 'nope'" in answer.json()["error"]["message"]
    assert send(emulator, "GET", "jobs/lost").status_code == 404
    assert send(emulator, "GET", "computes/nope").status_code == 404
    made = {
        "location": "here",
        "properties": {"computeType": "AmlCompute", "properties": {"vmSize": "STANDARD_DS3_V2"}},
    }
    assert send(emulator, "PUT", "computes/nope", made).ok
    assert (
        send(
            emulator, "PUT", "jobs/lost", {"properties": {**request, "computeId": f"{emulator.arm_id}/computes/nope"}}
        ).status_code
        == 201
    )
    emulator.wait("lost", 60)


@pytest.mark.parametrize("kind", ["schedules", "onlineEndpoints", "featurestoreEntities", "batchEndpoints"])
def test_what_the_emulator_does_not_have_is_refused_by_name(emulator: AzureMlEmulator, kind: str) -> None:
    answer = send(emulator, "GET", kind)
    assert answer.status_code == 404
    assert kind in answer.json()["error"]["message"]
