"""`pytest --live PROFILE` runs the conformance suite on a service, within a budget; an emulator stands for it here."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cloudtune.testing import plugin

SUITE = Path(__file__).parents[2] / "cloudtune" / "testing" / "live.py"


def run(folder: Path, *options: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *options]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "cloudtune.toml").write_text('[profiles.team]\nprovider = "local"\n')
    return tmp_path


def test_without_the_option_its_tests_are_left_out(project: Path) -> None:
    done = run(project, "--collect-only", str(SUITE))
    assert done.returncode == 5, done.stdout + done.stderr
    assert "deselected" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"live": "team"}, "start them without asking with --live-yes"),
        ({"live": "teem", "live_yes": True}, "teem"),
        ({"live": "team", "live_yes": True, "numprocesses": 2}, "leave out -n"),
        ({"live": "team", "live_yes": True, "live_budget": "much"}, "is no amount of money"),
    ],
)
def test_it_starts_only_if_somebody_agrees_and_the_profile_and_budget_are_there(
    options: dict[str, Any], said: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    given = {"live_budget": "USD 5", "live_yes": False, "numprocesses": None, **options}
    config: Any = SimpleNamespace(getoption=lambda name, default=None: given.get(name, default))
    with pytest.raises(pytest.UsageError, match=said):
        plugin._agree(config)


def test_it_runs_with_the_profile_and_no_longer_when_the_budget_is_spent(project: Path) -> None:
    (project / "cloudtune.toml").write_text('[profiles.team]\nprovider = "local"\n\n[prices.team]\nhour = 0.36\n')
    asked = ["--live", "team", "--live-yes", "-k", "source_folder_travels or check_says"]
    done = run(project, *asked, "--live-budget", "USD 1")
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    (project / "conftest.py").write_text(
        "from decimal import Decimal\nfrom cloudtune.testing.live import SPENT\n\n\n"
        "def pytest_configure(config):\n    config.stash[SPENT] = Decimal('1.01')\n"
    )
    done = run(project, *asked, "--live-budget", "USD 1", "-rs")
    assert "1 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
    assert "the budget of USD 1 is spent" in done.stdout
