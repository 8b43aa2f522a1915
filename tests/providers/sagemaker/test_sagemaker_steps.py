"""`export --as step` writes what SageMaker's own SDK writes as the step of a pipeline, request by request."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from cloudtune_sagemaker.provider import SageMakerProvider
from cloudtune_sagemaker.step import pipeline_with


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that sees this one's packages, and the SDK's pipelines beside them."""
    place = tmp_path_factory.mktemp("sdk")
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    python = place / "bin" / "python"
    packages = place / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (packages / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n")
    words = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "sagemaker-mlops>=1.20"]
    made = subprocess.run(words, capture_output=True, text=True, timeout=300)
    if made.returncode:
        pytest.skip(f"SageMaker's pipelines cannot be installed: {made.stderr.strip().splitlines()[-1]}")
    return python


@pytest.mark.complete
@pytest.mark.timeout(600)
def test_a_step_has_the_arguments_that_the_sdk_gives_it(sdk: Path) -> None:
    program = Path(__file__).with_name("sagemaker_sdk_steps.py")
    done = subprocess.run([str(sdk), str(program)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout.splitlines()[-1])
    assert len(theirs) == 5
    provider = SageMakerProvider({})
    for step in theirs:
        job = provider.from_native({"HyperParameterTuningJobName": "tuned", **step["Arguments"]})
        (own,) = pipeline_with(provider.plan(job).request, "tune", "")["Steps"]
        assert own.pop("Description") == ""
        assert own == step
