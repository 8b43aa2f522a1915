"""A training job in SageMaker's container contract: what its program finds, what becomes of what it leaves."""

from __future__ import annotations

import functools
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from late import LATE

from cloudtune.emulation.images import Images
from cloudtune.emulation.mounting import Bubblewrap, NotMounted, mounting, problem
from cloudtune_sagemaker.emulator.cloud import Cloud
from cloudtune_sagemaker.emulator.logstream import GROUP
from cloudtune_sagemaker.emulator.training import BASE

if LATE:
    import boto3
    from moto import mock_aws

    from cloudtune_sagemaker.emulator.container import Container, Ended


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
        self.name = request["TrainingJobName"]
        self.folder = folder
        self.phases: list[str] = []
        self.metrics: list[tuple[str, float]] = []
        self.moments: list[float] = []
        self.ended: list[Ended] = []
        self._changed = threading.Condition()
        self.container = Container(
            request,
            arn=f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{self.name}",
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


# An end


@pytest.mark.parametrize("way", WAYS)
def test_a_program_that_ends_well_completes_the_job_and_its_model_comes_back(aws: Aws, way: Any) -> None:
    code = "import os; open(os.environ['SM_MODEL_DIR'] + '/weights', 'w').write('42')"
    job = aws.run(code, way=way, InputDataConfig=[])
    ended = job.end()
    assert (ended.state, ended.failure, ended.why, ended.exit_code) == ("Completed", "", "", 0)
    assert ended.started <= ended.ended <= time.time()
    assert job.phases == ["Starting", "Training", "Uploading", "Completed"]
    assert ended.artifacts == "s3://bucket/out/job-0/output/model.tar.gz"
    assert aws.tar("out/job-0/output/model.tar.gz") == {"weights": b"42"}
    assert aws.keys() == ["out/job-0/output/model.tar.gz"], "there was no other output"


def test_the_other_output_comes_back_too_and_archives_are_reproducible(aws: Aws) -> None:
    code = (
        "import os, pathlib; base = pathlib.Path(os.environ['SM_OUTPUT_DATA_DIR']); (base / 'plots').mkdir();"
        "(base / 'plots/a.txt').write_text('a'); (base / 'link').symlink_to('plots/a.txt');"
        "p = pathlib.Path(os.environ['SM_MODEL_DIR']); (p / 'b').write_text('b'); (p / 'a').write_text('a');"
        "(p / 'run.sh').write_text(''); (p / 'run.sh').chmod(0o700); (p / 'again').hardlink_to(p / 'a')"
    )
    aws.run(code)
    aws.run(code)
    assert aws.tar("out/job-0/output/output.tar.gz") == {"link": None, "plots": None, "plots/a.txt": b"a"}
    assert aws.tar("out/job-0/output/model.tar.gz") == {"a": b"a", "again": b"a", "b": b"b", "run.sh": b""}
    for name in ("model.tar.gz", "output.tar.gz"):
        assert aws.get(f"out/job-0/output/{name}") == aws.get(f"out/job-1/output/{name}")


def test_a_model_may_come_back_unpacked(aws: Aws) -> None:
    output = {"S3OutputPath": "s3://bucket/out", "CompressionType": "NONE"}
    code = "import os; open(os.environ['SM_MODEL_DIR'] + '/weights', 'w').write('42')"
    ended = aws.run(code, OutputDataConfig=output).end()
    assert ended.artifacts == "s3://bucket/out/job-0/output/model/"
    assert aws.get("out/job-0/output/model/weights") == b"42"


def test_a_missing_bucket_for_the_results_fails_the_job(aws: Aws) -> None:
    ended = aws.run("pass", OutputDataConfig={"S3OutputPath": "s3://no-such-bucket/out"}).end()
    assert ended.state == "Failed"
    assert ended.failure.startswith("ClientError: Artifact upload failed:")
    assert "no-such-bucket" in ended.failure


def test_the_failure_file_is_the_reason(aws: Aws) -> None:
    code = "import os, sys; open(os.environ['SM_OUTPUT_DIR'] + '/failure', 'w').write('bad data in row 7'); sys.exit(3)"
    job = aws.run(code)
    assert (job.end().state, job.end().exit_code) == ("Failed", 3)
    assert job.end().failure == "AlgorithmError: bad data in row 7, exit code: 3"
    assert job.phases[-1] == "Failed"
    assert aws.keys() == [], "a failed job has no model"


def test_without_a_failure_file_the_last_output_is_the_reason(aws: Aws) -> None:
    code = "print('epoch 1'); raise ValueError('the learning rate is ' + 'high ' * 400)"
    failure = aws.run(code).end().failure
    assert failure.startswith("AlgorithmError: Traceback (most recent call last)")
    assert failure.endswith(", exit code: 1")
    assert len(failure) <= 1024
    assert "epoch 1" not in failure


def test_a_killed_program_says_by_its_exit_code_which_signal_it_was(aws: Aws) -> None:
    ended = aws.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)").end()
    assert (ended.state, ended.exit_code) == ("Failed", 137)
    assert ended.failure.endswith(", exit code: 137")


