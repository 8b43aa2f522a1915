"""The ask/tell loop, with a launcher whose trials end when the test says so."""

from pathlib import Path
from typing import Any

import pytest
from scripted_launcher import Script, broken, curve, good

from cloudtune.driver.attempts import MOST_LOSSES
from cloudtune.driver.interrupt import Interrupt
from cloudtune.driver.launcher import Ended, Launcher
from cloudtune.driver.loop import Driver
from cloudtune.errors import StoreError
from cloudtune.results.progress import Progress
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import RunStore, Store

X = {"type": "float", "low": 0.0, "high": 1.0}


def job_of(**fields: Any) -> TuningJob:
    data = {
        "name": "j",
        "trial": {"command": "true"},
        "objective": {"metric": "loss", "goal": "minimize"},
        "space": {"x": X},
        "strategy": {"type": "random", "seed": 1},
        "limits": {"trials": 6, "parallel": 2, **fields.pop("limits", {})},
        **fields,
    }
    return TuningJob.from_data(data)


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    return Store(tmp_path).create(RunRecord(id="r", name="j", provider="local", profile="local", job="{}", plan="{}"))


def drive(run: RunStore, job: TuningJob, launcher: Launcher, **arguments: Any) -> RunState:
    return Driver(job, run, launcher, seed=1, **arguments).run()


def test_every_trial_is_launched_once_and_no_more_than_allowed_at_once(run: RunStore) -> None:
    launcher = Script(good)
    assert drive(run, job_of(), launcher) is RunState.COMPLETED
    assert launcher.launched == [(number, 1) for number in range(6)]
    assert launcher.most_at_once == 2
    assert [trial.metrics["loss"] for trial in run.trials()] == [trial.parameters["x"] for trial in run.trials()]


def test_a_free_slot_gets_the_next_trial_at_once(run: RunStore) -> None:
    """A slow trial keeps one slot; all others go through the other slot, without waiting for it."""
    launcher = Script(lambda trial: curve(trial, [0.5] * (40 if trial.number == 0 else 1)), order=lambda turn: turn)
    drive(run, job_of(), launcher)
    ends = [trial.number for trial in run.history()]
    assert ends == [1, 2, 3, 4, 5, 0]


def test_what_is_launched_is_in_the_store_before(run: RunStore, tmp_path: Path) -> None:
    seen: list[TrialState] = []

    class Looks(Script):
        def launch(self, trial: Trial) -> None:
            stored = Store(tmp_path).run("r").trial(trial.number)
            assert stored is not None
            assert stored.parameters == trial.parameters
            seen.append(stored.state)
            super().launch(trial)

    drive(run, job_of(), Looks(good))
    assert seen == [TrialState.RUNNING] * 6


def test_a_failed_trial_is_tried_again_as_often_as_the_job_says(run: RunStore) -> None:
    launcher = Script(lambda trial: good(trial) if trial.attempt == 3 else broken(trial))
    assert drive(run, job_of(retries=2, limits={"trials": 1}), launcher) is RunState.COMPLETED
    assert launcher.launched == [(0, 1), (0, 2), (0, 3)]
    assert any("tried again" in message for _, number, message in run.events() if number == 0)


def test_retries_are_not_wasted_on_what_will_not_help(run: RunStore) -> None:
    launcher = Script(lambda trial: [Ended(trial.number, trial.attempt, "it ran too long", retry=False)])
    assert drive(run, job_of(retries=5, limits={"trials": 1}), launcher) is RunState.FAILED
    assert launcher.launched == [(0, 1)]


def test_a_lost_trial_starts_again_without_counting_as_a_retry(run: RunStore) -> None:
    def plot(trial: Trial) -> list[Report | Ended]:
        return (
            good(trial)
            if trial.attempt > 2
            else [Ended(trial.number, trial.attempt, "its keeper was killed", lost=True)]
        )

    assert drive(run, job_of(limits={"trials": 1}), Script(plot)) is RunState.COMPLETED
    assert run.trials()[0].attempt == 3


