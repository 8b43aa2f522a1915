"""What travels to SageMaker, and how a trial starts from it in a container."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from cloudtune import TuningJob
from cloudtune.bundle import shipment as packing
from cloudtune.space.codecs import NumberAsText, ValuesAsText
from cloudtune.space.parameters import Categorical, Parameter
from cloudtune.space.space_codec import Flattened
from cloudtune_sagemaker import container

SCRIPT = """
import json, pathlib, sys
import cloudtune.trial as t
print("ARGUMENTS", json.dumps(sys.argv[1:]))
print("PARAMETERS", json.dumps(t.params()))
pathlib.Path(t.output_dir(), "model.txt").write_text("model")
print("DATA", pathlib.Path(t.data("train")).read_text())
print("NUMBER", t.number())
t.report(score=0.5, step=3)
if t.params()["kind"] == "bad":
    sys.exit(3)
"""


def choose(parameter: Parameter) -> list[Any]:
    return [ValuesAsText] if isinstance(parameter, Categorical) else [NumberAsText]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    source = tmp_path / "src"
    source.mkdir()
    (source / "train.py").write_text(SCRIPT)
    (source / "tool.py").write_text("def fit(x, kind, sub=None):\n    print('sub', sub)\n    return {'score': x}\n")
    (source / ".env").write_text("SECRET=1")
    (source / "notes.log").write_text("long")
    (tmp_path / "number.txt").write_text("7.25")
    return tmp_path


def job_of(**trial: Any) -> TuningJob:
    return TuningJob.from_data(
        {
            "name": "packed",
            "trial": {"source": "src", "command": "python train.py", "ignore": ["*.log"], **trial},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {
                "x": {"type": "float", "low": 0.0, "high": 1.0},
                "kind": {"type": "categorical", "values": ["good", "bad", 1, None]},
                "sub": {"type": "int", "low": 1, "high": 3, "when": {"kind": "good"}},
            },
            "limits": {"trials": 1},
            "data": {"train": "number.txt"},
        }
    )


def pack(job: TuningJob, base: Path, name: str) -> tuple[str, Path]:
    target = base / name
    return packing.pack(
        job,
        Flattened(job.search_space(), choose),
        base,
        target,
        provider="sagemaker",
        contract=Path(container.__file__),
    ), target


def test_the_same_job_is_packed_to_the_same_bytes(base: Path) -> None:
    first, one = pack(job_of(), base, "one")
    os.utime(base / "src" / "train.py", (1, 1))
    second, other = pack(job_of(), base, "other")
    assert first == second
    assert (one / "sourcedir.tar.gz").read_bytes() == (other / "sourcedir.tar.gz").read_bytes()
    (base / "src" / "train.py").write_text("print()")
    assert pack(job_of(), base, "third")[0] != first


def test_secrets_and_ignored_files_stay_behind(base: Path) -> None:
    _, packed = pack(job_of(environment={"TOKEN": "hidden"}), base, "packed")
    with tarfile.open(packed / "sourcedir.tar.gz") as archive:
        names = archive.getnames()
        content = b"".join(file.read() for name in names if (file := archive.extractfile(name)) is not None)
    helper = [name for name in names if name.startswith("cloudtune_helper/")]
    assert [name for name in names if name not in helper] == [
        "tool.py",
        "train.py",
        "cloudtune_trial.py",
        "cloudtune_job.json",
    ]
    assert helper == sorted(helper)
    assert {"cloudtune_helper/__init__.py", "cloudtune_helper/contract.py"} <= {*helper}
    assert "cloudtune_helper/start.py" not in helper
    assert b"hidden" not in content


def start(
    root: Path, packed: Path, parameters: dict[str, str], *, unpacked: bool, options: tuple[str, ...] = ()
) -> "subprocess.CompletedProcess[str]":
    """Starts what was packed in the folders that SageMaker gives, by the training toolkit or by the channel."""
    for folder in ("input/config", "input/data/train", "input/data/cloudtune", "code", "model"):
        (root / folder).mkdir(parents=True)
    (root / "input/config/hyperparameters.json").write_text(json.dumps(parameters))
    hosts = {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}
    (root / "input/config/resourceconfig.json").write_text(json.dumps(hosts))
    (root / "input/data/train/number.txt").write_text("7.25")
    if unpacked:
        with tarfile.open(packed / "sourcedir.tar.gz") as archive:
            archive.extractall(root / "code", filter="data")
        program = [str(root / "code" / "cloudtune_trial.py"), "--x", "0.25", "--kind", "good"]
    else:
        for file in packed.iterdir():
            (root / "input/data/cloudtune" / file.name).write_bytes(file.read_bytes())
        program = [str(root / "input/data/cloudtune/trial.py")]
    variables = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SM_INPUT_CONFIG_DIR": str(root / "input/config"),
        "TRAINING_JOB_NAME": "packed-1a2b3c4d-007-5e6f7a8b",
    }
    return subprocess.run([sys.executable, *options, *program], capture_output=True, text=True, env=variables)


@pytest.mark.parametrize("unpacked", [True, False], ids=["toolkit", "channel"])
def test_a_trial_starts_from_what_travelled(base: Path, unpacked: bool) -> None:
    _, packed = pack(job_of(), base, "packed")
    done = start(base / "ml", packed, {"x": "0.25", "kind": '"good"', "sub": "2"}, unpacked=unpacked)
    assert done.returncode == 0, done.stderr
    assert 'PARAMETERS {"x": 0.25, "kind": "good", "sub": 2}' in done.stdout
    assert 'ARGUMENTS ["--x", "0.25", "--kind", "good", "--sub", "2"]' in done.stdout
    assert "DATA 7.25" in done.stdout
    assert "NUMBER 6" in done.stdout
    assert "step 3: score=0.5" in done.stdout
    assert (base / "ml/model/model.txt").read_text() == "model"
    assert not (base / "ml/output/failure").exists()


@pytest.mark.parametrize("unpacked", [True, False], ids=["toolkit", "channel"])
@pytest.mark.parametrize("kind", ["command", "function"])
def test_an_image_without_cloudtune_has_the_trials_module(base: Path, kind: str, unpacked: bool) -> None:
    (base / "src" / "tool.py").write_text(
        "import cloudtune.trial as t\n"
        "def fit(**p):\n    print('SEES', p == t.params(), len(cloudtune_files()))\n    t.report(score=p['x'])\n"
        "def cloudtune_files():\n    import cloudtune\n    return open(cloudtune.__file__).read()\n"
        "if __name__ == '__main__':\n    fit(**t.params())\n"
    )
    command = [sys.executable, "-S", "tool.py"]
    runs = {"command": command} if kind == "command" else {"command": None, "function": "tool:fit"}
    _, packed = pack(job_of(**runs), base, "packed")
    values = {"x": "0.25", "kind": "1", "sub": "2"}
    done = start(base / "ml", packed, values, unpacked=unpacked, options=("-S",))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["SEES True 0", "step 1: score=0.25"]


def test_a_trial_that_fails_tells_the_service_why(base: Path) -> None:
    _, packed = pack(job_of(), base, "packed")
    done = start(base / "ml", packed, {"x": "0.25", "kind": '"bad"', "sub": "2"}, unpacked=True)
    assert done.returncode == 3
    assert (base / "ml/output/failure").read_text() == "the command ended with exit code 3"


def test_a_function_is_called_and_its_metrics_are_printed(base: Path) -> None:
    _, packed = pack(job_of(command=None, function="tool:fit"), base, "packed")
    done = start(base / "ml", packed, {"x": "0.25", "kind": "null", "sub": "2"}, unpacked=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["sub None", "step 1: score=0.25"]


def test_a_function_that_raises_tells_the_service_what(base: Path) -> None:
    (base / "src" / "tool.py").write_text("def fit(x, kind, sub=None):\n    raise ValueError('too much')\n")
    _, packed = pack(job_of(command=None, function="tool:fit"), base, "packed")
    done = start(base / "ml", packed, {"x": "0.25", "kind": "1", "sub": "2"}, unpacked=False)
    assert done.returncode == 1
    assert (base / "ml/output/failure").read_text() == "ValueError: too much"


def test_local_data_is_named_by_its_content(base: Path) -> None:
    (base / "data" / "deep").mkdir(parents=True)
    (base / "data" / "a.txt").write_text("a")
    (base / "data" / "deep" / "b.txt").write_text("b")
    digest, uploads = packing.data_uploads(base / "data")
    assert [upload.key for upload in uploads] == ["a.txt", "deep/b.txt"]
    (base / "data" / "a.txt").write_text("c")
    assert packing.data_uploads(base / "data")[0] != digest
    assert [upload.key for upload in packing.data_uploads(base / "number.txt")[1]] == ["number.txt"]
