"""`cloudtune gc`: what it removes, and what it must not."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudtune import api
from cloudtune.cli.app import run_app
from cloudtune.cli.garbage import Unused, unused_files
from cloudtune.store.store import Store

JOB = """\
name: line
trial: {source: ., command: python train.py}
objective: {metric: score, goal: maximize}
space: {x: {type: float, low: 0, high: 1}}
strategy: {type: random}
limits: {trials: 1}
"""
SCRIPT = """\
import pathlib
import cloudtune.trial as t
pathlib.Path(t.output_dir(), "model").write_text("m")
t.report(score=t.params()["x"])
"""
OLD = time.time() - 3 * 24 * 3600


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "project").mkdir()
    (tmp_path / "temporary").mkdir()
    (tmp_path / "project" / "job.yaml").write_text(JOB)
    (tmp_path / "project" / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return tmp_path / "project"


def ran(project: Path, *options: str) -> Path:
    assert run_app(["run", "job.yaml", "-q", *options]) in (0, None)
    return api.attach(project=project).folder


def files_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder but the store's own, which every look touches."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("store.db"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def found_in(project: Path) -> dict[str, Unused]:
    return {str(each.path): each for each in unused_files(project)}


def collect(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, str]:
    """What the command says that it removes, and why."""
    capsys.readouterr()
    assert run_app(["gc", "--json", *options]) in (0, None)
    return {row["path"]: row["why"] for row in json.loads(capsys.readouterr().out)}


def test_runs_their_trials_logs_and_files_stay(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ran(project)
    before = files_of(project)
    assert collect(capsys) == {}
    assert files_of(project) == before
    assert (run / "trials" / "00000" / "output" / "model").is_file()


def test_the_folder_of_a_run_that_is_gone_goes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = ran(project)
    stray = kept.with_name("line-00000000")
    (stray / "trials" / "00000").mkdir(parents=True)
    (stray / "trials" / "00000" / "log.txt").write_text("x" * 1000)
    assert collect(capsys, "--dry-run") == {str(stray): "its run is gone"}
    assert stray.is_dir()
    capsys.readouterr()
    assert run_app(["gc"]) in (0, None)
    said = capsys.readouterr()
    assert said.out.startswith(f"{stray}: its run is gone")
    assert "was removed" in said.err
    assert not stray.exists()
    assert kept.is_dir()
    assert collect(capsys) == {}


def test_a_folder_goes_with_the_processes_that_belong_to_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stray = ran(project).with_name("line-00000000")
    stray.mkdir()
    environment = {**os.environ, "CLOUDTUNE_RUN_FOLDER": str(stray)}
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=environment) as left:
        assert list(collect(capsys)) == [str(stray)]
        assert left.wait(100) < 0


def test_packed_code_and_secrets_go_once_the_run_has_ended_and_not_before(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = ran(project)
    going_on = ran(project, "--detach", "--set", "trial.command=[sh, -c, sleep 600]", "--set", "limits.trials=1")
    try:
        for run in (ended, going_on):
            (run / "assets").mkdir()
            (run / "assets" / "sourcedir.tar.gz").write_bytes(b"c" * 100)
            (run / "driver" / "source").mkdir(parents=True)
            (run / "environment.json").write_text("{}")
        assert collect(capsys) == {
            str(ended / "assets"): "packed for a run that has ended",
            str(ended / "driver/source"): "packed for a run that has ended",
            str(ended / "environment.json"): "secrets of a run that has ended",
        }
        assert not (ended / "assets").exists()
        assert not (ended / "environment.json").exists()
        assert (ended / "trials" / "00000" / "output" / "model").is_file()
        assert (going_on / "assets" / "sourcedir.tar.gz").is_file()
        assert (going_on / "environment.json").is_file()
    finally:
        assert run_app(["cancel", going_on.name]) in (0, None)


def test_folders_of_killed_emulators_go_and_no_others_of_the_machine(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    temporary = project.parent / "temporary"
    outside = project.parent / "precious"
    outside.mkdir()
    (outside / "file").write_text("mine")
    for name in (
        "cloudtune-sagemaker-old",
        "cloudtune-vertex-used",
        "cloudtune-azureml-deep",
        "cloudtune-mine",
        "cloudtune-ray-0",
        "other",
    ):
        (temporary / name / "below").mkdir(parents=True)
        (temporary / name / "below" / "file").write_text("x")
    (temporary / "cloudtune-trial-link").symlink_to(outside)
    (temporary / "cloudtune-sagemaker-old" / "link").symlink_to(outside)
    (temporary / "cloudtune-sagemaker-new").mkdir()
    for path in [*sorted(temporary.rglob("*"), reverse=True)]:
        if path.name != "cloudtune-sagemaker-new" and path != temporary / "cloudtune-azureml-deep" / "below" / "file":
            os.utime(path, (OLD, OLD), follow_symlinks=False)
    used = temporary / "cloudtune-vertex-used" / "below"
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=used, stdin=subprocess.PIPE) as process:
        assert collect(capsys) == {str(temporary / "cloudtune-sagemaker-old"): "left by an emulator that is gone"}
        process.kill()
    left = {path.name for path in temporary.iterdir()}
    assert left == {
        "cloudtune-vertex-used", "cloudtune-azureml-deep", "cloudtune-mine", "cloudtune-ray-0", "other", "cloudtune-trial-link",
        "cloudtune-sagemaker-new",
    }  # fmt: skip
    assert (outside / "file").read_text() == "mine"


def test_a_killed_searchs_temporary_folder_goes_once_the_search_is_gone(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hold = (
        "from cloudtune.sklearn.running import TemporaryStore; s = TemporaryStore(); print(s.path, flush=True); input()"
    )
    environment = {**os.environ, "TMPDIR": str(project.parent / "temporary")}
    words = [sys.executable, "-c", hold]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True) as search:
        assert search.stdout is not None
        left = search.stdout.readline().strip()
        assert collect(capsys) == {}
        search.kill()
    assert collect(capsys) == {left: "left by a program that is gone"}
    assert not Path(left).exists()


def test_a_damaged_store_keeps_all_its_folders(project: Path) -> None:
    run = ran(project)
    stray = run.with_name("line-00000000")
    stray.mkdir()
    for path in (project / ".cloudtune").glob("store.db*"):
        path.unlink()
    (project / ".cloudtune" / "store.db").write_bytes(b"no database" * 1000)
    done = subprocess.run([sys.executable, "-m", "cloudtune", "gc"], capture_output=True, text=True, check=False)
    assert done.returncode == 4, done
    assert done.stderr.startswith("error: ")
    assert stray.is_dir()
    assert run.is_dir()


def test_a_damaged_run_keeps_its_folder(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ran(project)
    store = Store(project)
    database = store.database
    database.execute("UPDATE runs SET job = 'no job'")
    database.commit()
    before = files_of(run)
    assert collect(capsys) == {}
    assert files_of(run) == before
