"""Runs on a real Ray cluster whose nodes, drivers, slots and keepers die."""

import random
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray_clusters
from ray_runs import actors_of, begun, driven_beside, driver_of_its_own, messages

from cloudtune.store.records import RunState, TrialState
from cloudtune.testing.conformance import wait_until

pytestmark = pytest.mark.xdist_group("ray")  # whose clusters are started once


@pytest.mark.complete
def test_trials_of_a_node_that_dies_are_started_again_elsewhere(
    waiting: Any, made: Any, project: Path, cluster: Any
) -> None:
    doomed = ray_clusters.add_node(cluster, "doomed", cpus=2)
    limits = {"trials": 6, "parallel": 6}
    run = made(waiting(limits=limits, ray={"scheduling_strategy": "SPREAD"}))
    with driven_beside(run, project):
        wait_until(lambda: len(begun(project)) == 6)
        cluster.remove_node(doomed, allow_graceful=False)
        wait_until(lambda: "its node" in messages(run))
        (project / "go").touch()
    trials = run.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETED] * 6, [trial.reason for trial in trials]
    lost = [trial for trial in trials if trial.attempt > 1]
    assert 1 <= len(lost) <= 2
    assert all(f"{trial.number}: attempt 1 was lost (its node" in messages(run) for trial in lost)
    for trial in trials:
        last = [report for report in run.reports(trial.number) if report.attempt == trial.attempt]
        assert [report.step for report in last] == [1, 2]
    assert not actors_of(run)


WORKERS = {"trial": {"function": "train:train"}, "ray": {"isolate": False}}


@pytest.mark.parametrize("program", [{}, pytest.param(WORKERS, marks=pytest.mark.complete)])
def test_a_driver_that_is_killed_is_followed_by_one_that_takes_over(
    program: dict[str, Any], waiting: Any, made: Any, project: Path
) -> None:
    """Trials in processes of their own, and trials in workers."""
    run = made(waiting(limits={"trials": 3, "parallel": 2}, **program))
    with driver_of_its_own(run, project) as driver:
        wait_until(lambda: begun(project) == {"0.1", "1.1"})
        wait_until(lambda: len(list(run.reports())) == 2)
        driver.kill()
        driver.wait()
    assert run.state is RunState.INTERRUPTED
    (project / "go").touch()
    assert run.wait() is RunState.COMPLETED
    assert [trial.attempt for trial in run.trials()] == [1, 1, 1]
    assert begun(project) == {"0.1", "1.1", "2.1"}
    assert messages(run).count("taken over from the driver") == 2
    for number in range(3):
        assert [report.step for report in run.reports(number)] == [1, 2]
        assert list(run.logs(number)) == ["waiting", "done"]
    assert not actors_of(run)


@pytest.mark.complete
def test_a_cancel_ends_what_a_dead_driver_left(waiting: Any, made: Any, project: Path) -> None:
    run = made(waiting(limits={"trials": 2, "parallel": 2}))
    with driver_of_its_own(run, project) as driver:
        wait_until(lambda: len(begun(project)) == 2)
        driver.kill()
        driver.wait()
        assert len(actors_of(run)) == 2
    run.cancel()
    assert run.state is RunState.CANCELLED
    assert [trial.state for trial in run.trials()] == [TrialState.CANCELLED] * 2
    assert not actors_of(run)
    wait_until(lambda: not _processes_in(project))


@pytest.mark.complete
def test_a_slot_without_a_driver_goes_when_its_trial_has_ended(waiting: Any, made: Any, project: Path) -> None:
    run = made(waiting(ray={"linger": "1s"}))
    with driver_of_its_own(run, project) as driver:
        wait_until(lambda: begun(project) == {"0.1"})
        driver.kill()
        driver.wait()
    threading.Event().wait(1.5)
    assert len(actors_of(run)) == 1, "its trial is running"
    (project / "go").touch()
    wait_until(lambda: not actors_of(run))
    assert run.wait() is RunState.COMPLETED
    assert run.trials()[0].attempt == 2, "nobody knows how the first attempt ended"


