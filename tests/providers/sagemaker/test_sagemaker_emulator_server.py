"""SageMaker's emulator as a whole: its start and end, what it shares with moto, and its command."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from emulator_requests import served_by_the_command
from late import LATE
from sagemaker_emulation import ECHO, Used, eventually, training, tuning

if LATE:
    pytest.importorskip("moto")
    import boto3
    import moto.sagemaker.urls
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    from moto import mock_aws
    from moto.sagemaker.responses import SageMakerResponse

    from cloudtune_sagemaker.emulator import SageMakerEmulator


def test_it_ends_all_processes_and_threads() -> None:
    before = set(threading.enumerate())
    with SageMakerEmulator(images={"*": "sleep 61"}) as emulator:
        used = Used(emulator, "")
        used.sagemaker.create_hyper_parameter_tuning_job(**tuning(emulator, "endless", 4))
        used.sagemaker.create_training_job(**training(emulator, "endless"))
        eventually(lambda: len(_children("sleep\x0061")) == 3)
        port = int(emulator.url.rpartition(":")[2])
        folder = Path(emulator.environment["AWS_CONFIG_FILE"]).parent
    assert _children("sleep\x0061") == []
    assert set(threading.enumerate()) <= before
    assert not folder.exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def _children(command: str) -> list[str]:
    """Processes below this one that run a command."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").strip("\0")
        except OSError:
            continue
        if words == command:
            found.append(folder.name)
    return found


def test_a_reset_of_moto_ends_the_jobs(emulate: Callable[..., Used]) -> None:
    used = emulate("sleep 62")
    used.sagemaker.create_hyper_parameter_tuning_job(**tuning(used.emulator, "reset", 4))
    eventually(lambda: len(_children("sleep\x0062")) == 2)
    reset = AWSRequest("POST", f"{used.emulator.url}/moto-api/reset")
    keys = Credentials(*(used.emulator.of_client[name] for name in ("aws_access_key_id", "aws_secret_access_key")))
    SigV4Auth(keys, "moto", "us-east-1").add_auth(reset)
    request = urllib.request.Request(reset.url, headers=dict(reset.headers), method="POST")
    urllib.request.urlopen(request).close()
    eventually(lambda: _children("sleep\x0062") == [])
    assert used.sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"] == []
    assert used.client("s3").list_buckets()["Buckets"] == []


TWICE = """
import boto3
from cloudtune_sagemaker.emulator import SageMakerEmulator

for _ in range(2):
    with SageMakerEmulator() as emulator:
        s3 = boto3.client("s3", **emulator.of_client)
        assert "Contents" not in s3.list_objects_v2(Bucket=emulator.bucket)
        s3.put_object(Bucket=emulator.bucket, Key="left", Body=b"")
"""


def test_the_next_emulator_knows_nothing_of_the_one_before() -> None:
    subprocess.run([sys.executable, "-c", TWICE], check=True)


def test_what_moto_held_before_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="of-the-test")
        with SageMakerEmulator() as emulator:
            Used(emulator, "").client("s3").put_object(Bucket="of-the-test", Key="key", Body=b"")
        assert boto3.client("s3").list_objects_v2(Bucket="of-the-test")["KeyCount"] == 1


def test_boto3_under_mock_aws_really_tunes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    before = moto.sagemaker.urls.url_paths["{0}/$"]
    with mock_aws(), SageMakerEmulator(images={"*": ECHO}).installed() as emulator:
        client = boto3.client("sagemaker")
        client.create_hyper_parameter_tuning_job(**tuning(emulator, "mocked", 3))
        assert emulator.wait("mocked", 30) == "Completed"
        rows = client.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName="mocked")
        assert len(rows["TrainingJobSummaries"]) == 3
        assert boto3.client("s3").list_objects_v2(Bucket=emulator.bucket, Prefix="out/mocked-")["KeyCount"] == 3
        assert emulator.calls["CreateHyperParameterTuningJob"] == 1
    assert moto.sagemaker.urls.url_paths["{0}/$"] == before
    with mock_aws():
        faked = boto3.client("sagemaker")
        faked.create_hyper_parameter_tuning_job(**tuning(emulator, "faked", 3))
        job = faked.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="faked")
        assert job["HyperParameterTuningJobStatus"] == "Completed", "moto alone says so at once"


def test_moto_is_as_it_was_while_the_server_runs(shared: Used) -> None:
    assert moto.sagemaker.urls.url_paths["{0}/$"] == SageMakerResponse.dispatch


def test_mounted_folders_are_objects(tmp_path: Path, emulate: Callable[..., Used]) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.csv").write_text("1,2")
    used = emulate(mounts={"s3://data/train/": tmp_path})
    assert used.client("s3").get_object(Bucket="data", Key="train/deep/a.csv")["Body"].read() == b"1,2"


def test_accounts_and_regions_are_apart(emulate: Callable[..., Used]) -> None:
    used = emulate(account="111122223333", region="eu-west-1")
    there = boto3.client("sagemaker", **used.emulator.of_client)
    made = there.create_training_job(**training(used.emulator, "there"))
    assert made["TrainingJobArn"] == "arn:aws:sagemaker:eu-west-1:111122223333:training-job/there"
    assert used.sagemaker.list_training_jobs()["TrainingJobSummaries"] == []
    assert used.client("sts").get_caller_identity()["Account"] == "111122223333"


def test_the_fixture_sets_the_environment(sagemaker_emulator: SageMakerEmulator) -> None:
    client = boto3.client("sagemaker")
    assert client.meta.endpoint_url == sagemaker_emulator.url
    assert client.list_training_jobs()["TrainingJobSummaries"] == []
    assert boto3.client("s3").list_buckets()["Buckets"][0]["Name"] == sagemaker_emulator.bucket


def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    with served_by_the_command("sagemaker", "--mount", f"s3://data/x={tmp_path}", "--image", f"*={ECHO}") as variables:
        keys = {name.lower(): variables[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        s3 = boto3.client("s3", endpoint_url=variables["AWS_ENDPOINT_URL"], region_name="us-east-1", **keys)
        assert s3.get_object(Bucket="data", Key="x/a.txt")["Body"].read() == b"a"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["emulate", "local"], "no emulator of 'local'"),
        (["emulate", "nowhere"], "no emulator of 'nowhere'"),
        (["emulate", "sagemaker", "--image", "x"], "is not like"),
    ],
)
def test_the_command_tells_what_is_wrong(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    from cloudtune.cli.app import run_app

    assert run_app(words) == 2
    assert message in capsys.readouterr().err