def test_a_program_that_does_not_exist_fails_the_job(aws: Aws) -> None:
    for way in (None, NOT_MOUNTED):
        ended = aws.run(AlgorithmSpecification={"ContainerEntrypoint": ["no-such-program"]}, way=way).end()
        assert ended.state == "Failed"
        assert "no-such-program" in ended.failure
        assert ended.failure.endswith("exit code: 127")


# What the program finds


def names_in(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).glob("*"))


@pytest.mark.parametrize("way", WAYS[:2])
def test_the_folder_is_really_at_opt_ml(aws: Aws, way: Any) -> None:
    before = names_in("/opt")
    code = (
        "import json, os; print(sorted(os.listdir('/opt/ml')), os.getcwd(), sorted(os.listdir('/opt')));"
        "print(json.load(open('/opt/ml/input/config/hyperparameters.json')));"
        "open('/opt/ml/model/m', 'w').write('x'); print(os.environ['SM_MODEL_DIR'], open('/etc/hosts').read())"
    )
    job = aws.run(code, HyperParameters={"lr": "0.1", "n": "3"}, way=way)
    assert job.end().state == "Completed", job.end()
    lines = aws.lines(job.name)
    others = sorted({*before, "ml"})
    assert lines[0] == f"['checkpoints', 'code', 'input', 'model', 'output'] /opt/ml/code {others}"
    assert lines[1] == "{'lr': '0.1', 'n': '3'}"
    assert lines[2] == "/opt/ml/model 127.0.1.1 algo-1"
    assert aws.tar("out/job-0/output/model.tar.gz") == {"m": b"x"}
    assert names_in("/opt") == before


def test_where_nothing_can_be_mounted_the_variables_and_the_command_lead_to_the_folder(aws: Aws) -> None:
    aws.put("data/x.txt", "7")
    code = (
        "import os; print(os.environ['SM_HP_OUT'], os.environ['HERE'], os.environ['SAGEMAKER_BASE_DIR'], os.getcwd())"
    )
    job = aws.run(
        AlgorithmSpecification={
            "ContainerEntrypoint": ["/bin/sh"],
            "ContainerArguments": ["-c", f'cat /opt/ml/input/data/train/x.txt; echo; exec python -c "{code}"'],
        },
        HyperParameters={"out": "/opt/ml/model"},
        Environment={"HERE": "/opt/ml/output/data"},
        InputDataConfig=[channel()],
        way=NOT_MOUNTED,
    )
    root = job.folder / "algo-1"
    assert aws.lines(job.name) == ["7", f"{root}/model {root}/output/data {root} {root}/code"]


def test_a_script_that_opens_opt_ml_where_it_is_not_mounted_gets_a_clear_message(aws: Aws) -> None:
    if Path("/opt/ml").exists():
        pytest.skip("this machine has an /opt/ml of its own")
    job = aws.run("open('/opt/ml/input/config/' + 'hyperparameters.json')", way=NOT_MOUNTED)
    # the command's own text is led there; a path that the script makes up is not
    assert job.end().state == "Completed"
    job = aws.run("open('/opt' + '/ml/input/config/hyperparameters.json')", way=NOT_MOUNTED)
    failure = job.end().failure
    assert "No such file or directory: '/opt/ml/input" in failure
    assert "could not mount /opt/ml on this machine: the test says so" in failure
    assert "SM_MODEL_DIR" in failure
    assert any(line.startswith("emulator: ") and "/opt/ml" in line for line in aws.lines(job.name))


def test_the_configuration_files(aws: Aws) -> None:
    aws.put("data/x.txt", "7")
    code = (
        "import os, sys; base = os.environ['SM_INPUT_CONFIG_DIR'];"
        "[print(open(f'{base}/{n}.json').read()) for n in ('hyperparameters', 'inputdataconfig', 'resourceconfig')]"
    )
    job = aws.run(
        code,
        HyperParameters={"lr": "1e-3"},
        InputDataConfig=[channel(ContentType="text/csv"), channel("val", InputMode="FastFile")],
        ResourceConfig={"InstanceType": "ml.c5.xlarge", "InstanceCount": 1},
    )
    hyperparameters, inputs, resources = (json.loads(line) for line in aws.lines(job.name))
    assert hyperparameters == {"lr": "1e-3"}
    common = {"S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    assert inputs == {
        "train": {"ContentType": "text/csv", "TrainingInputMode": "File", **common},
        "val": {"TrainingInputMode": "FastFile", **common},
    }
    assert resources.pop("network_interface_name")
    group = {"instance_group_name": "homogeneousCluster", "instance_type": "ml.c5.xlarge", "hosts": ["algo-1"]}
    assert resources == {
        "current_host": "algo-1",
        "current_instance_type": "ml.c5.xlarge",
        "current_group_name": "homogeneousCluster",
        "hosts": ["algo-1"],
        "instance_groups": [group],
    }
    assert job.phases[:3] == ["Starting", "Downloading", "Training"]


