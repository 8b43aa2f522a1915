"""Budgets of runs, driven and managed, over random schedules in time that the test makes."""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_jobs import plain_data

from cloudtune.costs.spending import Spending
from cloudtune.driver import launcher as launching
from cloudtune.driver.launcher import Ended, Launcher
from cloudtune.driver.loop import TICK, Driver
from cloudtune.driver.outputs import RunBrief
from cloudtune.driver.snapshots import JobSnapshot, TrialSnapshot
from cloudtune.planning.plan import Machines, Plan
from cloudtune.planning.rates import Rate
from cloudtune.provider import managed_run
from cloudtune.provider.managed_run import ManagedRun, Tuner
from cloudtune.provider.service import Service
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import RunStore, Store

MACHINES = Machines("m", 2)
RATE = Rate("m", Decimal(1800), "USD")
"""Two machines of half a dollar a second: a trial costs a dollar a second."""


def job_of(**fields: Any) -> TuningJob:
    data = {
        **plain_data(),
        "strategy": {"type": "random", "seed": 1},
        "limits": {"trials": 9, **fields.pop("limits", {})},
        **fields,
    }
    return TuningJob.from_data(data)


def store_of(folder: Path, job: TuningJob, mode: str) -> RunStore:
    plan = Plan("toy", mode, {}, machines=MACHINES, rates=(RATE,))
    record = RunRecord("r", "j", "toy", "toy", json.dumps(job.to_data()), json.dumps(plan.to_data()))
    return Store(folder).create(record)


Schedule = list[tuple[float, str]]
"""How long each attempt takes in seconds, and how it ends: well, failed, lost."""


@dataclass
class Simulated(Launcher):
    """Trials that take the seconds of a schedule, in a time that passes only by polls.

    Attributes:
        schedule: of attempts, in the order of their launches.
        queued: seconds that each attempt waits for its machine, which nobody pays.
    """

    schedule: Schedule
    queued: float = 0.0
    now: float = 0.0
    live: dict[int, tuple[int, float, float, str]] = field(default_factory=dict)
    paid: float = 0.0
    in_flight: int | None = None
    launched: int = 0

    def launch(self, trial: Trial) -> None:
        seconds, how = self.schedule[self.launched % len(self.schedule)]
        self.launched += 1
        self.live[trial.number] = trial.attempt, self.now + self.queued, seconds, how

    def adopt(self, trial: Trial) -> bool:
        return False

    def billed(self, trial: Trial) -> float:
        return max(self.now - self.live[trial.number][1], 0.0) if trial.number in self.live else 0.0

    def poll(self, timeout: float) -> Sequence[Report | Ended]:
        self.now += timeout
        over = [number for number, (_, start, seconds, _) in self.live.items() if self.now >= start + seconds]
        return [update for number in over for update in self._end(number)]

    def _end(self, number: int) -> list[Report | Ended]:
        attempt, start, seconds, how = self.live.pop(number)
        used = max(min(seconds, self.now - start), 0.0)
        self.paid += used
        if how != "well":
            return [Ended(number, attempt, how, retry=True, lost=how == "lost", billed=used)]
        return [Report(number, attempt, 1, 0.0, {"loss": 1.0}), Ended(number, attempt, billed=used)]

    def stop(self, number: int) -> None:
        self.in_flight = max(self.in_flight or 0, len(self.live))
        attempt, start, _, how = self.live[number]
        self.live[number] = attempt, start, max(self.now - start, 0.0), how

    def close(self) -> None:
        self.live.clear()


schedules = st.lists(
    st.tuples(st.floats(0.3, 20), st.sampled_from(["well", "well", "failed", "lost"])), min_size=1, max_size=12
)


