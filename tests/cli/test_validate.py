"""`cloudtune validate` and the hook of pre-commit that calls it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cloudtune.cli.app import run_app

_ROOT = Path(__file__).parents[2]
_JOB = """
name: fine
trial: {command: "python train.py"}
objective: {metric: loss, goal: minimize}
space: {x: {type: float, low: 0, high: 1}}
limits: {trials: 3}
"""


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "fine.cloudtune.yaml").write_text(_JOB)
    (tmp_path / "wrong.cloudtune.yaml").write_text(_JOB.replace("minimize", "minimise"))
    (tmp_path / "train.py").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_file_with_a_mistake_is_named_with_the_line(jobs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["validate", "fine.cloudtune.yaml"]) == 0
    assert capsys.readouterr().err == ""
    shutil.copy("wrong.cloudtune.yaml", "other.yaml")
    assert run_app(["validate", "fine.cloudtune.yaml", "wrong.cloudtune.yaml", "other.yaml"]) == 2
    said = capsys.readouterr().err
    assert "fine" not in said
    assert said.count("did you mean 'minimize'?") == 2
    assert said.count("line 4") == 2


def test_a_profile_refuses_what_it_cannot_run(jobs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["validate", "fine.cloudtune.yaml", "--on", "local"]) == 0
    assert run_app(["validate", "fine.cloudtune.yaml", "--on", "local,aws"]) == 3
    assert "fine.cloudtune.yaml: sagemaker cannot run" in capsys.readouterr().err
    assert run_app(["validate", "fine.cloudtune.yaml", "wrong.cloudtune.yaml", "--on", "aws"]) == 2
    assert run_app(["validate", "fine.cloudtune.yaml", "--strict"]) == 2


def test_the_hook_is_of_the_files_that_are_named_as_jobs() -> None:
    (hook,) = yaml.safe_load((_ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"] == "cloudtune validate"
    for name in ("job.yaml", "a/job.yml", "x.cloudtune.yaml", "cloudtune.yaml"):
        assert re.search(hook["files"], name)
    for name in ("myjob.yaml", "job.yaml.txt", "jobs/other.yaml", "cloudtune.toml"):
        assert not re.search(hook["files"], name)


@pytest.mark.complete
def test_pre_commit_itself_runs_the_hook(jobs: Path, tmp_path: Path) -> None:
    """With the hook's own entry; what pre-commit would install is what is installed here."""
    if shutil.which("pre-commit") is None:
        pytest.skip("pre-commit is not installed")
    (hook,) = yaml.safe_load((_ROOT / ".pre-commit-hooks.yaml").read_text())
    local = {**hook, "language": "system", "entry": f"{sys.executable} -m {hook['entry']}"}
    Path(".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [{"repo": "local", "hooks": [local]}]}))
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], check=True)
    done = subprocess.run(["pre-commit", "run", "--all-files"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "did you mean 'minimize'?" in done.stdout
    Path("wrong.cloudtune.yaml").write_text(_JOB)
    subprocess.run(["git", "add", "."], check=True)
    done = subprocess.run(["pre-commit", "run", "--all-files"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    manifest = subprocess.run(["pre-commit", "validate-manifest", str(_ROOT / ".pre-commit-hooks.yaml")])
    assert manifest.returncode == 0
