"""Runs whose driver is a job in the cluster, which is reached by its dashboard alone (``http://HEAD:8265``)."""

import re
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
import ray_clusters
from ray_runs import begun, messages
from test_ray_client import TRIES, job_of

from cloudtune import api
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing.conformance import wait_until

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.complete]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ray_clusters.Head]:
    pytest.importorskip("aiohttp_cors", reason="a dashboard needs ray[default]")
    with ray_clusters.head(tmp_path_factory.mktemp("head"), dashboard=True) as made:
        yield made


@pytest.fixture
def far(tmp_path: Path, head: ray_clusters.Head) -> Path:
    return project_at(head, tmp_path)


def project_at(head: ray_clusters.Head, folder: Path) -> Path:
    (folder / "cloudtune.toml").write_text(
        f'default = "cluster"\n[profiles.cluster]\nprovider = "ray"\naddress = "{head.dashboard}"\n'
    )
    (folder / "src").mkdir()
    (folder / "src" / "train.py").write_text(TRIES)
    (folder / "table.txt").write_text("1 2 3")
    return folder


def submitted(project: Path, trials: int, **fields: Any) -> Run:
    data = {**job_of(project, trials), **fields}
    data["trial"] = {**data["trial"], "environment": {"SECRET": "mellon"}}
    return api.submit(TuningJob.from_data(data), project=project, base=project)


def jobs_of(run: Run) -> dict[str, str]:
    server = run._provider._driver_provider  # type: ignore[attr-defined]
    return {
        each["submission_id"]: each["status"] for each in server.api.ask("GET", "api/jobs/") if each["submission_id"]
    }


def test_a_run_whose_driver_is_a_job_is_followed_left_and_found_again(far: Path, tmp_path: Path) -> None:
    run = submitted(far, trials=3)
    wait_until(lambda: begun(far) == {"0.1", "1.1"})

    def leave(progress: Any) -> None:
        if len(progress.running) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.wait(leave)
    assert run.state is RunState.RUNNING
    (far / "go").touch()
    again = api.attach(run.id, project=far)
    assert again.wait() is RunState.COMPLETED, messages(again)
    assert [(trial.state, trial.attempt) for trial in again.trials()] == [(TrialState.COMPLETED, 1)] * 3
    assert f"its driver is {run.id}-driver-1 on cluster" in messages(again)
    for number in range(3):
        assert [report.step for report in again.reports(number)] == [1, 2]
        assert list(again.logs(number)) == ["waiting", "done"]
        (file,) = again.fetch(number, tmp_path / f"got-{number}")
        assert file.read_text() == "1 2 3"
    assert jobs_of(again)[f"{run.id}-driver-1"] == "SUCCEEDED"


def test_a_driver_job_that_is_stopped_is_followed_by_another_that_takes_over(far: Path) -> None:
    run = submitted(far, trials=3)
    wait_until(lambda: begun(far) == {"0.1", "1.1"})
    server = run._provider._driver_provider  # type: ignore[attr-defined]
    server.api.ask("POST", f"api/jobs/{run.id}-driver-1/stop", {})
    assert run.wait() is RunState.INTERRUPTED
    (far / "go").touch()
    assert run.resume().wait() is RunState.COMPLETED, messages(run)
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 3
    assert f"its driver is {run.id}-driver-2" in messages(run)


def test_a_cancel_ends_the_driver_and_all_that_it_launched(far: Path) -> None:
    run = submitted(far, trials=2)
    wait_until(lambda: len(begun(far)) == 2)
    run.cancel()
    assert run.wait() is RunState.CANCELLED
    assert [trial.state for trial in run.trials()] == [TrialState.CANCELLED] * 2
    assert jobs_of(run)[f"{run.id}-driver-1"] == "STOPPED"
    assert [finding.ok for finding in run._provider._target.check()] == [True]  # type: ignore[attr-defined]


def python_without(name: str, folder: Path) -> Path:
    """A Python that has what this one has, but for a distribution and cloudtune, which it does not have installed either."""
    venv.create(folder, symlinks=True)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if not re.match(rf"({name}|(__editable__\W*)?cloudtune)\b", each.name, re.IGNORECASE):
            (packages / each.name).symlink_to(each)
    return folder / "bin" / "python"


def wheel_of(name: str, folder: Path) -> None:
    """Makes a wheel of an installed distribution of Python alone."""
    own = distribution(name)
    with zipfile.ZipFile(folder / f"{name}-{own.version}-py3-none-any.whl", "w") as wheel:
        for path in own.files or ():
            if ".." not in path.parts and path.suffix != ".pyc":
                wheel.write(str(path.locate()), str(path))


def test_a_driver_whose_head_lacks_a_requirement_leaves_the_heads_python_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp_cors", reason="a dashboard needs ray[default]")
    wheel_of("cmaes", tmp_path)
    python = python_without("cmaes", tmp_path / "lean")
    before = sorted((tmp_path / "lean").rglob("*"))
    (tmp_path / "far").mkdir()
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    with ray_clusters.head(tmp_path, dashboard=True, python=python, **offline) as head:
        far = project_at(head, tmp_path / "far")
        (far / "go").touch()
        run = submitted(far, trials=2, strategy={"type": "evolutionary", "seed": 1})
        assert run.wait() is RunState.COMPLETED, messages(run)
    assert [(trial.state, trial.attempt) for trial in run.trials()] == [(TrialState.COMPLETED, 1)] * 2
    assert sorted((tmp_path / "lean").rglob("*")) == before
