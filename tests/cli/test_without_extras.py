"""Without any extra each command works or says what to install, whatever the provider."""

import json
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from cloudtune.plugins import extras

JOB = """
name: bare
trial:
  command: python train.py
  source: .
  image:
    sagemaker: 123456789012.dkr.ecr.us-east-1.amazonaws.com/training:1
    vertex: europe-docker.pkg.dev/p/r/training:1
    azureml: azureml:own@latest
objective: {metric: score, goal: maximize}
space: {x: {type: float, low: 0, high: 1}}
limits: {trials: 2}
identity: {sagemaker: "arn:aws:iam::123456789012:role/r"}
"""

BLOCKED = """
import sys

class Blocker:
    names = set({names!r})

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        return None

sys.meta_path.insert(0, Blocker())
"""

RUNNER = """
import io, json, contextlib
from cloudtune.cli.app import run_app
found = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = run_app(words) or 0
        except SystemExit as end:
            code = end.code
    found.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(found))
"""

OF_PROVIDERS = (
    "azure", "boto3", "botocore", "cryptography", "google", "grpc", "moto", "ray", "tenacity", "torch", "werkzeug"
)  # fmt: skip
OPTIONAL = sorted({*extras._EXTRAS, *OF_PROVIDERS} - {"joblib"})
CLOUDS = ("sagemaker", "vertex", "azureml")
WORKS = [["plan", "job.yaml", "--on", on] for on in (*CLOUDS, "local", "ray", "slurm", "local,vertex")]
WORKS += [["plan", "job.yaml", "--on", on, "--json"] for on in CLOUDS]
WORKS += [["export", "job.yaml", "--to", on] for on in CLOUDS]
WORKS += [["import", f"{on}.request", "--from", on] for on in CLOUDS]
WORKS += [["providers"], ["schema"], ["ls"], ["--help"], ["run", "job.yaml", "--on", "local"]]
INSTALL = [["run", "job.yaml", "--on", on] for on in (*CLOUDS, "ray")]
INSTALL += [["check", "--on", on] for on in (*CLOUDS, "ray")]
INSTALL += [["emulate", on] for on in CLOUDS]
INSTALL += [["run", "job.yaml", "--on", on, "--emulate"] for on in CLOUDS]
INSTALL += [["run", "job.yaml", "--on", "local", "--set", f"strategy.type={kind}"] for kind in ("optuna", "hyperopt")]
INSTALL += [["trials", "RUN", "-o", "trials.parquet"], ["publish", "RUN", "--to", "tensorboard:board"]]


def called(folder: Path, commands: list[list[str]]) -> list[tuple[int, str, str]]:
    code = BLOCKED.format(names=OPTIONAL) + RUNNER
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)], capture_output=True, text=True, check=True, cwd=folder
    )
    return [tuple(each) for each in json.loads(done.stdout.splitlines()[-1])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bare")
    (path / "job.yaml").write_text(JOB)
    (path / "train.py").write_text("print('score=1')\n")
    for on, (_, out, _) in zip(
        CLOUDS, called(path, [["export", "job.yaml", "--to", on] for on in CLOUDS]), strict=True
    ):
        (path / f"{on}.request").write_text(out)
    return path


def test_what_needs_no_extra_works_and_what_does_says_what_to_install(folder: Path) -> None:
    for words, (code, _, err) in zip(WORKS, called(folder, WORKS), strict=True):
        assert code == 0, (words, err)
    for words, (code, out, err) in zip(INSTALL, called(folder, INSTALL), strict=True):
        said = out + err
        assert code, words
        assert "unexpected" not in said, (words, said)
        if "RUN" not in words:
            assert "pip install" in said, (words, said)


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (("", False), "pip install 'cloudtune[vertex]'"),
        (("file:///home/me/cloud%20tune", True), "pip install -e '/home/me/cloud tune[vertex]'"),
        (("file:///home/me/cloudtune", False), "pip install '/home/me/cloudtune[vertex]'"),
        (
            ("file:///tmp/cloudtune-1-py3-none-any.whl", False),
            "pip install '/tmp/cloudtune-1-py3-none-any.whl[vertex]'",
        ),
        (("git+https://example.com/c.git", False), "pip install 'cloudtune[vertex] @ git+https://example.com/c.git'"),
    ],
)
def test_the_command_fits_the_way_cloudtune_was_installed(
    origin: tuple[str, bool], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "_origin", lambda name: origin)
    assert extras.install("vertex") == command


def test_every_extra_that_is_named_is_one_of_the_distribution() -> None:
    named = {Requirement(each).marker for each in requires("cloudtune") or []}
    assert all(any(f'"{extra}"' in str(marker) for marker in named) for extra in extras._EXTRAS.values())


def test_a_missing_module_of_no_extra_is_left_to_others() -> None:
    assert extras.missing(ModuleNotFoundError(name="nowhere.at_all")) is None
    found: Any = extras.missing(ModuleNotFoundError(name="optuna.samplers"))
    assert "[optuna]" in found
