"""Budgets of driven runs on a service, over random schedules of queues, retries, full machine types and killed drivers.

The time is made up: the service's jobs wait, run, fail and are stopped in it, as the emulators' do in theirs, and say what is
billed in either of the services' two ways: SageMaker by seconds, the others by start and end.
"""

import json
from collections.abc import Iterator, Sequence
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

from cloudtune.costs.spending import Spending
from cloudtune.driver import loop, machine_choice, polling
from cloudtune.driver.loop import TICK, Driver
from cloudtune.driver.outputs import RunBrief
from cloudtune.driver.polling import JobLauncher, JobRunner
from cloudtune.driver.snapshots import TrialSnapshot
from cloudtune.errors import QuotaError
from cloudtune.planning.plan import Machines, Plan
from cloudtune.planning.rates import Rate
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import Report, RunRecord, RunState, Trial, TrialState
from cloudtune.store.store import RunStore, Store

INTERVAL = 2.0
"""Seconds between two looks at the service."""

LONGEST = 20.0
"""Seconds that a trial may take, as the plan says."""

RATES = {"big": Decimal(2), "small": Decimal(1)}
"""Dollars a second."""

PLAN = Plan(
    "toy",
    "driven",
    {},
    machines=Machines("big", others=("small",)),
    rates=tuple(Rate(machine, 3600 * amount, "USD") for machine, amount in RATES.items()),
)


class Killed(BaseException):
    """The driver's process is gone."""


@dataclass
class Clock:
    now: float = 1_000_000.0

    def time(self) -> float:
        return self.now

    monotonic = perf_counter = time

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class _Job:
    """A job of the service, in seconds of its time."""

    machine: str
    start: float
    seconds: float
    how: str
    stopped: float = float("inf")

    @property
    def end(self) -> float:
        return min(self.start + self.seconds, self.stopped)

    @property
    def billed(self) -> float:
        return max(self.end - self.start, 0.0)


@dataclass
class World:
    """The service, and what strikes the drivers.

    Attributes:
        schedule: for each job in turn: how long it waits and runs, how it ends, and which machine types have no room then.
        kills: after how many calls of the service each driver is killed.
        gaps: seconds until the next driver takes over.
        says_billed: whether the service says what is billed, and not start and end alone.
    """

    schedule: list[tuple[float, float, str, set[str]]]
    kills: list[int]
    gaps: list[float]
    says_billed: bool
    clock: Clock = field(default_factory=Clock)
    jobs: dict[str, _Job] = field(default_factory=dict)
    made: int = 0
    calls: int = 0

    def call(self) -> None:
        self.calls += 1
        if self.kills and self.calls > self.kills[0]:
            self.kills.pop(0)
            self.calls = 0
            raise Killed

    def paid(self) -> Decimal:
        return sum((Decimal(str(job.billed)) * RATES[job.machine] for job in self.jobs.values()), Decimal(0))


class Runner(JobRunner):
    once = True

    def __init__(self, job: TuningJob, world: World) -> None:
        super().__init__(RunBrief("r", job, PLAN, {}, 0.0, INTERVAL, dict))
        self.world, self.on = world, "big"

    def use_machine(self, machine: str) -> None:
        self.on = machine

    def machine_of(self, trial: Trial) -> str:
        return self.world.jobs[self.place(trial)].machine

    def place(self, trial: Trial) -> str:
        return f"{trial.number}-{trial.attempt}"

    def submit(self, trial: Trial) -> None:
        self.world.call()
        world, place = self.world, self.place(trial)
        if place in world.jobs:
            return
        queued, seconds, how, full = world.schedule[world.made % len(world.schedule)]
        world.made += 1
        if self.on in full:
            raise QuotaError(f"no {self.on}")
        world.jobs[place] = _Job(self.on, world.clock.now + queued, seconds if how != "unplaced" else 0.0, how)

    def find(self, trial: Trial) -> bool:
        return self.place(trial) in self.world.jobs

    def poll(self, trials: Sequence[Trial]) -> Sequence[TrialSnapshot]:
        self.world.call()
        return [self._seen(trial, self.world.jobs[self.place(trial)]) for trial in trials]

    def _seen(self, trial: Trial, job: _Job) -> TrialSnapshot:
        now, place = self.world.clock.now, self.place(trial)
        if now < job.end:
            return TrialSnapshot(trial.number, place, started=job.start if now >= job.start else None)
        billed: dict[str, Any] = {"started": job.start, "ended": job.end}
        if self.world.says_billed:
            billed = {"billed": job.billed}
        elif job.end <= job.start:
            billed = {"ended": job.end}  # it never started
        if job.end == job.stopped:
            return TrialSnapshot(trial.number, place, TrialState.CANCELLED, reason="stopped", retry=False, **billed)
        if job.how != "well":
            return TrialSnapshot(trial.number, place, TrialState.FAILED, reason=job.how, unplaced=job.how == "unplaced", **billed)  # fmt: skip
        report = Report(trial.number, trial.attempt, 1, now, {"loss": 1.0})
        return TrialSnapshot(trial.number, place, TrialState.COMPLETED, reports=[report], **billed)

    def stop(self, place: str) -> None:
        job = self.world.jobs[place]
        if job.end > self.world.clock.now:
            job.stopped = self.world.clock.now

    def lines(self, trial: Trial, over: Any) -> Iterator[str]:
        return iter(())

    def files(self, trial: Trial, target: Path) -> list[Path]:
        raise NotImplementedError


