"""Code and inputs that travel by S3, Google Cloud Storage or Azure Blob Storage, which pods read by an identity of their own."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cloud_runs import job_of
from kubernetes_runs import listed
from late import LATE

from cloudtune import api
from cloudtune.errors import ConfigError, CredentialError, SpecError
from cloudtune.remote.resolving import resolve
from cloudtune.results.progress import Watcher
from cloudtune.store.records import RunState
from cloudtune.testing.conformance import wait_until
from cloudtune_kubernetes import objects
from cloudtune_kubernetes.objects import Bucket, Refused, keys_of_pod, signed
from cloudtune_kubernetes.settings import KubernetesSettings
from cloudtune_kubernetes.translate import translate

if LATE:
    pytest.importorskip("kubernetes")

    from cloudtune_kubernetes.emulator import KubernetesEmulator
    from cloudtune_kubernetes.uploading import bucket_of

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
READS = """
import pathlib, cloudtune.trial as t
t.report(score=t.params()["x"] + float(pathlib.Path(t.data("table"), "n.txt").read_text()))
"""


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesEmulator]:
    with KubernetesEmulator(grace=0.2, backoff=0.02) as running:
        own = {"CLOUDTUNE_KUBERNETES_POLL": "0.1", "CLOUDTUNE_KUBERNETES_OUTPUT": ""}
        for name, value in {**running.environment, **own}.items():
            monkeypatch.setenv(name, value)
        yield running


class Served:
    """A small service that answers by a function of the path, the headers and the body, and keeps what it was asked."""

    def __init__(self, answer: Callable[[str, Any, bytes], tuple[int, dict[str, str], bytes]]) -> None:
        asked: list[tuple[str, dict[str, str]]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                asked.append((f"{self.command} {self.path}", dict(self.headers)))
                status, headers, content = answer(self.path, self.headers, body)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815  # as http.server names them

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.asked = asked
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"

    def __enter__(self) -> Served:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def in_pods(**variables: str) -> str:
    """A setting `template` by which containers have variables, as a webhook or a Secret would give them."""
    env = [{"name": name, "value": value} for name, value in variables.items()]
    fetches, drives = ({"name": name, "env": env} for name in ("fetch", "trial"))
    return json.dumps({"spec": {"initContainers": [fetches], "containers": [drives]}})


def ran(folder: Path, watch: Watcher | None = None, *, driver: str | None = None) -> None:
    """A run whose code and input travel by the storage completes."""
    (folder / "table").mkdir()
    (folder / "table" / "n.txt").write_text("10")
    job = job_of(folder, READS, data={"table": "table"}, limits={"trials": 1})
    run = api.prepare(job, "k8s", project=folder, base=folder, driver=driver)
    assert run.wait(watch) is RunState.COMPLETED, (run.events(), run.trials()[0].reason)
    assert 10 <= run.trials()[0].metrics["score"] < 11


# Runs


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of S3 that has the bucket of the profile's storage, for which pods have keys."""
    pytest.importorskip("moto.server")
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "hush-hush"}
    own = {**keys, "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CLOUDTUNE_KUBERNETES_STORAGE", "s3://team/runs")
    monkeypatch.setenv("CLOUDTUNE_KUBERNETES_TEMPLATE", in_pods(**own))
    client = boto3.client("s3")
    client.create_bucket(Bucket="team")
    yield client
    server.stop()


