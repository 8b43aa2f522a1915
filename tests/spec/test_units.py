"""Durations and sizes as text."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudtune.spec.units import format_duration, format_size, parse_duration, parse_size
from cloudtune.testing.specs import durations, sizes


@given(durations() | st.timedeltas(timedelta(microseconds=1), timedelta(seconds=10**11 - 1)))
def test_a_duration_survives_its_text(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(sizes() | st.integers(1, 2**63 - 1))
def test_a_size_survives_its_text(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.timedeltas(timedelta(microseconds=1), timedelta(days=10_000)))
def test_a_duration_is_itself(duration: timedelta) -> None:
    assert parse_duration(duration) == duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("20m", 1200),
        ("20min", 1200),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1 h 30 m", 5400),
        (" 1.5H ", 5400),
        ("1d", 86400),
        ("2w", 14 * 86400),
        ("1500ms", 1.5),
        ("PT20M", 1200),
        ("P1DT2H", 86400 + 7200),
        ("P1W", 7 * 86400),
        ("pt0.5s", 0.5),
        ("90", 90),
        (90, 90),
        (0.1, 0.1),
        ("1e3", 1000),
    ],
)
def test_durations_are_read_as_people_write_them(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    ["", "h", "2 hours", "P", "PT", "P1DT", "-1s", "0", 0, -1, True, "nan", "inf", 10**11, "1h x", "1:30"],
)
def test_what_is_no_duration_is_refused(text: str | float) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(hours=2), "2h"),
        (timedelta(minutes=90), "1h30m"),
        (timedelta(milliseconds=1500), "1s500ms"),
        (timedelta(microseconds=1), "0.000001s"),
        (timedelta(days=8), "8d"),
    ],
)
def test_durations_are_written_as_people_write_them(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512MB", 512 * 10**6),
        ("50 gb", 50 * 10**9),
        ("8GiB", 8 * 2**30),
        ("1.5kB", 1500),
        ("0.5KiB", 512),
        ("7b", 7),
        ("7", 7),
        (7, 7),
        ("1PiB", 2**50),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "0", 0, True, "1.5B", "1.5", "1e3", "8EB", 2**63, "1 G"])
def test_what_is_no_size_is_refused(text: str | int) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"), [(50 * 10**9, "50GB"), (8 * 2**30, "8GiB"), (1500, "1500B"), (2000, "2KB"), (1, "1B")]
)
def test_sizes_are_written_in_the_largest_unit_that_fits(size: int, text: str) -> None:
    assert format_size(size) == text


def test_a_fraction_of_a_duration_is_exact_to_the_microsecond() -> None:
    assert parse_duration("0.1s") * 10 == timedelta(seconds=1)
    assert parse_duration(str(Decimal("1.000001"))) == timedelta(seconds=1, microseconds=1)
