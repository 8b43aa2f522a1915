"""The top candidates of a run are run again with other seeds, and the best is the one with the best mean."""

import json
import math
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from plain_jobs import plain_data

from cloudtune.driver.follower import RunFollower
from cloudtune.driver.interrupt import Interrupt
from cloudtune.driver.launcher import Ended, Launcher
from cloudtune.driver.loop import Driver
from cloudtune.errors import SpecError
from cloudtune.results.candidates import candidates
from cloudtune.results.confirmation import confirmed
from cloudtune.results.objectives import best_trial, pareto_front
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import RunStore, Store

LUCKY = {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.9, 4: 0.8, 5: 0.7}
"""The first values of the search's trials: 0 is the best, and lucky."""

TRUE = {0: 0.6, 1: 0.25, 2: 0.35}
"""The means of the repetitions."""


def job_of(**fields: Any) -> TuningJob:
    data = {
        **plain_data(),
        "strategy": {"type": "random", "seed": 1},
        "confirm": {"repeats": 2, "top": 3},
        **fields,
        "limits": {"trials": 12, "parallel": 2, **fields.get("limits", {})},
    }
    return TuningJob.from_data(data)


class Noisy(Launcher):
    """Runs nothing: a trial of the search has its lucky value, a repetition its true one with noise of its own."""

    def __init__(self, failing: Sequence[int] = (), die_after: float = math.inf) -> None:
        self.failing = set(failing)
        self.die_after = die_after
        self.launched: list[tuple[int, int]] = []
        self.live: deque[Trial] = deque()
        self.killed: set[int] = set()

    def value(self, trial: Trial) -> float:
        if trial.repeat_of is None:
            return LUCKY.get(trial.number, 1.0)
        return TRUE[trial.repeat_of] + (0.01 if trial.number % 2 else -0.01)

    def launch(self, trial: Trial) -> None:
        self.launched.append((trial.number, trial.attempt))
        self.live.append(trial)

    def adopt(self, trial: Trial) -> bool:
        return False

    def poll(self, timeout: float) -> Sequence[Report | Ended]:
        if not self.live:
            return []
        if len(self.launched) > self.die_after:
            raise KeyboardInterrupt
        trial = self.live.popleft()
        if trial.number in self.killed:
            return [Ended(trial.number, trial.attempt, "it was killed")]
        if trial.number in self.failing and trial.attempt == 1:
            return [Ended(trial.number, trial.attempt, "it failed", retry=True)]
        return [
            Report(trial.number, trial.attempt, 1, 1.0, {"loss": self.value(trial), "other": float(trial.number)}),
            Ended(trial.number, trial.attempt),
        ]

    def stop(self, number: int) -> None:
        self.killed.add(number)

    def close(self) -> None:
        self.live.clear()


def store_of(tmp_path: Path, job: TuningJob) -> RunStore:
    return Store(tmp_path).create(RunRecord("r-1", "r", "local", "local", "{}", "{}"))


def drive(run: RunStore, job: TuningJob, launcher: Launcher | None = None, **more: Any) -> RunState:
    return Driver(job, run, launcher or Noisy(), seed=1, **more).run()


def number_of(trial: Trial | None) -> int:
    assert trial is not None
    return trial.number


def messages(run: RunStore) -> list[str]:
    return [message for _, _, message in run.events()]


def test_the_best_is_the_candidate_with_the_best_mean_of_its_repetitions(tmp_path: Path) -> None:
    job = job_of()
    run = store_of(tmp_path, job)
    assert drive(run, job) is RunState.COMPLETED
    trials = run.trials()
    repeats = [trial for trial in trials if trial.repeat_of is not None]
    assert [trial.repeat_of for trial in repeats] == [0, 0, 1, 1, 2, 2]
    assert [trial.number for trial in trials] == list(range(12))  # limits.trials counts all of them
    assert all(trial.parameters == trials[trial.repeat_of or 0].parameters for trial in repeats)
    assert all(trial.asked is None and trial.told is None for trial in repeats)
    assert number_of(best_trial(job.objective, (), trials)) == 1
    known = confirmed(trials)
    assert known[1].means["loss"] == pytest.approx(0.25)
    assert known[1].spreads["loss"] == pytest.approx(0.02 / math.sqrt(2))
    assert (known[1].completed, known[1].final) == (2, True)
    assert messages(run)[-2] == "confirmed: the best is trial 1, loss 0.25 ± 0.014 (2 repetitions); before, trial 0 was"
    assert "confirming trials 0, 1, 2: 6 repetitions with other seeds" in "\n".join(messages(run))


