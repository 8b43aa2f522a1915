"""Launched trials that wait for room at their place, as a launcher tells of them."""

import json
from pathlib import Path

import pytest
from plain_jobs import plain_data
from scripted_launcher import Script, good

from cloudtune.driver.follower import RunFollower
from cloudtune.driver.interrupt import Interrupt
from cloudtune.driver.launcher import Ended, Queued
from cloudtune.driver.loop import Driver
from cloudtune.results.progress import Progress
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import RunStore, Store

JOB = TuningJob.from_data(plain_data(strategy={"type": "random", "seed": 1}, limits={"trials": 2, "parallel": 2}))


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    plan = '{"provider": "local", "mode": "driven", "request": {}, "notes": [], "carried": {}}'
    return Store(tmp_path).create(
        RunRecord(id="r", name="j", provider="local", profile="local", job=json.dumps(JOB.to_data()), plan=plan)
    )


class Crowded(Script):
    """The second trial waits for room, at first for ever, until there is `free` room."""

    def __init__(self, *, outlives: bool = False) -> None:
        super().__init__(self._plot)
        self.free = False
        self._outlives = outlives

    def _plot(self, trial: Trial) -> list[Report | Ended]:
        return good(trial) if trial.number == 0 or self.free else []

    def outlives(self, trial: Trial) -> bool:
        return self._outlives

    def poll(self, timeout: float) -> list[Report | Queued | Ended]:  # type: ignore[override]
        if 1 in self.live and not self.live[1]:
            attempt = next(attempt for number, attempt in reversed(self.launched or [(1, 1)]) if number == 1)
            if self.free:
                self.live[1].extend(good(Trial(1, {"x": 0.5}, attempt=attempt)))
                return [Queued(1, attempt, "")]
            return [Queued(1, attempt, "a GPU"), *super().poll(timeout)]
        return [*super().poll(timeout)]


def drive(run: RunStore, launcher: Script, **arguments: object) -> RunState:
    return Driver(JOB, run, launcher, seed=1, **arguments).run()  # type: ignore[arg-type]


def events(run: RunStore) -> list[str]:
    return [message for _, number, message in run.events() if number == 1]


def test_a_trial_waits_with_the_reason_until_it_begins(run: RunStore) -> None:
    launcher, seen = Crowded(), list[tuple[dict[str, int], str, float | None]]()

    def watch(progress: Progress) -> None:
        second = run.trial(1)
        assert second is not None
        if second.queued:
            seen.append((dict(progress.counts), second.reason, second.started))
            assert RunFollower(run).progress().counts == progress.counts
            launcher.free = progress.counts.get("completed") == 1

    assert drive(run, launcher, watcher=watch) is RunState.COMPLETED
    assert seen[-1] == ({"completed": 1, "waiting": 1}, "waits for a GPU", None)
    assert events(run) == ["waits for a GPU", "begins"]
    assert [(trial.state, trial.attempt, trial.reason) for trial in run.trials()] == [(TrialState.COMPLETED, 1, "")] * 2


def interrupted_while_one_waits(run: RunStore, launcher: Crowded) -> None:
    class Died(BaseException):
        pass

    def watch(_: Progress) -> None:
        trials = run.trials()
        if len(trials) == 2 and trials[1].queued and trials[0].state.ended:
            raise Died

    with pytest.raises(Died):
        drive(run, launcher, watcher=watch, interrupt=Interrupt())


def test_an_attempt_that_only_waited_does_not_count_when_its_driver_ends(run: RunStore) -> None:
    interrupted_while_one_waits(run, Crowded())
    assert [(trial.state, trial.attempt, trial.reason) for trial in run.trials()][1] == (TrialState.WAITING, 0, "")
    second = Script(good)
    assert drive(run, second) is RunState.COMPLETED
    assert second.launched == [(1, 1)]


@pytest.mark.parametrize("there", [True, False])
def test_a_waiting_trial_that_outlives_its_driver_is_adopted_or_launched_as_the_same_attempt(
    there: bool, run: RunStore
) -> None:
    interrupted_while_one_waits(run, Crowded(outlives=True))
    (_, queued) = run.trials()
    assert (queued.launched, queued.attempt) == (True, 1)
    second = Crowded()
    second.free, second.adoptable = True, {1} if there else set()
    assert drive(run, second) is RunState.COMPLETED
    assert second.launched == ([] if there else [(1, 1)])
    assert ("taken over from the driver that launched it" in events(run)) is there
    assert not any("was lost with its driver" in message for message in events(run))
    assert [trial.attempt for trial in run.trials()] == [1, 1]
