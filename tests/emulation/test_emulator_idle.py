"""What holds a connection of an emulator holds nobody else: idle and half-open connections, slow requests, and many clients at once."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from late import LATE

from cloudtune.emulation import serving
from cloudtune.emulation.access import Refusal
from cloudtune.testing.conformance import wait_until

if LATE:
    pytest.importorskip("moto")
    pytest.importorskip("google.cloud.aiplatform")
    pytest.importorskip("azure.ai.ml")
    import boto3

    from cloudtune_azureml.emulator import AzureMlEmulator
    from cloudtune_sagemaker.emulator import SageMakerEmulator
    from cloudtune_vertex.client import plain_transport
    from cloudtune_vertex.emulator import VertexEmulator


HELLO = bytes.fromhex("160301")
"""How the first message of TLS begins; the rest never comes."""

SLOW: Mapping[str, bytes] = {
    "nothing": b"",
    "the beginning of TLS": HELLO,
    "half a line": b"GET / HT",
    "half a head": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


def address(emulator: Any) -> str:
    """Where an emulator is, without the password that the address of Vertex AI's holds for its clients."""
    parts = urlsplit(emulator.url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port}"


def ask_sagemaker(emulator: Any) -> None:
    assert boto3.client("sagemaker", **emulator.of_client).list_training_jobs()["TrainingJobSummaries"] == []


def ask_vertex(emulator: Any) -> None:
    from google.cloud import aiplatform_v1 as v1

    headers = {"Authorization": f"Bearer {emulator.credentials.token}"}
    assert requests.get(f"{address(emulator)}/storage/v1/b", headers=headers, timeout=60).status_code == 200
    jobs = v1.JobServiceClient(transport=plain_transport(f"http://{emulator.target}", emulator.credentials))
    assert list(jobs.list_custom_jobs(parent=emulator.parent, timeout=60)) == []
    jobs.transport.close()


def ask_azureml(emulator: Any) -> None:
    headers = {"Authorization": f"Bearer {emulator.environment['AZURE_CLIENT_SECRET']}"}
    jobs = f"{address(emulator)}{emulator.arm_id}/jobs"
    assert requests.get(jobs, headers=headers, verify=str(emulator.certificate), timeout=60).json() == {"value": []}


ASK: Mapping[str, tuple[Callable[..., Any], Callable[[Any], None]]] = {
    "sagemaker": (lambda **settings: SageMakerEmulator(**settings), ask_sagemaker),
    "vertex": (lambda **settings: VertexEmulator(**settings), ask_vertex),
    "azureml": (lambda **settings: AzureMlEmulator(**settings), ask_azureml),
}


def ports(emulator: Any) -> list[int]:
    targets = [urlsplit(address(emulator)).netloc, *filter(None, [getattr(emulator, "target", "")])]
    return [int(target.rpartition(":")[2]) for target in targets]


@pytest.mark.parametrize("name", ASK)
def test_connections_that_say_nothing_stop_nobody(name: str) -> None:
    kind, ask = ASK[name]
    with contextlib.ExitStack() as idle:
        with kind() as emulator:
            for port in ports(emulator):
                for said in (*SLOW.values(), *[b""] * 20):
                    connection = idle.enter_context(socket.create_connection(("127.0.0.1", port)))
                    connection.sendall(said)
            ask(emulator)
            with ThreadPoolExecutor(50) as clients:
                list(clients.map(lambda _: ask_raw(emulator), range(200)))
            began = time.monotonic()
        assert time.monotonic() - began < serving.HEAD_SECONDS / 2, "the end waits for nobody who says nothing"


def ask_raw(emulator: Any) -> None:
    """A request that is answered, though it be refused."""
    verify = str(getattr(emulator, "certificate", "")) or True
    assert requests.get(f"{address(emulator)}/", verify=verify, timeout=60).status_code in (401, 403)


# The server itself, with shorter times


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[serving.LoopbackServer]:
    monkeypatch.setattr(serving, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(serving, "BODY_SECONDS", 0.5)
    monkeypatch.setattr(serving, "CONNECTIONS", 8)

    def application(environ: Any, respond: Any) -> list[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        respond("200 OK", [("Content-Length", "2"), ("Access-Control-Allow-Origin", "*")])
        return [b"ok"]

    def refuse(environ: Any, refusal: Refusal, respond: Any) -> list[bytes]:  # as it is called
        respond("403 Forbidden", [("Content-Length", "0")])
        return []

    running = serving.LoopbackServer(0, application, admit=lambda _: None, refuse=refuse)
    running.start()
    yield running
    running.stop()


def asked(server: serving.LoopbackServer) -> requests.Response:
    return requests.get(server.url, timeout=60)


def test_a_slow_head_and_a_slow_body_come_to_an_end(server: serving.LoopbackServer) -> None:
    host = urlsplit(server.url).netloc
    for said in (
        b"",
        b"GET / HTTP/1.1\r\nHost: ",
        f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 9\r\n\r\nab".encode(),
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(said)
            ended = False
            for _ in range(1000):  # a byte now and then prolongs nothing
                try:
                    connection.sendall(b"x")
                    connection.settimeout(0.05)
                    ended = not connection.recv(65_536)
                except TimeoutError:
                    continue
                except OSError:
                    ended = True
                if ended:
                    break
            assert ended


@pytest.mark.parametrize("measure", ["Content-Length: 16777216", "Transfer-Encoding: chunked"])
def test_who_still_sends_a_body_that_nobody_reads_keeps_the_answer(
    server: serving.LoopbackServer, measure: str
) -> None:
    head = f"POST / HTTP/1.1\r\nHost: evil.example\r\n{measure}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head.encode())
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
        assert answer.startswith(b"HTTP/1.1 403")
        for _ in range(256):  # more than any buffer holds: it is read, or the connection is reset
            connection.sendall(b"x" * 65_536)


def test_a_body_that_never_ends_is_given_up(server: serving.LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "REST_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: evil.example\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 403")
        with pytest.raises(OSError, match="reset|pipe"):  # noqa: PT012  # any of them may be the first to fail
            while True:
                connection.sendall(b"x" * 65_536)


def test_the_one_that_waits_longest_leaves_where_there_are_too_many(
    server: serving.LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "HEAD_SECONDS", 3600.0)
    with contextlib.ExitStack() as idle:
        waiting = [idle.enter_context(socket.create_connection(("127.0.0.1", server.port), 60)) for _ in range(20)]
        assert asked(server).text == "ok"
        assert waiting[0].recv(1) == b"", "the first has had to leave"
    wait_until(lambda: asked(server).status_code == 200)


def test_no_answer_lets_other_origins_read_it(server: serving.LoopbackServer) -> None:
    assert "Access-Control-Allow-Origin" not in asked(server).headers


def test_tls_begins_in_a_connections_own_thread() -> None:
    with AzureMlEmulator() as emulator:
        address = ("127.0.0.1", ports(emulator)[0])
        trusting = ssl.create_default_context(cafile=str(emulator.certificate))
        with socket.create_connection(address) as idle, socket.create_connection(address) as other:
            idle.sendall(HELLO)
            with trusting.wrap_socket(other, server_hostname="127.0.0.1") as secured:
                assert secured.version()
