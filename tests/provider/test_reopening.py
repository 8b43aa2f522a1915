"""Runs that go on after their end: longer limits, trials run again, and what is refused with what to do."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from plain_jobs import plain_data
from scripted_launcher import Script, broken, good

from cloudtune.bundle.source import source_digests
from cloudtune.costs.spending import Spending
from cloudtune.driver.loop import Driver
from cloudtune.errors import ConfigError, RunBusy, SpecError, StoreError, TrialError, UnsupportedError
from cloudtune.planning.plan import Machines, Plan
from cloudtune.planning.rates import Rate
from cloudtune.provider.reopening import RETRIED, Reopening
from cloudtune.provider.repacking import check_program, keep_program
from cloudtune.spec.extending import Used, changes, extended
from cloudtune.spec.job import Limits, TuningJob
from cloudtune.store.enqueued import enqueue, enqueued, refuse_where_none_is_taken
from cloudtune.store.records import EXTENSIONS, WRITTEN, RunRecord, RunState, Trial, TrialState
from cloudtune.store.secrets import kept_environment
from cloudtune.store.store import RunStore, Store
from cloudtune_local.provider import LocalProvider

JOB: dict[str, Any] = plain_data(strategy={"type": "random", "seed": 1}, limits={"trials": 3})
GRID = {"strategy": {"type": "grid"}, "space": {"x": {"type": "float", "low": 0.0, "high": 1.0, "step": 0.5}}}


def job_of(**fields: Any) -> TuningJob:
    return TuningJob.from_data({**JOB, **fields})


Made = Callable[..., RunStore]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    def make(mode: str = "driven", machines: bool = False, **fields: Any) -> RunStore:
        job = job_of(**fields)
        plan: dict[str, Any] = {**LocalProvider({}).plan(job).to_data(), "mode": mode}
        if machines:
            rated = Plan("local", mode, {}, machines=Machines("m"), rates=(Rate("m", Decimal(3600), "USD"),)).to_data()
            plan |= {name: rated[name] for name in ("machines", "rates")}
        told = json.dumps(job.to_data(portable=True))
        native = {"seed": "1", "base": str(tmp_path), WRITTEN: told, "job:aws": told}
        record = RunRecord("r", "j", "local", "local", told, json.dumps(plan), created=1.0, native=native)
        return Store(tmp_path).create(record)

    return make


class Billed(Script):
    """Bills a second for every attempt."""

    def billed(self, trial: Trial) -> float:
        return 1.0


def drive(run: RunStore, launcher: Script | None = None) -> RunState:
    record = run.record()
    job, plan = TuningJob.from_data(json.loads(record.job)), Plan.from_data(json.loads(record.plan))
    spending = Spending(job, plan.machines, plan.rates)
    return Driver(job, run, launcher or Script(good), seed=1, spending=spending).run()


def reopening(run: RunStore, environment: Mapping[str, str] | None = None) -> Reopening:
    return Reopening(LocalProvider({}), run, environment)


def limits(run: RunStore) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.record().job)["limits"]
    return found


@pytest.mark.parametrize(
    ("before", "more", "changed", "after"),
    [
        ({"trials": 30}, {"trials": 20}, {}, {"trials": 50}),
        ({}, {"trials": "20"}, {}, {"trials": 27}),
        ({"trials": 30}, {}, {"trials": 40, "target": 0.5}, {"trials": 40, "target": 0.5}),
        ({"trials": 30, "target": 0.1}, {"trials": 1}, {"target": None}, {"trials": 31}),
        ({"trials": 3, "cost": "10 USD"}, {"cost": 2.5}, {}, {"trials": 3, "cost": "USD 12.5"}),
        ({"trials": 3, "cost": 10}, {"cost": "10 EUR"}, {}, {"trials": 3, "cost": "EUR 20"}),
        ({"trials": 3}, {"cost": 10, "time": "1h"}, {}, {"trials": 3, "cost": 11.5, "time": "1h1m"}),
        ({"trials": 3, "time": "30m"}, {"time": 1800}, {}, {"trials": 3, "time": "1h"}),
    ],
)
def test_amounts_are_added_to_the_limits_or_to_what_was_used(
    before: dict[str, Any], more: dict[str, Any], changed: dict[str, Any], after: dict[str, Any]
) -> None:
    job = job_of(**GRID, limits=before)
    longer = extended(job, more, changed, Used(trials=7, seconds=60.0, cost=Decimal("1.5")))
    assert longer.limits == Limits.model_validate(after)
    assert longer.model_copy(update={"limits": job.limits}) == job


def test_amounts_that_cannot_be_added_are_told_together() -> None:
    job = job_of(limits={"trials": 3, "cost": "10 USD"})
    more = {"trials": "many", "cost": "5 EUR", "time": "soon"}
    with pytest.raises(SpecError) as refused:
        extended(job, more, {}, Used(0, 0.0, Decimal(0)))
    said = [str(problem) for problem in refused.value.problems]
    assert [text.partition(":")[0] for text in said] == ["limits.trials", "limits.cost", "limits.time"]
    assert "'many' is no number of trials" in said[0]
    assert "EUR 5 cannot be added to USD 10; give it in USD" in said[1]
    with pytest.raises(SpecError, match=r"limits\.trails: unknown key"):
        extended(job, {}, {"trails": 4}, Used(0, 0.0, Decimal(0)))
    assert changes(job.limits, job_of(limits={"trials": 4}).limits) == [
        "limits.trials: 3 → 4",
        "limits.cost: USD 10 → none",
    ]


@pytest.mark.parametrize("strategy", ["random", "sobol", "evolutionary"])
def test_an_extended_run_goes_on_as_a_longer_one_would_have(made: Made, tmp_path: Path, strategy: str) -> None:
    run = made(strategy={"type": strategy, "seed": 1})
    assert drive(run) is RunState.COMPLETED
    assert reopening(run).extend({"trials": 4}, {}) == ["limits.trials: 3 → 7"]
    assert (run.record().state, run.record().ended) == (RunState.INTERRUPTED, None)
    launcher = Script(good)
    assert drive(run, launcher) is RunState.COMPLETED
    assert launcher.launched == [(number, 1) for number in range(3, 7)]
    (tmp_path / "longer").mkdir()
    longer = Store(tmp_path / "longer").create(RunRecord("l", "j", "local", "local", "{}", "{}"))
    Driver(job_of(strategy={"type": strategy, "seed": 1}, limits={"trials": 7}), longer, Script(good), seed=1).run()
    assert [trial.parameters for trial in run.trials()] == [trial.parameters for trial in longer.trials()]


def test_every_reader_of_the_run_finds_the_new_limits(made: Made) -> None:
    run = made()
    drive(run)
    reopening(run).extend({"trials": 2}, {"target": 0.0})
    record = run.record()
    told = [
        record.job,
        record.native[WRITTEN],
        record.native["job:aws"],
        json.dumps(json.loads(record.plan)["request"]),
    ]
    assert [json.loads(text)["limits"]["trials"] for text in told] == [5] * 4
    (extension,) = json.loads(record.native[EXTENSIONS])
    assert (extension["trials"], extension["before"]) == (3, {"trials": 3})
    assert run.events()[-1][2] == "extended: limits.trials: 3 → 5; limits.target: none → 0.0"
    reopening(run).extend({"trials": 1}, {})  # an interrupted run, too
    assert limits(run)["trials"] == 6
    assert len(json.loads(run.record().native[EXTENSIONS])) == 2


def test_a_cancelled_run_goes_on_and_what_was_cancelled_can_be_run_again(made: Made) -> None:
    run = made(limits={"trials": 3, "parallel": 3})

    def cancelled(trial: Trial) -> Any:
        run.write(columns={"wish": "cancel"})
        return []

    assert drive(run, Script(cancelled)) is RunState.CANCELLED
    assert reopening(run).retry([1], RETRIED) == [1]
    launcher = Script(good)
    assert drive(run, launcher) is RunState.COMPLETED
    assert launcher.launched == [(1, 2)]
    assert [trial.state.value for trial in run.trials()] == ["cancelled", "completed", "cancelled"]
    reopening(run).extend({"trials": 1}, {})
    assert drive(run) is RunState.COMPLETED
    assert run.trials()[3].state is TrialState.COMPLETED


def test_trials_that_failed_are_run_again_with_their_parameters(made: Made) -> None:
    run = made(limits={"trials": 5})
    assert drive(run, Script(broken)) is RunState.FAILED
    before = [trial.parameters for trial in run.trials()]
    assert len(before) == 3
    with pytest.raises(ConfigError, match=r"would end at once: its first 2 trials failed|limits\.failed"):
        reopening(run).extend({"trials": 5}, {"failed": 2})
    with pytest.raises(ConfigError, match=r"its first 3 trials failed in the same way"):
        reopening(run).extend({"trials": 5}, {})
    assert reopening(run).retry([], RETRIED[:1]) == [0, 1, 2]
    launcher = Script(good)
    assert drive(run, launcher) is RunState.COMPLETED
    assert launcher.launched == [(0, 2), (1, 2), (2, 2), (3, 1), (4, 1)]
    assert [trial.parameters for trial in run.trials()][:3] == before
    assert "is run again for its user (it was failed: it exited with code 1)" in [text for _, _, text in run.events()]
    with pytest.raises(TrialError, match="no trial of r is failed or cancelled"):
        reopening(run).retry([], RETRIED)
    with pytest.raises(TrialError, match=r"trial 3 is completed: .* `cloudtune try` runs its parameters once more"):
        reopening(run).retry([3], RETRIED)
    with pytest.raises(TrialError, match="has no trial 9"):
        reopening(run).retry([9], RETRIED)


def test_what_would_end_at_once_is_refused_with_what_to_do_and_changes_nothing(made: Made) -> None:
    run = made(limits={"trials": 3, "target": 1.0})
    assert drive(run) is RunState.COMPLETED
    before = run.record()
    with pytest.raises(ConfigError, match=r"would end at once: the target 1 is reached .* --set limits\.NAME=VALUE"):
        reopening(run).extend({"trials": 5}, {})
    with pytest.raises(
        ConfigError, match=r"were run as limits\.trials allows \(1\); add some: `cloudtune .*resume r --trials \+N`"
    ):
        reopening(run).extend({}, {"target": None, "trials": 1})
    assert run.record() == before


def test_an_exhausted_space_says_so_unless_a_trial_is_enqueued(made: Made) -> None:
    run = made(**GRID, limits={})
    drive(run)
    with pytest.raises(
        ConfigError, match=r"the space has no other trials than the 3 that were run; another space is a new run"
    ):
        reopening(run).extend({"trials": 5}, {})
    enqueue(run, [{"x": 0.5}])
    reopening(run).extend({"trials": 1}, {})
    assert drive(run) is RunState.COMPLETED
    assert [trial.origin for trial in run.trials()] == ["", "", "", "tried"]


def test_repetitions_of_a_confirmed_run_keep_their_numbers_and_count_as_no_trials(made: Made) -> None:
    run = made(confirm={"top": 1, "repeats": 2}, limits={"trials": 5})
    assert drive(run) is RunState.COMPLETED
    assert [trial.repeat_of is None for trial in run.trials()] == [True] * 3 + [False] * 2
    assert reopening(run).extend({"trials": 1}, {}) == ["limits.trials: 5 → 6"]
    enqueue(run, [{"x": 0.0}])
    assert drive(run) is RunState.COMPLETED
    after = run.trials()[5:]
    assert (after[0].origin, after[0].repeat_of) == ("tried", None)
    assert {trial.repeat_of for trial in after[1:]} == {5}, "the new best is confirmed, too"
    assert len({trial.number for trial in run.trials()}) == len(run.trials())


def test_what_is_added_to_a_confirmed_run_without_a_limit_is_trials_of_the_search(made: Made) -> None:
    run = made(**GRID, confirm={"top": 1, "repeats": 2}, limits={})
    assert drive(run) is RunState.COMPLETED
    assert [trial.repeat_of is None for trial in run.trials()] == [True] * 3 + [False] * 2
    after = extended(
        TuningJob.from_data(json.loads(run.record().job)), {"trials": 4}, {}, reopening(run)._used(run.trials())
    )
    assert (after.limits.trials, after.search_trials) == (9, 7)


def test_auto_chooses_anew_for_longer_limits_and_says_so(made: Made) -> None:
    run = made(space=GRID["space"], strategy={"type": "auto", "seed": 1}, limits={"trials": 2})
    drive(run)
    assert reopening(run).extend({"trials": 5}, {}) == [
        "limits.trials: 2 → 7",
        "strategy (auto): bayesian → grid, since all 3 combinations of the space fit into 7 trials",
    ]
    assert drive(run) is RunState.COMPLETED
    assert sorted(str(trial.parameters["x"]) for trial in run.trials()) == ["0.0", "0.5", "1.0"]


def test_a_spent_budget_needs_more_of_it(made: Made) -> None:
    run = made(machines=True, limits={"trials": 9, "cost": 2})
    launcher = Billed(good)
    assert drive(run, launcher) is RunState.COMPLETED
    assert len(run.trials()) == 2
    with pytest.raises(ConfigError, match=r"the budget is spent: .*; add some: `cloudtune .*resume r --cost \+AMOUNT`"):
        reopening(run).extend({"trials": 1}, {})
    assert reopening(run).extend({"cost": 1}, {}) == ["limits.cost: 2 → 3"]
    assert drive(run, launcher) is RunState.COMPLETED
    assert len(run.trials()) == 3


def test_a_limit_that_a_plan_refuses_is_refused_for_a_longer_run_as_well(made: Made) -> None:
    run = made(machines=True, limits={"trials": 1, "cost": 2})
    drive(run, Billed(good))
    before = run.record()
    with pytest.raises(UnsupportedError, match="the prices are in USD: give the budget in USD"):
        reopening(run).extend({"trials": 1, "cost": "EUR 500"}, {})
    assert run.record() == before


def test_a_budget_that_comes_later_has_the_prices_of_now_or_says_that_there_are_none(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made(limits={"trials": 1})
    drive(run)
    reopening(run).extend({"trials": 1}, {"cost": 5})
    assert any("limits.cost: approximate: of no effect" in message for _, _, message in run.events())
    rates = (Rate("m", Decimal(3600), "USD"),)
    monkeypatch.setattr(LocalProvider, "rated", lambda _provider, plan, _job: replace(plan, rates=rates))
    reopening(run).extend({"trials": 2}, {})
    assert Plan.from_data(json.loads(run.record().plan)).rates == rates


def test_what_runs_and_what_a_service_tunes_is_left_alone(made: Made) -> None:
    run = made()
    run.write(columns={"state": RunState.RUNNING.value})
    with pytest.raises(
        RunBusy, match="r is running: its limits, and trials that have ended, can change when it has ended"
    ):
        reopening(run).extend({"trials": 1}, {})
    run.write(columns={"state": RunState.COMPLETED.value})
    with run.locked(), pytest.raises(RunBusy):
        reopening(run).retry([], RETRIED)
    run.remove()
    managed = made(mode="managed")
    managed.write(columns={"state": RunState.COMPLETED.value})
    for forbidden in (
        lambda: reopening(managed).extend({"trials": 1}, {}),
        lambda: reopening(managed).retry([], RETRIED),
    ):
        with pytest.raises(ConfigError, match=r"local's own tuner.*cloudtune run JOB\.yaml --set 'warm_start=\[r\]'"):
            forbidden()
    with pytest.raises(ConfigError, match=r"chooses every trial of r; what to try goes into `first`"):
        refuse_where_none_is_taken(managed.record())


def test_the_environment_that_was_forgotten_is_asked_for(made: Made) -> None:
    run = made(trial={"command": "true", "environment": {"TOKEN": "***", "MODE": "***"}})
    run.write(
        columns={"state": RunState.COMPLETED.value}, trials=[Trial(0, {"x": 0.5}, TrialState.COMPLETED, {"loss": 1})]
    )
    with pytest.raises(ConfigError, match=r"give TOKEN again, by --env TOKEN"):
        reopening(run, {"MODE": "fast"}).extend({"trials": 1}, {})
    with pytest.raises(ConfigError, match="has no 'TOKE'; it has TOKEN, MODE"):
        reopening(run, {"TOKEN": "t", "MODE": "fast", "TOKE": "x"}).extend({"trials": 1}, {})
    reopening(run, {"TOKEN": "secret", "MODE": "fast"}).extend({"trials": 1}, {})
    assert kept_environment(run) == {"TOKEN": "secret", "MODE": "fast"}
    record = run.record()
    assert "secret" not in record.job + record.plan + json.dumps(dict(record.native))


def test_a_run_that_cannot_be_written_has_ended_as_before(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made()
    drive(run)
    enqueue(run, [{"x": 0.5}])
    before = run.record()
    run.store.database.execute(
        f"PRAGMA max_page_count = {run.store.database.execute('PRAGMA page_count').fetchone()[0]}"
    )
    monkeypatch.setattr("cloudtune.provider.reopening.changes", lambda *_: ["x" * 200_000])
    with pytest.raises(StoreError, match="full"):
        reopening(run).extend({"trials": 1}, {})
    assert run.record() == before
    assert len(enqueued(run)) == 1


def test_a_program_that_changed_is_a_new_run_and_one_with_further_files_is_not(made: Made, tmp_path: Path) -> None:
    run = made(trial={"command": "python train.py", "source": "src"})
    job = TuningJob.from_data(json.loads(run.record().job))
    with pytest.raises(ConfigError, match="an older cloudtune launched r"):
        check_program(run, job)
    source = tmp_path / "src"
    source.mkdir()
    (source / "train.py").write_text("1")
    keep_program(run, job)
    (source / "report.html").write_text("new")
    check_program(run, job)
    assert set(source_digests(job, tmp_path)) == {"train.py", "report.html"}
    (source / "train.py").write_text("2")
    with pytest.raises(ConfigError, match=r"train\.py changed since r was launched; a changed program is a new run"):
        check_program(run, job)
    (source / "train.py").unlink()
    with pytest.raises(ConfigError, match=r"train\.py changed since"):
        check_program(run, job)
