"""Runs on the Ray cluster of a test, and what they are made of."""

import contextlib
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray_clusters

from cloudtune import api
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.testing import scripts

X = {"type": "float", "low": 0.0, "high": 1.0}


WAITS = """\
import pathlib, time
import cloudtune.trial as trial

def train(x, folder):
    here = pathlib.Path(folder)
    trial.report(score=x, step=1)
    print("waiting", flush=True)
    (here / f"begun-{trial.number()}.{trial.attempt()}").touch()
    while not (here / "go").exists():
        time.sleep(0.02)
    trial.report(score=x, step=2)
    print("done")

if __name__ == "__main__":
    train(**trial.params())
"""
"""Reports, says so, waits for a file, and reports once more."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of two nodes to which this process is connected."""
    with ray_clusters.connected() as made:
        yield made


@pytest.fixture
def project(tmp_path: Path, cluster: Any) -> Path:
    text = f'default = "cluster"\n[profiles.cluster]\nprovider = "ray"\naddress = "{cluster.address}"\n'
    (tmp_path / "cloudtune.toml").write_text(text)
    (tmp_path / "src").mkdir()
    return tmp_path


@pytest.fixture
def job(project: Path) -> Callable[..., TuningJob]:
    """A job of a script: random trials of x in [0, 1], unless fields say otherwise."""

    def make(script: str = scripts.QUADRATIC, **fields: Any) -> TuningJob:
        (project / "src" / "train.py").write_text(textwrap.dedent(script))
        program = {} if "function" in fields.get("trial", {}) else {"command": "python train.py"}
        data = {
            "name": "r",
            "trial": {"source": "src", **program, **fields.pop("trial", {})},
            "objective": {"metric": "score", "goal": "maximize"},
            "space": {"x": X, **fields.pop("space", {})},
            "strategy": {"type": "random", "seed": 3},
            "limits": {"trials": 1, **fields.pop("limits", {})},
            "ray": {"grace": 0.3, **fields.pop("ray", {})},
            **fields,
        }
        return TuningJob.from_data(data)

    return make


@pytest.fixture
def waiting(job: Callable[..., TuningJob], project: Path) -> Callable[..., TuningJob]:
    """The same of a script that waits for the file ``go`` in the project's folder."""
    place = {"folder": {"type": "constant", "value": str(project)}}
    return lambda **fields: job(WAITS, space=place, **fields)


@pytest.fixture
def made(project: Path) -> Callable[..., Run]:
    return lambda job, **options: api.prepare(job, project=project, base=project, **options)


@pytest.fixture
def finish(made: Callable[..., Run]) -> Callable[[TuningJob], Run]:
    """Drives a job in this process."""

    def finish_one(job: TuningJob) -> Run:
        run = made(job)
        run.wait()
        return run

    return finish_one


@contextlib.contextmanager
def driven_beside(run: Run, project: Path) -> Iterator[None]:
    """Drives a run in a thread of this process, and waits for its end."""
    thread = threading.Thread(target=lambda: api.attach(run.id, project=project).wait())
    thread.start()
    try:
        yield
    except BaseException:
        run.cancel()
        raise
    finally:
        thread.join(timeout=60)
        assert not thread.is_alive()


@contextlib.contextmanager
def driver_of_its_own(run: Run, project: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "cloudtune.cli.drive", str(project), run.id]
    process = subprocess.Popen(command, cwd=project)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def begun(project: Path) -> set[str]:
    """The attempts that have begun, such as ``0.1``."""
    return {path.name.removeprefix("begun-") for path in project.glob("begun-*")}


def actors_of(run: Run) -> list[str]:
    import ray

    mark = run.record.native["mark"]
    return [about["name"] for about in ray.util.list_named_actors(all_namespaces=True) if mark in about["name"]]


def messages(run: Run) -> str:
    return "\n".join(f"{number}: {message}" for _, number, message in run.events())
