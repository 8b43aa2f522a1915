"""Prices in plans, and what a job costs before it is launched."""

import io
import json
import math
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import cloudtune
from cloudtune.cli.app import run_app
from cloudtune.cli.spending import ask_before_spending
from cloudtune.costs.estimate import estimate
from cloudtune.costs.history import earlier_durations
from cloudtune.costs.launching import is_paid
from cloudtune.errors import NotLaunched
from cloudtune.planning.plan import Machines, Plan, Support
from cloudtune.planning.rates import Rate
from cloudtune.planning.summary import summary
from cloudtune.run import Run
from cloudtune.spec.job import TuningJob
from cloudtune.spec.money import parse_money
from cloudtune.store.records import RunRecord, Trial, TrialState
from cloudtune.store.store import Store

MACHINES = {"sagemaker": "ml.m5.xlarge", "vertex": "n2-standard-4", "azureml": "Standard_DS3_v2"}
CLOUDS = sorted(MACHINES)


def job_of(**fields: Any) -> TuningJob:
    data = {
        "name": "digits",
        "trial": {"command": "python train.py", "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/x:1"},
        "objective": {"metric": "loss", "goal": "minimize"},
        "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
        "limits": {"trials": 20, "parallel": 4, "trial_time": "30m", **fields.pop("limits", {})},
        **fields,
    }
    return TuningJob.from_data(data)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config(project: Path, text: str) -> None:
    (project / "cloudtune.toml").write_text(text)


@pytest.mark.parametrize("on", ["kubernetes", "slurm", "ray", "databricks"])
@pytest.mark.parametrize("asked", ["a100:2", "gpu:2"])
def test_accelerators_of_ones_own_cost_by_number_whatever_their_name(on: str, asked: str, project: Path) -> None:
    config(project, f"[prices.{on}]\nhour = 0.40\ngpu_hour = 1.20\n")
    (rate,) = cloudtune.plan(job_of(compute={"accelerators": asked}), on).rates
    assert rate.per_hour == Decimal("2.80")


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_plan_has_the_price_of_its_machine_in_the_profiles_region(cloud: str, project: Path) -> None:
    job = job_of(compute={"instance": {cloud: MACHINES[cloud]}})
    (rate,) = cloudtune.plan(job, cloud).rates
    assert rate.machine == MACHINES[cloud]
    assert Decimal("0.05") < rate.per_hour < 1
    assert rate.currency == "USD"
    assert "days old" in rate.source


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_negotiated_price_is_the_one_that_counts(cloud: str, project: Path) -> None:
    config(project, f'[prices]\ncurrency = "EUR"\n[prices.{cloud}]\n"{MACHINES[cloud]}" = 0.11\n')
    plan = cloudtune.plan(job_of(compute={"instance": {cloud: MACHINES[cloud]}}), cloud)
    assert [(rate.per_hour, rate.currency, rate.source) for rate in plan.rates] == [
        (Decimal("0.11"), "EUR", "your [prices]")
    ]


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_budget_without_a_price_is_refused_with_the_line_to_add(cloud: str, project: Path) -> None:
    config(project, f'[profiles.far]\nprovider = "{cloud}"\nregion = "nowhere-1"\n')
    plan = cloudtune.plan(job_of(compute={"instance": {cloud: MACHINES[cloud]}}, limits={"cost": 5}), "far")
    (note,) = [note for note in plan.notes if note.path == "limits.cost" and note.support is Support.UNSUPPORTED]
    assert f"nothing says what {MACHINES[cloud]} in nowhere-1 costs" in note.message
    assert f'[prices.{cloud}]: "{MACHINES[cloud]}" = …' in note.message


def test_a_budget_needs_the_price_of_every_machine_that_a_trial_may_get(project: Path) -> None:
    job = job_of(compute={"instance": ["ml.m5.xlarge", "ml.unheard.xlarge"]}, mode="driven")
    assert [rate.machine for rate in cloudtune.plan(job, "sagemaker").rates] == ["ml.m5.xlarge"]
    budgeted = job.model_copy(update={"limits": job.limits.model_copy(update={"cost": parse_money(5)})})
    plan = cloudtune.plan(budgeted, "sagemaker")
    assert plan.rates == ()
    assert any("nothing says what ml.unheard.xlarge in us-east-1 costs" in note.message for note in plan.notes)


