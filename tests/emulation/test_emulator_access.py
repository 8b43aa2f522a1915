"""Who may use an emulator: those who have the credentials of this start; no web page, no other user, nobody under another name."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree as ET

import pytest
import requests
from late import LATE

if LATE:
    pytest.importorskip("moto")
    pytest.importorskip("google.cloud.aiplatform")
    pytest.importorskip("azure.ai.ml")
    import boto3
    import grpc
    from botocore.config import Config
    from botocore.exceptions import ClientError
    from google.api_core.exceptions import Unauthenticated

    from cloudtune_azureml.emulator import AzureMlEmulator
    from cloudtune_sagemaker.emulator import SageMakerEmulator
    from cloudtune_vertex.client import plain_transport
    from cloudtune_vertex.emulator import VertexEmulator


KINDS: Mapping[str, Callable[..., Any]] = {
    "sagemaker": lambda **settings: SageMakerEmulator(**settings),
    "vertex": lambda **settings: VertexEmulator(**settings),
    "azureml": lambda **settings: AzureMlEmulator(**settings),
}
ROLE = "arn:aws:iam::123456789012:role/cloudtune-emulator"


@pytest.fixture(scope="module")
def emulators() -> Iterator[Mapping[str, Any]]:
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(kind(grace=0.2)) for name, kind in KINDS.items()}


@pytest.fixture(params=KINDS)
def emulator(request: pytest.FixtureRequest, emulators: Mapping[str, Any]) -> Any:
    return emulators[request.param]


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


Request = tuple[str, str, dict[str, str], str]
"""Method, path, headers, body."""


def requests_to(emulator: Any, folder: Path) -> list[Request]:
    """A request to each part of an emulator; the first would run a program."""
    if isinstance(emulator, SageMakerEmulator):
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
    if isinstance(emulator, VertexEmulator):
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
    if not isinstance(emulator, SageMakerEmulator):
        token = emulator.environment.get("AZURE_CLIENT_SECRET") or emulator.credentials.token
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


WRONG: Mapping[str, dict[str, str]] = {
    "none": {},
    "another token": {"Authorization": "Bearer emulated"},
    "an empty token": {"Authorization": "Bearer "},
    "another password": {"Authorization": "Basic c3RvcmFnZTpzdG9yYWdl"},
    "a job's token, made up": {"Authorization": "Bearer run.x.0"},
    "a signature, made up": {
        "X-Amz-Date": "20260101T000000Z",
        "Authorization": "AWS4-HMAC-SHA256 Credential=AKIAEMULATOREMULATOR/20260101/us-east-1/sagemaker/aws4_request, SignedHeaders=host;x-amz-date, Signature=00",
    },
    "an old signature, made up": {"Authorization": "AWS AKIAEMULATOREMULATOR:AAAA"},
    "bytes beyond ASCII": {"Authorization": "Bearer \xe9\xff"},
}


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG)
def test_nobody_is_let_in_without_the_credentials(emulator: Any, headers: dict[str, str], tmp_path: Path) -> None:
    before = dict(emulator.calls)
    for method, path, own, body in requests_to(emulator, tmp_path):
        answer = requests.request(method, f"{address(emulator)}{path}", headers={**own, **headers}, data=body, verify=trust(emulator))  # fmt: skip
        assert answer.status_code in (401, 403), (method, path)
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
    assert dict(emulator.calls) == before
    assert not list(tmp_path.iterdir())


FOREIGN: Mapping[str, dict[str, str]] = {
    "a name that is rebound": {"Host": "evil.example:{port}"},
    "a name without the port": {"Host": "127.0.0.1"},
    "another port": {"Host": "127.0.0.1:1"},
    "a name that begins like ours": {"Host": "127.0.0.1.evil.example:{port}"},
    "a name with a user": {"Host": "127.0.0.1:{port}@evil.example"},
    "a page": {"Origin": "https://evil.example"},
    "a page of another port": {"Origin": "http://127.0.0.1:1"},
    "a page of a file": {"Origin": "null"},
    "a cross-site request": {"Sec-Fetch-Site": "cross-site"},
    "a request of another local server": {"Sec-Fetch-Site": "same-site"},
    "a WebSocket": {"Upgrade": "websocket", "Connection": "Upgrade"},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
def test_what_comes_from_elsewhere_is_refused_whatever_it_brings(
    emulator: Any, headers: dict[str, str], tmp_path: Path
) -> None:
    port = str(urlsplit(address(emulator)).port)
    sent = {name: value.replace("{port}", port) for name, value in headers.items()}
    for method, path, own, body in requests_to(emulator, tmp_path):
        made = requests.Request(method, f"{address(emulator)}{path}", headers={**own, **sent}, data=body).prepare()
        answer = requests.Session().send(right(emulator)(made), verify=trust(emulator))
        assert answer.status_code == 403, (method, path)
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
    assert not list(tmp_path.iterdir())


def test_those_who_have_the_credentials_are_let_in(emulator: Any, tmp_path: Path) -> None:
    for name in ("127.0.0.1", "localhost"):
        for method, path, own, body in requests_to(emulator, tmp_path)[1:]:
            if path == "/moto-api/reset":
                continue  # it would take the others' buckets away
            made = requests.Request(method, f"{address(emulator)}{path}", headers=own, data=body).prepare()
            made.headers["Host"] = f"{name}:{urlsplit(address(emulator)).port}"
            made.url = made.url.replace("127.0.0.1", name)  # which is signed
            prepared = right(emulator)(made)
            prepared.url = prepared.url.replace("localhost", "127.0.0.1")
            answer = requests.Session().send(prepared, verify=trust(emulator))
            assert answer.status_code not in (401, 403), (method, path, answer.text)
            assert answer.status_code < 500, (method, path, answer.text)


def test_no_preflight_is_granted(emulator: Any, tmp_path: Path) -> None:
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-amz-target"}
    for origin in ("https://evil.example", address(emulator)):
        for _, path, _, _ in requests_to(emulator, tmp_path):
            answer = requests.options(
                f"{address(emulator)}{path}", headers={"Origin": origin, **wanted}, verify=trust(emulator)
            )
            assert answer.status_code in (401, 403)
            assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


def said_to(emulator: Any, data: bytes) -> bytes:
    """The answer to bytes on a connection."""
    with connected(emulator) as connection:
        connection.sendall(data)
        found = b""
        while piece := connection.recv(65_536):
            found += piece
        return found


def connected(emulator: Any) -> socket.socket:
    parts = urlsplit(address(emulator))
    plain = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60)
    if parts.scheme == "http":
        return plain
    return ssl.create_default_context(cafile=str(emulator.certificate)).wrap_socket(plain, server_hostname="127.0.0.1")


@pytest.mark.parametrize(
    "head",
    [
        "GET {path} HTTP/1.0\r\n\r\n",
        "GET {path} HTTP/1.1\r\n\r\n",
        "GET {path}\r\n\r\n",
        "GET http://evil.example{path} HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET http://evil.example:{port}{path} HTTP/1.1\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "TRACE {path} HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nOrigin: http://evil.example\r\n\r\n",
    ],
)
def test_odd_requests_are_refused(emulator: Any, head: str, tmp_path: Path) -> None:
    _, path, _, _ = requests_to(emulator, tmp_path)[1]
    host = urlsplit(address(emulator)).netloc
    answer = said_to(emulator, head.format(path=path, host=host, port=host.partition(":")[2]).encode())
    first = answer.partition(b"\r\n")[0]
    assert b" 403 " in first or b" 401 " in first or b" 400 " in first or not first.startswith(b"HTTP/"), answer
    assert b"evil" not in answer


def test_google_calls_need_the_token(emulators: Mapping[str, Any]) -> None:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform_v1 as v1
    from google.oauth2.credentials import Credentials

    vertex = emulators["vertex"]
    assert list(_job_service(vertex, vertex.credentials).list_custom_jobs(parent=vertex.parent)) == []
    for credentials in (AnonymousCredentials(), Credentials("emulated"), Credentials(vertex._tokens.storage)):
        with pytest.raises(Unauthenticated):
            list(_job_service(vertex, credentials).list_custom_jobs(parent=vertex.parent))
    with grpc.insecure_channel(vertex.target) as channel:
        for method in ("google.cloud.aiplatform.v1.JobService/CreateCustomJob", "no.such.Service/Call"):
            call = channel.unary_unary(f"/{method}", v1.CreateCustomJobRequest.serialize)
            with pytest.raises(grpc.RpcError) as error:
                call(v1.CreateCustomJobRequest(), timeout=30)
            assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED


def _job_service(emulator: VertexEmulator, credentials: Any) -> Any:
    from google.cloud import aiplatform_v1 as v1

    return v1.JobServiceClient(transport=plain_transport(f"http://{emulator.target}", credentials))


def test_what_a_trial_has_opens_what_it_needs_alone(emulators: Mapping[str, Any]) -> None:
    vertex, azure = emulators["vertex"], emulators["azureml"]
    storage = vertex.environment["STORAGE_EMULATOR_HOST"]
    assert requests.get(f"{storage}/storage/v1/b").status_code == 200
    assert requests.get(f"{storage}/v1/{vertex.parent}/customJobs").status_code == 401
    given = azure._of_job("one", "experiment")
    token = {"Authorization": f"Bearer {given['MLFLOW_TRACKING_TOKEN']}"}
    runs = f"{given['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search"
    assert requests.post(runs, json={}, headers=token, verify=trust(azure)).status_code == 200
    for path in (f"{azure.arm_id}/jobs", "/blob/uploads?comp=list"):
        assert requests.get(f"{address(azure)}{path}", headers=token, verify=trust(azure)).status_code in (401, 403)


# Signatures


def test_each_part_of_a_signed_request_counts(emulators: Mapping[str, Any]) -> None:
    emulator = emulators["sagemaker"]
    made = requests.Request("PUT", f"{address(emulator)}/{emulator.bucket}/signed?x=1", data=b"content").prepare()
    changes: Mapping[str, Callable[[Any], Any]] = {
        "method": lambda request: setattr(request, "method", "POST"),
        "path": lambda request: setattr(request, "url", request.url.replace("signed", "another")),
        "query": lambda request: setattr(request, "url", request.url.replace("x=1", "x=2")),
        "more query": lambda request: setattr(request, "url", f"{request.url}&acl"),
        "body": lambda request: setattr(request, "body", b"CONTENT"),
        "hash": lambda request: request.headers.update({"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}),
        "date": lambda request: request.headers.update({"X-Amz-Date": "20200101T000000Z"}),
        "token": lambda request: request.headers.update({"X-Amz-Security-Token": "x"}),
        "fewer headers": lambda request: request.headers.update(
            Authorization=request.headers["Authorization"].replace("host;", "")
        ),
    }
    for name, change in changes.items():
        altered = right(emulator)(made.copy())
        change(altered)
        assert requests.Session().send(altered).status_code == 403, name
    assert requests.Session().send(right(emulator)(made.copy())).status_code == 200


@pytest.mark.parametrize("version", [None, "s3v4", "s3"])
def test_addresses_that_were_signed_in_advance_hold_for_what_they_say(
    emulators: Mapping[str, Any], version: str | None
) -> None:
    emulator = emulators["sagemaker"]
    config = {} if version is None else {"config": Config(signature_version=version)}
    s3 = boto3.client("s3", **emulator.of_client, **config)
    key = "größe & mehr %41/+x~.txt"
    place = {"Bucket": emulator.bucket, "Key": key}
    put = s3.generate_presigned_url("put_object", Params=place)
    assert requests.put(put, data=b"content").status_code == 200
    assert s3.get_object(**place)["Body"].read() == b"content"
    get = s3.generate_presigned_url("get_object", Params=place)
    assert requests.get(get).content == b"content"
    assert requests.put(get, data=b"other").status_code == 403
    assert requests.get(get.replace(".txt", ".tx")).status_code == 403
    assert requests.get(s3.generate_presigned_url("get_object", Params=place, ExpiresIn=-1)).status_code in (400, 403)


def test_s3_is_called_by_a_buckets_name(emulators: Mapping[str, Any]) -> None:
    emulator = emulators["sagemaker"]
    boto3.client("s3", **emulator.of_client).put_object(Bucket=emulator.bucket, Key="virtual", Body=b"yes")
    port = urlsplit(address(emulator)).port
    for host in (f"{emulator.bucket}.localhost:{port}", f"{emulator.bucket}.s3.amazonaws.com"):
        made = requests.Request("GET", f"http://{host}/virtual", headers={"Host": host}).prepare()
        signed = right(emulator)(made)
        signed.url = f"{address(emulator)}/virtual"
        assert requests.Session().send(signed).content == b"yes", host


THERE = ("endpoint_url", "region_name")


def client_of(emulator: Any, service: str, given: Mapping[str, Any], **config: Any) -> Any:
    """A client with keys that STS gave; their token is left out where it is None."""
    keys = {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }
    return boto3.client(service, **{name: emulator.of_client[name] for name in THERE}, **keys, **config)


SESSIONS: Mapping[str, Callable[[Any, Any, int], Any]] = {
    "GetSessionToken": lambda sts, _, seconds: sts.get_session_token(DurationSeconds=seconds),
    "GetFederationToken": lambda sts, _, seconds: sts.get_federation_token(Name="somebody", DurationSeconds=seconds),
    "AssumeRole": lambda sts, role, seconds: sts.assume_role(RoleArn=role, RoleSessionName="session", DurationSeconds=seconds),
    "AssumeRole of another account": lambda sts, role, seconds: sts.assume_role(
        RoleArn=role.replace("123456789012", "999999999999"), RoleSessionName="session", DurationSeconds=seconds
    ),
}  # fmt: skip


@pytest.mark.parametrize("operation", SESSIONS)
def test_keys_for_a_time_open_what_keys_open(emulators: Mapping[str, Any], operation: str) -> None:
    emulator = emulators["sagemaker"]
    before = time.time()
    given = SESSIONS[operation](boto3.client("sts", **emulator.of_client), emulator.role, 900)["Credentials"]
    assert before + 899 <= given["Expiration"].timestamp() <= time.time() + 901
    place = {"Bucket": emulator.bucket, "Key": "session"}
    for version in (None, "s3v4", "s3"):
        s3 = client_of(
            emulator, "s3", given, **({} if version is None else {"config": Config(signature_version=version)})
        )
        s3.put_object(**place, Body=b"content")
        assert requests.get(s3.generate_presigned_url("get_object", Params=place)).content == b"content"
        form = s3.generate_presigned_post(**place)
        assert requests.post(form["url"], data=form["fields"], files={"file": b"posted"}).status_code == 204
    client_of(emulator, "sagemaker", given).list_training_jobs()
    other = SESSIONS[operation](boto3.client("sts", **emulator.of_client), emulator.role, 900)["Credentials"]
    altered = {
        "no token": {"SessionToken": None},
        "another token": {"SessionToken": "another"},
        "a token of another session": {"SessionToken": other["SessionToken"]},
        "another secret": {"SecretAccessKey": other["SecretAccessKey"]},
    }
    for name, change in altered.items():
        wrong = {**given, **change}
        for service, call in (
            ("sts", "get_caller_identity"),
            ("sagemaker", "list_training_jobs"),
            ("s3", "list_buckets"),
        ):
            with pytest.raises(ClientError) as error:
                getattr(client_of(emulator, service, wrong), call)()
            assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403, name
        form = client_of(emulator, "s3", wrong).generate_presigned_post(**place)
        assert requests.post(form["url"], data=form["fields"], files={"file": b"x"}).status_code == 403, name


@pytest.mark.parametrize("operation", SESSIONS)
def test_keys_for_a_time_open_nothing_afterwards(
    emulators: Mapping[str, Any], operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = emulators["sagemaker"]
    given = SESSIONS[operation](boto3.client("sts", **emulator.of_client), emulator.role, 900)["Credentials"]
    at = given["Expiration"].timestamp()
    known = emulator._key(given["AccessKeyId"])
    assert (known.refusal(given["SessionToken"], at - 1), known.until) == (None, pytest.approx(at, abs=1))
    s3 = client_of(emulator, "s3", given)
    place = {"Bucket": emulator.bucket, "Key": "session"}
    form = s3.generate_presigned_post(**place, ExpiresIn=3600)
    monkeypatch.setattr(emulator._server._signatures, "_now", lambda: at + 1)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: datetime.fromtimestamp(at + 1, UTC))
    for service, call in (("sts", "get_caller_identity"), ("sagemaker", "list_training_jobs"), ("s3", "list_buckets")):
        with pytest.raises(ClientError, match="ExpiredToken"):
            getattr(client_of(emulator, service, given), call)()
    url = s3.generate_presigned_url("get_object", Params=place, ExpiresIn=3600)
    for answer in (requests.get(url), requests.post(form["url"], data=form["fields"], files={"file": b"x"})):
        assert (answer.status_code, "ExpiredToken" in answer.text) == (403, True)


def test_sessions_are_of_somebody_and_do_not_prolong_themselves(emulators: Mapping[str, Any]) -> None:
    emulator = emulators["sagemaker"]
    iam = boto3.client("iam", **emulator.of_client)
    iam.create_user(UserName="owner")
    made = iam.create_access_key(UserName="owner")["AccessKey"]
    owner = client_of(emulator, "sts", {**made, "SessionToken": None})
    session = client_of(emulator, "sts", owner.get_session_token()["Credentials"])
    assert session.get_caller_identity()["Arn"].endswith(":user/owner")
    for call in (session.get_session_token, partial(session.get_federation_token, Name="somebody")):
        with pytest.raises(ClientError, match="AccessDenied"):
            call()
    role = owner.assume_role(RoleArn=emulator.role, RoleSessionName="session")["Credentials"]
    known = client_of(emulator, "sts", role)
    assert known.get_caller_identity()["Arn"].endswith("assumed-role/cloudtune-emulator/session")
    with pytest.raises(ClientError, match="AccessDenied"):
        known.get_session_token()
    with pytest.raises(ClientError, match="MaxSessionDuration"):
        owner.assume_role(RoleArn=emulator.role, RoleSessionName="session", DurationSeconds=3601)
    with pytest.raises(ClientError, match="less than or equal to 129600"):
        owner.get_session_token(DurationSeconds=129_601)
    with pytest.raises(ClientError, match="invalid"):
        owner.assume_role(RoleArn="arn:aws:iam::nobody:role/x", RoleSessionName="session")
    iam.update_access_key(UserName="owner", AccessKeyId=made["AccessKeyId"], Status="Inactive")
    with pytest.raises(ClientError, match="InvalidClientTokenId|UnrecognizedClient|InvalidAccessKeyId"):
        owner.get_caller_identity()


def test_the_keys_of_motos_own_sessions_open_nothing(emulators: Mapping[str, Any]) -> None:
    """They are the same everywhere: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html."""
    example = {
        "AccessKeyId": "AKIAIOSFODNN7EXAMPLE",
        "SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY",
        "SessionToken": None,
    }
    with pytest.raises(ClientError):
        client_of(emulators["sagemaker"], "sts", example).get_caller_identity()


# Forms


def posted(
    form: Mapping[str, Any], content: bytes = b"content", name: str = "file.txt", **more: Any
) -> requests.Response:
    return requests.post(
        form["url"], data=form["fields"], files={"file": (name, content)}, allow_redirects=False, **more
    )


VERSIONS = pytest.mark.parametrize("version", [None, "s3v4", "s3"])


def signing(emulator: Any, version: str | None) -> Any:
    config = {} if version is None else {"config": Config(signature_version=version)}
    return boto3.client("s3", **emulator.of_client, **config)


@VERSIONS
def test_a_form_uploads_what_its_policy_allows(emulators: Mapping[str, Any], version: str | None) -> None:
    emulator = emulators["sagemaker"]
    s3 = signing(emulator, version)
    fields = {
        "acl": "private",
        "Content-Type": "text/plain",
        "Cache-Control": "no-store",
        "x-amz-meta-owner": "größe",
        "x-amz-storage-class": "STANDARD_IA",
        "tagging": "<Tagging><TagSet><Tag><Key>a</Key><Value>b&#43;c</Value></Tag></TagSet></Tagging>",
        "success_action_status": "201",
    }
    conditions = [
        {name: value} for name, value in fields.items() if name not in ("Content-Type", "success_action_status")
    ]
    conditions += [
        ["starts-with", "$Content-Type", "text/"],
        ["eq", "$success_action_status", "201"],
        ["content-length-range", 7, 7],
    ]
    key = "größe & mehr/%41+x~/${filename}"
    form = s3.generate_presigned_post(emulator.bucket, key, dict(fields), conditions)
    answer = posted(form)
    assert answer.status_code == 201, answer.text
    place = {"Bucket": emulator.bucket, "Key": key.replace("${filename}", "file.txt")}
    told = s3.get_object(**place)
    assert told["Body"].read() == b"content"
    assert (told["ContentType"], told["CacheControl"], told["StorageClass"]) == (
        "text/plain",
        "no-store",
        "STANDARD_IA",
    )
    assert told["Metadata"]["owner"].encode("latin-1").decode() == "größe"
    assert s3.get_object_tagging(**place)["TagSet"] == [{"Key": "a", "Value": "b+c"}]
    said = ET.fromstring(answer.text)
    assert (said.findtext("Bucket"), said.findtext("Key"), said.findtext("ETag")) == (
        place["Bucket"],
        place["Key"],
        told["ETag"],
    )


def test_a_form_of_a_large_file_goes_to_the_disk(emulators: Mapping[str, Any]) -> None:
    from cloudtune_sagemaker.emulator.objects import Stored

    emulator = emulators["sagemaker"]
    s3 = signing(emulator, None)
    content = os.urandom(9 * 1024**2) + b"\r\n--"
    assert posted(s3.generate_presigned_post(emulator.bucket, "large"), content).status_code == 204
    assert s3.get_object(Bucket=emulator.bucket, Key="large")["Body"].read() == content
    from moto.backends import get_backend

    key = get_backend("s3")[emulator.account]["aws"].get_object(emulator.bucket, "large")
    assert isinstance(key._value_buffer, Stored)


def test_a_form_is_answered_as_it_asks(emulators: Mapping[str, Any]) -> None:
    emulator = emulators["sagemaker"]
    s3 = signing(emulator, None)
    there = {"success_action_redirect": "https://example.org/done?x=1"}
    answer = posted(s3.generate_presigned_post(emulator.bucket, "a b", dict(there), [there]))
    etag = s3.head_object(Bucket=emulator.bucket, Key="a b")["ETag"]
    assert (answer.status_code, parse_qsl(urlsplit(answer.headers["Location"]).query)) == (
        303, [("x", "1"), ("bucket", emulator.bucket), ("key", "a b"), ("etag", etag)],
    )  # fmt: skip
    for wanted, status in (("200", 200), ("204", 204), ("500", 204)):
        said = {"success_action_status": wanted}
        answer = posted(s3.generate_presigned_post(emulator.bucket, "a b", dict(said), [said]))
        assert (answer.status_code, answer.headers["ETag"]) == (status, etag)
    assert "NoSuchBucket" in posted(s3.generate_presigned_post("no-such-bucket", "x")).text


def _resigned(emulator: Any, form: dict[str, Any], policy: Any) -> dict[str, Any]:
    """A form with another policy, under the signature that it had."""
    text = policy if isinstance(policy, str) else json.dumps(policy)
    return {**form, "fields": {**form["fields"], "policy": base64.b64encode(text.encode()).decode()}}


def _policy_of(form: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.b64decode(form["fields"]["policy"]))
    return found


FORGED: Mapping[str, Callable[[Any, dict[str, Any]], dict[str, Any]]] = {
    "a policy of one's own": lambda emulator, form: _resigned(emulator, form, {**_policy_of(form), "expiration": "2100-01-01T00:00:00Z"}),
    "no policy": lambda emulator, form: {**form, "fields": {name: value for name, value in form["fields"].items() if name != "policy"}},
    "an empty policy": lambda emulator, form: {**form, "fields": {**form["fields"], "policy": ""}},
    "no signature": lambda emulator, form: {**form, "fields": {name: value for name, value in form["fields"].items() if "signature" not in name}},
    "another signature": lambda emulator, form: {**form, "fields": {name: "00" if "signature" in name else value for name, value in form["fields"].items()}},
    "an empty signature": lambda emulator, form: {**form, "fields": {name: "" if "signature" in name else value for name, value in form["fields"].items()}},
    "unknown keys": lambda emulator, form: {**form, "fields": {name: value.replace(emulator._key_id, "AKIAIOSFODNN7EXAMPLE") for name, value in form["fields"].items()}},
    "no keys": lambda emulator, form: {**form, "fields": {name: value for name, value in form["fields"].items() if name.lower() not in ("awsaccesskeyid", "x-amz-credential")}},
    "a token": lambda emulator, form: {**form, "fields": {**form["fields"], "x-amz-security-token": "x"}},
    "another key": lambda emulator, form: {**form, "fields": {**form["fields"], "key": "other"}},
    "another bucket": lambda emulator, form: {**form, "url": f"{address(emulator)}/other-bucket"},
    "a field more": lambda emulator, form: {**form, "fields": {**form["fields"], "x-amz-meta-more": "x"}},
    "public": lambda emulator, form: {**form, "fields": {**form["fields"], "acl": "public-read"}},
    "a copy": lambda emulator, form: {**form, "fields": {**form["fields"], "x-amz-copy-source": f"{emulator.bucket}/secret"}},
    "a field less": lambda emulator, form: {**form, "fields": {name: value for name, value in form["fields"].items() if name != "x-amz-meta-must"}},
    "another value": lambda emulator, form: {**form, "fields": {**form["fields"], "x-amz-meta-must": "other"}},
    "another beginning": lambda emulator, form: {**form, "fields": {**form["fields"], "x-amz-meta-begins": "other"}},
    "another day": lambda emulator, form: {**form, "fields": {name: re.sub("/[0-9]{8}/", "/20200101/", value) for name, value in form["fields"].items()}, "v4": True},
    "another service": lambda emulator, form: {**form, "fields": {name: value.replace("/s3/", "/sts/") for name, value in form["fields"].items()}, "v4": True},
}  # fmt: skip


@VERSIONS
@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED)
def test_a_form_that_is_forged_does_nothing(
    emulators: Mapping[str, Any], change: Callable[[Any, dict[str, Any]], dict[str, Any]], version: str | None
) -> None:
    emulator = emulators["sagemaker"]
    s3 = signing(emulator, version)
    fields = {"x-amz-meta-must": "1", "x-amz-meta-begins": "one two"}
    conditions = [{"x-amz-meta-must": "1"}, ["starts-with", "$x-amz-meta-begins", "one"]]
    s3.create_bucket(Bucket="other-bucket")
    form = s3.generate_presigned_post(emulator.bucket, "forged", dict(fields), conditions)
    altered = change(emulator, form)
    if altered.get("v4") and altered["fields"] == form["fields"]:
        pytest.skip("version 2 signs neither a day nor a service")
    answer = posted(altered)
    assert answer.status_code == 403, answer.text
    assert "Contents" not in s3.list_objects_v2(Bucket=emulator.bucket, Prefix="forged")
    assert "Contents" not in s3.list_objects_v2(Bucket=emulator.bucket, Prefix="other")
    assert "Contents" not in s3.list_objects_v2(Bucket="other-bucket")
    assert posted(form).status_code == 204, "nothing but the change is wrong"
    s3.delete_object(Bucket=emulator.bucket, Key="forged")


@VERSIONS
def test_a_form_holds_for_its_time_and_its_sizes(emulators: Mapping[str, Any], version: str | None) -> None:
    emulator = emulators["sagemaker"]
    s3 = signing(emulator, version)
    old = posted(s3.generate_presigned_post(emulator.bucket, "limits", ExpiresIn=-1))
    assert (old.status_code, "Policy expired" in old.text) == (403, True)
    s3.delete_object(Bucket=emulator.bucket, Key="limits")
    form = s3.generate_presigned_post(emulator.bucket, "limits", Conditions=[["content-length-range", 2, 3]])
    for content, status, code in ((b"1", 400, "EntityTooSmall"), (b"1234", 413, "EntityTooLarge")):
        answer = posted(form, content)
        assert (answer.status_code, code in answer.text) == (status, True)
    assert "Contents" not in s3.list_objects_v2(Bucket=emulator.bucket, Prefix="limits")
    assert posted(form, b"123").status_code == 204


def test_what_a_form_comes_with_says_nothing_of_its_object(emulators: Mapping[str, Any]) -> None:
    emulator = emulators["sagemaker"]
    s3 = signing(emulator, None)
    s3.put_object(Bucket=emulator.bucket, Key="secret", Body=b"secret")
    form = s3.generate_presigned_post(emulator.bucket, "headers")
    headers = {"x-amz-copy-source": f"{emulator.bucket}/secret", "x-amz-acl": "public-read", "x-amz-meta-more": "x"}
    assert posted(form, headers=headers).status_code == 204
    told = s3.get_object(Bucket=emulator.bucket, Key="headers")
    assert (told["Body"].read(), told["Metadata"]) == (b"content", {})
    for query in ("?acl", "?uploadId=1&partNumber=1", "?delete"):
        assert posted({**form, "url": form["url"] + query}).status_code == 403
    assert posted(form, headers={"Origin": "https://evil.example"}).status_code == 403


@pytest.mark.parametrize("policy", ["no JSON", "[]", "{}", '{"expiration": "2100-01-01T00:00:00Z"}', '{"expiration": "soon", "conditions": []}',
    '{"expiration": "2100-01-01T00:00:00Z", "conditions": [["contains", "$key", ""]]}', '{"expiration": "2100-01-01T00:00:00Z", "conditions": []}'])  # fmt: skip
def test_a_policy_that_cannot_be_read_allows_nothing(emulators: Mapping[str, Any], policy: str) -> None:
    from botocore.auth import HmacV1Auth
    from botocore.credentials import Credentials

    emulator = emulators["sagemaker"]
    encoded = base64.b64encode(policy.encode()).decode()
    keys = Credentials(emulator._key_id, emulator._secret)
    fields = {"key": "unread", "AWSAccessKeyId": keys.access_key, "policy": encoded}
    fields["signature"] = HmacV1Auth(keys).sign_string(encoded)
    assert posted({"url": f"{address(emulator)}/{emulator.bucket}", "fields": fields}).status_code == 403


BODIES: Mapping[str, bytes] = {
    "nothing": b"",
    "no form": b"something else",
    "an end alone": b"--b--\r\n",
    "no file": b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nx\r\n--b--\r\n',
    "no name": b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
    "no head": b"--b\r\n\r\nx\r\n--b--\r\n",
    "twice": b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nx\r\n' * 2 + b"--b--\r\n",
    "no text": b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\n\xff\r\n--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n',
    "a long field": b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\n' + b"x" * 30_000 + b"\r\n--b--\r\n",
    "a long head": b"--b\r\nContent-Disposition: " + b"x" * 100_000,
    "many fields": b"".join(b'--b\r\nContent-Disposition: form-data; name="%d"\r\n\r\nx\r\n' % number for number in range(200)) + b"--b--\r\n",
}  # fmt: skip


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_form_that_is_none_is_refused(emulators: Mapping[str, Any], body: bytes) -> None:
    emulator = emulators["sagemaker"]
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = requests.post(f"{address(emulator)}/{emulator.bucket}", data=body, headers=headers)
    assert answer.status_code in (400, 403, 413), answer.text
    assert answer.headers["Content-Type"] == "text/xml"


# Secrets


def test_each_start_has_credentials_of_its_own() -> None:
    for kind in KINDS.values():
        with kind() as one, kind() as other:
            secrets = ("AWS_SECRET_ACCESS_KEY", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_CLIENT_SECRET")
            name = next(name for name in secrets if name in one.environment)
            assert one.environment[name] != other.environment[name]
            folders = [path for path in Path(one.folder).rglob("*") if path.is_dir()]
            for folder in (Path(one.folder), *folders):
                assert stat.S_IMODE(Path(one.folder).stat().st_mode) == 0o700, folder
            secret = _secret_of(one)
            for path in Path(one.folder).rglob("*"):
                if path.is_file() and secret in path.read_text(errors="replace"):
                    assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def _secret_of(emulator: Any) -> str:
    found = emulator.environment.get("AWS_SECRET_ACCESS_KEY") or emulator.environment.get("AZURE_CLIENT_SECRET")
    return str(found or emulator.credentials.token)


def test_no_command_line_shows_a_secret(emulator: Any) -> None:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(path.read_bytes().decode(errors="replace"))
    assert not [line for line in lines if _secret_of(emulator) in line]


# A browser

PAGE = """<!doctype html><body><script>
const attacks = %s, seen = {};
async function attempt(name, url, options) {
  try {
    const answer = await fetch(url, options);
    seen[name] = answer.type === "opaque" ? "opaque" : "read " + answer.status + " " + (await answer.text()).slice(0, 60);
  } catch (error) { seen[name] = error.name; }
}
function form(url, name, value) {
  const frame = document.createElement("iframe"), made = document.createElement("form");
  frame.name = "frame" + Math.random(); document.body.append(frame);
  made.method = "post"; made.action = url; made.enctype = "text/plain"; made.target = frame.name;
  const input = document.createElement("input"); input.name = name; input.value = value;
  made.append(input); document.body.append(made);
  return new Promise(done => { frame.onload = done; made.submit(); setTimeout(done, 3000); });
}
function image(url) {
  return new Promise(done => { const made = new Image(); made.onload = made.onerror = done; made.src = url; });
}
function socket(url) {
  return new Promise(done => {
    try { const made = new WebSocket(url.replace(/^http/, "ws")); made.onopen = () => { seen["socket " + url] = "open"; done(); }; made.onerror = done; }
    catch (error) { done(); }
  });
}
(async () => {
  await Promise.all(attacks.map(async ({url, method, headers, body}) => {
    const data = method === "GET" ? undefined : body;
    await attempt("cors " + method + " " + url, url, {method, headers, body: data});
    await attempt("simple " + method + " " + url, url, {method: method === "PUT" ? "POST" : method, mode: "no-cors", body: data});
    await attempt("credentials " + url, url, {method: "POST", mode: "no-cors", credentials: "include", body: body});
    await attempt("read " + url, url);
    if (method !== "GET") await form(url, body.slice(0, -1) + ',"x":"', '"}');
    await image(url);
    await socket(url);
    navigator.sendBeacon(url, body);
  }));
  await fetch("/report", {method: "POST", body: JSON.stringify(seen)});
})();
</script></body>"""


class _Attacker(http.server.ThreadingHTTPServer):
    """Serves the page of an attack, and takes its report; what else it is asked it keeps, as a server without our rule."""

    daemon_threads = True

    def __init__(self) -> None:
        self.page, self.report, self.asked = "", "", list[tuple[str, str, str]]()
        self.reported = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Attacker

    def do_GET(self) -> None:
        self._answer(self.server.page if self.path == "/" else "")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode(errors="replace")
        self.server.asked.append((self.headers["Host"], self.path, body))
        self._answer("")
        if self.path == "/report":
            self.server.report = body
            self.server.reported.set()

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextlib.contextmanager
def attacker() -> Iterator[_Attacker]:
    with _Attacker() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_a_page_in_a_browser_runs_nothing_and_reads_nothing(emulators: Mapping[str, Any], tmp_path: Path) -> None:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert program is not None, "install chromium: this test is not to be left out"
    ran = tmp_path / "attack"
    ran.mkdir()
    calls, stored = {name: dict(emulator.calls) for name, emulator in emulators.items()}, _stored(emulators)
    with attacker() as page, attacker() as victim:
        attacks = []
        for emulator in emulators.values():
            for method, path, headers, body in requests_to(emulator, ran):
                attacks.append(
                    {"url": f"{address(emulator)}{path}", "method": method, "headers": headers, "body": body}
                )
            method, path, headers, body = requests_to(emulator, ran)[0]
            rebound = f"{address(emulator)}{path}".replace("127.0.0.1", "evil.test")
            attacks.append({"url": rebound, "method": method, "headers": headers, "body": body})
        attacks.append({"url": f"http://127.0.0.1:{victim.server_port}/reached", "method": "POST", "headers": {}, "body": "{}"})  # fmt: skip
        page.page = PAGE % json.dumps(attacks)
        with browser(program, f"http://evil.test:{page.server_port}/", tmp_path / "profile"):
            assert page.reported.wait(180), "the page did not come to its end"
    seen = json.loads(page.report)
    assert not [name for name, what in seen.items() if what.startswith(("read", "open"))], seen
    assert [asked for asked in victim.asked if asked[1] == "/reached"], (
        "the attack does reach a server without the rule"
    )
    assert {name: dict(emulator.calls) for name, emulator in emulators.items()} == calls
    assert not list(ran.iterdir())
    assert _stored(emulators) == stored


def _stored(emulators: Mapping[str, Any]) -> list[Any]:
    """What the storages of the emulators hold."""
    s3 = boto3.client("s3", **emulators["sagemaker"].of_client)
    objects = s3.list_objects_v2(Bucket=emulators["sagemaker"].bucket).get("Contents", [])
    files = [path for name in ("vertex", "azureml") for path in emulators[name].folder.rglob("*") if path.is_file()]
    return [[(each["Key"], each["LastModified"]) for each in objects], [(path, path.stat().st_mtime) for path in files]]


@contextlib.contextmanager
def browser(program: str, url: str, profile: Path) -> Iterator[None]:
    """A browser at an address, which knows ``evil.test`` as a name of this machine, and nothing beyond it."""
    quiet = (
        "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-dev-shm-usage",
        "disable-component-update", "disable-sync", "disable-default-apps", "disable-extensions", "ignore-certificate-errors",
    )  # fmt: skip
    rules = "MAP evil.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    words = [program, "--headless", *(f"--{each}" for each in quiet), f"--host-resolver-rules={rules}", f"--user-data-dir={profile}"]  # fmt: skip
    process = subprocess.Popen(
        [*words, "--remote-debugging-port=0", url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL, start_new_session=True, env={**os.environ, "HOME": str(profile)},
    )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(process.pid, 9)
        process.wait()
