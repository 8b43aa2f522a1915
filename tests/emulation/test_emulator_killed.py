"""An emulator that is killed leaves nothing: no programs, no children of theirs, no folders."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from late import LATE

from cloudtune.testing.conformance import wait_until

if LATE:
    pytest.importorskip("moto")
    import boto3


TREE = "mktemp -d >&2; sleep 4711 & setsid sleep 4711 & (trap '' TERM; sleep 4711) & wait"
"""A program with a temporary folder and children, one of them in a session of its own, and one that ends at no request."""


def sleepers() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if words == b"sleep\x004711\x00":
            found.append(path.parent.name)
    return found


@pytest.mark.parametrize("keeper", [True, False], ids=["with its keeper beside it", "with its keeper"])
def test_a_killed_emulator_leaves_no_programs_and_no_folder(short: Path, keeper: bool) -> None:
    words = [sys.executable, "-m", "cloudtune", "emulate", "sagemaker", "--json", "--image", f"*={TREE}"]
    environment = {**os.environ, "TMPDIR": str(short), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as emulator:
        assert emulator.stdout is not None
        text = ""
        while not text.endswith("}\n"):
            text += emulator.stdout.readline()
        variables = json.loads(text)
        keys = {name.lower(): variables[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        client = boto3.client("sagemaker", endpoint_url=variables["AWS_ENDPOINT_URL"], region_name="us-east-1", **keys)
        client.create_training_job(
            TrainingJobName="tree",
            RoleArn=variables["CLOUDTUNE_SAGEMAKER_ROLE"],
            AlgorithmSpecification={"TrainingImage": "x", "TrainingInputMode": "File"},
            OutputDataConfig={"S3OutputPath": f"s3://{variables['CLOUDTUNE_SAGEMAKER_BUCKET']}/out"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 600},
        )
        wait_until(lambda: len(sleepers()) == 3)
        assert list(short.glob("cloudtune-sagemaker-*/t/*/tmp.*"))
        if not keeper:
            for child in _keepers(emulator.pid):
                os.kill(child, signal.SIGKILL)
        emulator.kill()
    if keeper:
        wait_until(lambda: not sleepers() and not list(short.iterdir()))
        return
    for each in sleepers():
        os.kill(int(each), signal.SIGKILL)
    subprocess.run(
        [sys.executable, "-c", "from cloudtune.emulation.workplace import Workplace; w = Workplace(None, 'sagemaker'); w.folder; w.close()"],
        env=environment, check=True,
    )  # fmt: skip
    assert not list(short.iterdir()), "the next one removes what is left"


def _keepers(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(each) for each in children if b"emulation/watcher.py" in Path(f"/proc/{each}/cmdline").read_bytes()]