def test_a_trial_that_is_lost_each_time_is_what_kills_its_place(run: RunStore) -> None:
    """Here its first attempts come further each time, as from a checkpoint; then none does."""

    def plot(trial: Trial) -> list[Report | Ended]:
        if trial.number:
            return good(trial)
        *reports, _ = curve(trial, [0.5] * min(trial.attempt, 3))
        return [*reports, Ended(trial.number, trial.attempt, "its node failed", lost=True)]

    launcher = Script(plot)
    assert drive(run, job_of(retries=1, limits={"trials": 2}), launcher) is RunState.COMPLETED
    lost, completed = run.trials()
    assert (lost.state, lost.reason) == (TrialState.FAILED, "it was lost 6 times, at last because its node failed")
    assert lost.attempt == 3 + MOST_LOSSES
    assert completed.state is TrialState.COMPLETED


@pytest.mark.parametrize("how", ["unplaced", "preempted"])
def test_a_trial_is_not_to_blame_for_want_of_room_and_for_others(run: RunStore, how: str) -> None:
    def plot(trial: Trial) -> list[Report | Ended]:
        attempt = trial.attempt
        return good(trial) if attempt > 20 else [Ended(trial.number, attempt, "taken", lost=True, **{how: True})]

    assert drive(run, job_of(limits={"trials": 1}), Script(plot)) is RunState.COMPLETED


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_trial_that_ends_on_a_value_that_is_no_number_has_failed(run: RunStore, value: float) -> None:
    assert drive(run, job_of(limits={"trials": 1}), Script(lambda trial: curve(trial, [0.5, value]))) is RunState.FAILED
    trial = run.trials()[0]
    assert trial.state is TrialState.FAILED
    assert str(value) in trial.reason


def test_the_last_value_counts_or_the_best_as_the_objective_says(run: RunStore, tmp_path: Path) -> None:
    values = [3.0, 1.0, float("nan"), 2.0]
    drive(run, job_of(limits={"trials": 1}), Script(lambda trial: curve(trial, values)))
    assert run.trials()[0].metrics == {"loss": 2.0}
    other = Store(tmp_path).create(RunRecord(id="s", name="j", provider="local", profile="", job="{}", plan="{}"))
    objective = {"metric": "loss", "goal": "minimize", "measurement": "best"}
    drive(other, job_of(objective=objective, limits={"trials": 1}), Script(lambda trial: curve(trial, values)))
    assert other.trials()[0].metrics == {"loss": 1.0}


def test_a_cap_on_failures_fails_the_run_and_cancels_the_rest(run: RunStore) -> None:
    launcher = Script(lambda trial: broken(trial) if trial.number else [])
    assert drive(run, job_of(limits={"trials": 50, "failed": 3}), launcher) is RunState.FAILED
    states = [trial.state for trial in run.trials()]
    assert states.count(TrialState.FAILED) == 3
    assert states[0] is TrialState.CANCELLED
    assert "limits.failed" in run.record().reason


def test_a_reached_target_completes_the_run_and_cancels_the_rest(run: RunStore) -> None:
    launcher = Script(lambda trial: good(trial, 0.1 if trial.number == 3 else 0.9) if trial.number else [])
    assert drive(run, job_of(limits={"trials": 50, "target": 0.2}), launcher) is RunState.COMPLETED
    assert run.trials()[0].state is TrialState.CANCELLED
    assert len(run.trials()) == 4
    assert "target 0.2 is reached by trial 3" in run.record().reason


def test_no_improvement_counts_finished_trials_since_the_best(run: RunStore) -> None:
    losses = [5.0, 4.0, 4.5, 4.0, 3.0, 3.5, 3.5, 3.5, 1.0]
    launcher = Script(lambda trial: good(trial, losses[trial.number]))
    assert drive(run, job_of(limits={"trials": 9, "parallel": 1, "no_improvement": 3}), launcher) is RunState.COMPLETED
    assert len(run.trials()) == 8
    assert "3 trials in a row" in run.record().reason


