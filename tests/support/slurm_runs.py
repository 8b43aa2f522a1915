"""Runs on the Slurm cluster of a test, and what they are made of."""

import contextlib
import os
import signal
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import slurm_clusters
from slurm_clusters import PROFILE, SlurmCluster

from cloudtune import api
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.testing import scripts
from cloudtune.testing.conformance import wait_until
from cloudtune.testing.submitting import submitting

WAITS = """\
import pathlib, time
import cloudtune.trial as trial

folder = pathlib.Path(trial.params()["folder"])
trial.report(score=trial.params()["x"], step=1)
(folder / f"begun-{trial.number()}.{trial.attempt()}").touch()
while not (folder / "go").exists():
    time.sleep(0.02)
trial.report(score=trial.params()["x"], step=2)
"""
"""Reports, says so, waits for a file, and reports once more."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    """The cluster of this process, of four nodes with two processors each."""
    with slurm_clusters.connected() as made:
        yield made


def write_profile(project: Path, **settings: Any) -> None:
    """Write the config with the profile ``cluster``, and more settings."""
    said = [
        f"{name} = {str(value).lower() if isinstance(value, bool) else value!r}"
        for name, value in {**PROFILE, **settings}.items()
    ]
    (project / "cloudtune.toml").write_text("\n".join(['default = "cluster"', "[profiles.cluster]", *said, ""]))


@pytest.fixture
def project(tmp_path: Path, cluster: SlurmCluster) -> Path:
    """The folder of the store, with a folder ``src`` for the script; all nodes of the cluster take jobs, whatever the last test did to them."""
    cluster.wait_until_up()
    write_profile(tmp_path)
    (tmp_path / "src").mkdir()
    return tmp_path


@pytest.fixture
def job(project: Path) -> Callable[..., TuningJob]:
    """A job of a script: random trials of x in [0, 1], unless fields say otherwise."""

    def make(script: str = scripts.QUADRATIC, **fields: Any) -> TuningJob:
        (project / "src" / "train.py").write_text(textwrap.dedent(script))
        place = {"folder": {"type": "constant", "value": str(project)}} if script == WAITS else {}
        data = {
            "name": "s",
            "trial": {"source": "src", "command": "python train.py", **fields.pop("trial", {})},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}, **place},
            "strategy": {"type": "random", "seed": 3},
            "limits": {"trials": 1, **fields.pop("limits", {})},
            "slurm": {"grace": 0.3, **fields.pop("slurm", {})},
            **fields,
        }
        return TuningJob.from_data(data)

    return make


@pytest.fixture
def finish(project: Path) -> Callable[[TuningJob], Run]:
    """Drives a job in this process."""

    def finish_one(tuning: TuningJob) -> Run:
        run = api.prepare(tuning, project=project, base=project)
        run.wait()
        return run

    return finish_one


@pytest.fixture
def submit(project: Path) -> Iterator[Callable[[TuningJob], Run]]:
    """Submits a job; what still runs after the test is cancelled."""
    with submitting(project) as submit:
        yield submit


def messages(run: Run) -> str:
    """All events of a run."""
    return "\n".join(message for _, _, message in run.events())


@contextlib.contextmanager
def full(cluster: SlurmCluster) -> Iterator[None]:
    """Has all nodes taken by another's job meanwhile."""
    wanted = ("--nodes=4", "--exclusive", "--output=/dev/null", "--wrap=sleep 600")
    blocker = cluster.call("sbatch", "--parsable", *wanted).strip()
    try:
        wait_until(lambda: any("RUNNING" in line for line in cluster.queued()))
        yield
    finally:
        cluster.call("scancel", blocker)


def driver_of(run: Run) -> int:
    """The process of a run's driver."""
    said = subprocess.run(["ps", "-ww", "-e", "-o", "pid=", "-o", "args="], capture_output=True, text=True, check=True)
    lines = (line.split(None, 1) for line in said.stdout.splitlines())
    return next(int(pid) for pid, words in lines if "cloudtune.cli.drive" in words and run.id in words)


def kill_driver(run: Run) -> None:
    """Kill a run's driver and wait until it is gone: a resume that still finds its lock held starts no other."""
    pid = driver_of(run)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
