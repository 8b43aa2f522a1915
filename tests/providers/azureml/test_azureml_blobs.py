"""Blob storage as Azure's own client sees it: the emulator's, and Microsoft's Azurite where it is installed, pass the same tests."""

from __future__ import annotations

import itertools
import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest
from late import LATE

from cloudtune.testing.conformance import wait_until

if LATE:
    pytest.importorskip("azure.storage.blob")
    from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
    from azure.storage.blob import ContainerClient, ExponentialRetry

    from cloudtune_azureml.emulator import AzureMlEmulator


ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""What every Azurite lets in (https://learn.microsoft.com/azure/storage/common/storage-use-azurite)."""


pytestmark = pytest.mark.xdist_group("azurite")  # which is started once
_numbers = itertools.count()


@pytest.fixture(params=["emulator", "azurite"])
def container(request: pytest.FixtureRequest) -> ContainerClient:
    """An empty container."""
    if request.param == "emulator":
        return _client(request.getfixturevalue("azureml_emulator").uploads, None)
    url = f"{request.getfixturevalue('azurite')}/{ACCOUNT}/uploads{next(_numbers)}"
    client = _client(url, {"account_name": ACCOUNT, "account_key": KEY})
    client.create_container()
    return client


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one Azurite for all tests, whose start takes longer than they do."""
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("Azurite is not installed (npm install -g azurite)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(tmp_path_factory.mktemp("azurite")), "--skipApiVersionCheck", "--silent"]  # fmt: skip
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: _answers(port))
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _client(url: str, credential: dict[str, str] | None) -> ContainerClient:
    """A client that sends what is longer than a kilobyte in blocks, as large files are sent."""
    once = ExponentialRetry(retry_total=0)
    return ContainerClient.from_container_url(
        url, credential, max_single_put_size=1024, max_block_size=1024, max_single_get_size=1024, max_chunk_get_size=1024, retry_policy=once
    )  # fmt: skip


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("content", [b"", b"short", bytes(range(256)) * 20], ids=["empty", "short", "in blocks"])
@pytest.mark.parametrize("name", ["plain.txt", "deep/er/größe & mehr %41.txt"])
def test_what_is_uploaded_comes_back(container: ContainerClient, content: bytes, name: str) -> None:
    blob = container.get_blob_client(name)
    assert not blob.exists()
    blob.upload_blob(content, metadata={"colour": "green"})
    assert blob.exists()
    assert blob.download_blob().readall() == content
    found = blob.get_blob_properties()
    assert (found.size, found.metadata) == (len(content), {"colour": "green"})
    assert [each.name for each in container.list_blobs()] == [name]


def test_a_part_of_a_blob_can_be_had(container: ContainerClient) -> None:
    blob = container.upload_blob("numbers", b"0123456789")
    assert blob.download_blob(offset=3, length=4).readall() == b"3456"
    assert blob.download_blob(offset=8, length=9).readall() == b"89"
    with pytest.raises(HttpResponseError, match="InvalidRange"):
        blob.download_blob(offset=20, length=4).readall()


def test_a_blob_is_replaced_only_where_that_is_said(container: ContainerClient) -> None:
    blob = container.upload_blob("one", b"old")
    with pytest.raises(ResourceExistsError):
        container.upload_blob("one", b"new")
    assert blob.download_blob().readall() == b"old"
    container.upload_blob("one", b"new", overwrite=True, metadata={"a": "b"})
    assert blob.download_blob().readall() == b"new"
    blob.set_blob_metadata({"upload_status": "completed"})
    assert blob.get_blob_properties().metadata == {"upload_status": "completed"}


def test_blobs_are_listed_by_the_beginning_of_their_names(container: ContainerClient) -> None:
    for name in ("a/1", "a/2", "ab", "b"):
        container.upload_blob(name, b"x")
    assert [each.name for each in container.list_blobs(name_starts_with="a/")] == ["a/1", "a/2"]
    assert [each.name for each in container.list_blobs(name_starts_with="a")] == ["a/1", "a/2", "ab"]
    container.delete_blob("ab")
    assert [each.name for each in container.list_blobs()] == ["a/1", "a/2", "b"]


def test_what_is_not_there_is_told(container: ContainerClient) -> None:
    assert container.exists()
    for ask in ("download_blob", "get_blob_properties"):
        with pytest.raises(ResourceNotFoundError):
            getattr(container.get_blob_client("nothing"), ask)()
    with pytest.raises(ResourceNotFoundError):
        container.get_blob_client("nothing").set_blob_metadata({"a": "b"})


@pytest.mark.parametrize("name", ["../outside.txt", "a/../../outside.txt", "a/./b"])
def test_a_name_that_leads_out_of_its_container_is_refused(azureml_emulator: AzureMlEmulator, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a blob's name"):
        azureml_emulator.blobs.put("uploads", name, b"x")
    assert not list(azureml_emulator.blobs.folder.parent.rglob("outside.txt"))