def test_a_budget_in_another_currency_than_the_prices_is_refused(project: Path) -> None:
    plan = cloudtune.plan(job_of(compute={"instance": "ml.m5.xlarge"}, limits={"cost": "EUR 5"}), "sagemaker")
    (note,) = [note for note in plan.notes if note.path == "limits.cost" and note.support is Support.UNSUPPORTED]
    assert note.message == "the prices are in USD: give the budget in USD, or prices in EUR in [prices]"


def test_this_machine_costs_what_the_user_says_and_else_its_budget_has_no_effect(project: Path) -> None:
    job = job_of(limits={"cost": 5})
    assert cloudtune.plan(job, "local").support("limits.cost") is Support.APPROXIMATE
    config(project, "[prices.local]\nhour = 0.4\n")
    plan = cloudtune.plan(job, "local")
    assert plan.support("limits.cost") is Support.EXACT
    assert [rate.per_hour for rate in plan.rates] == [Decimal("0.4")]


def test_spot_costs_what_is_listed_and_at_most_the_full_price(project: Path) -> None:
    spot = {cloud: cloudtune.plan(job_of(compute={"instance": {cloud: MACHINES[cloud]}, "spot": True, "max_wait": "2h"}), cloud)
            for cloud in ("sagemaker", "vertex")}  # fmt: skip
    full = cloudtune.plan(job_of(compute={"instance": {"vertex": MACHINES["vertex"]}}), "vertex").rates[0]
    assert spot["vertex"].rates[0].spot
    assert spot["vertex"].rates[0].per_hour < full.per_hour
    assert spot["vertex"].rates[0].otherwise == full.per_hour  # either way both are said
    assert full.otherwise == spot["vertex"].rates[0].per_hour
    assert not spot["sagemaker"].rates[0].spot  # whose saving is in the seconds that it bills


COSTLY = [{"metric": "loss", "goal": "minimize"}, {"metric": "cost", "goal": "minimize"}]
REPORTS = "cloudtune reports what the trial cost in USD, unless its program reports it"


def notes_of(plan: Plan, path: str) -> list[tuple[str, str]]:
    return [(note.support.value, note.message) for note in plan.notes if note.path == path]


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_objective_cost_beside_others_is_reported_by_cloudtune_whose_driver_runs_the_job(
    cloud: str, project: Path
) -> None:
    machine = {"compute": {"instance": {cloud: MACHINES[cloud]}}}
    plan = cloudtune.plan(job_of(objective=COSTLY, **machine), cloud)
    assert plan.mode == "driven"
    assert notes_of(plan, "objective[1].metric") == [("unchecked", REPORTS)]
    assert plan.support("objective[1].metric") in (Support.UNCHECKED, Support.DRIVEN)
    forced = cloudtune.plan(job_of(objective=COSTLY, mode="managed", **machine), cloud)
    assert forced.support("objective[1].metric") is Support.UNSUPPORTED
    assert notes_of(forced, "objective[1]") == [
        ("unsupported", "the service does not know what a trial costs; take mode: managed away")
    ]
    printed = [COSTLY[0], {**COSTLY[1], "regex": "cost=(.*)"}]
    sole = job_of(objective=COSTLY[1], **machine)
    assert job_of(objective=printed).cost_place is sole.cost_place is None
    assert cloudtune.plan(sole, cloud).mode == "managed"


def test_vertex_takes_several_objectives_of_which_the_program_prints_the_cost(project: Path) -> None:
    printed = [COSTLY[0], {**COSTLY[1], "regex": "cost=(.*)"}]
    plan = cloudtune.plan(job_of(objective=printed, compute={"instance": MACHINES["vertex"]}), "vertex")
    assert plan.mode == "managed"