def test_the_environment_is_the_contracts_and_not_the_emulators(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET_OF_THE_EMULATOR", "x")
    aws.put("data/x.txt", "7")
    job = aws.run(
        "import json, os, sys; print(json.dumps(dict(os.environ))); print(sys.executable)",
        HyperParameters={"learning-rate": "0.1", "name": "a b", "deep": '{"x": [1, 2]}', "sagemaker_job_name": '"j"'},
        Environment={"EPOCHS": "3"},
        InputDataConfig=[channel()],
        environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "dummy"},
        way=NOT_MOUNTED,
    )
    dumped, executable = aws.lines(job.name)
    seen, root = json.loads(dumped), str(job.folder / "algo-1")
    assert "A_SECRET_OF_THE_EMULATOR" not in seen
    assert "AWS_SECRET_ACCESS_KEY" not in seen, "the emulator's own credentials are not handed on"
    assert Path(executable).samefile(sys.executable)
    expected = {
        "EPOCHS": "3",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "dummy",
        "AWS_REGION": REGION,
        "TRAINING_JOB_NAME": job.name,
        "TRAINING_JOB_ARN": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{job.name}",
        "CLOUDTUNE_RUN": job.name,
        "SM_HP_LEARNING-RATE": "0.1",
        "SM_HP_NAME": "a b",
        "SM_HP_DEEP": '{"x":[1,2]}',
        "SM_HPS": '{"deep":{"x":[1,2]},"learning-rate":0.1,"name":"a b"}',
        "SM_USER_ARGS": '["--deep","x=[1, 2]","--learning-rate","0.1","--name","a b"]',
        "SM_CHANNELS": '["train"]',
        "SM_CHANNEL_TRAIN": f"{root}/input/data/train",
        "SM_MODEL_DIR": f"{root}/model",
        "SM_OUTPUT_DATA_DIR": f"{root}/output/data",
        "SM_OUTPUT_DIR": f"{root}/output",
        "SM_INPUT_DIR": f"{root}/input",
        "SM_INPUT_CONFIG_DIR": f"{root}/input/config",
        "SM_CURRENT_HOST": "algo-1",
        "SM_HOSTS": '["algo-1"]',
        "SM_NUM_CPUS": str(os.cpu_count()),
        "SM_LOG_LEVEL": "20",
        "SM_FRAMEWORK_PARAMS": "{}",
    }
    assert {name: seen.get(name) for name in expected} == expected
    training = json.loads(seen["SM_TRAINING_ENV"])
    assert training["job_name"] == job.name
    assert training["hyperparameters"] == json.loads(seen["SM_HPS"])
    assert training["channel_input_dirs"] == {"train": f"{root}/input/data/train"}


def test_an_isolated_container_gets_no_way_to_aws(aws: Aws) -> None:
    job = aws.run(
        "import os; print(sorted(n for n in os.environ if n.startswith('AWS_')), os.environ['TOKEN'])",
        EnableNetworkIsolation=True,
        environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "TOKEN": "t"},
    )
    assert aws.lines(job.name) == ["['AWS_DEFAULT_REGION', 'AWS_REGION'] t"]


# What is run


def test_script_mode_runs_the_script_as_the_toolkit_does(aws: Aws) -> None:
    files = {
        "train.py": "import sys, os, helper; print(sys.argv[1:], helper.X, os.environ['SM_USER_ENTRY_POINT'])",
        "helper.py": "X = 5",
    }
    given = script_mode(aws, files, lr="0.01", kernel='"rbf"', deep="[1, 2]", flag="true", nothing="null", k="3")
    given |= {name: json.dumps(value) for name, value in given.items() if name.startswith("sagemaker_")}
    given |= {"_tuning_objective_metric": "acc", "sagemaker_container_log_level": "10"}
    job = aws.run(HyperParameters=given)
    words = ["--deep", "[1, 2]", "--flag", "True", "-k", "3", "--kernel", "rbf", "--lr", "0.01", "--nothing", ""]
    assert aws.lines(job.name) == [f"{words} 5 train.py"]
    assert job.end().state == "Completed"


def test_script_mode_runs_shell_scripts_and_packages(aws: Aws) -> None:
    job = aws.run(HyperParameters=script_mode(aws, {"run.sh": '#!/bin/sh\necho "$1 <$2>"'}, name="a 'b"))
    assert aws.lines(job.name) == ["--name <a 'b>"]
    package = {"work/__main__.py": "import sys; print('package', sys.argv[1:])", "setup.py": "", "work/__init__.py": ""}
    given = {**script_mode(aws, package, rate="1"), "sagemaker_program": "work"}
    assert aws.lines(aws.run(HyperParameters=given).name) == ["package ['--rate', '1']"]


def test_script_mode_takes_code_from_a_channel(aws: Aws) -> None:
    aws.put("code/train.py", "print('from a channel')")
    given = {"sagemaker_program": "train.py", "sagemaker_submit_directory": "/opt/ml/input/data/code"}
    for way in (None, NOT_MOUNTED):
        job = aws.run(HyperParameters=given, InputDataConfig=[channel("code", "s3://bucket/code")], way=way)
        assert aws.lines(job.name) == ["from a channel"], job.end()


