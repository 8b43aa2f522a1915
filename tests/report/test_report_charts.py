"""The charts of the report: what they draw, where, and what they leave out."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune.planning.plan import Plan
from cloudtune.report import charts, costs, parameters, tables
from cloudtune.report.figures import Chart, Parallel, ParallelAxis, Series
from cloudtune.report.looks import value_axis
from cloudtune.report.study import MAX_CURVES, MAX_STEPS, Study, choose, study_of
from cloudtune.report.words import count, options, short
from cloudtune.run import Run
from cloudtune.space.space import Values
from cloudtune.spec.job import TuningJob
from cloudtune.spec.units import brief_duration
from cloudtune.store.records import Charge, Report, RunRecord, RunState, Trial, TrialState

COMPLETED, PRUNED, FAILED = TrialState.COMPLETED, TrialState.PRUNED, TrialState.FAILED
SPACE = {
    "x": {"type": "float", "low": 0, "high": 1},
    "kind": {"type": "categorical", "values": ["a", "b"]},
    "size": {"type": "int", "low": 1, "high": 4, "when": {"kind": "b"}},
}


def study(trials: list[Trial], *, goal: str = "minimize", space: dict[str, Any] | None = None, **more: Any) -> Study:
    """A study of the objective ``loss``."""
    job = TuningJob.from_data(
        {
            "name": "job",
            "trial": {"command": "train"},
            "objective": {"metric": "loss", "goal": goal},
            "space": space or SPACE,
            "limits": {"trials": 100},
        }
    )
    record = RunRecord("job-1", "job", "local", "local", "", "", RunState.COMPLETED, "", 0.0, 0.0, 1000.0, 1000.0)
    return Study(record, job, Plan("local", "driven", {}), trials, **more)


def trial(
    number: int, loss: float | None, state: TrialState = COMPLETED, values: Values | None = None, **more: Any
) -> Trial:
    """A trial that ended at the second of its number unless something else is said."""
    metrics = {} if loss is None else {"loss": loss}
    times = {"attempt": 1, "started": float(number), "ended": number + 1.0} | more
    return Trial(number, {"x": 0.5, "kind": "a"} if values is None else values, state, metrics, **times)


def named(chart: Chart | None) -> dict[str, Series]:
    """The series of a chart by their names."""
    assert chart is not None
    return {series.name: series for series in chart.series}


def axes_of(chart: Parallel | None) -> dict[str, ParallelAxis]:
    """The axes of parallel coordinates by their labels."""
    assert chart is not None
    return {axis.label: axis for axis in chart.axes}


# The course of the objective


def test_trials_stand_in_the_order_in_which_they_ended() -> None:
    found = named(charts.history(study([trial(0, 3.0, ended=9.0), trial(1, 2.0, ended=5.0), trial(2, 1.0, ended=7.0)])))
    assert found["completed"].trials == [1, 2, 0]
    assert found["completed"].x == [1, 2, 3]


@pytest.mark.parametrize(("goal", "line"), [("minimize", [3.0, 1.0, 1.0]), ("maximize", [3.0, 4.0, 4.0])])
def test_the_best_so_far_follows_the_goal_and_only_completed_trials(goal: str, line: list[float]) -> None:
    trials = [trial(0, 3.0), trial(1, 4.0), trial(2, 0.5, PRUNED), trial(3, 9.0, PRUNED), trial(4, 1.0), trial(5, 2.0)]
    found = named(charts.history(study(trials, goal=goal)))
    assert found["best so far"].y == line
    assert found["best so far"].x[-1] == len(trials)


@pytest.mark.parametrize(("goal", "edge"), [("minimize", 3.0), ("maximize", 1.0)])
def test_trials_without_a_value_stand_at_the_worse_edge(goal: str, edge: float) -> None:
    trials = [trial(0, 1.0), trial(1, 3.0), trial(2, 0.0, FAILED), trial(3, math.nan, PRUNED)]
    chart = charts.history(study(trials, goal=goal))
    assert named(chart)["failed"].y == [edge]
    assert named(chart)["pruned"].y == [edge]
    assert chart is not None
    assert "2 trials without a value" in chart.caption


def test_every_state_has_a_symbol_of_its_own() -> None:
    trials = [trial(number, 1.0, state) for number, state in enumerate(TrialState) if state.ended]
    symbols = [each.symbol for each in named(charts.history(study(trials))).values() if each.mark == "points"]
    assert len(symbols) == len(set(symbols)) == 4


def test_an_outlier_leaves_what_is_seen_and_the_caption_says_so() -> None:
    values = [0.5 + 0.01 * number for number in range(20)] + [40.0]
    axis = value_axis(values, "minimize")
    assert axis.limits is not None
    low, high = axis.limits
    assert low < min(values)
    assert values[-2] < high < values[-1]
    assert "Outliers" in axis.remark


def test_losses_of_many_magnitudes_get_a_log_axis() -> None:
    axis = value_axis([10.0**-power for power in range(6)], "minimize")
    assert axis.log
    assert axis.limits is None
    assert "logarithmic" in axis.remark


@given(st.lists(st.floats(), max_size=30), st.sampled_from(["minimize", "maximize"]))
@settings(max_examples=examples(100))
def test_every_axis_shows_the_best_value(values: list[float], goal: str) -> None:
    axis = value_axis(values, goal)
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        assert axis.low is axis.limits is None
        return
    assert axis.low is not None
    assert axis.high is not None
    assert axis.low <= (min(finite) if goal == "minimize" else max(finite)) <= axis.high


# Several objectives


def test_the_front_is_told_from_what_is_beaten() -> None:
    job = TuningJob.from_data(
        {
            "name": "job",
            "trial": {"command": "train"},
            "objective": [{"metric": "loss", "goal": "minimize"}, {"metric": "speed", "goal": "maximize"}],
            "space": SPACE,
            "limits": {"trials": 9},
        }
    )
    points = [(1.0, 1.0), (2.0, 5.0), (2.0, 4.0), (3.0, 5.0)]
    trials = [trial(number, loss) for number, (loss, _) in enumerate(points)]
    for each, (_, speed) in zip(trials, points, strict=True):
        each.metrics["speed"] = speed
    (chart,) = charts.front(Study(study([]).record, job, Plan("local", "driven", {}), trials))
    assert named(chart)["Pareto front"].trials == [0, 1]
    assert named(chart)["beaten by another"].trials == [2, 3]


def test_a_single_objective_has_no_front() -> None:
    assert charts.front(study([trial(0, 1.0)])) == []


# Importance


def test_importance_says_why_it_is_not_shown() -> None:
    few = charts.importances(study([trial(0, 1.0)]))
    alike = charts.importances(study([trial(number, 1.0) for number in range(12)]))
    fixed = {"x": {"type": "constant", "value": 1}}
    constant = charts.importances(study([trial(number, 1.0, values={"x": 1}) for number in range(12)], space=fixed))
    assert few == "Not shown: it takes at least 10 completed trials; there are 1."
    assert isinstance(alike, str)
    assert "no parameter sets the best trials apart" in alike
    assert constant == "Not shown: no parameter varies."


# Parameters


def test_an_absent_parameter_stands_below_its_axis() -> None:
    trials = [trial(0, 1.0), trial(1, 2.0, values={"x": 0.1, "kind": "b", "size": 4})]
    chart = parameters.parallel(study(trials))
    assert chart is not None
    axes = axes_of(chart)
    assert axes["size"].values == [0.875, -0.12]  # the best is drawn last
    assert [text for _, text in axes["size"].ticks] == ["absent", "1", "2", "3", "4"]
    assert axes["size"].limits[0] < -0.12
    assert "absent" not in [text for _, text in axes["x"].ticks]
    assert axes["loss"].values == [2.0, 1.0]
    assert chart.trials == [1, 0]
    assert chart.shades == [0.0, 1.0]


def test_a_value_that_the_space_does_not_have_is_drawn_as_absent() -> None:
    chart = parameters.parallel(study([trial(0, 1.0), trial(1, 2.0, values={"x": 7.0, "kind": "zzz"})]))
    assert chart is not None
    axes = axes_of(chart)
    assert axes["x"].values == [-0.12, 0.5]


def test_many_parameters_are_cut_to_the_most_important() -> None:
    space = {f"x{index}": {"type": "float", "low": 0, "high": 1} for index in range(40)}
    values = [{name: (number * (index + 3) % 41) / 41 for index, name in enumerate(space)} for number in range(60)]
    trials = [trial(number, (each["x39"] - 0.5) ** 2, values=dict(each)) for number, each in enumerate(values)]
    found = study(trials, space=space)
    chart, shown = parameters.parallel(found), parameters.slices(found)
    assert chart is not None
    labels = [axis.label for axis in chart.axes]
    assert len(labels) == parameters.MAX_AXES + 1
    assert "x39" in labels
    assert "12 most important" in chart.caption
    assert len(shown) == parameters.MAX_SLICES
    assert "30 most important" in parameters.slices_caption(found, shown)


def test_the_slices_share_one_range_of_the_objective() -> None:
    trials = [trial(0, 1.0), trial(1, 2.0, values={"x": 0.1, "kind": "b", "size": 4})]
    limits = [chart.y.limits for _, chart in parameters.slices(study(trials))]
    assert len(limits) == 3
    assert limits[0] == limits[1] == limits[2]
    assert limits[0] is not None
    assert limits[0][0] < 1.0
    assert limits[0][1] > 2.0


def test_categories_with_enough_trials_have_a_box() -> None:
    trials = [trial(number, float(number)) for number in range(5)]
    found = dict(parameters.slices(study(trials)))["kind"].series
    assert [(each.x, each.y, each.far) for each in found if each.mark == "boxes"] == [([0.25], [2.0], [(0.0, 4.0)])]


def test_equal_categories_are_spread_within_their_own_part_of_the_axis() -> None:
    trials = [trial(number, float(number)) for number in range(40)]
    points = dict(parameters.slices(study(trials)))["kind"].series[-1].x
    assert len(set(points)) == 40
    assert all(point is not None and 0.0 < point < 0.5 for point in points)


# Learning curves


class Reporting:
    """A run of which the report asks what its trials reported."""

    def __init__(self, base: Study, reports: list[Report]) -> None:
        self.record, self.job, self.plan = base.record, base.job, base.plan
        self._trials, self._reports = list(base.trials), reports

    def trials(self) -> list[Trial]:
        return self._trials

    def reports(self, number: int | None = None) -> Iterator[Report]:
        return (each for each in self._reports if each.number == number)

    def events(self) -> list[tuple[float, int | None, str]]:
        return []


def gathered(trials: list[Trial], reports: list[Report]) -> Study:
    return study_of(cast("Run", Reporting(study(trials), reports)))


def test_a_curve_is_what_the_last_attempt_reported_by_step() -> None:
    reports = [
        Report(0, 1, 1, 0.0, {"loss": 9.0}),
        Report(0, 1, 2, 0.0, {"loss": 8.0}),
        Report(0, 2, 2, 0.0, {"loss": 2.0}),
        Report(0, 2, 1, 0.0, {"loss": 4.0, "other": 1.0}),
        Report(0, 2, 2, 0.0, {"loss": 3.0}),
        Report(0, 2, 3, 0.0, {"other": 1.0}),
    ]
    assert gathered([trial(0, 3.0, attempt=2)], reports).curves == {0: [(1, 4.0), (2, 3.0)]}


def test_trials_that_reported_once_have_no_curve() -> None:
    found = gathered([trial(0, 1.0)], [Report(0, 1, 1, 0.0, {"loss": 1.0})])
    assert found.curves == {}
    assert charts.curves(found) is None


def test_the_best_curve_is_thick_and_pruned_ones_are_dotted() -> None:
    trials = [trial(0, 1.0), trial(1, 3.0, PRUNED), trial(2, 2.0), trial(3, None, FAILED)]
    reports = [Report(number, 1, step, 0.0, {"loss": 3.0 / step}) for number in range(4) for step in (1, 2)]
    found = named(charts.curves(gathered(trials, reports)))
    assert found["best: trial 0"].size > found["completed"].size
    assert found["pruned"].dash == "dot"
    assert found["failed"].dash == "dash"


def test_of_many_curves_some_are_drawn_and_the_best_and_pruned_ones_are_among_them() -> None:
    trials = [trial(number, 1000.0 - number, PRUNED if number % 2 else COMPLETED) for number in range(600)]
    reports = [Report(number, 1, step, 0.0, {"loss": 1.0}) for number in range(600) for step in (1, 2)]
    found = gathered(trials, reports)
    assert len(found.curves) == MAX_CURVES
    assert {598, 596} <= set(found.curves)
    assert sum(number % 2 for number in found.curves) >= MAX_CURVES // 4
    chart = charts.curves(found)
    assert chart is not None
    assert "200 of the trials" in chart.caption


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    reports = [Report(0, 1, step, 0.0, {"loss": 1.0 / step}) for step in range(1, 5001)]
    curve = gathered([trial(0, 1.0)], reports).curves[0]
    assert len(curve) == MAX_STEPS
    assert (curve[0][0], curve[-1][0]) == (1, 5000)


def test_a_gap_is_left_where_a_value_is_not_finite() -> None:
    reports = [Report(0, 1, step, 0.0, {"loss": loss}) for step, loss in enumerate([1.0, math.nan, math.inf, 2.0])]
    chart = charts.curves(gathered([trial(0, 2.0)], reports))
    assert named(chart)["best: trial 0"].y == [1.0, None, None, 2.0]


# The timeline


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 50)), min_size=1, max_size=40))
@settings(max_examples=examples(60))
def test_bars_of_the_timeline_never_overlap_and_take_no_more_rows_than_ran_at_once(
    spans: list[tuple[int, int]],
) -> None:
    trials = [
        trial(number, 1.0, started=float(begin), ended=float(begin + length))
        for number, (begin, length) in enumerate(spans)
    ]
    bars = named(charts.timeline(study(trials)))["completed"]
    rows: dict[float | None, list[tuple[float, float]]] = {}
    for row, begin, end in zip(bars.y, bars.low, bars.high, strict=True):
        rows.setdefault(row, []).append((begin, end))
    for lane in rows.values():
        lane.sort()
        assert all(left[1] <= right[0] + 1e-9 for left, right in itertools.pairwise(lane))
    most = max(sum(begin <= at < begin + length for begin, length in spans) for at, _ in spans)
    assert len(rows) == most


def test_the_timeline_speaks_in_a_unit_that_suits() -> None:
    day = 86_400.0
    short_run, long_run = (
        charts.timeline(study([trial(0, 1.0)])),
        charts.timeline(study([trial(0, 1.0, ended=10 * day)])),
    )
    assert short_run is not None
    assert long_run is not None
    assert short_run.x.title.startswith("seconds")
    assert long_run.x.title.startswith("days")


def test_nothing_that_started_has_no_timeline() -> None:
    assert charts.timeline(study([trial(0, None, TrialState.WAITING, started=None, ended=None)])) is None


# Choosing and writing


@given(st.integers(0, 300), st.integers(1, 100))
def test_a_choice_keeps_the_best_half_and_spreads_over_the_rest(many: int, most: int) -> None:
    trials = [trial(number, 1.0) for number in range(many)]
    chosen = [each.number for each in choose(trials, most)]
    assert len(chosen) == min(many, most)
    assert chosen == sorted(set(chosen))
    assert chosen[: most // 2] == list(range(min(many, most // 2)))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.9, "1m 00s"),
        (61, "1m 01s"),
        (7500, "2h 05m"),
        (200_000, "2d 7h"),
        (None, ""),
    ],
)
def test_time_spans_read_as_people_say_them(seconds: float | None, text: str) -> None:
    assert brief_duration(seconds) == text


def test_counts_and_long_texts_read_well() -> None:
    assert [count(many, "trial") for many in (0, 1, 1200)] == ["0 trials", "1 trial", "1,200 trials"]
    assert short("abcdef", 4) == "abc…"
    assert short("abcd", 4) == "abcd"


def test_long_options_go_on_several_lines_that_a_shell_takes_as_one() -> None:
    text = options({f"parameter_{index}": "a value" for index in range(9)})
    assert text.count(" \\\n") == 8
    assert options({"x": 1.5, "flag": True, "none": None}) == "--x 1.5 --flag true --none null"


# What was spent


def charge(attempt: int, amount: str | None) -> Charge:
    known = (Decimal(amount), "EUR") if amount else (None, "")
    return Charge(attempt, "m", 1, 60.0, *known)


def spending(limit: object, *trials: Trial) -> tuple[dict[str, Series], Chart]:
    plain = study(list(trials))
    limits = {"limits": {"trials": 9, **({} if limit is None else {"cost": limit})}}
    chart = costs.spending(replace(plain, job=TuningJob.from_data({**plain.job.to_data(), **limits})))
    assert chart is not None
    return named(chart), chart


RETRIED = trial(1, 2.0, attempt=2, started=40.0, ended=70.0, charges=(charge(1, "0.5"), charge(2, "1")))


def test_what_is_spent_adds_up_when_attempts_end() -> None:
    first = trial(0, 1.0, started=10.0, ended=100.0, charges=(charge(1, "2.25"),))
    found, chart = spending(None, first, RETRIED, trial(2, None, FAILED, started=100.0, ended=990.0))
    assert found["spent"].x == pytest.approx([0.0, 0.5, 1.0, 1.5, 16.5])  # minutes since the tenth second
    assert found["spent"].y == [0.0, 0.5, 1.5, 3.75, 3.75]
    assert found["completed"].trials == [1, 1, 0]
    assert "budget" not in found
    assert chart.caption.endswith("3.75 EUR.")
    assert chart.y.title == "spent, EUR"


@pytest.mark.parametrize(("limit", "seen"), [("EUR 2", True), (6, True), (6.01, False)])
def test_the_budget_is_a_line_unless_it_would_flatten_what_is_spent(limit: object, seen: bool) -> None:
    found, chart = spending(limit, RETRIED)
    budget = float(str(limit).removeprefix("EUR "))
    assert found["budget"].y == [budget] * 2
    assert chart.y.limits is not None
    assert (budget < chart.y.limits[1]) is seen
    assert ("outside of the axis" not in chart.caption) is seen


def test_what_nobody_knows_the_price_of_has_no_chart_of_costs() -> None:
    assert costs.spending(study([trial(0, 1.0, charges=(charge(1, None),))])) is None
    assert costs.spending(study([])) is None


def test_the_table_has_a_column_of_costs_where_something_was_charged() -> None:
    unpriced = trial(0, 1.0, charges=(charge(1, None),))
    table: dict[str, Any] = tables.trial_table(study([unpriced, RETRIED]))
    assert table["cost"] == [table["columns"].index("cost"), "EUR"]
    assert [row[table["cost"][0]] for row in table["rows"]] == [None, 1.5]
    own: dict[str, Any] = tables.trial_table(study([replace(RETRIED, metrics={"loss": 1.0, "cost": 7.0})]))
    assert [own["columns"][at] for at in (3, own["cost"][0])] == ["cost", "spent"]
    without: dict[str, Any] = tables.trial_table(study([unpriced]))
    assert without["cost"] is None
    assert "cost" not in without["columns"]