@pytest.mark.parametrize("cloud", CLOUDS)
def test_the_objective_cost_without_a_price_is_left_to_the_program_with_the_line_to_add(
    cloud: str, project: Path
) -> None:
    config(project, f'[profiles.far]\nprovider = "{cloud}"\nregion = "nowhere-1"\n')
    plan = cloudtune.plan(job_of(objective=COSTLY, compute={"instance": {cloud: MACHINES[cloud]}}), "far")
    ((support, message),) = notes_of(plan, "objective[1].metric")
    assert support == "approximate"
    assert f"nothing says what {MACHINES[cloud]} in nowhere-1 costs" in message
    assert f'[prices.{cloud}]: "{MACHINES[cloud]}" = …' in message


def test_on_this_machine_the_program_may_report_its_cost_and_cloudtune_does_where_it_knows_a_price(
    project: Path,
) -> None:
    job = job_of(objective=COSTLY)
    ((support, message),) = notes_of(cloudtune.plan(job, "local"), "objective[1].metric")
    assert support == "approximate"
    assert "[prices.local]: hour = …" in message
    config(project, "[prices.local]\nhour = 0.4\n")
    assert notes_of(cloudtune.plan(job, "local"), "objective[1].metric") == [("unchecked", REPORTS)]


def test_a_run_here_has_a_front_of_values_and_costs(project: Path) -> None:
    config(project, '[prices]\ncurrency = "EUR"\n[prices.local]\nhour = 3600\n')
    job = job_of(objective=COSTLY, trial={"command": "python -c \"print('loss=0.5')\""}, limits={"trials": 2})
    run = cloudtune.submit(job, "local", project=project)
    assert run.wait().value == "completed"
    trials = run.trials()
    assert [trial.metrics for trial in trials] == [{"loss": 0.5, "cost": float(trial.cost or 0)} for trial in trials]
    assert {trial.number for trial in run.front} == {min(trials, key=lambda trial: trial.metrics["cost"]).number}
    assert all(0 < (trial.cost or 0) < 600 for trial in trials)


def made(job: TuningJob, per_hour: str = "0.30", count: int = 1) -> Plan:
    return Plan("toy", "driven", {}, machines=Machines("m", count), rates=(Rate("m", Decimal(per_hour), "USD"),))


@pytest.mark.parametrize(
    ("limits", "count", "most"),
    [
        ({}, 1, "3.00"),  # 20 × 0.5 h × 0.30
        ({}, 4, "12.00"),
        ({"time": "1h"}, 1, "1.20"),  # 4 at once × 1 h × 0.30
        ({"cost": 1}, 1, "1"),
        ({"trial_time": None}, 1, None),
        ({"trial_time": None, "cost": "7.5"}, 1, "7.5"),
    ],
)
def test_the_most_that_a_job_costs_by_hand(limits: dict[str, Any], count: int, most: str | None) -> None:
    job, plan = job_of(limits=limits), made(job_of(), count=count)
    found = estimate(job, plan, summary(job, plan))
    assert found is not None
    assert found.most == (None if most is None else Decimal(most))
    assert ("no bound on the cost" in str(found)) == (most is None)


@pytest.mark.parametrize(
    ("limits", "most"),
    [({"trial_time": "1h"}, None), ({"trial_time": "1h", "time": "10h"}, "4.00"), ({"cost": 2}, "2")],
)
def test_a_drivers_own_machine_is_said_and_counted_until_the_run_ends(limits: dict[str, Any], most: str | None) -> None:
    job = job_of(limits={"trials": 10, "parallel": 2, **limits})
    plan = replace(made(job), driver=Rate("small", Decimal("0.10"), "USD"))
    assert Plan.from_data(plan.to_data()) == plan
    found = estimate(job, plan, summary(job, plan))
    assert found is not None
    assert "2 at once, and the driver on small at 0.1000 USD an hour on demand while it runs; " in str(found)
    assert found.most == (None if most is None else Decimal(most))


