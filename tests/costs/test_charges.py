"""Charges of attempts, to the cent, and how the store keeps them."""

import json
from decimal import Decimal

import pytest
from older_stores import lower

from cloudtune.costs.kept import KeptMachines
from cloudtune.costs.meter import Meter, total, with_charge
from cloudtune.errors import DamagedRun
from cloudtune.planning.plan import Machines, Plan
from cloudtune.planning.rates import Rate
from cloudtune.spec.money import format_money
from cloudtune.store.records import Charge, RunRecord, Trial
from cloudtune.store.store import RunStore, Store

CPU = Rate("ml.m5.xlarge", Decimal("0.23"), "USD", source="a list of 2026-05-01")
GPU = Rate("ml.g4dn.xlarge", Decimal("0.7364"), "USD")


@pytest.fixture
def run(tmp_path) -> RunStore:
    record = RunRecord("a-1", "a", "local", "local", "{}", "{}")
    return Store(tmp_path).create(record)


def test_an_attempt_costs_its_time_on_all_its_machines():
    meter = Meter(Machines("ml.m5.xlarge", 3), [CPU])
    charge = meter.charge(1, 1800)  # 3 machines × 0.5 h × 0.23 an hour
    assert charge == Charge(1, "ml.m5.xlarge", 3, 1800, Decimal("0.345"), "USD")


def test_a_second_costs_a_second():
    assert Meter(Machines("m"), [Rate("m", Decimal("36"), "USD")]).charge(1, 0.5).amount == Decimal("0.005")


def test_the_machine_that_a_trial_got_is_the_one_it_pays_for():
    meter = Meter(Machines("ml.g4dn.xlarge"), [CPU, GPU])
    assert meter.charge(1, 3600).amount == Decimal("0.7364")  # not said: the dearest
    assert meter.charge(1, 3600, "ml.m5.xlarge") == Charge(1, "ml.m5.xlarge", 1, 3600, Decimal("0.23"), "USD")


def test_a_machine_without_a_price_is_charged_without_an_amount():
    assert Meter(Machines("m", 2), []).charge(1, 60) == Charge(1, "m", 2, 60)
    assert Meter(Machines("m"), [CPU]).charge(1, 60, "other").amount is None


def test_a_clock_that_was_set_back_gives_no_negative_charge():
    assert Meter(Machines("m"), [CPU]).charge(1, -5).amount == 0


def test_a_trial_costs_all_its_attempts_and_an_attempt_that_was_read_twice_counts_once():
    meter, trial = Meter(Machines("m"), [CPU]), Trial(0, {})
    assert trial.cost is None
    for attempt, seconds in ((1, 3600), (2, 1800), (2, 1800)):  # interrupted after an hour, then half an hour
        with_charge(trial, meter.charge(attempt, seconds))
    assert trial.cost == Decimal("0.345")
    with_charge(trial, Charge(3, "m", 1, 60))  # of which the price is not known
    assert trial.cost is None
    assert total([trial]) is None
    assert total([]) is None


def test_amounts_stay_exact_over_many_trials():
    meter = Meter(Machines("m"), [Rate("m", Decimal("0.1"), "USD")])
    trials = [Trial(number, {}, charges=(meter.charge(1, 36.0),)) for number in range(1000)]
    assert total(trials) == Decimal(1)


def test_the_store_keeps_charges(run):
    charges = (Charge(1, "ml.m5.xlarge", 2, 12.5, Decimal("0.10000000000000000001"), "EUR"), Charge(2, "m", 1, 3))
    run.write(trials=[Trial(0, {"x": 1}, charges=charges), Trial(1, {"x": 2})])
    assert [trial.charges for trial in run.trials()] == [charges, ()]


def test_a_store_of_before_is_raised_and_read_where_it_cannot_be(run, monkeypatch):
    run.write(trials=[Trial(0, {"x": 1})])
    run.store.close()
    lower(run.path, 2)
    with monkeypatch.context() as patch:
        patch.setattr("cloudtune.store.database.is_writable", lambda path: False)
        assert run.trials()[0].charges == ()
    run.store.close()
    del run.store.__dict__["trial_columns"]
    run.write(trials=[Trial(0, {"x": 1}, charges=(Charge(1, "m", 1, 3),))])
    assert run.trials()[0].charges == (Charge(1, "m", 1, 3),)


@pytest.mark.parametrize(
    "text", ['[[1, "m"]]', "{}}", '[["1", "m", 1, 3, "", ""]]', '[[1, "m", 1, 3, "much", "USD"]]', "[3]"]
)
def test_damaged_charges_are_said_to_be(run, text):
    run.write(trials=[Trial(0, {})])
    run.store.database.execute("UPDATE trials SET charges = ?", [text])
    with pytest.raises(DamagedRun, match="trial 0: charges"):
        run.trials()


