"""Stopping rules, against tables worked out by hand."""

import random
import statistics
from collections.abc import Iterable

import pytest
from late import LATE

from cloudtune.search import StoppingRule, rule_for
from cloudtune.search.stopping.rules import AshaRule, BanditRule, MedianRule, TruncationRule
from cloudtune.spec.job import TuningJob
from cloudtune.store.records import TrialState

if LATE:
    from cloudtune.search.stopping.curves import CurveRule


def stopped(rule: StoppingRule, reports: Iterable[tuple[int, int, float]]) -> list[tuple[int, int]]:
    """Which trials are stopped at which step, of reports (trial, step, loss)."""
    return [(number, step) for number, step, loss in reports if rule.observe(number, step, loss)]


def curve(number: int, losses: list[float]) -> list[tuple[int, int, float]]:
    return [(number, step, loss) for step, loss in enumerate(losses, 1)]


GOOD = [*curve(0, [5, 4, 3]), *curve(1, [6, 5, 4]), *curve(2, [7, 6, 5])]
# Running averages at steps 1, 2, 3: 5, 4.5, 4 / 6, 5.5, 5 / 7, 6.5, 6; their medians: 6, 5.5, 5.


def test_median_stops_what_is_worse_than_the_median_of_running_averages() -> None:
    rule = MedianRule(grace=0, interval=1)
    assert stopped(rule, GOOD) == []
    assert stopped(rule, curve(3, [6.0, 5.5, 5.0])) == [], "as good as the median goes on"
    assert stopped(rule, curve(4, [6.1])) == [(4, 1)]


def test_median_judges_the_best_value_of_a_trial_not_its_last() -> None:
    rule = MedianRule(grace=0, interval=1)
    stopped(rule, GOOD)
    assert stopped(rule, curve(3, [2.0, 9.0, 9.0])) == []


def test_median_waits_for_three_others_for_its_grace_and_its_interval() -> None:
    rule = MedianRule(grace=0, interval=1)
    assert stopped(rule, [*curve(0, [1]), *curve(1, [1]), *curve(2, [9])]) == []
    rule = MedianRule(grace=1, interval=2)
    stopped(rule, [*GOOD, (0, 4, 2.0), (1, 4, 2.0), (2, 4, 2.0), (0, 5, 2.0), (1, 5, 2.0), (2, 5, 2.0)])
    assert stopped(rule, curve(3, [9.0] * 5)) == [(3, 3), (3, 5)]


@pytest.mark.parametrize(
    ("maximize", "best", "allowed", "bad"),
    [
        (True, 0.9, 0.76, 0.74),  # Azure: 0.9 / 1.2 = 0.75
        (False, 0.5, 0.59, 0.61),  # 0.5 · 1.2 = 0.6
        (True, -1.0, -1.19, -1.21),
        (False, -1.2, -1.01, -0.99),  # -1.2 / 1.2 = -1
    ],
)
def test_bandit_with_a_factor_allows_a_ratio_of_the_best(
    maximize: bool, best: float, allowed: float, bad: float
) -> None:
    sign = -1 if maximize else 1
    rule = BanditRule(0, 1, slack_factor=0.2, slack_amount=None, maximize=maximize)
    assert stopped(rule, [(0, 1, sign * best), (1, 1, sign * allowed), (2, 1, sign * bad)]) == [(2, 1)]


def test_bandit_with_an_amount_allows_a_distance_from_the_best() -> None:
    rule = BanditRule(0, 1, slack_factor=None, slack_amount=0.5, maximize=False)
    assert stopped(rule, [(0, 1, 1.0), (1, 1, 1.5), (2, 1, 1.51)]) == [(2, 1)]


def test_bandit_compares_what_the_others_had_by_the_same_step() -> None:
    rule = BanditRule(0, 1, slack_factor=None, slack_amount=0.5, maximize=False)
    assert stopped(rule, [*curve(0, [3.0, 0.1]), *curve(1, [3.4, 3.0])]) == [(1, 2)]


def test_truncation_stops_the_worst_share_at_a_step() -> None:
    rule = TruncationRule(0, 1, 25)
    reports = [(number, 1, float(number)) for number in range(8)]
    # of 4, 5, 6, 7 values one is truncated, of 8 two; each comes as the worst so far
    assert stopped(rule, reports) == [(number, 1) for number in range(3, 8)]
    assert stopped(rule, [(8, 1, 3.5)]) == []


def test_asha_lets_one_in_eta_go_on_at_every_rung() -> None:
    rule = AshaRule(1, 9, 3)
    assert stopped(rule, [(0, 1, 5.0), (1, 1, 6.0)]) == [], "too few to compare"
    assert stopped(rule, [(2, 1, 4.0), (3, 1, 5.5), (4, 1, 3.0)]) == [(3, 1)]
    assert stopped(rule, [(2, 2, 9.0)]) == [], "between the rungs nobody is judged"
    assert stopped(rule, [(2, 3, 4.0), (4, 3, 5.0), (0, 3, 6.0)]) == [(0, 3)]
    assert stopped(rule, [(2, 9, 99.0)]) == [], "at the maximum a trial is complete"


def test_asha_counts_a_trial_that_skips_steps_at_the_last_rung_it_passed() -> None:
    rule = AshaRule(1, None, 2)
    assert stopped(rule, [(0, 5, 1.0), (1, 4, 2.0)]) == [(1, 4)]


