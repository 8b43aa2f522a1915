"""Trials of which some values are given: what completes them, and why there is none."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudtune.space.completing import complete, why_impossible
from cloudtune.space.space import Space
from cloudtune.spec.job import TuningJob
from cloudtune.testing.specs import spaces

FIELDS: dict[str, Any] = {
    "name": "j",
    "trial": {"command": "true"},
    "objective": {"metric": "loss", "goal": "minimize"},
    "limits": {"trials": 4},
}
MIXED: dict[str, Any] = {
    "lr": {"type": "float", "low": 1e-4, "high": 1, "scale": "log"},
    "kind": {"type": "categorical", "values": ["tree", "net"]},
    "layers": {"type": "int", "low": 1, "high": 4, "when": {"kind": "net"}},
    "drop": {"type": "float", "low": 0, "high": 1, "when": {"layers": [3, 4]}},
    "depth": [
        {"type": "int", "low": 1, "high": 4, "when": {"kind": "tree"}},
        {"type": "int", "low": 8, "high": 9, "when": {"kind": "net"}},
    ],
}


def space_of(entries: dict[str, Any]) -> Space:
    return TuningJob.from_data({**FIELDS, "space": entries}).search_space()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_some_values_of_a_trial_are_completed_to_a_trial_that_has_them(data: Any) -> None:
    space = Space(data.draw(spaces()))
    size = len(space.dimensions)
    positions = st.lists(st.floats(0, 1), min_size=size, max_size=size)
    trial, other = space.at(data.draw(positions)), space.at(data.draw(positions))
    names = data.draw(st.lists(st.sampled_from(list(trial)), unique=True))
    some = {name: trial[name] for name in names}
    values = complete(space, some, data.draw(positions), other)
    assert values is not None
    assert space.contains(values)
    assert {name: values[name] for name in names} == some
    assert why_impossible(space, some) == []
    assert complete(space, trial, data.draw(positions), other) == trial


def test_what_is_left_open_is_as_preferred_where_that_goes_along_with_what_is_given() -> None:
    space = space_of(MIXED)
    liked: dict[str, Any] = {"lr": 0.5, "kind": "tree", "depth": 2}
    assert complete(space, {}, None, liked) == liked
    assert complete(space, {"layers": 2}, None, liked) == {"lr": 0.5, "kind": "net", "layers": 2, "depth": 8 + 1}
    found = complete(space, {"drop": 0.25}, None, liked)
    assert found == {"lr": 0.5, "kind": "net", "layers": 3, "drop": 0.25, "depth": 9}


@pytest.mark.parametrize(
    ("some", "problem"),
    [
        ({"lrr": 1}, ("lrr", "the space has no parameter 'lrr'; did you mean 'lr'?")),
        ({"lr": 7}, ("lr", "7 is outside 0.0001 to 1.0")),
        ({"lr": "0.1"}, ("lr", "'0.1' is not a number")),
        ({"depth": 5}, ("depth", "5 is none of 1, 2, …, 4; 5 is none of 8, 9, …, 9")),
        ({"kind": "tree", "layers": 2}, ("layers", "2 is in no trial in which kind is tree; layers exists where kind is net")),
        ({"drop": 0.5, "depth": 3}, ("depth", "3 is in no trial in which drop is 0.5; depth exists where kind is tree, or where kind is net")),
    ],
)  # fmt: skip
def test_values_that_no_trial_has_are_told_with_the_reason(some: dict[str, Any], problem: tuple[str, str]) -> None:
    space = space_of(MIXED)
    assert complete(space, some) is None
    assert why_impossible(space, some) == [problem]