def test_a_plan_keeps_its_rates():
    plan = Plan("sagemaker", "driven", {}, rates=(GPU, CPU))
    assert Plan.from_data(plan.to_data()) == plan
    older = {name: value for name, value in plan.to_data().items() if name != "rates"}
    assert Plan.from_data(older).rates == ()


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("1234.5", "1,234.50 USD"),
        ("0", "0.00 USD"),
        ("0.00123", "0.0012 USD"),
        ("0.0000123", "0.000012 USD"),
        ("0.05", "0.0500 USD"),
        ("1", "1.00 USD"),
    ],
)
def test_money_for_people(amount, text):
    assert format_money(Decimal(amount), "USD") == text


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def dollars(kept: float) -> Meter:
    """A dollar a second."""
    return Meter(Machines("m", kept=kept), [Rate("m", Decimal(3600), "USD")])


def ended(meter, machines, number, seconds):
    trial = Trial(number, {}, attempt=1)
    with_charge(trial, charge := meter.charge(1, seconds, kept=meter.tail()))
    machines.add(trial, charge)
    return trial


def test_machines_that_are_kept_for_a_time_are_paid_for_it_until_the_next_trial_takes_them():
    clock, meter = Clock(), dollars(kept=60)
    machines = KeptMachines(meter, clock)
    first = ended(meter, machines, 0, 10)
    assert first.cost == 70  # nothing else is known yet to take them
    clock.now = 12.5
    trial, before, after = machines.take()
    assert (trial, before.amount, after.amount) == (first, 70, Decimal("22.5"))
    assert (first.charges[0].seconds, first.charges[0].kept) == (10, 12.5)
    second = ended(meter, machines, 1, 5)
    clock.now = 100  # too late: they are gone, and paid
    assert machines.take() is None
    assert list(machines.let_go()) == []
    assert first.cost + second.cost == Decimal("87.5")


def test_machines_that_stay_until_the_run_ends_are_paid_until_then():
    clock, meter = Clock(), dollars(kept=float("inf"))
    machines = KeptMachines(meter, clock)
    first, second = (ended(meter, machines, number, 10) for number in range(2))
    assert first.cost + second.cost == 20
    clock.now = 30
    machines.take()
    clock.now = 50
    assert [trial for trial, _, _ in machines.let_go()] == [second]
    assert (first.cost, second.cost) == (40, 60)


def test_machines_that_are_given_back_at_the_runs_end_are_paid_until_then():
    clock, meter = Clock(), dollars(kept=60)
    machines = KeptMachines(meter, clock)
    early = ended(meter, machines, 0, 10)
    clock.now = 70  # these have gone
    late = ended(meter, machines, 1, 10)
    clock.now = 75
    assert [trial for trial, _, _ in machines.let_go()] == [late]
    assert (early.cost, late.cost) == (70, 15)


def test_of_several_machines_those_are_taken_that_the_trial_has_each_for_as_long_as_it_is_kept():
    rates = [Rate("a", Decimal(3600), "USD", kept=60.0), Rate("b", Decimal(7200), "USD", kept=float("inf"), count=2)]
    meter = Meter(Machines("a or b"), [*rates, Rate("c", Decimal(1), "USD")])
    machines, trials = KeptMachines(meter, clock := Clock()), [Trial(number, {}, attempt=1) for number in range(3)]
    for trial, machine in zip(trials, "abc", strict=True):
        with_charge(trial, charge := meter.charge(1, 10, machine, meter.tail(machine)))
        machines.add(trial, charge)
    assert [trial.cost for trial in trials[:2]] == [70, 40]
    clock.now = 20
    assert machines.take("c") is None
    assert machines.take("a")[0] is trials[0]
    assert machines.take("a") is None
    assert [trial for trial, _, _ in machines.let_go()] == [trials[1]]
    assert [trial.cost for trial in trials[:2]] == [30, 120]
    assert [Rate.from_data(json.loads(json.dumps(rate.to_data()))) for rate in rates] == rates
    assert meter.most(1) == 61


def test_machines_that_go_with_their_trial_are_not_waited_with():
    machines = KeptMachines(meter := dollars(kept=0.0), Clock())
    assert ended(meter, machines, 0, 10).cost == 10
    assert machines.take() is None


@pytest.mark.parametrize("kept", [0.0, 90.0, float("inf")])
def test_a_plan_knows_how_long_its_machines_stay(kept):
    plan = Plan("toy", "driven", {}, machines=Machines("m", kept=kept))
    assert Plan.from_data(json.loads(json.dumps(plan.to_data()))) == plan
