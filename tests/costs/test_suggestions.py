"""Suggestions that a service charges for: counted before a launch, at the user's own price or an unknown one."""

import io
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

import pytest

from cloudtune import TuningJob
from cloudtune.cli.app import run_app
from cloudtune.config import price_tables
from cloudtune.costs.suggestions import suggestions_of

JOB = """
name: line
trial: {command: python train.py}
objective: {metric: score, goal: maximize}
space: {x: {type: float, low: 0, high: 1}}
strategy: {type: vizier, project: mine}
limits: {trials: 20}
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if find_spec("google.cloud.aiplatform_v1") is None:  # importing it takes two seconds
        pytest.skip("Google's SDK is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / "train.py").write_text("")
    (tmp_path / "cloudtune.toml").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "fields", "said", "most"),
    [
        ("", {}, "at most 20 suggestions of vizier at a price that is not known ([prices.vizier] suggestion = …)", None),
        ("suggestion = 1.5", {}, "at most 20 suggestions of vizier at 1.50 USD each, at most 30.00 USD", 30),
        ("suggestion = 1", {"first": [{"x": 0.5}]}, "at most 19 suggestions of vizier at 1.00 USD each, at most 19.00 USD", 19),
        ("suggestion = 1", {"require": ["x < 0.5"]}, "suggestions without a bound of vizier at 1.00 USD each", None),
    ],
)  # fmt: skip
def test_a_plan_counts_suggestions(
    text: str, fields: dict[str, object], said: str, most: int | None, project: Path
) -> None:
    (project / "cloudtune.toml").write_text(f"[prices.vizier]\n{text}\n")
    found = suggestions_of(TuningJob.from_data({**TuningJob.from_yaml(JOB).to_data(), **fields}), price_tables(project))
    assert found is not None
    assert str(found) == said
    assert found.most == (None if most is None else Decimal(most))


def test_no_other_strategy_and_no_open_vizier_is_counted(project: Path) -> None:
    for strategy in ({"type": "random"}, {"type": "vizier", "local": True}):
        job = TuningJob.from_data({**TuningJob.from_yaml(JOB).to_data(), "strategy": strategy})
        assert suggestions_of(job, price_tables(project)) is None


@pytest.mark.parametrize(
    ("config", "answer", "launched"),
    [
        ("", "n\n", False),
        ("", "y\n", True),
        ("[prices.vizier]\nsuggestion = 1\n", "n\n", False),
        ("confirm_above = 25\n[prices.vizier]\nsuggestion = 1\n", "", True),
        ("", None, True),
    ],
    ids=["no", "yes", "more than the limit", "less than the limit", "no terminal, and a bound"],
)
def test_a_launch_is_asked_about_although_its_trials_run_on_this_machine(
    config: str,
    answer: str | None,
    launched: bool,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (project / "cloudtune.toml").write_text(config)
    started: list[str] = []
    monkeypatch.setattr("cloudtune.run.Run.start", lambda run: started.append(run.id))
    monkeypatch.setattr("sys.stdin", io.StringIO() if answer is None else Terminal(answer))
    assert (run_app(["run", "job.yaml", "--on", "local", "--detach"]) or 0) == (0 if launched else 3)
    said = capsys.readouterr().err
    assert "20 suggestions of vizier" in said
    assert ("Launch line on local?" in said) == bool(answer)
    assert bool(started) == launched


def test_an_emulated_vizier_costs_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLOUDTUNE_VERTEX_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("cloudtune.run.Run.start", lambda _: None)
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert not run_app(["run", "job.yaml", "--on", "local", "--detach"])
    assert "suggestions" not in capsys.readouterr().err