@pytest.mark.parametrize("after", range(1, 12))
def test_a_killed_confirmation_goes_on_and_repeats_nothing_twice(tmp_path: Path, after: int) -> None:
    job = job_of()
    run = store_of(tmp_path, job)
    with pytest.raises(KeyboardInterrupt):
        drive(run, job, Noisy(die_after=after))
    for trial in run.trials(TrialState.WAITING):  # as a driver that was killed leaves them, not one that broke
        trial.state = TrialState.RUNNING if trial.attempt else trial.state
        run.write(trials=[trial])
    second = Noisy()
    assert drive(run, job, second) is RunState.COMPLETED
    trials = run.trials()
    assert [trial.repeat_of for trial in trials[6:]] == [0, 0, 1, 1, 2, 2]
    assert {trial.state for trial in trials} == {TrialState.COMPLETED}
    assert number_of(best_trial(job.objective, (), trials)) == 1
    ended = {trial.number for trial in trials if trial.attempt == 1}
    assert len(second.launched) <= 12 - max(0, after - 2)
    assert len(ended) >= 12 - 2  # at most the two that ran were started again


def test_a_repetition_is_tried_again_and_its_failure_counts_for_the_candidate(tmp_path: Path) -> None:
    job = job_of(retries=1)
    run = store_of(tmp_path, job)
    assert drive(run, job, Noisy(failing=[8])) is RunState.COMPLETED
    assert run.existing(8).attempt == 2
    run = Store(tmp_path / "again").create(RunRecord("r-1", "r", "local", "local", "{}", "{}"))
    job = job_of()
    drive(run, job, Noisy(failing=[8]))
    known = confirmed(run.trials())
    assert (known[1].completed, len(known[1].repeats), known[1].spreads) == (1, 2, {})
    assert "(1 of 2 repetitions)" in messages(run)[-2]


def test_an_end_by_no_improvement_ends_the_search_and_not_the_confirmation(tmp_path: Path) -> None:
    job = job_of(limits={"trials": 50, "no_improvement": 3, "parallel": 1})
    run = store_of(tmp_path, job)
    assert drive(run, job) is RunState.COMPLETED
    trials = run.trials()
    assert sum(trial.repeat_of is None for trial in trials) == 4
    assert [trial.state for trial in trials] == [TrialState.COMPLETED] * 10
    assert "no improvement" in run.record().reason
    assert drive(run, job) is RunState.COMPLETED
    assert run.trials() == trials


def test_an_interrupt_before_the_repetitions_leaves_them_for_a_resume(tmp_path: Path) -> None:
    job = job_of()
    run = store_of(tmp_path, job)
    interrupt = Interrupt()

    class Asked(Noisy):
        def poll(self, timeout: float) -> Sequence[Report | Ended]:
            if len(self.launched) == 6 and len(self.live) == 1:
                interrupt.level = 1
            return super().poll(timeout)

    assert drive(run, job, Asked(), interrupt=interrupt) is RunState.INTERRUPTED
    assert len(run.trials(TrialState.WAITING)) == 6
    assert drive(run, job) is RunState.COMPLETED
    assert len(run.trials(TrialState.COMPLETED)) == 12


def test_the_search_leaves_time_for_the_repetitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(limits={"trials": 100, "parallel": 1, "time": "1000s"}, confirm={"repeats": 2, "top": 2})
    run = store_of(tmp_path, job)
    clock = {"now": 0.0}
    monkeypatch.setattr("cloudtune.driver.loop.time.monotonic", lambda: clock["now"])
    monkeypatch.setattr("cloudtune.driver.loop.time.time", lambda: clock["now"])

    class Slow(Noisy):
        def poll(self, timeout: float) -> Sequence[Report | Ended]:
            clock["now"] += 100.0 if self.live else timeout
            return super().poll(timeout)

    assert drive(run, job, Slow()) is RunState.COMPLETED
    trials = run.trials()
    assert sum(trial.repeat_of is not None for trial in trials) == 4
    assert all(trial.state is TrialState.COMPLETED for trial in trials)
    assert clock["now"] <= 1000.0
    assert "for the repetitions" in run.record().reason


def test_a_confirmation_that_was_cut_short_does_not_decide(tmp_path: Path) -> None:
    job = job_of(limits={"failed": 1})
    run = store_of(tmp_path, job)
    assert drive(run, job, Noisy(failing=[9])) is RunState.FAILED
    assert number_of(best_trial(job.objective, (), run.trials())) == 0
    assert "not all repetitions came to their end" in messages(run)[-2]


