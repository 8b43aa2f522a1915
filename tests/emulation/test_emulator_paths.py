"""Hostile names of objects: nothing outside of an emulator's storage is read or written, and each is answered in the service's form."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from late import LATE

if LATE:
    pytest.importorskip("moto")
    pytest.importorskip("google.cloud.aiplatform")
    pytest.importorskip("azure.ai.ml")
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    from cloudtune_azureml.emulator import AzureMlEmulator
    from cloudtune_sagemaker.emulator import SageMakerEmulator
    from cloudtune_vertex.emulator import VertexEmulator


UP = ("..", "%2e%2e", "%2E.", ".%2e", "..%00", "%252e%252e", "..;", "...", "%c0%ae%c0%ae", "..%5c")
SEPARATORS = ("/", "%2f", "%5c", "//", "%2f%2f", "\\", "%255c", "/./", "%c0%af")
ENDS = ("secret", "etc/passwd", "", "%00", "a.txt")
ODD = (
    "%00", "a%00b", "%0a", "a%0d%0ab", "%7f", "%01%02", "%ff", "%c3%28", "%ed%a0%80", "%f0%9f%92%a9", "%e2%80%ae", "a%20", "a.", "a..", " ",
    "CON", "nul.txt", "C:", "C:%5cwindows", "%5c%5chost%5cshare", "~", "~root/.ssh", "$HOME", "-rf", ".", "./a", "a/.", "a//b", "//a", "/etc/passwd",
    "%2fetc%2fpasswd", "x" * 255, "x" * 300, "x" * 5000, "/".join("d" * 500), "%25", "%", "%zz", "a?b", "a%3fb", "a%23b", "a;b", "a&b", "a=b", "%F0%9F",
    "e%cc%81", "%c3%a9", "*", "[a]", "{a}", "'", "%22", "<a>", "`id`", "$(id)", "|id", "a%09b", "%e3%80%82", ".metadata", "..metadata", "a.json", "%2e",
)  # fmt: skip
NAMES = [*ODD, *(f"{up}{separator}" * depth + end for up, separator, depth, end in itertools.product(UP, SEPARATORS, (1, 4), ENDS))]  # fmt: skip


@pytest.fixture(scope="module")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, tuple[Any, Path]]]:
    kinds = {"sagemaker": SageMakerEmulator, "vertex": VertexEmulator, "azureml": AzureMlEmulator}
    with contextlib.ExitStack() as stack:
        found = {}
        for name, kind in kinds.items():
            around = tmp_path_factory.mktemp(name)
            (around / "secret").write_text("TOP SECRET")
            found[name] = (stack.enter_context(kind(folder=around / "inside")), around)
        yield found


def addresses(emulator: Any, name: str) -> list[str]:
    """Where an object of this name would be, or a bucket."""
    if isinstance(emulator, SageMakerEmulator):
        return [f"/{emulator.bucket}/{name}", f"/{name}", f"/{emulator.bucket}?prefix={name}"]
    if isinstance(emulator, VertexEmulator):
        own = emulator.bucket
        objects = "/storage/v1/b/{0}/o/{1}?alt=media"
        return [
            objects.format(own, name), objects.format(name, "a"), f"/storage/v1/b/{own}/o/a/copyTo/b/{own}/o/{name}",
            f"/upload/storage/v1/b/{own}/o?uploadType=media&name={name}", f"/upload/storage/v1/b/{own}/o?uploadType=resumable&name={name}",
            f"/download/storage/v1/b/{own}/o/{name}?alt=media", f"/storage/v1/b/{own}/o?prefix={name}&pageToken={name}&maxResults={name}",
        ]  # fmt: skip
    return [
        f"/blob/uploads/{name}", f"/blob/{name}", f"/blob/{name}?comp=list", f"/blob/{name}?restype=container", f"/blob/uploads?comp=list&prefix={name}",
        f"/emulated.blob.core.windows.net/uploads/{name}", f"/blob/uploads/{name}?comp=block&blockid={name}", f"/blob/uploads/{name}?comp=blocklist",
    ]  # fmt: skip


class Client:
    """Sends requests as they are, with the credentials of an emulator."""

    def __init__(self, emulator: Any) -> None:
        self.emulator, self._at = emulator, urlsplit(emulator.url)
        self._host = f"{self._at.hostname}:{self._at.port}"

    def send(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        headers = self._headers(method, target, body)
        with contextlib.closing(self._connection()) as connection:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in {"Host": self._host, "Content-Length": str(len(body)), **headers}.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = str(self._at.hostname), self._at.port
        if self._at.scheme == "https":
            trusting = ssl.create_default_context(cafile=str(self.emulator.certificate))
            made: http.client.HTTPConnection = http.client.HTTPSConnection(host, port, timeout=60, context=trusting)
        else:
            made = http.client.HTTPConnection(host, port, timeout=60)
        made._validate_path = lambda _: None  # type: ignore[attr-defined]  # what is hostile is to be sent
        return made

    def _headers(self, method: str, target: str, body: bytes) -> dict[str, str]:
        if not isinstance(self.emulator, SageMakerEmulator):
            token = self.emulator.environment.get("AZURE_CLIENT_SECRET") or self.emulator.credentials.token
            return {"Authorization": f"Bearer {token}", "x-ms-blob-type": "BlockBlob", "Content-Type": "text/plain"}
        path, _, query = target.partition("?")
        signed = "&".join(f"{quote(key)}={quote(value)}" for key, _, value in (pair.partition("=") for pair in query.split("&") if pair)) if "%" not in query else query  # fmt: skip
        made = AWSRequest(method, f"http://{self._host}{path}{'?' if query else ''}{signed}", data=body)
        keys = Credentials(*(self.emulator.of_client[each] for each in ("aws_access_key_id", "aws_secret_access_key")))
        S3SigV4Auth(keys, "s3", "us-east-1").add_auth(made)
        return dict(made.headers.items())


def sample(request: pytest.FixtureRequest) -> list[str]:
    return NAMES if request.config.getoption("complete") else [*ODD[::12], *NAMES[len(ODD) :: 317]]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("service", ["sagemaker", "vertex", "azureml"])
def test_no_name_leads_out_of_the_storage(
    emulators: Mapping[str, tuple[Any, Path]], service: str, request: pytest.FixtureRequest
) -> None:
    emulator, around = emulators[service]
    client, outside, failed = Client(emulator), _around(around), []
    admitted = 0
    for name in sample(request):
        if any(ord(each) < 33 for each in name):
            continue  # a line of HTTP cannot hold it
        for target in addresses(emulator, name):
            for method in ("PUT", "POST", "GET", "DELETE"):
                status, answer = client.send(method, target, b"attack")
                admitted += status in (200, 201, 202, 204)
                assert b"TOP SECRET" not in answer, (method, target)
                assert b"root:" not in answer, (method, target)
                if status >= 500:
                    failed.append((status, method, target[:100], answer[:200]))
    assert not failed, failed[:10]
    assert admitted, "the names are looked at, and not the credentials alone"
    assert _around(around) == outside
    assert not [path for path in (around / "inside").rglob("*") if path.is_symlink()]


def _around(folder: Path) -> dict[str, str]:
    """What is around an emulator's folder."""
    there = [str(path) for place in (folder, folder.parent, Path.cwd()) for path in place.iterdir()]
    return {**dict.fromkeys(there, ""), "secret": (folder / "secret").read_text()}
