"""The examples do what they say, on real data."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cloudtune import TuningJob, api
from cloudtune.search.grid import GridSearch
from cloudtune.store.records import RunState

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_example_is_a_job_that_this_machine_can_run(path: Path) -> None:
    job = TuningJob.from_yaml(path)
    plan = api.plan(job, "local")
    plan.refuse(strict=True)
    assert TuningJob.from_yaml(job.to_yaml()) == job


def run_example(tmp_path: Path, name: str, **limits: Any) -> Any:
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLES / Path(name).parent, folder, ignore=shutil.ignore_patterns(".cloudtune", "__pycache__"))
    job = TuningJob.from_yaml(folder / Path(name).name)
    job = job.model_copy(update={"limits": job.limits.model_copy(update=limits)})
    run = api.prepare(job, "local", project=folder, base=folder)
    run.wait()
    return run


@pytest.mark.timeout(900)
@pytest.mark.complete
def test_the_forest_grid_finds_what_grid_search_cv_finds(tmp_path: Path) -> None:
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GridSearchCV

    run = run_example(tmp_path, "random_forest/grid.yaml")
    grid = {"n_estimators": [100, 200, 300], "max_depth": [None, 10, 20, 30], "min_samples_split": [2, 5, 10]}
    peer = GridSearchCV(RandomForestClassifier(random_state=42), grid, cv=3, n_jobs=2)
    peer.fit(*load_breast_cancer(return_X_y=True))
    trials = run.trials()
    assert run.state is RunState.COMPLETED
    assert len(trials) == 36
    theirs = {
        json.dumps(parameters, sort_keys=True): score
        for parameters, score in zip(peer.cv_results_["params"], peer.cv_results_["mean_test_score"], strict=True)
    }
    ours = {json.dumps(trial.parameters, sort_keys=True): trial.metrics["mean_test_score"] for trial in trials}
    assert ours.keys() == theirs.keys()
    assert ours == pytest.approx(theirs, abs=1e-12)
    assert run.best.metrics["mean_test_score"] == pytest.approx(peer.best_score_, abs=1e-12)
    assert theirs[json.dumps(run.best.parameters, sort_keys=True)] == pytest.approx(peer.best_score_, abs=1e-12)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("trials", "accuracy"), [(2, 0.95), pytest.param(24, 0.98, marks=pytest.mark.complete)])
def test_the_digits_search_finds_a_good_machine(trials: int, accuracy: float, tmp_path: Path) -> None:
    run = run_example(tmp_path, "digits/job.yaml", trials=trials)
    assert run.state is RunState.COMPLETED
    assert run.best.metrics["accuracy"] >= accuracy
    report = run.report(tmp_path / "report.html").read_text()
    assert f"trial {run.best.number}" in report


def test_the_digits_grid_has_a_branch_for_each_kernel() -> None:
    job = TuningJob.from_yaml(EXAMPLES / "digits" / "grid.yaml")
    grid = list(GridSearch(job.search_space(), levels=3).all())
    assert len(grid) == 36
    assert sum(values["kernel"] == "rbf" for values in grid) == 9
    assert all(("degree" in values) == (values["kernel"] == "poly") for values in grid)


def test_the_digits_script_runs_by_hand() -> None:
    done = subprocess.run(
        [sys.executable, "train.py", "--C", "2", "--gamma", "0.5"],
        cwd=EXAMPLES / "digits",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "step 5: accuracy=0.98" in done.stdout
