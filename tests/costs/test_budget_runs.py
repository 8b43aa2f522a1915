"""Budgets of real runs on the emulators, where a second of a trial costs a dollar."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from cloud_runs import job_of

from cloudtune import api
from cloudtune.costs.views import run_cost
from cloudtune.costs.warning import NEARLY
from cloudtune.notifying.outbox import wait_for_all
from cloudtune.store.records import RunState
from cloudtune.testing.emulators import emulated

MACHINES = {"sagemaker": "ml.m5.xlarge", "vertex": "n2-standard-4", "azureml": "Standard_DS3_v2"}
SCRIPT = "import time, cloudtune.trial as t\nt.report(score=t.params()['x'])\ntime.sleep(0.6)\n"
PARALLEL = 2
LIMIT = Decimal(4)

CELLS = [
    pytest.param(
        cloud, mode, marks=pytest.mark.complete if (cloud, mode) != ("vertex", "managed") else (), id=f"{cloud}-{mode}"
    )
    for cloud in MACHINES
    for mode in ("managed", "driven")
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("cloud", "mode"), CELLS)
def test_a_run_ends_when_its_budget_is_spent(
    cloud: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"CLOUDTUNE_{cloud.upper()}_POLL", "0.2")
    monkeypatch.setenv("CLOUDTUNE_SAGEMAKER_IMAGE", "own:latest")
    (tmp_path / "cloudtune.toml").write_text(f'[prices.{cloud}]\n"{MACHINES[cloud]}" = 3600\n')
    limits = {"trials": 30, "parallel": PARALLEL, "cost": int(LIMIT)}
    told = {"command": "cat >> told.jsonl; echo >> told.jsonl"}
    job = job_of(tmp_path, SCRIPT, mode=mode, limits=limits, compute={"instance": MACHINES[cloud]}, notify=told)
    with emulated(cloud, monkeypatch):
        run = api.prepare(job, cloud, project=tmp_path, base=tmp_path)
        if mode == "managed":
            run.start()
        looks = [time.monotonic()]
        assert (run.plan.mode, run.wait(lambda _: looks.append(time.monotonic()))) == (mode, RunState.COMPLETED)
    wait_for_all()
    messages = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]
    assert sorted(message["event"] for message in messages) == ["budget", "end"]
    assert [message.startswith(NEARLY) for _, _, message in run.events()].count(True) == 1
    trials = run.trials()
    assert run.record.reason.startswith("the budget is spent"), run.record.reason
    assert len(trials) < 30
    ran = [trial for trial in trials if trial.started is not None]
    assert all(trial.cost is not None for trial in ran), [(trial.number, trial.state) for trial in ran]
    cost = run_cost(run.record, trials, job)
    assert cost is not None
    assert cost.complete
    in_flight = sorted(ran, key=lambda trial: trial.ended or 0.0)[-PARALLEL:]
    late = max(after - before for before, after in pairwise(looks))  # seconds in which nobody looked, on a busy machine
    counted = cost.spent - sum((trial.cost or Decimal(0) for trial in in_flight), Decimal(0))
    assert counted <= LIMIT + PARALLEL * Decimal(late)
    assert cost.spent > LIMIT / 4
