"""`TuneSearchCV(on="ray")`: a search of scikit-learn whose candidates are trials on a Ray cluster."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from late import LATE

pytestmark = pytest.mark.xdist_group("ray")  # whose clusters are started once

if LATE:
    pytest.importorskip("sklearn")
    from sklearn.datasets import load_iris
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC
    from sklearn_results import assert_same_results

    from cloudtune.sklearn import TuneSearchCV

    DATA, TARGET = load_iris(return_X_y=True)


@pytest.mark.complete
def test_a_search_on_a_cluster_finds_what_one_here_does(
    project: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    monkeypatch.chdir(project)
    grid = {"C": [0.1, 1.0, 10.0], "kernel": ["linear", "rbf"]}
    ours = TuneSearchCV(SVC(), grid, cv=3, on="ray", n_jobs=2, project=project, run_id="iris", return_train_score=True)
    ours.fit(DATA, TARGET)
    theirs = GridSearchCV(SVC(), grid, cv=3, return_train_score=True).fit(DATA, TARGET)
    assert_same_results(ours.cv_results_, theirs.cv_results_)
    assert ours.best_params_ == theirs.best_params_
    assert np.array_equal(ours.predict(DATA), theirs.predict(DATA))
    assert ours.run_.record.provider == "ray"
    assert ours.run_.counts() == {"completed": 6}
    again = TuneSearchCV(SVC(), grid, cv=3, on="ray", n_jobs=2, project=project, run_id="iris", return_train_score=True)
    again.fit(DATA, TARGET)
    assert again.run_.counts() == {"completed": 6}, "the same search was there already"
    assert [trial.started for trial in again.run_.trials()] == [trial.started for trial in ours.run_.trials()]
    assert os.environ["RAY_ADDRESS"] == cluster.address
