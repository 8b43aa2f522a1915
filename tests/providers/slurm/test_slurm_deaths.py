"""What dies under a run, or is taken from it: tasks, nodes, the controller, the driver, answers. Nothing is lost, nothing runs twice."""

import contextlib
import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from slurm_clusters import SlurmCluster
from slurm_runs import WAITS, full, kill_driver, messages, write_profile

from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import RunState, TrialState
from cloudtune.testing.conformance import wait_until

pytestmark = pytest.mark.xdist_group("slurm")  # whose cluster is started once

Job = Callable[..., TuningJob]
Submit = Callable[[TuningJob], Run]

TWO = {"trials": 2, "parallel": 2}


def begun(project: Path) -> list[str]:
    """The attempts that have begun, a name for each start of a trial."""
    return sorted(path.name.removeprefix("begun-") for path in project.glob("begun-*"))


def tasks_of(cluster: SlurmCluster, run: Run) -> list[str]:
    """The tasks of a run that run, by their names in Slurm."""
    lines = cluster.call("squeue", "--noheader", "--array", "--format=%i %j %T").splitlines()
    return [line.split()[0] for line in lines if f"cloudtune-{run.id}-" in line and line.endswith("RUNNING")]


def processes_of(run: Run) -> list[int]:
    """The trials' own processes."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if (
                b"train.py" in (entry / "cmdline").read_bytes()
                and f"CLOUDTUNE_RUN={run.id}".encode() in (entry / "environ").read_bytes()
            ):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def ended_well(run: Run) -> list[tuple[TrialState, int]]:
    assert run.wait() is RunState.COMPLETED, messages(run)
    return [(trial.state, trial.attempt) for trial in run.trials()]


@pytest.mark.complete
def test_a_requeued_task_goes_on_as_the_same_attempt(
    cluster: SlurmCluster, job: Job, submit: Submit, project: Path
) -> None:
    run = submit(job(WAITS, limits=TWO))
    wait_until(lambda: len(begun(project)) == 2)
    for path in project.glob("begun-*"):
        path.unlink()
    for task in tasks_of(cluster, run):
        cluster.call("scontrol", "requeue", task)
    wait_until(lambda: len(begun(project)) == 2)
    (project / "go").touch()
    assert ended_well(run) == [(TrialState.COMPLETED, 1)] * 2, messages(run)
    assert "Slurm started it again" in messages(run)


def test_trials_outlive_a_killed_driver_and_the_next_one_takes_them_over(
    job: Job, submit: Submit, project: Path
) -> None:
    run = submit(job(WAITS, limits=TWO))
    wait_until(lambda: len(begun(project)) == 2)
    kill_driver(run)
    wait_until(lambda: run.state is RunState.INTERRUPTED)
    (project / "go").touch()
    run.resume()
    assert ended_well(run) == [(TrialState.COMPLETED, 1)] * 2, messages(run)
    assert "taken over" in messages(run)


@pytest.mark.complete
def test_cancel_without_a_driver_leaves_nothing(cluster: SlurmCluster, job: Job, submit: Submit, project: Path) -> None:
    run = submit(job(WAITS, limits={"trials": 20, "parallel": 20}))
    wait_until(lambda: len(begun(project)) == 8)
    kill_driver(run)
    wait_until(lambda: run.state is RunState.INTERRUPTED)
    run.cancel()
    assert run.state is RunState.CANCELLED
    assert not cluster.queued()
    assert not processes_of(run)


@pytest.mark.complete
def test_cancel_without_a_driver_takes_what_only_waits_out_of_the_queue(
    cluster: SlurmCluster, job: Job, submit: Submit
) -> None:
    with full(cluster):
        run = submit(job(WAITS, limits=TWO))
        wait_until(lambda: sum(trial.queued for trial in run.trials()) == 2)
        kill_driver(run)
        wait_until(lambda: run.state is RunState.INTERRUPTED)
        run.cancel()
        assert run.state is RunState.CANCELLED
        assert not [line for line in cluster.queued() if "PENDING" in line]


@pytest.mark.complete
def test_a_controller_that_restarts_is_waited_for(
    cluster: SlurmCluster, job: Job, submit: Submit, project: Path
) -> None:
    tuning = job(WAITS, limits={"trials": 12, "parallel": 6}, slurm={"trials_per_task": 1})  # else no task is asked for
    run = restarted(cluster, submit(tuning), project, signal.SIGTERM)
    assert ended_well(run) == [(TrialState.COMPLETED, 1)] * 12, messages(run)
    assert "Slurm answers again" in messages(run)


@pytest.mark.complete
def test_a_controller_that_is_killed_before_it_saved_its_state_loses_no_trial(
    cluster: SlurmCluster, job: Job, submit: Submit, project: Path
) -> None:
    run = restarted(cluster, submit(job(WAITS, limits={"trials": 12, "parallel": 6})), project, signal.SIGKILL)
    assert [state for state, _ in ended_well(run)] == [TrialState.COMPLETED] * 12, messages(run)


def restarted(cluster: SlurmCluster, run: Run, project: Path, number: int) -> Run:
    """The run, after the controller was ended while six of its trials ran, and started again."""
    wait_until(lambda: len(begun(project)) == 6)
    cluster.stop("slurmctld", number)
    (project / "go").touch()
    wait_until(lambda: "Slurm does not answer" in messages(run))
    cluster.start("slurmctld")
    cluster.wait_until_up()
    return run


@pytest.mark.complete
def test_what_somebody_cancels_in_slurm_has_failed_and_says_so(
    cluster: SlurmCluster, job: Job, submit: Submit, project: Path
) -> None:
    run = submit(job(WAITS, limits=TWO, retries=3))
    wait_until(lambda: len(begun(project)) == 2)
    cluster.call("scancel", tasks_of(cluster, run)[0])
    wait_until(lambda: any(trial.state.ended for trial in run.trials()))
    (project / "go").touch()
    run.wait()
    assert sorted(trial.state.value for trial in run.trials()) == ["completed", "failed"]
    assert "somebody cancelled it in Slurm" in messages(run)


@pytest.mark.complete
def test_trials_of_a_node_that_dies_start_again_and_cost_no_retry(
    cluster: SlurmCluster, job: Job, submit: Submit, project: Path
) -> None:
    run = submit(job(WAITS, limits={"trials": 8, "parallel": 8}))
    wait_until(lambda: len(begun(project)) == 8)
    cluster.kill_node("n1")
    try:
        wait_until(
            lambda: (
                "n1" not in cluster.call("sinfo", "--noheader", "--Node", "--format=%N %t", "--states=idle,alloc,mix")
            )
        )
        (project / "go").touch()
        assert ended_well(run) == [(TrialState.COMPLETED, 1)] * 8, messages(run)
    finally:
        cluster.start("n1")
        cluster.wait_until_up()
    assert messages(run).count("Slurm started it again") == 2


@pytest.mark.complete
def test_without_requeue_cloudtune_starts_lost_trials_again(
    cluster: SlurmCluster, job: Job, submit: Submit, project: Path
) -> None:
    run = submit(job(WAITS, limits={"trials": 8, "parallel": 8}, slurm={"requeue": False}))
    wait_until(lambda: len(begun(project)) == 8)
    cluster.kill_node("n2")
    try:
        wait_until(lambda: messages(run).count("its node failed") == 2)
        (project / "go").touch()
        assert sorted(attempt for _, attempt in ended_well(run)) == [1] * 6 + [2] * 2, messages(run)
    finally:
        cluster.start("n2")
        cluster.wait_until_up()


@pytest.mark.complete
def test_preempted_trials_start_again_and_cost_no_retry(
    cluster: SlurmCluster, job: Job, submit: Submit, project: Path
) -> None:
    run = submit(job(WAITS, limits={"trials": 8, "parallel": 8}, slurm={"partition": "low"}))
    wait_until(lambda: len(begun(project)) == 8)
    for path in project.glob("begun-*"):
        path.unlink()
    cluster.call("sbatch", "--partition=main", "--nodes=4", "--exclusive", "--output=/dev/null", "--wrap=true")
    wait_until(lambda: len(begun(project)) == 8)
    (project / "go").touch()
    assert ended_well(run) == [(TrialState.COMPLETED, 1)] * 8, messages(run)
    assert messages(run).count("Slurm started it again") == 8


@pytest.mark.complete
def test_trials_survive_a_controller_that_forgets_them(
    cluster: SlurmCluster, job: Job, submit: Submit, project: Path
) -> None:
    run = submit(job(WAITS, limits=TWO))
    wait_until(lambda: len(begun(project)) == 2)
    kill_driver(run)
    wait_until(lambda: run.state is RunState.INTERRUPTED)
    (project / "go").touch()
    wait_until(lambda: not tasks_of(cluster, run))
    cluster.stop("slurmctld")
    for path in (cluster.folder / "state").glob("job_state*"):
        path.unlink()
    for path in (cluster.folder / "state").glob("hash.*"):
        path.unlink(missing_ok=True) if path.is_file() else None
    cluster.start("slurmctld")
    cluster.wait_until_up()
    run.resume()
    assert ended_well(run) == [(TrialState.COMPLETED, 1)] * 2, messages(run)


LOSES = """#!/bin/sh
{sbatch} "$@" > {folder}/said || exit 1
if mkdir {folder}/lost 2>/dev/null; then echo 'sbatch: error: Unable to contact slurm controller (connect failure)' >&2; exit 1; fi
cat {folder}/said
"""
"""An sbatch whose first answer is lost on its way, after the controller has taken the job."""


@pytest.mark.complete
def test_a_lost_answer_of_sbatch_makes_no_second_trial(
    cluster: SlurmCluster, job: Job, submit: Submit, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sbatch = subprocess.run(["which", "sbatch"], capture_output=True, text=True, check=True).stdout.strip()
    (project / "bin").mkdir()
    (project / "bin" / "sbatch").write_text(LOSES.format(sbatch=sbatch, folder=project))
    (project / "bin" / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{project}/bin:{os.environ['PATH']}")
    write_profile(project, interval=0.3)
    run = submit(job("import os, pathlib\nimport cloudtune.trial as trial\n"
                     f"pathlib.Path({str(project)!r}, f'begun-{{trial.number()}}.{{os.getpid()}}').touch()\ntrial.report(score=1)\n",
                     limits={"trials": 3, "parallel": 3}))  # fmt: skip
    assert ended_well(run) == [(TrialState.COMPLETED, 1)] * 3, messages(run)
    assert (project / "lost").exists()
    assert len(begun(project)) == 3
    assert not cluster.queued()


NOTES = """
import os, pathlib, time
import cloudtune.trial as trial