def test_all_machines_that_a_trial_may_get_are_said_with_their_prices() -> None:
    job, plan = job_of(), made(job_of())
    several = replace(plan, rates=(*plan.rates, Rate("n", Decimal(2), "USD", spot=True, estimated=True, count=3)))
    found = estimate(job, several, summary(job, several))
    assert str(found).startswith(
        "m at 0.3000 USD an hour on demand, or 3 × n at about 2.00 USD an hour spot, 4 at once; "
    )
    assert found is not None
    assert found.most == 20  # 20 × 0.5 h × 2.00


@pytest.mark.parametrize(
    ("limits", "kept", "most"),
    [
        ({}, 900.0, "4.50"),  # 20 × (0.5 h + 0.25 h) × 0.30
        ({"time": "1h"}, 900.0, "1.50"),  # 4 at once × 1.25 h × 0.30
        ({"time": "1h"}, math.inf, "1.20"),
        ({}, math.inf, None),  # nothing says how long the run takes, and they stay as long
    ],
)
def test_machines_that_are_kept_between_trials_are_in_the_most_that_a_job_costs(
    limits: dict[str, Any], kept: float, most: str | None
) -> None:
    job, plan = job_of(limits=limits), made(job_of())
    for each in (
        replace(plan, machines=Machines("m", kept=kept)),
        replace(plan, rates=(replace(plan.rates[0], kept=kept),)),
    ):
        found = estimate(job, each, summary(job, each))
        assert found is not None
        assert found.most == (None if most is None else Decimal(most))


def test_what_earlier_trials_of_the_program_took_says_what_is_expected(tmp_path: Path) -> None:
    job, plan = job_of(), made(job_of())
    store = Store(tmp_path)
    for name, command, took in (
        ("a", "python train.py", 360),
        ("b", "python other.py", 1000),
        ("c", "python train.py", None),
    ):
        data = job.to_data() | {"trial": {**job.to_data()["trial"], "command": command}}
        record = RunRecord(
            name, "digits", "toy", "toy", json.dumps(data), json.dumps(plan.to_data()), created=ord(name)
        )
        run = store.create(record)
        if took:
            run.write(trials=[Trial(n, {}, TrialState.COMPLETED, started=0.0, ended=float(took)) for n in range(3)])
    took, whose = earlier_durations(store, job, plan)
    assert (list(took), whose) == ([360.0] * 3, "run a")
    found = estimate(job, plan, summary(job, plan), took, whose)
    assert found is not None
    assert found.expected == Decimal("0.6")  # 20 trials × 0.1 h × 0.30
    assert str(found).endswith("; expected 0.6000 USD (3 trials of run a took 360 s each)")
    assert earlier_durations(store, job, made(job, count=2)) == ((), "")


ENDLESS = """
name: digits
trial: {command: "python train.py", source: ., image: "repo/image:1"}
objective: {metric: loss, goal: minimize}
space: {x: {type: float, low: 0, high: 1}}
limits: {trials: 20}
mode: driven
compute: {instance: Standard_DS3_v2}
"""