@pytest.mark.parametrize(
    "rule",
    [MedianRule(0, 1), BanditRule(0, 1, slack_factor=0.1, slack_amount=None, maximize=False), TruncationRule(0, 1, 50)],
)
def test_repeated_steps_and_values_that_are_no_numbers_are_ignored(rule: StoppingRule) -> None:
    stopped(rule, GOOD)
    nan, inf = float("nan"), float("inf")
    assert stopped(rule, [(5, 1, nan), (5, 2, inf), (5, 3, -inf), (0, 3, 99.0), (0, 2, 99.0)]) == []


def test_a_trial_that_starts_again_is_judged_by_its_new_reports() -> None:
    rule = MedianRule(0, 1)
    stopped(rule, GOOD)
    rule.observe(3, 1, 5.0)
    rule.ended(3, TrialState.FAILED)
    assert stopped(rule, [(3, 1, 9.0)]) == [(3, 1)]


def test_the_running_median_is_the_median() -> None:
    source = random.Random(4)
    rule, averages = MedianRule(0, 1), []
    for number in range(200):
        loss = source.gauss(0, 1)
        expected = len(averages) >= 3 and loss > statistics.median(averages)
        assert rule.observe(number, 1, loss) is expected
        averages.append(loss)


@pytest.mark.parametrize("stopping", [
    {"type": "median"}, {"type": "bandit", "slack_factor": 0.1}, {"type": "truncation", "percentage": 20}, {"type": "asha"}, {"type": "auto"},
])  # fmt: skip
def test_every_rule_of_the_spec_can_be_made_and_bears_a_long_run(stopping: dict[str, object]) -> None:
    job = TuningJob.from_data(
        {"name": "j", "trial": {"command": "x"}, "objective": {"metric": "m", "goal": "maximize"}, "stopping": stopping,
         "space": {"x": {"type": "float", "low": 0, "high": 1}}, "limits": {"trials": 1}}
    )  # fmt: skip
    rule = rule_for(job)
    assert rule is not None
    source = random.Random(1)
    stops = sum(rule.observe(number, step, source.random()) for number in range(300) for step in range(1, 30))
    assert stops > 0


def test_hyperband_brings_its_own_rule_and_a_job_without_one_has_none() -> None:
    data = {"name": "j", "trial": {"command": "x"}, "objective": {"metric": "m", "goal": "maximize"},
            "space": {"x": {"type": "float", "low": 0, "high": 1}}, "limits": {"trials": 1}}  # fmt: skip
    assert rule_for(TuningJob.from_data(data)) is None
    hyperband = TuningJob.from_data({**data, "strategy": {"type": "hyperband", "max_resource": 27}})
    assert isinstance(rule_for(hyperband), AshaRule)


# Curves


def completed(rule: StoppingRule, number: int, losses: list[float]) -> None:
    stopped(rule, curve(number, losses))  # whatever it says: this trial is let go on
    rule.ended(number, TrialState.COMPLETED)


def test_a_curve_that_will_not_become_the_best_is_stopped_and_one_that_may_is_not() -> None:
    """Ends are half of the loss at the first step, give or take 0.01; the best end is 0.5."""
    rule = CurveRule(grace=0, interval=1, probability=0.05)
    for number, (first, off) in enumerate(
        [(1.0, 0.0), (1.2, 0.01), (1.4, -0.01), (1.6, 0.0), (1.8, 0.01), (2.0, -0.01)]
    ):
        completed(rule, number, [first, 0.5 * first + off])
    assert stopped(rule, curve(10, [0.9])) == [], "it will end at 0.45"
    assert stopped(rule, curve(11, [1.01])) == [], "it may end below 0.5"
    assert stopped(rule, curve(12, [1.5])) == [(12, 1)], "it will end at 0.75"


def test_curves_say_nothing_before_five_have_come_to_their_end() -> None:
    rule = CurveRule(grace=0, interval=1, probability=0.5)
    for number in range(4):
        completed(rule, number, [1.0, 0.5])
    rule.observe(8, 1, 1.0)
    rule.ended(8, TrialState.PRUNED)
    rule.observe(9, 1, 1.0)
    rule.ended(9, TrialState.FAILED)
    assert stopped(rule, curve(10, [100.0])) == []


def test_a_diverged_trial_does_not_blind_the_curves() -> None:
    rule = CurveRule(grace=0, interval=1, probability=0.05)
    for number, first in enumerate([1.0, 1.1, 1.2, 1.3, 1.4, 1e300, 1.5]):
        completed(rule, number, [first, 0.5 * first])
    assert stopped(rule, curve(10, [1.6])) == [(10, 1)]
    assert stopped(rule, curve(11, [0.8])) == []


@pytest.mark.parametrize("seed", range(3))
def test_curves_spare_most_steps_of_a_study_and_keep_its_best(seed: int) -> None:
    """Power-law learning curves that cross; of 60 trials of 27 steps one after the other."""
    source = random.Random(seed)
    curves = []
    for _ in range(60):
        end, height, speed = source.uniform(0.1, 1.0), source.uniform(0.5, 2.0), source.uniform(0.3, 1.2)
        curves.append([end + height * step**-speed + source.gauss(0, 0.01) for step in range(1, 28)])
    rule = CurveRule(grace=2, interval=1, probability=0.05)
    steps, best = 0, float("inf")
    for number, losses in enumerate(curves):
        for step, loss in enumerate(losses, 1):
            steps += 1
            if rule.observe(number, step, loss):
                rule.ended(number, TrialState.PRUNED)
                break
        else:
            best = min(best, *losses)
            rule.ended(number, TrialState.COMPLETED)
    assert steps < 0.6 * 60 * 27
    assert best <= min(min(losses) for losses in curves) + 0.03
