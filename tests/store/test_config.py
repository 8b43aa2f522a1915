"""Profiles: where they are said, and who wins."""

from pathlib import Path

import pytest

from cloudtune import TuningJob, api
from cloudtune.config import load_profile, mounted, mounts, profiles, user_file
from cloudtune.errors import ConfigError, TrialError
from cloudtune.planning.plan import Support
from cloudtune.store.projects import project_folder

TOML = """
default = "laptop"
[profiles.laptop]
provider = "local"
color = "project"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "cloudtune.toml").write_text(TOML)
    user_file().parent.mkdir(parents=True, exist_ok=True)
    user_file().write_text(
        'default = "own"\n[profiles.laptop]\ncolor = "user"\nsize = 3\n[profiles.own]\nprovider = "local"\n'
    )
    return tmp_path


def test_the_project_file_wins_over_the_users_key_by_key(project: Path) -> None:
    assert load_profile(None, project).name == "laptop"
    assert load_profile("laptop", project).settings == {"color": "project", "size": 3}
    assert set(profiles(project)) == {"laptop", "own"}
    (project / "cloudtune.toml").unlink()
    assert load_profile("own", project).provider == "local"


def test_the_environment_wins_over_files_and_an_argument_over_both(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDTUNE_PROFILE", "own")
    monkeypatch.setenv("CLOUDTUNE_LOCAL_COLOR", "environment")
    assert load_profile(None, project).name == "own"
    assert load_profile("laptop", project).settings["color"] == "environment"


def test_the_environment_wins_by_whatever_name_the_file_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cloudtune.toml").write_text('[profiles.gcp]\nprovider = "vertex"\nidentity = "a@b.c"\nimage = "i"\n')
    monkeypatch.setenv("CLOUDTUNE_VERTEX_SERVICE_ACCOUNT", "x@y.z")
    assert load_profile("gcp", tmp_path).settings == {"service_account": "x@y.z", "image": "i"}


def test_without_a_config_jobs_run_here(tmp_path: Path) -> None:
    profile = load_profile(None, tmp_path)
    assert (profile.name, profile.provider, dict(profile.settings)) == ("local", "local", {})


def test_the_project_is_the_nearest_folder_with_a_config(project: Path) -> None:
    deep = project / "a" / "b"
    deep.mkdir(parents=True)
    assert project_folder(deep) == project.resolve()


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[profile.x]\n", "did you mean 'profiles'"),
        ("[mounts]\nbucket = './x'\n", r"no place in the cloud"),
        ("[mounts]\n's3://b' = 3\n", r"folders by places"),
        ("[profiles.x]\nregion = 'r'\n", r"names no provider"),
        ("[profiles\n", r"cloudtune\.toml is not TOML.*line 1"),
        ("default = 3\n", "default must be the name"),
        ("profiles = 3\n", "profiles are tables"),
    ],
)
def test_mistakes_name_the_file_and_what_to_do(tmp_path: Path, toml: str, says: str) -> None:
    (tmp_path / "cloudtune.toml").write_text(toml)
    with pytest.raises(ConfigError, match=says):
        load_profile("x", tmp_path)


def test_a_name_that_nobody_knows_suggests_the_nearest(project: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'laptop'"):
        load_profile("labtop", project)


def test_a_mount_stands_for_what_is_below_its_place(tmp_path: Path) -> None:
    (tmp_path / "cloudtune.toml").write_text('[mounts]\n"s3://b" = "."\n"s3://b/train/" = "deep/folder"\n')
    table = mounts(tmp_path)
    assert mounted("s3://b/train", table) == tmp_path / "deep" / "folder"
    assert mounted("s3://b/train/part/1.csv", table) == tmp_path / "deep" / "folder" / "part" / "1.csv"
    assert mounted("s3://b/training", table) == tmp_path / "training"
    assert mounted("s3://bb/train", table) is None


def test_a_job_with_places_in_the_cloud_runs_here_through_mounts(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "number.txt").write_text("2.5")
    script = (
        "import pathlib, cloudtune.trial as t\n"
        "pathlib.Path(t.output_dir(), 'model.txt').write_text('it')\n"
        "t.report(score=float(pathlib.Path(t.data('train'), 'number.txt').read_text()))\n"
    )
    (tmp_path / "train.py").write_text(script)
    job = TuningJob.from_data(
        {
            "name": "mounted",
            "trial": {"command": "python train.py"},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {"x": {"type": "float", "low": 0, "high": 1}},
            "limits": {"trials": 1},
            "data": {"train": "s3://bucket/train"},
            "output": "s3://bucket/out",
        }
    )
    assert api.plan(job, "local", project=tmp_path).support("data.train") is Support.UNSUPPORTED
    (tmp_path / "cloudtune.toml").write_text('[mounts]\n"s3://bucket/train" = "here"\n"s3://bucket" = "bucket"\n')
    assert api.plan(job, "local", project=tmp_path).support("data.train") is Support.APPROXIMATE
    run = api.submit(job, "local", project=tmp_path, base=tmp_path)
    run.wait()
    assert run.best is not None, run.events()
    assert run.best.metrics == {"score": 2.5}
    assert (tmp_path / "bucket" / "out" / run.id / "00000" / "model.txt").read_text() == "it"
    assert [path.name for path in run.fetch(0, tmp_path / "fetched")] == ["model.txt"]
    with pytest.raises(TrialError, match="no trial 7"):
        run.fetch(7, tmp_path / "fetched")
