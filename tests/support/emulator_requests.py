"""Requests to each part of every emulator, and the credentials of its own clients."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

CLASSES = {
    "sagemaker": "SageMakerEmulator",
    "vertex": "VertexEmulator",
    "azureml": "AzureMlEmulator",
    "kubernetes": "KubernetesEmulator",
    "databricks": "DatabricksEmulator",
}
"""The class of each service's emulator, in ``cloudtune_SERVICE.emulator``."""

ROLE = "arn:aws:iam::123456789012:role/cloudtune-emulator"


@pytest.fixture(scope="module")
def emulators() -> Iterator[Mapping[str, Any]]:
    """One emulator of each service."""
    with contextlib.ExitStack() as stack:
        yield {service: stack.enter_context(emulator_of(service, grace=0.2)) for service in CLASSES}


def emulator_of(service: str, **settings: Any) -> Any:
    """An emulator that has not started."""
    return getattr(import_module(f"cloudtune_{service}.emulator"), CLASSES[service])(**settings)


def address(emulator: Any) -> str:
    """Where an emulator is, without the password that the address of Vertex AI's holds for its clients."""
    parts = urlsplit(emulator.url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port}"


def trust(emulator: Any) -> Any:
    """What ``requests`` calls ``verify``."""
    return str(getattr(emulator, "certificate", "")) or True


