"""Profiles: where they are said, and who wins."""

from pathlib import Path

import pytest

from cloudtune.config import load_profile, profiles, project_folder, user_file
from cloudtune.errors import ConfigError

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
    with pytest.raises(ConfigError, match=r"pip install 'cloudtune\[vertex\]'"):
        load_profile("gcp", project)