def test_a_run_travels_by_s3_and_leaves_nothing_there(
    emulator: KubernetesEmulator, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[str] = []
    monkeypatch.setattr(
        Bucket, "put", lambda self, name, path, own=Bucket.put: put.append(name) or own(self, name, path)
    )
    ran(tmp_path)
    assert {each.partition("/")[2] for each in put} == {
        "code/trial.py",
        "code/cloudtune_job.json",
        "code/sourcedir.tar.gz",
        "data-0/data.tar.gz",
    }
    assert s3.list_objects_v2(Bucket="team")["KeyCount"] == 0


@pytest.mark.complete
def test_a_driver_in_the_cluster_travels_by_s3_and_takes_the_code_of_its_trials_there(
    emulator: KubernetesEmulator, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDTUNE_KUBERNETES_OUTPUT", emulator.environment["CLOUDTUNE_KUBERNETES_OUTPUT"])
    seen: set[str] = set()
    evicted: list[str] = []

    def watch(_: object) -> None:
        seen.update(each["Key"] for each in s3.list_objects_v2(Bucket="team").get("Contents", ()))
        for pod in () if evicted or len(seen) < 5 else listed(emulator, "pods"):  # the driver is there
            evicted.append(pod["metadata"]["name"])
            emulator.cluster.evict("default", evicted[-1])  # another pod of it fetches the code again

    ran(tmp_path, watch, driver="k8s")
    assert len({key.split("/")[1] for key in seen if key.endswith("/code/sourcedir.tar.gz")}) == 2, seen
    assert "-driver-" in evicted[0]
    assert s3.list_objects_v2(Bucket="team")["KeyCount"] == 0


@pytest.mark.complete
def test_a_run_travels_by_google_cloud_storage(
    emulator: KubernetesEmulator, vertex_emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import google.auth
    import google.auth.transport.requests

    credentials, _ = google.auth.default()
    credentials.refresh(google.auth.transport.requests.Request())
    bucket = vertex_emulator.environment["CLOUDTUNE_VERTEX_BUCKET"]
    monkeypatch.setenv("CLOUDTUNE_KUBERNETES_STORAGE", f"gs://{bucket}/runs")
    said = json.dumps({"access_token": credentials.token}).encode()
    with Served(lambda *_: (200, {}, said)) as metadata:
        monkeypatch.setenv("CLOUDTUNE_KUBERNETES_TEMPLATE", in_pods(GCE_METADATA_HOST=metadata.host))
        ran(tmp_path)
        assert metadata.asked[0][1]["Metadata-Flavor"] == "Google"


@pytest.mark.complete
def test_a_run_travels_by_azure_blob_storage(
    emulator: KubernetesEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("Azurite is not installed (npm install -g azurite)")
    from azure.storage.blob import ContainerClient, ContainerSasPermissions, generate_container_sas

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(tmp_path / "azurite"), "--skipApiVersionCheck", "--silent"]  # fmt: skip
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
            place = f"http://127.0.0.1:{port}/{ACCOUNT}/team"
            client = ContainerClient.from_container_url(place, credential={"account_name": ACCOUNT, "account_key": KEY})
            client.create_container()
            until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
            may = ContainerSasPermissions(read=True, write=True, create=True, delete=True)
            sas = generate_container_sas(ACCOUNT, "team", account_key=KEY, permission=may, expiry=until)
            monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", sas)
            monkeypatch.setenv("CLOUDTUNE_KUBERNETES_STORAGE", f"{place}/runs")
            monkeypatch.setenv("CLOUDTUNE_KUBERNETES_TEMPLATE", in_pods(AZURE_STORAGE_SAS_TOKEN=sas))
            ran(tmp_path)
            assert list(client.list_blobs()) == []
        finally:
            server.terminate()


# Plans, and what is refused


def test_the_manifest_fetches_what_travels_before_the_trial_begins(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    spec: Any = translate(
        job_of(tmp_path, data={"d": "d"}), KubernetesSettings(image="i:1", storage="gs://team/runs")
    ).request["spec"]["template"]["spec"]
    (fetch,), (trial,) = spec["initContainers"], spec["containers"]
    assert fetch["command"][-2:] == ["/cloudtune/code", "/cloudtune/data/0"]
    assert {each["name"] for each in spec["volumes"] if "emptyDir" in each} == {"code", "data-0", "files"}
    assert [each["name"] for each in trial["volumeMounts"] if each.get("readOnly")] == ["code", "data-0"]


def test_what_a_profile_names_and_is_not_there_is_told_with_what_to_do(
    emulator: KubernetesEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"'results' is no volume; write output = \"pvc://CLAIM/FOLDER\"$"):
        KubernetesSettings.of({"output": "results"}, "kubernetes")
    monkeypatch.setenv("CLOUDTUNE_KUBERNETES_OUTPUT", "pvc://nowhere")
    assert "there is no claim nowhere in default; make it" in str(resolve("k8s", tmp_path)[0].check())
    monkeypatch.setenv("CLOUDTUNE_KUBERNETES_NAMESPACE", "none")
    assert "make it (kubectl create namespace none), or name another" in str(resolve("k8s", tmp_path)[0].check())


@pytest.mark.parametrize("place", ["team/runs", "s3:/team", "https://example.com/container", "pvc://claim"])
def test_a_storage_that_is_none_is_refused(place: str) -> None:
    with pytest.raises(ConfigError, match="is none of s3://BUCKET/FOLDER, gs://"):
        KubernetesSettings.of({"storage": place}, "kubernetes")


def test_what_is_too_large_for_config_maps_names_the_other_ways(
    emulator: KubernetesEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cloudtune_kubernetes import storage

    monkeypatch.setattr(storage, "_MOST", 10)
    with pytest.raises(
        SpecError, match=r'travel in ConfigMaps.*storage = "…" in the profile, one of s3://.*gs://.*https://'
    ):
        api.prepare(job_of(tmp_path), "k8s", project=tmp_path, base=tmp_path)
    monkeypatch.setenv("CLOUDTUNE_KUBERNETES_STORAGE", "s3://team/runs")
    api.prepare(job_of(tmp_path), "k8s", project=tmp_path, base=tmp_path)


# Requests


def test_requests_to_s3_are_signed_as_by_its_own_sdk() -> None:
    auth = pytest.importorskip("botocore.auth")
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    when = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    url, body = "https://team.s3.eu-west-1.amazonaws.com/a%20b/c.tar.gz", b"content"
    ours = signed("PUT", url, "eu-west-1", body, {"key": "id", "secret": "hush", "session": "s"}, when)
    signer = auth.S3SigV4Auth(Credentials("id", "hush", "s"), "s3", "eu-west-1")
    request = AWSRequest("PUT", url, {"x-amz-content-sha256": ours["x-amz-content-sha256"]}, body)
    request.context["timestamp"] = "20260102T030405Z"
    for name in ("x-amz-date", "x-amz-security-token"):
        request.headers[name] = ours[name]
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert ours["Authorization"].endswith(f"Signature={signer.signature(text, request)}")


def test_a_bucket_elsewhere_is_asked_in_its_own_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []

    def opened(_: str, url: str, headers: Any, *__: Any) -> Any:
        seen.append((url, headers["Authorization"].split("/")[2]))
        if "eu-west-1" not in url:
            raise Refused("moved", 301, {"x-amz-bucket-region": "eu-west-1"})
        return (tmp_path / "empty").open("rb")

    (tmp_path / "empty").touch()
    monkeypatch.setattr(objects, "opened", opened)
    bucket = Bucket(
        "s3",
        "https://team.s3.us-east-1.amazonaws.com/runs",
        region="us-east-1",
        keys=lambda: {"key": "k", "secret": "s"},
    )
    bucket.put("a", tmp_path / "empty")
    assert [region for _, region in seen] == ["us-east-1", "eu-west-1"]
    assert bucket.describe()["url"] == "https://team.s3.eu-west-1.amazonaws.com/runs", "which pods are told"


@pytest.mark.parametrize("kind", ["irsa", "pod identity", "node", "workload identity"])
def test_a_pod_is_let_in_by_the_identity_of_its_service_account_or_node(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("projected")
    fields = {
        "AccessKeyId": "id",
        "SecretAccessKey": "hush",
        "SessionToken": "s",
        "Token": "s",
        "access_token": "bearer",
    }

    def answer(path: str, _: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if kind == "irsa":
            assert b"WebIdentityToken=projected" in body
            return (
                200,
                {},
                (
                    "<a xmlns='urn:x'>"
                    + "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
                    + "</a>"
                ).encode(),
            )
        if path == "/latest/meta-data/iam/security-credentials/":
            return 200, {}, b"role\n"
        return 200, {}, json.dumps(fields).encode()

    for name in ("AWS_ACCESS_KEY_ID", "AZURE_STORAGE_SAS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with Served(answer) as service:
        token = str(tmp_path / "token")
        variables = {
            "irsa": {
                "AWS_WEB_IDENTITY_TOKEN_FILE": token,
                "AWS_ROLE_ARN": "arn:aws:iam::1:role/r",
                "AWS_ENDPOINT_URL_STS": service.url,
            },
            "pod identity": {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": service.url,
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token,
            },
            "node": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": service.url},
            "workload identity": {
                "AZURE_FEDERATED_TOKEN_FILE": token,
                "AZURE_CLIENT_ID": "c",
                "AZURE_TENANT_ID": "t",
                "AZURE_AUTHORITY_HOST": service.url,
            },
        }[kind]
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        if kind == "workload identity":
            assert keys_of_pod("azure", "") == {"token": "bearer"}
            assert service.asked[0][0] == "POST /t/oauth2/v2.0/token"
        else:
            assert keys_of_pod("s3", "eu-west-1") == {"key": "id", "secret": "hush", "session": "s"}
        if kind == "pod identity":
            assert service.asked[0][1]["Authorization"] == "projected"


def test_a_refusal_is_told_with_what_may_help_and_what_was_replaced_is_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_PAUSE", 0.001)
    answers = iter([(503, b"slow"), (200, b"other"), (403, b"no")])

    def answer(*_: Any) -> tuple[int, dict[str, str], bytes]:
        status, body = next(answers)
        return status, {}, body

    with Served(answer) as service:
        monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sig=1")
        said = {
            "bucket": {"kind": "azure", "url": f"{service.url}/a/c", "prefix": "", "region": ""},
            "objects": [{"name": "run/code/trial.py", "folder": 0, "file": "trial.py", "sha256": "0"}],
        }
        (tmp_path / "objects.json").write_text(json.dumps(said))
        assert objects.main(str(tmp_path / "objects.json"), str(tmp_path)) == 1
        assert "run/code/trial.py is not what was packed" in capsys.readouterr().err
        assert objects.main(str(tmp_path / "objects.json"), str(tmp_path)) == 1
        assert "trial.py cannot be fetched" in capsys.readouterr().err
        assert service.asked[0][0] == "GET /a/c/run/code/trial.py?sig=1"


def test_a_place_names_no_password_and_the_sdk_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://user:hush@127.0.0.1:9")
    assert bucket_of("gs://team/runs").describe() == {
        "kind": "gs",
        "url": "http://127.0.0.1:9",
        "prefix": "team/runs",
        "region": "",
    }
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(ConfigError, match="pip install boto3"):
        bucket_of("s3://team")


def test_without_credentials_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    boto3 = pytest.importorskip("boto3")
    monkeypatch.setattr(boto3.Session, "get_credentials", lambda _: None)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    (tmp_path / "a").touch()
    with pytest.raises(CredentialError, match="aws configure"):
        bucket_of("s3://team/x").put("a", tmp_path / "a")
