"""The projects of `init --template`: every provider plans them, and the one whose library the tests have runs."""

from pathlib import Path

import pytest

from cloudtune import api
from cloudtune.cli import starting
from cloudtune.cli.app import run_app
from cloudtune.planning.plan import Support
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, TrialState

REGIONS = {"sagemaker": {"region": "us-east-1"}, "vertex": {"region": "us-central1"}}


def test_each_framework_has_the_files_of_a_project() -> None:
    folders = {
        folder.name for folder in starting._TEMPLATES.iterdir() if folder.is_dir() and folder.name != "__pycache__"
    }
    assert folders == set(starting.TEMPLATES)
    for name in folders:
        assert set(starting._project_of(name)) == {"train.py", "job.yaml", "requirements.txt"}


@pytest.mark.parametrize("template", starting.TEMPLATES)
@pytest.mark.parametrize(
    "on", ["sagemaker", *(pytest.param(name, marks=pytest.mark.complete) for name in ("local", "vertex", "azureml"))]
)
def test_a_template_is_planned_by_every_service_in_an_image_of_its_framework(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str, on: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_app(["init", "--template", template]) == 0
    settings = "".join(f'{name} = "{value}"\n' for name, value in REGIONS.get(on, {}).items())
    (tmp_path / "cloudtune.toml").write_text(f'[profiles.there]\nprovider = "{on}"\n{settings}')
    job = TuningJob.from_yaml(tmp_path / "job.yaml")
    plan = api.plan(job, "there", base=tmp_path)
    of_profile = {note.path for note in plan.notes if note.support is Support.UNSUPPORTED}
    assert not {path for path in of_profile if path.partition(".")[0] in ("trial", "space", "objective", "stopping")}
    if on != "local":
        images = [
            note for note in plan.notes if note.path.startswith("trial.image") and "trials run in" in note.message
        ]
        assert images, [note.message for note in plan.notes if note.path.startswith("trial.image")]


def test_the_template_of_scikit_learn_runs_and_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_app(["init", "--template", "sklearn"]) == 0
    job = TuningJob.from_yaml(tmp_path / "job.yaml")
    limits = job.limits.model_copy(update={"trials": 1})
    run = api.prepare(job.model_copy(update={"limits": limits}), "local", project=tmp_path, base=tmp_path)
    assert run.wait() is RunState.COMPLETED
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED]
    assert [report.step for report in run.reports(0)] == [10, 20, 30, 40, 50, 60]
    assert [path.name for path in run.fetch(0, tmp_path / "out")] == ["model.pkl"]


def test_a_script_of_ones_own_is_never_replaced_by_a_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("mine = 1\n")
    for force in ([], ["--force"]):
        assert run_app(["init", "--template", "pytorch", *force]) == 2
        assert "a script of your own" in capsys.readouterr().err
    assert (tmp_path / "train.py").read_text() == "mine = 1\n"
    assert run_app(["init", "there", "--template", "pytorch"]) == 0
    assert "pip install -r there/requirements.txt" in capsys.readouterr().out
    assert run_app(["init", "there", "--template", "pytorch", "--from", "train.py"]) == 2
    assert run_app(["init", "there", "--template", "tensorflow"]) == 2
