"""What a run on a Slurm cluster does."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from slurm_clusters import SlurmCluster
from slurm_runs import WAITS, full, messages, write_profile

from cloudtune.process.setting import TrialFiles
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing.conformance import wait_until
from cloudtune_slurm.claims import starts_of

pytestmark = pytest.mark.xdist_group("slurm")  # whose cluster is started once

Job = Callable[..., TuningJob]
Finish = Callable[[TuningJob], Run]


def test_trials_that_start_together_are_one_array(cluster: SlurmCluster, job: Job, finish: Finish) -> None:
    run = finish(job(limits={"trials": 4, "parallel": 4}))
    assert run.state is RunState.COMPLETED, messages(run)
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 4
    completed = (cluster.folder / "log" / "completed").read_text().splitlines()
    own = [line for line in completed if f"cloudtune-{run.id}-" in line]
    assert len(own) == 4
    assert not cluster.queued()


def test_a_partition_that_is_not_there_fails_the_trials_with_slurms_words(job: Job, finish: Finish) -> None:
    run = finish(job(slurm={"partition": "nowhere"}, retries=2))
    assert run.state is RunState.FAILED
    (trial,) = run.trials()
    assert trial.attempt == 1
    assert "sbatch refuses it" in trial.reason
    assert "invalid partition" in trial.reason.lower()


@pytest.mark.complete
def test_what_slurm_will_never_start_fails_at_once(cluster: SlurmCluster, job: Job, finish: Finish) -> None:
    run = finish(job(slurm={"time": "3h"}))
    (trial,) = run.trials()
    assert trial.state is TrialState.FAILED
    assert "longer than the partition's" in trial.reason or "sbatch refuses it" in trial.reason, trial.reason
    assert not cluster.queued()


def test_a_prologue_that_fails_says_its_last_line(job: Job, finish: Finish) -> None:
    run = finish(job(slurm={"prologue": "echo there is no module of this name >&2\nfalse"}))
    (trial,) = run.trials()
    assert trial.state is TrialState.FAILED
    assert trial.reason.endswith("there is no module of this name"), trial.reason


@pytest.mark.complete
def test_a_prologue_and_a_prefix_set_the_trial_up(job: Job, finish: Finish) -> None:
    script = "import os\nimport cloudtune.trial as trial\ntrial.report(score=float(os.environ['FROM_PROLOGUE']) + float(os.environ['IMAGE']))\n"
    run = finish(
        job(
            script,
            trial={"image": "41"},
            slurm={"prologue": "export FROM_PROLOGUE=1", "container": "env IMAGE={image}"},
        )
    )
    assert [trial.metrics["score"] for trial in run.trials()] == [42.0], messages(run)


SEES = """\
import os
import cloudtune.trial as trial

trial.report(score=float(os.getpid() < 10), step=1)  # a process of the first in its container
"""


@pytest.mark.complete
@pytest.mark.parametrize(
    ("prefix", "score"),
    [("bwrap --dev-bind / / --proc /proc --unshare-pid --die-with-parent", 1.0), ("srun --overlap --mpi=none", 0.0)],
)
def test_a_container_is_what_a_prefix_makes_also_as_a_step_of_slurm(
    job: Job, finish: Finish, prefix: str, score: float
) -> None:
    if shutil.which(prefix.split(maxsplit=1)[0]) is None:
        pytest.skip(f"there is no {prefix.split(maxsplit=1)[0]}")
    run = finish(job(SEES, slurm={"container": prefix}))
    assert [trial.metrics["score"] for trial in run.trials()] == [score], messages(run)


@pytest.mark.complete
def test_a_trial_in_a_container_ends_at_its_limit(job: Job, finish: Finish, cluster: SlurmCluster) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("there is no bwrap")
    prefix = "bwrap --dev-bind / / --proc /proc --unshare-pid --die-with-parent"
    run = finish(job("import time\ntime.sleep(600)\n", limits={"trial_time": "1s"}, slurm={"container": prefix}))
    assert "limits.trial_time" in run.trials()[0].reason, messages(run)
    assert not cluster.queued()


@pytest.mark.complete
def test_trials_that_wait_say_for_what(cluster: SlurmCluster, job: Job, submit: Finish) -> None:
    with full(cluster):
        run = submit(job(limits={"trials": 3, "parallel": 3}))
        wait_until(lambda: sum(trial.queued for trial in run.trials()) == 3)
        assert {trial.reason for trial in run.trials()} == {"waits for its turn in Slurm's queue (Resources, Priority)"}
    assert run.wait() is RunState.COMPLETED, messages(run)


@pytest.mark.complete
def test_the_folder_may_be_another_than_the_project(job: Job, finish: Finish, project: Path) -> None:
    write_profile(project, folder=str(project / "scratch"))
    script = "import pathlib\nimport cloudtune.trial as trial\npathlib.Path(trial.output_dir(), 'model').write_text('m')\nprint('said')\ntrial.report(score=1)\n"
    run = finish(job(script))
    assert run.state is RunState.COMPLETED, messages(run)
    assert [path.read_text() for path in run.fetch(0, project / "got")] == ["m"]
    assert list(run.logs(0)) == ["said"]
    assert not list((project / "scratch").iterdir())


@pytest.mark.complete
def test_short_trials_share_tasks_by_default(job: Job, finish: Finish) -> None:
    run = finish(job(limits={"trials": 40, "parallel": 10}))
    assert run.state is RunState.COMPLETED, messages(run)
    starts = [starts_of(TrialFiles(str(run.folder / trial.place), trial.attempt)) for trial in run.trials()]
    assert [len(each) for each in starts] == [1] * 40
    tasks = {start["task"] for (start,) in starts}
    assert len(tasks) <= 20, tasks


@pytest.mark.complete
def test_short_trials_share_a_task_and_one_of_them_can_be_stopped(
    cluster: SlurmCluster, job: Job, submit: Finish, project: Path
) -> None:
    run = submit(job(WAITS, limits={"trials": 12, "parallel": 12}, slurm={"trials_per_task": 3}))
    wait_until(lambda: len(list(project.glob("begun-*"))) == 4)
    (begun,) = project.glob("begun-0.*")
    run.stop_trial(0)
    run.stop_trial(11)
    wait_until(lambda: {run.trials()[number].state for number in (0, 11)} == {TrialState.CANCELLED})
    (project / "go").touch()
    assert run.wait() is RunState.COMPLETED, messages(run)
    assert [trial.state for trial in run.trials()[1:11]] == [TrialState.COMPLETED] * 10
    assert {trial.attempt for trial in run.trials()} == {1}
    own = [
        line
        for line in (cluster.folder / "log" / "completed").read_text().splitlines()
        if f"cloudtune-{run.id}-" in line
    ]
    assert len(own) == 4
    assert begun.exists()