def test_the_time_limit_ends_the_run(run: RunStore) -> None:
    launcher = Script(lambda trial: [])
    assert drive(run, job_of(limits={"time": "1ms"}), launcher) is RunState.COMPLETED
    assert {trial.state for trial in run.trials()} <= {TrialState.CANCELLED}
    assert "limits.time" in run.record().reason


def test_a_pruned_trial_keeps_what_it_reported_but_is_never_the_best(run: RunStore) -> None:
    def plot(trial: Trial) -> list[Report | Ended]:
        return curve(trial, [1.0, 1.0, 1.0] if trial.number < 3 else [9.0, 9.0, 0.0])

    watched: list[Progress] = []
    job = job_of(stopping={"type": "median", "grace": 1}, limits={"trials": 5, "parallel": 1})
    assert drive(run, job, Script(plot), watcher=watched.append) is RunState.COMPLETED
    pruned = [trial for trial in run.trials() if trial.state is TrialState.PRUNED]
    assert [trial.number for trial in pruned] == [3, 4]
    assert all(trial.metrics == {"loss": 9.0} and "median" in trial.reason for trial in pruned)
    assert watched[-1].best is not None
    assert watched[-1].best.number == 0


def test_a_wish_to_cancel_from_elsewhere_is_carried_out(run: RunStore, tmp_path: Path) -> None:
    def plot(trial: Trial) -> list[Report | Ended]:
        if trial.number == 2:
            Store(tmp_path).run("r").write(columns={"wish": "cancel"})
        return good(trial) if trial.number < 2 else []

    assert drive(run, job_of(), Script(plot)) is RunState.CANCELLED
    assert [trial.state.value for trial in run.trials()] == [
        "completed",
        "completed",
        "cancelled",
        "cancelled",
    ]


def test_a_wish_to_cancel_that_came_before_the_driver_began_is_carried_out(run: RunStore) -> None:
    """Whoever cancels a run that was only just started finds its driver busy, and waits for it to see the wish."""
    run.write(columns={"wish": "cancel"})
    assert drive(run, job_of(), Script(good)) is RunState.CANCELLED
    assert [trial.state for trial in run.trials()] == []


def test_the_first_interrupt_lets_running_trials_end_and_a_resume_does_the_rest(run: RunStore) -> None:
    interrupt = Interrupt()

    def plot(trial: Trial) -> list[Report | Ended]:
        interrupt.level = 1 if trial.number == 3 else interrupt.level
        return good(trial)

    first = Script(plot)
    assert drive(run, job_of(), first, interrupt=interrupt) is RunState.INTERRUPTED
    assert [trial.state for trial in run.trials()] == [TrialState.COMPLETED] * 4
    assert not first.stopped
    second = Script(good)
    assert drive(run, job_of(), second) is RunState.COMPLETED
    assert [number for number, _ in second.launched] == [4, 5]


def test_the_second_interrupt_stops_trials_which_a_resume_starts_again(run: RunStore) -> None:
    interrupt = Interrupt()

    def plot(trial: Trial) -> list[Report | Ended]:
        interrupt.level = 2 if trial.number == 3 else interrupt.level
        return good(trial) if trial.number < 2 else []

    first = Script(plot)
    assert drive(run, job_of(), first, interrupt=interrupt) is RunState.INTERRUPTED
    before = {trial.number: trial.parameters for trial in run.trials()}
    assert [trial.state.value for trial in run.trials()] == ["completed", "completed", "waiting", "waiting"]
    second = Script(good)
    assert drive(run, job_of(), second) is RunState.COMPLETED
    assert second.launched == [(2, 2), (3, 2), (4, 1), (5, 1)]
    assert {trial.number: trial.parameters for trial in run.trials()}.items() >= before.items()


