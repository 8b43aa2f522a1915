"""Runs through Ray Client (``ray://``): the driver is no node of the cluster, and reaches it by one port."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray_clusters
from ray_runs import begun, driver_of_its_own, messages

from cloudtune import api
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing.conformance import wait_until

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.complete]  # whose clusters are started once

TRIES = """\
import pathlib, sys, time
import cloudtune.trial as trial
x, folder = trial.params()["x"], pathlib.Path(trial.params()["folder"])
trial.report(score=x, step=1)
print("waiting", flush=True)
(folder / f"begun-{trial.number()}.{trial.attempt()}").touch()
while not (folder / "go").exists():
    time.sleep(0.02)
trial.report(score=x, step=2)
(pathlib.Path(trial.output_dir()) / "model.txt").write_text(pathlib.Path(trial.data("table")).read_text())
print("done")
"""


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ray_clusters.Head]:
    with ray_clusters.head(tmp_path_factory.mktemp("head")) as made:
        yield made


@pytest.fixture
def far(tmp_path: Path, head: ray_clusters.Head) -> Path:
    """A project whose cluster is reached by Ray Client alone."""
    (tmp_path / "cloudtune.toml").write_text(
        f'default = "cluster"\n[profiles.cluster]\nprovider = "ray"\naddress = "{head.client}"\n'
    )
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.py").write_text(TRIES)
    (tmp_path / "table.txt").write_text("1 2 3")
    return tmp_path


def job_of(project: Path, trials: int) -> dict[str, Any]:
    return {
        "name": "r",
        "trial": {"source": "src", "command": "python train.py"},
        "objective": {"metric": "score", "goal": "maximize"},
        "space": {"x": {"type": "float", "low": 0, "high": 1}, "folder": {"type": "constant", "value": str(project)}},
        "strategy": {"type": "random", "seed": 3},
        "limits": {"trials": trials, "parallel": 2},
        "data": {"table": "table.txt"},
        "ray": {"grace": 0.3},
    }


def prepared(project: Path, trials: int) -> Run:
    """A run in the store; only drivers of their own connect, since this process may be connected to another cluster."""
    return api.prepare(TuningJob.from_data(job_of(project, trials)), project=project, base=project)


def test_a_driver_at_a_client_that_is_killed_is_followed_by_one_that_takes_over(far: Path, tmp_path: Path) -> None:
    run = prepared(far, trials=3)
    with driver_of_its_own(run, far) as driver:
        wait_until(lambda: begun(far) == {"0.1", "1.1"})
        wait_until(lambda: len(list(run.reports())) == 2)
        driver.kill()
        driver.wait()
    assert run.state is RunState.INTERRUPTED
    (far / "go").touch()
    with driver_of_its_own(run, far) as second:
        assert second.wait(timeout=120) == 0
    assert run.state is RunState.COMPLETED
    assert [(trial.state, trial.attempt) for trial in run.trials()] == [(TrialState.COMPLETED, 1)] * 3
    assert begun(far) == {"0.1", "1.1", "2.1"}
    assert messages(run).count("taken over from the driver") == 2
    for number in range(3):
        assert [report.step for report in run.reports(number)] == [1, 2]
        assert list(run.logs(number)) == ["waiting", "done"]
        (file,) = run.fetch(number, tmp_path / f"got-{number}")
        assert file.read_text() == "1 2 3"


def test_a_cancel_through_a_client_ends_what_a_dead_driver_left(far: Path) -> None:
    run = prepared(far, trials=2)
    with driver_of_its_own(run, far) as driver:
        wait_until(lambda: len(begun(far)) == 2)
        driver.kill()
        driver.wait()
    cli = [sys.executable, "-m", "cloudtune"]
    subprocess.run([*cli, "cancel", run.id], cwd=far, check=True, capture_output=True)
    assert run.state is RunState.CANCELLED
    assert [trial.state for trial in run.trials()] == [TrialState.CANCELLED] * 2
    check = subprocess.run([*cli, "check", "--on", "cluster"], cwd=far, capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stdout + check.stderr
    assert "1 alive" in check.stdout + check.stderr
    assert "2 of 2 CPU" in check.stdout + check.stderr
