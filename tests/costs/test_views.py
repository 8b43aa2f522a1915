"""Where the cost of a run is shown."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from cloudtune import TuningJob
from cloudtune.cli.app import run_app
from cloudtune.costs.views import run_cost
from cloudtune.results.tables import trial_rows
from cloudtune.store.records import DRIVER_CHARGES, Charge, RunRecord, RunState, Trial, TrialState
from cloudtune.store.rows import charges_text
from cloudtune.store.store import Store

JOB = {
    "name": "digits",
    "trial": {"command": "python train.py"},
    "objective": [{"metric": "loss", "goal": "minimize"}],
    "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
    "limits": {"trials": 9, "cost": "USD 5"},
}
PLAN = {"provider": "local", "mode": "driven", "request": {}, "carried": {}, "notes": []}


def charged(number: int, *amounts: str | None) -> Trial:
    charges = tuple(
        Charge(attempt, "m", 2, 60.0, None if amount is None else Decimal(amount), "USD" if amount else "")
        for attempt, amount in enumerate(amounts, 1)
    )
    metrics = {"loss": number / 10}
    return Trial(number, {"x": 0.5}, TrialState.COMPLETED, metrics, attempt=1, started=1.0, ended=61.0, charges=charges)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def store(project: Path, *trials: Trial, **fields: object) -> None:
    record = RunRecord(
        "r-1",
        "digits",
        "local",
        "local",
        json.dumps({**JOB, **fields}),
        json.dumps(PLAN),
        RunState.COMPLETED,
        created=1.0,
    )
    Store(project).create(record).write(trials=trials)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run_app([*words]) in (0, None)
    return capsys.readouterr().out


def test_lists_and_looks_say_what_was_spent_and_of_what(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(project, charged(0, "0.25", "1"), charged(1, "0.05"))
    assert "1.30 of 5.00 USD" in said(capsys, "ls")
    assert "cost     1.30 of 5.00 USD" in said(capsys, "show")
    data = json.loads(said(capsys, "show", "--json"))
    assert data["cost"] == {"spent": "1.30", "currency": "USD", "limit": "5", "complete": True}
    table = said(capsys, "trials", "--sort", "cost")
    assert table.index("1.25 USD") < table.index("0.0500 USD")
    first, second = json.loads(said(capsys, "trials", "--json"))
    assert (first["cost"], second["cost"]) == ("1.25", "0.05")
    assert "trial 0: loss = 0 (1.25 USD)" in said(capsys, "best")
    assert second["charges"] == [
        {"attempt": 1, "machine": "m", "machines": 2, "seconds": 60.0, "amount": "0.05", "currency": "USD", "kept": 0.0}
    ]


def test_money_beside_an_objective_cost_has_a_name_of_its_own(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objectives = [{"metric": "loss", "goal": "minimize"}, {"metric": "cost", "goal": "minimize"}]
    trial = charged(0, "0.25")
    trial.metrics["cost"] = 0.2
    store(project, trial, objective=objectives)
    heading, row, *_ = said(capsys, "trials").splitlines()
    assert heading.split() == ["trial", "state", "loss", "cost", "x", "took", "spent", "why"]
    assert "0.2500 USD" in row


def test_a_price_that_was_not_known_makes_the_sum_a_lower_bound(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(project, charged(0, "0.25"), charged(1, None))
    assert "cost     at least 0.2500 of 5.00 USD, since not all prices are known" in said(capsys, "show")


def test_a_run_that_cost_nothing_known_has_no_column(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(project, charged(0), charged(1, None))
    shown = said(capsys, "ls") + said(capsys, "show") + said(capsys, "trials")
    assert [line for line in shown.splitlines() if "cost" in line and str(project) not in line] == []
    assert json.loads(said(capsys, "show", "--json"))["cost"] is None


def test_tables_have_money_and_machine_time_where_there_is_some() -> None:
    (row,) = trial_rows([charged(0, "0.25", "1")])
    assert (row["cost"], row["currency"], row["machine_seconds"]) == (1.25, "USD", 240.0)
    assert "cost" not in trial_rows([charged(0)])[0]


def test_what_a_driver_cost_that_was_a_job_of_its_own_is_part_of_the_runs_cost(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(project, charged(0, "0.25"))
    run = Store(project).run("r-1")
    driver = charges_text([Charge(1, "small", 1, 60.0, Decimal("0.10"), "USD"), Charge(2, "small", 1, 60.0)])
    run.write(columns={"native": {DRIVER_CHARGES: driver}})
    cost = run_cost(run.record(), run.trials(), TuningJob.from_data(JOB))
    assert cost is not None
    assert (cost.spent, cost.driver, cost.complete) == (Decimal("0.35"), Decimal("0.10"), False)
    assert "at least 0.3500 of 5.00 USD, 0.1000 USD of it for the driver" in said(capsys, "show", "r-1")
    assert json.loads(said(capsys, "show", "r-1", "--json"))["cost"]["driver"] == "0.10"
    assert run_app(["report", "r-1", "-o", "report.html"]) in (0, None)
    assert "0.3500 of 5.00 USD, 0.1000 USD of it for the driver" in Path("report.html").read_text()
