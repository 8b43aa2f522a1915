"""A cluster whose login node is reached by ssh, and what `check` finds of clusters."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from slurm_clusters import SlurmCluster
from slurm_runs import WAITS, kill_driver, messages, write_profile
from ssh_servers import login_node

from cloudtune.config import load_profile
from cloudtune.provider import Finding, load_provider
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing.conformance import wait_until

pytestmark = pytest.mark.xdist_group("slurm")  # whose cluster is started once

Job = Callable[..., TuningJob]
Act = Callable[[TuningJob], Run]

TRAVELS = """
import json, os, pathlib
import cloudtune.trial as trial

assert pathlib.Path(trial.data("table"), "rows.txt").read_text() == "1 2 3"
pathlib.Path(trial.output_dir(), "model").write_text(os.environ["SECRET"])
kept = pathlib.Path(trial.checkpoint_dir(), "kept")
if trial.attempt() == 1:
    kept.write_text("4.5")
    raise SystemExit("once more")
print("said", flush=True)
trial.report(score=float(kept.read_text()))
"""


@pytest.fixture
def away(cluster: SlurmCluster, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A profile that reaches the cluster by ssh alone; its runs have their files in this folder."""
    with login_node(tmp_path / "sshd", {"SLURM_CONF": str(cluster.config)}) as settings:
        write_profile(project, **settings, poll=0.5, folder=str(tmp_path / "scratch"), python=sys.executable)
        monkeypatch.delenv("SLURM_CONF")
        yield tmp_path / "scratch"


def findings(project: Path) -> dict[str, Finding]:
    profile = load_profile("cluster", project)
    return {each.subject: each for each in load_provider(profile.provider)(profile.settings).check()}


def test_code_data_checkpoints_logs_and_outputs_travel_by_ssh(
    away: Path, job: Callable[..., TuningJob], finish: Callable[[TuningJob], Run], project: Path
) -> None:
    (project / "table").mkdir()
    (project / "table" / "rows.txt").write_text("1 2 3")
    trial = {"environment": {"SECRET": "not-shown"}}
    run = finish(job(TRAVELS, trial=trial, data={"table": "table"}, retries=1))
    assert run.state is RunState.COMPLETED, messages(run)
    assert [(trial.attempt, trial.metrics["score"]) for trial in run.trials()] == [(2, 4.5)]
    assert "said" in list(run.logs(0))
    assert [path.read_text() for path in run.fetch(0, project / "got")] == ["not-shown"]
    assert not list(away.iterdir())


@pytest.mark.complete
def test_a_killed_driver_goes_on_by_another_login_node(
    away: Path, cluster: SlurmCluster, job: Job, submit: Act, project: Path, tmp_path: Path
) -> None:
    run = submit(job(WAITS, limits={"trials": 2, "parallel": 2}))
    wait_until(lambda: len(list(project.glob("begun-*"))) == 2)
    kill_driver(run)
    wait_until(lambda: run.state is RunState.INTERRUPTED)
    with login_node(tmp_path / "other", {"SLURM_CONF": str(cluster.config)}) as settings:
        write_profile(project, **settings, poll=0.5, folder=str(away), python=sys.executable)
        run.resume()
        (project / "go").touch()
        assert run.wait() is RunState.COMPLETED, messages(run)
    assert [(trial.state, trial.attempt) for trial in run.trials()] == [(TrialState.COMPLETED, 1)] * 2
    assert "taken over" in messages(run)
    assert not list(away.iterdir())


@pytest.mark.complete
@pytest.mark.usefixtures("away")
def test_check_finds_the_cluster_by_ssh(project: Path) -> None:
    found = findings(project)
    assert all(each.ok is not False for each in found.values()), found
    assert "is UP" in found["controller"].message
    assert "4 nodes" in found["partition main*"].message
    assert "there is none" in found["accounting"].message


@pytest.mark.usefixtures("cluster")
def test_check_says_what_is_not_there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_profile(project, partition="nowhere", python="no-such-python")
    found = findings(project)
    assert "there are low, main" in found["nowhere"].message
    assert found["python"].ok is False
    (project / "empty").mkdir()
    (project / "empty" / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(project / "empty"))
    (only,) = findings(project).values()
    assert only.ok is False
    assert "is no login node" in only.message


@pytest.mark.complete
def test_what_trials_cost_is_known_by_the_users_prices(
    job: Callable[..., TuningJob], finish: Callable[[TuningJob], Run], project: Path
) -> None:
    config = project / "cloudtune.toml"
    config.write_text(config.read_text() + "[prices.cluster]\nhour = 36.0\n")
    run = finish(
        job(
            "import time\nimport cloudtune.trial as trial\ntime.sleep(0.5)\ntrial.report(score=1)\n", limits={"cost": 5}
        )
    )
    assert run.state is RunState.COMPLETED, messages(run)
    (trial,) = run.trials()
    assert trial.cost is not None
    assert 0.005 < float(trial.cost) < 1.0, "half a second of a cent a second, and the start of the program"
