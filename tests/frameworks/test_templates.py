"""The projects of `init --template` run with their real libraries: two trials each, which report and leave a checkpoint."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from cloudtune import api
from cloudtune.cli import starting
from cloudtune.cli.app import run_app
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState

NEEDS = {
    "pytorch": "torch",
    "lightning": "lightning",
    "sklearn": "sklearn",
    "xgboost": "xgboost",
    "huggingface": "transformers",
}
STEPS = {"pytorch": 10, "lightning": 8, "sklearn": 6, "xgboost": 60, "huggingface": 3}
SMALL = {"huggingface": " --epochs 1", "lightning": " --epochs 2", "pytorch": " --epochs 2"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("template", starting.TEMPLATES)
def test_a_template_runs(template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec(NEEDS[template]) is None:
        pytest.skip(f"{NEEDS[template]} is not installed")
    monkeypatch.chdir(tmp_path)
    assert run_app(["init", "--template", template]) == 0
    job = TuningJob.from_yaml(tmp_path / "job.yaml")
    limits = job.limits.model_copy(update={"trials": 2, "parallel": 1})
    run = api.prepare(
        job.model_copy(update={"limits": limits, "stopping": None}), "local", project=tmp_path, base=tmp_path
    )
    assert run.wait() is RunState.COMPLETED, "\n".join(run.logs(0))
    for number in (0, 1):
        assert len(list(run.reports(number))) == STEPS[template]
    best = run.best
    assert best is not None
    assert job.objective[0].metric in best.metrics


@pytest.mark.timeout(300)
@pytest.mark.parametrize("template", starting.TEMPLATES)
def test_a_templates_script_runs_without_cloudtunes_driver(template: str, tmp_path: Path) -> None:
    if find_spec(NEEDS[template]) is None:
        pytest.skip(f"{NEEDS[template]} is not installed")
    for name, text in starting._project_of(template).items():
        (tmp_path / name).write_text(text)
    command = f"{sys.executable} train.py{SMALL.get(template, '')}"
    subprocess.run(command.split(), cwd=tmp_path, check=True, timeout=280)
