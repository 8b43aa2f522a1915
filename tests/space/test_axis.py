"""Axes: the unit interval and the values of a parameter, there and back."""

import math
from collections import Counter
from statistics import NormalDist, mean, pstdev

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune.space.axes import NormalAxis, SteppedAxis, axis_of
from cloudtune.space.parameters import (
    Categorical,
    Constant,
    Float,
    Int,
    LogNormal,
    Normal,
    Ordinal,
    Parameter,
    Scalar,
    same_scalar,
)
from cloudtune.testing.specs import parameters

POSITIONS = [(index + 0.5) / 2000 for index in range(2000)]
positions = st.floats(0, 1)


def bounds(parameter: Parameter) -> tuple[float, float]:
    """The lowest and the highest number that a parameter of numbers may take."""
    low, high = getattr(parameter, "low", None), getattr(parameter, "high", None)
    slack = 1e-9 * (getattr(parameter, "step", None) or 0)  # steps that only miss the end by rounding count
    return (-math.inf if low is None else low - slack), (math.inf if high is None else high + slack)


@given(parameter=parameters(), position=positions)
@settings(max_examples=examples(500), deadline=None)
def test_a_value_keeps_its_position(parameter: Parameter, position: float) -> None:
    axis = axis_of(parameter)
    value = axis.at(position)
    found = axis.position(value)
    assert 0 <= found <= 1
    assert same_scalar(axis.at(found), value)


@given(parameter=parameters(), position=positions)
@settings(max_examples=examples(300), deadline=None)
def test_a_value_is_one_that_the_parameter_allows(parameter: Parameter, position: float) -> None:
    value = axis_of(parameter).at(position)
    match parameter:
        case Categorical(values=values) | Ordinal(values=values):
            assert any(same_scalar(value, known) for known in values)
        case Constant(value=known):
            assert same_scalar(value, known)
        case Int(low=low, high=high, step=step):
            assert isinstance(value, int)
            assert low <= value <= high
            assert (value - low) % step == 0
        case _:
            assert isinstance(value, float)
            low, high = bounds(parameter)
            assert low <= value <= high


@given(parameter=parameters(), one=positions, other=positions)
@settings(max_examples=examples(300), deadline=None)
def test_a_higher_position_never_gives_a_lower_value(parameter: Parameter, one: float, other: float) -> None:
    axis = axis_of(parameter)
    if isinstance(parameter, Categorical | Constant | Ordinal):
        return
    low, high = axis.at(min(one, other)), axis.at(max(one, other))
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    assert low <= high
    assert axis.ordered


@given(parameter=parameters(), levels=st.integers(1, 9))
@settings(max_examples=examples(300), deadline=None)
def test_a_grid_has_all_values_of_a_finite_axis_and_else_as_many_as_asked(parameter: Parameter, levels: int) -> None:
    axis = axis_of(parameter)
    grid = axis.grid(levels)
    assert len(grid) == (levels if axis.size is None else axis.size)
    for value in list(grid[:50] if isinstance(grid, tuple) else (grid[index] for index in range(min(len(grid), 50)))):
        assert same_scalar(axis.at(axis.position(value)), value)


def test_the_grid_of_a_continuum_holds_both_ends() -> None:
    assert axis_of(Float(low=1, high=100, scale="log")).grid(3) == (1.0, 10.0, 100.0)
    assert axis_of(Float(low=0, high=1)).grid(1) == (0.5,)


def test_a_huge_grid_takes_no_memory() -> None:
    grid = axis_of(Int(low=0, high=2**40)).grid(1)
    assert len(grid) == 2**40 + 1
    assert grid[2**40] == 2**40
    with pytest.raises(IndexError):
        grid[2**40 + 1]


@pytest.mark.parametrize(
    ("parameter", "count"),
    [
        (Int(low=1, high=5), 5),
        (Int(low=0, high=10, step=3), 4),
        (Float(low=0, high=1, step=0.25), 5),
        (Categorical(values=("a", 1, True, None)), 4),
        (Ordinal(values=(1, 10, 100)), 3),
    ],
)
def test_values_of_a_linear_finite_axis_are_equally_likely(parameter: Parameter, count: int) -> None:
    axis = axis_of(parameter)
    counts = Counter((type(value), value) for value in map(axis.at, POSITIONS))
    assert axis.size == count == len(counts)
    assert all(abs(share - 2000 / count) <= 2 for share in counts.values())


def test_each_decade_of_a_log_axis_is_equally_likely() -> None:
    axis = axis_of(Float(low=1e-3, high=1, scale="log"))
    counts = Counter(math.floor(math.log10(value)) for value in map(axis.at, POSITIONS) if isinstance(value, float))
    assert [counts[decade] for decade in (-3, -2, -1)] == pytest.approx([2000 / 3] * 3, abs=2)


