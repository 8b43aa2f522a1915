"""Paused trials of a driven run: whatever strikes the driver, each goes on where it was, and no step is done twice."""

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_jobs import plain_data

from cloudtune.cli.replaying import said_of
from cloudtune.driver.launcher import Ended, Launcher
from cloudtune.driver.loop import Driver
from cloudtune.driver.made_by import MADE_BY, versions
from cloudtune.driver.process import end_cancelled
from cloudtune.driver.replay import replay
from cloudtune.results.continued import continued_reports
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import RunStore, Store

STEPS = 9


class Killed(BaseException):
    """What ends a driver in the midst of a poll."""


class World:
    """Machines that outlive drivers, or do not, and keep each trial's checkpoint.

    Attributes:
        outlives: whether trials go on without their driver.
        checkpoints: the steps that each trial has done and kept.
        done: each step that was done, by trial.
    """

    def __init__(self, order: Sequence[int], kills: Sequence[int], *, outlives: bool) -> None:
        self.order, self.kills, self.outlives = order, list(kills), outlives
        self.turns = 0
        self.checkpoints: dict[int, int] = defaultdict(int)
        self.done: dict[int, list[int]] = defaultdict(list)
        self.running: dict[int, list[Report]] = {}  # what the attempt that runs has reported
        self.stopped: set[int] = set()
        self.placed: list[tuple[TrialState, int]] = []