def test_of_several_objectives_the_front_is_confirmed() -> None:
    objectives = job_of(objective=[{"metric": "a", "goal": "minimize"}, {"metric": "b", "goal": "minimize"}]).objective
    done: Callable[..., Trial] = lambda number, a, b, of=None: Trial(  # noqa: E731
        number, {"x": number / 10 if of is None else of / 10}, TrialState.COMPLETED, {"a": a, "b": b}, repeat_of=of
    )
    search = [done(0, 0.0, 1.0), done(1, 0.5, 0.5), done(2, 1.0, 0.0), done(3, 0.6, 0.6)]
    assert [trial.number for trial in pareto_front(objectives, (), search)] == [0, 1, 2]
    worse = [*search, done(4, 0.7, 0.7, of=1), done(5, 0.8, 0.8, of=1)]
    assert [trial.number for trial in pareto_front(objectives, (), worse)] == [0, 2, 3]


def test_too_few_trials_for_the_repetitions_are_refused_with_the_number_that_is_needed() -> None:
    with pytest.raises(SpecError, match=r"9 of the 11 trials would be repetitions.*raise that to 12 or more"):
        job_of(confirm=3, limits={"trials": 11})
    job = job_of(confirm=3)
    assert job.confirm is not None
    assert (job.confirm.repeats, job.confirm.top, job.search_trials, job.most_trials) == (3, 3, 3, 12)
    assert TuningJob.from_yaml(job.to_yaml()) == job
    grid = job_of(
        strategy={"type": "grid"}, space={"x": {"type": "categorical", "values": [1, 2]}}, limits={"trials": None}
    )
    assert grid.most_trials == 2 + 6


PLAN = {"provider": "local", "mode": "driven", "request": {}, "carried": [], "notes": []}


class Better(Noisy):
    """Two trials of the extension take the places of two candidates; notes the totals that are shown.

    Attributes:
        totals: by the driver and by one who follows the run, with the number of trials that there are.
    """

    def __init__(self, run: RunStore) -> None:
        super().__init__()
        self.follower, self.run = RunFollower(run), run
        self.totals: list[tuple[int | None, int | None, int]] = []

    def value(self, trial: Trial) -> float:
        better = {12: 0.05, 13: 0.06}
        number = trial.number if trial.repeat_of is None else trial.repeat_of
        return better[number] if number in better else super().value(trial)

    def poll(self, timeout: float) -> Sequence[Report | Ended]:
        shown = self.driver._progress(None).total
        self.totals.append((shown, self.follower.progress().total, len(self.run.trials())))
        return super().poll(timeout)

    def drive(self, job: TuningJob) -> None:
        self.driver = Driver(job, self.run, self, seed=1)
        assert self.driver.run() is RunState.COMPLETED


def test_the_total_is_what_will_run_also_where_an_extension_displaces_candidates(tmp_path: Path) -> None:
    job = job_of()
    data = json.dumps(job.to_data())
    run = Store(tmp_path).create(RunRecord("r-1", "r", "local", "local", data, json.dumps(PLAN)))
    first = Better(run)
    first.drive(job)
    assert {(shown, followed) for shown, followed, _ in first.totals} == {(12, 12)}
    more = job_of(limits={"trials": 15})
    run.write(columns={"job": json.dumps(more.to_data()), "state": "interrupted"})
    second = Better(run)
    second.drive(more)
    trials = run.trials()
    assert sum(trial.repeat_of is None for trial in trials) == more.search_trials == 9
    top = {trial.number for trial in candidates(more, trials, 3)}
    assert top == {0, 12, 13}
    assert sum(trial.repeat_of in top for trial in trials) + 9 == 15  # what limits.trials counts
    assert len(trials) == 19  # and those of two that are no candidates any more
    assert {(shown, followed) for shown, followed, count in second.totals if count < 15} == {(15, 15)}
    assert {(shown, followed) for shown, followed, count in second.totals if count == 19} == {(19, 19)}
    assert second.follower.progress().total == 19


def test_a_driver_that_goes_on_with_the_repetitions_knows_their_number(tmp_path: Path) -> None:
    job = job_of(space={"x": {"type": "categorical", "values": [1, 2]}}, strategy={"type": "grid"})
    run = store_of(tmp_path, job)
    with pytest.raises(KeyboardInterrupt):
        drive(run, job, Noisy(die_after=3))
    driver = Driver(job, run, Noisy(), seed=1)
    driver.run()
    assert driver._progress(None).total == len(run.trials()) == 2 + 4
