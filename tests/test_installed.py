"""What installed packages announce is known at once, and read once."""

import os
from importlib import metadata
from pathlib import Path

import pytest

from cloudtune.plugins.entry_points import providers


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that modules are imported from."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def install(place: Path, provider: str) -> None:
    about = place / f"{provider}-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Name: {provider}\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[cloudtune.providers]\n{provider} = {provider}:Provider\n")
    set_change(place, 1)


def set_change(place: Path, second: int) -> None:
    """Say when something came or went, since the clocks of file systems tick slowly."""
    os.utime(place, (second, second))


def test_a_package_that_is_installed_while_the_process_runs_is_found(place: Path) -> None:
    assert "late" not in providers()
    install(place, "late")
    assert providers()["late"].value == "late:Provider"
    (place / "late-1.dist-info").rename(place / "late.gone")
    set_change(place, 2)
    assert "late" not in providers()


def test_the_packages_are_read_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    providers()
    monkeypatch.setattr(metadata, "entry_points", lambda **_: pytest.fail("read again"))
    assert set(providers()) >= {"local", "ray", "sagemaker", "vertex", "azureml"}