class Machines(Launcher):
    """A driver's hold on the world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.late: list[Report | Ended] = []
        self.attempts: dict[int, int] = {}
        self.over: list[int] = []  # which ended in the last poll: a driver that outlives it has heard so

    def place(self, trial: Trial) -> str:
        self.world.placed.append((trial.state, trial.attempt))  # a launcher finds the checkpoint by them
        return ""

    def launch(self, trial: Trial) -> None:
        self._clear_away()
        assert trial.number not in self.world.running, "it is run twice"
        self.world.running[trial.number] = []
        self.world.stopped.discard(trial.number)
        self.attempts[trial.number] = trial.attempt

    def adopt(self, trial: Trial) -> bool:
        self.attempts[trial.number] = trial.attempt
        self.late += self.world.running.get(trial.number, [])
        return trial.number in self.world.running

    def outlives(self, trial: Trial) -> bool:
        return self.world.outlives

    def poll(self, timeout: float) -> Sequence[Report | Ended]:
        world = self.world
        happened: list[Report | Ended] = [*self.late]
        self.late = []
        self._clear_away()
        world.turns += 1
        if world.running:
            happened.append(self._turn(world.order[world.turns % len(world.order)]))
        if world.kills and world.turns >= world.kills[0]:
            del world.kills[0]
            if not world.outlives:
                world.running.clear()
            self.late = [each for each in happened if world.outlives]  # for a driver that still hears its last words
            raise Killed
        return happened

    def _clear_away(self) -> None:
        unheard = [
            number for number in self.world.stopped if number not in self.attempts
        ]  # an earlier driver wrote its end
        for number in [*self.over, *unheard]:
            self.world.running.pop(number, None)
        self.over.clear()

    def _turn(self, which: int) -> Report | Ended:
        world = self.world
        number = list(world.running)[which % len(world.running)]
        attempt = self.attempts[number]
        if number in world.stopped or world.checkpoints[number] == STEPS:
            self.over.append(number)
            return Ended(number, attempt, "it was stopped by its driver" if number in world.stopped else "", lost=number in world.stopped)  # fmt: skip
        world.checkpoints[number] += 1
        step = world.checkpoints[number]
        world.done[number].append(step)
        report = Report(number, attempt, step, 0.0, {"loss": (7 * number % 11) / step})
        world.running[number].append(report)
        return report

    def stop(self, number: int) -> None:
        self.world.stopped.add(number)

    def close(self) -> None:
        self._clear_away()


def job_of(**fields: Any) -> TuningJob:
    data = {
        **plain_data(),
        "strategy": {"type": "random", "seed": 1},
        "stopping": {"type": "asha", "max_resource": STEPS, "resume": "checkpoint"},
        "limits": {"trials": 12, "parallel": 3},
        **fields,
    }
    return TuningJob.from_data(data)


def run_in(folder: str | Path, job: TuningJob | None = None) -> RunStore:
    text, native = "{}" if job is None else json.dumps(job.to_data()), {"seed": "1", MADE_BY: json.dumps(versions())}
    record = RunRecord(id="r", name="j", provider="local", profile="local", job=text, plan="{}", native=native)
    return Store(Path(folder)).create(record)


def driven(job: TuningJob, run: RunStore, world: World, *, gently: bool) -> RunState:
    """Drives a run until it ends, with a new driver wherever one was killed."""
    for _ in range(100):
        machines = Machines(world)
        driver = Driver(job, run, machines, seed=1)
        if not gently:
            driver._break_off = lambda error: None  # type: ignore[method-assign]  # as a SIGKILL leaves it
        try:
            state = driver.run()
        except Killed:
            state = None
        if gently or state is not None:
            machines.close()
        if state is not None:
            return state
    raise AssertionError("it does not end")


@settings(max_examples=examples(100), deadline=None)
@given(
    order=st.lists(st.integers(0, 5), min_size=1, max_size=9),
    kills=st.lists(st.integers(1, 120), max_size=6, unique=True).map(sorted),
    outlives=st.booleans(),
    gently=st.booleans(),
)
def test_whatever_strikes_the_driver_every_trial_goes_on_where_it_was(
    order: list[int], kills: list[int], outlives: bool, gently: bool
) -> None:
    world = World(order, kills, outlives=outlives)
    with TemporaryDirectory() as folder:
        run = run_in(folder)
        assert driven(job_of(), run, world, gently=gently) is RunState.COMPLETED
        trials = run.trials()
        assert [trial.number for trial in trials] == list(range(12))
        assert {trial.state for trial in trials} == {TrialState.COMPLETED, TrialState.PRUNED}
        for trial in trials:
            done = world.done[trial.number]
            assert done == list(range(1, len(done) + 1))  # none left out, none twice
            assert (len(done) == STEPS) >= (trial.state is TrialState.COMPLETED)
            if outlives:
                reports = continued_reports(run.reports(trial.number), trial.attempt)
                assert [each.step for each in reports] == done
    assert not world.running
    # A launcher finds the checkpoint by the state and the attempt. Not every order has a trial that goes on.
    assert all(attempt > 1 for state, attempt in world.placed if state is TrialState.PAUSED)
    assert kills or all(state is TrialState.PAUSED for state, attempt in world.placed if attempt > 1)


def test_a_trial_that_goes_on_is_placed_as_paused_in_its_next_attempt(tmp_path: Path) -> None:
    world = World([0], [], outlives=True)
    assert driven(job_of(), run_in(tmp_path), world, gently=True) is RunState.COMPLETED
    assert (TrialState.PAUSED, 2) in world.placed


def test_a_trial_whose_last_report_was_lost_with_its_driver_keeps_what_it_reported_before(tmp_path: Path) -> None:
    run, world = (
        run_in(tmp_path),
        World([1], [28], outlives=False),
    )  # killed as the last trial had come to its last step
    assert driven(job_of(), run, world, gently=False) is RunState.COMPLETED
    assert run.counts().get(TrialState.FAILED, 0) == 0


def test_paused_trials_are_shown_and_end_with_their_run(tmp_path: Path) -> None:
    run, world = run_in(tmp_path), World([0], [30], outlives=True)
    driver = Driver(job_of(), run, Machines(world), seed=1)
    with pytest.raises(Killed):
        driver.run()
    paused = run.trials(TrialState.PAUSED)
    assert paused
    assert all(trial.reason.startswith("paused at step ") and trial.metrics for trial in paused)
    assert driver._progress(None).counts["paused"] == len(paused)
    assert not any(trial.state.ended for trial in paused)
    end_cancelled(run)
    assert {trial.state for trial in run.trials()} <= {TrialState.CANCELLED, TrialState.PRUNED, TrialState.COMPLETED}


@pytest.mark.parametrize(
    ("limits", "state"), [({"time": 1e-9}, TrialState.PRUNED), ({"target": 0.0}, TrialState.PRUNED)], ids=str
)
def test_a_limit_ends_paused_trials_as_the_rule_has_put_them_aside(
    limits: dict[str, Any], state: TrialState, tmp_path: Path
) -> None:
    run, world = run_in(tmp_path), World([0, 1], [40], outlives=True)
    with pytest.raises(Killed):
        Driver(job_of(), run, Machines(world), seed=1).run()
    put_aside = {trial.number for trial in run.trials(TrialState.PAUSED)}
    job = job_of(limits={"trials": 12, "parallel": 3, **limits})
    assert Driver(job, run, Machines(world), seed=1).run() is RunState.COMPLETED
    ended = {trial.number: trial for trial in run.trials()}
    assert all(trial.state.ended for trial in ended.values())
    pruned = [ended[number] for number in put_aside if ended[number].state is state]
    assert pruned
    assert all("before it was one of the best" in trial.reason for trial in pruned)


class Forgetful(Machines):
    """Machines whose programs begin anew in the place of going on."""

    def launch(self, trial: Trial) -> None:
        super().launch(trial)
        self.world.checkpoints[trial.number] = 0


@pytest.mark.parametrize(("machines", "said"), [(Machines, 0), (Forgetful, 1)])
def test_a_program_that_makes_nothing_of_its_checkpoint_is_told_so_once(
    machines: Callable[[World], Launcher], said: int, tmp_path: Path
) -> None:
    run = run_in(tmp_path)
    world = World([0, 1, 2], [], outlives=True)
    job = job_of(limits={"trials": 27, "parallel": 3})
    assert Driver(job, run, machines(world), seed=1).run() is RunState.COMPLETED
    assert sum("begin at 1 again" in message for _, _, message in run.events()) == said


class Inheriting(Machines):
    """Machines where a child begins with its parent's checkpoint."""

    def launch(self, trial: Trial) -> None:
        super().launch(trial)
        if trial.parent is not None and trial.attempt == 1:
            self.world.checkpoints[trial.number] = self.world.checkpoints[trial.parent]