@settings(max_examples=examples(200))
@given(st.floats(2, 60), st.integers(1, 5), st.none() | st.integers(1, 25), st.floats(0, 3), schedules)
def test_a_driven_run_exceeds_its_budget_by_no_more_than_what_is_in_flight(
    limit: float, parallel: int, longest: int | None, queued: float, schedule: Schedule
) -> None:
    limits = {"trials": 30, "parallel": parallel, "cost": f"USD {limit:.2f}", "failed": 1000, "trial_time": longest}
    job = job_of(limits={name: value for name, value in limits.items() if value is not None}, retries=2)
    launcher = Simulated([(min(each, longest or each), how) for each, how in schedule], queued)
    with TemporaryDirectory() as folder:
        run = store_of(Path(folder), job, "driven")
        state = Driver(job, run, launcher, seed=1, spending=Spending(job, MACHINES, [RATE])).run()
        trials = run.trials()
        reason = run.record().reason
        run.store.close()
    charged = sum((charge.amount or Decimal(0) for trial in trials for charge in trial.charges), Decimal(0))
    assert float(charged) == pytest.approx(launcher.paid)  # every attempt is charged, also lost and failed ones
    assert launcher.paid <= round(limit, 2) + (launcher.in_flight or 0) * TICK + 1e-9 or len(trials) == 1
    ended = "the budget is spent" in reason
    assert ended or launcher.paid <= round(limit, 2)
    assert ended or len(trials) == 30
    assert state is RunState.COMPLETED or (state is RunState.FAILED and not ended)


@dataclass
class Managed:
    """A service that suggests and runs trials by itself, a trial a slot, until it is told to stop."""

    schedule: Schedule
    parallel: int
    most: int
    now: float = 1_000_000.0
    trials: list[tuple[float, float]] = field(default_factory=list)
    stopped: float | None = None

    def ended(self, number: int) -> float:
        start, seconds = self.trials[number]
        return min(start + seconds, self.stopped or start + seconds)

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while self.stopped is None and len(self.trials) < self.most:
            running = [number for number in range(len(self.trials)) if self.ended(number) > self.now]
            free = self.now if len(running) < self.parallel else min(self.ended(number) for number in running)
            if free > until:
                break
            self.now = max(self.now, free)
            self.trials.append((self.now, self.schedule[len(self.trials) % len(self.schedule)][0]))
        self.now = until

    def snapshot(self) -> JobSnapshot:
        over = all(self.ended(number) <= self.now for number in range(len(self.trials)))
        state = RunState.RUNNING
        if over and self.trials and (self.stopped is not None or len(self.trials) == self.most):
            state = RunState.CANCELLED if self.stopped is not None else RunState.COMPLETED
        return JobSnapshot(
            state, 1_000_000.0, self.now - 1_000_000.0, "", [self._trial(n) for n in range(len(self.trials))]
        )

    def _trial(self, number: int) -> TrialSnapshot:
        start, _ = self.trials[number]
        if self.ended(number) > self.now:
            return TrialSnapshot(number, f"t{number}", parameters={"x": 0.5}, started=start)
        cut = self.stopped is not None and self.ended(number) == self.stopped
        how = TrialState.CANCELLED if cut else TrialState.COMPLETED
        return TrialSnapshot(
            number, f"t{number}", how, {"x": 0.5}, started=start, ended=self.ended(number), metrics={"loss": 1.0}
        )


class SimulatedTuner(Tuner):
    def __init__(self, service: Managed, job: TuningJob) -> None:
        super().__init__(RunBrief("r", job, Plan("toy", "managed", {}), {}, 0.0, 0.0, dict), "job")
        self.service = service

    def create(self, *, again: bool) -> str:
        return "job"

    def poll(self, done: Collection[int]) -> JobSnapshot:
        return self.service.snapshot()

    def stop(self) -> None:
        self.service.stopped = self.service.stopped or self.service.now

    def lines(self, trial: Trial, over: Callable[[], bool]) -> Iterator[str]:
        return iter(())

    def files(self, trial: Trial, target: Path) -> list[Path]:
        raise NotImplementedError


class Toy(Service):
    name = "toy"
    service = "Toy"
    sdk = ()
    poll = 2.0
    endpoint = None
    address = None

    def log_in(self) -> None:
        """Ask for nothing."""


