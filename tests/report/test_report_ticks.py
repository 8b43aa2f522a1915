"""Where the axes of parameters have ticks, and what these say."""

import itertools
from typing import Any

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune.report.ticks import ticks
from cloudtune.space.axes import RealAxis
from cloudtune.space.parameters import Categorical, Float, Int, Normal, Parameter
from cloudtune.space.space import Space
from cloudtune.testing import specs


def marks(parameter: Parameter, most: int = 6) -> list[tuple[float, str]]:
    return ticks(Space({"p": parameter}).dimensions[0], most)


def test_a_log_axis_has_ticks_at_powers_of_ten_at_equal_distances() -> None:
    found = marks(Float(low=1e-4, high=1e1, scale="log"))
    assert [text for _, text in found] == ["0.0001", "0.001", "0.01", "0.1", "1", "10"]
    steps = [right[0] - left[0] for left, right in itertools.pairwise(found)]
    assert steps == pytest.approx([0.2] * 5)


def test_a_linear_axis_has_ticks_at_round_numbers() -> None:
    assert [text for _, text in marks(Float(low=-3, high=17.5))] == ["-3", "0", "5", "10", "15", "17.5"]


def test_values_of_every_kind_have_a_label() -> None:
    parameter = Categorical(values=("text", None, True, 1.5))
    assert [text for _, text in marks(parameter)] == ["text", "null", "true", "1.5"]


def test_an_axis_with_steps_has_ticks_at_its_own_values() -> None:
    labels = [int(text) for _, text in marks(Int(low=8, high=1000, step=8, scale="log"))]
    assert labels[0] == 8
    assert labels[-1] == 1000
    assert all(label % 8 == 0 for label in labels)


def test_a_bell_has_ticks_where_its_values_are() -> None:
    assert [text for _, text in marks(Normal(mean=10, std=1), 3)] == ["9.033", "10", "10.97"]


@given(entries=specs.spaces(), most=st.integers(2, 9))
@settings(max_examples=examples(60))
def test_every_axis_has_increasing_ticks_within_it(entries: dict[str, Any], most: int) -> None:
    for dimension in Space(entries).dimensions:
        found = ticks(dimension, most)
        positions = [position for position, _ in found]
        assert found
        assert len(found) <= 3 * most + 4
        assert all(0.0 <= position <= 1.0 for position in positions)
        assert positions == sorted(positions)
        assert all(len(text) <= 14 for _, text in found)


@given(st.floats(1e-300, 1e300), st.floats(1e-300, 1e300), st.sampled_from(["linear", "log"]))
@settings(max_examples=examples(60))
def test_the_widest_ranges_have_ticks(one: float, other: float, scale: Any) -> None:
    low, high = sorted((one, other))
    parameter = Float(low=low, high=high, scale=scale)
    dimension = Space({"p": parameter}).dimensions[0]
    found = ticks(dimension, 6)
    assert 1 <= len(found) <= 20
    if isinstance(dimension.axis, RealAxis) and high > low * (1 + 1e-9):
        assert (found[0][0], found[-1][0]) == (0.0, 1.0)
