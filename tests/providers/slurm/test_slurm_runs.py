"""What a run on a Slurm cluster does."""

from collections.abc import Callable

import pytest
from slurm_clusters import SlurmCluster
from slurm_runs import messages

from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, TrialState

pytestmark = pytest.mark.xdist_group("slurm")  # whose cluster is started once

Job = Callable[..., TuningJob]
Finish = Callable[[TuningJob], Run]


def test_trials_that_start_together_are_one_array(cluster: SlurmCluster, job: Job, finish: Finish) -> None:
    run = finish(job(limits={"trials": 8, "parallel": 8}))
    assert run.state is RunState.COMPLETED, messages(run)
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 8
    completed = (cluster.folder / "log" / "completed").read_text().splitlines()
    own = [line for line in completed if f"cloudtune-{run.id}-" in line]
    assert len(own) == 8
    assert not cluster.queued()