@pytest.mark.parametrize(("machines", "said"), [(Inheriting, 0), (Machines, 1)])
def test_a_program_that_makes_nothing_of_its_parents_checkpoint_is_told_so_once(
    machines: Callable[[World], Launcher], said: int, tmp_path: Path
) -> None:
    run = run_in(tmp_path)
    strategy = {"type": "population", "members": 4, "interval": 2, "max_resource": STEPS, "seed": 1}
    job = job_of(strategy=strategy, stopping=None)
    assert Driver(job, run, machines(World([0, 1, 2], [], outlives=True)), seed=1).run() is RunState.COMPLETED
    assert sum(trial.parent is not None for trial in run.trials()) > 1
    told = [(number, message) for _, number, message in run.events() if "begin at 1 again" in message]
    assert len(told) == said
    children = {trial.number: trial.parent for trial in run.trials()}
    assert all(
        f"from the checkpoint of trial {children[number or 0]}, which had come to step " in text
        for number, text in told
    )


def test_a_course_goes_on_from_earlier_attempts_or_begins_anew() -> None:
    def reports(*attempts: Sequence[int]) -> list[Report]:
        return list(
            itertools.chain.from_iterable(
                (Report(0, attempt, step, 0.0, {}) for step in steps) for attempt, steps in enumerate(attempts, 1)
            )
        )

    def course(*attempts: Sequence[int]) -> list[tuple[int, int]]:
        return [(each.attempt, each.step) for each in continued_reports(reports(*attempts), len(attempts))]

    assert course([1, 2, 3], [4, 5]) == [(1, 1), (1, 2), (1, 3), (2, 4), (2, 5)]
    assert course([1, 2, 3], [3, 4]) == [(1, 1), (1, 2), (2, 3), (2, 4)]
    assert course([1, 2, 3], [1, 2]) == [(2, 1), (2, 2)]
    assert course([1, 2], [3], [2, 3]) == [(1, 1), (3, 2), (3, 3)]
    assert course([1, 2], []) == []


SEARCHES: dict[str, dict[str, Any]] = {
    "bayesian": {"strategy": {"type": "bayesian", "startup": 4}},
    "population": {
        "strategy": {"type": "population", "members": 4, "interval": 2, "max_resource": 8, "seed": 1},
        "stopping": None,
        "limits": {"trials": 9, "parallel": 3},
    },
}


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("kills", [[], [20, 40]], ids=["whole", "killed twice"])
def test_the_suggestions_of_a_run_that_pauses_are_derived_anew(search: str, kills: list[int], tmp_path: Path) -> None:
    job = job_of(**SEARCHES[search])
    run, world = run_in(tmp_path, job), World([0, 1, 2, 4, 3], kills, outlives=True)
    assert driven(job, run, world, gently=False) is RunState.COMPLETED
    assert max(trial.attempt for trial in run.trials()) > 1
    found = replay(run, "driven")
    assert found.exact
    assert [(each.number, each.difference) for each in found.trials if not each.same] == []
    assert said_of(found) == [f"r: all {len(run.trials())} suggestions are the same"]


def test_what_cannot_be_derived_is_not_said_to_differ(tmp_path: Path) -> None:
    job = job_of(**SEARCHES["bayesian"])
    run, world = run_in(tmp_path, job), World([0, 1, 2, 4, 3], [20, 21, 40, 41], outlives=True)
    assert driven(job, run, world, gently=False) is RunState.COMPLETED
    lost = list(run.reports())[5]
    run.forget_reports(lost.number, lost.attempt)  # as a driver leaves it that is killed while it takes over
    later, earlier = run.existing(11), run.existing(1)
    assert (earlier.asked or 0) < lost.moment < (later.asked or 0)
    later.parameters["x"] = 0.123
    run.write(trials=[later])
    found = replay(run, "driven")
    assert (found.same, found.exact, found.first_difference) == (False, False, None)
    assert 11 in found.underivable
    lines = said_of(found)
    assert "cannot be derived, the first is trial " in lines[0]
    assert lines[0].endswith("; all others are the same")
    assert "is not all kept" in lines[1]
    earlier.parameters["x"] = 0.123
    run.write(trials=[earlier])
    found = replay(run, "driven")
    assert found.first_difference is not None
    assert found.first_difference.number == 1
    assert "12 suggestions differ; " in said_of(found)[0]
