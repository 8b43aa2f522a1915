"""Lists of values in the place of ranges."""

import pytest

from cloudtune.space.codecs import number_in
from cloudtune.space.grid import listed_values
from cloudtune.space.parameters import Categorical, Float, Int, Parameter, Scalar


@pytest.mark.parametrize(
    ("parameter", "levels", "values"),
    [
        (Int(low=1, high=3), None, (1, 2, 3)),
        (Int(low=1, high=100), 3, None),
        (Int(low=1, high=10**12), None, None),
        (Float(low=0.0, high=1.0), 3, (0.0, 0.5, 1.0)),
        (Float(low=0.0, high=1.0), None, None),
        (Float(low=0.0, high=1.0), 50, None),
        (Float(low=0.0, high=1.0, step=0.5), None, (0.0, 0.5, 1.0)),
        (Categorical(values=("a", "b")), 3, None),
    ],
)
def test_a_range_has_a_list_where_the_service_takes_so_many(
    parameter: Parameter, levels: int | None, values: tuple[Scalar, ...] | None
) -> None:
    assert listed_values(parameter, levels, 10) == values


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("0.5", 0.5), ("1e-05", 1e-05), ("1e-5", None), ("01", None), ("true", None), ("NaN", None), ("9" * 400, None), ("x", None)],
)  # fmt: skip
def test_a_text_is_a_number_only_as_it_would_be_sent(text: str, number: float | None) -> None:
    assert number_in(text) == number