@pytest.mark.parametrize("strategy", ["grid", "random", "sobol", "bayesian"])
def test_a_run_that_dies_anywhere_goes_on_as_if_it_had_not(tmp_path: Path, strategy: str) -> None:
    """The store fails at the n-th write, as a kill -9 would have it; the resumed run ends with the same trials."""
    space = {"x": X, "k": {"type": "categorical", "values": ["a", "b"]}, "y": {**X, "when": {"k": "a"}}}
    settings = {"type": "grid", "levels": 3} if strategy == "grid" else {"type": strategy, "seed": 5}
    job = job_of(space=space, strategy=settings, limits={"trials": 12, "parallel": 1})

    def store(name: str) -> RunStore:
        return Store(tmp_path / name).create(RunRecord(id="r", name="j", provider="l", profile="", job="{}", plan="{}"))

    whole = store("whole")
    drive(whole, job, Script(good))
    expected = [(trial.parameters, trial.metrics) for trial in whole.trials()]
    assert len(expected) == 12
    for deaths in range(1, 12, 3):
        run = store(f"dies-{deaths}")
        write, left = run.write, iter(range(deaths))

        def dying(write: Any = write, left: Any = left, **what: Any) -> None:
            if next(left, None) is None:
                raise StoreError("killed")
            write(**what)

        run.write = dying  # type: ignore[method-assign]
        with pytest.raises(StoreError, match="killed"):
            drive(run, job, Script(good))
        again = Store(tmp_path / f"dies-{deaths}").run("r")
        done = {trial.number for trial in again.trials() if trial.state.ended}
        second = Script(good)
        assert drive(again, job, second) is RunState.COMPLETED
        assert [(trial.parameters, trial.metrics) for trial in again.trials()] == expected
        assert not done & {number for number, _ in second.launched}, "a finished trial was run twice"


def test_a_running_trial_is_taken_over_with_all_that_it_reported(run: RunStore) -> None:
    run.write(
        trials=[Trial(0, {"x": 0.5}, TrialState.RUNNING, attempt=1, started=1.0)],
        reports=[Report(0, 1, 1, 0.0, {"loss": 3.0})],
    )
    launcher = Script(lambda trial: curve(trial, [3.0, 2.0, 1.0]))
    launcher.adoptable = {0}
    assert drive(run, job_of(limits={"trials": 2}), launcher) is RunState.COMPLETED
    assert launcher.launched == [(1, 1)]
    assert [report.metrics["loss"] for report in run.reports(0)] == [3.0, 2.0, 1.0]
    assert run.trials()[0].attempt == 1


def test_a_grid_ends_by_itself(run: RunStore) -> None:
    job = job_of(strategy={"type": "grid", "levels": 3}, limits={"trials": None})
    told: list[Progress] = []
    assert drive(run, job, Script(good), watcher=told.append) is RunState.COMPLETED
    assert [trial.parameters["x"] for trial in run.trials()] == [0.0, 0.5, 1.0]
    assert told[0].total == 3


def test_a_run_without_any_good_trial_has_failed(run: RunStore) -> None:
    assert drive(run, job_of(limits={"trials": 2}), Script(broken)) is RunState.FAILED
    assert "no trial ended well" in run.record().reason


def test_watchers_are_told_how_far_it_is(run: RunStore) -> None:
    told: list[Progress] = []
    drive(run, job_of(), Script(good), watcher=told.append)
    assert told[-1].state is RunState.COMPLETED
    assert told[-1].counts["completed"] == 6
    assert told[-1].total == 6
    assert told[-1].best is not None
    assert told[-1].best.metrics["loss"] == min(trial.metrics["loss"] for trial in run.trials())
    assert told[0].state is RunState.RUNNING


def test_trials_of_earlier_runs_that_fit_the_space_are_learnt_from(run: RunStore) -> None:
    earlier = [
        Trial(0, {"x": 0.25}, TrialState.COMPLETED, {"loss": 1.0}),
        Trial(1, {"x": 7.0}, TrialState.COMPLETED, {"loss": 1.0}),
        Trial(2, {"y": 0.5}, TrialState.COMPLETED, {"loss": 1.0}),
    ]
    drive(run, job_of(), Script(good), known=earlier)
    assert any("learnt from 1 of 3 trials" in message for _, _, message in run.events())