def test_a_script_that_fails_is_described_as_the_toolkit_does(aws: Aws) -> None:
    ended = aws.run(HyperParameters=script_mode(aws, {"train.py": "import sys; sys.exit('no data')"}, lr="1")).end()
    assert ended.exit_code == 1
    assert ended.failure.startswith('AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "no data"\n')
    assert 'train.py --lr 1", exit code: 1' in ended.failure


def link(name: str, target: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = tarfile.SYMTYPE, target
        tar.addfile(info)
    return packed.getvalue()


@pytest.mark.parametrize(
    "evil",
    [
        pytest.param(archive({"../outside.py": "evil"}), id="path"),
        pytest.param(link("out", "/etc"), id="absolute link"),
        pytest.param(link("out", "../../.."), id="relative link"),
    ],
)
def test_an_archive_that_would_leave_the_folder_of_the_code_is_refused(aws: Aws, evil: bytes) -> None:
    given = script_mode(aws, {"train.py": "print('ran')"})
    aws.put("code/sourcedir.tar.gz", evil)
    job = aws.run(HyperParameters=given)
    assert job.end().state == "Failed"
    assert "cannot be unpacked" in job.end().failure
    assert not (job.folder / "algo-1" / "outside.py").exists()


def test_absolute_paths_of_an_archive_stay_in_the_folder_of_the_code(aws: Aws) -> None:
    name = str(aws.folder / "outside.py")
    job = aws.run(HyperParameters=script_mode(aws, {"train.py": "print('ran')", name: "evil"}))
    assert aws.lines(job.name) == ["ran"]
    assert not Path(name).exists()


def test_code_that_is_not_there_fails_the_job(aws: Aws) -> None:
    place = {"sagemaker_program": "train.py", "sagemaker_submit_directory": "s3://bucket/none.tar.gz"}
    assert "s3://bucket/none.tar.gz" in aws.run(HyperParameters=place).end().failure
    given = {**script_mode(aws, {"train.py": ""}), "sagemaker_program": "other.py"}
    assert "there is no 'other.py' in" in aws.run(HyperParameters=given).end().failure
    elsewhere = {"sagemaker_program": "train.py", "sagemaker_submit_directory": "/workspace"}
    assert "no files of an image" in aws.run(HyperParameters=elsewhere).end().failure


def test_requirements_that_are_missing_and_launchers_are_named_in_the_log(aws: Aws) -> None:
    requirements = "# ours\nmoto>=1\nno-such-package-xyz==1.0 ; python_version > '3'\n-r other.txt\n"
    files = {"train.py": "print('ran')", "requirements.txt": requirements}
    job = aws.run(HyperParameters=script_mode(aws, files, sagemaker_mpi_enabled="true"))
    mpi, missing, ran = aws.lines(job.name)
    assert mpi.startswith("emulator: sagemaker_mpi_enabled is not heeded")
    assert missing.endswith("missing: no-such-package-xyz")
    assert ran == "ran"


def test_a_program_stands_for_an_image(aws: Aws) -> None:
    images = Images({"*/xgboost:*": ["python", "-c", "import sys; print('words', sys.argv[1:])"], "knn": "echo a line"})
    image = {"TrainingImage": "1.dkr.ecr.us-east-1.amazonaws.com/xgboost:1.7", "ContainerArguments": ["train"]}
    assert aws.lines(aws.run(AlgorithmSpecification=image, images=images).name) == ["words ['train']"]
    assert aws.lines(aws.run(AlgorithmSpecification={"AlgorithmName": "knn"}, images=images).name) == ["a line"]


def test_an_image_that_nothing_stands_for_fails_with_what_to_do(aws: Aws) -> None:
    job = aws.run(AlgorithmSpecification={"TrainingImage": "repo/image:1"})
    assert job.end().state == "Failed"
    for words in ("no Docker", "'repo/image:1'", "ContainerEntrypoint", "sagemaker_program", "Images"):
        assert words in job.end().failure
    assert job.end().exit_code is None


# Input data


def test_files_go_where_their_prefix_says(aws: Aws) -> None:
    for key in ("data/a.txt", "data/deep/b.txt", "data2/c.txt", "data/", "lone.csv"):
        aws.put(key, key)
    code = (
        "import os; base = os.environ['SM_INPUT_DIR'] + '/data';"
        "print(sorted(os.path.relpath(os.path.join(d, f), base) for d, _, fs in os.walk(base) for f in fs))"
    )
    inputs = [
        channel("slash", "s3://bucket/data/"), channel("part", "s3://bucket/da"), channel("lone", "s3://bucket/lone.csv"),
    ]  # fmt: skip
    job = aws.run(code, InputDataConfig=inputs)
    found = [
        "lone/lone.csv",
        "part/data/a.txt",
        "part/data/deep/b.txt",
        "part/data2/c.txt",
        "slash/a.txt",
        "slash/deep/b.txt",
    ]
    assert aws.lines(job.name) == [str(found)]


def test_a_manifest_names_its_files(aws: Aws) -> None:
    aws.put("raw/x/1.txt", "1")
    aws.put("raw/2.txt", "2")
    aws.put("list.manifest", json.dumps([{"prefix": "s3://bucket/raw/"}, "x/1.txt", "2.txt"]))
    code = (
        "import os; d = os.environ['SM_CHANNEL_TRAIN']; print(open(d + '/x/1.txt').read() + open(d + '/2.txt').read())"
    )
    source = {"S3DataType": "ManifestFile"}
    job = aws.run(code, InputDataConfig=[channel(uri="s3://bucket/list.manifest", source=source)])
    assert aws.lines(job.name) == ["12"]
    aws.put("bad.manifest", json.dumps([{"prefix": "s3://bucket/raw/"}, "none.txt"]))
    failure = aws.run(code, InputDataConfig=[channel(uri="s3://bucket/bad.manifest", source=source)]).end().failure
    assert "s3://bucket/raw/none.txt" in failure


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (channel(uri="s3://bucket/nothing"), 'No S3 objects found under S3 URL "s3://bucket/nothing"'),
        (channel(uri="s3://no-such-bucket/x"), "no-such-bucket"),
        ({"ChannelName": "fs", "DataSource": {"FileSystemDataSource": {}}}, "no file systems"),
        (channel(uri="s3://bucket/bad"), "would leave the folder of its channel"),
    ],
)
def test_data_that_cannot_be_had_fails_the_job(aws: Aws, given: dict[str, Any], words: str) -> None:
    aws.put("bad/../../../../evil", "x")
    job = aws.run("pass", InputDataConfig=[given])
    assert job.end().state == "Failed"
    assert words in job.end().failure
    assert job.phases == ["Starting", "Downloading", "Failed"]