def driven(run: RunStore, job: TuningJob, world: World) -> RunState:
    """Drive a run to its end, a driver after the other."""
    while True:
        spending = Spending(job, PLAN.machines, PLAN.rates)
        try:
            return Driver(job, run, JobLauncher(Runner(job, world)), seed=1, spending=spending).run()
        except Killed:
            world.clock.sleep(world.gaps[len(world.kills) % len(world.gaps)])


jobs = st.tuples(
    st.floats(0, 10),
    st.floats(0.5, LONGEST),
    st.sampled_from(["well", "well", "well", "failed", "unplaced"]),
    st.sampled_from([set(), set(), set(), {"big"}, {"big", "small"}]),
)


@settings(max_examples=examples(200), deadline=None)
@given(
    limit=st.floats(2, 150),
    parallel=st.integers(1, 4),
    schedule=st.lists(jobs, min_size=1, max_size=10),
    kills=st.lists(st.integers(0, 12), max_size=4),
    gaps=st.lists(st.floats(0, 30), min_size=1, max_size=3),
    hard=st.booleans(),
    says_billed=st.booleans(),
)
def test_no_more_is_spent_than_the_budget_and_what_the_running_trials_may_still_cost(
    limit: float,
    parallel: int,
    schedule: list[tuple[float, float, str, set[str]]],
    kills: list[int],
    gaps: list[float],
    hard: bool,
    says_billed: bool,
) -> None:
    job = TuningJob.from_data(
        {
            "name": "j",
            "trial": {"command": "true"},
            "objective": {"metric": "loss", "goal": "minimize"},
            "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
            "strategy": {"type": "random", "seed": 1},
            "limits": {"trials": 12, "parallel": parallel, "cost": f"USD {limit:.2f}", "failed": 1000, "trial_time": LONGEST},
            "retries": 2,
        }
    )  # fmt: skip
    world = World(schedule, list(kills), gaps, says_billed)
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for module in (loop, polling, machine_choice):
            clock = world.clock
            patch.setattr(module, "time", SimpleNamespace(time=clock.time, monotonic=clock.time, perf_counter=clock.time, sleep=clock.sleep))  # fmt: skip
        if hard:
            patch.setattr(Driver, "_break_off", lambda *_: None)
        record = RunRecord("r", "j", "toy", "toy", json.dumps(job.to_data()), json.dumps(PLAN.to_data()))
        run = Store(Path(folder)).create(record)
        driven(run, job, world)
        trials, reason = run.trials(), run.record().reason
        run.store.close()
    charges = [charge for trial in trials for charge in trial.charges]
    assert sum((charge.amount or Decimal(0) for charge in charges), Decimal(0)) == pytest.approx(
        world.paid(), abs=Decimal("1e-6")
    )
    unseen = min(LONGEST, max([0.0, *gaps[: len(kills)]]) + INTERVAL + TICK)  # nobody could end them meanwhile
    assert float(world.paid()) <= round(limit, 2) + parallel * 2 * unseen + 1e-6
    assert "the budget is spent" in reason or float(world.paid()) <= round(limit, 2)