diary = pathlib.Path({folder!r}, "diary")
with diary.open("a") as file:
    file.write(f"begin {{trial.number()}} {{trial.attempt()}}\\n")
time.sleep(0.3)
trial.report(score=trial.params()["x"])
with diary.open("a") as file:
    file.write(f"end {{trial.number()}} {{trial.attempt()}}\\n")
"""


@pytest.mark.complete
def test_thirty_kills_of_the_driver_lose_nothing_and_run_nothing_twice(
    cluster: SlurmCluster, job: Job, submit: Submit, project: Path
) -> None:
    chance, trials, kills = random.Random(5), 300, 0
    run = submit(job(NOTES.format(folder=str(project)), limits={"trials": trials, "parallel": 6}))
    while kills < 30 and run.state is not RunState.COMPLETED:
        until = min(len(lines_of(project / "diary")) + chance.randrange(6), 2 * trials - 2)
        wait_until(partial(has_come_to, run, project / "diary", until))
        threading.Event().wait(chance.random() * 0.3)  # the moment within the driver's work
        with contextlib.suppress(StopIteration, ProcessLookupError):
            kill_driver(run)
            kills += 1
        wait_until(lambda: run.state in (RunState.INTERRUPTED, RunState.COMPLETED))
        if run.state is RunState.INTERRUPTED:
            run.resume()
    assert kills == 30
    assert run.wait() is RunState.COMPLETED, messages(run)
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * trials
    ends = [line for line in lines_of(project / "diary") if line.startswith("end")]
    assert sorted(int(line.split()[1]) for line in ends) == list(range(trials)), "each trial came to its end once"
    assert not cluster.queued()


def has_come_to(run: Run, diary: Path, lines: int) -> bool:
    return len(lines_of(diary)) >= lines or run.state.ended


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
