"""First and enqueued trials of a run: when they are run, what a killed driver loses, and what is left at the end."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from older_stores import lower
from plain_jobs import plain_data
from scripted_launcher import Script, good

from cloudtune.driver.intake import Intake
from cloudtune.driver.launcher import Launcher
from cloudtune.driver.loop import Driver
from cloudtune.search import KnownTrial
from cloudtune.spec.job import TuningJob
from cloudtune.store.enqueued import enqueue, enqueued
from cloudtune.store.records import RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import RunStore, Store

JOB: dict[str, Any] = plain_data(
    space={"x": {"type": "float", "low": 0.0, "high": 1.0}, "k": {"type": "int", "low": 1, "high": 9}},
    strategy={"type": "random", "seed": 1},
    limits={"trials": 5},
)


def job_of(**fields: Any) -> TuningJob:
    return TuningJob.from_data({**JOB, **fields})


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    return Store(tmp_path).create(RunRecord(id="r", name="j", provider="local", profile="local", job="{}", plan="{}"))


def drive(run: RunStore, job: TuningJob, launcher: Launcher | None = None, **arguments: Any) -> RunState:
    return Driver(job, run, launcher or Script(good), seed=1, **arguments).run()


def origins(run: RunStore) -> list[tuple[str, object]]:
    return [(trial.origin, trial.parameters["x"]) for trial in run.trials()]


def events(run: RunStore) -> list[str]:
    return [message if number is None else f"{number}: {message}" for _, number, message in run.events()]


def test_first_trials_are_run_first_and_count(run: RunStore) -> None:
    known = [KnownTrial({"x": 0.75}, {}, TrialState.WAITING), KnownTrial({"x": 0.1, "k": 1}, {"loss": 1.0})]
    assert drive(run, job_of(first=[{"x": 0.25, "k": 3}, {"x": 0.5}]), known=known) is RunState.COMPLETED
    assert origins(run)[:3] == [("first", 0.25), ("first", 0.5), ("first", 0.75)]
    assert [origin for origin, _ in origins(run)[3:]] == ["", ""]
    assert (
        events(run)[0]
        == "learnt from 1 of 1 trials of earlier runs; begins with the 1 trials of the table that have no result"
    )


def test_what_is_enqueued_meanwhile_comes_before_the_next_suggestion(run: RunStore) -> None:
    def plot(trial: Trial) -> Any:
        if trial.number == 1:
            other = RunStore(Store(run.store.project), "r")  # as another process
            assert enqueue(other, [{"x": 0.25}, {"x": 0.5, "k": 9}]) is RunState.RUNNING
        return good(trial)

    assert drive(run, job_of(), Script(plot)) is RunState.COMPLETED
    assert [origin for origin, _ in origins(run)] == ["", "", "tried", "tried", ""]
    assert origins(run)[2:4] == [("tried", 0.25), ("tried", 0.5)]
    assert "2: is the trial that was enqueued with x=0.25" in events(run)
    assert enqueued(run) == []


def test_what_is_enqueued_before_a_start_or_a_resume_comes_with_it(run: RunStore) -> None:
    assert enqueue(run, [{"x": 0.25}]) is RunState.WAITING
    assert drive(run, job_of(limits={"trials": 2}, first=[{"x": 0.5}])) is RunState.COMPLETED
    assert origins(run) == [("first", 0.5), ("tried", 0.25)]
    assert enqueue(run, [{"x": 0.75}]) is RunState.COMPLETED
    run.write(columns={"state": RunState.INTERRUPTED.value})
    assert drive(run, job_of(limits={"trials": 4}, first=[{"x": 0.5}])) is RunState.COMPLETED
    assert origins(run)[:3] == [("first", 0.5), ("tried", 0.25), ("tried", 0.75)]


def test_an_exhausted_grid_takes_what_is_enqueued_while_its_last_trial_runs(run: RunStore) -> None:
    def plot(trial: Trial) -> Any:
        if trial.number == 1:
            enqueue(run, [{"k": 5}])
        return good(trial)

    space = {"x": {"type": "constant", "value": 0.5}, "k": {"type": "int", "low": 1, "high": 9, "step": 4}}
    grid = job_of(space=space, strategy={"type": "grid"}, limits={}, first=[{"k": 9}])
    assert drive(run, grid, Script(plot)) is RunState.COMPLETED
    assert [(trial.origin, trial.parameters["k"]) for trial in run.trials()] == [("first", 9), ("", 1), ("tried", 5)]


def test_what_no_trial_of_the_budget_is_left_for_stays_and_the_end_says_so(run: RunStore) -> None:
    enqueue(run, [{"x": 0.25}, {"x": 0.5}])
    assert drive(run, job_of(limits={"trials": 1})) is RunState.COMPLETED
    assert [each.parameters for each in enqueued(run)] == [{"x": 0.5}]
    assert events(run)[-1] == "`cloudtune resume r --trials +1` runs the trial that is still enqueued"


def test_values_that_the_space_has_no_longer_are_told_and_dropped(run: RunStore) -> None:
    enqueue(run, [{"x": 7.0}])
    assert drive(run, job_of(limits={"trials": 1})) is RunState.COMPLETED
    assert "a trial that was enqueued (x=7.0) cannot be run: x: 7.0 is outside 0.0 to 1.0" in events(run)
    assert enqueued(run) == []


def test_a_store_of_before_gets_room_for_them_and_is_read_where_it_may_not(
    run: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.write(trials=[Trial(0, {"x": 0.5, "k": 1})])
    run.store.close()
    lower(run.path, 3)
    with monkeypatch.context() as patch:
        patch.setattr("cloudtune.store.database.is_writable", lambda _: False)
        reader = RunStore(Store(run.store.project), "r")
        patch.setattr("cloudtune.store.store.is_writable", lambda _: False)
        assert (reader.trials()[0].origin, enqueued(reader)) == ("", [])
        reader.store.close()
    enqueue(run, [{"x": 0.25}])
    run.write(trials=[Trial(1, {"x": 0.25, "k": 1}, origin="tried")])
    assert [trial.origin for trial in run.trials()] == ["", "tried"]
    run.remove()
    assert enqueued(run) == []


@pytest.mark.parametrize("moment", ["read", "taken up", "written"])
def test_kill_9_between_enqueuing_and_taking_up_loses_nothing_and_runs_nothing_twice(
    run: RunStore, tmp_path: Path, moment: str
) -> None:
    enqueue(run, [{"x": 0.25}])
    run.store.close()
    child = os.fork()
    if child == 0:  # a driver that is killed
        own = RunStore(Store(tmp_path), "r")
        write, read = own.write, Intake.read

        def killed_write(**what: Any) -> None:
            if moment == "taken up" and what.get("taken"):
                os.kill(os.getpid(), signal.SIGKILL)
            write(**what)
            if moment == "written" and what.get("taken"):
                os.kill(os.getpid(), signal.SIGKILL)

        def killed_read(self: Intake) -> None:
            read(self)
            os.kill(os.getpid(), signal.SIGKILL)

        own.write = killed_write  # type: ignore[method-assign]
        if moment == "read":
            Intake.read = killed_read  # type: ignore[method-assign]
        drive(own, job_of())
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert len(enqueued(run)) == (0 if moment == "written" else 1)
    launcher = Script(good)
    assert drive(run, job_of(), launcher) is RunState.COMPLETED
    assert [number for number, _ in launcher.launched] == [0, 1, 2, 3, 4]
    assert origins(run)[0] == ("tried", 0.25)
    assert [origin for origin, _ in origins(run)].count("tried") == 1
    assert enqueued(run) == []