@settings(max_examples=examples(200))
@given(st.floats(2, 60), st.integers(1, 5), schedules, st.integers(0, 3))
def test_a_managed_run_exceeds_its_budget_by_no_more_than_what_is_in_flight(
    limit: float, parallel: int, schedule: Schedule, resumes: int
) -> None:
    job = job_of(limits={"trials": 30, "parallel": parallel, "cost": f"{limit:.2f}"})
    service = Managed(schedule, parallel, 30)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(managed_run, "time", SimpleNamespace(time=lambda: service.now, monotonic=lambda: service.now))
        run = store_of(Path(folder), job, "managed")
        plan = Plan("toy", "managed", {}, machines=MACHINES, rates=(RATE,))
        looks, followed = 0, ManagedRun(Toy(), run, lambda: SimulatedTuner(service, job), job, plan)
        while not followed.look().ended:
            service.advance(Toy.poll)
            looks += 1
            if looks % 7 == 0 and resumes:  # another process follows it from now on
                followed, resumes = ManagedRun(Toy(), run, lambda: SimulatedTuner(service, job), job, plan), resumes - 1
        record, trials = run.record(), run.trials()
        run.store.close()
    paid = sum(service.ended(number) - start for number, (start, _) in enumerate(service.trials))
    charged = sum((trial.cost or Decimal(0) for trial in trials), Decimal(0))
    assert float(charged) == pytest.approx(paid)
    assert record.state is RunState.COMPLETED
    assert paid <= round(limit, 2) + parallel * Toy.poll + 1e-6  # what was in flight, until somebody looked
    assert record.reason.startswith("the budget is spent") == (service.stopped is not None)


def test_without_prices_nothing_is_limited_and_time_is_still_known() -> None:
    spending, trial = Spending(job_of(limits={"cost": 1}), MACHINES), Trial(0, {}, attempt=1)
    spending.start(trial, lambda: 1e9)
    assert spending.exhausted(idle=False) is None
    spending.end(trial, 7.0)
    assert [(charge.seconds, charge.amount) for charge in trial.charges] == [(7.0, None)]
    assert spending.text == ""


def test_the_cost_of_a_trial_is_a_metric_unless_its_program_reports_one() -> None:
    several = [{"metric": "loss", "goal": "minimize"}, {"metric": "cost", "goal": "minimize"}]
    spending = Spending(job_of(objective=several), MACHINES, [RATE])
    mine, own = Trial(0, {}, attempt=1), Trial(1, {}, attempt=1, metrics={"cost": 3.0})
    for trial in (mine, own):
        spending.end(trial, 2.5)
    assert (mine.metrics, own.metrics) == ({"cost": 2.5}, {"cost": 3.0})


def test_the_metric_cost_is_without_the_time_for_which_machines_wait_for_the_next_trial() -> None:
    several = [{"metric": "loss", "goal": "minimize"}, {"metric": "cost", "goal": "minimize"}]
    spending = Spending(job_of(objective=several), Machines("m", 2, kept=900.0), [RATE])
    trial = Trial(0, {}, attempt=1)
    spending.end(trial, 2.5)
    assert (trial.cost, trial.metrics) == (Decimal("902.5"), {"cost": 2.5})
    spending.start(Trial(1, {}, attempt=1), lambda: 0.0)
    assert trial.cost is not None
    assert trial.cost < 900  # as it was taken before
    trial.metrics, trial.attempt = {}, 2
    spending.end(trial, 1.0)
    assert trial.metrics == {"cost": pytest.approx(3.5)}


def test_a_trial_that_launchers_say_nothing_of_is_billed_since_its_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "time", SimpleNamespace(time=lambda: 112.0))
    assert Launcher.billed(Simulated([]), Trial(0, {}, started=100.0)) == 12.0
    assert Launcher.billed(Simulated([]), Trial(0, {})) == 0.0


def test_an_attempt_that_was_lost_is_charged_to_its_last_sign_of_life() -> None:
    spending, trial = Spending(job_of(), MACHINES, [RATE]), Trial(0, {}, attempt=2, started=100.0)
    spending.lose(trial, [Report(0, 1, 1, 500.0, {}), Report(0, 2, 1, 103.0, {}), Report(0, 2, 2, 104.5, {})])
    assert trial.cost == Decimal("4.5")
