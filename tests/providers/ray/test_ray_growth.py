"""A cluster that grows: Ray's own autoscaler starts a node for trials that wait, which begin when it is there."""

from pathlib import Path

import pytest
import ray_clusters
from ray_runs import WAITS, X, begun, driven_beside, messages

from cloudtune import api
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import TrialState
from cloudtune.testing.conformance import wait_until
from cloudtune_ray import launcher

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.complete]


def test_trials_wait_for_a_node_that_the_autoscaler_starts_and_begin_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "_QUEUE_GRACE", 0.5)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.py").write_text(WAITS)
    job = TuningJob.from_data({
        "name": "grows",
        "trial": {"source": "src", "command": "python train.py"},
        "objective": {"metric": "score", "goal": "maximize"},
        "space": {"x": X, "folder": {"type": "constant", "value": str(tmp_path)}},
        "strategy": {"type": "random", "seed": 3},
        "limits": {"trials": 3, "parallel": 2},
        "compute": {"cpus": 3},
        "ray": {"grace": 0.3},
    })  # fmt: skip
    with ray_clusters.head(tmp_path, worker={"CPU": 4, "big": 1}) as head:
        (tmp_path / "cloudtune.toml").write_text(f'[profiles.c]\nprovider = "ray"\naddress = "{head.gcs}"\n')
        run = api.prepare(job, "c", project=tmp_path, base=tmp_path)
        with driven_beside(run, tmp_path):
            wait_until(lambda: len(begun(tmp_path)) == 2, seconds=240)
            assert run.counts()["running"] == 2
            (tmp_path / "go").touch()
    assert [(trial.state, trial.attempt) for trial in run.trials()] == [(TrialState.COMPLETED, 1)] * 3
    told = messages(run)
    assert "waits for a node that fits: a trial needs 3 CPU (the most is 2), which none of the 1 nodes has" in told
    assert "; its autoscaler starts 2 of big" in told or "; its autoscaler starts 1 of big" in told
    assert "0: begins" in told