def test_a_slot_that_dies_costs_its_trial_an_attempt_and_no_retry(waiting: Any, made: Any, project: Path) -> None:
    import ray

    run = made(waiting())
    with driven_beside(run, project):
        wait_until(lambda: begun(project) == {"0.1"})
        (actor,) = actors_of(run)
        ray.kill(ray.get_actor(actor, namespace="cloudtune"))
        wait_until(lambda: "0.2" in begun(project))
        (project / "go").touch()
    assert [(trial.state, trial.attempt) for trial in run.trials()] == [(TrialState.COMPLETED, 2)]


def test_a_keeper_that_dies_takes_its_trial_along(waiting: Any, made: Any, project: Path) -> None:
    run = made(waiting())
    with driven_beside(run, project):
        wait_until(lambda: begun(project) == {"0.1"})
        (trial,) = _processes_in(project)
        keeper = trial.parent()
        assert any("process.keeper" in word for word in keeper.cmdline())
        keeper.kill()
        wait_until(lambda: "0.2" in begun(project))
        wait_until(lambda: not _lives(trial))
        (project / "go").touch()
    assert run.trials()[0].attempt == 2
    assert "its keeper was killed" in messages(run)


@pytest.mark.complete
def test_a_trial_that_kills_its_slot_each_time_fails_in_the_end(
    job: Any, finish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudtune.driver.attempts.MOST_LOSSES", 1)
    script = """
        import os, psutil, time
        slot = psutil.Process(os.getppid()).parent()
        assert "SlotActor" in slot.cmdline()[0]
        slot.kill()
        time.sleep(60)
        """
    (trial,) = finish(job(script)).trials()
    assert trial.state is TrialState.FAILED
    assert "it was lost 2 times" in trial.reason


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _processes_in(project: Path) -> list[psutil.Process]:
    """The scripts of trials that have the project's folder among their arguments."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "train.py" in words and str(project) in words:
            found.append(process)
    return found


DIARY = """
import pathlib, time
import cloudtune.trial as trial

diary = pathlib.Path(trial.params()["folder"]) / "diary"

def note(what):
    with diary.open("a") as file:
        file.write(f"{what} {trial.number()} {trial.attempt()}\\n")

note("begin")
for step in range(1, 4):
    trial.report(score=trial.params()["x"] * step, step=step)
    time.sleep(0.1)
note("end")
"""


def lines_of(diary: Path) -> list[str]:
    return diary.read_text().splitlines() if diary.exists() else []


@pytest.mark.complete
@pytest.mark.timeout(1800)
def test_thirty_kills_of_the_driver_lose_nothing_and_run_nothing_twice(job: Any, made: Any, project: Path) -> None:
    trials, kills, chance = 100, 0, random.Random(7)
    place = {"folder": {"type": "constant", "value": str(project)}}
    run = made(job(DIARY, space=place, limits={"trials": trials, "parallel": 2}))
    while kills < 30:
        until = min(len(lines_of(project / "diary")) + chance.randrange(4), 2 * trials - 2)
        with driver_of_its_own(run, project) as driver:
            wait_until(lambda until=until: len(lines_of(project / "diary")) >= until, seconds=120)
            time.sleep(chance.random() / 2)
            driver.kill()
            driver.wait()
        kills += 1
        assert run.state is RunState.INTERRUPTED, f"after {kills} kills"
    assert run.wait() is RunState.COMPLETED
    assert [(trial.number, trial.state) for trial in run.trials()] == [
        (number, TrialState.COMPLETED) for number in range(trials)
    ]
    lines = [line.split() for line in lines_of(project / "diary")]
    began, ended = ([(number, attempt) for what, number, attempt in lines if what == kind] for kind in ("begin", "end"))
    assert len(began) == len(set(began)), "no attempt began twice"
    assert sorted(int(number) for number, _ in ended) == list(range(trials)), "each trial came to its end once"
    for trial in run.trials():
        last = [report.step for report in run.reports(trial.number) if report.attempt == trial.attempt]
        assert last == [1, 2, 3]
    assert not actors_of(run)