def test_each_nine_of_a_reverse_log_axis_is_equally_likely() -> None:
    axis = axis_of(Float(low=0, high=0.999, scale="reverse_log"))
    values = [value for value in map(axis.at, POSITIONS) if isinstance(value, float)]
    for nines in (0.9, 0.99):
        share = sum(value < nines for value in values) / 2000
        assert share == pytest.approx(-math.log10(1 - nines) / 3, abs=0.002)


def test_a_log_axis_of_whole_numbers_prefers_the_small_ones() -> None:
    counts = Counter(map(axis_of(Int(low=1, high=100, scale="log")).at, POSITIONS))
    assert counts[1] > counts[2] > counts[10] > counts[100] > 0


def test_a_normal_axis_has_the_mean_and_the_deviation_that_the_spec_says() -> None:
    values = [float(value) for value in map(axis_of(Normal(mean=5, std=2)).at, POSITIONS) if value is not None]
    assert mean(values) == pytest.approx(5, abs=0.001)
    assert pstdev(values) == pytest.approx(2, rel=0.01)


def test_a_lognormal_axis_is_normal_in_its_logarithm() -> None:
    axis = axis_of(LogNormal(mean=1, std=0.5))
    for position in (0.1, 0.5, 0.9):
        value = axis.at(position)
        assert isinstance(value, float)
        assert math.log(value) == pytest.approx(NormalDist(1, 0.5).inv_cdf(position), abs=1e-6)


def test_cuts_of_a_normal_axis_leave_the_shape_between_them() -> None:
    axis = axis_of(Normal(mean=0, std=1, low=0, high=1))
    assert (axis.at(0), axis.at(1)) == (0.0, 1.0)
    bell = NormalDist()
    middle = bell.inv_cdf((bell.cdf(0) + bell.cdf(1)) / 2)
    assert axis.at(0.5) == pytest.approx(middle, abs=1e-7)


def test_cuts_beyond_the_tails_add_no_values() -> None:
    axis = axis_of(Normal(mean=0, std=1, low=-10, high=10, step=1))
    assert list(axis.grid(1)) == [float(value) for value in range(-5, 6)]
    with pytest.raises(ValueError, match="outside"):
        axis.position(-8.0)


def test_steps_have_no_dust_of_binary_fractions() -> None:
    assert list(axis_of(Float(low=0, high=0.7, step=0.1)).grid(1)) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (Float(low=0, high=1), 1.5),
        (Float(low=0, high=1), "0.5"),
        (Float(low=0, high=1), True),
        (Float(low=0, high=1, step=0.25), 0.3),
        (Float(low=0, high=1, step=0.25), math.nan),
        (Int(low=0, high=5), 6),
        (Int(low=0, high=5), 2.5),
        (Int(low=0, high=5), None),
        (Categorical(values=("a", 1)), True),
        (Ordinal(values=("a", "b")), "c"),
        (Normal(mean=0, std=1, high=1), 2.0),
        (LogNormal(mean=0, std=1), "x"),
    ],
)
def test_a_value_that_the_axis_has_not_is_refused(parameter: Parameter, value: Scalar) -> None:
    with pytest.raises(ValueError, match=r"none of|outside|not a number"):
        axis_of(parameter).position(value)


@pytest.mark.parametrize(
    "parameter",
    [
        Float(low=3, high=3),
        Float(low=3, high=3, step=1),
        Float(low=848.0662714948606, high=848.0662714948609, scale="log"),
        Int(low=2**53, high=2**53, scale="log"),
        Constant(value=None),
    ],
)
def test_a_range_of_almost_nothing_is_an_axis_too(parameter: Parameter) -> None:
    axis = axis_of(parameter)
    for position in (0.0, 0.5, 1.0):
        assert axis.at(axis.position(axis.at(position))) == axis.at(position)


def test_a_distribution_of_which_nothing_is_left_is_refused() -> None:
    with pytest.raises(ValueError, match="leave nothing"):
        axis_of(Normal(mean=0, std=1, low=9))
    with pytest.raises(ValueError, match="no multiple of step"):
        axis_of(Normal(mean=0, std=1, low=0.1, high=0.2, step=1))


def test_a_step_that_is_finer_than_the_digits_of_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="too fine"):
        Float(low=0, high=1, step=1e-13)


def test_the_kinds_of_axes_are_those_that_strategies_know() -> None:
    assert isinstance(axis_of(Float(low=0, high=1, step=0.5)), SteppedAxis)
    assert isinstance(axis_of(LogNormal(mean=0, std=1)), NormalAxis)
