"""Training jobs in SageMaker's container contract, beside S3 and logs of moto."""

from __future__ import annotations

import functools
import io
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cloudtune.emulation.images import Images
from cloudtune.emulation.mounting import Bubblewrap, NotMounted, mounting, problem
from cloudtune_sagemaker.emulator.cloud import Cloud
from cloudtune_sagemaker.emulator.logstream import GROUP
from cloudtune_sagemaker.emulator.training import BASE

if TYPE_CHECKING:
    from cloudtune_sagemaker.emulator.container import Ended

ACCOUNT, REGION = "123456789012", "us-east-1"

NOT_MOUNTED = NotMounted("the test says so")

BUBBLEWRAP = Bubblewrap(shutil.which("bwrap") or "bwrap")

needs_mount = pytest.mark.skipif(not mounting(BASE).works, reason=mounting(BASE).why_not)

needs_bubblewrap = pytest.mark.skipif(bool(problem(BUBBLEWRAP, BASE)), reason=problem(BUBBLEWRAP, BASE))

WAYS = [
    pytest.param(None, id="mounted", marks=needs_mount),
    pytest.param(BUBBLEWRAP, id="bubblewrap", marks=needs_bubblewrap),
    pytest.param(NOT_MOUNTED, id="not mounted"),
]


@functools.cache
def client(service: str) -> Any:
    """A client for whichever moto is there when it is used; making one takes longer than most tests."""
    import boto3

    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.client(service, region_name=REGION, **keys)


class Aws:
    """The emulator's surroundings of a test: S3, logs, and the containers that it started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.s3 = client("s3")
        self.s3.create_bucket(Bucket="bucket")
        self.jobs: list[Job] = []

    def put(self, key: str, body: str | bytes) -> None:
        self.s3.put_object(Bucket="bucket", Key=key, Body=body)

    def get(self, key: str) -> bytes:
        return self.s3.get_object(Bucket="bucket", Key=key)["Body"].read()

    def keys(self, prefix: str = "") -> list[str]:
        listed = self.s3.list_objects_v2(Bucket="bucket", Prefix=prefix)
        return [item["Key"] for item in listed.get("Contents", [])]

    def tar(self, key: str) -> dict[str, bytes | None]:
        with tarfile.open(fileobj=io.BytesIO(self.get(key))) as tar:
            return {one.name: tar.extractfile(one).read() if one.isfile() else None for one in tar}  # type: ignore[union-attr]

    def streams(self) -> list[str]:
        logs = client("logs")
        try:
            return [one["logStreamName"] for one in logs.describe_log_streams(logGroupName=GROUP)["logStreams"]]
        except logs.exceptions.ResourceNotFoundException:
            return []

    def lines(self, job: str, host: str = "algo-1") -> list[str]:
        logs = client("logs")
        found: list[str] = []
        for stream in self.streams():
            if stream.startswith(f"{job}/{host}-"):
                events = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)["events"]
                found += [event["message"] for event in events]
        return found

    def start(self, code: str = "", **members: Any) -> Job:
        """Starts a job; `code` is Python that an entrypoint runs."""
        algorithm = {
            **({"ContainerEntrypoint": ["python", "-c", code]} if code else {}),
            **members.pop("AlgorithmSpecification", {}),
        }
        options = {name: members.pop(name) for name in ("images", "way", "grace", "environment") if name in members}
        request = {
            "TrainingJobName": f"job-{len(self.jobs)}",
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/out/"},
            **members,
            "AlgorithmSpecification": algorithm,
        }
        job = Job(request, self.folder / f"job-{len(self.jobs)}", options)
        self.jobs.append(job)
        job.container.start()
        return job

    def run(self, code: str = "", **members: Any) -> Job:
        """Starts a job and waits for its end."""
        job = self.start(code, **members)
        job.end()
        return job


class Job:
    """A container and what it said."""

    def __init__(self, request: dict[str, Any], folder: Path, options: dict[str, Any]) -> None:
        from cloudtune_sagemaker.emulator.container import Container
        from cloudtune_sagemaker.emulator.training import Training

        self.name = request["TrainingJobName"]
        self.folder = folder
        self.phases: list[str] = []
        self.metrics: list[tuple[str, float]] = []
        self.moments: list[float] = []
        self.ended: list[Ended] = []
        self._changed = threading.Condition()
        self.container = Container(
            Training(request, f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{self.name}", REGION),
            cloud=Cloud(ACCOUNT, REGION),
            folder=folder,
            images=options.pop("images", Images()),
            on_phase=lambda status, _: self._note(self.phases, status),
            on_metric=self._metric,
            on_end=lambda ended: self._note(self.ended, ended),
            **options,
        )

    def _metric(self, name: str, value: float, moment: float) -> None:
        self.moments.append(moment)
        self._note(self.metrics, (name, value))

    def _note(self, into: list[Any], it: Any) -> None:
        with self._changed:
            into.append(it)
            self._changed.notify_all()

    def until(self, what: Callable[[], object], seconds: float = 20) -> None:
        with self._changed:
            assert self._changed.wait_for(what, seconds), f"{self.phases} {self.metrics} {self.ended}"

    def end(self) -> Ended:
        self.until(lambda: self.ended)
        return self.ended[0]


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    from moto import mock_aws

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        aws = Aws(tmp_path)
        yield aws
        for job in aws.jobs:
            job.container.close()


def channel(name: str = "train", uri: str = "s3://bucket/data", **more: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, **more.pop("source", {})}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **more}


def archive(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return packed.getvalue()


def script_mode(aws: Aws, files: dict[str, str], **hyperparameters: str) -> dict[str, str]:
    aws.put("code/sourcedir.tar.gz", archive(files))
    place = {"sagemaker_submit_directory": "s3://bucket/code/sourcedir.tar.gz"}
    return {"sagemaker_program": next(iter(files)), **place, **hyperparameters}


def metric(name: str = "acc", regex: str = r"acc=(\S+)") -> dict[str, Any]:
    return {"MetricDefinitions": [{"Name": name, "Regex": regex}]}
