"""A cluster whose controller forgets jobs soon, with slurmdbd: how trials ended is known from sacct, as long as that knows it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import slurm_accounting
import slurm_clusters
from slurm_accounting import forget_jobs
from slurm_clusters import SlurmCluster
from slurm_runs import WAITS, kill_driver, messages

from cloudtune.config import load_profile
from cloudtune.provider import load_provider
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing.conformance import wait_until

pytestmark = [pytest.mark.complete, pytest.mark.xdist_group("slurm_accounting")]  # whose cluster is started once

Job = Callable[..., TuningJob]
Submit = Callable[[TuningJob], Run]


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    """A cluster of two nodes whose controller forgets within seconds, with its accounting."""
    absent = [*slurm_clusters.missing(), *slurm_accounting.absent()]
    if absent:
        pytest.skip(f"there is no {absent[0]}; apt-get install slurm-wlm munge slurmdbd mariadb-server")
    with (
        slurm_clusters.started(nodes=2, min_job_age=2, accounting=slurm_accounting.kept) as made,
        slurm_clusters.commands_of(made),
    ):
        yield made


def forgotten(cluster: SlurmCluster, job: Job, submit: Submit, project: Path) -> Run:
    """A run of two trials without a driver, of which one was cancelled in Slurm, and whose tasks the controller has forgotten."""
    run = submit(job(WAITS, limits={"trials": 2, "parallel": 2}, slurm={"trials_per_task": 1}))
    wait_until(lambda: len(list(project.glob("begun-*"))) == 2)
    kill_driver(run)
    tasks = sorted(line.split()[0] for line in cluster.queued())
    cluster.call("scancel", tasks[0])
    wait_until(lambda: len(cluster.queued()) == 1)
    (project / "go").touch()
    job_id = tasks[0].partition("_")[0]
    wait_until(lambda: not cluster.call("squeue", "--noheader", "--states=all").strip())
    wait_until(
        lambda: (
            "COMPLETED" in cluster.call("sacct", "--noheader", "--allocations", f"--jobs={job_id}", "--format=State")
        )
    )
    return run


def test_what_the_controller_has_forgotten_is_known_from_the_accounting(
    cluster: SlurmCluster, job: Job, submit: Submit, project: Path
) -> None:
    run = forgotten(cluster, job, submit, project)
    run.resume()
    run.wait()
    assert [(trial.state, trial.attempt) for trial in run.trials()] == [
        (TrialState.FAILED, 1),
        (TrialState.COMPLETED, 1),
    ]
    assert "somebody cancelled it in Slurm" in messages(run)


def test_what_the_accounting_has_forgotten_as_well_is_lost_and_starts_again(
    cluster: SlurmCluster, job: Job, submit: Submit, project: Path
) -> None:
    run = forgotten(cluster, job, submit, project)
    forget_jobs(cluster)
    run.resume()
    assert run.wait() is RunState.COMPLETED, messages(run)
    assert [(trial.state, trial.attempt) for trial in run.trials()] == [
        (TrialState.COMPLETED, 2),
        (TrialState.COMPLETED, 1),
    ]
    assert "Slurm asked it to end, and does not know why any more" in messages(run)


def test_an_accounting_that_does_not_answer_is_not_waited_for(
    cluster: SlurmCluster, job: Job, submit: Submit, project: Path
) -> None:
    run = forgotten(cluster, job, submit, project)
    cluster.stop("slurmdbd")
    try:
        run.resume()
        assert run.wait() is RunState.COMPLETED, messages(run)
    finally:
        cluster.start("slurmdbd")
    assert [trial.attempt for trial in run.trials()] == [2, 1]


@pytest.mark.usefixtures("cluster")
def test_check_finds_the_accounting(project: Path) -> None:
    profile = load_profile("cluster", project)
    found = {each.subject: each for each in load_provider(profile.provider)(profile.settings).check()}
    assert found["accounting"].message == "sacct answers"
