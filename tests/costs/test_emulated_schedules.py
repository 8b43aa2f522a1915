"""Budgets over random schedules in each emulator, in its own time, judged by what the trials' programs themselves saw.

A second of a machine costs a dollar. Programs take random times, fail, are interrupted as spot machines are, and services lose
jobs before they start; each program writes down when it began and when it ended, which no accounting has a part in.
"""

import os
import random
import time
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from cloud_runs import job_of

from cloudtune import api
from cloudtune.costs.views import run_cost
from cloudtune.emulation.emulator import Emulator
from cloudtune.emulation.faults import Faults
from cloudtune.run import Run
from cloudtune.store.records import RunState
from cloudtune.testing.emulators import emulated

MACHINES = {"sagemaker": "ml.m5.xlarge", "vertex": "n2-standard-4", "azureml": "Standard_DS3_v2"}
SCHEDULES = int(os.environ.get("CLOUDTUNE_TEST_SCHEDULES", "5"))
"""How many each service and mode gets."""

LONGEST = 0.8
SCRIPT = f"""
import pathlib, random, sys, time, uuid
import cloudtune.trial as t
began, x = time.time(), t.params()["x"]
ledger = (pathlib.Path("LEDGER") / uuid.uuid4().hex).open("a", buffering=1)
print(began, file=ledger)
draw = random.Random(x)
t.report(score=x)
time.sleep(draw.uniform(0, {LONGEST}))
print(time.time(), file=ledger)
sys.exit(draw.random() < 0.2)
"""


@dataclass(frozen=True)
class Ledger:
    """What one start of a program wrote down: seconds since 1970; no end if it was stopped."""

    began: float
    ended: float | None

    @property
    def dollars(self) -> float:
        return 0.0 if self.ended is None else self.ended - self.began


def ledgers(folder: Path) -> list[Ledger]:
    times = [[float(word) for word in file.read_text().split()] for file in folder.iterdir()]
    written = [one for one in times if one]  # a program that was stopped before its first line has seen nothing
    return sorted((Ledger(one[0], one[1] if one[1:] else None) for one in written), key=lambda one: one.began)


@dataclass(frozen=True)
class Schedule:
    """One run's conditions, drawn from a seed."""

    limit: float
    parallel: int
    spot: bool
    faults: dict[str, float]

    @classmethod
    def drawn(cls, seed: int) -> "Schedule":
        draw = random.Random(seed)
        faults = {name: draw.choice([0.0, 0.0, 0.3]) for name in ("internal", "spot", "throttle", "slow")}
        return cls(draw.uniform(0.5, 5), draw.randint(1, 3), draw.random() < 0.5, faults)


def strike(emulator: Emulator[Faults], faults: dict[str, float], seed: int) -> None:
    emulator.faults.seed = seed
    for name, value in faults.items():
        setattr(emulator.faults, name, value)


@pytest.mark.complete
@pytest.mark.timeout(900 + 30 * SCHEDULES)
@pytest.mark.parametrize("mode", ["managed", "driven"])
@pytest.mark.parametrize("cloud", MACHINES)
def test_no_emulated_run_spends_more_than_its_budget_and_what_ran_when_it_was_reached(
    cloud: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"CLOUDTUNE_{cloud.upper()}_POLL", "0.1")
    monkeypatch.setenv("CLOUDTUNE_SAGEMAKER_IMAGE", "own:latest")
    spent_all = 0
    with emulated(cloud, monkeypatch) as emulator:
        for seed in range(SCHEDULES):
            schedule = Schedule.drawn(seed)
            strike(emulator, schedule.faults, seed)
            run, late = run_of(schedule, cloud, mode, tmp_path / str(seed))
            spent_all += run.record.reason.startswith("the budget is spent")
            judge(run, schedule, ledgers(tmp_path / str(seed) / "ledgers"), late)
    assert spent_all >= SCHEDULES // 3, "the schedules reach their budgets too rarely to show anything"


def run_of(schedule: Schedule, cloud: str, mode: str, folder: Path) -> tuple[Run, float]:
    """Run a schedule to its end; return the run, and the longest time in seconds for which nobody looked."""
    (folder / "ledgers").mkdir(parents=True)
    (folder / "cloudtune.toml").write_text(
        f'[prices.{cloud}]\n"{MACHINES[cloud]}" = {{on_demand = 3600, spot = 3600}}\n'
    )
    job = job_of(
        folder,
        SCRIPT.replace("LEDGER", str(folder / "ledgers")),
        mode=mode,
        limits={"trials": 16, "parallel": schedule.parallel, "cost": f"USD {schedule.limit:.2f}", "failed": 16},
        compute={"instance": MACHINES[cloud], **({"spot": True} if schedule.spot else {})},
        **({"retries": 2} if mode == "driven" else {}),
    )
    run = api.prepare(job, cloud, project=folder, base=folder)
    if mode == "managed":
        run.start()
    looks = [time.monotonic()]
    state = run.wait(lambda _: looks.append(time.monotonic()))
    assert (run.plan.mode, state) == (mode, RunState.COMPLETED), run.record.reason
    return run, max(after - before for before, after in pairwise([*looks, time.monotonic()]))


def judge(run: Run, schedule: Schedule, ran: list[Ledger], late: float) -> None:
    """Compare what a run says it has cost with its budget, and with what its programs saw."""
    trials = run.trials()
    cost = run_cost(run.record, trials, run.job)
    assert cost is not None
    assert cost.complete
    charges = [float(charge.amount or Decimal(0)) for trial in trials for charge in trial.charges]
    assert float(cost.spent) == pytest.approx(sum(charges))
    assert float(cost.spent) >= sum(one.dollars for one in ran) - 1e-6, "programs ran that nobody paid for"
    for one in ran:
        before = sum(other.dollars for other in ran if other.ended is not None and other.ended < one.began - late)
        assert before <= schedule.limit, "a trial began after the budget was spent"
    in_flight = sum(sorted(charges)[-schedule.parallel :])
    assert float(cost.spent) <= schedule.limit + in_flight + schedule.parallel * late
