"""How a training job in SageMaker's container contract ends, from outside and on several machines."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sagemaker_containers import WAYS, Aws, Job, channel, metric, needs_mount

# Ends from outside


STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('acc=1'); time.sleep(600)"


@pytest.mark.parametrize("way", WAYS)
def test_a_stopped_program_may_save_its_model(aws: Aws, way: Any) -> None:
    code = (
        "import os, signal, sys\n"
        "def save(*_):\n    open(os.environ['SM_MODEL_DIR'] + '/m', 'w').write('saved'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, save); print('acc=1'); signal.pause()"
    )
    job = aws.start(code, AlgorithmSpecification=metric(), grace=120.0, way=way)
    job.until(lambda: job.metrics)
    began = time.monotonic()
    job.container.stop()
    ended = job.end()
    assert time.monotonic() - began < 60, "a program that obeys is not waited for"
    assert (ended.state, ended.why, ended.failure) == ("Stopped", "stop", "")
    assert job.phases == ["Starting", "Training", "Stopping", "Uploading", "Stopped"]
    assert aws.tar("out/job-0/output/model.tar.gz") == {"m": b"saved"}


def test_a_program_that_does_not_stop_is_killed_after_the_grace_time(aws: Aws) -> None:
    job = aws.start(STUBBORN, AlgorithmSpecification=metric(), grace=0.2)
    job.until(lambda: job.metrics)
    began = time.monotonic()
    job.container.stop()
    ended = job.end()
    assert 0.2 <= time.monotonic() - began < 60
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
    assert 1 <= time.monotonic() - began < 60
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
    assert time.monotonic() - began < 60, "what holds the output open is not waited for"
    assert job.end().state == "Completed"
    assert aws.keys("out/job-0/output/output.tar.gz"), "the daemon was there"
    assert processes_of(job) == []


def test_close_ends_everything_at_once_and_says_nothing_more(aws: Aws) -> None:
    job = aws.start(DAEMON + STUBBORN, AlgorithmSpecification=metric(), grace=120.0)
    job.until(lambda: job.metrics)
    assert processes_of(job)
    phases = list(job.phases)
    began = time.monotonic()
    job.container.close()
    job.container.close()
    assert time.monotonic() - began < 60
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
from cloudtune_sagemaker.emulator.training import Training
from cloudtune.emulation.images import Images
from moto import mock_aws
with mock_aws():
    seen = threading.Event()
    entrypoint = ["sh", "-c", "exec python -c 'import time; print(1); time.sleep(600)'"]
    algorithm = {"ContainerEntrypoint": entrypoint, "MetricDefinitions": [{"Name": "m", "Regex": "(1)"}]}
    Container(
        Training({"TrainingJobName": "j", "AlgorithmSpecification": algorithm}, "a", "us-east-1"), cloud=Cloud("1" * 12, "us-east-1"),
        folder=pathlib.Path(sys.argv[1]), images=Images(), on_phase=print, on_metric=lambda *_: seen.set(), on_end=print,
    ).start()
    assert seen.wait(100)
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
