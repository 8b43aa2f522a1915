"""Nodes that do not see the folder of a run: code and data go there by sbcast, and what trials write comes back by srun.

Each slurmd has mounts of its own, in which the folders of the tests are empty and a folder is on a disk of its own.
"""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import slurm_clusters
from slurm_clusters import SlurmCluster
from slurm_runs import kill_driver, messages, write_profile

from cloudtune.config import load_profile
from cloudtune.provider import load_provider
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing.conformance import wait_until

pytestmark = [pytest.mark.complete, pytest.mark.xdist_group("slurm_apart")]  # whose cluster is started once

Job = Callable[..., TuningJob]
Act = Callable[[TuningJob], Run]

TRAVELS = """
import os, pathlib
import cloudtune.trial as trial
import helper

assert pathlib.Path(trial.data("table"), "rows.txt").read_text() == "1 2 3"
assert not pathlib.Path({project!r}, "cloudtune.toml").exists(), "the node sees the project"
pathlib.Path(trial.output_dir(), "model").write_text(os.environ["SECRET"] + helper.MORE)
kept = pathlib.Path(trial.checkpoint_dir(), "kept")
if trial.attempt() == 1:
    kept.write_text("4.5")
    raise SystemExit("once more")
print("said", flush=True)
trial.report(score=float(kept.read_text()))
"""

WAITS = """
import pathlib, time
import cloudtune.trial as trial

trial.report(score=1, step=1)
while not pathlib.Path({go!r}, f"go-{{trial.number()}}").exists():
    time.sleep(0.05)
trial.report(score=2, step=2)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    if slurm_clusters.missing():
        pytest.skip(f"there is no {slurm_clusters.missing()[0]}; apt-get install slurm-wlm munge")
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mounts of its own can be had here")
    private = (tmp_path_factory.getbasetemp(),)
    with slurm_clusters.started(nodes=2, private=private) as made, slurm_clusters.commands_of(made):
        yield made


@pytest.fixture
def profile(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A profile whose nodes see nothing of the project; the folder above all tests' is on a disk of each node's own."""
    write_profile(project, local=str(tmp_path_factory.getbasetemp()), poll=0.2, interval=0.5)


@pytest.mark.usefixtures("cluster", "profile")
def test_code_data_and_checkpoints_go_to_the_node_and_reports_logs_and_outputs_come_back(
    job: Job, finish: Act, project: Path
) -> None:
    (project / "table").mkdir()
    (project / "table" / "rows.txt").write_text("1 2 3")
    (project / "src" / "helper.py").write_text("MORE = '!'\n")
    trial = {"environment": {"SECRET": "not-shown"}}
    run = finish(job(TRAVELS.format(project=str(project)), trial=trial, data={"table": "table"}, retries=1))
    assert run.state is RunState.COMPLETED, messages(run)
    assert [(trial.attempt, trial.metrics["score"]) for trial in run.trials()] == [(2, 4.5)]
    assert "said" in list(run.logs(0))
    assert [path.read_text() for path in run.fetch(0, project / "got")] == ["not-shown!"]


ON_BOTH = """
import subprocess
import cloudtune.trial as trial

steps = ["srun", "--overlap", "--mpi=none", "--nodes=2", "--ntasks-per-node=1", "sh", "-c", "test -s train.py && echo here"]
said = subprocess.run(steps, capture_output=True, text=True, check=True).stdout
trial.report(score=said.split().count("here"))
"""


@pytest.mark.usefixtures("cluster", "profile")
def test_each_node_of_a_trial_has_the_code(job: Job, finish: Act) -> None:
    run = finish(job(ON_BOTH, compute={"count": 2}))
    assert [trial.metrics["score"] for trial in run.trials()] == [2.0], messages(run)


@pytest.mark.usefixtures("cluster", "profile")
def test_check_finds_what_brings_files_to_nodes(project: Path) -> None:
    profile = load_profile("cluster", project)
    found = {each.subject: each for each in load_provider(profile.provider)(profile.settings).check()}
    assert "sbcast, " in found["sbcast"].message


@pytest.fixture
def go(cluster: SlurmCluster) -> Path:
    """A folder outside of those that are hidden from nodes."""
    made = cluster.folder / "go"
    made.mkdir(exist_ok=True)
    for path in made.iterdir():
        path.unlink()
    return made


@pytest.mark.usefixtures("profile")
def test_trials_there_outlive_their_driver_and_requeues_and_can_be_stopped(
    cluster: SlurmCluster, job: Job, submit: Act, go: Path
) -> None:
    run = submit(job(WAITS.format(go=str(go)), limits={"trials": 3, "parallel": 3}))
    wait_until(lambda: sorted(report.number for report in run.reports()) == [0, 1, 2])
    kill_driver(run)
    (go / "go-0").touch()
    running = sorted(line.split()[0] for line in cluster.queued())
    cluster.call("scontrol", "requeue", running[1])
    run.resume()
    wait_until(lambda: run.trials()[0].state.ended)
    wait_until(lambda: "Slurm started it again" in messages(run))
    run.stop_trial(2)
    wait_until(lambda: run.trials()[2].state is TrialState.CANCELLED)
    (go / "go-1").touch()
    assert run.wait() is RunState.COMPLETED, messages(run)
    assert [(trial.state.value, trial.attempt, trial.metrics["score"]) for trial in run.trials()] == [
        ("completed", 1, 2.0),
        ("completed", 1, 2.0),
        ("cancelled", 1, 1.0),
    ]
    assert not cluster.queued()
