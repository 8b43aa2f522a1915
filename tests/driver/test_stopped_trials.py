"""One trial of a run is stopped by its user, and the run goes on."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
from plain_jobs import plain_data
from scripted_launcher import Script, good

from cloudtune.driver.launcher import Ended
from cloudtune.driver.loop import Driver
from cloudtune.errors import ConfigError, TrialError
from cloudtune.provider.interface import Provider
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import ELSEWHERE, Report, RunRecord, RunState, Trial, TrialState
from cloudtune.store.stops import STOPPED, ask_to_stop, asked_to_stop
from cloudtune.store.store import RunStore, Store

JOB = TuningJob.from_data(plain_data(strategy={"type": "random", "seed": 1}, limits={"trials": 5, "parallel": 2}))


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    plan = json.dumps({"mode": "driven"})
    return Store(tmp_path).create(RunRecord(id="r", name="j", provider="local", profile="local", job="{}", plan=plan))


def handle(run: RunStore) -> Run:
    return Run(RunStore(Store(run.store.project), "r"), cast("Provider", None))


def states(run: RunStore) -> list[str]:
    return [trial.state.value for trial in run.trials()]


def test_a_running_trial_is_cancelled_and_the_run_goes_on_with_others(run: RunStore) -> None:
    def plot(trial: Trial) -> list[Report | Ended]:
        if trial.number == 2:
            ask_to_stop(RunStore(Store(run.store.project), "r"), 1)  # as another process
        return [] if trial.number == 1 else good(trial)

    launcher = Script(plot)
    assert Driver(JOB, run, launcher, seed=1).run() is RunState.COMPLETED
    assert states(run) == ["completed", "cancelled", "completed", "completed", "completed"]
    assert launcher.stopped == [1]
    stopped = run.existing(1)
    assert stopped.reason == STOPPED


def test_a_waiting_trial_is_cancelled_when_the_run_goes_on(run: RunStore) -> None:
    run.write(trials=[Trial(0, {"x": 0.5}, TrialState.WAITING, attempt=1), Trial(1, {"x": 0.25}, TrialState.WAITING)])
    handle(run).stop_trial(0)
    assert Driver(JOB, run, Script(good), seed=1).run() is RunState.COMPLETED
    assert states(run) == ["cancelled", *["completed"] * 4]


def test_the_decision_is_written_before_the_trial_is_stopped(run: RunStore) -> None:
    seen: list[str] = []

    class Watched(Script):
        def stop(self, number: int) -> None:
            seen.append(run.existing(number).reason)
            super().stop(number)

    ask_to_stop(run, 0)
    Driver(JOB, run, Watched(lambda trial: [] if trial.number == 0 else good(trial)), seed=1).run()
    assert seen == [f"stopped by its driver: {STOPPED}"]


def test_several_can_be_asked_for_and_a_cancel_of_all_stays(run: RunStore) -> None:
    for number in (7, 3, 7):
        ask_to_stop(run, number)
    assert asked_to_stop(run.wish()) == [3, 7]
    run.write(columns={"wish": "cancel"})
    ask_to_stop(run, 9)
    assert run.wish() == "cancel"
    assert asked_to_stop("cancel") == asked_to_stop("") == []


def test_what_cannot_be_stopped_is_refused_with_the_reason(run: RunStore) -> None:
    run.write(trials=[Trial(0, {"x": 0.5}, TrialState.COMPLETED), Trial(1, {"x": 0.5}, TrialState.RUNNING)])
    with pytest.raises(TrialError, match="trial 0 of r is completed; only a trial that waits or runs"):
        handle(run).stop_trial(0)
    with pytest.raises(TrialError, match="no trial 5"):
        handle(run).stop_trial(5)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"plan": json.dumps({"mode": "managed"})}, "own tuner runs the trials of r"),
        ({"plan": json.dumps({"mode": "driven"}), "native": {ELSEWHERE: "aws"}}, "is a job on aws"),
        ({"state": "completed"}, "running, and r completed"),
    ]
    for columns, why in changes:
        run.write(columns=columns)
        with pytest.raises((ConfigError, TrialError), match=why):
            handle(run).stop_trial(1)
    assert run.wish() == ""