def test_without_a_terminal_a_job_that_nothing_bounds_is_not_launched(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    (project / "job.yaml").write_text(ENDLESS)
    (project / "train.py").write_text("")
    assert run_app(["run", "job.yaml", "--on", "azureml"]) == 3
    said = capsys.readouterr().err
    assert "Standard_DS3_v2 at 0.2930 USD an hour" in said
    assert "nothing bounds what the job costs" in said
    assert Store(project).records() == []  # it is as if it had not been asked for


def test_a_run_over_several_profiles_is_paid_if_one_of_them_is_real_whatever_is_known_of_prices(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    config(project, '[profiles.far]\nprovider = "azureml"\nregion = "nowhere-1"\n')
    job = TuningJob.from_yaml(ENDLESS)
    plan = cloudtune.plan(job, "local,far", project=project)
    assert plan.rates == ()
    for emulated in ({}, {"local": {}}, {"far": {}}):
        made = SimpleNamespace(
            plan=plan, project=project, record=SimpleNamespace(profile="local,far", emulators=emulated)
        )
        if "far" in emulated:
            ask_before_spending(cast("Run", made), job, yes=False, quiet=False)
            continue
        with pytest.raises(NotLaunched, match="nothing bounds what the job costs"):
            ask_before_spending(cast("Run", made), job, yes=False, quiet=False)
        assert "process of this machine or Standard_DS3_v2 at a price that is not known" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("above", "answer", "launched"),
    [(100, "", True), (1, "n\n", False), (1, "y\n", True)],
    ids=["it costs less than the limit", "no", "yes"],
)
def test_in_a_terminal_a_launch_above_the_limit_is_asked_about(
    above: int,
    answer: str,
    launched: bool,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config(project, f"confirm_above = {above}\n")
    (project / "job.yaml").write_text(ENDLESS.replace("trials: 20", "trials: 20, trial_time: 1h"))
    (project / "train.py").write_text("")
    started: list[str] = []
    monkeypatch.setattr("cloudtune.run.Run.start", lambda run: started.append(run.id))
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert (run_app(["run", "job.yaml", "--on", "azureml", "--detach"]) or 0) == (0 if launched else 3)
    said = capsys.readouterr().err
    assert "at most 20 machine-hours, at most 5.86 USD" in said
    assert ("Launch digits on azureml?" in said) == bool(answer)
    assert bool(started) == launched


@pytest.mark.parametrize("on", ["kubernetes", "slurm", "ray"])
def test_machines_of_ones_own_that_have_a_price_are_paid_for(on: str, project: Path) -> None:
    job = job_of()
    assert not is_paid(cloudtune.plan(job, on))
    config(project, f"[prices.{on}]\nhour = 0.40\n")
    plan, both = cloudtune.plan(job, on), cloudtune.plan(job, f"local,{on}")
    assert (is_paid(plan), is_paid(plan, {on})) == (True, False)
    assert (is_paid(both), is_paid(both, {on})) == (True, False)


def test_a_launch_on_machines_of_ones_own_is_asked_about(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config(project, "confirm_above = 1\n[prices.local]\nhour = 0.40\n")
    (project / "job.yaml").write_text(ENDLESS.replace("trials: 20", "trials: 20, trial_time: 1h"))
    (project / "train.py").write_text("")
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert run_app(["run", "job.yaml", "--detach"]) == 3
    said = capsys.readouterr().err
    assert "at most 8.00 USD" in said
    assert "Launch digits on local?" in said


def test_longer_limits_are_asked_about_before_they_are_written(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config(project, "confirm_above = 1\n[prices.local]\nhour = 0.40\n")
    text = ENDLESS.replace("trials: 20", "trials: 1, trial_time: 1h")
    (project / "job.yaml").write_text(text.replace("python train.py", "echo loss=1"))
    assert run_app(["run", "job.yaml", "-q"]) in (0, None), "it costs less than is asked about"
    more = ["resume", "--trials", "+2", "-q"]
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    capsys.readouterr()
    assert run_app(more) == 3
    said = capsys.readouterr().err
    assert "at most 1.20 USD" in said
    assert "on local, at that cost in all?" in said
    run = cloudtune.attach("latest")
    assert (run.state, run.job.limits.trials, run.counts()) == ("completed", 1, {"completed": 1})
    monkeypatch.setattr("sys.stdin", Terminal(""))
    assert run_app([*more, "--yes"]) in (0, None)
    assert cloudtune.attach("latest").counts() == {"completed": 3}


def test_the_limit_of_the_config_beside_a_job_counts_before_the_projects(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config(project, "confirm_above = 100\n")
    folder = project / "jobs"
    folder.mkdir()
    config(folder, "confirm_above = 1\n")
    (folder / "job.yaml").write_text(ENDLESS.replace("trials: 20", "trials: 20, trial_time: 1h"))
    (folder / "train.py").write_text("")
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert run_app(["run", "jobs/job.yaml", "--on", "azureml", "--detach"]) == 3
    assert "Launch digits on azureml?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["confirm_above = -1", 'confirm_above = "many"', "confirm_above = true", "confirm_above = inf"]
)
def test_a_limit_that_is_no_amount_is_refused(text: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config(project, text)
    assert run_app(["providers"]) == 2
    assert "confirm_above is an amount of money" in capsys.readouterr().err