def test_pipe_mode_gives_one_named_pipe_an_epoch(aws: Aws) -> None:
    aws.put("data/1", "one,")
    aws.put("data/2", "x" * 200_000)
    code = (
        "import os; base = os.environ['SM_CHANNEL_TRAIN'];"
        "[print(e, len(t), t[:4]) for e in range(3) for t in [open(f'{base}_{e}').read()]];"
        "print(open(f'{base}_3', 'rb').read(4))"
    )
    job = aws.run(code, InputDataConfig=[channel()], AlgorithmSpecification={"TrainingInputMode": "Pipe"})
    assert aws.lines(job.name) == [*(f"{epoch} 200004 one," for epoch in range(3)), "b'one,'"]
    assert job.end().state == "Completed"
    names = {thread.name for thread in threading.enumerate()}
    assert "pipe train" not in names


def test_pipe_mode_wraps_records_and_augmented_manifests(aws: Aws) -> None:
    aws.put("img/1.png", b"PNG")
    aws.put("m.jsonl", '{"image-ref": "s3://bucket/img/1.png", "label": 5, "other": 1}\n')
    source = {"S3DataType": "AugmentedManifestFile", "AttributeNames": ["image-ref", "label"]}
    given = channel(uri="s3://bucket/m.jsonl", source=source, InputMode="Pipe", RecordWrapperType="RecordIO")
    job = aws.run(
        "import os; print(open(os.environ['SM_CHANNEL_TRAIN'] + '_0', 'rb').read().hex())", InputDataConfig=[given]
    )
    magic = "0a23d7ce"
    assert aws.lines(job.name) == [f"{magic}03000000{b'PNG'.hex()}00{magic}01000000{b'5'.hex()}000000"]


def test_a_pipe_that_nobody_reads_does_not_keep_the_job(aws: Aws) -> None:
    aws.put("data/1", "x" * 1_000_000)
    job = aws.run("pass", InputDataConfig=[channel(InputMode="Pipe")])
    assert job.end().state == "Completed"
    code = "import os; f = open(os.environ['SM_CHANNEL_TRAIN'] + '_0'); print(f.read(2))"
    assert aws.lines(aws.run(code, InputDataConfig=[channel(InputMode="Pipe")]).name) == ["xx"]


# Output


def test_lines_arrive_in_order_while_the_program_runs(aws: Aws) -> None:
    code = (
        "import os, sys; print('first'); print('to stderr', file=sys.stderr); print(); print('bar 1\\rbar 2');"
        "print('acc=1'); f = open(os.environ['SM_OUTPUT_DIR'] + '/go') if 0 else sys.stdin;"
        "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('last', end='')));"
        "print('acc=2'); signal.pause()"
    )
    job = aws.start(code, AlgorithmSpecification=metric())
    job.until(lambda: ("acc", 2.0) in job.metrics)
    came = time.monotonic()
    while len(aws.lines(job.name)) < 5 and time.monotonic() < came + 60:
        threading.Event().wait(0.01)
    job.container.stop()
    job.end()
    assert aws.lines(job.name) == ["first", "to stderr", "bar 1\rbar 2", "acc=1", "acc=2", "last"]
    [stream] = aws.streams()
    prefix, _, moment = stream.rpartition("-")
    assert prefix == f"{job.name}/algo-1"
    assert abs(int(moment) - time.time()) < 60


