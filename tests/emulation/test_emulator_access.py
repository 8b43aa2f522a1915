"""Who may use an emulator: those who have the credentials of this start; no web page, no other user, nobody under another name."""

from __future__ import annotations

import contextlib
import socket
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from emulator_requests import CLASSES, address, emulator_of, requests_to, right, trust
from late import LATE

if LATE:
    pytest.importorskip("moto")
    pytest.importorskip("google.cloud.aiplatform")
    pytest.importorskip("azure.ai.ml")
    import grpc
    from google.api_core.exceptions import Unauthenticated

    from cloudtune_vertex.client import plain_transport
    from cloudtune_vertex.emulator import VertexEmulator


@pytest.fixture(params=CLASSES)
def emulator(request: pytest.FixtureRequest, emulators: Mapping[str, Any]) -> Any:
    return emulators[request.param]


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


@pytest.mark.parametrize("body", ["[" * 100_000, '{"a":' * 50_000], ids=["lists", "mappings"])
def test_a_body_of_brackets_alone_is_the_callers_mistake(emulator: Any, body: str, tmp_path: Path) -> None:
    for method, path, own, _ in requests_to(emulator, tmp_path):
        if method not in ("POST", "PUT", "PATCH") or path == "/moto-api/reset":
            continue
        headers = {"Content-Type": "application/json", **own}
        answer = requests.request(method, f"{address(emulator)}{path}", headers=headers, data=body, auth=right(emulator), verify=trust(emulator))  # fmt: skip
        assert answer.status_code < 500, (method, path, answer.text[:300])


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
                call(v1.CreateCustomJobRequest(), timeout=100)
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


def test_each_start_has_credentials_of_its_own() -> None:
    for service in CLASSES:
        with emulator_of(service) as one, emulator_of(service) as other:
            secrets = (
                "AWS_SECRET_ACCESS_KEY",
                "GOOGLE_APPLICATION_CREDENTIALS",
                "AZURE_CLIENT_SECRET",
                "DATABRICKS_TOKEN",
                "KUBECONFIG",
            )
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
    return str(found or getattr(emulator, "token", "") or emulator.credentials.token)


def test_no_command_line_shows_a_secret(emulator: Any) -> None:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(path.read_bytes().decode(errors="replace"))
    assert not [line for line in lines if _secret_of(emulator) in line]