def training_job(folder: Path) -> dict[str, Any]:
    """The request of the original attack: a training job whose program is the attacker's."""
    return {
        "TrainingJobName": "attack",
        "RoleArn": ROLE,
        "AlgorithmSpecification": {
            "TrainingImage": "x",
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["sh", "-c", f"id > {folder}/ran"],
        },
        "OutputDataConfig": {"S3OutputPath": "s3://sagemaker-us-east-1-123456789012/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }


def custom_job(folder: Path) -> dict[str, Any]:
    container = {"imageUri": "x", "command": ["sh", "-c", f"id > {folder}/ran"]}
    pool = {"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 1, "containerSpec": container}
    return {"displayName": "attack", "jobSpec": {"workerPoolSpecs": [pool]}}


def command_job(folder: Path) -> dict[str, Any]:
    own = {"jobType": "Command", "command": f"id > {folder}/ran", "environmentId": "azureml:x:1", "computeId": "c"}
    return {"properties": own}


def batch_job(folder: Path) -> dict[str, Any]:
    container = {"name": "x", "image": "x", "command": ["sh", "-c", f"id > {folder}/ran"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {"metadata": {"name": "attack"}, "spec": {"template": template}}


def one_time_run(folder: Path) -> dict[str, Any]:
    wheel = {"package_name": "os", "entry_point": "system", "parameters": [f"id > {folder}/ran"]}
    environments = [{"environment_key": "e", "spec": {"environment_version": "4"}}]
    return {
        "tasks": [{"task_key": "t", "environment_key": "e", "python_wheel_task": wheel}],
        "environments": environments,
    }


Request = tuple[str, str, dict[str, str], str]
"""Method, path, headers, body."""


def requests_to(emulator: Any, folder: Path) -> list[Request]:
    """A request to each part of an emulator; the first would run a program."""
    if type(emulator).__name__ == CLASSES["sagemaker"]:
        run = {"X-Amz-Target": "SageMaker.CreateTrainingJob", "Content-Type": "application/x-amz-json-1.1"}
        return [
            ("POST", "/", run, json.dumps(training_job(folder))),
            ("POST", "/", {"X-Amz-Target": "Logs_20140328.DescribeLogGroups"}, "{}"),
            ("POST", "/", {"Content-Type": "application/x-www-form-urlencoded"}, "Action=GetCallerIdentity&Version=2011-06-15"),
            ("GET", "/", {}, ""),
            ("PUT", f"/{emulator.bucket}/attack", {}, "attack"),
            ("GET", f"/{emulator.bucket}?list-type=2", {}, ""),
            ("POST", f"/{emulator.bucket}?delete", {"Content-Type": "text/plain"}, "<Delete></Delete>"),
            ("POST", "/moto-api/reset", {}, ""),
            ("GET", "/moto-api/data.json", {}, ""),
            ("GET", "/latest/meta-data/iam/security-credentials/", {}, ""),
        ]  # fmt: skip
    if type(emulator).__name__ == CLASSES["vertex"]:
        bucket = emulator.bucket
        return [
            ("POST", f"/v1/{emulator.parent}/customJobs", {}, json.dumps(custom_job(folder))),
            ("GET", f"/v1/{emulator.parent}/hyperparameterTuningJobs", {}, ""),
            ("GET", f"/storage/v1/b?project={emulator.project}", {}, ""),
            ("POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name=attack", {"Content-Type": "text/plain"}, "attack"),
            ("GET", f"/download/storage/v1/b/{bucket}/o/attack?alt=media", {}, ""),
            ("POST", "/v2/entries:list", {}, "{}"),
            ("GET", "/nothing", {}, ""),
        ]  # fmt: skip
    if type(emulator).__name__ == CLASSES["kubernetes"]:
        return [
            ("POST", "/apis/batch/v1/namespaces/default/jobs", {}, json.dumps(batch_job(folder))),
            ("GET", "/api/v1/namespaces/default/secrets", {}, ""),
            ("GET", "/api/v1/pods?watch=true&timeoutSeconds=1", {}, ""),
            ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {}, "{}"),
            ("DELETE", "/api/v1/namespaces/default/configmaps/attack", {}, ""),
            ("GET", "/openapi/v3", {}, ""),
            ("GET", "/version", {}, ""),
            ("GET", "/nothing", {}, ""),
        ]
    if type(emulator).__name__ == CLASSES["databricks"]:
        return [
            ("POST", "/api/2.2/jobs/runs/submit", {}, json.dumps(one_time_run(folder))),
            ("GET", "/api/2.2/jobs/runs/list", {}, ""),
            ("PUT", "/api/2.0/fs/files/Volumes/main/default/tuning/attack", {}, "attack"),
            ("GET", "/api/2.0/fs/directories/Volumes/main/default/tuning", {}, ""),
            ("POST", "/api/2.0/workspace/import", {}, "{}"),
            ("GET", "/api/2.0/preview/scim/v2/Me", {}, ""),
            ("GET", "/nothing", {}, ""),
        ]
    arm = emulator.arm_id
    return [
        ("PUT", f"{arm}/jobs/attack?api-version=1", {}, json.dumps(command_job(folder))),
        ("GET", f"{arm}/jobs?api-version=1", {}, ""),
        ("POST", f"{arm}/datastores/workspaceblobstore/listSecrets", {}, ""),
        ("GET", "/discovery", {}, ""),
        ("POST", f"/mlflow/v1.0{arm}/api/2.0/mlflow/runs/create", {}, "{}"),
        ("GET", f"/history/v1.0{arm}/runs/x", {}, ""),
        ("PUT", "/blob/uploads/attack", {"x-ms-blob-type": "BlockBlob"}, "attack"),
        ("PUT", "/emulated.blob.core.windows.net/uploads/attack", {"x-ms-blob-type": "BlockBlob"}, "attack"),
        ("GET", "/nothing", {}, ""),
    ]


def right(emulator: Any) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """Gives a request the credentials of an emulator, as its own clients do."""
    if type(emulator).__name__ != CLASSES["sagemaker"]:
        token = (
            getattr(emulator, "token", "")
            or emulator.environment.get("AZURE_CLIENT_SECRET")
            or emulator.credentials.token
        )
        return lambda prepared: prepared.headers.update(Authorization=f"Bearer {token}") or prepared

    def sign(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        keys = Credentials(*(emulator.of_client[name] for name in ("aws_access_key_id", "aws_secret_access_key")))
        target = prepared.headers.get("X-Amz-Target", "")
        service = "sagemaker" if target.startswith("SageMaker") else "logs" if target else "s3"
        made = AWSRequest(prepared.method, prepared.url, data=prepared.body or b"")
        made.context["payload_signing_enabled"] = True
        S3SigV4Auth(keys, service, "us-east-1").add_auth(made)
        prepared.headers.update(dict(made.headers.items()))
        return prepared

    return sign


@contextlib.contextmanager
def served_by_the_command(*words: str) -> Iterator[Mapping[str, str]]:
    """Run ``cloudtune emulate`` with these words, and give the variables that it prints; it ends well when interrupted."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cloudtune", "emulate", *words, "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        text = ""
        while not text.endswith("}\n"):
            text += process.stdout.readline()
        variables: Mapping[str, str] = json.loads(text)
        yield variables
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(100) == 0