def test_much_output_and_odd_bytes_are_kept(aws: Aws) -> None:
    code = (
        "import sys; sys.stdout.buffer.write(b'\\xff odd\\n');"
        "sys.stdout.write(''.join(f'line {i}\\n' for i in range(5000))); sys.stdout.write('y' * 300_000)"
    )
    job = aws.run(code)
    stream = client("logs")
    events: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = stream.get_log_events(logGroupName=GROUP, logStreamName=aws.streams()[0], startFromHead=True, **token)
        if not page["events"]:
            break
        events += [event["message"] for event in page["events"]]
        token = {"nextToken": page["nextForwardToken"]}
    assert events[0] == "\N{REPLACEMENT CHARACTER} odd"
    assert events[1:5001] == [f"line {i}" for i in range(5000)]
    assert "".join(events[5001:]) == "y" * 300_000
    assert job.end().state == "Completed"


def test_metrics_are_found_as_they_are_printed(aws: Aws) -> None:
    definitions = {
        "MetricDefinitions": [
            {"Name": "acc", "Regex": r"acc=(?<value>[-+.\deE]+|nan|inf);"},
            {"Name": "validation:loss", "Regex": "loss: ([0-9.]+)(, |$)"},
            {"Name": "acc", "Regex": "final accuracy ([0-9.]+)"},
            {"Name": "bad", "Regex": "("},
            {"Name": "word", "Regex": "word=(.*)"},
        ]
    }
    code = "print('acc=0.5;acc=1e-3; loss: 7, '); print('acc=nan;'); print('word=seven'); print('final accuracy 0.9')"
    job = aws.run(code, AlgorithmSpecification=definitions)
    names = [name for name, _ in job.metrics]
    values = [value for _, value in job.metrics]
    assert names == ["acc", "acc", "validation:loss", "acc", "acc"]
    assert values[:3] == [0.5, 0.001, 7.0]
    assert values[3] != values[3], "nan"
    last = job.end().metrics
    assert {name: value for name, (value, _) in last.items()} == {"acc": 0.9, "validation:loss": 7.0}
    assert last["acc"][1] == job.moments[-1]
    assert aws.lines(job.name)[0].startswith("emulator: the regex of the metric 'bad' is not valid")


# Ends from outside


STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('acc=1'); time.sleep(600)"


@pytest.mark.parametrize("way", WAYS)
def test_a_stopped_program_may_save_its_model(aws: Aws, way: Any) -> None:
    code = (
        "import os, signal, sys\n"
        "def save(*_):\n    open(os.environ['SM_MODEL_DIR'] + '/m', 'w').write('saved'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, save); print('acc=1'); signal.pause()"
    )
    job = aws.start(code, AlgorithmSpecification=metric(), grace=10.0, way=way)
    job.until(lambda: job.metrics)
    began = time.monotonic()
    job.container.stop()
    ended = job.end()
    assert time.monotonic() - began < 5, "a program that obeys is not waited for"
    assert (ended.state, ended.why, ended.failure) == ("Stopped", "stop", "")
    assert job.phases == ["Starting", "Training", "Stopping", "Uploading", "Stopped"]
    assert aws.tar("out/job-0/output/model.tar.gz") == {"m": b"saved"}


def test_a_program_that_does_not_stop_is_killed_after_the_grace_time(aws: Aws) -> None:
    job = aws.start(STUBBORN, AlgorithmSpecification=metric(), grace=0.2)
    job.until(lambda: job.metrics)
    began = time.monotonic()
    job.container.stop()
    ended = job.end()
    assert 0.2 <= time.monotonic() - began < 5
    assert (ended.state, ended.exit_code, ended.artifacts) == ("Stopped", 137, "")


def test_a_stop_before_the_start_runs_nothing(aws: Aws) -> None:
    job = Job(
        {"TrainingJobName": "early", "AlgorithmSpecification": {"ContainerEntrypoint": ["false"]}}, aws.folder / "e", {}
    )
    aws.jobs.append(job)
    job.container.stop()
    job.container.start()
    assert (job.end().state, job.end().exit_code) == ("Stopped", None)


