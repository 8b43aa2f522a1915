"""What `check --policy` prints for a driver whose strategy is Vizier is what it takes, and `check` says whether Vizier may be asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from late import LATE
from permitted_runs import lines_of, without
from plain_jobs import plain_data

from cloudtune.cli.app import run_app
from cloudtune.errors import ProviderError
from cloudtune.provider.permissions import HINT
from cloudtune.search import Purpose, Search
from cloudtune.spec.job import TuningJob
from cloudtune_vertex.policy import policies
from cloudtune_vertex.settings import VertexSettings

if TYPE_CHECKING:
    from cloudtune.provider.interface import Finding

if LATE:
    pytest.importorskip("google.cloud.aiplatform_v1")
    from cloudtune_vertex.check import _vizier
    from cloudtune_vertex.client import Google
    from cloudtune_vertex.emulator import VertexEmulator
    from cloudtune_vertex.vizier.places import settings_of

JOB = TuningJob.from_data(
    plain_data(
        strategy={"type": "vizier", "algorithm": "random", "early_stopping": "median"},
        first=[{"x": 0.5}],
        limits={"trials": 6},
    )
)


@pytest.fixture(scope="module")
def emulator() -> Iterator[VertexEmulator]:
    with VertexEmulator(seed=3, transport="rest") as emulator:
        yield emulator


@pytest.fixture
def policy(emulator: VertexEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is printed for the emulator's profile, for a strategy alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cloudtune.toml").touch()
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    whole = policies(settings_of(JOB.strategy), "driven")  # type: ignore[arg-type]
    return {"caller": {"projects/none": {"role": {"includedPermissions": []}}}, "strategy": whole["strategy"]}


def used(emulator: VertexEmulator, run: str) -> None:
    """Make every call that a driver may make, on the way of a run and of one that goes on with it."""
    folder = Path.cwd() / run
    folder.mkdir()
    purpose = Purpose(JOB.objective, run=run, folder=folder)
    search = Search.for_job(JOB, purpose=purpose)
    for number in range(3):
        search.ask()
        search.report(number, 1, 0.5)
    search.tell(0, 0.5)
    search.tell(1, state="cancelled")
    emulator.faults.operations, emulator.faults.lost = {"CompleteTrial"}, 0.6
    try:
        search.tell(2, state="failed")
    finally:
        emulator.faults.operations, emulator.faults.lost = None, 0.0
    again = Search.for_job(JOB, purpose=purpose)
    again.ask()  # the first one, of the job's own
    again.ask()


def test_a_driver_takes_what_is_printed_and_every_line_of_it(emulator: VertexEmulator, policy: Any) -> None:
    try:
        emulator.enforce(policy)
        used(emulator, "whole")
        asked = {ask.action for who, ask in emulator.authority.asked if who == "strategy"}
        assert "get" in {action.rpartition(".")[2] for action in asked}, "an answer was lost"
        for line in lines_of(policy["strategy"]):
            smaller, permission = without(policy, ("strategy", *line))
            assert permission in asked
            emulator.enforce(smaller)
            if permission == "aiplatform.trials.get":
                continue  # only after an answer was lost
            with pytest.raises(ProviderError) as refused:
                used(emulator, f"without-{permission}")
            assert permission in str(refused.value)
            assert HINT in str(refused.value)
    finally:
        emulator.enforce(None)


def checked() -> Finding:
    return _vizier(Google(settings_of(JOB.strategy)))  # type: ignore[arg-type]


def test_check_says_whether_vizier_may_be_asked_and_is_not_missing_it(emulator: VertexEmulator, policy: Any) -> None:
    assert checked().ok
    try:
        emulator.enforce({"strategy": policy["caller"]})
        finding = checked()
    finally:
        emulator.enforce(None)
    assert finding.ok is None
    assert "aiplatform.studies.get" in finding.message
    assert "only for strategy: {type: vizier}" in finding.message


def test_the_command_prints_the_role_of_the_strategys_driver_alone(
    policy: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["check", "--on", "gcp", "--policy", "--for", "strategy"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == policy["strategy"]
    (role,) = policy["strategy"].values()
    assert role["predefined"] == ["roles/aiplatform.user"]
    assert "strategy" not in policies(VertexSettings(project="corp"), "managed")
    assert run_app(["check", "--on", "aws", "--policy", "--for", "strategy"]) != 0
    assert "no policy for its strategy" in capsys.readouterr().err
