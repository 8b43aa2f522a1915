"""A run that a service refuses leaves nothing behind; one in an emulator of Python's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cloudtune import TuningJob, api
from cloudtune.cli.app import run_app
from cloudtune.errors import ConfigError, CredentialError
from cloudtune.store.projects import known_projects
from cloudtune.store.records import RunState

JOB = """\
name: line
trial: {source: ., command: python train.py, image: IMAGE}
objective: {metric: score, goal: maximize}
space: {x: {type: float, low: 0, high: 1}}
strategy: {type: random}
limits: {trials: 2, trial_time: 5m}
"""
SCRIPT = "import cloudtune.trial as t\nt.report(score=t.params()['x'])\n"

PROFILES = {
    "sagemaker": 'region = "eu-west-1"\nrole = "arn:aws:iam::123456789012:role/r"\nbucket = "b"\n',
    "vertex": 'project = "p"\nlocation = "us-central1"\nbucket = "bucket-of-mine"\n',
    "azureml": 'subscription = "00000000-0000-0000-0000-000000000000"\nresource_group = "g"\nworkspace = "w"\ncompute = "c"\n',
}
IMAGES = {"sagemaker": "i:1", "vertex": "us-docker.pkg.dev/p/i/i:1", "azureml": "{azureml: 'azureml:e@latest'}"}
_OF_CLOUDS = ("AWS_", "GOOGLE_", "AZURE_", "MSI_", "IDENTITY_", "CLOUDSDK_")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a user who has logged in nowhere, on a machine of no cloud."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    for name in list(os.environ):
        if name.startswith(_OF_CLOUDS):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    settings = {
        "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true", "NO_GCE_CHECK": "true", "PATH": "/nowhere",
        "CLOUDSDK_CONFIG": str(home / "gcloud"), "AZURE_CONFIG_DIR": str(home / "azure"),
    }  # fmt: skip
    for name, text in settings.items():
        monkeypatch.setenv(name, text)
    monkeypatch.chdir(folder)
    return folder


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("detach", [False, True], ids=["followed", "detached"])
@pytest.mark.parametrize("mode", ["managed", "driven"])
@pytest.mark.parametrize("provider", PROFILES)
def test_a_run_without_credentials_leaves_nothing(
    provider: str, mode: str, detach: bool, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "cloudtune.toml").write_text(f'[profiles.team]\nprovider = "{provider}"\n{PROFILES[provider]}')
    (project / "job.yaml").write_text(JOB.replace("IMAGE", IMAGES[provider]) + f"mode: {mode}\n")
    words = ["run", "job.yaml", "--on", "team", "-q", *(["--detach"] if detach else [])]
    assert run_app(words) in (2, 4)
    said = capsys.readouterr()
    assert said.out == ""
    assert "credentials" in said.err.lower() or "log in" in said.err
    assert api.runs() == []
    assert run_app(["show"]) == 5
    runs = project / ".cloudtune" / "runs"
    assert not runs.exists() or files_of(runs) == set()


def test_a_run_whose_plan_is_refused_makes_no_store(project: Path) -> None:
    (project / "job.yaml").write_text(JOB.replace(", image: IMAGE", ""))
    before = files_of(project)
    assert run_app(["run", "job.yaml", "--on", "sagemaker", "-q"]) == 3
    assert files_of(project) == before
    assert known_projects() == []


def test_submit_without_credentials_raises_and_leaves_nothing(project: Path) -> None:
    (project / "cloudtune.toml").write_text(f'[profiles.team]\nprovider = "sagemaker"\n{PROFILES["sagemaker"]}')
    with pytest.raises((CredentialError, ConfigError)):
        api.submit(TuningJob.from_yaml(JOB.replace("IMAGE", IMAGES["sagemaker"])), "team", project=project)
    assert api.runs(project=project) == []


EMULATED = """\
import os
import sys
from pathlib import Path
from cloudtune import TuningJob, api

before = dict(os.environ)
job = TuningJob.from_yaml(Path("job.yaml").read_text())
runs = [api.submit(job, sys.argv[1], base=Path(), emulate=True) for _ in range(2)]
assert all(run.record.emulated for run in runs)
endpoints = {json["address"] for run in runs for json in run.record.emulators.values()}
assert len(endpoints) == 1, endpoints
for run in runs:
    print(run.id, run.wait().value, run.best.metrics["score"] == run.best.parameters["x"])
"""


@pytest.mark.parametrize(
    ("on", "mode"),
    [
        ("aws", "managed"),
        pytest.param("aws", "driven", marks=pytest.mark.complete),
        *(
            pytest.param(
                on, mode, marks=pytest.mark.complete
            )  # Google's and Azure's SDKs take seconds to load, in each process
            for on in ("gcp", "azure")
            for mode in ("managed", "driven")
        ),
    ],
)
def test_submit_in_an_emulator_runs_there_until_the_process_ends(
    on: str, mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "job.yaml").write_text(JOB.replace(", image: IMAGE", "") + f"mode: {mode}\n")
    done = subprocess.run(
        [sys.executable, "-c", EMULATED, on], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    ids = [line.split()[0] for line in done.stdout.splitlines()]
    assert [line.split()[1:] for line in done.stdout.splitlines()] == [["completed", "True"]] * 2
    runs = {run.id: run for run in (api.attach(each, project=tmp_path) for each in ids)}
    assert len(runs) == 2
    for run in runs.values():
        assert run.state is RunState.COMPLETED, "what was run stays, though its emulator is gone"
        assert run.record.where == f"{on} (emulated)"
        assert len(run.trials()) == 2


def test_submit_in_an_emulator_of_what_has_none_is_refused(project: Path) -> None:
    with pytest.raises(ConfigError, match="emulator"):
        api.submit(TuningJob.from_yaml(JOB.replace(", image: IMAGE", "")), "local", project=project, emulate=True)
    assert api.runs(project=project) == []