def test_the_greatest_run_time_ends_the_job(aws: Aws) -> None:
    code = "import os, time; open(os.environ['SM_MODEL_DIR'] + '/m', 'w').close(); time.sleep(600)"
    began = time.monotonic()
    job = aws.run(code, StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert 1 <= time.monotonic() - began < 5
    assert (job.end().state, job.end().why, job.end().exit_code) == ("Stopped", "time", 143)
    assert job.phases[-3:] == ["Stopping", "Uploading", "MaxRuntimeExceeded"]
    assert job.end().artifacts


def test_the_greatest_waiting_time_ends_a_spot_job(aws: Aws) -> None:
    limits = {"MaxRuntimeInSeconds": 100, "MaxWaitTimeInSeconds": 1}
    job = aws.run("import time; time.sleep(600)", StoppingCondition=limits, EnableManagedSpotTraining=True)
    assert (job.end().state, job.end().why) == ("Stopped", "spot")
    assert job.phases[-1] == "MaxWaitTimeExceeded"


def test_an_interrupted_training_goes_on_from_its_checkpoints(aws: Aws) -> None:
    aws.put("checkpoints/start", "5")
    code = (
        "import os, pathlib, signal\n"
        "base = pathlib.Path(os.environ['SM_MODEL_DIR']).parent / 'checkpoints'\n"
        "saved = base / 'deep' / 'epoch'\n"
        "print('begin', (base / 'start').read_text(), saved.exists(), os.listdir(os.environ['SM_MODEL_DIR']))\n"
        "if not saved.exists():\n"
        "    pathlib.Path(os.environ['SM_MODEL_DIR'], 'half').touch()\n"
        "    saved.parent.mkdir(); saved.write_text('3'); print('acc=1'); signal.pause()\n"
        "print('resumed at', saved.read_text())\n"
    )
    job = aws.start(
        code,
        AlgorithmSpecification=metric(),
        EnableManagedSpotTraining=True,
        CheckpointConfig={"S3Uri": "s3://bucket/checkpoints"},
        StoppingCondition={"MaxRuntimeInSeconds": 100, "MaxWaitTimeInSeconds": 200},
    )
    job.until(lambda: job.metrics)
    job.container.interrupt()
    assert job.end().state == "Completed"
    again = ["Starting", "Downloading", "Training"]
    assert job.phases == [*again, "Interrupted", *again, "Uploading", "Completed"]
    assert aws.lines(job.name) == ["begin 5 False []", "acc=1", "begin 5 True []", "resumed at 3"]
    assert aws.keys("checkpoints/") == ["checkpoints/deep/epoch", "checkpoints/start"]


def test_checkpoints_elsewhere_than_below_opt_ml_are_refused(aws: Aws) -> None:
    given = {"S3Uri": "s3://bucket/c", "LocalPath": "/var/checkpoints"}
    assert "/var/checkpoints" in aws.run("pass", CheckpointConfig=given).end().failure
    within = {"S3Uri": "s3://bucket/c", "LocalPath": "/opt/ml/mine"}
    code = "import os; open(os.path.dirname(os.environ['SM_MODEL_DIR']) + '/mine/x', 'w').write('1')"
    assert aws.run(code, CheckpointConfig=within).end().state == "Completed"
    assert aws.get("c/x") == b"1"


DAEMON = (
    "import os, sys, time\n"
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0:\n"
    "        null = os.open(os.devnull, os.O_RDWR); [os.dup2(null, n) for n in range(3)]\n"
    "        open(os.environ['SM_OUTPUT_DATA_DIR'] + '/pid', 'w').write('x'); time.sleep(600)\n"
    "    os._exit(0)\n"
    "os.wait()\n"
    "while not os.path.exists(os.environ['SM_OUTPUT_DATA_DIR'] + '/pid'): time.sleep(0.01)\n"
)


def processes_of(job: Job) -> list[int]:
    return processes_in(job.folder)


def processes_in(folder: Path) -> list[int]:
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"CLOUDTUNE_RUN_FOLDER={folder}\0".encode() in environ.read_bytes():
                found.append(int(environ.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("way", WAYS)
def test_nothing_that_a_program_started_outlives_it(aws: Aws, way: Any) -> None:
    background = "import subprocess; subprocess.Popen(['sleep', '600'])\n"
    began = time.monotonic()
    job = aws.run(DAEMON + background, way=way)
    assert time.monotonic() - began < 5, "what holds the output open is not waited for"
    assert job.end().state == "Completed"
    assert aws.keys("out/job-0/output/output.tar.gz"), "the daemon was there"
    assert processes_of(job) == []


def test_close_ends_everything_at_once_and_says_nothing_more(aws: Aws) -> None:
    job = aws.start(DAEMON + STUBBORN, AlgorithmSpecification=metric(), grace=60.0)
    job.until(lambda: job.metrics)
    assert processes_of(job)
    phases = list(job.phases)
    began = time.monotonic()
    job.container.close()
    job.container.close()
    assert time.monotonic() - began < 5
    assert (processes_of(job), job.ended, job.phases) == ([], [], phases)
    assert aws.keys() == []


def test_a_shell_that_dies_of_the_signal_does_not_take_the_time_of_its_child(aws: Aws) -> None:
    child = "import signal, sys, os; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('saved'))); print('acc=1'); signal.pause()"
    words = {"ContainerEntrypoint": ["sh", "-c", f'python -c "{child}"; true']}
    job = aws.start(AlgorithmSpecification={**words, **metric()}, grace=10.0)
    job.until(lambda: job.metrics)
    job.container.stop()
    job.end()
    assert aws.lines(job.name) == ["acc=1", "saved"]


KILLED = """
import os, pathlib, signal, sys, threading
from cloudtune_sagemaker.emulator.cloud import Cloud
from cloudtune_sagemaker.emulator.container import Container
from cloudtune.emulation.images import Images
from moto import mock_aws
with mock_aws():
    seen = threading.Event()
    entrypoint = ["sh", "-c", "exec python -c 'import time; print(1); time.sleep(600)'"]
    algorithm = {"ContainerEntrypoint": entrypoint, "MetricDefinitions": [{"Name": "m", "Regex": "(1)"}]}
    Container(
        {"TrainingJobName": "j", "AlgorithmSpecification": algorithm}, arn="a", cloud=Cloud("1" * 12, "us-east-1"),
        folder=pathlib.Path(sys.argv[1]), images=Images(), on_phase=print, on_metric=lambda *_: seen.set(), on_end=print,
    ).start()
    assert seen.wait(20)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not shutil.which("setpriv"), reason="there is no setpriv")
def test_a_program_does_not_outlive_an_emulator_that_is_killed(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "job")], timeout=60)
    assert done.returncode == -signal.SIGKILL
    until = time.monotonic() + 10
    while processes_in(tmp_path / "job") and time.monotonic() < until:
        threading.Event().wait(0.02)
    assert processes_in(tmp_path / "job") == []


def test_an_error_in_the_emulator_ends_the_job_and_its_processes(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a mistake")

    monkeypatch.setattr(Job, "_metric", broken)
    job = aws.run(STUBBORN, AlgorithmSpecification=metric())
    assert job.end().failure == "InternalServerError: the emulator failed: KeyError: 'a mistake'"
    assert processes_of(job) == []


# Several machines


def test_every_host_runs_with_its_own_configuration_and_share(aws: Aws) -> None:
    for number in range(5):
        aws.put(f"data/{number}", str(number))
    code = (
        "import json, os; c = json.load(open(os.environ['SM_INPUT_CONFIG_DIR'] + '/resourceconfig.json'));"
        "print(c['current_host'], c['hosts'], c['current_group_name'], c['current_instance_type'],"
        "sorted(os.listdir(os.environ['SM_CHANNEL_TRAIN'])));"
        "open(os.environ['SM_MODEL_DIR'] + '/' + c['current_host'], 'w').close();"
        "open(os.environ['SM_MODEL_DIR'] + '/shared', 'w').write(c['current_host'])"
    )
    groups = [
        {"InstanceGroupName": "cpu", "InstanceType": "ml.c5.xlarge", "InstanceCount": 1},
        {"InstanceGroupName": "gpu", "InstanceType": "ml.g5.xlarge", "InstanceCount": 1},
    ]
    job = aws.run(
        code,
        ResourceConfig={"InstanceGroups": groups},
        InputDataConfig=[channel(source={"S3DataDistributionType": "ShardedByS3Key"})],
    )
    assert job.end().state == "Completed"
    assert aws.lines(job.name, "algo-1") == ["algo-1 ['algo-1', 'algo-2'] cpu ml.c5.xlarge ['0', '2', '4']"]
    assert aws.lines(job.name, "algo-2") == ["algo-2 ['algo-1', 'algo-2'] gpu ml.g5.xlarge ['1', '3']"]
    assert aws.tar("out/job-0/output/model.tar.gz") == {"algo-1": b"", "shared": b"algo-1", "algo-2": b""}


@needs_mount
def test_hosts_find_each_other_by_name(aws: Aws) -> None:
    code = "import socket; print(socket.gethostbyname('algo-1'), socket.gethostbyname('algo-2'))"
    job = aws.run(code, ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2})
    assert aws.lines(job.name, "algo-2") == ["127.0.1.1 127.0.1.2"]


def test_a_host_that_fails_ends_the_others(aws: Aws) -> None:
    code = "import os, sys, time; sys.exit(5) if os.environ['SM_CURRENT_HOST'] == 'algo-2' else time.sleep(600)"
    job = aws.run(code, ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 2})
    assert (job.end().state, job.end().exit_code) == ("Failed", 5)


# The rest


def test_a_trivial_job_is_over_in_a_moment(aws: Aws) -> None:
    aws.run(AlgorithmSpecification={"ContainerEntrypoint": ["true"]})  # loads what the first one loads
    fastest = 9.0
    for _ in range(5):
        began = time.monotonic()
        aws.run(AlgorithmSpecification={"ContainerEntrypoint": ["true"]})
        fastest = min(fastest, time.monotonic() - began)
    assert fastest < 0.15


def test_jobs_run_side_by_side(aws: Aws) -> None:
    jobs = [aws.start(f"print('acc={number}')", AlgorithmSpecification=metric()) for number in range(8)]
    assert [job.end().metrics["acc"][0] for job in jobs] == list(range(8))
    assert len(aws.keys("out/")) == 8


def test_signals_of_the_emulators_terminal_do_not_reach_the_program(aws: Aws) -> None:
    job = aws.start("import os, time; print(f'acc={os.getpgid(0)}'); time.sleep(600)", AlgorithmSpecification=metric())
    job.until(lambda: job.metrics)
    group = int(job.metrics[0][1])
    assert group != os.getpgid(0)
    os.killpg(group, signal.SIGTERM)
    assert (job.end().state, job.end().exit_code) == ("Failed", 143)