def test_lost_attempts_use_up_no_retry_of_a_run_that_is_resumed(run: RunStore) -> None:
    """A trial that was lost, failed once, and was lost again with its driver, has failed once."""
    plots = {1: "lost", 2: "failed", 3: "dies", 4: "good"}

    def plot(trial: Trial) -> list[Report | Ended]:
        match plots[trial.attempt]:
            case "lost":
                return [Ended(trial.number, trial.attempt, "its keeper was killed", lost=True)]
            case "failed":
                return broken(trial)
            case "dies":
                raise MemoryError
        return good(trial)

    job = job_of(retries=1, limits={"trials": 1})
    with pytest.raises(MemoryError):
        drive(run, job, Script(plot))
    assert run.record().state is RunState.INTERRUPTED
    assert "MemoryError" in run.record().reason
    assert run.trials()[0].state is TrialState.WAITING
    assert drive(run, job, Script(plot)) is RunState.COMPLETED
    again = broken
    other = job_of(retries=1, limits={"trials": 2, "parallel": 1})
    assert drive(run, other, Script(again)) is RunState.COMPLETED
    assert run.trials()[1].attempt == 2, "and no more than one retry"


def test_a_pruned_trial_that_was_lost_with_its_driver_stays_pruned(run: RunStore) -> None:
    run.write(
        trials=[
            Trial(0, {"x": 0.5}, TrialState.RUNNING, {"loss": 9.0}, "pruned at step 1 by the median rule", 1, 1.0),
            Trial(1, {"x": 0.6}, TrialState.RUNNING, {}, "stopped by its driver: interrupted", 1, 1.0),
        ]
    )
    launcher = Script(good)
    assert drive(run, job_of(limits={"trials": 2}), launcher) is RunState.COMPLETED
    assert launcher.launched == [(1, 2)]
    assert run.trials()[0].state is TrialState.PRUNED
    assert run.trials()[0].reason == "pruned at step 1 by the median rule"


def test_first_trials_that_fail_in_the_same_way_end_the_run(run: RunStore) -> None:
    def plot(trial: Trial) -> list[Report | Ended]:
        return [
            Ended(
                trial.number,
                trial.attempt,
                f"it exited with code 1: ValueError: x={trial.parameters['x']} in /a/{trial.number}.py",
            )
        ]

    launcher = Script(plot)
    assert drive(run, job_of(limits={"trials": 50}), launcher) is RunState.FAILED
    assert [trial.state for trial in run.trials()].count(TrialState.FAILED) == 3
    assert len(launcher.launched) <= 4
    assert "its first 3 trials failed in the same way" in run.record().reason
    assert "limits.failed" in run.record().reason
    told = [
        message for _, _, message in run.events() if "ValueError" in message and message.startswith("failed: it exited")
    ]
    assert len(told) == 1, "a repeated failure is told once"
    assert "trial 0 failed, and 2 more in the same way" in [message for _, _, message in run.events()]


@pytest.mark.parametrize(
    ("limits", "reasons"),
    [
        ({"failed": 50}, ["code 1"]),
        ({}, ["code 1", "code 2"]),
        ({}, ["code 1", "code 1", ""]),
        ({"parallel": 12}, ["code 1"]),
    ],
    ids=["the job says how many may fail", "another exit code", "one succeeded", "as many as run at once"],
)
def test_a_run_goes_on_where_trials_do_not_all_fail_alike(
    run: RunStore, limits: dict[str, Any], reasons: list[str]
) -> None:
    def plot(trial: Trial) -> list[Report | Ended]:
        reason = reasons[trial.number % len(reasons)]
        return [Ended(trial.number, trial.attempt, f"it exited with {reason}")] if reason else good(trial)

    drive(run, job_of(limits={"trials": 8, "parallel": 1, **limits}), Script(plot))
    assert len(run.trials()) == 8
    assert "same way" not in run.record().reason
