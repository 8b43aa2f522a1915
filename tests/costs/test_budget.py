"""What a budget allows: over random schedules it is exceeded by no more than what was in flight."""

from decimal import Decimal

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune.costs.budget import Budget
from cloudtune.costs.meter import Meter
from cloudtune.planning.plan import Machines
from cloudtune.planning.rates import Rate
from cloudtune.spec.money import Money, parse_money

A_DOLLAR_A_SECOND = Meter(Machines("m"), [Rate("m", Decimal(3600), "USD")])


def budget(limit: float, longest: float | None = None) -> Budget:
    return Budget(Money(Decimal(str(limit)), "USD"), A_DOLLAR_A_SECOND, longest)


def test_one_trial_may_always_run():
    one = budget(1, longest=60)
    assert one.fits()
    one.start(0, lambda: 0.0)
    assert not one.fits()


def test_at_first_a_trial_is_expected_to_take_as_long_as_it_may():
    one = budget(10, longest=4)
    for number in range(2):
        assert one.fits()
        one.start(number, lambda: 1.0)
    assert not one.fits()  # 4 + 4 + 4 is more than 10


def test_then_as_long_as_the_longest_so_far():
    one = budget(10, longest=4)
    one.charge(A_DOLLAR_A_SECOND.charge(1, 1.5))
    one.start(0, lambda: 3.0)
    one.start(1, lambda: 0.5)
    assert one.fits()  # 1.5 + 3 + 1.5 + 1.5
    one.start(2, lambda: 0.0)
    assert one.fits()  # exactly 9
    one.start(3, lambda: 0.0)
    assert not one.fits()


def test_a_driver_on_a_machine_of_its_own_spends_from_the_same_budget():
    driven = [0.0]
    one = Budget(Money(Decimal(10)), A_DOLLAR_A_SECOND, 4, lambda ahead: Decimal(str(driven[0] + ahead)) / 10)
    one.start(0, lambda: 1.0)
    assert one.fits()  # 0.4 + 4 + 4
    driven[0] = 20.0
    assert not one.fits()  # 2.4 + 4 + 4
    assert not one.reached(6)  # 1 + 6 + 2.6
    driven[0] = 30.0
    assert one.reached(6)  # 1 + 6 + 3.6
    assert str(one) == "4.00 of 10.00 USD"


def test_a_trial_is_expected_to_cost_as_much_as_on_the_dearest_machine_and_then_what_its_own_costs():
    rates = [Rate("m", Decimal(3600), "USD"), Rate("big", Decimal(3600), "USD", count=3)]
    one = Budget(Money(Decimal(10)), Meter(Machines("m"), rates), 2)
    one.start(0, lambda: 2.0, "m")
    assert one.fits()  # 2 + 6
    one.start(1, lambda: 1.0, "big")
    assert one.in_flight() == 5
    assert not one.fits()
    one.start(2, lambda: 100.0, "of which no price is known")
    assert one.in_flight() == 5


def test_the_limit_is_reached_by_what_runs_too():
    one = budget(10)
    one.charge(A_DOLLAR_A_SECOND.charge(1, 4))
    one.start(0, lambda: 5.9)
    assert not one.reached()
    assert one.reached(ahead=0.1)
    assert one.message == "the budget is spent: 9.90 of 10.00 USD (limits.cost)"
    one.end(0)
    assert not one.reached(ahead=100)
    one.charge(A_DOLLAR_A_SECOND.charge(2, 5.9))
    assert one.message == "the budget is spent: 9.90 of 10.00 USD, and another trial may cost 5.90 USD (limits.cost)"


@settings(max_examples=examples(200))
@given(
    st.floats(1, 60),
    st.integers(1, 6),
    st.none() | st.floats(1, 20),
    st.lists(st.floats(0.1, 20), min_size=1, max_size=40),
)
def test_a_budget_is_exceeded_by_no_more_than_was_in_flight_when_it_was_reached(limit, parallel, longest, durations):
    """Simulate a driver that looks once a second, ends what runs when the limit is reached, and starts what fits."""
    one, running, now = budget(limit, longest), dict[int, tuple[float, float]](), [0.0]
    waiting = [min(each, longest or each) for each in durations]
    while waiting or running:
        while waiting and len(running) < parallel and one.fits():
            running[number := len(waiting)] = (now[0], waiting.pop())
            one.start(number, lambda started=now[0]: now[0] - started)
        if not running:
            break
        now[0] += 1.0
        ended = [number for number, (started, length) in running.items() if now[0] - started >= length or one.reached()]
        if ended and one.reached():
            assert one.spent < one.limit or not running  # all above the limit is of trials that ran when it was reached
            assert one.spent + one.in_flight() <= one.limit + len(running)  # a second of each: until somebody looked
        for number in ended:
            started, length = running.pop(number)
            one.end(number)
            one.charge(A_DOLLAR_A_SECOND.charge(1, min(now[0] - started, length)))
    assert one.spent <= one.limit + parallel


@pytest.mark.parametrize("text", ["USD 5 EUR", "-1", "0", "many", True, "1e3", "nan"])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(ValueError, match="amount"):
        parse_money(text)


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        (50, "50", ""),
        ("USD 50", "50", "USD"),
        ("12.50 eur", "12.50", "EUR"),
        ("$0.5", "0.5", "USD"),
        ("7 €", "7", "EUR"),
    ],
)
def test_amounts_as_people_write_them(text, amount, currency):
    assert parse_money(text) == Money(Decimal(amount), currency)
    assert parse_money(str(parse_money(text))) == parse_money(text)
